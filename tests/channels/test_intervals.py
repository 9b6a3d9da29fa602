"""Of a series of measurements one an interval is stored, in whatever order they come; nothing is lost, and a
replay gives the same."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

import pytest
from hub_project import Hub, make_project, shipped_maps

from engine.channels.asking import read_query
from engine.channels.finding import Finder
from engine.channels.replay import ask_replay
from engine.kernel.message import Outcome
from engine.mapping.derived import derived
from engine.store.intervals import LEFT_OUT, left_out

CHANNELS = {
    "plain": "  - {every: 15 minutes}\n",
    "steps": "  - {loinc: 8867-4, every: 15 minutes, change: 10 /min}\n",
    "finer": "  - {every: 1 minute}\n",
    "all": "",
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    root = make_project(tmp_path_factory.mktemp("intervals") / "project")
    for name, lines in CHANNELS.items():
        text = f"channel: {name}\nsteps: [{{map: PCD_ORU_R01}}]\n" + (
            f"downsample:\n{lines}" if lines else ""
        )
        (root / "channels" / f"{name}.yaml").write_text(text)
    made = Hub.open(root, derived(shipped_maps(), {}, root))
    yield made
    made.close()


class Bed:
    """One patient's monitor, which sends one value a message."""

    def __init__(self, hub: Hub, patient: str, channel: str = "plain") -> None:
        self.hub, self.patient, self.channel, self.sent = hub, patient, channel, 0

    def message(self, *values: tuple[str, object], status: str = "R", flag: str = "") -> bytes:
        self.sent += 1
        lines = [
            f"MSH|^~\\&|GATE|ICU|HUB|MERCY|20260501120000-0500||ORU^R01^ORU_R01|{self.patient}-{self.sent}|P|2.6",
            f"PID|1||{self.patient}^^^NORTH^MR||DOE^JO||19800101|F",
            "OBR|1|M1^GATE|M1^GATE|182777000^monitoring of patient^SCT|||20260501100000-0500",
            "OBX|1||69965^MDC_DEV_MON_PHYSIO_MULTI_PARAM_MDS^MDC|1.0.0.0|||||||X|||||||A1^^A1^EUI-64",
        ]
        lines += [
            f"OBX|{n}|NM|147842^MDC_ECG_HEART_RATE^MDC|1.1.1.1|{value}|264864^MDC_DIM_BEAT_PER_MIN^MDC||{flag}"
            f"|||{status}|||20260501{at}-0500"
            for n, (at, value) in enumerate(values, 2)
        ]
        return ("\r".join(lines) + "\r").encode()

    def send(self, at: str, value: object = 80, *, status: str = "R", flag: str = "") -> Outcome:
        return self.take(self.message((at, value), status=status, flag=flag))

    def take(self, body: bytes) -> Outcome:
        entry = self.hub.receive(self.channel, body)
        self.hub.work()
        return self.outcome(entry)

    def outcome(self, entry: int) -> Outcome:
        found = self.hub.store.outcome(entry)
        assert found is not None and found.status == "done", found
        return found

    def replay(self, entry: int) -> Outcome:
        asked = ask_replay(self.hub.journal, entry, "a tester", "to see it")
        self.hub.work()
        return self.outcome(asked.id)

    def stored(self) -> dict[str, float]:
        """Time of day -> value, of what counts."""
        patient = self.hub.store.search("Patient", [("identifier", self.patient)]).resources
        if not patient:
            return {}
        asked = [("patient", f"Patient/{patient[0]['id']}")]
        found = self.hub.store.search("Observation", asked, 200).resources
        return {
            one["effectiveDateTime"][11:19]: float(one["valueQuantity"]["value"])
            for one in found
            if one["status"] != "entered-in-error"
        }


def test_one_an_interval_and_the_rest_named(hub: Hub) -> None:
    bed = Bed(hub, "B1")
    before = hub.worker.tally.downsampled
    assert left_out(bed.send("100000", 80).flags) == 0
    second = bed.send("100100", 90)
    (flag,) = [one for one in second.flags if one.code == LEFT_OUT]
    assert (flag.code, flag.where, flag.work) == (LEFT_OUT, "Observation[0]", False)
    assert "one value in 15 minutes is kept (channels/plain.yaml:4)" in flag.text
    assert left_out(second.flags) == 1
    bed.send("101500", 91)
    assert bed.stored() == {"10:00:00": 80, "10:15:00": 91}
    assert hub.worker.tally.downsampled == before + 1
    entry = hub.journal.read(second.entry - 1, 1)[0]
    assert b"|90|" in entry.body  # the journal has it


def test_found_by_what_was_left_out(hub: Hub) -> None:
    bed = Bed(hub, "B2")
    bed.send("100000")
    left = bed.send("100100").entry
    asked = read_query("downsampled:any channel:plain code:147842", datetime.now())
    found = {hit.entry for hit in Finder(hub.journal, hub.store).find(asked).hits}
    assert left in found and left - 1 not in found


def test_what_comes_late(hub: Hub) -> None:
    bed = Bed(hub, "B3")
    bed.send("100500", 80)
    assert left_out(bed.send("100100", 81).flags) == 1  # its interval is taken, by whatever came first
    assert left_out(bed.send("094400", 70).flags) == 0  # nothing stands for its own yet
    assert bed.stored() == {"10:05:00": 80, "09:44:00": 70}


def test_the_same_again_and_corrections(hub: Hub) -> None:
    bed = Bed(hub, "B4")
    bed.send("100000", 80)
    bed.send("100100", 81)
    again = bed.send("100000", 80)
    assert (again.written, left_out(again.flags)) == (0, 0)
    assert left_out(bed.send("100100", 81).flags) == 1
    corrected = bed.send("100000", 82)  # what is stored is reached by what is sent anew
    assert corrected.written == 1 and bed.stored() == {"10:00:00": 82}
    assert bed.send("100100", 83, status="C").written == 1  # never left out
    assert bed.stored() == {"10:00:00": 82, "10:01:00": 83}


def test_abnormal_values_are_kept(hub: Hub) -> None:
    bed = Bed(hub, "B5")
    for minute, flag in enumerate(["", "", "HH", "H", "N"]):
        bed.send(f"100{minute}00", 80 + minute, flag=flag)
    assert bed.stored() == {"10:00:00": 80, "10:02:00": 82, "10:03:00": 83}


def test_nothing_is_left_out_for_what_is_taken_back(hub: Hub) -> None:
    bed = Bed(hub, "B6")
    bed.send("100000", 800)
    left = bed.send("100100", 80)
    back = bed.send("100000", 800, status="W")
    assert "interval-empty" in [flag.code for flag in back.flags if flag.work]
    assert bed.stored() == {}
    assert not any(flag.work for flag in bed.send("100000", 800, status="W").flags)  # told once
    assert left_out(bed.replay(left.entry).flags) == 0
    assert bed.stored() == {"10:01:00": 80}
    bed.send("100200", 81)  # the interval stays without one that all others could be left out for
    assert bed.stored() == {"10:01:00": 80, "10:02:00": 81}


def test_nothing_near_is_left_out_for_what_is_corrected(hub: Hub) -> None:
    bed = Bed(hub, "B6C", "steps")
    bed.send("100000", 82)
    left = bed.send("100100", 83)
    assert left_out(left.flags) == 1
    back = bed.send("100000", 135, status="C")
    assert "interval-empty" in [flag.code for flag in back.flags if flag.work]
    assert not any(flag.work for flag in bed.send("100000", 136, status="C").flags)  # told once
    bed.send("100200", 84)
    bed.replay(left.entry)
    assert bed.stored() == {"10:00:00": 136, "10:01:00": 83, "10:02:00": 84}


def test_nothing_near_is_left_out_for_what_says_something_else_since(hub: Hub) -> None:
    bed = Bed(hub, "B6E", "steps")
    bed.send("100000", 82)
    assert left_out(bed.send("100100", 83).flags) == 1
    assert not any(flag.work for flag in bed.send("100000", 82).flags)
    again = bed.send("100000", 135)  # the same measurement, and nobody calls it a correction
    assert "interval-empty" in [flag.code for flag in again.flags if flag.work]
    assert left_out(bed.send("100200", 84).flags) == 0
    assert bed.stored() == {"10:00:00": 135, "10:02:00": 84}


def test_a_corrected_value_still_stands_where_any_value_does(hub: Hub) -> None:
    bed = Bed(hub, "B6D")
    bed.send("100000", 82)
    assert not any(flag.work for flag in bed.send("100000", 135, status="C").flags)
    assert left_out(bed.send("100200", 83).flags) == 1


def test_a_replay_gives_the_same(hub: Hub) -> None:
    bed = Bed(hub, "B7")
    entries = [bed.send(at, value).entry for at, value in (("100000", 80), ("100100", 81), ("101500", 82))]
    before = bed.stored()
    for entry in (*entries, *reversed(entries)):
        again = bed.replay(entry)
        assert left_out(again.flags) == (entry == entries[1]), entry
        assert again.written == 0
    assert bed.stored() == before == {"10:00:00": 80, "10:15:00": 82}


def test_of_one_message_the_first_by_its_own_time(hub: Hub) -> None:
    bed = Bed(hub, "B8")
    outcome = bed.take(bed.message(("100900", 89), ("100300", 83), ("102000", 90), ("100500", 85)))
    assert left_out(outcome.flags) == 2
    assert bed.stored() == {"10:03:00": 83, "10:20:00": 90}
    again = bed.replay(outcome.entry)
    assert (again.written, left_out(again.flags)) == (0, 2)


def test_another_rule_brings_back_what_the_journal_has(hub: Hub) -> None:
    bed = Bed(hub, "B9")
    entries = [bed.send(f"100{minute}00", 80 + minute).entry for minute in range(4)]
    assert len(bed.stored()) == 1
    channels = hub.worker.pipeline.channels
    before = dict(channels)
    try:
        channels["plain"] = channels["finer"]
        for entry in entries[:2]:
            bed.replay(entry)
        assert bed.stored() == {"10:00:00": 80, "10:01:00": 81}
        channels["plain"] = channels["all"]
        for entry in entries:
            bed.replay(entry)
        assert len(bed.stored()) == 4
        channels["plain"] = before["plain"]
        for entry in entries:
            assert left_out(bed.replay(entry).flags) == 0  # what is stored stays
        assert len(bed.stored()) == 4
    finally:
        channels.update(before)


@pytest.mark.parametrize("seed", range(3))
def test_in_any_order_every_value_left_out_is_near_one_that_is_stored(hub: Hub, seed: int) -> None:
    dice = random.Random(seed)
    values = {f"10{minute:02d}00": dice.randint(60, 99) for minute in range(0, 45, 2)}
    bed = Bed(hub, f"S{seed}", "steps")
    order = list(values)
    dice.shuffle(order)
    for at in order:
        hub.receive("steps", bed.message((at, values[at])))
    hub.work()
    stored = {at.replace(":", ""): value for at, value in bed.stored().items()}
    steps = {(int(at[2:4]) // 15, value // 10) for at, value in values.items()}
    assert {(int(at[2:4]) // 15, value // 10) for at, value in stored.items()} == steps
    assert len(stored) == len(steps) < len(values)
    for at, value in values.items():
        near = [v for t, v in stored.items() if int(t[2:4]) // 15 == int(at[2:4]) // 15]
        assert any(abs(v - value) < 10 for v in near), at


def test_patients_of_the_same_device_do_not_share_an_interval(hub: Hub) -> None:
    one, other = Bed(hub, "P1"), Bed(hub, "P2")
    one.send("100000", 80)
    assert left_out(other.send("100100", 90).flags) == 0
    assert other.stored() == {"10:01:00": 90}


def test_results_of_a_laboratory_are_never_left_out(hub: Hub) -> None:
    channels = hub.worker.pipeline.channels
    before = channels["lab_oru"]
    channels["lab_oru"] = replace(before, downsample=channels["plain"].downsample)
    try:
        for number in ("1", "2"):  # two orders of one minute
            entry = hub.take(
                "lab_oru", "lab/oru_potassium", {"LAB0001": f"LABX{number}", "LAB1^": f"LABX{number}^"}
            )
            outcome = hub.store.outcome(entry)
            assert outcome is not None and left_out(outcome.flags) == 0
            assert any(kind == "Observation" for kind, *_ in hub.store.written_by(entry))
    finally:
        channels["lab_oru"] = before
