"""A document mapped piece by piece is the document mapped at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.cli.convertlong import Refused, convert_long
from engine.fhir import jsonio
from engine.formats.cda.document import parse
from engine.mapping import from_cda, pieces
from engine.mapping.convert import trace_arrived, trace_pieces
from engine.mapping.project import Maps
from engine.mapping.treearrived import cda_arrived

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = sorted(
    p for p in (ROOT / "sample_messages/cda").rglob("*.xml") if b"<structuredBody" in p.read_bytes()
)


@pytest.fixture(scope="module")
def maps() -> Maps:
    return Maps.open(ROOT)


def _bodies(drafts: list[Any]) -> dict[str, Any]:
    return {d.id: {"resourceType": d.type, **d.body} for d in drafts}


def _where(mapped: list[Any]) -> set[tuple[str, str]]:
    return {(m.source, re.sub(r"^(\w+)\[\d+\]", r"\1", m.target)) for m in mapped}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda p: p.stem)
def test_pieces_give_what_the_whole_gives(sample: Path, maps: Maps, monkeypatch: pytest.MonkeyPatch) -> None:
    cda = maps.of("cda")
    data = sample.read_bytes()
    whole = trace_arrived(cda_arrived(parse(data)), cda, "standard", "k")
    monkeypatch.setattr(from_cda, "FEW", 1)
    monkeypatch.setattr(pieces, "ENTRIES", 1)
    _, revision, parts = trace_pieces(parse(data), cda, "standard", "k")
    made = list(parts)
    assert revision == whole.revision and len(made) >= 2
    drafts = [d for part in made for d in part.built.drafts]
    assert len({d.id for d in drafts}) == len(drafts)
    want, have = _bodies(whole.built.drafts), _bodies(drafts)
    again = {
        d.id for part in made for d in part.built.drafts if d.keys and d.keys[0][0].startswith("urn:hub:nth")
    }
    assert have.keys() - again == want.keys()  # said again, and differently, in another piece: kept apart
    for key in want:
        if any(other in str(have[key]) for other in again):  # it refers to one of these
            continue
        assert jsonio.dumps(have[key]) == jsonio.dumps(want[key]) or have[key] == want[key]
    mapped = [m for part in made for m in part.report.mapped]
    unmapped = [u for part in made for u in part.report.unmapped]
    assert {m.source for m in mapped} | {u.source for u in unmapped} == {
        *(m.source for m in whole.report.mapped),
        *(u.source for u in whole.report.unmapped),
    }
    if again:
        return
    assert {m.source for m in mapped} == {m.source for m in whole.report.mapped}
    # what a later piece reads of the header again is told where the header first went
    assert {w for w in _where(mapped) if "/entry[" in w[0]} == {
        w for w in _where(whole.report.mapped) if "/entry[" in w[0]
    }


def test_a_long_document_is_written_as_it_is_made(
    tmp_path: Path, maps: Maps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(from_cda, "FEW", 1)
    monkeypatch.setattr(pieces, "ENTRIES", 1)
    data = (ROOT / "sample_messages/cda/ccd.xml").read_bytes()
    convert_long(data, maps, "", tmp_path / "a.json", tmp_path / "a.report.json")
    bundle = jsonio.loads((tmp_path / "a.json").read_bytes())
    report = orjson.loads((tmp_path / "a.report.json").read_bytes())
    whole = trace_arrived(cda_arrived(parse(data)), maps.of("cda"), "standard", "k")
    assert len(bundle["entry"]) == len(whole.built.drafts)
    assert len({e["fullUrl"] for e in bundle["entry"]}) == len(bundle["entry"])
    assert report["source_format"] == "cda" and report["errors"] == []
    for m in report["mapped"]:
        kind, n = re.match(r"(\w+)\[(\d+)\]", m["target"]).groups()  # type: ignore[union-attr]
        assert [e for e in bundle["entry"] if e["resource"]["resourceType"] == kind][int(n) :]


def test_a_long_document_that_cannot_be_read_is_refused(tmp_path: Path, maps: Maps) -> None:
    data = (ROOT / "sample_messages/cda/ccd.xml").read_bytes()[:-200]
    with pytest.raises(Refused):
        convert_long(data, maps, "", tmp_path / "a.json", tmp_path / "a.report.json")
    assert not (tmp_path / "a.json").exists()
    assert orjson.loads((tmp_path / "a.report.json").read_bytes())["errors"]
