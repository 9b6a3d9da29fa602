"""STOW-RS: objects that come by HTTP, on the way that C-STORE goes (PS3.18 10.5).

In: a body in pieces: multipart/related of application/dicom, or one object. Out: each part, byte for byte, in
the object store, the journal and the index; an answer that says of each what became of it. One part at a time
is on its way; of it only the beginning is in memory, until it is known what it is.
"""

from __future__ import annotations

import errno
import logging
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, Protocol

from engine.console.dicomweb_answer import Answer, json_answer
from engine.console.dicomweb_retrieve import address
from engine.console.refusals import Refusal
from engine.formats.dicom.header import LIMIT, beginning, read_header
from engine.formats.dicom.multipart import Begin, Data, PartReader, boundary_of, media_type
from engine.formats.dicom.uids import is_uid
from engine.formats.dicom.values import text_of
from engine.kernel.errors import FormatError, HubError, place_of
from engine.kernel.imaging import Arriving, Peer, Received

__all__ = ["Intake", "Takes"]

log = logging.getLogger("hub.console")

_DICOM = "application/dicom"
_BEGINNING = (64 << 10) + 132  # file meta information is not longer
_FAILED, _NO_RESOURCES, _OTHER_CLASS, _NOT_UNDERSTOOD = 0x0110, 0xA700, 0xA900, 0xC000
_SOP_CLASS, _SOP_INSTANCE, _STUDY = 0x00080016, 0x00080018, 0x0020000D


class Takes(Protocol):
    """The way of objects to the disk."""

    def begin(self, received: Received) -> Arriving:
        """Begin an object. Raises OSError (ENOSPC) where there is no room for one."""

    def store(self, received: Received, arriving: Arriving) -> int:
        """Keep an object, journal it, index it; return a C-STORE status (PS3.4 B.2.3)."""


@dataclass(slots=True)
class _Part:
    """One part on its way."""

    status: int = 0  # of its failure: a FailureReason (PS3.18 10.5.3.1)
    head: bytearray = field(default_factory=bytearray)
    wanted: int = _BEGINNING  # bytes of the beginning that are waited for
    size: int = 0
    sop_class: str = ""
    sop_instance: str = ""
    received: Received | None = None
    arriving: Arriving | None = None


class Intake:
    """The body of one request. Not for several threads at one time."""

    def __init__(self, takes: Takes, peer: Peer, study: str, most: int, content: str) -> None:
        self._takes, self._peer, self._study, self._most = takes, peer, study, most
        self._part: _Part | None = None
        self._broken = ""
        self._too_long = False
        self.stored: list[tuple[str, str, int]] = []  # SOP class, SOP instance, warning
        self.failed: list[tuple[str, str, int]] = []  # SOP class, SOP instance, reason
        kind = media_type(content)
        if kind.type == _DICOM:
            self._reader = None
            self._part = _Part()
            return
        inner = kind.parameters.get("type", _DICOM).lower()
        if kind.type != "multipart/related" or inner != _DICOM:
            raise Refusal(415, f"objects come as {_DICOM}, alone or as parts of multipart/related")
        try:
            self._reader = PartReader(boundary_of(content))
        except FormatError as e:
            raise Refusal(400, f"{e.what}: {e.why}") from None

    def feed(self, data: bytes) -> None:
        """Take some of the body. What comes after damage is passed over."""
        if self._broken:
            return
        if self._reader is None:
            self._take(data)
            return
        try:
            events = self._reader.feed(data)
        except FormatError as e:
            self._break(e)
            return
        for event in events:
            if isinstance(event, Begin):
                self._part = _Part()
                kind = media_type(event.headers.get("content-type", _DICOM)).type
                self._part.status = 0 if kind == _DICOM else _NOT_UNDERSTOOD
            elif isinstance(event, Data):
                self._take(event.data)
            else:
                self._end()

    def close(self) -> None:
        """Say that the body is whole."""
        if self._broken:
            return
        if self._reader is None:
            self._end()
        else:
            try:
                self._reader.close()
            except FormatError as e:
                self._break(e)

    def abandon(self) -> None:
        """Forget what is on its way: the body broke off."""
        if self._part is not None and self._part.arriving is not None:
            self._part.arriving.abandon()
        self._part = None

    def cut(self) -> None:
        """Say that no more comes, though more should."""
        self._broken = self._broken or "it broke off"
        self.abandon()

    def _break(self, error: FormatError) -> None:
        self._broken = error.what
        self.abandon()

    # -- one part

    def _take(self, data: bytes) -> None:
        part = self._part
        if part is None or part.status:
            return
        part.size += len(data)
        if part.arriving is not None:
            self._guarded(part, lambda: part.arriving.write(data) if part.arriving else None)
        else:
            part.head += data
            if len(part.head) >= part.wanted:
                self._guarded(part, lambda: self._begin(part, whole=False))
        if part.size > self._most and not part.status:
            self._too_long = True
            self._fail(part, _NO_RESOURCES)

    def _end(self) -> None:
        part, self._part = self._part, None
        if part is None:
            return
        if not part.status and part.arriving is None:
            self._guarded(part, lambda: self._begin(part, whole=True))
        if not part.status:
            self._guarded(part, lambda: self._keep(part))
        if part.status:
            self.failed.append((part.sop_class, part.sop_instance, part.status))

    def _begin(self, part: _Part, whole: bool) -> None:
        """Find out what it is, and begin to store it. What the beginning does not say may follow."""
        head = bytes(part.head)
        began = beginning(head, len(head) if whole else len(head) + 1)
        names = (_SOP_CLASS, _SOP_INSTANCE, _STUDY)
        header: Any = read_header(BytesIO(head), len(head) + whole, only=names)
        part.sop_class = _uid(began.sop_class or text_of(header, _SOP_CLASS))
        part.sop_instance = _uid(began.sop_instance or text_of(header, _SOP_INSTANCE))
        study = text_of(header, _STUDY)
        known = part.sop_class and part.sop_instance and (study or not self._study)
        if not known and not whole and part.wanted < LIMIT:
            part.wanted = min(part.wanted * 8, LIMIT)
            return
        if not part.sop_class or not part.sop_instance:
            self._fail(part, _NOT_UNDERSTOOD)
        elif self._study and study != self._study:
            self._fail(part, _OTHER_CLASS)
        else:
            part.received = Received(
                self._peer, part.sop_class, part.sop_instance, began.transfer_syntax, is_file=True
            )
            part.arriving = self._takes.begin(part.received)
            part.arriving.write(head)
            part.head.clear()

    def _keep(self, part: _Part) -> None:
        if part.received is None or part.arriving is None:
            return
        status = self._takes.store(part.received, part.arriving)
        if status and status & 0xF000 != 0xB000:
            part.status = status
            return
        self.stored.append((part.sop_class, part.sop_instance, status))

    def _fail(self, part: _Part, status: int) -> None:
        part.status = status
        part.head.clear()
        if part.arriving is not None:
            part.arriving.abandon()

    def _guarded(self, part: _Part, step: Any) -> None:
        """Do a step; what goes wrong with one part is said of it alone."""
        try:
            step()
        except FormatError:
            self._fail(part, _NOT_UNDERSTOOD)
        except OSError as e:
            self._too_long |= e.errno == errno.EFBIG
            log.error("an object cannot be stored: %s", e.strerror)
            full = e.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            self._fail(part, _NO_RESOURCES if full else _FAILED)
        except HubError as e:
            log.error("an object cannot be stored: %s", e)
            self._fail(part, _NO_RESOURCES)
        except Exception as e:
            log.error("internal error %s", place_of(e))
            self._fail(part, _FAILED)

    # -- the answer

    def answer(self, index: Any, base: str) -> Answer:
        """Say what became of every part (PS3.18 10.5.3)."""
        if self._broken and not self.stored:
            raise Refusal(400, f"the body cannot be read: {self._broken}")
        if not self.stored and not self.failed:
            raise Refusal(400, "the body holds no object")
        body: dict[str, Any] = {}
        studies: set[str] = set()
        if self.stored:
            sops = tuple(sop for _, sop, _ in self.stored)
            held = {one.sop_instance: one for one in index.instances(sop=sops)}
            studies = {one.study for one in held.values()}
            items = [_stored(one, held.get(one[1]), base) for one in self.stored]
            body["00081199"] = {"vr": "SQ", "Value": items}
        if len(studies) == 1:
            body["00081190"] = {"vr": "UR", "Value": [f"{base}/studies/{next(iter(studies))}"]}
        known = [one for one in self.failed if one[0] and one[1]]
        others = [one[2] for one in self.failed if not (one[0] and one[1])] + [_NOT_UNDERSTOOD] * bool(
            self._broken
        )
        if known:
            items = [{**_sop(one[0], one[1]), "00081197": _number(one[2])} for one in known]
            body["00081198"] = {"vr": "SQ", "Value": items}
        if others:
            body["0008119A"] = {"vr": "SQ", "Value": [{"00081197": _number(reason)} for reason in others]}
        detail = (
            f"{' '.join(sorted(studies)) or self._study} stored {len(self.stored)} failed {len(self.failed)}"
        )
        answer = json_answer(self._code(bool(others)), dict(sorted(body.items())), "store", "study", detail)
        if answer.status == 503:
            answer.headers["Retry-After"] = "60"
        return answer

    def _code(self, others: bool) -> int:
        if self.stored:
            return 202 if self.failed or others or any(warning for _, _, warning in self.stored) else 200
        if self._too_long:
            return 413
        return 503 if any(reason & 0xFF00 == _NO_RESOURCES for _, _, reason in self.failed) else 409


def _uid(text: str) -> str:
    return text if is_uid(text) else ""


def _sop(sop_class: str, sop_instance: str) -> dict[str, Any]:
    return {
        "00081150": {"vr": "UI", "Value": [sop_class]},
        "00081155": {"vr": "UI", "Value": [sop_instance]},
    }


def _number(value: int) -> dict[str, Any]:
    return {"vr": "US", "Value": [value]}


def _stored(one: tuple[str, str, int], held: Any, base: str) -> dict[str, Any]:
    item = _sop(one[0], one[1])
    if held is not None:
        item["00081190"] = {"vr": "UR", "Value": [address(base, held)]}
    if one[2]:
        item["00081196"] = _number(one[2])
    return item
