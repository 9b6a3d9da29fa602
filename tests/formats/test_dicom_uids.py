"""UIDs: what is offered first, what is storage, and study UIDs that are made."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.formats.dicom.uids import (
    STORAGE_CLASSES,
    TRANSFER_SYNTAXES,
    is_deflated,
    is_encapsulated,
    is_storage,
    is_uid,
    keyword_of,
    name_of,
    study_uid_of,
)
from tests.formats.dicom_samples import BIG, DEFLATED, EXPLICIT, IMPLICIT


def test_explicit_is_taken_before_compressed_before_implicit_before_big_endian() -> None:
    assert TRANSFER_SYNTAXES[0] == EXPLICIT
    assert TRANSFER_SYNTAXES[-1] == BIG
    place = TRANSFER_SYNTAXES.index
    compressed = [uid for uid in TRANSFER_SYNTAXES if is_encapsulated(uid)]
    assert len(compressed) > 25
    assert max(map(place, compressed)) < place(IMPLICIT) < place(DEFLATED) < place(BIG)
    # of JPEG, what loses nothing first
    assert place("1.2.840.10008.1.2.4.70") < place("1.2.840.10008.1.2.4.50")
    assert place("1.2.840.10008.1.2.4.90") < place("1.2.840.10008.1.2.4.91")
    assert place("1.2.840.10008.1.2.4.80") < place("1.2.840.10008.1.2.4.81")
    assert len(set(TRANSFER_SYNTAXES)) == len(TRANSFER_SYNTAXES)


@pytest.mark.parametrize(
    ("uid", "expected"),
    [
        ("1.2.840.10008.5.1.4.1.1.2", True),
        ("1.2.840.10008.5.1.4.1.1.6", True),  # ultrasound, retired
        ("1.2.840.10008.5.1.4.1.1.88.59", True),
        ("1.2.840.10008.5.1.4.1.1.66.7", True),
        ("1.2.840.10008.5.1.4.34.7", True),
        ("1.2.840.10008.1.1", False),
        ("1.2.840.10008.1.20.1", False),  # commitment
        ("1.2.840.10008.1.3.10", False),  # DICOMDIR
        ("1.2.840.10008.5.1.4.1.2.2.1", False),
        ("1.2.840.10008.5.1.4.1.1.200.4", False),  # a query
        ("1.2.840.10008.5.1.4.38.1", False),  # of no patient
        ("1.3.12.2.1107.5.9.1", False),  # private
    ],
)
def test_storage_classes(uid: str, expected: bool) -> None:
    assert is_storage(uid) is expected
    assert (uid in STORAGE_CLASSES) is expected


def test_all_that_pynetdicom_stores_is_stored() -> None:
    presentation = pytest.importorskip("pynetdicom.presentation")
    assert {c.abstract_syntax for c in presentation.AllStoragePresentationContexts} <= set(STORAGE_CLASSES)


def test_names() -> None:
    assert keyword_of("1.2.840.10008.5.1.4.1.1.2") == "CTImageStorage"
    assert keyword_of("1.2.840.10008.5.1.4.1.1.66.7") == "LabelMapSegmentationStorage"
    assert (keyword_of("1.2.3"), name_of("1.2.3")) == ("", "1.2.3")
    assert name_of(EXPLICIT) == "Explicit VR Little Endian"
    assert is_deflated(DEFLATED) and not is_deflated(EXPLICIT)


@given(st.binary())
def test_made_uids_are_uids_and_the_same_for_the_same(seed: bytes) -> None:
    uid = study_uid_of(seed)
    assert uid == study_uid_of(seed)
    assert uid.startswith("2.25.") and is_uid(uid)
    value = int(uid[5:])
    assert (value >> 76) & 0xF == 8 and (value >> 62) & 3 == 2 and value < 1 << 128


@pytest.mark.parametrize("text", ["", ".", "1.", "1..2", "01.2", "1.02", "1.a", "1.2 ", "1." + "2" * 63])
def test_what_is_no_uid(text: str) -> None:
    assert not is_uid(text)
