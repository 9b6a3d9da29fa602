"""A replay takes along all that came later on the same resources, or says why it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_project import Hub, make_project

from engine.channels import replay


def message(number: int) -> bytes:
    return (
        f"MSH|^~\\&|LIS|NORTH|HUB|CDR|202605011200{number:02d}-0500||ORU^R01^ORU_R01|R{number}|P|2.5.1\r"
        "PID|1||77^^^NORTH^MR||DOE^JO||19800101|F\r"
        "ORC|RE|P1^EHR|F1^LIS\r"
        "OBR|1|P1^EHR|F1^LIS|24320-4^Panel^LN|||20260501083000-0500\r"
        f"OBX|1|NM|2823-3^Potassium^LN||4.{number}|mmol/L|||||F\r"
    ).encode()


@pytest.fixture
def hub(tmp_path: Path) -> Hub:
    return Hub.open(make_project(tmp_path / "project"))


def test_a_replay_that_is_too_wide_is_parked_and_says_how_wide(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [hub.receive("lab_oru", message(number)) for number in range(1, 8)]
    hub.work()
    monkeypatch.setattr(replay, "MOST", 5)
    before = hub.store.head()
    asked = replay.ask_replay(hub.journal, entries[0], "a tester", "to see it")
    hub.work()
    outcome = hub.store.outcome(asked.id)
    assert outcome is not None
    assert (outcome.status, outcome.cause) == ("parked", "replay-too-wide")
    assert "6 later messages" in outcome.text
    assert "5 at most" in outcome.text
    assert hub.store.head() == before
    asked = replay.ask_replay(hub.journal, entries[1], "a tester", "to see it")
    hub.work()
    found = hub.store.outcome(asked.id)
    assert found is not None
    assert found.status == "done"
    hub.close()
