"""How far an order is, for those who placed it: an ORM^O01 status message made of a performed procedure step.

In: the Task of the step, its order and patient from the core store, the outbound maps. Out: the message, or
None where there is nothing to say. Follows IHE RAD TF-2 4.6: ORC-1 SC, ORC-5 IP, CM or DC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from engine.mapping.outbound.library import OutMaps
from engine.mapping.outbound.write import write_any
from engine.store.study_uids import UID_SYSTEM

__all__ = ["MAP", "order_of", "status_message"]

Json = Mapping[str, Any]
MAP = "ormstatus"
TOLD = frozenset({"completed", "failed", "in-progress"})


class Store(Protocol):
    """The core store."""

    def read(self, type: str, id: str) -> dict[str, Any] | None: ...


def order_of(task: Json) -> str:
    """Return the id of the order that a performed step is for; empty where it is for none, or for several."""
    said = [task.get("focus") or {}, *(task.get("basedOn") or ())]
    names = {str(one.get("reference") or "") for one in said}
    orders = {name.removeprefix("ServiceRequest/") for name in names if name.startswith("ServiceRequest/")}
    return orders.pop() if len(orders) == 1 else ""


def status_message(store: Store, maps: OutMaps, task_id: str, given: Mapping[str, str]) -> bytes | None:
    """Write the status message of a performed step; None where it has no order or no state to tell of.

    `given`: sender, receiver, control, now (and facility, receiverFacility). Raises Refused where the order
    lacks what the message demands.
    """
    task = store.read("Task", task_id)
    if task is None or task.get("status") not in TOLD:
        return None
    if all(one.get("system") != UID_SYSTEM for one in task.get("identifier") or ()):
        return None
    order = store.read("ServiceRequest", order_id) if (order_id := order_of(task)) else None
    if order is None:
        return None
    step = {**task, "focus": {"reference": f"ServiceRequest/{order['id']}"}}
    resources: list[Json] = [step, order]
    for reference in (order.get("subject"), order.get("encounter")):
        kind, _, id_ = str((reference or {}).get("reference") or "").partition("/")
        found = store.read(kind, id_) if id_ else None
        if found is not None:
            resources.append(found)
    return write_any(maps, MAP, resources, given)[0]
