"""The UIDs of DICOM that a node must know: transfer syntaxes in the order it takes them, storage SOP
classes.

In: the registry of PS3.6 A as pydicom carries it. Out: tuples and yes-or-no answers. The order of the
transfer syntaxes is the acceptor's choice (PS3.8 7.1.1.14): what keeps VRs and compression comes first,
what has been retired last.
"""

from __future__ import annotations

import hashlib
import re

from pydicom.uid import UID_dictionary

__all__ = [
    "BIG_ENDIAN",
    "DEFLATED",
    "EXPLICIT",
    "IMPLEMENTATION_UID",
    "IMPLEMENTATION_VERSION",
    "IMPLICIT",
    "PRIVATE_CREATOR",
    "STORAGE_CLASSES",
    "TRANSFER_SYNTAXES",
    "is_deflated",
    "is_encapsulated",
    "is_storage",
    "is_uid",
    "keyword_of",
    "name_of",
    "study_uid_of",
]

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"

PRIVATE_CREATOR = "1.2.826.0.1.3680043.10.1462.1"
IMPLEMENTATION_UID = "1.2.826.0.1.3680043.10.1462.1.1"
IMPLEMENTATION_VERSION = "HUB_1"

_DEFLATING = frozenset((DEFLATED, "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"))
_NATIVE = frozenset((IMPLICIT, EXPLICIT, BIG_ENDIAN)) | _DEFLATING
# not of datasets over an association: MIME and XML encodings (retired), streams of SMPTE ST 2110, Papyrus
_NOT_STORED = ("1.2.840.10008.1.2.6.", "1.2.840.10008.1.2.7.", "1.2.840.10008.1.20")

# PS3.4 GG: objects that belong to no patient, so to no study
_OF_NO_PATIENT = (
    "1.2.840.10008.5.1.4.38.",
    "1.2.840.10008.5.1.4.39.",
    "1.2.840.10008.5.1.4.43.",
    "1.2.840.10008.5.1.4.44.",
    "1.2.840.10008.5.1.4.45.",
    "1.2.840.10008.5.1.4.1.1.200.1",
    "1.2.840.10008.5.1.4.1.1.200.3",
    "1.2.840.10008.5.1.4.1.1.200.7",
    "1.2.840.10008.5.1.4.1.1.201.",
)

# of later editions than the registry pydicom carries
_NEWER = {
    "1.2.840.10008.5.1.4.1.1.66.7": "LabelMapSegmentationStorage",
    "1.2.840.10008.5.1.4.1.1.66.8": "HeightMapSegmentationStorage",
    "1.2.840.10008.5.1.4.1.1.9.100.1": "WaveformPresentationStateStorage",
    "1.2.840.10008.5.1.4.1.1.9.100.2": "WaveformAcquisitionPresentationStateStorage",
}


def _without_loss(name: str) -> bool:
    return ("Lossless" in name and "Near-Lossless" not in name) or "Uncompressed" in name


def _transfer_syntaxes() -> tuple[str, ...]:
    known = [
        uid
        for uid, row in UID_dictionary.items()
        if row[1] == "Transfer Syntax" and not uid.startswith(_NOT_STORED)
    ]
    retired = {uid for uid in known if UID_dictionary[uid][3] == "Retired"}
    compressed = [uid for uid in known if uid not in _NATIVE]
    # where an object could come either way: as it was, before with a loss
    compressed.sort(key=lambda uid: not _without_loss(UID_dictionary[uid][0]))
    last = [uid for uid in known if uid in _DEFLATING]
    return (
        EXPLICIT,
        *(uid for uid in compressed if uid not in retired),
        *(uid for uid in compressed if uid in retired),
        IMPLICIT,
        *last,
        BIG_ENDIAN,
    )


def _is_storage_row(uid: str, name: str) -> bool:
    if uid.startswith(_OF_NO_PATIENT):
        return False
    if uid.startswith("1.2.840.10008.5.1.4.1.1."):
        return not name.endswith((" - FIND", " - MOVE", " - GET"))
    return "Storage" in name and uid.startswith("1.2.840.10008.5.1.") and "Commitment" not in name


TRANSFER_SYNTAXES = _transfer_syntaxes()
STORAGE_CLASSES: tuple[str, ...] = (
    *(uid for uid, row in UID_dictionary.items() if row[1] == "SOP Class" and _is_storage_row(uid, row[0])),
    *_NEWER,
)
_STORAGE = frozenset(STORAGE_CLASSES)
_UID = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")


def is_storage(uid: str) -> bool:
    """Say whether a SOP class is one that the standard lists for storing objects of a patient."""
    return uid in _STORAGE


def is_uid(text: str) -> bool:
    """Say whether a text is a UID as PS3.5 9.1 has it."""
    return len(text) <= 64 and _UID.fullmatch(text) is not None


def is_deflated(transfer_syntax: str) -> bool:
    """Say whether the dataset itself is deflated (PS3.5 A.5)."""
    return transfer_syntax in _DEFLATING


def is_encapsulated(transfer_syntax: str) -> bool:
    """Say whether pixel data is in fragments (PS3.5 A.4): all but the native ones, unknown ones too."""
    return transfer_syntax not in _NATIVE


def keyword_of(uid: str) -> str:
    """Return the keyword of a UID of the registry, e.g. `CTImageStorage`; "" for others."""
    row = UID_dictionary.get(uid)
    return row[4] if row else _NEWER.get(uid, "")


def name_of(uid: str) -> str:
    """Return the name of a UID of the registry, or the UID itself."""
    row = UID_dictionary.get(uid)
    return (row[0] or uid) if row else uid


def study_uid_of(seed: bytes) -> str:
    """Make a UID of the UUID arc (PS3.5 B.2) from bytes: the same bytes give the same UID."""
    value = int.from_bytes(hashlib.sha256(seed).digest()[:16], "big")
    # bits of a UUID of version 8 (RFC 9562 5.8): made by the maker's own rule
    value = value & ~(0xF << 76) | 0x8 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    return f"2.25.{value}"
