"""Accounts: names, roles, passwords, links, and that nobody is locked out of managing the hub."""

from __future__ import annotations

import pytest

from engine.kernel.errors import HubError
from engine.security.access import Grant
from engine.staff import passwords
from engine.staff.links import LinkRefused
from engine.staff.passwords import PasswordRefused
from engine.staff.signin import NotLetIn
from engine.staff.staff import Staff
from engine.staff.tables import METADATA

GOOD = "trombone quiet ladder"
ADMIN = [Grant("admin")]


def test_an_account_is_found_however_its_name_is_typed(both: Staff) -> None:
    made = both.accounts.add(
        "JLee",
        [Grant("analyst", ("lab_*", "adt")), Grant("viewer")],
        "chief",
        display="Jo Lee",
        password=GOOD,
    )
    assert made.name == "jlee" and made.local and not made.second
    found = both.accounts.named("  jLEE ")
    assert found == made == both.accounts.numbered(made.id)
    person = found.person()
    assert person.may("draft", "lab_oru") and not person.may("draft", "pharmacy") and person.may("see.status")


@pytest.mark.parametrize("name", ["", " ", "-x", "a b", "a/b", "ä", "x" * 65, "<b>"])
def test_names_that_cannot_be(staff: Staff, name: str) -> None:
    with pytest.raises(HubError, match="cannot be the name"):
        staff.accounts.add(name, ADMIN, "chief")


@pytest.mark.parametrize("grant", [Grant("chief"), Grant("viewer", ()), Grant("viewer", ("a b",)), Grant("")])
def test_grants_that_cannot_be(staff: Staff, grant: Grant) -> None:
    with pytest.raises(HubError, match="role"):
        staff.accounts.add("jlee", [grant], "chief")


def test_a_name_is_given_once(both: Staff) -> None:
    both.accounts.add("jlee", ADMIN, "chief")
    with pytest.raises(HubError, match="already"):
        both.accounts.add("JLEE", ADMIN, "chief")


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "password1234",
        "aaaaaaaaaaaaaaaa",
        "123456789012",
        "qwertyuiop123",
        "abababababababab",
        "jolee jolee",
        "x" * 300,
    ],
)
def test_passwords_that_are_refused(staff: Staff, password: str) -> None:
    with pytest.raises(PasswordRefused) as e:
        staff.accounts.add("jolee", ADMIN, "chief", display="Jo Lee", password=password)
    assert password not in str(e.value)


def test_a_long_password_without_digits_is_taken_and_letters_are_normalised(staff: Staff) -> None:
    composed, apart = "caf\u00e9 trombone ladder", "cafe\u0301 trombone ladder"
    account = staff.accounts.add("jlee", ADMIN, "chief", password=composed)
    staff.signin.known(account, apart, "")
    with pytest.raises(NotLetIn):
        staff.signin.known(account, "cafe trombone ladder", "")


def test_a_password_is_kept_as_argon2id_only(staff: Staff) -> None:
    staff.accounts.add("jlee", ADMIN, "chief", password=GOOD)
    with staff.database.read() as c:
        (kept,) = c.exec_driver_sql("SELECT password FROM staff_account").one()
    assert kept.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    stored = b"".join(path.read_bytes() for path in _files(staff))
    assert GOOD.encode() not in stored


def test_an_old_hash_is_made_anew_when_the_password_is_next_given(staff: Staff) -> None:
    from argon2 import PasswordHasher

    account = staff.accounts.add("jlee", ADMIN, "chief", password=GOOD)
    weak = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(GOOD)
    with staff.database.write() as c:
        c.execute(METADATA.tables["staff_account"].update().values(password=weak))
    assert passwords.outdated(weak)
    assert staff.signin.password("jlee", GOOD, "192.0.2.1")[0].id == account.id
    with staff.database.read() as c:
        (kept,) = c.exec_driver_sql("SELECT password FROM staff_account").one()
    assert not passwords.outdated(kept) and passwords.right(kept, GOOD)


def test_somebody_can_always_manage_the_hub(both: Staff) -> None:
    chief = both.accounts.add("chief", ADMIN, "setup")
    with pytest.raises(HubError, match="nobody"):
        both.accounts.grant(chief.id, [Grant("viewer")])
    with pytest.raises(HubError, match="nobody"):
        both.accounts.disable(chief.id)
    assert both.accounts.numbered(chief.id) == chief
    both.accounts.add("deputy", ADMIN, "chief")
    both.accounts.disable(chief.id)
    assert both.accounts.named("chief").person().grants == ()  # type: ignore[union-attr]


def test_whatever_takes_a_right_away_ends_the_sessions(both: Staff) -> None:
    both.accounts.add("chief", ADMIN, "setup")
    jo = both.accounts.add("jlee", [Grant("analyst")], "chief", password=GOOD)
    for change in (
        lambda: both.accounts.grant(jo.id, [Grant("viewer")]),
        lambda: both.accounts.disable(jo.id),
        lambda: both.accounts.set_password(jo.id, "ladder quiet trombone"),
        lambda: both.accounts.clear_second(jo.id),
    ):
        both.accounts.disable(jo.id, False)
        cookie = both.sessions.start(jo, "password")
        assert both.sessions.find(cookie) is not None
        change()
        assert both.sessions.find(cookie) is None


# -- links


def test_the_first_link_makes_one_admin_and_no_more(both: Staff) -> None:
    old, link = both.links.for_first(), both.links.for_first()
    with pytest.raises(LinkRefused):
        both.links.whose(old)
    assert both.links.whose(link) is None
    with pytest.raises(PasswordRefused):
        both.links.use(link, "password1234", name="chief")
    made = both.links.use(link, GOOD, name="chief")
    assert made.person().may("admin.users")
    for again in (lambda: both.links.use(link, GOOD, name="second"), lambda: both.links.whose(link)):
        with pytest.raises(LinkRefused):
            again()
    with pytest.raises(HubError, match="accounts already"):
        both.links.for_first()


def test_a_link_sets_a_password_once_and_for_a_while(both: Staff, clock) -> None:  # type: ignore[no-untyped-def]
    jo = both.accounts.add("jlee", ADMIN, "chief")
    assert not jo.local
    link = both.links.for_account(jo.id, days=1)
    assert both.links.whose(link) == jo
    both.links.use(link, GOOD)
    with pytest.raises(LinkRefused):
        both.links.use(link, GOOD)
    assert both.signin.password("jlee", GOOD, "")[0].local
    late = both.links.for_account(jo.id, days=1)
    clock.forward(hours=24)
    with pytest.raises(LinkRefused):
        both.links.whose(late)


def test_a_link_of_somebody_disabled_and_one_that_was_made_up_are_worth_nothing(staff: Staff) -> None:
    staff.accounts.add("chief", ADMIN, "setup")
    jo = staff.accounts.add("jlee", [Grant("viewer")], "chief")
    link = staff.links.for_account(jo.id)
    staff.accounts.disable(jo.id)
    for code in (link, "", "x" * 43):
        with pytest.raises(LinkRefused):
            staff.links.whose(code)
    stored = b"".join(path.read_bytes() for path in _files(staff))
    assert link.encode() not in stored


def _files(staff: Staff):  # type: ignore[no-untyped-def]
    from pathlib import Path

    path = Path(staff.database.where.removeprefix("sqlite:///"))
    return [p for p in path.parent.glob("staff.db*") if p.is_file()]
