"""Sessions end when they should, are written down rarely, and open patient data for a while at most."""

from __future__ import annotations

from pathlib import Path

import pytest
from staff_clock import Clock

from engine.kernel.errors import HubError
from engine.kernel.web_settings import SignInSettings
from engine.security.access import Grant
from engine.security.keys import Keyring
from engine.staff.accounts import Account
from engine.staff.staff import Staff

GOOD = "trombone quiet ladder"


@pytest.fixture
def jo(both: Staff) -> Account:
    return both.accounts.add("jlee", [Grant("viewer", ("lab_*",))], "chief", password=GOOD)


def test_a_cookie_is_whose_it_is_and_nothing_else_is(both: Staff, jo: Account) -> None:
    cookie = both.sessions.start(jo, "password", address="192.0.2.1", agent="Browser\n\x00 1")
    found = both.sessions.find(cookie)
    assert found is not None and found.person == jo.person() and found.agent == "Browser 1"
    for other in ("", "x", cookie[:-1], cookie + "x", "x" * 43, "x" * 5000):
        assert both.sessions.find(other) is None


def test_a_session_ends_when_nobody_uses_it(both: Staff, jo: Account, clock: Clock) -> None:
    cookie = both.sessions.start(jo, "password")
    for _ in range(5):
        clock.forward(minutes=14)
        assert both.sessions.find(cookie) is not None
    for _ in range(2):  # a page that asks by itself is nobody
        clock.forward(minutes=7)
        assert both.sessions.find(cookie, active=False) is not None
    clock.forward(minutes=1)
    assert both.sessions.find(cookie) is None


def test_a_session_ends_though_it_is_used(both: Staff, jo: Account, clock: Clock) -> None:
    cookie = both.sessions.start(jo, "password")
    for _ in range(71):
        clock.forward(minutes=10)
        assert both.sessions.find(cookie) is not None
    clock.forward(minutes=10)
    assert both.sessions.find(cookie) is None


def test_using_it_is_written_once_a_minute(
    staff: Staff, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    jo = staff.accounts.add("jlee", [Grant("viewer")], "chief", password=GOOD)
    cookie = staff.sessions.start(jo, "password")
    writes = 0
    write = staff.database.write

    def counted():  # type: ignore[no-untyped-def]
        nonlocal writes
        writes += 1
        return write()

    monkeypatch.setattr(staff.database, "write", counted)
    for _ in range(600):
        clock.forward(seconds=0.2)
        staff.sessions.find(cookie)
    assert writes == 2


def test_a_planted_cookie_and_the_one_before_a_proof_are_worth_nothing(both: Staff, jo: Account) -> None:
    planted = "a" * 43
    cookie = both.sessions.start(jo, "password", old=planted)
    assert cookie != planted and both.sessions.find(planted) is None
    second = both.sessions.start(jo, "password", old=cookie)
    assert both.sessions.find(cookie) is None
    session = both.sessions.find(second)
    assert session is not None
    third = both.sessions.prove(session)
    found = both.sessions.find(third)
    assert both.sessions.find(second) is None
    assert found is not None and found.id == session.id and found.csrf != session.csrf


def test_proving_is_remembered(both: Staff, jo: Account, clock: Clock) -> None:
    session = both.sessions.find(both.sessions.start(jo, "password"))
    clock.forward(minutes=10)
    assert session is not None and session.proven == clock.ms - 600_000
    again = both.sessions.find(both.sessions.prove(session, "totp"))
    assert again is not None and again.proven == clock.ms and again.how == "totp"


def test_a_person_sees_and_ends_their_own(both: Staff, jo: Account) -> None:
    other = both.accounts.add("other", [Grant("viewer")], "chief")
    mine = [both.sessions.start(jo, "password") for _ in range(3)]
    theirs = both.sessions.start(other, "password")
    ids = [s.id for s in both.sessions.of(jo.id)]
    assert len(ids) == 3 and ids == sorted(ids, reverse=True)
    foreign = both.sessions.find(theirs)
    assert foreign is not None
    both.sessions.end(foreign.id, jo.id)
    assert both.sessions.find(theirs) is not None
    both.sessions.end(ids[0], jo.id)
    assert both.sessions.find(mine[2]) is None
    assert both.sessions.end_all(jo.id, but=ids[2]) == 1
    assert [both.sessions.find(c) is not None for c in mine] == [True, False, False]


def test_the_token_of_a_sign_in_elsewhere_comes_back_when_it_ends(both: Staff, jo: Account) -> None:
    session = both.sessions.find(both.sessions.start(jo, "oidc", hint="eyJ.id.token"))
    assert session is not None
    assert both.sessions.end(session.id, jo.id) == "eyJ.id.token"


def test_neither_cookie_nor_form_token_can_be_read_from_the_file(staff: Staff, tmp_path: Path) -> None:
    jo = staff.accounts.add("jlee", [Grant("viewer")], "chief", password=GOOD)
    cookie = staff.sessions.start(jo, "oidc", hint="eyJ.id.token")
    stored = b"".join(p.read_bytes() for p in tmp_path.glob("staff.db*") if p.is_file())
    assert cookie.encode() not in stored and b"eyJ.id" not in stored


@pytest.mark.parametrize(
    "wanted,role,must",
    [
        ("nobody", "analyst", ""),
        ("bodies", "viewer", ""),
        ("bodies", "analyst", "second factor"),
        ("bodies", "admin", "second factor"),
        ("everybody", "viewer", "second factor"),
    ],
)
def test_who_has_to_have_a_second_factor(
    tmp_path: Path, keyring: Keyring, clock: Clock, wanted: str, role: str, must: str
) -> None:
    settings = SignInSettings(second_factor=wanted)  # type: ignore[arg-type]
    staff = Staff.open(f"sqlite:///{tmp_path / 'staff.db'}", keyring, clock, settings)
    jo = staff.accounts.add("jlee", [Grant(role)], "chief", password=GOOD)
    session = staff.sessions.find(staff.sessions.start(jo, "password"))
    assert session is not None and session.must == must
    assert session.person.may("see.status") is (not must)
    staff.close()


def test_whoever_must_change_the_password_may_nothing_before(both: Staff, jo: Account) -> None:
    both.accounts.set_password(jo.id, GOOD, must_change=True)
    jo = both.accounts.numbered(jo.id)  # type: ignore[assignment]
    session = both.sessions.find(both.sessions.start(jo, "password"))
    assert session is not None and session.must == "password"
    assert session.person.name == "jlee" and not session.person.may("see.status")


# -- breaking the glass


def test_broken_glass_shows_bodies_of_its_channels_for_a_while(
    both: Staff, jo: Account, clock: Clock
) -> None:
    cookie = both.sessions.start(jo, "password")
    with pytest.raises(HubError, match="reason"):
        both.glass.break_(jo, ["lab_*"], "  why   not ", 60)
    broken = both.glass.break_(jo, ["lab_*"], "Resuscitation in room 4,\n results missing", 60)
    assert broken.reason == "Resuscitation in room 4, results missing"
    assert (broken.since, broken.until) == (clock.ms, clock.ms + 3_600_000)
    for minutes in range(60):
        if minutes % 10 == 0:
            session = both.sessions.find(cookie)
            assert session is not None
            assert session.person.may("see.bodies", "lab_oru") and not session.person.may("see.bodies", "adt")
            assert not session.person.may("replay", "lab_oru")
        clock.forward(minutes=1)
    session = both.sessions.find(cookie)
    assert session is not None and not session.person.may("see.bodies", "lab_oru")


def test_broken_glass_is_told_until_somebody_else_has_looked(both: Staff, jo: Account, clock: Clock) -> None:
    first = both.glass.break_(jo, ["*"], "Resuscitation in room 4", 60)
    assert both.glass.close(jo.id) == 1 and both.glass.close(jo.id) == 0
    assert [b.id for b in both.glass.open()] == [first.id]
    with pytest.raises(HubError, match="nother person"):
        both.glass.acknowledge(first.id, "jlee")
    both.glass.acknowledge(first.id, "chief")
    assert both.glass.open() == []
    assert [(b.id, b.acknowledged_by) for b in both.glass.all()] == [(first.id, "chief")]


def test_the_reason_is_sealed(staff: Staff, tmp_path: Path) -> None:
    jo = staff.accounts.add("jlee", [Grant("viewer")], "chief")
    staff.glass.break_(jo, ["*"], "Jane Doe collapsed in room 4", 60)
    assert b"Jane Doe" not in b"".join(p.read_bytes() for p in tmp_path.glob("staff.db*") if p.is_file())
