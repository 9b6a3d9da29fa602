"""The answer to a frame that holds batches: a batch of acknowledgements, one for each message that wants one.

In: the messages of one frame in their order, with what the table says of each. Out: the bytes of the
response: BHS, an ACK a message, BTS, and FHS and FTS around them where the request had a file header (HL7
v2.5.1 ch. 2.10.3.1 to 2.10.3.3, option "all messages are acknowledged in the response batch"; BHS-12 and
FHS-12 name the batch and file that are answered). A BTS-1 that promises another number of messages than came
is said in one more ACK, whose MSA-2 is the batch's own id.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.formats.hl7v2.ack import AckError, acknowledge, fast_ack
from engine.formats.hl7v2.header import Header
from engine.formats.hl7v2.split import Batch
from engine.listeners.ack_rules import ROWS, AckRules, Decision

__all__ = ["BatchAnswer"]

_NO_BATCH = Batch()


class BatchAnswer:
    """A response that grows with every message; `finish` closes it once the last trailer was read."""

    def __init__(self, rules: AckRules, number: Callable[[], str], stamp: str, at_ms: int) -> None:
        self._rules, self._number, self._stamp, self._at = rules, number, stamp, at_ms
        self._groups: list[tuple[Batch, Header, bytearray, int, int]] = []

    def take(self, batch: Batch | None, header: Header, decision: Decision) -> None:
        """Add the answer to one message."""
        batch = batch or _NO_BATCH
        if not self._groups or self._groups[-1][0] is not batch:
            self._groups.append((batch, header, bytearray(), 0, 0))
        _, first, text, answers, messages = self._groups[-1]
        code = self._rules.answer(header, decision.outcome) if decision.answered else ""
        if code and decision.errors:
            text += acknowledge(
                header, code, errors=decision.errors, control_id=self._number(), at_ms=self._at
            )
        elif code:
            text += fast_ack(header, code, self._number(), self._stamp)
        self._groups[-1] = (batch, first, text, answers + bool(code), messages + 1)

    @property
    def short(self) -> bool:
        """Say whether a batch promised another number of messages than came."""
        return any(batch.declared not in (None, messages) for batch, *_, messages in self._groups)

    def finish(self) -> bytes:
        """Return the response; empty where no message wants an answer and nothing is missing."""
        groups = [self._closed(*group) for group in self._groups]
        written = [text for text in groups if text]
        if not written:
            return b""
        batch, header, *_ = self._groups[0]
        if not batch.file_header:
            return b"".join(written)
        codec, s = header.codec, header.separator
        head = self._wrapper("FHS", batch.file_header, header).encode(codec, "replace")
        return head + b"".join(written) + f"FTS{s}{len(written)}\r".encode(codec, "replace")

    def _closed(self, batch: Batch, header: Header, text: bytearray, answers: int, messages: int) -> bytes:
        if batch.declared not in (None, messages):
            row = ROWS["batch-count"]
            about = Header(list(header.fields), header.codec)
            about.fields[10] = _id(batch, header)
            code = self._rules.answer(about, row.outcome)
            if code:
                error = AckError("E", row.code, row.where, row.text)
                text += acknowledge(about, code, errors=[error], control_id=self._number(), at_ms=self._at)
                answers += 1
        if not answers:
            return b""
        codec, s = header.codec, header.separator
        head = self._wrapper("BHS", batch.header or batch.file_header, header).encode(codec, "replace")
        return head + bytes(text) + f"BTS{s}{answers}\r".encode(codec, "replace")

    def _wrapper(self, name: str, sent: bytes, header: Header) -> str:
        """Write the header of the response: applications changed over, the request's id as the reference."""
        s, f = header.separator, header.fields
        asked = _fields(sent, s)
        here = (asked[4] or f[5], asked[5] or f[6], asked[2] or f[3], asked[3] or f[4])
        parts = [name, f[2], *here, self._stamp, "", "", "", self._number(), asked[10]]
        return s.join(parts).rstrip(s) + "\r"


def _fields(sent: bytes, separator: str) -> list[str]:
    """Return the fields of FHS or BHS; index 1 is field 2, as the separator is field 1."""
    fields = sent.decode("latin-1").strip("\r\n").split(separator)
    return [field if field.isascii() else "" for field in fields] + [""] * 12


def _id(batch: Batch, header: Header) -> str:
    """Return BHS-11, else FHS-11, else the first message's id."""
    for sent in (batch.header, batch.file_header):
        found = _fields(sent, header.separator)[10].strip()
        if found:
            return found
    return header.fields[10]
