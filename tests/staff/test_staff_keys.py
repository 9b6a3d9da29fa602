"""Keys of programs, and what their scopes mean."""

from __future__ import annotations

import pytest
from staff_clock import Clock

from engine.kernel.errors import HubError
from engine.security.scopes import Scopes
from engine.staff.staff import Staff


def test_a_key_is_shown_once_and_opens_while_it_lasts(both: Staff, clock: Clock) -> None:
    key, text = both.keys.add("ehr", ["system/*.rs", "feed", "feed"], "chief", days=30)
    assert text.startswith(f"hub_{key.id}_") and key.scopes == ("system/*.rs", "feed")
    found = both.keys.find(text)
    assert found is not None and found.name == "ehr"
    for wrong in (
        "",
        "hub_",
        text[:-1],
        text + "x",
        text.replace("hub_", "hub-"),
        f"hub_{key.id}_",
        "hub_x_y",
    ):
        assert both.keys.find(wrong) is None
    clock.forward(hours=24 * 30)
    assert both.keys.find(text) is None and both.keys.all()[0].state(clock.ms) == "expired"


def test_a_revoked_key_is_worth_nothing_at_once(both: Staff) -> None:
    _, text = both.keys.add("ehr", ["feed"], "chief")
    assert both.keys.revoke("ehr", "deputy").revoked_by == "deputy"
    assert both.keys.find(text) is None
    with pytest.raises(HubError, match="no key ehr"):
        both.keys.revoke("ehr", "deputy")
    with pytest.raises(HubError, match="already"):  # the audit has this name
        both.keys.add("ehr", ["feed"], "chief")


def test_last_used_is_coarse(staff: Staff, clock: Clock) -> None:
    _, text = staff.keys.add("ehr", ["feed"], "chief")
    staff.keys.find(text)
    first = staff.keys.all()[0].used
    clock.forward(minutes=9)
    staff.keys.find(text)
    assert staff.keys.all()[0].used == first == clock.ms - 540_000
    clock.forward(minutes=1)
    staff.keys.find(text)
    assert staff.keys.all()[0].used == clock.ms


def test_the_secret_is_not_in_the_file(staff: Staff, tmp_path) -> None:  # type: ignore[no-untyped-def]
    _, text = staff.keys.add("ehr", ["feed"], "chief")
    secret = text.split("_", 2)[2]
    assert secret.encode() not in b"".join(p.read_bytes() for p in tmp_path.glob("staff.db*") if p.is_file())


@pytest.mark.parametrize(
    "name,scopes,channels",
    [
        ("", ["feed"], ["*"]),
        ("Two Words", ["feed"], ["*"]),
        ("ehr", [], ["*"]),
        ("ehr", ["everything"], ["*"]),
        ("ehr", ["system/Observation."], ["*"]),
        ("ehr", ["system/Observation.rs?category=laboratory"], ["*"]),
        ("ehr", ["system/*.rs"], ["lab_oru"]),
        ("ehr", ["dicomweb.store"], [""]),
    ],
)
def test_keys_that_cannot_be(staff: Staff, name: str, scopes: list[str], channels: list[str]) -> None:
    with pytest.raises(HubError):
        staff.keys.add(name, scopes, "chief", channels=channels)


@pytest.mark.parametrize(
    "scope,kind,interaction,whose",
    [
        ("system/Observation.rs", "Observation", "r", {"system"}),
        ("system/Observation.r", "Observation", "s", set()),
        ("system/Observation.rs", "Patient", "r", set()),
        ("system/*.rs", "Patient", "s", {"system"}),
        ("user/*.read", "Patient", "s", {"user"}),
        ("patient/Patient.*", "Patient", "r", {"patient"}),
        ("patient/Patient.write", "Patient", "r", set()),
        ("system/*.cruds", "Patient", "s", {"system"}),
        ("system/*.sr", "Patient", "s", set()),  # the letters have an order
        ("system/Observation.rs?category=laboratory", "Observation", "r", set()),
        ("System/*.rs", "Patient", "r", set()),
        ("launch/patient", "Patient", "r", set()),
        ("openid", "Patient", "r", set()),
    ],
)
def test_scopes(scope: str, kind: str, interaction: str, whose: set[str]) -> None:
    assert Scopes.read([scope]).contexts(kind, interaction) == whose


def test_scopes_are_kept_within_others() -> None:
    asked = Scopes.read(["system/*.rs", "patient/*.rs", "feed", "dicomweb.store"])
    most = Scopes.read(["system/Observation.r", "feed"])
    got = asked.within(most)
    assert got.contexts("Observation", "r") == {"system"}
    assert not got.contexts("Observation", "s") and not got.contexts("Patient", "r")
    assert got.own == {"feed"}
