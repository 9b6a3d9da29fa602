"""Who looked at this patient: over a merge in both directions, by records, messages, numbers and names."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hub_project import Hub, make_project

from engine.channels.lookedat import looked_at, subject_of
from engine.store.audit import Access, Wanted

PID = "PID|1||{number}^^^HOSP^MR||{name}||19610704|F\r"
ADT = "MSH|^~\\&|ADT|HOSP|EHR|HOSP|{at}||ADT^{event}|C{at}|P|2.5.1\rEVN||{at}\r{rest}"


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A hub that knows two numbers of one patient, merged, and a stranger of the same name."""
    hub = Hub.open(make_project(tmp_path_factory.mktemp("looked") / "project"))
    people = (("A100", "TESTERMANN^QUIRINA"), ("B200", "TESTERMANN^Q"), ("C300", "TESTERMANN^ODO"))
    for n, (number, name) in enumerate(people):
        rest = PID.format(number=number, name=name) + "PV1|1|N\r"
        hub.receive("adt", ADT.format(at=20260501101000 + n, event="A28^ADT_A05", rest=rest).encode())
    rest = PID.format(number="A100", name="TESTERMANN^QUIRINA") + "MRG|B200^^^HOSP^MR\r"
    hub.receive("adt", ADT.format(at=20260501102000, event="A40^ADT_A39", rest=rest).encode())
    hub.work()
    yield hub
    hub.close()


def number_of(hub: Hub, number: str) -> str:
    (found,) = hub.store.search("Patient", [("identifier", number)], 5).resources
    return str(found["id"])


def found(hub: Hub, word: str, wanted: Wanted = Wanted()) -> dict[str, str]:
    page = looked_at(hub.store, subject_of(hub.store, word), wanted=wanted)
    return {row.who: how for row, how in page.rows}


@pytest.fixture(scope="module")
def looked(hub: Hub) -> Hub:
    ids = {n: subject_of(hub.store, n).patients for n in ("A100", "B200", "C300")}
    assert set(ids["A100"]) == set(ids["B200"]) and len(ids["A100"]) == 2 and len(ids["C300"]) == 1
    retired = next(i for i in ids["A100"] if (hub.store.read("Patient", i) or {}).get("active") is False)
    survivor = next(i for i in ids["A100"] if i != retired)
    merge = hub.store.find("patient", "B200")[0]
    hub.store.audit.record(
        Access("before", "fhir:read", f"Patient/{retired}", "200"),
        Access("after", "fhir:vread", f"Patient/{survivor}/_history/1", "200"),
        Access("message", "msg:open", f"entry/{merge}"),
        Access("old-number", "console:find", "messages", "B200 found 0:"),
        Access("namesake", "console:find", "messages", "testermann found 3:"),
        Access("other", "fhir:read", f"Patient/{ids['C300'][0]}", "200"),
        Access("feed", "feed:read", "feed", "200 since 0 next 3 changes 3"),
    )
    return hub


@pytest.mark.parametrize("word", ["A100", "B200"])
def test_a_merge_is_followed_both_ways(looked: Hub, word: str) -> None:
    assert found(looked, word) == {
        "before": "record",
        "after": "record",
        "message": "record",
        "old-number": "number",
        "namesake": "name",
    }


def test_another_of_the_same_name_is_another(looked: Hub) -> None:
    assert found(looked, "C300") == {"other": "record", "namesake": "name"}


def test_by_id_and_by_name(looked: Hub) -> None:
    one = subject_of(looked.store, "A100").patients[0]
    assert found(looked, f"Patient/{one}").keys() == found(looked, "A100").keys()
    assert {"message", "namesake"} <= found(looked, "Testermann").keys()
    assert found(looked, "nobody-at-all") == {}


def test_filters_hold_too(looked: Hub) -> None:
    assert found(looked, "A100", Wanted(who="before")) == {"before": "record"}
    assert found(looked, "A100", Wanted(action="console")) == {"old-number": "number", "namesake": "name"}
