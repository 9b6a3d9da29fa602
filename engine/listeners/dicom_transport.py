"""Where this node reaches into pynetdicom 3.0, with `dicom_messages`: a new version is looked at there.

In: connections. Out: pynetdicom's own associations, with some things done otherwise. Bytes are read in large
pieces, within a time and a length; an association that waits, waits for an event and not in steps of a
millisecond; a TLS handshake holds up nobody else, nor does a connection that says nothing; what is over is
closed, all of it, at once.
What of pynetdicom this relies on is in `tests/listeners/test_listener_dicom_library.py`.
Follows PS3.8 9.3 (PDUs) and annex E (fragments).
"""

from __future__ import annotations

import errno
import logging
import queue
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any

from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_GET, C_MOVE, C_STORE
from pynetdicom.dul import DULServiceProvider
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from engine.listeners.dicom_messages import CALM, Begin, ObjectProvider
from engine.listeners.dicom_policy import SERVICES

__all__ = ["NodeRequest", "NodeServer"]

log = logging.getLogger("hub.dicom")

LEAST_PDU = 1 << 20
"""A PDU of negotiation may be so long whatever was agreed for data: 128 contexts of 40 syntaxes."""
_BUSY = 0.001  # seconds one look at a socket waits that is just now in use; else CALM
_IN_USE = 0.5
_WAITING = 64  # PDUs that wait to be sent
_PARTING = 0.5  # seconds the other side has to close, before we do

_ABORT = bytes((7, 0, 0, 0, 0, 4, 0, 0, 2, 0))  # A-ABORT of the provider (PS3.8 9.3.8)


class NodeSocket(AssociationSocket):  # type: ignore[misc]
    """A socket whose waits have ends."""

    def __init__(self, association: Any, client_socket: socket.socket, longest: int, seconds: float) -> None:
        super().__init__(association, client_socket=client_socket)
        self._longest, self._seconds = max(longest, LEAST_PDU), seconds
        self._poll = select.poll()  # select() fails where more than 1024 files are open
        self._poll.register(client_socket, select.POLLIN)
        self._used = time.monotonic()
        client_socket.settimeout(seconds)

    @property
    def ready(self) -> bool:
        """Whether there is something to read; waits a moment for it."""
        if self.socket is None or not self._is_connected:
            return False
        if self.assoc.dul.state_machine.current_state == "Sta13":
            self._part()
            return False  # pynetdicom closes now
        try:
            if isinstance(self.socket, ssl.SSLSocket) and self.socket.pending():
                return True
            calm = time.monotonic() - self._used > _IN_USE
            found = self._poll.poll(1000 * (CALM if calm else _BUSY))
        except (OSError, ValueError):
            self.event_queue.put("Evt17")
            return False
        if found:
            self._used = time.monotonic()
        return bool(found)

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, fewer where the other side has ended. Raises OSError, in time."""
        if nr_bytes > self._longest:
            raise OSError(errno.EMSGSIZE, "a PDU is longer than any that was agreed on")
        held = self.socket
        if held is None:
            raise OSError(errno.ENOTCONN, "the connection is closed")
        data = bytearray(nr_bytes)
        at, until = 0, time.monotonic() + self._seconds
        with memoryview(data) as view:
            while at < nr_bytes:
                more = held.recv_into(view[at:])
                if not more:
                    break
                at += more
                if at < nr_bytes and time.monotonic() > until:
                    raise TimeoutError("a PDU was not sent in time")
        return data if at == nr_bytes else data[:at]

    def has_data(self) -> bool:
        """Say whether there is something to read now."""
        try:
            tls = isinstance(self.socket, ssl.SSLSocket) and self.socket.pending()
            return bool(self._is_connected and (tls or self._poll.poll(0)))
        except (OSError, ValueError):
            return False

    def _part(self) -> None:
        """Let the other side read what it was sent last; a close with bytes unread would take it away."""
        held, until = self.socket, time.monotonic() + _PARTING
        try:
            # not SSLSocket's own, which forgets that it is one
            socket.socket.shutdown(held, socket.SHUT_WR)
            while (left := until - time.monotonic()) > 0 and self._poll.poll(1000 * left):
                if not held.recv(65536):
                    return
        except (OSError, ValueError):
            return  # it was first

    def _shutdown_socket(self) -> None:
        """Close, also where the other side was first: pynetdicom would leave that to the collector."""
        if self.socket is not None:
            self.cut()
            self.socket.close()

    def cut(self) -> None:
        """End the connection; from another thread too: who reads is told of the end."""
        try:
            socket.socket.shutdown(self.socket, socket.SHUT_RDWR)
        except (OSError, TypeError):
            pass  # it is over

    def send(self, bytestream: bytes) -> None:
        """Send, and be awake for the answer."""
        self._used = time.monotonic()
        super().send(bytestream)


class _Outgoing(queue.Queue[Any]):
    """What waits to be sent: not without limit, where the other side reads more slowly than we answer."""

    def __init__(self, layer: DULServiceProvider) -> None:
        super().__init__(_WAITING)
        self._layer = layer

    def put(self, item: Any, block: bool = True, timeout: float | None = None) -> None:
        """Wait for room, as long as there is somebody who makes it."""
        while True:
            try:
                super().put(item, timeout=0.5)
                return
            except queue.Full:
                if not self._layer.is_alive():
                    return


class NodeUpperLayer(DULServiceProvider):  # type: ignore[misc]
    """The upper layer of an association; whoever waits for it is told when it has ended."""

    def __init__(self, association: Any) -> None:
        super().__init__(association)
        self.to_provider_queue = _Outgoing(self)
        self._has_sent = False

    def _process_recv_primitive(self) -> bool:
        """Send and receive in turn: pynetdicom would hear no C-CANCEL while there is something to send."""
        in_turn = self._has_sent and self.to_provider_queue.qsize()
        if in_turn and not self._holds_back and self.socket.has_data():
            self._has_sent = False
            return False
        self._has_sent = bool(super()._process_recv_primitive())
        return self._has_sent

    def _is_transport_event(self) -> bool:
        """Read on, unless what came before is to be answered first; an end is heard after that too."""
        if self._holds_back:
            self.assoc.dimse.wait()
            return False
        return bool(super()._is_transport_event())

    @property
    def _holds_back(self) -> bool:
        # where nobody will answer, the other side's end must be read
        transfers = self.state_machine.current_state == "Sta6" and not self.assoc._kill
        return bool(transfers and self.assoc.dimse.is_full)

    def run_reactor(self) -> None:
        """Run the state machine to its end."""
        try:
            super().run_reactor()
        except Exception as e:  # what was sent is not as pynetdicom takes it; its text may quote that
            log.warning("%s: an association was ended: %s", self.assoc._server.name, type(e).__name__)
            if self.socket is not None and self.socket.socket is not None:
                self.socket.send(_ABORT)
        finally:
            if self.socket is not None:
                self.socket.cut()
            # before it has a word of the other side, the association would wait for all of its time
            self.to_user_queue.put(None)


class NodeAssociation(Association):  # type: ignore[misc]
    """An association of a node."""

    may: frozenset[str] = frozenset()  # what its caller may ask for; set when the association is requested
    asked = False  # whether it has asked for an association
    counted = False  # whether it is one of those a node takes at one time

    def _serve_request(self, msg: Any, context_id: int) -> None:
        """Serve a request; a C-STORE of any class is storage, one that pynetdicom has no name for too."""
        if not msg.is_valid_request and not msg.is_valid_response:
            self.abort()  # pynetdicom would say nothing, and let its sender wait
            return
        context = self._accepted_cx.get(context_id)
        ours = isinstance(msg, (C_STORE, C_GET, C_MOVE)) and context is not None and msg.is_valid_request
        if not ours:
            super()._serve_request(msg, context_id)
            return
        self.dimse.cancel_req = {}
        self._is_paused = True
        try:
            if isinstance(msg, C_STORE):
                StorageServiceClass(self).SCP(msg, context)
            elif SERVICES.get(str(context.abstract_syntax)) != "retrieve":
                self.abort()
            else:
                self._server.retrieve(self, msg, context)
        finally:
            self._is_paused = False
            self.dimse.cancel_req = {}
            if isinstance(msg, C_STORE):
                self.dimse.answered()

    def run_reactor(self) -> None:
        """Serve it to its end, and leave nothing half-received."""
        try:
            super().run_reactor()
        except Exception as e:
            log.error("%s: an association failed: %s", self._server.name, type(e).__name__)
            self.dul.socket.cut()  # `kill` waits for the other side's end
            self.kill()
        finally:
            self.dul.socket.cut()
            self.dul.join(self._server.seconds)  # it writes to the sink
            self.dul.socket._shutdown_socket()
            self.dimse.abandon()
            self._server.left(self)


class NodeRequest(RequestHandler):  # type: ignore[misc]
    """Makes the association of one connection."""

    server: NodeServer
    request: Any

    def handle(self) -> None:
        """Shake hands where TLS is spoken, then serve the association in its own thread."""
        if self.server.ssl_context is not None:
            # here and not in `accept`: there a caller who says nothing would keep all others waiting
            self.request.settimeout(min(self.server.seconds, 15.0))
            try:
                self.request = self.server.ssl_context.wrap_socket(self.request, server_side=True)
            except OSError:
                self.server.count("connections", result="no-tls")
                self.server.shutdown_request(self.request)
                return
        super().handle()

    def _create_association(self) -> Any:
        node = NodeAssociation(self.ae, "acceptor")
        node._server = self.server
        node.dul = NodeUpperLayer(node)
        # said again: they are kept in what was replaced
        node.acse_timeout, node.network_timeout = self.ae.acse_timeout, self.ae.network_timeout
        node.name = f"AcceptorThread@{self.server.name}"  # pynetdicom finds its own by this name
        node.set_socket(NodeSocket(node, self.request, self.ae.maximum_pdu_size + 1024, self.server.seconds))
        node.dimse = ObjectProvider(node, self.server.begin)
        node.dul._run_loop_delay = 0.0  # the socket's `ready` waits
        node.acceptor.maximum_length = self.ae.maximum_pdu_size
        node.acceptor.ae_title = self.server.ae_title
        node.acceptor.address_info = self.local
        node.acceptor.implementation_class_uid = self.ae.implementation_class_uid
        node.acceptor.implementation_version_name = self.ae.implementation_version_name
        node.requestor.address_info = self.remote
        for event, bound in self.server._handlers.items():
            if event.is_intervention:
                if bound:
                    node.bind(event, *bound)
            else:
                for handler, args in bound:
                    node.bind(event, handler, args)
        return node


class NodeServer(ThreadedAssociationServer):  # type: ignore[misc]
    """Takes the connections of a node."""

    daemon_threads = True
    request_queue_size = 128
    name = ""
    seconds = 60.0  # how long a PDU may take
    most = 200  # connections at one time
    begin: Begin
    may_connect: Callable[[str], bool]
    count: Callable[..., None]
    left: Callable[[Any], None]
    retrieve: Callable[[Any, Any, Any], None]

    def get_request(self) -> tuple[Any, Any]:
        """Accept a connection."""
        connected, address = self.socket.accept()
        # two small writes in a row would otherwise wait for the other side's delayed ACK: 40 ms
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connected, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Close at once what comes from elsewhere, and what is too much."""
        if not self.may_connect(str(client_address[0])):
            self.count("connections", result="network")
            return False
        active = self.active_associations
        if len(active) >= self.most:
            self.count("connections", result="too-many")
            silent = next((a for a in active if not a.asked), None)
            if silent is None:
                return False
            silent.dul.socket.cut()  # the oldest that has not asked for anything makes room
        self.count("connections", result="taken")
        return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Count a connection that could not be served; nothing of it is printed."""
        self.count("connections", result="failed")

    def serve(self) -> threading.Thread:
        """Serve in a thread of its own."""
        thread = threading.Thread(target=self.serve_forever, args=(0.2,), name="dicom node", daemon=True)
        thread.start()
        return thread
