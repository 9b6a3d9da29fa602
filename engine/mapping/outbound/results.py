"""Results as HL7 v2 tells them: what of a report must be in its message, which parts of a result are
repetitions of one value, and which result of another report it was made from.

In: resources, and where each value of the message came from. Out: what was left behind, one line each. A
report never goes out without one of its results, a result never without its value, document or isolate. HL7
v2.5.1 ch. 7.4.1 (OBR-26, OBR-29), 7.4.2 (OBX).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from engine.mapping.outbound.resources import Node, Resources, child_nodes

__all__ = ["left_behind", "parents", "uniform"]


def uniform(components: list[Node], resources: Resources) -> list[Node]:
    """Say whether parts repeat the code of their whole with plain values of one type and unit."""
    if not components:
        return []
    whole = resources.holder(components[0])
    code = _codes(whole.value.get("code")) if whole is not None else set()
    forms = {_form(one.value) for one in components}
    same = bool(code) and all(_codes(one.value.get("code")) == code for one in components)
    return [Node(len(components) > 1 and same and len(forms) == 1 and None not in forms, "boolean", "")]


def _codes(concept: Any) -> set[tuple[str, str]]:
    found = (concept or {}).get("coding") or ()
    return {(str(c.get("system", "")), str(c.get("code", ""))) for c in found}


def _form(component: dict[str, Any]) -> tuple[str, str, str] | None:
    """Give what must be equal for values to share one OBX; None for what can not."""
    if set(component) - {"id", "code", "valueQuantity", "valueCodeableConcept", "referenceRange"}:
        return None
    if "valueCodeableConcept" in component:
        return ("CodeableConcept", "", "")
    quantity = component.get("valueQuantity")
    if quantity is None or "comparator" in quantity or "value" not in quantity:
        return None
    return ("Quantity", str(quantity.get("code", "")), str(quantity.get("unit", "")))


def parents(report: Node, resources: Resources) -> list[Node]:
    """Give the results of other reports that the results of this one were made from: their isolate."""
    own = {one.place for one in _results(report, resources)}
    found: dict[str, Node] = {}
    for result in _results(report, resources):
        for reference in child_nodes(result, "derivedFrom"):
            parent = resources.resolve(reference)
            if parent is not None and parent.kind == "Observation" and parent.place not in own:
                found[parent.place] = parent
    return list(found.values())


def left_behind(resources: Resources, values: Iterable[tuple[str, str]]) -> list[str]:
    """Name what of the reports is not in the message. `values`: (address, source) of each value written."""
    written: dict[str, list[str]] = {}
    for address, source in values:
        segment, _, field = address.partition("[")
        number = field.partition("-")[2].partition(".")[0].partition("(")[0]
        written.setdefault(f"{segment}-{number}", []).append(source)
    sent: set[str] = set()
    out: list[str] = []
    for report in (n for n in resources.nodes if n.kind == "DiagnosticReport"):
        for reference in child_nodes(report, "result"):
            if resources.resolve(reference) is None:
                out.append(f"{reference.place} is not here")
        results = _results(report, resources)
        sent |= {one.place for one in results}
        for one in results:
            out += _lacks_of(one, resources, written)
        for form in child_nodes(report, "presentedForm"):
            if not _document_in(form, written):
                out.append(f"{form.place} has neither data nor an address")
        out += _isolate(report, resources, written)
    return out + list(_alone(resources, sent))


def _results(report: Node, resources: Resources) -> list[Node]:
    """Give the results of a report, and the members of its panels."""
    found = [r for one in child_nodes(report, "result") if (r := resources.resolve(one)) is not None]
    members = [
        m
        for one in found
        for ref in child_nodes(one, "hasMember")
        if (m := resources.resolve(ref)) is not None
    ]
    return list({one.place: one for one in (*found, *members) if one.kind == "Observation"}.values())


def _has(written: dict[str, list[str]], field: str, place: str) -> bool:
    return any(
        source.startswith(place) and source[len(place) : len(place) + 1] in ("", ".", "[")
        for source in written.get(field, ())
    )


def _lacks_of(result: Node, resources: Resources, written: dict[str, list[str]]) -> Iterator[str]:
    for field in ("OBX-3", "OBX-11"):
        if not _has(written, field, result.place):
            yield f"{field} has no value for {result.place}"
    for name in result.value:
        if name.startswith("value") and not _has(written, "OBX-5", f"{result.place}.{name}"):
            yield f"OBX-5 has no value for {result.place}.{name}"
    for part in child_nodes(result, "component"):
        valued = any(name.startswith("value") for name in part.value)
        if valued and not _has(written, "OBX-5", part.place):
            yield f"OBX-5 has no value for {part.place}"
    for reference in child_nodes(result, "derivedFrom"):
        if str(reference.value.get("reference", "")).startswith("DocumentReference/"):
            document = resources.resolve(reference)
            contents = child_nodes(document, "content") if document is not None else []
            forms = [form for one in contents for form in child_nodes(one, "attachment")]
            there = bool(forms) and all(_document_in(form, written) for form in forms)
            if not there and result.value.get("status") not in ("entered-in-error", "cancelled"):
                yield f"OBX-5 has no document for {result.place}"


def _document_in(form: Node, written: dict[str, list[str]]) -> bool:
    """Say whether a document is in the message, or where it is."""
    return any(_has(written, "OBX-5", f"{form.place}.{name}") for name in ("data", "url"))


def _isolate(report: Node, resources: Resources, written: dict[str, list[str]]) -> Iterator[str]:
    """Name the isolate that a report's results speak of and that is unknown, or one of several."""
    for result in _results(report, resources):
        for reference in child_nodes(result, "derivedFrom"):
            named = reference.value.get("type") == "Observation" or str(
                reference.value.get("reference", "")
            ).startswith("Observation/")
            if named and resources.resolve(reference) is None:
                yield f"{reference.place}: the result it was made from is not known"
    found = parents(report, resources)
    if len(found) > 1:
        yield f"{report.place}: its results were made from {len(found)} others, and OBR-26 names one"
    elif found and not _has(written, "OBR-26", found[0].place):
        yield f"OBR-26 has no value for {report.place}"


def _alone(resources: Resources, sent: set[str]) -> Iterator[str]:
    """Name results that are in no report, and that nothing here refers to."""
    for one in (n for n in resources.nodes if n.kind == "Observation" and n.place not in sent):
        if not any(resources.referrers(one, kind) for kind in ("Observation", "ServiceRequest")):
            yield f"{one.place} is in no report"
