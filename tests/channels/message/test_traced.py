"""A click on a value says where it went, a click on an element where it came from, and who wrote the row."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hub_project import HERE, Hub

from engine.channels.message.blame import who_wrote
from engine.channels.message.traced import Trace, Traces, same_place
from engine.kernel.errors import HubError


@pytest.fixture(scope="module")
def trace(seen: Hub) -> Trace:
    entry = seen.journal.get(seen.entries["lab/oru_potassium"])
    outcome = seen.store.outcome(seen.entries["lab/oru_potassium"])
    assert entry is not None and outcome is not None
    return Traces().of(entry, seen.worker.pipeline.maps, seen.channels, seen.keyring.mac16, outcome.revision)


def test_a_value_reaches_elements_by_rows_of_files(seen: Hub, trace: Trace) -> None:
    assert trace.same_revision
    reached, nowhere = trace.from_("OBX[1]-5[1].1")
    assert nowhere == []
    value = next(r for r in reached if r.path == "valueQuantity.value")
    written = {f"{k}/{i}" for k, i, *_ in seen.store.written_by(seen.entries["lab/oru_potassium"])}
    assert value.resource in written
    line = (HERE / value.file).read_text().splitlines()[value.line - 1]
    assert line.strip() and value.layer


def test_a_field_answers_for_all_that_is_in_it(trace: Trace) -> None:
    reached, _ = trace.from_("PID[1]-5")
    assert {"name[0].family", "name[0].given[0]"} <= {r.path for r in reached}
    assert len(trace.from_("PID[1]")[0]) > len(reached)
    assert trace.from_("PID[1]-55") == ([], [])


def test_what_went_nowhere_says_why(trace: Trace) -> None:
    reached, (one,) = trace.from_("MSH[1]-3[1].1")
    assert reached == [] and one.state == "ignored" and "MessageHeader" in one.why


def test_an_element_comes_from_locations(trace: Trace) -> None:
    reached, _ = trace.from_("OBX[1]-5[1].1")
    value = next(r for r in reached if r.path == "valueQuantity.value")
    sources = trace.of(f"{value.resource}.valueQuantity.value")
    assert [s.location for s in sources] == ["OBX[1]-5[1].1"]
    whole = {s.location for s in trace.of(value.resource)}
    assert "OBX[1]-5[1].1" in whole and len(whole) > 5
    assert trace.of("Observation/none.status") == []


def test_another_revision_says_so(seen: Hub) -> None:
    entry = seen.journal.get(seen.entries["lab/oru_potassium"])
    assert entry is not None
    made = Traces().of(entry, seen.worker.pipeline.maps, seen.channels, seen.keyring.mac16, "other")
    assert not made.same_revision


def test_what_was_not_mapped_has_no_lineage(seen: Hub) -> None:
    for name in ("garbage", "refused"):
        entry = seen.journal.get(seen.entries[name])
        assert entry is not None
        with pytest.raises(HubError, match="was not mapped"):
            Traces().of(entry, seen.worker.pipeline.maps, seen.channels, seen.keyring.mac16, "")


@pytest.mark.parametrize(
    ("location", "wanted", "same"),
    [
        ("OBX[3]-5[1].1", "OBX[3]-5[1].1", True),
        ("OBX[3]-5[1].1", "OBX[3]-5", True),
        ("OBX[3]-5[1].1", "OBX[3]", True),
        ("OBX[3]-51[1].1", "OBX[3]-5", False),
        ("OBX[31]-5[1].1", "OBX[3]", False),
        ("/ClinicalDocument/id[1]/@root", "/ClinicalDocument/id[1]", True),
        ("/ClinicalDocument/idx[1]", "/ClinicalDocument/id", False),
        ("PID[1]-3[1].1", "", False),
    ],
)
def test_a_place_in_a_place(location: str, wanted: str, same: bool) -> None:
    assert same_place(location, wanted) is same


def git(root: Path, *words: str) -> None:
    who = ["-c", "user.name=J Lee", "-c", "user.email=jlee@hospital.example", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", str(root), *who, *words], check=True, capture_output=True)


def test_a_row_names_who_wrote_it(tmp_path: Path) -> None:
    (tmp_path / "mappings").mkdir()
    file = tmp_path / "mappings" / "PID_Patient.yaml"
    file.write_text("one: 1\ntwo: 2\n")
    assert who_wrote(tmp_path, "mappings/PID_Patient.yaml", 2) is None  # no repository
    git(tmp_path, "init", "-q")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-qm", "Two is two")
    found = who_wrote(tmp_path, "mappings/PID_Patient.yaml", 2)
    assert found is not None and (found.who, found.summary) == ("J Lee", "Two is two")
    assert len(found.commit) == 12 and found.at > 0
    file.write_text("one: 1\ntwo: 3\n")
    changed = who_wrote(tmp_path, "mappings/PID_Patient.yaml", 2)
    assert changed is not None and (changed.commit, changed.summary) == ("", "not committed")
    for file_name, line in (
        ("../outside.yaml", 1),
        ("mappings/none.yaml", 1),
        ("mappings/PID_Patient.yaml", 0),
    ):
        assert who_wrote(tmp_path, file_name, line) is None
