"""The teller: studies that have been quiet for a while are told to the core store, by way of the journal.

In: the index, and what a study belongs to (`linking.py`). Out: journal entries that workers map to
ImagingStudy like any message. A study that goes on growing is told of once a minute; what an order, a patient
or a person changed about its links is told again. An entry told twice writes nothing twice.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from engine.channels.node.again import wait_ms
from engine.channels.node.keys import order_keys
from engine.formats.dicom.attributes import to_json
from engine.kernel.errors import StoreUnavailable, place_of
from engine.kernel.imaging import HeldStudy, Linked, StudyTree
from engine.kernel.message import Accepted, NewEntry
from engine.listeners.dicom_settings import DicomSettings, Issuers

__all__ = ["Teller", "study_entry"]

log = logging.getLogger("hub.dicom")

GROWING = 60_000
"""A study that never rests is told of so often, ms."""
AT_ONCE = 500
SENDER = "hub"


class Told(Protocol):
    """The index, as far as the teller needs it."""

    def untold(self, changed_before: int, limit: int) -> list[HeldStudy]: ...
    def tree(self, uid: str) -> StudyTree | None: ...
    def tell(self, uid: str, version: int, entry: int, link: Linked) -> None: ...


class Teller:
    """Tells of the studies of all nodes."""

    def __init__(
        self,
        index: Told,
        append: Callable[[Sequence[NewEntry]], list[Accepted]],
        link: Callable[[HeldStudy], Linked],
        nodes: Mapping[str, DicomSettings],
        retrieve: str,
        clock: Callable[[], int],
    ) -> None:
        self._index, self._append, self._link = index, append, link
        self._nodes, self._retrieve, self._clock = nodes, retrieve, clock
        self._since: dict[str, int] = {}  # untold studies, and since when that is known
        self._failed: dict[str, tuple[int, int]] = {}  # those that could not be told: times, and not before

    def tick(self) -> int:
        """Tell what is ready; return how many studies were told."""
        now = self._clock()
        waiting = self._index.untold(now, AT_ONCE)
        self._since = {s.uid: self._since.get(s.uid, now) for s in waiting}
        told = 0
        for study in waiting:
            times, not_before = self._failed.get(study.uid, (0, 0))
            ready = study.changed <= now - self._quiet(study) or self._since[study.uid] <= now - GROWING
            if not ready or now < not_before:
                continue
            try:
                self._tell(study, now)
            except StoreUnavailable:
                raise
            except Exception as e:  # one study that cannot be told holds up no other
                self._failed[study.uid] = times + 1, now + wait_ms(times + 1, 0.0)
                log.error("%s: a study cannot be told: %s; it is tried again", study.channel, place_of(e))
                continue
            self._failed.pop(study.uid, None)
            del self._since[study.uid]
            told += 1
        return told

    def _quiet(self, study: HeldStudy) -> int:
        node = self._nodes.get(study.channel)
        return int((node.quiet_seconds if node else 5.0) * 1000)

    def _tell(self, study: HeldStudy, now: int) -> None:
        tree = self._index.tree(study.uid)
        if tree is None:
            return
        linked = self._link(tree.study)
        node = self._nodes.get(study.channel)
        issuers = node.issuers if node else Issuers()
        entry = NewEntry(
            channel=study.channel,
            body=study_entry(tree, linked, self._retrieve, issuers),
            received=now,
            sender=SENDER,
            control_id=f"{study.uid} {tree.study.version}",
            message_type="dicom study",
            order_keys=order_keys(tree.study.dataset, issuers.patient),
        )
        (accepted,) = self._append([entry])
        self._index.tell(study.uid, tree.study.version, accepted.id, linked)


def study_entry(tree: StudyTree, linked: Linked, retrieve: str, issuers: Issuers) -> bytes:
    """Write a study as the maps are given it: the DICOM JSON model (PS3.18 F), level by level."""
    link: dict[str, Any] = {"state": linked.state, "reason": linked.reason, "by": linked.by}
    for name, key in (("patient", linked.patient), ("order", linked.order)):
        if key is not None:
            link[name] = {"system": key[0], "value": key[1]}
    if linked.encounter_id:
        link["encounter"] = linked.encounter_id
    whole = {
        "dicom study": 1,
        "uid": tree.study.uid,
        "told": tree.study.version,
        "channel": tree.study.channel,
        "link": link,
        "retrieve": retrieve,
        "issuers": {"patient": issuers.patient, "accession": issuers.accession},
        "study": json.loads(to_json(tree.study.dataset)),
        "series": [
            {
                "series": json.loads(to_json(series)),
                "instances": [json.loads(to_json(i.dataset)) for i in held],
            }
            for series, held in tree.series
        ],
    }
    return json.dumps(whole, ensure_ascii=False).encode()
