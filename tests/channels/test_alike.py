"""What machines of one hub must have alike: signing keys are brought to all, what differs is said."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_project import make_project

from engine.channels.alike import FRESH, differences, facts, tell
from engine.channels.opening import open_keyring, open_staff
from engine.channels.sharedkeys import OtherKeys, follow_keys, take_keys
from engine.channels.spreading import catch_up
from engine.cli.beforehand import first_open
from engine.cli.doctor import examine
from engine.cli.following import Said
from engine.cli.signing import signing_keys
from engine.codes.loaders.summary import Asked
from engine.codes.loading import load_release
from engine.kernel.config import Config, load_config
from engine.kernel.errors import ConfigError, HubError
from engine.security import signing
from engine.security.signing import FILE, SigningKeys
from engine.staff.staff import Staff


@pytest.fixture(autouse=True)
def _one_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make no RSA keys: that takes a second each."""
    monkeypatch.setattr(signing, "ALGORITHMS", ("ES384",))


@pytest.fixture
def machines(tmp_path: Path, postgres_database: str) -> list[Config]:
    """Two machines with the same project and one database."""
    one, two = make_project(tmp_path / "one"), tmp_path / "two"
    words = ("journal", "core", "imaging", "staff")
    lines = "".join(f"{word}: '{postgres_database}'\n" for word in words)
    with (one / "config.yaml").open("a") as file:
        file.write(f"{lines}queue: nats://127.0.0.1:1\nkey: {'k' * 43}=\n")
    shutil.copytree(one, two)
    for root in (one, two):
        with (root / "config.yaml").open("a") as file:
            file.write(f"node: {root.name}\n")
    configs = [load_config(root) for root in (one, two)]
    for config in configs:
        config.data_dir.mkdir(mode=0o700)
    return configs


@pytest.fixture
def staff(machines: list[Config]) -> Iterator[Staff]:
    found = open_staff(machines[0], open_keyring(machines[0]))
    yield found
    found.close()


def keys(config: Config) -> SigningKeys:
    return SigningKeys(config.data_dir / FILE)


def test_whoever_is_asked_serves_the_keys_of_whoever_signs(machines: list[Config], staff: Staff) -> None:
    one, two = machines
    assert signing_keys(one.root, False, False) == 0
    assert keys(two).public() == {"keys": []} and follow_keys(two, staff)
    assert keys(two).public() == keys(one).public() != {"keys": []}
    assert (two.data_dir / FILE).stat().st_mode & 0o777 == 0o600
    before = {k["kid"] for k in keys(one).public()["keys"]}
    assert signing_keys(two.root, False, False) == 0  # new ones, made on the other machine
    assert follow_keys(one, staff) and not follow_keys(one, staff) and not follow_keys(two, staff)
    assert before < {k["kid"] for k in keys(one).public()["keys"]}, "the ones before are served still"
    (one.data_dir / FILE).unlink()
    catch_up(one)  # a machine that is new
    assert keys(one).public() == keys(two).public()


def test_keys_that_were_there_before_stay_until_a_person_decides(
    machines: list[Config], staff: Staff, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = machines
    for config in machines:
        keys(config).rotate()
    ours = keys(two).public()
    catch_up(one)
    catch_up(two)
    assert "signing keys of its own" in caplog.text and keys(two).public() == ours
    with pytest.raises(OtherKeys):
        follow_keys(two, staff)
    with pytest.raises(OtherKeys):
        signing_keys(two.root, False, False)
    assert signing_keys(two.root, False, False, take=True) == 0
    assert keys(two).public() == keys(one).public() and not follow_keys(two, staff)


def test_of_two_who_make_keys_at_once_one_is_refused(
    machines: list[Config], staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = machines
    signing_keys(one.root, False, False)
    follow_keys(two, staff)
    rotate = SigningKeys.rotate

    def first_the_other(self: SigningKeys, *, at_once: bool = False) -> list[str]:
        monkeypatch.setattr(SigningKeys, "rotate", rotate)
        signing_keys(one.root, False, False)
        return rotate(self, at_once=at_once)

    monkeypatch.setattr(SigningKeys, "rotate", first_the_other)
    with pytest.raises(HubError, match="another machine has just written"):
        signing_keys(two.root, False, False)
    assert keys(two).public() == keys(one).public() and not follow_keys(two, staff)


def test_one_machine_shares_with_nobody(tmp_path: Path, machines: list[Config]) -> None:
    alone = load_config(make_project(tmp_path / "alone"))
    signing_keys(alone.root, False, False)
    assert keys(alone).public()["keys"] and not (alone.data_dir / f"{FILE}.followed").exists()
    with pytest.raises(ConfigError, match="no other machines"):
        signing_keys(alone.root, False, False, take=True)
    staff = open_staff(machines[0], open_keyring(machines[0]))
    assert staff.signing.now_held() is None and take_keys(machines[0], staff) == 0
    staff.close()


def test_what_differs_is_said_with_what_to_do(machines: list[Config], staff: Staff, tmp_path: Path) -> None:
    one, two = machines
    keyring = open_keyring(one)
    assert tell(one, keyring, staff) == [] and tell(two, keyring, staff) == []
    for config, token in ((one, "a" * 43), (two, "b" * 43)):
        config.token_file.write_text(token + "\n")
    table = two.root / "terminology/maps/AdministrativeSex.csv"
    table.write_bytes(table.read_bytes() + b"\n")
    codes = tmp_path / "codes.csv"
    codes.write_text("code,display\nA,first\nB,second\n")
    load_release(two.data_dir / "codes.db", codes, Asked("urn:ours", "2026-05", "", "", {}))
    tell(two, keyring, staff)
    said = {d.topic: d.said for d in differences(one, staff, facts(one, keyring))}
    assert said == {
        "project": "are not the same",
        "code releases": "urn:ours 2026-05, current there",
        "tokens": "are not the same",
    }
    assert {d.node for d in tell(one, keyring, staff)} == {"two"}
    first_open(one, keyring)
    looked = {f.name: f for f in examine(one.root) if f.topic == "machines"}
    assert looked["others"].value == "two" and looked["tokens: two"].state == "look"
    assert "hub terms load" in looked["code releases: two"].remedy
    told = str(staff.nodes.others("one", 0))
    assert "bbbb" not in told and "version" in told
    staff.now = lambda: 0  # long ago
    staff.nodes.tell("two", facts(two, keyring))
    assert FRESH > 0 and differences(one, staff, facts(one, keyring)) == []


def test_a_difference_and_a_trouble_are_said_once(
    machines: list[Config], staff: Staff, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = machines
    keyring, said = open_keyring(one), Said()
    two.token_file.write_text("t" * 43)
    tell(two, keyring, staff)
    with caplog.at_level(logging.WARNING, "hub.changes"):
        for _ in range(3):
            said.differ(tell(one, keyring, staff))
            said.tried("project", lambda: (_ for _ in ()).throw(HubError("the database is away")))
    assert caplog.text.count("tokens: two and this machine differ: there are some there and none here") == 1
    assert caplog.text.count("the database is away") == 1
