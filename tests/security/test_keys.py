"""The key file: made once, mode 600, never over existing data; rotation keeps old bodies open and search keys
equal."""

from __future__ import annotations

import base64
import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from engine.kernel.errors import ConfigError
from engine.security import keys
from engine.security.crypto import SealError, key_id_of
from engine.security.keys import Keyring


def test_the_first_start_makes_the_file_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "hub.key"
    ring = Keyring.open(path, existing_data=False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["hub.key"]
    again = Keyring.open(path, existing_data=True)
    assert again.unseal(ring.seal(b"body", b"a"), b"a") == b"body"
    assert again.mac16("k", "v") == ring.mac16("k", "v")


def test_two_first_starts_give_two_different_keys(tmp_path: Path) -> None:
    a, b = (Keyring.open(tmp_path / n, existing_data=False) for n in "ab")
    assert a.mac16("k", "v") != b.mac16("k", "v")
    with pytest.raises(SealError):
        b.unseal(a.seal(b"body", b"a"), b"a")


def test_a_missing_file_beside_existing_data_is_refused_and_not_made(tmp_path: Path) -> None:
    path = tmp_path / "hub.key"
    with pytest.raises(ConfigError) as e:
        Keyring.open(path, existing_data=True)
    assert str(path) in str(e.value) and e.value.why and "restore" in e.value.remedy.lower()
    assert not path.exists()


def _open(path: Path, out: multiprocessing.Queue[bytes]) -> None:
    out.put(Keyring.open(path, existing_data=False).mac16("k", "v"))


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    out: multiprocessing.Queue[bytes] = context.Queue()
    processes = [context.Process(target=_open, args=(tmp_path / "hub.key", out)) for _ in range(8)]
    for p in processes:
        p.start()
    macs = {out.get(timeout=20) for _ in processes}
    for p in processes:
        p.join()
    assert len(macs) == 1


def test_a_file_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "hub.key"
    Keyring.open(path, existing_data=False)
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        Keyring.open(path, existing_data=True)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"# only a comment\n",
        b"short",
        b"master abc\n",
        b"master " + base64.b64encode(bytes(32)) + b"\n",
        b"master " + base64.b64encode(bytes(32)) + b"\ndata one " + base64.b64encode(bytes(32)),
        b"master " + base64.b64encode(bytes(32)) + b"\ndata 1 " + base64.b64encode(bytes(31)),
        b"master " + base64.b64encode(bytes(32)) + b"\ndata 70000 " + base64.b64encode(bytes(32)),
        b"x" * 32 + b"\n" + b"y" * 32,
    ],
)
def test_a_damaged_key_file_is_refused_by_name_and_never_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hub.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ConfigError) as e:
        Keyring.open(path, existing_data=False)
    assert "hub.key" in str(e.value) and e.value.remedy
    assert not content.strip() or content.split()[-1].decode() not in str(e.value)
    assert path.read_bytes() == content


def test_rotation_seals_anew_opens_the_old_and_keeps_search_keys(tmp_path: Path) -> None:
    path = tmp_path / "hub.key"
    ring = Keyring.open(path, existing_data=False)
    old, mac = ring.seal(b"old", b"a"), ring.mac8("k", "v")
    assert ring.rotate() == 2
    new = ring.seal(b"new", b"a")
    assert (key_id_of(old) >> 16, key_id_of(new) >> 16) == (1, 2)
    for r in (ring, Keyring.open(path, existing_data=True)):
        assert (r.unseal(old, b"a"), r.unseal(new, b"a")) == (b"old", b"new")
        assert r.mac8("k", "v") == mac
        assert r.key_numbers == (1, 2)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_running_process_learns_of_a_rotation_elsewhere(tmp_path: Path) -> None:
    path = tmp_path / "hub.key"
    running = Keyring.open(path, existing_data=False)
    other = Keyring.open(path, existing_data=True)
    other.rotate()
    assert running.unseal(other.seal(b"new", b"a"), b"a") == b"new"
    assert running.key_numbers == (1, 2)
    assert running.rotate() == 3
    assert other.rotate() == 4  # never a number twice


def test_a_body_of_a_lost_data_key_says_so(tmp_path: Path) -> None:
    path = tmp_path / "hub.key"
    ring = Keyring.open(path, existing_data=False)
    before = path.read_bytes()
    ring.rotate()
    sealed = ring.seal(b"new", b"a")
    path.write_bytes(before)
    with pytest.raises(ConfigError, match="no data key 2"):
        Keyring.open(path, existing_data=True).unseal(sealed, b"a")


def test_every_day_has_its_own_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Keyring.open(tmp_path / "hub.key", existing_data=False)
    sealed = []
    for day in (20_000, 20_001):
        monkeypatch.setattr(keys, "now_ms", lambda day=day: day * 86_400_000 + 5)
        sealed.append(ring.seal(b"body", b"a"))
    assert [key_id_of(s) for s in sealed] == [1 << 16 | 20_000, 1 << 16 | 20_001]
    swapped = sealed[0][:1] + sealed[1][1:5] + sealed[0][5:]
    with pytest.raises(SealError):
        ring.unseal(swapped, b"a")
    assert [ring.unseal(s, b"a") for s in sealed] == [b"body", b"body"]


def test_a_supplied_line_is_a_key_and_its_search_keys_survive_added_data_keys() -> None:
    secret = base64.b64encode(os.urandom(32)) + b"\n"
    ring = Keyring.supplied(secret)
    sealed = ring.seal(b"body", b"a")
    assert Keyring.supplied(secret).unseal(sealed, b"a") == b"body"
    longer = Keyring.supplied(ring.text() + b"data 2 " + base64.b64encode(os.urandom(32)) + b"\n")
    assert longer.unseal(sealed, b"a") == b"body"
    assert longer.mac16("k", "v") == ring.mac16("k", "v")
    assert key_id_of(longer.seal(b"", b"a")) >> 16 == 2


def test_a_supplied_key_is_not_rotated_here_and_the_secret_is_not_shown() -> None:
    secret = b"correct horse battery staple, thrice"
    ring = Keyring.supplied(secret, where="${secret:HUB_KEY}")
    with pytest.raises(ConfigError, match="HUB_KEY") as e:
        ring.rotate()
    assert "data 2" in e.value.remedy
    assert "horse" not in str(e.value) and "horse" not in repr(vars(e.value))
