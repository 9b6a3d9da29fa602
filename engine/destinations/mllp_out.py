"""MLLP out: one message at a time over a connection that stays open, each judged by its acknowledgement.

In: parcels of HL7 v2. Out: receipts. A message counts as sent when an answer names it (MSA-2 is its MSH-10)
and takes it; anything but such an answer is silence. After silence the connection is closed, so that a late
answer has no way to be taken for that of the next message, and the same bytes are sent again: a receiver
knows them by MSH-10. Follows HL7 v2.5.1 ch. 2.9.2 (original mode), 2.9.3 (enhanced mode), 2.10.1.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.destinations.mllp_connection import (
    Address,
    Closed,
    Connection,
    Garbled,
    NotAnswered,
    Silent,
    Unreachable,
    address_of,
)
from engine.destinations.mllp_settings import MllpDestination
from engine.destinations.mllp_verdicts import judge, shown
from engine.destinations.production import refuse_weak
from engine.formats.hl7v2.ack import acknowledge as write_ack
from engine.formats.hl7v2.ack import first_answer
from engine.formats.hl7v2.answers import Said, read_answer
from engine.formats.hl7v2.controlid import control_id
from engine.formats.hl7v2.header import Header, peek
from engine.formats.hl7v2.rewriting import with_header
from engine.kernel.clock import now_ms
from engine.kernel.delivery import Around, DestinationKind, Parcel, Receipt
from engine.kernel.errors import ConfigError, FormatError, HubError, StoreUnavailable
from engine.wire.mllp import END

__all__ = ["MLLP", "MllpOut"]

_LINGER = 1.0  # how long an answer is waited for that was asked for only in case of an error
_MSH_10 = 10


class MllpOut:
    """One system that takes messages over MLLP."""

    def __init__(self, settings: MllpDestination, around: Around) -> None:
        self._settings = settings
        self._tls = settings.tls.below(around.root) if settings.tls is not None else None
        self._address: Address = address_of(settings.url)
        self._connection: Connection | None = None
        refuse_weak(settings, str(self._address), around)
        self.heard: Callable[[bytes], bool] = lambda answer: False
        """Takes an application's answer for good, and says whether it did; may raise StoreUnavailable."""
        self._unanswered = ""  # the key of the parcel that nobody answered last

    def deliver(self, parcel: Parcel) -> Receipt:
        """Send one message and wait for its answer."""
        try:
            body = self._written(parcel)
        except FormatError as e:
            return Receipt("refuse", str(e))
        while True:
            try:
                connection, fresh = self._connected()
            except Unreachable as e:
                return Receipt("retry", _line(e), down=True)
            except ConfigError as e:
                return Receipt("park", str(e), down=True)
            try:
                receipt = self._exchanged(connection, parcel, body)
            except StoreUnavailable:
                self.close()  # what was answered is not kept: it will be answered again
                raise
            except NotAnswered as e:
                self.close()
                if isinstance(e, Closed) and not fresh:
                    continue  # it had closed the quiet connection just before: once more, over a new one
                return self._not_answered(parcel, body, e)
            self._unanswered = ""
            if not self._settings.keep_open:
                self.close()
            return receipt

    def check(self) -> str:
        """Connect, with TLS where that is asked for, and send nothing. Raises HubError."""
        try:
            connection, fresh = self._connected()
        except NotAnswered as e:
            raise HubError(e.what, where=e.where, why=e.why) from None
        said = f"{self._address} takes the connection" + (
            f", {connection.protocol}" if connection.protocol else ""
        )
        if fresh and not self._settings.keep_open:
            self.close()
        return said

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _written(self, parcel: Parcel) -> bytes:
        """Give the bytes to send: the same on every try. Raises FormatError."""
        body = parcel.body
        if not peek(body).ok:
            raise FormatError("this is no HL7 v2 message", why="it does not begin with MSH")
        if END in body:
            raise FormatError("it holds the two bytes that end an MLLP frame (1C 0D)")
        if self._settings.line_ends == "CR" and b"\0" not in body[:16]:
            body = body.replace(b"\r\n", b"\r").replace(b"\n", b"\r")
        fields = self._settings.fields
        if self._settings.control_id == "the hub's":
            fields[_MSH_10] = control_id(parcel.key)
        body = with_header(body, fields) if fields else body
        if not peek(body).control_id:
            raise FormatError(
                "MSH-10 is empty: no answer could name this message",
                where="MSH-10",
                remedy="write control_id: the hub's",
            )
        return body

    def _connected(self) -> tuple[Connection, bool]:
        """Give the connection, made anew where it is gone; what came unasked is nobody's answer any more."""
        if self._connection is not None:
            gone, unasked = self._connection.stale()
            if not gone:
                for data in unasked:
                    self._hear(self._connection, read_answer(data), data)
                return self._connection, False
            self.close()
        settings = self._settings
        self._connection = Connection(
            self._address,
            self._tls,
            seconds=settings.connect_seconds,
            keepalive=settings.keepalive_seconds,
            name=settings.tls_name,
        )
        return self._connection, True

    def _exchanged(self, connection: Connection, parcel: Parcel, body: bytes) -> Receipt:
        header, settings = peek(body), self._settings
        connection.send(body, settings.answer_seconds)
        if settings.acknowledge == "always" or first_answer(header, "accept"):
            said, data = self._answer(connection, header, settings.answer_seconds)
        else:
            return self._unasked(connection, parcel, body, header)
        if said.code == "CA" and settings.wait_for == "application":
            return self._application(connection, parcel, body, header, data)
        return self._receipt(parcel, body, said, data)

    def _answer(self, connection: Connection, header: Header, seconds: float) -> tuple[Said, bytes]:
        """Wait for the answer that names this message; answers to others are passed over."""
        until, others = time.monotonic() + seconds, 0
        while True:
            try:
                data = connection.receive(until, seconds)
            except Silent as e:
                why = f"{others} answers named another message in MSA-2" if others else ""
                raise Silent(e.what, why=why) from None
            said = read_answer(data)
            if not said.code:
                raise Garbled(
                    "what came is no acknowledgement", why="it has no MSA with a code of table 0008"
                )
            if said.named == header.control_id or (not said.named and self._settings.unnamed_answers):
                if said.header.code != "ACK":
                    self.heard(data)
                return said, data
            others += 1
            self._hear(connection, said, data)

    def _application(
        self, connection: Connection, parcel: Parcel, body: bytes, header: Header, accepted: bytes
    ) -> Receipt:
        """Wait for what the application says, after a CA: that one is responsible for it (2.9.3.2)."""
        seconds = self._settings.application_seconds
        try:
            said, data = self._answer(connection, header, seconds)
        except NotAnswered as e:
            self.close()
            return Receipt("sent", f"answered CA, and nothing of its application: {e.what}", body, accepted)
        self._confirm(connection, said)
        return self._receipt(parcel, body, said, data)

    def _unasked(self, connection: Connection, parcel: Parcel, body: bytes, header: Header) -> Receipt:
        """Handle a message that asks for an answer only in case of an error, or for none (MSH-15, MSH-16)."""
        if first_answer(header, "reject"):
            try:
                said, data = self._answer(connection, header, _LINGER)
                return self._receipt(parcel, body, said, data)
            except Silent:
                return Receipt("sent", "it asks for an answer in case of an error; there was none", body)
        return Receipt("sent", "it asks for no answer: written to the connection, no more is known", body)

    def _receipt(self, parcel: Parcel, body: bytes, said: Said, data: bytes) -> Receipt:
        return Receipt(judge(said, self._settings.answers), shown(said, parcel.tries), body, data)

    def _hear(self, connection: Connection, said: Said, data: bytes) -> None:
        """Take what was not waited for; only what is kept is acknowledged."""
        if self.heard(data):
            self._confirm(connection, said)

    def _confirm(self, connection: Connection, said: Said) -> None:
        """Answer an application's answer that asks for it: it is a message of its own (2.9.3.3)."""
        if said.code and first_answer(said.header, "accept") == "CA":
            now = now_ms()
            try:
                connection.send(write_ack(said.header, "CA", control_id=f"H{now}", at_ms=now), 5)
            except NotAnswered:
                pass  # it will say it again, or not; what it said is known

    def _not_answered(self, parcel: Parcel, body: bytes, error: NotAnswered) -> Receipt:
        """Say that nobody said anything. Once two messages in a row had no answer, it is not the message."""
        down = self._unanswered not in ("", parcel.key)
        self._unanswered = parcel.key
        return Receipt("retry", _line(error), body, down=down)


def _line(error: NotAnswered) -> str:
    return f"{error.what}: {error.why}" if error.why else error.what


MLLP = DestinationKind(
    "mllp", MllpDestination, lambda settings, name, around: MllpOut(settings, around), ("original", "any")
)
