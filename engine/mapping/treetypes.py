"""The types of elements in documents, by their names: what the usual map of an element is.

In: the last name of a path. Out: a datatype of the format (CDA: HL7 v3 Data Types R1; SCRIPT has none but
text), by which `CD_CodeableConcept` is found without being named. An attribute, or text, is `ST`.
"""

from __future__ import annotations

from engine.formats.xml.paths import Path

__all__ = ["type_of_path"]

_TYPES = {
    "II": "id setId templateId typeId",
    "CD": (
        "code value translation statusCode priorityCode routeCode targetSiteCode approachSiteCode methodCode "
        "interpretationCode confidentialityCode languageCode administrativeGenderCode maritalStatusCode "
        "religiousAffiliationCode raceCode ethnicGroupCode administrationUnitCode dischargeDispositionCode "
        "functionCode standardIndustryClassCode awarenessCode modeCode preferenceInd signatureCode "
        "formCode realmCode desc qualifier repeatNumber"
    ),
    "TS": "low high center birthTime time deceasedTime",
    "IVL_TS": "effectiveTime",
    "EN": "name",
    "AD": "addr",
    "TEL": "telecom reference",
    "PQ": "quantity doseQuantity rateQuantity maxDoseQuantity period numerator denominator width",
    "ED": "text originalText thumbnail",
}
_BY_NAME = {name: kind for kind, names in _TYPES.items() for name in names.split()}


def type_of_path(path: Path) -> str:
    """Return the datatype of what a path names; `ANY` where its name does not tell."""
    if path.attribute:
        return "ST"
    names = [s.name for s in path.steps if s.name not in ("..", ".")]
    return _BY_NAME.get(names[-1].rpartition(":")[2], "ANY") if names else "ANY"
