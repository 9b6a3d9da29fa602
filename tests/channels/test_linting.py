"""What is wrong with a text that nobody has saved: line, column, rule and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.channels.linting import Spotted, lint
from engine.channels.trying import Changed, Desk
from engine.mapping.project import Maps

ROOT = Path(__file__).resolve().parents[2]
PID = "mappings/hl7v2/segments/PID_Patient.yaml"
OBX = "mappings/hl7v2/segments/OBX_Observation.yaml"
ACME = "mappings/sites/acme_lab.yaml"
ORU = "mappings/hl7v2/messages/ORU_R01.yaml"


@pytest.fixture(scope="module")
def live() -> Maps:
    return Maps.open(ROOT)


@pytest.fixture(scope="module")
def desk() -> Desk:
    return Desk()


def found(desk: Desk, live: Maps, path: str, was: str, now: str) -> list[Spotted]:
    before = (ROOT / path).read_text()
    assert was in before
    return lint(desk, live, Changed(unsaved=(path, before.replace(was, now, 1))))


@pytest.mark.parametrize("path", [PID, OBX, ACME, ORU, "channels/lab_oru.yaml"])
def test_what_ships_is_clean(desk: Desk, live: Maps, path: str) -> None:
    text = (ROOT / path).read_text() + "# a comment\n"
    assert [f for f in lint(desk, live, Changed(unsaved=(path, text))) if f.severity != "info"] == []


@pytest.mark.parametrize(
    ("path", "was", "now", "rule", "shown"),
    [
        (PID, "code: AdministrativeSex", "code: AdministrativeSecs", "M19", "AdministrativeSecs"),
        (PID, "  gender:", "  gander:", "M01", "gander"),
        (PID, "{from: PID-8,", "{from: PID-88,", "M02", "PID-88"),
        (ACME, "OBX_Observation:", "OBX_Observatio:", "M19", "OBX_Observatio"),
        (ORU, "PID_Patient", "PID_Patien", "M19", "PID_Patien"),
        ("channels/lab_oru.yaml", "channel:", "chanel:", "M21", "channel"),
        ("terminology/maps/AdministrativeSex.csv", "source_code", "code", "M21", "columns"),
    ],
)
def test_a_mistake_is_named_on_its_line(
    desk: Desk, live: Maps, path: str, was: str, now: str, rule: str, shown: str
) -> None:
    spotted = found(desk, live, path, was, now)
    assert spotted and spotted[0].severity == "error" and spotted[0].rule == rule, spotted
    assert shown in spotted[0].text
    text = (ROOT / path).read_text().replace(was, now, 1).splitlines()
    if now in text[spotted[0].line - 1] and shown in now:
        assert text[spotted[0].line - 1][spotted[0].column - 1 :].startswith(shown.split("(")[0])


def test_a_row_that_a_site_leaves_out_and_that_goes_is_told_with_the_site(desk: Desk, live: Maps) -> None:
    site = "site: small_lab\nchange:\n  PID_Patient:\n    gender: skip\n"
    draft = {"mappings/sites/small_lab.yaml": site}
    text = (ROOT / PID).read_text().replace("  gender: ", "  # gender: ", 1)
    spotted = lint(desk, live, Changed(draft, unsaved=(PID, text)))
    assert ("M11", "mappings/sites/small_lab.yaml:4") in [(f.rule, f.file) for f in spotted]
