"""Completion: what is offered where the cursor stands, however unfinished the text is."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.mapping.cursor import cursor_at
from engine.mapping.mapwords import ROW_WORDS, SITE_WORDS
from engine.mapping.offers import offers
from engine.mapping.project import Maps
from engine.mapping.read import WORDS
from engine.mapping.sites import SITE_WORDS as KNOWN_SITE_WORDS

ROOT = Path(__file__).resolve().parents[2]
PID = "mappings/hl7v2/segments/PID_Patient.yaml"
ORU = "mappings/hl7v2/messages/ORU_R01.yaml"
SITE = "mappings/sites/new_lab.yaml"
HEAD = "map: PID_Patient\nfrom: PID\nto: Patient\nrows:\n"
CHANGE = "site: new_lab\nover: standard\nchange:\n"


@pytest.fixture(scope="module")
def maps() -> Maps:
    return Maps.open(ROOT)


def spot(text: str) -> tuple[str, int, int]:
    """Return the text without its ^^, and where that stood."""
    at = text.index("^^")
    return text.replace("^^", "", 1), text[:at].count("\n") + 1, at - (text[:at].rfind("\n") + 1)


@pytest.mark.parametrize(
    ("text", "path", "key", "word"),
    [
        ("rows:\n  na^^", ("rows",), "", "na"),
        ("rows:\n  name: {from: PID-5, as: XP^^", ("rows", "name"), "as", "XP"),
        ("rows:\n  name: {from: PID-5, a^^", ("rows", "name"), "", "a"),
        ("rows:\n  a:\n    b: 1\n  gender:\n    from: PID-^^", ("rows", "gender"), "from", "PID-"),
        ("rows:\n  s: {by: MSH-9.2, A01: {va^^", ("rows", "s", "A01"), "", "va"),
        ("tests:\n  - name: x\n    ou^^", ("tests",), "", "ou"),
        ("rows:\n  x: [PID-3, PI^^", ("rows",), "x", "PI"),
        ("rows:\n  telecom(ho^^", ("rows",), "", "telecom(ho"),
        ('rows:\n  "a: b": {when: PID-3 valued and PI^^', ("rows", "a: b"), "when", "PI"),
    ],
)
def test_the_keys_around_a_cursor(text: str, path: tuple[str, ...], key: str, word: str) -> None:
    at = cursor_at(*spot(text))
    assert (at.path, at.key, at.word) == (path, key, word)


def test_nothing_is_offered_in_a_comment(maps: Maps) -> None:
    assert offers(maps, PID, *spot(HEAD + "  gender: PID-8   # PID^^"))[1] == []


@pytest.mark.parametrize(
    ("path", "text", "label", "detail"),
    [
        (PID, HEAD + "  na^^", "name", "A name associated with the patient"),
        (PID, HEAD + "  name(legal):\n    us^^", "use", "usual | official"),
        (PID, HEAD + "  name(legal):\n    wh^^", "when", "only if"),
        (PID, HEAD + "  name(legal): PID-5^^", "PID-5", "Patient Name, XPN"),
        (PID, HEAD + "  name(legal).family: PID-5.^^", "PID-5.1", "Family Name"),
        (PID, HEAD + "  gender: PV1-^^", "PV1-2", "Patient Class"),
        (PID, HEAD + "  gender: =^^", "=female", "constant"),
        (PID, HEAD + "  maritalStatus: =v3-MaritalStatus#^^", "=v3-MaritalStatus#D", "Divorced"),
        (PID, HEAD + "  gender: {from: PID-8, code: Admin^^", "AdministrativeSex", "table"),
        (PID, HEAD + "  name: {from: PID-5, as: XPN^^", "XPN_HumanName", "XPN -> HumanName"),
        (PID, HEAD + "  name: {from: PID-5, unmapped: ^^", "hold", ""),
        (PID, HEAD + "  gender: {from: PID-8, when: PID-3 ^^", "not valued", "nothing was sent"),
        (PID, "ig^^", "ignore", "fields"),
        (SITE, "ti^^", "timezone", "America/Chicago"),
        (SITE, "over: us^^", "us_core", "layer"),
        (SITE, CHANGE + "  PID_P^^", "PID_Patient", "PID -> Patient"),
        (SITE, CHANGE + "  PID_Patient:\n    na^^", "name(legal)", "row of standard"),
        (SITE, CHANGE + "  PID_Patient:\n    gender: {from: PID-1^^", "PID-16", "Marital Status"),
        (ORU, "map: ORU_R01\nresources:\n  patient:\n    rows: [PID_^^", "PID_Patient", "PID -> Patient"),
        (ORU, "map: ORU_R01\nresources:\n  patient:\n    p^^", "per", "once for every"),
    ],
)
def test_what_is_offered(maps: Maps, path: str, text: str, label: str, detail: str) -> None:
    found = {o.label: o.detail for o in offers(maps, path, *spot(text))[1]}
    assert label in found and detail in found[label], sorted(found)[:20]


def test_the_column_is_where_the_word_began(maps: Maps) -> None:
    assert offers(maps, PID, *spot(HEAD + "  gender: {from: PID-^^"))[0] == len("  gender: {from: ")


def test_every_word_of_the_language_is_explained() -> None:
    assert WORDS - {"systems"} == ROW_WORDS.keys()
    assert KNOWN_SITE_WORDS - {"format"} == SITE_WORDS.keys()
