"""How far orders are that went out: waiting, acknowledged, accepted, resulted, complete; and which are late.

In: the deliveries of destinations that take orders, and the core store. Out: one `Standing` an order and
destination, newest first, without patient data. Nothing is guessed: an order is complete when its
ServiceRequest says so, resulted when a final report names it (`basedOn`), else where its delivery is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from engine.channels.delivering.places import Destined
from engine.kernel.errors import MapError
from engine.mapping.outbound.library import OutMaps
from engine.store.deliveries import STATUSES, Delivery

__all__ = [
    "STATES",
    "UNANSWERED",
    "WAITED_FOR",
    "Late",
    "Reports",
    "Standing",
    "after",
    "carries_orders",
    "counted",
    "orders_of",
    "standing",
    "state_of",
]

STATES = (
    "waiting", "parked", "refused", "skipped", "acknowledged", "accepted", "unable", "preliminary",
    "resulted", "complete", "called off",
)  # fmt: skip
"""From the queue to the end."""
WAITED_FOR = frozenset({"waiting", "parked", "refused", "acknowledged", "accepted", "unable", "preliminary"})
"""States in which somebody still waits for something; old ones are overdue."""

UNANSWERED = frozenset({"waiting", "parked", "refused"})
"""States in which the other side has not said that it has the order."""

EVENT = "http://hl7.org/fhir/StructureDefinition/businessEvent"
ACCEPTED = frozenset({"OK", "NA", "SC", "OE", "OR", "SR", "XR", "XX", "HR"})
"""HL7 table 0119: what a filler says of an order that it has taken up."""
UNABLE = frozenset({"UA", "UC", "UD", "UH", "UM", "UR", "UX", "DE"})
"""HL7 table 0119: what a filler says that it cannot, or of data that it cannot use."""
FINAL = frozenset({"final", "corrected", "amended", "appended"})
BEGUN = frozenset({"registered", "partial", "preliminary"})
_ORDERS = ("ORM", "OML", "OMI", "OMG", "OMB", "OMP", "OMS", "OMN", "OMD")
_PAGE = 200


class Deliveries(Protocol):
    """What was delivered."""

    def listed(self, destination: str, status: str, before: int | None, limit: int) -> Sequence[Delivery]: ...


class Store(Protocol):
    """The core store."""

    def read(self, type: str, id: str) -> dict[str, Any] | None: ...
    def written_by(self, entry: int) -> list[tuple[str, str, int, str]]: ...
    def search(
        self, type: str, params: Sequence[tuple[str, str]], count: int, cursor: str | None = None
    ) -> Any: ...


class Journal(Protocol):
    """The journal."""

    def get(self, entry: int) -> Any: ...


@dataclass(frozen=True, slots=True)
class Standing:
    """One order at one destination."""

    order: str  # id of the ServiceRequest
    destination: str
    delivery: int
    entry: int
    state: str
    at: int  # when the delivery was asked for, ms
    done: int | None  # when it was taken
    why: str
    overdue: bool


Late = Callable[[str, Mapping[str, Any], str, int], bool]
"""Whether an order is overdue: its destination, the order, its state, its age in ms."""


def after(ms: int) -> Late:
    """Say that what somebody waits for is overdue after a time."""
    return lambda destination, order, state, age: state in WAITED_FOR and age >= ms


def carries_orders(place: Destined, maps: OutMaps) -> frozenset[str]:
    """Return the channels whose orders go to a destination; empty where none do."""
    return frozenset(channel for channel, rule in place.rules.items() if _of_orders(rule.body, maps))


def _of_orders(body: str, maps: OutMaps) -> bool:
    if body == "original":
        return True  # decided by the message's type
    try:
        return "ServiceRequest" in maps.entry(body).map.kinds
    except MapError:
        return False


def standing(
    places: Iterable[Destined],
    maps: OutMaps,
    deliveries: Deliveries,
    store: Store,
    journal: Journal,
    *,
    now: int,
    since: int,
    late: Late,
    most: int = 2000,
) -> list[Standing]:
    """Say how far the orders are that were to go out since a time; `late` says which are overdue."""
    found: list[Standing] = []
    reports = Reports(store)
    for place in places:
        channels = carries_orders(place, maps)
        if not channels:
            continue
        seen: set[str] = set()
        for delivery in _newest(place.name, deliveries, since, most):
            for order in orders_of(delivery, place, channels, store, journal):
                if order["id"] not in seen:  # a change or a cancellation that went out later tells more
                    seen.add(order["id"])
                    state = state_of(delivery, order, reports)
                    old = late(place.name, order, state, now - delivery.at)
                    told = (delivery.at, delivery.done, delivery.why, old)
                    found.append(Standing(order["id"], place.name, delivery.id, delivery.entry, state, *told))
    return sorted(found, key=lambda one: -one.delivery)


def counted(found: Iterable[Standing]) -> dict[str, dict[str, int]]:
    """Count orders by destination and state; `overdue` beside the states."""
    out: dict[str, dict[str, int]] = {}
    for one in found:
        counts = out.setdefault(one.destination, {})
        counts[one.state] = counts.get(one.state, 0) + 1
        if one.overdue:
            counts["overdue"] = counts.get("overdue", 0) + 1
    return out


def _newest(name: str, deliveries: Deliveries, since: int, most: int) -> list[Delivery]:
    """Return a destination's deliveries since a time, newest first."""
    out: list[Delivery] = []
    for status in STATUSES:
        before: int | None = None
        while len(out) < most * len(STATUSES):
            page = deliveries.listed(name, status, before, _PAGE)
            out += [one for one in page if one.at >= since]
            if len(page) < _PAGE or page[-1].at < since:
                break
            before = page[-1].id
    return sorted(out, key=lambda one: -one.id)[:most]


def orders_of(
    delivery: Delivery, place: Destined, channels: frozenset[str], store: Store, journal: Journal
) -> Iterator[dict[str, Any]]:
    """Give the orders that a delivery was about, as the core store says them now."""
    written = [id_ for type_, id_, *_ in store.written_by(delivery.entry) if type_ == "ServiceRequest"]
    entry = journal.get(delivery.entry) if written else None
    if entry is None or entry.channel not in channels:
        return
    if place.rules[entry.channel].body == "original" and not entry.message_type.startswith(_ORDERS):
        return
    for id_ in dict.fromkeys(written):
        order = store.read("ServiceRequest", id_)
        if order is not None:
            yield order


def state_of(delivery: Delivery, order: Mapping[str, Any], reports: Reports) -> str:
    """Say how far an order is at the destination of a delivery."""
    status = order.get("status")
    if status == "completed":
        return "complete"
    known = reports.about(order)
    if known & FINAL:
        return "resulted"
    if delivery.status != "sent":
        return "waiting" if delivery.status == "pending" else delivery.status
    if status in ("revoked", "entered-in-error"):
        return "called off"
    if known & BEGUN:
        return "preliminary"
    said = _said(order)
    if said & UNABLE:
        return "unable"
    return "accepted" if said & ACCEPTED else "acknowledged"


def _said(order: Mapping[str, Any]) -> set[str]:
    """Return the order control (ORC-1) of the newest message of each sender about an order."""
    events = [one for one in order.get("extension") or () if one.get("url") == EVENT]
    parts = [part for one in events for part in one.get("extension") or ()]
    codings = [c for part in parts for c in (part.get("valueCodeableConcept") or {}).get("coding") or ()]
    return {str(coding.get("code")) for coding in codings}


class Reports:
    """The statuses of reports by the order they name, a patient's looked up once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, dict[str, set[str]]] = {}

    def about(self, order: Mapping[str, Any]) -> set[str]:
        """Return the statuses of the reports that are based on an order."""
        patient = str((order.get("subject") or {}).get("reference") or "")
        if not patient:
            return set()
        if patient not in self._known:
            self._known[patient] = self._read(patient)
        return self._known[patient].get(f"ServiceRequest/{order['id']}", set())

    def _read(self, patient: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        cursor: str | None = None
        while True:
            page = self._store.search("DiagnosticReport", [("patient", patient)], 200, cursor)
            for report in page.resources:
                for one in report.get("basedOn") or ():
                    found.setdefault(one.get("reference") or "", set()).add(str(report.get("status")))
            cursor = page.cursor
            if cursor is None:
                return found
