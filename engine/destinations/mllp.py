"""An MLLP sender: the messages of a file, one after the other, each with its answer and how long that took.

In: a file with one or many HL7 v2 messages (batches and MLLP bytes in it are understood) and an address,
`mllp://host:port` or `mllps://host:port` for TLS. Out: one `Answer` a message. Line ends become CR, as HL7
v2.5.1 ch. 2.5 wants them; everything else is sent as it stands. Plain blocking sockets: `hub send` and tests
need nothing more.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from engine.formats.hl7v2.ack import first_answer
from engine.formats.hl7v2.header import peek
from engine.formats.hl7v2.split import iter_messages
from engine.kernel.errors import ConfigError, FormatError, HubError
from engine.wire.mllp import Framer, encode

__all__ = ["Answer", "NotAnswered", "Tls", "send", "send_file"]

_PORT = 2575  # IANA: hl7
_MOST = 16 << 20
_LINGER = 0.3  # how long an answer is waited for that was asked for only in case of an error


class NotAnswered(HubError):
    """The message was sent, or not, and nobody said that it is safe: send it again."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Files for `mllps://`: whom to believe, and who we are."""

    ca: Path | None = None  # None: the system's authorities
    certificate: Path | None = None
    key: Path | None = None


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


def send_file(path: Path, url: str, *, tls: Tls | None = None, timeout: float = 30) -> Iterator[Answer]:
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
    messages: Iterable[bytes], url: str, *, tls: Tls | None = None, timeout: float = 30
) -> Iterator[Answer]:
    """Send messages over one connection, each after the answer to the one before."""
    with _connect(url, tls, timeout) as connection:
        framer = Framer(_MOST)
        early: list[bytes] = []
        for number, message in enumerate(messages, 1):
            body = _line_ends(message)
            header = peek(body)
            where = f"message {number} to {url}"
            begun = time.perf_counter()
            try:
                connection.sendall(encode(body))
            except OSError as e:
                raise NotAnswered(
                    "the connection broke while sending", where=where, why=e.strerror or str(e)
                ) from None
            ack = b""
            if first_answer(header, "accept"):
                ack = _receive(connection, framer, early, timeout, where)
            elif first_answer(header, "reject"):
                ack = _receive(connection, framer, early, _LINGER, where, needed=False)
            seconds = time.perf_counter() - begun
            code, named, errors = _read(ack)
            yield Answer(number, header.message_type, header.control_id, code, named, errors, seconds, ack)


def _connect(url: str, tls: Tls | None, timeout: float) -> socket.socket:
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
    except ValueError:
        parts, port = urlsplit(""), 0
    host = parts.hostname
    if parts.scheme not in ("mllp", "mllps") or not host:
        raise ConfigError(
            f"{url!r} is no MLLP address", remedy="write mllp://HOST:PORT, or mllps://HOST:PORT for TLS"
        )
    try:
        connection = socket.create_connection((host, port), timeout)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return (
            _context(tls or Tls()).wrap_socket(connection, server_hostname=host)
            if parts.scheme == "mllps"
            else connection
        )
    except ssl.SSLError as e:
        raise NotAnswered("the TLS handshake failed", where=url, why=e.reason or str(e)) from None
    except OSError as e:
        raise NotAnswered(
            "cannot connect",
            where=url,
            why=e.strerror or str(e),
            remedy="is the hub running, and is this its port?",
        ) from None


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key)
    except (OSError, ssl.SSLError) as e:
        files = ", ".join(str(f) for f in (tls.ca, tls.certificate, tls.key) if f is not None)
        raise ConfigError("cannot use these TLS files", where=files, why=e.strerror or str(e)) from None
    return context


def _receive(
    connection: socket.socket,
    framer: Framer,
    early: list[bytes],
    timeout: float,
    where: str,
    *,
    needed: bool = True,
) -> bytes:
    """Wait for one answer; `early` holds answers that came together with another."""
    end = time.monotonic() + timeout
    while not early:
        try:
            connection.settimeout(max(0.001, end - time.monotonic()))
            data = connection.recv(65536)
        except TimeoutError:
            if not needed:
                return b""
            raise NotAnswered(
                f"no answer within {timeout:g} s", where=where, remedy="send it again"
            ) from None
        except OSError as e:
            raise NotAnswered("the connection broke", where=where, why=e.strerror or str(e)) from None
        if not data:
            raise NotAnswered(
                "the connection was closed without an answer",
                where=where,
                why="the receiver could not make the message safe, or does not speak MLLP with this address",
                remedy="its log says why; send the message again",
            )
        early += framer.receive(data)
        if framer.violation is not None:
            raise NotAnswered(f"the answer is not MLLP ({framer.violation.kind})", where=where)
    return early.pop(0)


def _read(ack: bytes) -> tuple[str, str, tuple[str, ...]]:
    """Return MSA-1, MSA-2 and one text for each error of an answer."""
    if not ack:
        return "", "", ()
    header = peek(ack)
    fs, cs = header.separator, header.encoding[:1] or "^"
    code = named = ""
    errors = []
    for line in ack.decode("utf-8", "replace").replace("\n", "\r").split("\r"):
        fields = line.split(fs) + [""] * 9
        if fields[0] == "MSA":
            code, named = fields[1].strip(), fields[2].strip()
            if fields[3]:
                errors.append(fields[3])
        elif fields[0] == "ERR" and fields[3]:
            place, reason = (fields[2].split(cs) + [""] * 6), fields[3].split(cs)
            at = place[0] + (f"-{place[2]}" if place[2] else "") + (f".{place[4]}" if place[4] else "")
            errors = [e for e in errors if e != fields[8]]  # MSA-3 often says the same
            errors.append(f"{at} {reason[0]} {reason[1] if len(reason) > 1 else ''}: {fields[8]}".strip(" :"))
    return code, named, tuple(errors)


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
