"""Objects sent by C-STORE over an association of pynetdicom, whoever asked for it: C-GET, C-MOVE, a
forwarding rule.

In: a whole Part 10 file, open to be read. Out: a status of PS3.4 B.2.3. pynetdicom would decode an object
and write it anew, and hold all of it in a queue; here the dataset goes out as it is where the other side
accepted its transfer syntax, a few PDUs at a time. Between Implicit and Explicit VR Little Endian it is
written anew, its pixels copied as a stream; anything else is not sent (PS3.7 9.3.1, PS3.5 A).
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from io import BytesIO
from typing import Any, BinaryIO, Literal, cast

from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu_primitives import P_DATA

from engine.kernel.errors import FormatError, HubError

__all__ = ["Lost", "Verdict", "context_for", "dataset_at", "send_object", "transcoded", "verdict_of"]

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
_PLAIN = (EXPLICIT, IMPLICIT)
_LONG_VRS = frozenset(
    (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UC", b"UR", b"UT", b"UN", b"SV", b"UV")
)
_PIXELS = {b"\xe0\x7f\x08\x00": b"OF", b"\xe0\x7f\x09\x00": b"OD", b"\xe0\x7f\x10\x00": b"OW"}  # PS3.5 A.2
_AHEAD = 8  # PDUs in the queue to the network
_LONGEST = 131_072

Verdict = Literal["sent", "retry", "park"]


class Lost(HubError):
    """The association ended, or the other side did not answer."""


def verdict_of(status: int) -> Verdict:
    """Say what to do after a C-STORE status: nothing, send again, or show it to a person (PS3.4 table
    B.2-1).
    """
    if status in (0x0000, 0x0001, 0x0107, 0x0111, 0x0116) or status >> 12 == 0xB:
        return "sent"  # 0x0111: it is held there already
    if status >> 8 == 0xA7 or status in (0x0110, 0x0124, 0x0213):
        return "retry"
    return "park"


def context_for(assoc: Any, sop_class: str, syntax: str) -> Any | None:
    """Choose the presentation context for an object: of its transfer syntax, else one it can be written
    anew for.
    """
    usable = [cx for cx in assoc.accepted_contexts if cx.as_scu and cx.abstract_syntax == sop_class]
    exact = next((cx for cx in usable if cx.transfer_syntax[0] == syntax), None)
    if exact is not None or syntax not in _PLAIN:
        return exact
    return next((cx for cx in usable if cx.transfer_syntax[0] in _PLAIN), None)


def send_object(
    assoc: Any,
    context: Any,
    opened: BinaryIO,
    sop_instance: str,
    syntax: str,
    message_id: int,
    originator: tuple[str, int] | None = None,
    priority: int = 2,
) -> int:
    """Send one object and return the other side's status. Raises Lost, OSError, FormatError."""
    request = C_STORE()
    request.MessageID = message_id
    request.Priority = priority
    request.AffectedSOPClassUID = context.abstract_syntax
    request.AffectedSOPInstanceUID = sop_instance
    if originator is not None:
        request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID = originator
    opened.seek(dataset_at(opened))
    wanted = str(context.transfer_syntax[0])
    body = opened if wanted == syntax else transcoded(opened, syntax, wanted)
    # as pynetdicom's own send_c_store does: its reactor would take the answer from under us
    assoc._reactor_checkpoint.clear()
    try:
        while not assoc._is_paused:
            _still_there(assoc)
            time.sleep(0.0001)
        try:
            _send(assoc, context.context_id, request, body)
        except (FormatError, OSError):
            assoc.abort()  # what is begun cannot be taken back
            raise
        _, answered = assoc.dimse.get_msg(block=True)
    finally:
        assoc._reactor_checkpoint.set()
    if answered is None or not isinstance(answered, C_STORE) or not answered.is_valid_response:
        if assoc.is_established:
            assoc.abort()
        raise Lost("the other side did not answer a C-STORE, or ended the association", where="DICOM")
    return int(answered.Status)


def _send(assoc: Any, context_id: int, request: Any, body: BinaryIO) -> None:
    message = C_STORE_RQ()
    message.primitive_to_message(request)
    message.command_set.CommandDataSetType = 0x0001
    message.data_set = None
    longest = min(assoc.dimse.maximum_pdu_size or _LONGEST, _LONGEST)
    for primitive in message.encode_msg(context_id, longest):
        assoc.dul.send_pdu(primitive)
    for piece, is_last in _pieces(body, (longest - 6) & ~1):  # even, as all of DICOM is
        end = time.monotonic() + (assoc.network_timeout or 60)
        while assoc.dul.to_provider_queue.qsize() > _AHEAD:
            _still_there(assoc)
            if time.monotonic() > end:
                assoc.abort()
                raise Lost("the other side stopped reading", where="DICOM")
            time.sleep(0.0005)
        primitive = P_DATA()
        primitive.presentation_data_value_list.append((context_id, (b"\x02" if is_last else b"\x00") + piece))
        assoc.dul.send_pdu(primitive)


def _still_there(assoc: Any) -> None:
    if not assoc.is_established or not assoc.dul.is_alive() or assoc.acse.is_aborted():
        raise Lost("the association ended while an object was sent", where="DICOM")


def _pieces(body: BinaryIO, size: int) -> Iterator[tuple[bytes, bool]]:
    """Cut a dataset; the last piece is told as such."""
    piece = _full(body, size)
    if not piece:
        raise FormatError("the object has no dataset", where="DICOM")
    while piece:
        following = _full(body, size)
        if not following and len(piece) % 2:
            piece += b"\0"  # a deflated stream may have been kept without (PS3.5 A.5)
        yield piece, not following
        piece = following


def _full(source: BinaryIO, size: int) -> bytes:
    """Read as much as was asked for, unless the end comes first."""
    piece = source.read(size)
    while piece and len(piece) < size and (more := source.read(size - len(piece))):
        piece += more
    return piece


def dataset_at(opened: BinaryIO) -> int:
    """Return where the dataset of a Part 10 file begins: behind the elements of group 0002.

    Raises FormatError.
    """
    opened.seek(0)
    if opened.read(132)[128:] != b"DICM":
        raise FormatError("this is no DICOM file", where="byte 128", why="`DICM` is not there")
    at = 132
    while len(header := opened.read(8)) == 8 and header[:2] == b"\x02\x00":
        if header[4:6] in _LONG_VRS:
            at += 12 + int.from_bytes(opened.read(4), "little")
        else:
            at += 8 + int.from_bytes(header[6:], "little")
        opened.seek(at)
    return at


def transcoded(opened: BinaryIO, syntax: str, wanted: str) -> BinaryIO:
    """Write a dataset in the other of Implicit and Explicit VR Little Endian; pixels are copied while it is
    read.

    The file stands where its dataset begins. Raises FormatError.
    """
    if {syntax, wanted} != set(_PLAIN):
        raise FormatError(
            "this object is not written in that transfer syntax", where="DICOM", why="only LE to LE is"
        )
    try:
        head = _encoded(read_dataset(opened, syntax == IMPLICIT, True, stop_when=_at_pixels), syntax, wanted)
        at = opened.tell()
        header = opened.read(8)
        if not header:
            return BytesIO(head)
        tag, length, begin = header[:4], int.from_bytes(header[4:], "little"), at + 8
        if syntax == EXPLICIT:
            length, begin = int.from_bytes(opened.read(4), "little"), at + 12
        if length == 0xFFFFFFFF:
            raise FormatError("pixels are encapsulated in a native transfer syntax", where="(7FE0,0010)")
        opened.seek(begin + length)
        tail = opened.read()
        if tail:
            tail = _encoded(read_dataset(BytesIO(tail), syntax == IMPLICIT, True), syntax, wanted)
        opened.seek(begin)
    except (HubError, OSError):
        raise
    except Exception as e:  # pydicom raises whatever the bytes lead it to; its texts may hold values
        raise FormatError(
            "this object cannot be written in another transfer syntax", where="DICOM", why=type(e).__name__
        ) from None
    vr = _PIXELS[tag] + b"\0\0" if wanted == EXPLICIT else b""
    return cast(BinaryIO, _Spliced(head + tag + vr + struct.pack("<L", length), opened, length, tail))


def _at_pixels(tag: int, vr: str | None, length: int) -> bool:
    return struct.pack("<HH", tag >> 16, tag & 0xFFFF) in _PIXELS


def _encoded(dataset: Any, syntax: str, wanted: str) -> bytes:
    dataset.set_original_encoding(syntax == IMPLICIT, True)
    out = DicomBytesIO()
    out.is_little_endian = True
    out.is_implicit_VR = wanted == IMPLICIT
    write_dataset(out, dataset)
    return cast(bytes, out.getvalue())


class _Spliced:
    """A dataset of three parts, the one in the middle in an open file."""

    def __init__(self, head: bytes, opened: BinaryIO, length: int, tail: bytes) -> None:
        self._head, self._opened, self._left, self._tail = BytesIO(head), opened, length, BytesIO(tail)

    def read(self, size: int) -> bytes:
        """Read some; nothing is the end."""
        if part := self._head.read(size):
            return part
        if self._left:
            part = self._opened.read(min(size, self._left))
            self._left -= len(part)
            if not part:
                raise FormatError("an object ends within its pixels", where="(7FE0,0010)")
            return part
        return self._tail.read(size)
