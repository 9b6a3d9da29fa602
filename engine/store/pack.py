"""A pack: every resource body that one entry wrote, compressed and sealed together.

In: slots of (body JSON, ownership JSON). Out: sealed bytes, bound to the pack's number. The inside is a JSON
list of lengths, a newline, and the slots one after the other, so that one body can be read without parsing
its neighbours.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import orjson

from engine.fhir import jsonio
from engine.store.keys import Keyring

__all__ = ["Bodies", "Body", "CommittedBodies", "open_pack", "seal_pack"]


def seal_pack(keyring: Keyring, number: int, slots: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Seal the slots of one pack (sealing compresses)."""
    parts = [part for slot in slots for part in slot]
    plain = orjson.dumps([len(part) for part in parts]) + b"\n" + b"".join(parts)
    return keyring.seal(plain, b"core:%d" % number)


def open_pack(keyring: Keyring, number: int, sealed: bytes) -> list[tuple[bytes, bytes]]:
    """Open a pack and return its slots."""
    plain = keyring.unseal(sealed, b"core:%d" % number)
    start = plain.index(b"\n") + 1
    parts = []
    for length in orjson.loads(plain[: start - 1]):
        parts.append(plain[start : start + length])
        start += length
    return list(zip(parts[::2], parts[1::2], strict=True))


class Body:
    """One version's content: its JSON, the object (made when first asked for, never changed in place), and
    its owners.
    """

    __slots__ = ("_value", "own", "raw", "same")

    def __init__(self, raw: bytes, value: dict[str, Any] | None, own: Any) -> None:
        self.raw = raw
        self._value = value
        self.own = own
        self.same: tuple[str, str, str, bytes] | None = (
            None  # (sender, map, write, JSON) that last changed nothing
        )

    @property
    def value(self) -> dict[str, Any]:
        """Return the body as an object."""
        if self._value is None:
            self._value = jsonio.loads(self.raw)
        return self._value


class Bodies:
    """The most recently used bodies by feed position; a version never changes, so what is here is always
    true.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._bodies: OrderedDict[int, Body] = OrderedDict()
        self._lock = threading.Lock()  # readers and the writer share it

    def get(self, seq: int) -> Body | None:
        """Return the body of a version if it is at hand."""
        with self._lock:
            body = self._bodies.get(seq)
            if body is not None:
                self._bodies.move_to_end(seq)
            return body

    def put(self, seq: int, body: Body) -> None:
        """Keep a body, and let go of the least recently used beyond the limit."""
        with self._lock:
            if seq in self._bodies:
                return
            self._bodies[seq] = body
            self._size += _cost(body)
            while self._size > self._limit and self._bodies:
                _, gone = self._bodies.popitem(last=False)
                self._size -= _cost(gone)


class CommittedBodies(Bodies):
    """Bodies as a transaction may share them: those that were there before it began.

    A version that it writes itself may be rolled back, and its feed position is then given to another.
    """

    def __init__(self, shared: Bodies, head: int) -> None:
        super().__init__(0)
        self._shared, self._head = shared, head

    def get(self, seq: int) -> Body | None:
        """Return the body of a version that stood before, if it is at hand."""
        return self._shared.get(seq) if seq <= self._head else None

    def put(self, seq: int, body: Body) -> None:
        """Keep the body of a version that stood before."""
        if seq <= self._head:
            self._shared.put(seq, body)


def _cost(body: Body) -> int:
    return 400 + 8 * len(body.raw)  # JSON, and roughly seven times that as Python objects
