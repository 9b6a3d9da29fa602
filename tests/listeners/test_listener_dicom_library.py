"""What the DICOM node relies on of pynetdicom: a version that changes it fails here."""

from __future__ import annotations

import inspect
from io import BytesIO

import pynetdicom
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dul import DULServiceProvider
from pynetdicom.pdu_primitives import P_DATA
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.transport import AssociationServer, AssociationSocket, RequestHandler

from engine.listeners import dicom_messages
from engine.listeners import dicom_transport as ours


def source(what: object) -> str:
    return inspect.getsource(what)  # type: ignore[arg-type]


def test_the_version_that_was_looked_at():
    assert pynetdicom.__version__.startswith("3.0."), (
        "read dicom_transport, dicom_messages and dicom_sending against the new one"
    )


def test_what_is_overridden_is_there_and_is_called():
    for theirs, mine in (
        (AssociationSocket, ours.NodeSocket),
        (DULServiceProvider, ours.NodeUpperLayer),
        (DIMSEServiceProvider, dicom_messages.ObjectProvider),
        (Association, ours.NodeAssociation),
        (RequestHandler, ours.NodeRequest),
        (AssociationServer, ours.NodeServer),
    ):
        assert issubclass(mine, theirs)
    for theirs, names in (
        (AssociationSocket, ("ready", "recv", "send", "close", "_shutdown_socket")),
        (DULServiceProvider, ("run_reactor", "_process_recv_primitive", "_is_transport_event", "stop_dul")),
        (DIMSEServiceProvider, ("receive_primitive", "get_msg", "send_msg")),
        (Association, ("run_reactor", "_serve_request", "kill", "_run_reactor")),
        (RequestHandler, ("handle", "_create_association")),
    ):
        assert [n for n in names if n not in vars(theirs)] == []
    assert "self._process_recv_primitive()" in source(DULServiceProvider.run_reactor)
    assert "time.sleep(self._run_loop_delay)" in source(DULServiceProvider.run_reactor)
    assert "self.socket.ready" in source(DULServiceProvider._is_transport_event)
    assert "self._serve_request(msg" in source(Association._run_reactor)


def test_a_dataset_is_written_to_what_stands_in_the_place_of_its_buffer():
    class Sink(BytesIO):
        pieces: list[bytes]

        def write(self, data: bytes) -> int:
            self.pieces.append(bytes(data))
            return len(data)

    said = C_STORE()
    said.MessageID, said.Priority = 1, 0
    said.AffectedSOPClassUID, said.AffectedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    said.DataSet = BytesIO(b"abcdefgh")
    sent = C_STORE_RQ()
    sent.primitive_to_message(said)
    message = DIMSEMessage()
    sink = Sink()
    sink.pieces = []
    for primitive in sent.encode_msg(1, 16382):
        done = message.decode_msg(primitive)
        if type(message) is C_STORE_RQ and message.data_set is not sink:
            message.data_set = sink
    assert done and sink.pieces == [b"abcdefgh"]
    got = message.message_to_primitive()
    assert got.DataSet is sink and got.is_valid_request


def test_a_message_is_sent_as_command_and_fragments():
    """`send_object` makes the fragments of the dataset itself."""
    said = C_STORE()
    said.MessageID, said.Priority = 1, 0
    said.AffectedSOPClassUID, said.AffectedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.3"
    message = C_STORE_RQ()
    message.primitive_to_message(said)
    message.command_set.CommandDataSetType = 0x0001
    message.data_set = None
    (command,) = message.encode_msg(1, 16382)
    ((context, value),) = command.presentation_data_value_list
    assert (context, value[0]) == (1, 3)
    fragment = P_DATA()
    fragment.presentation_data_value_list.append((1, b"\2" + b"ab"))
    again = DIMSEMessage()
    assert not again.decode_msg(command) and again.decode_msg(fragment)


def test_the_reactor_can_be_held_while_an_answer_is_awaited():
    held = source(Association.send_c_store)
    for words in (
        "self._reactor_checkpoint.clear()",
        "while not self._is_paused",
        "self.dimse.get_msg(block=True)",
    ):
        assert words in held
    assert "_reactor_checkpoint.wait()" in source(Association._run_reactor)


def test_statuses_of_storage_go_through_the_service_class():
    assert "validate_status" in source(StorageServiceClass.SCP)
    assert "evt.EVT_C_STORE" in source(StorageServiceClass.SCP)
    assert evt.EVT_REQUESTED.name and "evt.EVT_REQUESTED" in source(Association.run_reactor)
    assert "receive_pdu(wait=True" in source(Association.run_reactor)


def test_a_server_is_made_of_our_classes():
    made = inspect.signature(AE.make_server).parameters
    assert {"server_class", "contexts", "ssl_context", "evt_handlers"} <= set(made)
    assert "AcceptorThread" in source(AssociationServer.active_associations.fget)
