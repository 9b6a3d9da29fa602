"""`hub parse` and `hub render` for CDA: by content, files among others, refusals named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.parse import parse_paths
from engine.cli.render import render_file

SAMPLES = Path(__file__).parents[2] / "sample_messages"


def test_documents_are_parsed_by_content_and_written_back(
    tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    source = tmp_path / "in"
    source.mkdir()
    ccd = (SAMPLES / "cda" / "ccd.xml").read_bytes()
    (source / "a.txt").write_bytes(ccd)
    (source / "b.hl7").write_bytes((SAMPLES / "lab" / "oru_potassium.hl7").read_bytes())
    (source / "c.xml").write_bytes(b'<Patient xmlns="http://hl7.org/fhir"/>')  # in a folder: not asked for
    assert parse_paths([source], tmp_path / "out") == 0
    trees = json.loads(capfdbinary.readouterr().out)
    assert [(Path(t["file"]).name, t.get("format", "")) for t in trees] == [("a.txt", "cda"), ("b.hl7", "")]
    assert trees[0]["identical"] and trees[0]["document_type"] == "34133-9"
    assert (tmp_path / "out" / "a.txt").read_bytes() == ccd


def test_xml_that_is_no_document_is_named(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    bad, good = tmp_path / "bad.xml", SAMPLES / "cda" / "c32.xml"
    bad.write_bytes(b'<!DOCTYPE a><ClinicalDocument xmlns="urn:hl7-org:v3"/>')
    assert parse_paths([bad, good]) == 1
    said = capfdbinary.readouterr()
    assert str(bad).encode() in said.err and b"DOCTYPE" in said.err
    assert [t["guide"] for t in json.loads(said.out)] == ["C32"]


def test_a_document_is_rendered(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    page = tmp_path / "page.html"
    assert render_file(SAMPLES / "cda" / "ccd.xml", page) == 0
    assert b"Continuity of Care Document" in page.read_bytes()
    assert render_file(SAMPLES / "cda" / "ccd.xml") == 0
    assert capfdbinary.readouterr().out == page.read_bytes()


def test_what_cannot_be_rendered_is_named(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    bad = tmp_path / "bad.xml"
    bad.write_bytes(b"MSH|")
    assert render_file(bad) == 1 and render_file(tmp_path / "none.xml") == 1
    assert str(bad).encode() in capfdbinary.readouterr().err
