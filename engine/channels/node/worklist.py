"""The modality worklist: what is still to be scanned, as the core store has it this very moment.

In: the core store, once whole and then by its change feed; queries of modalities. Out: the answers of a
C-FIND (PS3.4 K.6.1). The projection is in memory: of every open imaging order its steps, as `scheduled.py`
reads them; people and places are read when they are asked for and forgotten when they change. Calls may come
from several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Any, Protocol

from engine.channels.node.attributes import Behind, attributes
from engine.channels.node.scheduled import (
    Json,
    Performed,
    Planned,
    is_open,
    of_order,
    of_task,
    performed_of,
    to_do,
)
from engine.formats.dicom.comparing import compare
from engine.formats.dicom.matching import answer, matches
from engine.formats.dicom.values import items_of, text_of, texts_of
from engine.kernel.clock import now_ms
from engine.kernel.uncollected import uncollected
from engine.store.study_uids import UID_SYSTEM

__all__ = ["Worklist"]

PAGE = 1000
AT_ONCE = 100
"""Steps whose people are read together."""
LONG_AGO = 183
_SEQUENCE = "ScheduledProcedureStepSequence"


class Store(Protocol):
    """The core store, as far as the worklist reads it."""

    def read(self, type: str, id: str) -> dict[str, Any] | None: ...
    def search(self, type: str, parameters: Any, count: int = 50, cursor: str | None = None) -> Any: ...
    def feed(self, since: int = 0, limit: int = 100, *, bodies: bool = False) -> Sequence[Any]: ...
    def head(self) -> int: ...


class _Order:
    """One open order, what its Tasks say of its steps (None: not to do), and what modalities say they did."""

    __slots__ = ("base", "performed", "steps", "tasks")

    def __init__(self, base: Planned) -> None:
        self.base = base
        self.tasks: dict[str, Planned | None] = {}
        self.performed: dict[str, Performed] = {}
        self.steps: tuple[Planned, ...] = ()


class Worklist:
    """The worklist of one node."""

    def __init__(
        self,
        store: Store,
        *,
        days: tuple[int, int] = (30, 90),
        zone: tzinfo | None = None,
        issuer: str = "",
        own: str = "",
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """`zone`: of the modalities' wall clock; without one times stand as the sender wrote them. `issuer`:
        the authority, by name or URI, whose Patient IDs modalities go by. `own`: how names of this hub begin.
        """
        self._store, self._days, self._zone = store, days, zone
        self._issuer, self._own, self._clock = issuer, own, clock
        self._orders: dict[str, _Order] = {}
        self._behind = Behind(store)
        self._cursor: int | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many steps there are, of any day."""
        return sum(len(order.steps) for order in list(self._orders.values()))

    def answers(self, query: Any) -> Iterator[Any]:
        """Answer a query: one identifier for every step that matches, soonest first."""
        self.refresh()
        asked = _Asked(query, self._store)
        first, last = self._window()
        found = [
            step
            for order in list(self._orders.values())
            for step in order.steps
            if first <= (step.day or first) <= last and asked.may(step)
        ]
        found.sort(key=lambda step: (step.date or "9", step.time, step.procedure, step.step, step.task))
        left = iter(found)
        while part := list(islice(left, AT_ONCE)):
            if asked.by_name:
                self._behind.load_names(step.patient for step in part)
                part = [step for step in part if asked.named(self._behind.name(step.patient))]
            self._behind.load(part)
            for step in part:
                held = attributes(step, self._behind, self._issuer, self._own)
                if matches(query, held, combined=True):
                    yield answer(query, held)

    def left(self, study: str, done: Collection[str]) -> int:
        """Return how many steps of a study's orders are still to do beside these."""
        self.refresh()
        orders = [order for order in list(self._orders.values()) if order.base.study == study]
        return sum(step.step not in done for order in orders for step in order.steps)

    def refresh(self) -> None:
        """Take over what has changed in the core store."""
        with self._lock:
            if self._cursor is None:
                self._build()
                return
            while changes := self._store.feed(self._cursor, PAGE):
                self._follow(changes)
                self._cursor = changes[-1].seq
                if len(changes) < PAGE:
                    return

    @uncollected()
    def _build(self) -> None:
        """Read all open orders and their Tasks once; what changes meanwhile is in the feed after `head`."""
        cursor = self._store.head()
        self._orders.clear()
        for body in self._all("ServiceRequest"):
            if (order := self._near(body)) is not None:
                self._orders[order.order] = _Order(order)
        for task in self._all("Task") if self._orders else ():
            self._put(task)
        for order_id in list(self._orders):
            self._settle(order_id)
        self._cursor = cursor

    def _all(self, kind: str, *parameters: tuple[str, str]) -> Iterator[Json]:
        place: str | None = None
        while True:
            page = self._store.search(kind, parameters, PAGE, place)
            yield from page.resources
            place = page.cursor
            if place is None:
                return

    def _follow(self, changes: Sequence[Any]) -> None:
        """Follow a page of the feed: what changed is read as it is now."""
        for kind, id_ in dict.fromkeys((change.type, change.id) for change in changes):
            if kind == "ServiceRequest":
                self._order(id_, self._store.read(kind, id_))
            elif kind == "Task":
                self._task(id_, self._store.read(kind, id_))
            else:
                self._behind.forget(kind, id_)

    def _order(self, id_: str, body: Json | None) -> None:
        known = self._orders.get(id_)
        base = self._near(body) if body is not None else None
        if body is None or base is None:
            self._orders.pop(id_, None)
            return
        held = _Order(base)
        self._orders[id_] = held
        if known is not None and not known.tasks:
            held.performed = known.performed
        else:  # of its own Tasks each says again what the order said; a closed one may be open again
            for task in self._all("Task", ("patient", f"Patient/{base.patient}")) if base.patient else ():
                if id_ in _orders_of(task) or (base.study and _study_of(task) == base.study):
                    self._put(task)
        self._settle(id_)

    def _task(self, id_: str, task: Json | None) -> None:
        orders = self._put(task) if task is not None else []
        if task is None:
            for held in self._orders.values():
                if id_ in held.tasks or id_ in held.performed:
                    held.tasks.pop(id_, None)
                    held.performed.pop(id_, None)
                    orders.append(held)
        for held in orders:
            self._settle(held.base.order)

    def _put(self, task: Json) -> list[_Order]:
        """Put a Task to its open orders; return them."""
        names = _orders_of(task)
        orders = [self._orders[name] for name in names if name in self._orders]
        performed = performed_of(task)
        if performed is not None and not names and (study := _study_of(task)):
            orders = [held for held in self._orders.values() if held.base.study == study]
        for held in orders:
            if performed is not None:
                held.performed[task["id"]] = performed
            else:
                held.tasks[task["id"]] = of_task(held.base, task, self._zone)
        return orders

    def _settle(self, order_id: str) -> None:
        """Work out which steps of an order are to do; one that is completed and has none is not kept."""
        held = self._orders[order_id]
        held.steps = tuple(to_do(held.base, held.tasks, held.performed.values()))
        if held.base.completed and not held.steps:
            del self._orders[order_id]

    def _today(self) -> datetime:
        return datetime.fromtimestamp(self._clock() / 1000, self._zone or UTC)

    def _window(self) -> tuple[str, str]:
        today, (back, ahead) = self._today(), self._days
        return tuple((today + timedelta(days=n)).strftime("%Y%m%d") for n in (-back, ahead))  # type: ignore[return-value]

    def _near(self, order: Json) -> Planned | None:
        """Read an order that is open and can still come into the window: of what is long over none is kept.

        A Task may say another day than its order; half a year more is enough for any that was put off.
        """
        if not is_open(order):
            return None
        found = of_order(order, self._zone)
        back = self._days[0] + (0 if found.completed else LONG_AGO)
        oldest = (self._today() - timedelta(days=back)).strftime("%Y%m%d")
        updated = str((order.get("meta") or {}).get("lastUpdated") or "")[:10].replace("-", "")
        return found if found.day >= oldest or (updated >= oldest and not found.completed) else None


def _orders_of(task: Mapping[str, Any]) -> list[str]:
    """Return the ids of the orders that a Task is for."""
    said = [task.get("focus"), *(task.get("basedOn") or ())]
    names = [str((one or {}).get("reference") or "") for one in said]
    return list(
        dict.fromkeys(n.removeprefix("ServiceRequest/") for n in names if n.startswith("ServiceRequest/"))
    )


def _study_of(task: Json) -> str:
    """Return the study of a Task whose order the store did not set: several orders are of that study."""
    for one in task.get("basedOn") or ():
        identifier = one.get("identifier") or {}
        if identifier.get("system") == UID_SYSTEM:
            return str(identifier.get("value") or "").removeprefix("urn:oid:")
    return ""


class _Asked:
    """What of a query can be held against a step before anything else is read of it.

    It may let through what does not match, and never keeps out what does.
    """

    def __init__(self, query: Any, store: Store) -> None:
        item = next(iter(items_of(query, _SEQUENCE)), None)
        self._modality = _plain(item, "Modality")
        self._titles = _plain(item, "ScheduledStationAETitle")
        self._accession = _plain(query, "AccessionNumber")
        self._procedure = _plain(query, "RequestedProcedureID")
        self._study = _plain(query, "StudyInstanceUID")
        self._first, self._last = _days(item)
        self.by_name = texts_of(query, "PatientName") if text_of(query, "PatientName").strip("* ^") else []
        self._patients: frozenset[str] | None = None
        if numbers := _plain(query, "PatientID"):
            page = store.search("Patient", [("identifier", one) for one in numbers], PAGE)
            self._patients = (
                frozenset(resource["id"] for resource in page.resources) if page.cursor is None else None
            )

    def may(self, step: Planned) -> bool:
        """Say whether a step may match."""
        return (
            (not self._modality or step.modality in self._modality)
            and (not self._titles or not self._titles.isdisjoint(step.titles))
            and (not self._accession or step.accession[0] in self._accession)
            and (not self._procedure or step.procedure in self._procedure)
            and (not self._study or step.study in self._study)
            and (self._patients is None or step.patient in self._patients)
            and (not self._first or self._first <= step.date <= self._last)
        )

    def named(self, name: str) -> bool:
        """Say whether a patient's name may match."""
        return compare("PN", self.by_name, [name])


def _plain(dataset: Any, keyword: str) -> frozenset[str]:
    """Return the values of a key; none where it is universal or has wildcards."""
    texts = texts_of(dataset, keyword) if dataset is not None else []
    if any(not text.strip() or "*" in text or "?" in text for text in texts):
        return frozenset()
    return frozenset(text.strip() for text in texts)


def _days(item: Any) -> tuple[str, str]:
    """Return the first and last day of a query; empty where it asks for any."""
    text = text_of(item, "ScheduledProcedureStepStartDate").strip() if item is not None else ""
    low, dash, high = (part.strip().replace(".", "") for part in text.partition("-"))
    if not (low or high):
        return "", ""
    return low or "0", (high or "9") if dash else low
