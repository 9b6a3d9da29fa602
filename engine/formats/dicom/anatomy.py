"""What body parts, sides and older codes are in SNOMED CT, as DICOM itself publishes it.

In: a defined term of Body Part Examined (PS3.16 table L-1), a laterality (PS3.3 C.7.3.1), a code of SNOMED RT
as older objects hold it (PS3.16 8.1, coding schemes SRT, SNM3 and 99SDM). Out: code and words of SNOMED CT,
from the dictionaries that pydicom carries, or nothing: a term that stands in no table is never guessed.
"""

from __future__ import annotations

from functools import cache

__all__ = ["body_part", "ct_of_rt", "side"]

_PARTS = {
    "ABDOMEN": "Abdomen",
    "ABDOMENPELVIS": "AbdomenAndPelvis",
    "ANKLE": "AnkleJoint",
    "AORTA": "Aorta",
    "AXILLA": "Axilla",
    "BACK": "Back",
    "BLADDER": "Bladder",
    "BRAIN": "Brain",
    "BREAST": "Breast",
    "BRONCHUS": "Bronchus",
    "BUTTOCK": "Buttock",
    "CALCANEUS": "Calcaneus",
    "CHEST": "Chest",
    "CHESTABDOMEN": "ChestAndAbdomen",
    "CHESTABDPELVIS": "ChestAbdomenAndPelvis",
    "CLAVICLE": "Clavicle",
    "COCCYX": "Coccyx",
    "COLON": "Colon",
    "CSPINE": "CervicalSpine",
    "EAR": "Ear",
    "ELBOW": "ElbowJoint",
    "EYE": "Eye",
    "FACE": "Face",
    "FEMUR": "Femur",
    "FINGER": "Finger",
    "FOOT": "Foot",
    "FOREARM": "Forearm",
    "GALLBLADDER": "Gallbladder",
    "HAND": "Hand",
    "HEAD": "Head",
    "HEADNECK": "HeadAndNeck",
    "HEART": "Heart",
    "HIP": "Hip",
    "HUMERUS": "Humerus",
    "KIDNEY": "Kidney",
    "KNEE": "Knee",
    "LIVER": "Liver",
    "LSPINE": "LumbarSpine",
    "LUNG": "Lung",
    "MEDIASTINUM": "Mediastinum",
    "NECK": "Neck",
    "NOSE": "Nose",
    "OVARY": "Ovary",
    "PANCREAS": "Pancreas",
    "PATELLA": "Patella",
    "PELVIS": "Pelvis",
    "PROSTATE": "Prostate",
    "RIB": "Rib",
    "SACRUM": "Sacrum",
    "SCAPULA": "Scapula",
    "SCROTUM": "Scrotum",
    "SHOULDER": "Shoulder",
    "SKULL": "Skull",
    "SPINE": "Spine",
    "SPLEEN": "Spleen",
    "SSPINE": "Sacrum",
    "STERNUM": "Sternum",
    "STOMACH": "Stomach",
    "TESTIS": "Testis",
    "THIGH": "Thigh",
    "THUMB": "Thumb",
    "THYROID": "Thyroid",
    "TOE": "Toe",
    "TSPINE": "ThoracicSpine",
    "UTERUS": "Uterus",
    "WRIST": "WristJoint",
}
"""Defined terms, and the keywords of the concepts that PS3.16 gives for them."""
_SIDES = {"R": "Right", "L": "Left", "B": "Bilateral"}
_RT = frozenset({"SRT", "SNM3", "99SDM"})


@cache
def _concept(keyword: str) -> tuple[str, str] | None:
    # here and not above: half a second and 80 MB, which every process and command would pay for
    from pydicom.sr import _concepts_dict

    found = _concepts_dict.concepts["SCT"].get(keyword)
    if found is None or len(found) != 1:  # several codes for one keyword: which one is meant is not said
        return None
    ((code, said),) = found.items()
    return str(code), str(said[0])


def body_part(term: str) -> tuple[str, str] | None:
    """Return (code, words) of a defined term of Body Part Examined."""
    keyword = _PARTS.get(term.strip().upper())
    return _concept(keyword) if keyword else None


def side(term: str) -> tuple[str, str] | None:
    """Return (code, words) of a laterality; none for U, unpaired."""
    keyword = _SIDES.get(term.strip().upper())
    return _concept(keyword) if keyword else None


def ct_of_rt(code: str, scheme: str) -> str:
    """Return the SNOMED CT code of a SNOMED RT one; empty where DICOM's tables have none."""
    if scheme not in _RT:
        return ""
    from pydicom.sr import _snomed_dict

    return str(_snomed_dict.mapping["SRT"].get(code, ""))
