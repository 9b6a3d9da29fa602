"""What unit, specimen and values say about a test, in LOINC's terms.

In: a unit in UCUM, a specimen as a sender writes it, sample values, words of a text. Out: the properties,
systems and scales a LOINC term may have with them. LOINC Users' Guide, "Kind of Property", "System" and
"Type of Scale"; HL7 tables 0070 and 0487 for specimens.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from engine.terminology import ucum

__all__ = ["DRAWN", "SYSTEMS", "WHOLE", "hints_in", "properties_of", "scale_of", "system_of", "systems_fit"]

_FRACTIONS = frozenset(
    {"NFr", "MFr", "VFr", "SFr", "CFr", "AFr", "RelTime", "RelMCnc", "RelCCnc", "Ratio", "MRto", "SatFr"}
)
# A unit of each kind -> what it is called, and the properties it measures
_KINDS: tuple[tuple[str, str, frozenset[str]], ...] = (
    ("g/L", "a mass concentration", frozenset({"MCnc"})),
    ("mol/L", "a substance concentration", frozenset({"SCnc"})),
    ("eq/L", "a substance concentration", frozenset({"SCnc"})),
    ("U/L", "an enzyme or arbitrary concentration", frozenset({"CCnc", "ACnc"})),
    ("[IU]/L", "an arbitrary or enzyme concentration", frozenset({"ACnc", "CCnc"})),
    ("[arb'U]/L", "an arbitrary concentration", frozenset({"ACnc"})),
    ("/L", "a number concentration", frozenset({"NCnc"})),
    ("%", "a fraction", _FRACTIONS),
    ("L", "a volume", frozenset({"EntVol", "Vol"})),
    ("g", "a mass", frozenset({"EntMass", "Mass"})),
    ("mm[Hg]", "a pressure", frozenset({"PPres", "Pres"})),
    ("s", "a time", frozenset({"Time"})),
    ("m/s", "a velocity", frozenset({"Vel"})),
    ("g/s", "a mass rate", frozenset({"MRat"})),
    ("mol/s", "a substance rate", frozenset({"SRat"})),
    ("osm/kg", "an osmolality", frozenset({"Osmol"})),
    ("osm/L", "an osmolality", frozenset({"Osmol"})),
    ("m3/s", "a volume rate", frozenset({"VRat", "ArVRat"})),
)
_FIELD = re.compile(r"\[(?:HPF|LPF)\]")
_PH = re.compile(r"(?i)\[?pH\]?")

WHOLE = "whole Bld"
"""Blood that is said to be tested as it is; blood alone may have become serum or plasma."""

# what senders write for a specimen -> LOINC's SYSTEM
_SPECIMENS = {
    **dict.fromkeys(("ser", "serum", "sera", "sst"), "Ser"),
    **dict.fromkeys(("plas", "plasma", "plr"), "Plas"),
    **dict.fromkeys(("ppp", "citrate plasma", "citrated plasma", "platelet poor plasma"), "PPP"),
    **dict.fromkeys(("serplas", "ser/plas", "serum/plasma", "serum or plasma"), "Ser/Plas"),
    **dict.fromkeys(("bld", "blood", "venous blood tube", "edta"), "Bld"),
    **dict.fromkeys(("whole blood", "wb"), WHOLE),
    **dict.fromkeys(("blda", "arterial blood", "arterial"), "BldA"),
    **dict.fromkeys(("bldv", "venous blood", "venous"), "BldV"),
    **dict.fromkeys(("bldc", "capillary blood", "capillary"), "BldC"),
    **dict.fromkeys(
        ("ur", "urine", "urn", "random urine", "rur", "urine, random", "24h urine", "uc"), "Urine"
    ),
    **dict.fromkeys(("urns", "urine sediment", "urine sed"), "Urine sed"),
    **dict.fromkeys(("csf", "cerebrospinal fluid", "cerebral spinal fluid", "spinal fluid"), "CSF"),
    **dict.fromkeys(("stl", "stool", "feces", "faeces", "fecal"), "Stool"),
    **dict.fromkeys(("fld", "fluid", "body fluid", "other body fluid"), "Body fld"),
    **dict.fromkeys(("spt", "sput", "sputum"), "Sputum"),
    **dict.fromkeys(("wnd", "wound"), "Wound"),
    **dict.fromkeys(("thrt", "throat"), "Throat"),
}
_IN_TEXT = {
    "urine": "Urine",
    "ur": "Urine",
    "urinary": "Urine",
    "csf": "CSF",
    "spinal": "CSF",
    "stool": "Stool",
    "fecal": "Stool",
    "feces": "Stool",
    "fluid": "Body fld",
    "serum": "Ser",
    "plasma": "Plas",
    "arterial": "BldA",
    "venous": "BldV",
    "sputum": "Sputum",
    "wound": "Wound",
    "urinalysis": "Urine",
    "semen": "Semen",
    "gastric": "Gast fld",
}
# what is drawn from a vein is called blood, and tested as serum, plasma or blood
_DRAWN = frozenset(
    {"Bld", "Ser/Plas", "Ser", "Plas", "PPP", "Ser/Plas/Bld", "BldV", "BldA", "BldC", "RBC", "WBC"}
)
_CLOTTED = frozenset({"Ser", "Plas", "PPP", "Ser/Plas", "Ser/Plas/Bld"})
DRAWN = ("Ser/Plas", "Bld", "Ser", "PPP")
"""The systems of most tests of what comes from a vein."""
SYSTEMS = (
    *DRAWN,
    "Plas",
    "BldA",
    "BldV",
    "BldC",
    "RBC",
    "Urine",
    "Urine sed",
    "CSF",
    "Stool",
    "Body fld",
    "Sputum",
)
"""The systems that terms are searched in by themselves."""
_NUMBER = re.compile(r"[<>]?=?\s*[-+]?\d+(?:[.,]\d+)?(?:\s*[-:]\s*\d+(?:[.,]\d+)?)?")


@lru_cache(maxsize=4096)
def properties_of(unit: str) -> tuple[str, frozenset[str]]:
    """Return what a UCUM unit measures, in words and as LOINC properties; empty where nobody can say."""
    if not unit or unit == "1":
        return "", frozenset()
    if _FIELD.search(unit):
        return "a number in a microscope's field", frozenset({"Naric"})
    if _PH.fullmatch(unit):
        return "an acidity", frozenset({"LsCnc", "pH"})
    if not ucum.is_unit(unit):
        return "", frozenset()
    dims = ucum.parse(unit).dims
    for example, said, properties in _KINDS:
        if ucum.parse(example).dims == dims and (dims or unit == "%"):
            return said, properties
    return "", frozenset()


def system_of(specimen: str) -> str:
    """Return LOINC's SYSTEM for a specimen as a sender writes it (code or words); empty = unknown."""
    text = " ".join(specimen.lower().replace("specimen", "").replace("sample", "").split())
    return _SPECIMENS.get(text, "")


def hints_in(given: Iterable[str]) -> str:
    """Return the SYSTEM that words of a name or a panel say; empty = none."""
    for word in given:
        if word in _IN_TEXT:
            return _IN_TEXT[word]
    return ""


def systems_fit(said: str, system: str) -> str:
    """Say how a term's SYSTEM stands to what is known of the specimen: same, may, no; empty = unknown."""
    if not said or not system:
        return ""
    if said == "Bld" and system in _DRAWN:
        return "may"
    if said == system or (said == "Urine" and system == "Urine sed"):
        return "same"
    if said == WHOLE:
        return "same" if system == "Bld" else "no"
    if said in ("Ser", "Plas", "Ser/Plas") and system in _CLOTTED:
        return "same" if system != "PPP" or said == "Plas" else "no"
    if said in ("BldV", "BldA", "BldC") and system == "Bld":
        return "may"
    return "no"


def scale_of(value_type: str, values: Iterable[str], unit: str) -> str:
    """Return Qn, Ord or Nar as far as OBX-2, sample values and unit tell; empty = unknown."""
    seen = [value.strip() for value in values if value.strip()]
    numbers = sum(1 for value in seen if _NUMBER.fullmatch(value))
    if seen and numbers * 2 >= len(seen):
        return "Qn"
    if seen:
        return "Nar" if sum(map(len, seen)) / len(seen) > 60 or value_type in ("TX", "FT") else "Ord"
    if value_type in ("NM", "SN") or (unit and properties_of(unit)[1]):
        return "Qn"
    return "Ord" if value_type in ("CE", "CWE", "CF", "CNE") else ""
