"""An MLLP sender: the messages of a file, one after the other, each with its answer and how long that took.

In: a file with one or many HL7 v2 messages (batches and MLLP bytes in it are understood) and an address,
`mllp://host:port` or `mllps://host:port` for TLS. Out: one `Answer` a message. Line ends become CR, as HL7
v2.5.1 ch. 2.5 wants them; everything else is sent as it stands. Plain blocking sockets: `hub send` and tests
need nothing more.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from engine.destinations.mllp_connection import Connection, NotAnswered, Silent, Unreachable, address_of
from engine.destinations.tls import ClientTls
from engine.formats.hl7v2.ack import first_answer
from engine.formats.hl7v2.answers import Said, read_answer
from engine.formats.hl7v2.header import Header, peek
from engine.formats.hl7v2.split import iter_messages
from engine.kernel.errors import ConfigError, FormatError

__all__ = ["Answer", "NotAnswered", "send", "send_file"]

_LINGER = 0.3  # how long an answer is waited for that was asked for only in case of an error


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one message. `code` is MSA-1, empty where the message asked for no answer."""

    number: int  # 1-based, in the file
    message_type: str
    control_id: str
    code: str
    named: str  # MSA-2: the message this answer is about
    errors: tuple[str, ...]  # `MSH-11 202 Unsupported processing id: ...`, one an ERR
    seconds: float  # from the first byte sent to the last byte of the answer
    ack: bytes

    @property
    def good(self) -> bool:
        """Say whether the receiver took the message: AA or CA, for this message."""
        return self.code in ("AA", "CA") and self.named == self.control_id


def send_file(path: Path, url: str, *, tls: ClientTls | None = None, timeout: float = 30) -> Iterator[Answer]:
    """Send every message of a file over one connection; raises NotAnswered, ConfigError, FormatError."""
    try:
        with path.open("rb") as file:
            messages = (found.data for found in iter_messages(file))
            first = next(messages, None)
            if first is None:
                raise FormatError(
                    "there is no HL7 message in this file", where=str(path), why="no line begins with MSH"
                )
            yield from send(_again(first, messages), url, tls=tls, timeout=timeout)
    except OSError as e:
        raise ConfigError("cannot read this file", where=str(path), why=e.strerror or str(e)) from None


def send(
    messages: Iterable[bytes], url: str, *, tls: ClientTls | None = None, timeout: float = 30
) -> Iterator[Answer]:
    """Send messages over one connection, each after the answer to the one before."""
    try:
        connection = Connection(address_of(url), tls, seconds=timeout)
    except Unreachable as e:
        remedy = "is the hub running, and is this its port?" if e.what == "cannot connect" else ""
        raise Unreachable(e.what, where=url, why=e.why, remedy=remedy) from None
    with closing(connection):
        for number, message in enumerate(messages, 1):
            body = _line_ends(message)
            header = peek(body)
            begun = time.perf_counter()
            try:
                connection.send(body, timeout)
                ack = _answer(connection, header, timeout)
            except NotAnswered as e:
                where = f"message {number} to {url}"
                raise type(e)(e.what, where=where, why=e.why, remedy=e.remedy) from None
            seconds = time.perf_counter() - begun
            said = read_answer(ack)
            yield Answer(
                number,
                header.message_type,
                header.control_id,
                said.code,
                said.named,
                _errors(said),
                seconds,
                ack,
            )


def _answer(connection: Connection, header: Header, timeout: float) -> bytes:
    """Wait for the answer that a message asks for; empty where it asks for none."""
    if first_answer(header, "accept"):
        return connection.receive(time.monotonic() + timeout, timeout)
    if first_answer(header, "reject"):
        try:
            return connection.receive(time.monotonic() + _LINGER, _LINGER)
        except Silent:
            pass
    return b""


def _errors(said: Said) -> tuple[str, ...]:
    """Give one text for each error of an answer; MSA-3 often says the same as ERR-8."""
    told = [str(one) for one in said.complaints]
    if said.text and said.text not in (one.text for one in said.complaints):
        told.insert(0, said.text)
    return tuple(told)


def _line_ends(message: bytes) -> bytes:
    """End segments with CR where the file ends them otherwise; UTF-16 stays as it is."""
    if b"\0" in message[:16]:
        return message
    if b"\r" not in message:
        message = message.replace(b"\n", b"\r")
    message = message.replace(b"\r\n", b"\r")
    return message if message.endswith(b"\r") else message + b"\r"


def _again(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
