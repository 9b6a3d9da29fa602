"""Studies that belong to nobody for certain: a person says whose they are, and which order they answer.

In: a study, a patient or an order of the core store, who says so and why. Out: a binding that holds before
every rule, an audit row, and a study that is told again. Nothing is guessed: an order of another patient, an
ambiguous number, an unknown study are refused.
"""

from __future__ import annotations

from typing import Any, Protocol

from engine.kernel.errors import HubError
from engine.kernel.imaging import HeldInstance, HeldStudy
from engine.store.audit import Access

__all__ = ["bind", "reports_of", "unbind"]


DOCUMENTS = "1.2.840.10008.5.1.4.1.1.88."
"""SOP classes of structured reports and key object selections (PS3.6 A)."""


class Bound(Protocol):
    """Where bindings are kept (`engine.imaging`)."""

    def study(self, uid: str) -> HeldStudy | None: ...
    def bind(self, uid: str, patient_id: str, order_id: str, who: str, why: str, at: int) -> None: ...
    def unbind(self, uid: str) -> None: ...
    def touch(self, uid: str) -> None: ...


class Holds(Protocol):
    """What is held (`engine.imaging`)."""

    def instances(self, study: str = "") -> list[HeldInstance]: ...


class Store(Protocol):
    """The core store."""

    @property
    def audit(self) -> Any: ...
    def read(self, type: str, id: str) -> dict[str, Any] | None: ...
    def search(self, type: str, parameters: Any, count: int = 50) -> Any: ...


def bind(
    store: Store, index: Bound, uid: str, *, patient: str, order: str, who: str, why: str, at: int
) -> tuple[str, str]:
    """Bind a study by hand; return (Patient id, ServiceRequest id or empty). Raises HubError.

    `patient` and `order` are ids of the core store or `system|value`; one of them may be empty.
    """
    if not why.strip():
        raise HubError("a binding needs a reason", where="--why", remedy="say how you know whose study it is")
    if index.study(uid) is None:
        raise HubError("no such study is held", where=uid, remedy="hub dicom studies lists them")
    request = _one(store, "ServiceRequest", order) if order else None
    person = _one(store, "Patient", patient) if patient else None
    if request is not None:
        whose = str((request.get("subject") or {}).get("reference") or "")
        if person is None:
            person = _one(store, "Patient", whose.removeprefix("Patient/")) if whose else None
        elif whose != f"Patient/{person['id']}":
            raise HubError(
                "the order is another patient's",
                where=f"ServiceRequest/{request['id']}",
                remedy="name the patient of the order, or leave --order away",
            )
    if person is None:
        raise HubError("nobody is named", where=uid, remedy="name --patient or --order")
    order_id = str(request["id"]) if request is not None else ""
    store.audit.record(Access(who, "imaging:bind", f"Patient/{person['id']}", f"{uid} {order_id} {why}"))
    index.bind(uid, str(person["id"]), order_id, who, why, at)
    index.touch(uid)
    return str(person["id"]), order_id


def reports_of(index: Holds, uid: str) -> list[int]:
    """Return the journal entries of a study's reports and key objects: each is filed by its own number.

    A binding moves the study; whoever binds it must look at these.
    """
    return [one.entry for one in index.instances(study=uid) if one.sop_class.startswith(DOCUMENTS)]


def unbind(store: Store, index: Bound, uid: str, *, who: str, why: str) -> None:
    """Take a binding back: the rules decide again. Raises HubError."""
    if not why.strip():
        raise HubError("it needs a reason", where="--why", remedy="say why the binding was wrong")
    if index.study(uid) is None:
        raise HubError("no such study is held", where=uid, remedy="hub dicom studies lists them")
    store.audit.record(Access(who, "imaging:unbind", "study", f"{uid} {why}"))
    index.unbind(uid)
    index.touch(uid)


def _one(store: Store, kind: str, named: str) -> dict[str, Any]:
    """Return the one resource that is meant, by id or by `system|value`."""
    if "|" not in named:
        found = store.read(kind, named)
        if found is None:
            raise HubError(f"there is no {kind} with this id", where=f"{kind}/{named}")
        return found
    page = store.search(kind, [("identifier", named)], count=2)
    active = [r for r in page.resources if not _retired(r)]
    if len(active) != 1:
        raise HubError(
            f"{'no' if not active else 'more than one'} {kind} has this number",
            where=kind,
            remedy="name its id in the core store",
        )
    one: dict[str, Any] = active[0]
    return one


def _retired(resource: dict[str, Any]) -> bool:
    return any(link.get("type") == "replaced-by" for link in resource.get("link") or ())
