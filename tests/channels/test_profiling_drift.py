"""What is said of a sender since its contract was signed, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sender_samples import BEGIN, MINUTE, ORU, Lab

from engine.channels.profiling.contract import as_profile, freeze, snapshot
from engine.channels.profiling.drift import stopped
from engine.formats.hl7v2.profile import check, read_profile
from engine.kernel.errors import HubError


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab.open(tmp_path)
    made.send(60)
    made.read()
    yield made
    made.close()


def test_nothing_is_said_while_nothing_changes(lab: Lab) -> None:
    assert lab.drift() == []
    assert freeze(lab.staff.senders, lab.id, "mroy", "agreed on the phone") == 1
    lab.send(40)
    assert lab.drift() == []


def test_a_field_that_stopped_is_said_with_when_it_was_last_seen(lab: Lab) -> None:
    freeze(lab.staff.senders, lab.id, "mroy", "")
    lab.send(10)
    lab.send(1, lambda m: m.replace("20260504090000-0500\r", "\r"))
    assert lab.drift() == []  # one message may do without
    lab.send(9, lambda m: m.replace("20260504090000-0500\r", "\r"))
    (found,) = lab.drift()
    assert (found.kind, found.place, found.types) == ("field stopped", "PV1-44", ("ORU^R01",))
    assert (found.when, found.entry) == (BEGIN + 70 * MINUTE, 70)
    assert lab.staff.senders.lines()[0].drift == 1


@pytest.mark.parametrize(
    ("edit", "kind", "place"),
    [
        (lambda m: m.replace("PV1|", "ZV1|"), "segment stopped", "PV1"),
        (lambda m: m + "ZLK|rerun\r", "new segment", "ZLK"),
        (lambda m: m.replace("|19800102|F", "|19800102|F||||||||||ACC9"), "new field", "PID-18"),
        (lambda m: m.replace("K^Potassium", "ZTOP^Zinc"), "new codes", "OBX-3.1"),
        (lambda m: m.replace("|1||MRN", "|1||MRN0000"), "longer", "PID-3.1"),
        (lambda m: m.replace("^MR|", "^MR~1^^^BROOK^MR|"), "repeats", "PID-3"),
        (lambda m: m.replace("||4.", "||<4."), "new kind of data", "OBX-5"),
        (lambda m: m.replace("|19800102|", '|""|'), "new kind of data", "PID-7"),
        (lambda m: m.replace("|2.5.1", "|2.6"), "new version", "MSH-12"),
        (lambda m: m.replace("R01^ORU_R01", "R32^ORU_R30"), "new message type", "MSH-9"),
        (lambda m: m.replace("\r", "\n"), "new line end", ""),
        (lambda m: m.replace("-0500", ""), "no time zone", ""),
        (lambda m: m.replace("Ada", "A\\a"), "new quirk", "PID-5"),
    ],
)
def test_what_is_new_is_said(lab: Lab, edit: Callable[[str], str], kind: str, place: str) -> None:
    freeze(lab.staff.senders, lab.id, "mroy", "")
    lab.send(20, edit)
    assert (kind, place) in {(d.kind, d.place) for d in lab.drift()}


def test_a_new_code_is_a_value_and_stands_in_no_text(lab: Lab) -> None:
    freeze(lab.staff.senders, lab.id, "mroy", "")
    lab.send(2, lambda m: m.replace("K^Potassium", "ZTOP^Zinc"))
    (found,) = [d for d in lab.drift() if d.kind == "new codes"]
    assert found.values == ("ZTOP^Zinc^L",)
    assert "ZTOP" not in found.text and "ZTOP" not in repr(found)
    assert found.entry == 61


def test_what_is_below_something_new_is_said_once(lab: Lab) -> None:
    freeze(lab.staff.senders, lab.id, "mroy", "")
    lab.send(5, lambda m: m + "NK1|1|Quillfeather^Max|SPO^Spouse^HL70063\r")
    assert [(d.kind, d.place) for d in lab.drift()] == [("new segment", "NK1")]


def test_signing_again_begins_anew_and_keeps_what_was_signed(lab: Lab) -> None:
    senders = lab.staff.senders
    freeze(senders, lab.id, "mroy", "first")
    lab.send(20, lambda m: m.replace("K^Potassium", "ZTOP^Zinc"))
    assert lab.drift()
    assert freeze(senders, lab.id, "jlee", "after the LIS upgrade") == 2
    assert lab.drift() == []
    assert [(c.version, c.who, c.note) for c in senders.contracts(lab.id)] == [
        (2, "jlee", "after the LIS upgrade"),
        (1, "mroy", "first"),
    ]
    line = senders.line(lab.id)
    assert line is not None and (line.drift, line.version, line.signed_by) == (0, 2, "jlee")


@pytest.mark.parametrize(
    ("had", "of", "since", "gone"),
    [(60, 60, 4, False), (60, 60, 5, True), (30, 60, 10, False), (30, 60, 21, True), (1, 60, 100, False)],
)
def test_chance_is_ruled_out_first(had: int, of: int, since: int, gone: bool) -> None:
    assert stopped(had, of, since) is gone


def test_a_sender_that_is_not_known_cannot_be_signed(lab: Lab) -> None:
    with pytest.raises(HubError, match="no such sender"):
        freeze(lab.staff.senders, "0" * 20, "mroy", "")


def test_the_profile_written_holds_for_what_was_seen_alone(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "glasslab.yaml"
    path.write_text(as_profile(snapshot(lab.staff.senders, lab.id), "Glass Lab"))
    profile = read_profile(path)
    assert (profile.name, profile.types) == ("glass_lab", ("ORU^R01",))
    assert check(profile, ORU.format(n=7).encode()) == []
    codes = {rule.place: rule.codes for rule in profile.fields}
    assert codes["OBX-3.1"] == {"K"} and not codes["PID-5.1"]
    wrong = ORU.format(n=7).replace("K^Pot", "Q^Pot").replace("|19800102|", "||")
    assert {p.location for p in check(profile, wrong.encode())} >= {"OBX[1]-3[1].1", "PID[1]-7"}
