"""Synthetic works: what maps would have made of small messages."""

from __future__ import annotations

from functools import partial
from typing import Any

from engine.fhir.ids import keyed_uuid
from engine.kernel.message import Draft, Work
from engine.security.keys import Keyring

MRN = "urn:oid:2.999.1"
ORDER = "urn:oid:2.999.2"
LOINC = "http://loinc.org"

_KEYRING = Keyring.supplied(b"a secret of this test suite, and of nothing else")
_id = partial(keyed_uuid, partial(_KEYRING.mac16, "identity"))


def id_of(kind: str, system: str, value: str) -> str:
    """Return the id a map derives from a key."""
    return _id(kind, system, value)


def draft(kind: str, system: str, value: str, body: dict[str, Any], **more: Any) -> Draft:
    """Make a draft with one key."""
    more.setdefault("keys", ((system, value),))
    more.setdefault("map", f"PID_{kind}")
    name = more.pop("name", kind.lower())
    return Draft(name, kind, id_of(kind, system, value), {"resourceType": kind, **body}, **more)


def patient(mrn: str = "1", family: str = "Doe", born: str = "1980-01-01", **more: Any) -> Draft:
    """Make a Patient; `more` may hold `body` (further elements) and the draft's own fields."""
    body: dict[str, Any] = {"identifier": [{"system": MRN, "value": mrn}]}
    if family:
        body["name"] = [{"family": family, "given": ["Jo"]}]
    if born:
        body["birthDate"] = born
    return draft("Patient", MRN, mrn, body | more.pop("body", {}), **more)


def result(mrn: str = "1", order: str = "A", value: Any = 4, code: str = "2823-3", **more: Any) -> Draft:
    """Make an Observation about a patient of the same work."""
    body = {
        "status": "final",
        "code": {"coding": [{"system": LOINC, "code": code}, {"system": "urn:lab", "code": f"L{code}"}]},
        "subject": {"reference": f"Patient/{id_of('Patient', MRN, mrn)}"},
        "effectiveDateTime": "2026-05-01T10:00:00+02:00",
        "valueQuantity": {"value": value, "unit": "mmol/L"},
    }
    more.setdefault("map", "OBX_Observation")
    more.setdefault("name", f"result {order}")
    return draft("Observation", "urn:result", f"{order}|{code}", body | more.pop("body", {}), **more)


def work(entry: int, *drafts: Draft, **more: Any) -> Work:
    """Make a work; position = entry unless said."""
    more.setdefault("position", entry)
    more.setdefault("channel", "lab")
    more.setdefault("sender", "ACME")
    more.setdefault("lanes", (1,))
    more.setdefault("revision", "rev1")
    return Work(entry, drafts=list(drafts), **more)


def merge(retired: str, survivor: str) -> list[Draft]:
    """Make the two Patients of an ADT^A40."""
    old, new = (f"Patient/{id_of('Patient', MRN, mrn)}" for mrn in (retired, survivor))
    return [
        draft(
            "Patient",
            MRN,
            survivor,
            {
                "identifier": [{"system": MRN, "value": survivor}],
                "link": [{"other": {"reference": old}, "type": "replaces"}],
            },
            name="survivor",
        ),
        draft(
            "Patient",
            MRN,
            retired,
            {
                "identifier": [{"system": MRN, "value": retired}],
                "active": False,
                "link": [{"other": {"reference": new}, "type": "replaced-by"}],
            },
            name="retired",
            map="MRG_Patient",
        ),
    ]
