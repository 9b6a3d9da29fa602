"""The URIs of the code systems that releases are loaded for, and the short names people type for them.

FHIR R4 terminologies-systems.html and HL7 Terminology (THO) name them.
"""

from __future__ import annotations

__all__ = [
    "CARC",
    "CPT",
    "CVX",
    "HCPCS",
    "ICD9CM",
    "ICD10",
    "ICD10CM",
    "ICD10PCS",
    "LOINC",
    "MVX",
    "NDC",
    "RARC",
    "RXNORM",
    "SHORT",
    "SNOMED",
    "full",
    "short",
]

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
NDC = "http://hl7.org/fhir/sid/ndc"
CVX = "http://hl7.org/fhir/sid/cvx"
MVX = "http://hl7.org/fhir/sid/mvx"
CPT = "http://www.ama-assn.org/go/cpt"
HCPCS = "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
ICD9CM = "http://hl7.org/fhir/sid/icd-9-cm"
ICD10 = "http://hl7.org/fhir/sid/icd-10"
ICD10CM = "http://hl7.org/fhir/sid/icd-10-cm"
ICD10PCS = "http://www.cms.gov/Medicare/Coding/ICD10"
CARC = "https://x12.org/codes/claim-adjustment-reason-codes"
RARC = "https://x12.org/codes/remittance-advice-remark-codes"
SHORT = {
    "loinc": LOINC,
    "snomed": SNOMED,
    "rxnorm": RXNORM,
    "ndc": NDC,
    "cvx": CVX,
    "mvx": MVX,
    "cpt": CPT,
    "hcpcs": HCPCS,
    "icd-9-cm": ICD9CM,
    "icd-10": ICD10,
    "icd-10-cm": ICD10CM,
    "icd-10-pcs": ICD10PCS,
    "carc": CARC,
    "rarc": RARC,
}


def full(system: str) -> str:
    """Return the URI of a system that may be given by its short name."""
    return SHORT.get(system.lower(), system)


def short(system: str) -> str:
    """Return the short name of a system, or its URI where it has none."""
    return next((name for name, uri in SHORT.items() if uri == system), system)
