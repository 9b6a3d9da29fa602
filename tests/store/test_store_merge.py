"""The rules of "Write": per element, per list entry, per owner."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.message import Draft
from engine.store.merge import merged, owned_by


class Chart:
    """One resource written by several maps and senders."""

    def __init__(self) -> None:
        self.body: dict[str, Any] = {}
        self.own: Any = ["", "", {}]

    def write(
        self,
        body: dict[str, Any],
        sender: str = "ADT",
        map_: str = "PID",
        write: str = "merge",
        labels: dict[str, tuple[str, ...]] | None = None,
        cleared: tuple[str, ...] = (),
        owns: tuple[str, ...] = (),
    ) -> dict[str, Any]:
        draft = Draft("x", "Patient", "1", body, (), write, labels or {}, cleared, frozenset(owns), map_)
        before = repr(self.body), repr(self.own), repr(body)
        old_body, old_own = self.body, self.own
        self.body, self.own = merged(self.body, self.own, draft, body, sender)
        assert (repr(old_body), repr(old_own), repr(body)) == before, "something given was changed in place"
        return self.body


@pytest.fixture
def chart() -> Chart:
    return Chart()


def phone(value: str) -> dict[str, str]:
    return {"system": "phone", "value": value}


def test_sent_replaces_and_silence_leaves(chart: Chart) -> None:
    chart.write({"gender": "female", "birthDate": "1980-01-01"})
    assert chart.write({"gender": "male"}) == {"gender": "male", "birthDate": "1980-01-01"}


def test_own_entries_are_replaced_in_place_and_others_stay(chart: Chart) -> None:
    chart.write({"telecom": [phone("1"), phone("2")]}, sender="ADT")
    chart.write({"telecom": [phone("9")]}, sender="LAB")
    assert chart.write({"telecom": [phone("3")]}, sender="ADT")["telecom"] == [phone("3"), phone("9")]
    assert chart.write({"telecom": [phone("8")]}, sender="LAB", map_="other")["telecom"] == [
        phone("3"),
        phone("9"),
        phone("8"),
    ]
    assert chart.write({"telecom": [phone("7")]}, sender="LAB")["telecom"] == [
        phone("3"),
        phone("7"),
        phone("8"),
    ]


def test_labels_not_sent_stay(chart: Chart) -> None:
    chart.write({"telecom": [phone("1"), phone("2")]}, labels={"telecom": ("home", "work")})
    body = chart.write({"telecom": [phone("3")]}, labels={"telecom": ("work",)})
    assert body["telecom"] == [phone("1"), phone("3")]


def test_snapshot_removes_what_it_owns_and_has_not_sent(chart: Chart) -> None:
    chart.write({"telecom": [phone("9")], "maritalStatus": {"text": "x"}}, sender="LAB")
    chart.write(
        {
            "telecom": [phone("1"), phone("2")],
            "gender": "male",
            "multipleBirthBoolean": True,
            "address": [{"city": "A"}],
        },
        labels={"telecom": ("home", "work")},
    )
    body = chart.write(
        {"telecom": [phone("3")]},
        write="snapshot",
        labels={"telecom": ("home",)},
        owns=("telecom", "gender", "address", "multipleBirth[x]", "birthDate"),
    )
    assert body == {"telecom": [phone("9"), phone("3")], "maritalStatus": {"text": "x"}}


def test_cleared_single_takes_its_extensions_along(chart: Chart) -> None:
    chart.write({"birthDate": "1980-01-01", "_birthDate": {"extension": [{"url": "u"}]}, "gender": "male"})
    assert chart.write({}, cleared=("birthDate",)) == {"gender": "male"}


def test_cleared_label_takes_only_own_entries(chart: Chart) -> None:
    chart.write({"telecom": [phone("1"), phone("2")]}, labels={"telecom": ("home", "work")})
    chart.write({"telecom": [phone("9")]}, sender="LAB", labels={"telecom": ("home",)})
    assert chart.write({}, cleared=("telecom(home)",))["telecom"] == [phone("2"), phone("9")]
    assert "telecom" not in chart.write({}, cleared=("telecom",))


def test_cleared_part(chart: Chart) -> None:
    chart.write({"name": [{"family": "A", "suffix": ["x"]}], "period": {"start": "a", "end": "b"}})
    body = chart.write({}, cleared=("name.suffix", "period.end"))
    assert body == {"name": [{"family": "A"}], "period": {"start": "a"}}


def test_choices_exclude_each_other(chart: Chart) -> None:
    chart.write({"valueQuantity": {"value": 1}, "effectiveDateTime": "2026"})
    chart.write({"valueString": "x"})
    assert chart.body == {"valueString": "x", "effectiveDateTime": "2026"}
    chart.write({"dataAbsentReason": {"text": "lost"}})
    assert chart.body == {"effectiveDateTime": "2026", "dataAbsentReason": {"text": "lost"}}
    chart.write({"valueCodeableConcept": {"text": "y"}, "effectivePeriod": {"start": "2026"}})
    assert chart.body == {"valueCodeableConcept": {"text": "y"}, "effectivePeriod": {"start": "2026"}}


def test_a_new_value_drops_the_extensions_of_the_old(chart: Chart) -> None:
    chart.write({"birthDate": "1980-01-01", "_birthDate": {"extension": [{"url": "time"}]}})
    assert chart.write({"birthDate": "1981-01-01"}) == {"birthDate": "1981-01-01"}


def test_parts_of_a_visit_come_in_turn(chart: Chart) -> None:
    chart.write({"period": {"start": "a"}, "hospitalization": {"admitSource": {"text": "s"}}})
    chart.write({"period": {"end": "b"}, "hospitalization": {"dischargeDisposition": {"text": "d"}}})
    assert chart.body["period"] == {"start": "a", "end": "b"}
    assert set(chart.body["hospitalization"]) == {"admitSource", "dischargeDisposition"}


def test_an_identifier_of_two_senders_is_one_entry_until_both_are_gone(chart: Chart) -> None:
    one = {"system": "s", "value": "1"}
    chart.write({"identifier": [one]}, sender="ADT")
    chart.write({"identifier": [{**one, "use": "official"}, {"system": "s", "value": "2"}]}, sender="LAB")
    assert chart.body["identifier"] == [{**one, "use": "official"}, {"system": "s", "value": "2"}]
    chart.write({"identifier": [{"system": "s", "value": "3"}]}, sender="ADT")
    assert {**one, "use": "official"} in chart.body["identifier"]
    chart.write({"identifier": [{"system": "s", "value": "4"}]}, sender="LAB")
    assert sorted(i["value"] for i in chart.body["identifier"]) == ["3", "4"]


def test_meta_is_the_union_of_all(chart: Chart) -> None:
    chart.write({"meta": {"profile": ["a"], "tag": [{"code": "x"}]}})
    body = chart.write({"meta": {"profile": ["b", "a"]}}, write="snapshot", owns=("meta",))
    assert body["meta"] == {"profile": ["a", "b"], "tag": [{"code": "x"}]}


values = st.sampled_from(["1", "2", "3", "4"])
sent = st.lists(
    st.tuples(values, st.sampled_from(["home", "work"])), min_size=1, max_size=3, unique_by=lambda e: e[0]
)
owners = st.sampled_from(["ADT", "LAB", "RIS"])


@given(st.lists(st.tuples(owners, sent), max_size=6), sent)
def test_every_owner_finds_exactly_its_last_word(
    history: list[tuple[str, list[Any]]], last: list[Any]
) -> None:
    """What an owner last sent under the labels it then sent is there; nothing nobody claims is; twice is
    once.
    """
    chart = Chart()
    claims: dict[tuple[str, str], set[str]] = {}
    for owner, entries in [*history, ("ADT", last)]:
        labels = tuple(label for _, label in entries)
        chart.write({"telecom": [phone(v) for v, _ in entries]}, sender=owner, labels={"telecom": labels})
        for label in set(labels):
            claims[owner, label] = {v for v, l in entries if l == label}
    found = [entry["value"] for entry in chart.body["telecom"]]
    assert sorted(found) == sorted(set().union(*claims.values()))
    again = chart.body
    chart.write(
        {"telecom": [phone(v) for v, _ in last]},
        sender="ADT",
        labels={"telecom": tuple(label for _, label in last)},
    )
    assert {e["value"] for e in chart.body["telecom"]} == {e["value"] for e in again["telecom"]}


def test_a_fresh_resource_is_owned_by_its_writer(chart: Chart) -> None:
    draft = Draft("x", "Patient", "1", {}, labels={"telecom": ("home",), "name": ("",)}, map="PID")
    assert owned_by("ADT", draft) == ["ADT", "PID", {"telecom": ("home",)}]
