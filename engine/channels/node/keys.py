"""What keeps entries of one patient, and of one study, in order: the journal's ordering keys of DICOM.

In: a dataset. Out: keys; a patient's is the same that HL7 messages with this number and authority have
(`NORTH|77`), so that a study never overtakes its order or a merge of its patient.
"""

from __future__ import annotations

from typing import Any

from engine.formats.dicom.values import items_of, text_of

__all__ = ["order_keys", "study_key"]

_LONGEST = 250


def study_key(uid: str) -> str:
    """Return the key of a study."""
    return f"study|{uid}"


def order_keys(dataset: Any, issuer: str = "") -> tuple[str, ...]:
    """Return the keys of a dataset; `issuer` stands in where it names none."""
    keys = []
    number = text_of(dataset, "PatientID")
    authority = text_of(dataset, "IssuerOfPatientID") or issuer
    if number and authority and len(number) <= _LONGEST:
        keys.append(f"{authority}|{number}")
    said = (dataset, *items_of(dataset, "ScheduledStepAttributesSequence"))
    keys += [study_key(uid) for one in said if (uid := text_of(one, "StudyInstanceUID"))]
    return tuple(dict.fromkeys(keys))
