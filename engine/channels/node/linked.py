"""What studies belong to, asked again when the core store hears something new.

In: the core store and its change feed, the index. Out: `Linked` for a study; studies that are told again when
an order, a patient or a merge that concerns them came after they did. Where the feed was read to is kept in
the index, so that nothing is missed while the node was down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from engine.channels.node.linking import Authorities, affected, link
from engine.imaging.adding import PATIENT_DIFFERS, SERIES_SHARED
from engine.kernel.imaging import HeldStudy, Linked, Step
from engine.listeners.dicom_settings import DicomSettings, Issuers

__all__ = ["Links"]

CURSOR = "links"
MARKS = frozenset({PATIENT_DIFFERS, SERIES_SHARED})
"""What the index says of a study that holds the images of two: it is nobody's until a person decides."""
AT_ONCE = 500


class Index(Protocol):
    """What is held (`engine.imaging`)."""

    def bound(self, uid: str) -> tuple[str, str, str, str] | None: ...
    def steps_of(self, study: str) -> list[Step]: ...
    def by_key(self, kind: str, value: str) -> list[str]: ...
    def touch(self, uid: str) -> None: ...
    def cursor(self, name: str) -> int: ...
    def queue(self, name: str, upto: int, sendings: Sequence[tuple[str, str]]) -> None: ...
    def counts(self) -> dict[str, int]: ...


class Store(Protocol):
    """The core store."""

    def read(self, type: str, id: str) -> dict[str, Any] | None: ...
    def search(self, type: str, parameters: Any, count: int = 50, cursor: str | None = None) -> Any: ...
    def feed(self, since: int = 0, limit: int = 100) -> Sequence[Any]: ...
    def head(self) -> int: ...


class Links:
    """The links of the studies of all nodes. `authorities`: a channel's words for who issues numbers."""

    def __init__(
        self,
        store: Store,
        index: Index,
        nodes: Mapping[str, DicomSettings],
        authorities: Mapping[str, Authorities],
    ) -> None:
        self._store, self._index, self._nodes, self._authorities = store, index, nodes, authorities

    def of(self, study: HeldStudy) -> Linked:
        """Say what a study belongs to."""
        bound = self._index.bound(study.uid)
        if study.reason in MARKS and bound is None:
            return Linked("mismatch", study.reason)
        node = self._nodes.get(study.channel)
        words = self._authorities.get(study.channel) or next(iter(self._authorities.values()))
        return link(
            self._store,
            study,
            node.issuers if node is not None else Issuers(),
            words,
            bound=bound,
            steps=[step.dataset for step in self._index.steps_of(study.uid)],
        )

    def follow(self) -> int:
        """Have the studies told again that changes of the core store concern; return how many."""
        at = self._index.cursor(CURSOR)
        if at == 0 and not self._index.counts()["studies"]:
            self._index.queue(CURSOR, self._store.head(), ())  # nothing is held: the past concerns nobody
            return 0
        again = 0
        while changes := self._store.feed(at, AT_ONCE):
            for uid in affected(self._store, changes, self._index.by_key):
                self._index.touch(uid)
                again += 1
            at = changes[-1].seq
            self._index.queue(CURSOR, at, ())
        return again
