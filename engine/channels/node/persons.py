"""People and places of FHIR as DICOM writes them: names, numbers, issuers.

In: resources of the core store. Out: values of PN (PS3.5 6.2.1), LO and sequences of issuers (PS3.3 10.14).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

__all__ = ["SEXES", "issuer_item", "name_of", "patient_numbers", "universal"]

Json = Mapping[str, Any]
SEXES = {"male": "M", "female": "F", "other": "O"}
_OID = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch


def name_of(resource: Json) -> str:
    """Return the name of a person as PN: family, given, middle, prefix, suffix; the official name first."""
    names = [n for n in resource.get("name") or () if isinstance(n, Mapping)]
    names.sort(
        key=lambda n: (
            ("official", "usual", None).index(n.get("use"))
            if n.get("use") in ("official", "usual", None)
            else 3
        )
    )
    for one in names:
        given = [_plain(part) for part in one.get("given") or ()]
        parts = [
            _plain(one.get("family", "")),
            given[0] if given else "",
            " ".join(given[1:]),
            " ".join(_plain(part) for part in one.get("prefix") or ()),
            " ".join(_plain(part) for part in one.get("suffix") or ()),
        ]
        if any(parts):
            return "^".join(parts).rstrip("^")
        if one.get("text"):
            return _plain(one["text"])
    return ""


def _plain(text: Any) -> str:
    """Take out of a part of a name what separates parts in DICOM."""
    return " ".join(str(text).replace("^", " ").replace("=", " ").replace("\\", " ").split())


def patient_numbers(patient: Json, issuer: str) -> list[Json]:
    """Return the numbers of a patient, first the one modalities go by: `issuer`'s, else a record's."""

    def rank(one: Json) -> int:
        codes = {c.get("code") for c in (one.get("type") or {}).get("coding") or ()}
        mine = bool(issuer) and issuer in (one.get("system"), (one.get("assigner") or {}).get("display"))
        return 0 if mine else 1 if "MR" in codes else 2 if "PI" in codes else 3 if not codes else 4

    found = [one for one in patient.get("identifier") or () if one.get("value") and one.get("use") != "old"]
    return sorted(found, key=rank)


def universal(system: str) -> tuple[str, str]:
    """Return a system as universal entity ID and its type (PS3.3 10.14)."""
    if _OID(system):
        return system.removeprefix("urn:oid:"), "ISO"
    if system.startswith("urn:uuid:"):
        return system.removeprefix("urn:uuid:"), "UUID"
    return (system, "URI") if system else ("", "")


def issuer_item(name: str, system: str) -> Any:
    """Return the items of a sequence that says who issued a number: one, or none where nobody knows."""
    entity, kind = universal(system)
    if not (name or entity):
        return Sequence()
    item = Dataset()
    if name:
        item.LocalNamespaceEntityID = name[:64]
    if entity:
        item.UniversalEntityID, item.UniversalEntityIDType = entity, kind
    return Sequence([item])
