"""Storage commitment: requests that were taken are answered on an association of their own (PS3.4 J.3.3).

In: requests on disk. Out: an N-EVENT-REPORT each: what is safe, and what is not held. A peer that cannot be
reached is tried again, after a restart too, until it has answered or a week is over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, BinaryIO, Protocol

from engine.channels.node.again import wait_ms
from engine.kernel.errors import HubError
from engine.kernel.imaging import HeldInstance, Peer
from engine.listeners.dicom_settings import DicomPeer, DicomSettings
from engine.objects.folder import MissingObject
from engine.objects.sealed import DamagedObject

__all__ = ["Commitments", "Due", "judged"]

log = logging.getLogger("hub.dicom")

PROCESSING_FAILURE, NO_SUCH_OBJECT, CLASS_CONFLICT = 0x0110, 0x0112, 0x0119
"""Failure reasons of PS3.3 C.14.1.1."""
GIVEN_UP = 7 * 86_400_000
AT_ONCE = 20

Reference = tuple[str, str]


class Due(Protocol):
    """A request that waits for its answer."""

    @property
    def transaction(self) -> str: ...
    @property
    def peer(self) -> Peer: ...
    @property
    def references(self) -> Sequence[Reference]: ...
    @property
    def asked(self) -> int: ...
    @property
    def tries(self) -> int: ...


class Held(Protocol):
    """What is held (`engine.imaging`)."""

    def look(self, sop_instance: str) -> HeldInstance | None: ...
    def disputed(self, sop_instances: Sequence[str]) -> set[str]: ...


class Book(Held, Protocol):
    """Where requests are kept too."""

    def due_commitments(self, at: int) -> Sequence[Any]: ...
    def commitment_done(self, transaction: str, peer: Peer) -> None: ...
    def commitment_failed(self, transaction: str, peer: Peer, next_at: int) -> None: ...


Report = Callable[[DicomSettings, DicomPeer, str, Sequence[Reference], Sequence[tuple[str, str, int]]], None]
"""Sends an answer: node, peer, transaction, what is safe, what failed with its reason. Raises HubError."""


class Commitments:
    """Answers the requests of all nodes."""

    def __init__(
        self,
        book: Book,
        open: Callable[[str], BinaryIO],
        report: Report,
        nodes: Mapping[str, DicomSettings],
        clock: Callable[[], int],
        chance: Callable[[], float],
    ) -> None:
        """`open` opens an object by its address: what is answered for is looked at."""
        self._open = open
        self._book, self._report, self._nodes = book, report, nodes
        self._clock, self._chance = clock, chance

    def tick(self) -> int:
        """Answer what is due; return how many were answered."""
        done = 0
        for due in self._book.due_commitments(self._clock()):
            node = self._nodes.get(due.peer.channel)
            peer = node.peer(due.peer.aet) if node is not None else None
            if node is None or peer is None or not peer.host:
                self._later(due, "nobody says where it listens any more")
                continue
            try:
                safe, failed = judged(self._book, self._open, due.references)
                self._report(node, peer, due.transaction, safe, failed)
            except HubError as e:
                self._later(due, e.what)
                continue
            except OSError as e:
                self._later(due, f"the objects cannot be read: {e.strerror or type(e).__name__}")
                continue
            self._book.commitment_done(due.transaction, due.peer)
            done += 1
        return done

    def _later(self, due: Due, why: str) -> None:
        now = self._clock()
        if now - due.asked > GIVEN_UP:
            log.error(
                "%s: a storage commitment of %s is given up after a week: %s",
                due.peer.channel,
                due.peer.aet,
                why,
            )
            self._book.commitment_done(due.transaction, due.peer)
            return
        log.warning(
            "%s: a storage commitment of %s is answered later: %s", due.peer.channel, due.peer.aet, why
        )
        self._book.commitment_failed(due.transaction, due.peer, now + wait_ms(due.tries + 1, self._chance()))


def judged(
    index: Held, open: Callable[[str], BinaryIO], references: Sequence[Reference]
) -> tuple[list[Reference], list[tuple[str, str, int]]]:
    """Say which of these objects are safe here, and why the others are not.

    Raises HubError or OSError where that cannot be known now: the object store is away.
    Where other bytes came under the UID, nobody knows which of them the sender means to delete.
    """
    disputed = index.disputed([sop_instance for _, sop_instance in references])
    safe: list[Reference] = []
    failed: list[tuple[str, str, int]] = []
    for sop_class, sop_instance in references:
        held = index.look(sop_instance)
        if held is None:
            failed.append((sop_class, sop_instance, NO_SUCH_OBJECT))
        elif held.sop_class != sop_class:
            failed.append((sop_class, sop_instance, CLASS_CONFLICT))
        elif sop_instance in disputed:
            failed.append((sop_class, sop_instance, PROCESSING_FAILURE))
        elif reason := _lost(open, held.address):
            failed.append((sop_class, sop_instance, reason))
        else:
            safe.append((sop_class, sop_instance))
    return safe, failed


def _lost(open: Callable[[str], BinaryIO], address: str) -> int:
    """Return why an object that the index names is not safe; its header and last piece are checked."""
    try:
        open(address).close()
    except MissingObject:
        log.error("object %s is named by the index of imaging, and is not there", address)
        return NO_SUCH_OBJECT
    except DamagedObject:
        log.error("object %s is damaged", address)
        return PROCESSING_FAILURE
    return 0
