"""Whose message it is: one patient's, or of a merge that of pairs of numbers of one person.

In: the resources to be written and the trigger event. Out: nothing, or why they must not share a message.
A merge is told as a merge (A40 and its older forms) and as nothing else: two Patients in any other message
refuse it. HL7 v2.5.1 ch. 3.3.40, R4 Patient.link.
"""

from __future__ import annotations

from typing import Any

from engine.mapping.outbound.resources import Node, Resources, child_nodes

__all__ = ["MERGES", "is_given_up", "not_one_patient", "not_pairs"]

MERGES = frozenset({"A18", "A30", "A34", "A39", "A40", "A47"})
"""Trigger events by which one patient number is given up for another."""


def not_one_patient(source: Any) -> list[str]:
    """Say why resources are not of one patient: they must never share a document."""
    resources = Resources.of(source)
    patients = [n for n in resources.nodes if n.kind == "Patient"]
    if len(patients) != 1:
        return [f"there are {len(patients)} Patients"]
    return _others(resources, {patients[0].place})


def not_pairs(source: Any) -> list[str]:
    """Say why resources are not pairs of a number given up and the one that stays."""
    resources = Resources.of(source)
    patients = {n.place: n for n in resources.nodes if n.kind == "Patient"}
    given_up = {place: survivor for place, n in patients.items() if (survivor := _survivor(n, resources))}
    if not given_up:
        return ["no Patient says by which other one it is replaced (link replaced-by)"]
    alone = sorted(set(patients) - set(given_up) - set(given_up.values()))
    if alone:
        return [f"{place} is of no pair of the merge" for place in alone]
    chain = sorted(set(given_up) & set(given_up.values()))
    if chain:
        return [f"{place} is given up, and another one is to be merged into it" for place in chain]
    shared = [
        f"{place} has a number that {survivor} has, too: it would be merged into itself"
        for place, survivor in given_up.items()
        if _numbers(patients[place]) & _numbers(patients[survivor])
    ]
    return shared or _others(resources, set(patients))


def is_given_up(patient: Node) -> bool:
    """Say whether a Patient was replaced by another one."""
    return any(link.value.get("type") == "replaced-by" for link in child_nodes(patient, "link"))


def _survivor(patient: Node, resources: Resources) -> str:
    """Give the place of the Patient that a Patient is replaced by, where it is here; else nothing."""
    for link in child_nodes(patient, "link"):
        if link.value.get("type") == "replaced-by":
            for other in child_nodes(link, "other"):
                found = resources.resolve(other)
                if found is not None and found.place != patient.place:
                    return found.place
    return ""


def _numbers(patient: Node) -> set[tuple[str, str]]:
    """Give the medical record numbers of a Patient, each with its authority."""
    found = set()
    for one in child_nodes(patient, "identifier"):
        kinds = {
            coding.value.get("code") for t in child_nodes(one, "type") for coding in child_nodes(t, "coding")
        }
        if "MR" in kinds and one.value.get("use") != "old":
            found.add((str(one.value.get("system")), str(one.value.get("value"))))
    return found


def _others(resources: Resources, patients: set[str]) -> list[str]:
    """Name what refers to another patient."""
    other = []
    for node in resources.nodes:
        for name in ("subject", "patient"):
            reference = node.value.get(name)
            if node.kind not in ("Patient", "RelatedPerson") and isinstance(reference, dict):
                found = resources.resolve(Node(reference, "Reference", f"{node.place}.{name}"))
                if found is None or found.place not in patients:
                    other.append(f"{node.place}.{name} is not {' or '.join(sorted(patients))}")
    return other
