"""Deaths: what an A08 says of a death is stored, and only an explicit word takes it back."""

from __future__ import annotations

from typing import Any

import pytest
from safety_hub import Hub, adt, who

DATE = "20260502|Y"


def dead(rest: str) -> str:
    return who(rest="|" * 21 + rest)


def said(hub: Hub) -> dict[str, Any]:
    return {name: value for name, value in hub.patient("77").items() if name.startswith("deceased")}


@pytest.mark.parametrize("event", ["A08", "A31"])
@pytest.mark.parametrize("first", ["", "|Y", "20260501|Y"])
def test_an_update_that_says_a_known_patient_died_is_stored(hub: Hub, event: str, first: str) -> None:
    hub.adt(adt(event, dead(first)))
    hub.adt(adt(event, dead(DATE)))
    assert said(hub) == {"deceasedDateTime": "2026-05-02"}


def test_a_death_without_a_time_is_stored(hub: Hub) -> None:
    hub.adt(adt("A08", who()))
    hub.adt(adt("A08", dead("|Y")))
    assert said(hub) == {"deceasedBoolean": True}


@pytest.mark.parametrize("later", ["", "|Y"])
def test_silence_about_a_death_does_not_take_it_back(hub: Hub, later: str) -> None:
    hub.adt(adt("A08", dead(DATE)))
    hub.adt(adt("A08", dead(later)))
    assert said(hub) == {"deceasedDateTime": "2026-05-02"}


@pytest.mark.parametrize(("later", "left"), [("|N", {"deceasedBoolean": False}), ('""|""', {})])
def test_an_explicit_word_takes_a_death_back(hub: Hub, later: str, left: dict[str, Any]) -> None:
    hub.adt(adt("A08", dead(DATE)))
    hub.adt(adt("A08", dead(later)))
    assert said(hub) == left


@pytest.mark.parametrize("event", ["A08", "A31"])
def test_the_rank_of_a_twin_is_changed_by_a_snapshot(hub: Hub, event: str) -> None:
    hub.adt(adt(event, who(rest="|" * 16 + "Y")))
    hub.adt(adt(event, who(rest="|" * 16 + "Y|2")))
    assert hub.patient("77").get("multipleBirthInteger") == 2
