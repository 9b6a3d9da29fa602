"""Signing in: one refusal for everything, codes once, waits that grow, and no name given away."""

from __future__ import annotations

import threading

import pyotp
import pytest
import sqlalchemy as sa
from staff_clock import Clock

from engine.security.access import Grant
from engine.security.keys import Keyring
from engine.staff import passwords, second
from engine.staff.accounts import Account
from engine.staff.signin import NotLetIn
from engine.staff.staff import Staff
from engine.staff.tables import ACCOUNTS

GOOD = "trombone quiet ladder"
HERE = "192.0.2.1"


@pytest.fixture
def jo(both: Staff) -> Account:
    return both.accounts.add("jlee", [Grant("analyst")], "chief", password=GOOD)


def enrolled(staff: Staff, account: Account, clock: Clock) -> tuple[str, list[str]]:
    """Give a person an authenticator; a step later its codes are new ones."""
    secret = second.new_secret()
    codes = staff.accounts.set_second(account.id, secret, code(secret, clock))
    clock.forward(seconds=30)
    return secret, list(codes)


def code(secret: str, clock: Clock) -> str:
    return pyotp.TOTP(secret).at(clock.ms // 1000)


def test_the_right_password_lets_in(both: Staff, jo: Account, clock: Clock) -> None:
    account, step = both.signin.password("JLEE", GOOD, HERE)
    assert account.id == jo.id and step == ""
    assert both.accounts.numbered(jo.id).signed_in == clock.ms  # type: ignore[union-attr]


def test_every_refusal_is_the_same(both: Staff, jo: Account) -> None:
    both.accounts.add("elsewhere", [Grant("viewer")], "chief", issuer="https://sso.example", subject="1")
    off = both.accounts.add("gone", [Grant("viewer")], "chief", password=GOOD)
    both.accounts.disable(off.id)
    said = set()
    for name, password in (("jlee", "wrong"), ("nobody", GOOD), ("elsewhere", ""), ("gone", GOOD), ("", "")):
        with pytest.raises(NotLetIn) as e:
            both.signin.password(name, password, HERE)
        said.add(str(e.value))
    assert len(said) == 1


def test_a_name_that_is_not_known_costs_the_same_work(staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    staff.accounts.add("jlee", [Grant("viewer")], "chief", password=GOOD)
    hashes = 0
    right = passwords.right

    def counted(kept: str, password: str) -> bool:
        nonlocal hashes
        hashes += 1
        return right(kept, password)

    monkeypatch.setattr(passwords, "right", counted)
    counts = []
    for name in ("jlee", "nobody"):
        hashes = 0
        with pytest.raises(NotLetIn):
            staff.signin.password(name, "wrong", HERE)
        counts.append(hashes)
    assert counts == [1, 1]


def test_an_account_waits_and_each_time_longer(both: Staff, jo: Account, clock: Clock) -> None:
    waits = []
    for _ in range(4):
        for _ in range(5 if not waits else 1):
            with pytest.raises(NotLetIn):
                both.signin.password("jlee", "wrong", HERE)
        with pytest.raises(NotLetIn):  # now the right one is refused, too
            both.signin.password("jlee", GOOD, HERE)
        locked = both.accounts.numbered(jo.id).locked_until  # type: ignore[union-attr]
        waits.append((locked - clock.ms) // 1000)
        clock.ms = locked
    assert waits == [30, 60, 120, 240]
    assert both.signin.password("jlee", GOOD, HERE)[0].failures == 8
    assert both.accounts.numbered(jo.id).failures == 0  # type: ignore[union-attr]


def test_a_manager_can_let_somebody_try_again(staff: Staff) -> None:
    jo = staff.accounts.add("jlee", [Grant("viewer")], "chief", password=GOOD)
    for _ in range(5):
        with pytest.raises(NotLetIn):
            staff.signin.password("jlee", "wrong", HERE)
    staff.accounts.unlock(jo.id)
    assert staff.signin.password("jlee", GOOD, HERE)[0].id == jo.id


def test_an_address_that_tries_many_names_waits(
    staff: Staff, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    staff.accounts.add("jlee", [Grant("viewer")], "chief", password=GOOD)
    monkeypatch.setattr(passwords, "waste", lambda _: None)
    for n in range(50):
        with pytest.raises(NotLetIn):
            staff.signin.password(f"name{n}", "wrong", HERE)
    with pytest.raises(NotLetIn):
        staff.signin.password("jlee", GOOD, HERE)
    assert staff.signin.password("jlee", GOOD, "192.0.2.2")
    assert staff.signin.password(
        "jlee", GOOD, ""
    )  # behind a proxy that says no address nobody waits for others
    clock.forward(seconds=30)
    assert staff.signin.password("jlee", GOOD, HERE)


def test_many_at_once_are_no_more_tries_than_one_after_the_other(staff: Staff) -> None:
    staff.accounts.add("jlee", [Grant("viewer")], "chief", password=GOOD)
    judged = []
    right = passwords.right

    def counted(kept: str, password: str) -> bool:
        judged.append(kept != passwords._nobodys())
        return right(kept, password)

    def attempt() -> None:
        with pytest.raises(NotLetIn):
            staff.signin.password("jlee", "wrong", HERE)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(passwords, "right", counted)
        threads = [threading.Thread(target=attempt) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sum(judged) == 5


# -- the second factor


def test_a_code_is_asked_for_and_is_right_once(both: Staff, jo: Account, clock: Clock) -> None:
    secret, _ = enrolled(both, jo, clock)
    _, step = both.signin.password("jlee", GOOD, HERE)
    assert step
    now = code(secret, clock)
    assert both.signin.code(step, now, HERE)[1] == "totp"
    with pytest.raises(NotLetIn):  # seen over the shoulder
        both.signin.code(step, now, HERE)
    clock.forward(seconds=30)
    assert both.signin.code(step, code(secret, clock), HERE)[0].id == jo.id


@pytest.mark.parametrize("drift,taken", [(-60, False), (-30, True), (0, True), (30, True), (60, False)])
def test_a_clock_may_be_off_by_one_step(staff: Staff, clock: Clock, drift: int, taken: bool) -> None:
    secret = second.new_secret()
    theirs = Clock()
    theirs.ms = clock.ms + drift * 1000
    assert (second.step_of(secret, code(secret, theirs), clock.ms, 0) is not None) is taken


@pytest.mark.parametrize("typed", ["", "12345", "abcdef", "１２３４５６", "0000000"])
def test_what_is_no_code(typed: str, clock: Clock) -> None:
    assert second.step_of(second.new_secret(), typed, clock.ms, 0) is None


def test_a_recovery_code_is_good_once(both: Staff, jo: Account, clock: Clock) -> None:
    _, codes = enrolled(both, jo, clock)
    _, step = both.signin.password("jlee", GOOD, HERE)
    assert both.signin.code(step, codes[0].upper().replace("-", " "), HERE)[1] == "recovery"
    assert both.accounts.recovery_left(jo.id) == 9
    with pytest.raises(NotLetIn):
        both.signin.code(step, codes[0], HERE)


def test_wrong_codes_count_though_the_password_is_right(both: Staff, jo: Account, clock: Clock) -> None:
    secret, _ = enrolled(both, jo, clock)
    for _ in range(5):
        _, step = both.signin.password("jlee", GOOD, HERE)
        with pytest.raises(NotLetIn):
            both.signin.code(step, "000000", HERE)
    with pytest.raises(NotLetIn):
        both.signin.password("jlee", GOOD, HERE)
    with pytest.raises(NotLetIn):
        both.signin.code(step, code(secret, clock), HERE)


def test_the_step_between_is_for_five_minutes_and_cannot_be_made_up(
    staff: Staff, clock: Clock, keyring: Keyring
) -> None:
    jo = staff.accounts.add("jlee", [Grant("viewer")], "chief", password=GOOD)
    secret, _ = enrolled(staff, jo, clock)
    _, step = staff.signin.password("jlee", GOOD, HERE)
    other = keyring.seal(b"[1,99999999999999]", b"another place").hex()
    clock.forward(minutes=5)
    for made in (step, other, "", "zz"):
        with pytest.raises(NotLetIn):
            staff.signin.code(made, code(secret, clock), HERE)


def test_the_secret_is_sealed_and_the_codes_are_hashed(staff: Staff, clock: Clock) -> None:
    jo = staff.accounts.add("jlee", [Grant("viewer")], "chief", password=GOOD)
    secret, codes = enrolled(staff, jo, clock)
    with staff.database.read() as c:
        sealed = bytes(c.execute(sa.select(ACCOUNTS.c.totp)).scalar_one())
        kept = [bytes(h) for (h,) in c.exec_driver_sql("SELECT hash FROM staff_recovery")]
    assert secret.encode() not in sealed
    assert len(kept) == 10 and not any(second.plain_code(one).encode() in kept for one in codes)


def test_an_authenticator_is_proven_before_it_counts(staff: Staff, clock: Clock) -> None:
    jo = staff.accounts.add("jlee", [Grant("viewer")], "chief", password=GOOD)
    with pytest.raises(Exception, match="not right"):
        staff.accounts.set_second(jo.id, second.new_secret(), "123456")
    assert not staff.accounts.numbered(jo.id).second  # type: ignore[union-attr]


def test_the_picture_is_an_svg_that_a_strict_policy_shows() -> None:
    made = second.picture(second.address(second.new_secret(), "jlee", "Mercy & Sons <hub>"))
    assert made.startswith("<svg") and "style=" not in made and "<script" not in made


def test_codes_that_are_tried_while_a_password_is_judged_stay_counted(
    both: Staff, jo: Account, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret, _ = enrolled(both, jo, clock)
    _, step = both.signin.password("jlee", GOOD, HERE)
    right = passwords.right

    def guessed_meanwhile(kept: str, password: str) -> bool:
        for _ in range(4):
            with pytest.raises(NotLetIn):
                both.signin.code(step, "000000", HERE)
        return right(kept, password)

    monkeypatch.setattr(passwords, "right", guessed_meanwhile)
    both.signin.password("jlee", GOOD, HERE)
    with both.database.read() as c:
        failures, locked = c.execute(
            sa.select(ACCOUNTS.c.failures, ACCOUNTS.c.locked_until).where(ACCOUNTS.c.id == jo.id)
        ).one()
    assert failures == 4 and locked > clock.ms
    with pytest.raises(NotLetIn):
        both.signin.code(step, code(secret, clock), HERE)
