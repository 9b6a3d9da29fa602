"""Reads LOINC's axes out of LOINC's names, for `loinc_release.py`.

In: a LONG_COMMON_NAME ("Glucose [Mass/volume] in Serum or Plasma") and a SHORTNAME ("Glucose SerPl-mCnc").
Out: PROPERTY, TIME_ASPCT, SYSTEM and SCALE_TYP as LOINC abbreviates them (LOINC Users' Guide, appendix B),
each only where the words say it. Where the short name says it too and says something else, the script stops.
"""

from __future__ import annotations

import re

__all__ = ["axes"]

# words in brackets -> (PROPERTY, SCALE_TYP, what the short name must carry, if anything)
BRACKETS = {
    "mass/volume": ("MCnc", "Qn", "-mCnc"),
    "moles/volume": ("SCnc", "Qn", "-sCnc"),
    "enzymatic activity/volume": ("CCnc", "Qn", "-cCnc"),
    "units/volume": ("ACnc", "Qn", "-aCnc"),
    "#/volume": ("NCnc", "Qn", "#"),
    "#/area": ("Naric", "Qn", "#/area"),
    "presence": ("PrThr", "Ord", "Ql"),
    "volume fraction": ("VFr", "Qn", "VFr"),
    "mass fraction": ("MFr", "Qn", "MFr"),
    "molar fraction": ("SFr", "Qn", "SFr"),
    "entitic volume": ("EntVol", "Qn", ""),
    "entitic mass": ("EntMass", "Qn", ""),
    "partial pressure": ("PPres", "Qn", ""),
    "mass ratio": ("MRto", "Qn", ""),
    "molar ratio": ("SRto", "Qn", "-sRto"),
    "mass/time": ("MRat", "Qn", "-mRate"),
    "moles/time": ("SRat", "Qn", "-sRate"),
    "titer": ("Titr", "Qn", "Titr"),
    "identifier": ("Prid", "Nom", ""),
    "type": ("Type", "Nom", ""),
    "interpretation": ("Imp", "", ""),
    "ratio": ("Ratio", "Qn", ""),
}
# words after "in" or "of" -> (SYSTEM, how the short name writes it)
SYSTEMS = {
    "serum or plasma": ("Ser/Plas", "SerPl"),
    "serum, plasma or blood": ("Ser/Plas/Bld", "SerPl"),
    "serum": ("Ser", "Ser"),
    "plasma": ("Plas", "Plas"),
    "platelet poor plasma": ("PPP", "PPP"),
    "blood": ("Bld", "Bld"),
    "arterial blood": ("BldA", "BldA"),
    "venous blood": ("BldV", "BldV"),
    "urine sediment": ("Urine sed", "UrnS"),
    "urine": ("Urine", "Ur"),
    "cerebral spinal fluid": ("CSF", "CSF"),
    "body fluid": ("Body fld", "Fld"),
    "stool": ("Stool", "Stl"),
    "sputum": ("Sputum", "Spt"),
    "wound": ("Wound", "Wnd"),
    "red blood cells": ("RBC", "RBC"),
    "leukocytes": ("WBC", "WBC"),
}
CELLS = "WBC", "RBC"
SILENT = {"14196-0"}  # whose short name ("Retics #") leaves the specimen out
_SYSTEM = re.compile(
    r"(?:^| )(?:in|of) (?:24 hour |unspecified time )?([A-Z][A-Za-z ,]*?)(?= by | --|$| Automated)"
)


def axes(long_name: str, short: str, code: str) -> dict[str, str]:
    """Return the axes that both names allow. Raises ValueError when they contradict each other."""
    found: dict[str, str] = {}
    bracket = re.search(r"\[([^]]+)\]", long_name)
    known = BRACKETS.get(bracket[1].lower()) if bracket else None
    if known is None and re.search(r"\S/100 (leukocytes|erythrocytes|cells)\b", long_name) and not bracket:
        known = ("NFr", "Qn", "NFr")
    if known is not None:
        property_, scale, mark = known
        if short and mark and mark not in short and not short.endswith("IgE Qn"):
            raise ValueError(f"{code}: {long_name!r} is {property_}, but {short!r} has no {mark}")
        found["PROPERTY"] = property_
        if scale:
            found["SCALE_TYP"] = scale
    if known is not None or re.search(r"(by Coagulation assay|^pH |^Osmolality|^INR )", long_name):
        found["TIME_ASPCT"] = "24H" if "24 hour" in long_name else "Pt"
        found.setdefault("SCALE_TYP", "Qn" if not (known and known[0] == "Imp") else "")
    system = _SYSTEM.search(long_name)
    said = SYSTEMS.get(system[1].lower()) if system else None
    if said is not None:
        name, mark = said
        if (
            short
            and mark not in short
            and name not in CELLS
            and code not in SILENT
            and not re.search(r"Qn$|RBC", short)
        ):
            raise ValueError(f"{code}: {long_name!r} is of {name}, but {short!r} has no {mark}")
        found["SYSTEM"] = name
    return {key: value for key, value in found.items() if value}
