"""Objects in a bucket: listed or copied by a backup, put back into a bucket or a folder, each one proven."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_project import NOW, make
from s3_server import ACCESS, BUCKET, REGION, SECRET, Bucket
from typer.testing import CliRunner

from engine.channels.backups.archive import Copies, named_in_bucket, objects_in, verify
from engine.channels.backups.keys import Keys
from engine.channels.backups.making import back_up
from engine.channels.backups.proving import prove
from engine.channels.backups.restoring import Restored, Wanted, restore
from engine.channels.node.opening import open_objects
from engine.channels.opening import open_keyring, open_staff
from engine.cli.main import app
from engine.kernel.config import Config, load_config
from engine.kernel.errors import HubError
from engine.objects.folder import FolderObjects

PIXELS = [b"pixels", b"other pixels" * 1000, b"a film" * 70_000, b"four"]


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    server = Bucket()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def source(bucket: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    """A hub with objects in a bucket, below a prefix, beside somebody else's."""
    monkeypatch.setenv("HUB_SECRET_S3", SECRET)
    monkeypatch.setenv("HUB_SECRET_S3_ACCESS", ACCESS)
    root = tmp_path / "hub"
    with make(root):
        said = (
            f"{{s3: '{bucket.endpoint}/{BUCKET}/ours', region: {REGION}, access_key: '${{secret:S3_ACCESS}}'"
        )
        path = root / "config.yaml"
        path.write_text(
            path.read_text().replace("{access_key: s3kr1t", said + ", secret_key: '${secret:S3}'")
        )
        config = load_config(root)
        put(config, *PIXELS)
        yield config


def put(config: Config, *bodies: bytes) -> list[str]:
    """Keep objects; return their addresses."""
    objects = open_objects(config, open_keyring(config))
    kept = []
    for body in bodies:
        arriving = objects.begin()
        arriving.write(body)
        kept.append(objects.keep(arriving).address)
    return kept


def back(config: Config, to: Path, *, copy: bool, now: int = NOW) -> Copies:
    staff = open_staff(config, open_keyring(config))
    try:
        return back_up(config, to, "ann", staff, open_keyring(config), now=now, bucket=copy)
    finally:
        staff.close()


def again(
    made: Copies, source: Config, to: Path, objects: Path | None = None
) -> tuple[Restored, dict[str, str]]:
    """Restore; return that, and what is wrong."""
    keys = Keys(open_keyring(source).text(), b"")
    done = restore(made.folder, Wanted(to, objects=objects, keys=keys))
    proofs = list(prove(done.config, done.said, done.keyring, made.folder))
    assert any(p.what == "sealed objects" for p in proofs)
    return done, {p.what: p.said for p in proofs if not p.good}


def test_objects_are_copied_out_of_the_bucket_and_what_is_known_is_linked(
    source: Config, bucket: Bucket, tmp_path: Path
) -> None:
    first = back(source, tmp_path / "to", copy=True)
    held = {f"ours/{o.address[:2]}/{o.address}": o for o in objects_in(first.folder)}
    assert first.said["objects"]["count"] == len(PIXELS) and set(held) == set(bucket.held)
    for name, one in held.items():
        path = first.folder / "objects" / one.address[:2] / one.address
        assert path.read_bytes() == bucket.held[name] and path.stat().st_mode & 0o077 == 0
    put(source, b"a fifth")
    bucket.asked.clear()
    second = back(source, tmp_path / "to", copy=True, now=NOW + 1000)
    assert second.said["objects"]["count"] == len(PIXELS) + 1
    assert sum(word == "GET -" for word in bucket.asked) == 1  # one object was fetched; the rest are links
    assert verify(second.folder, open_keyring(source)).bytes > first.bytes
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(HubError, match="not the file that was made"):
        verify(second.folder)


def test_they_go_back_into_an_empty_bucket(source: Config, bucket: Bucket, tmp_path: Path) -> None:
    made = back(source, tmp_path / "to", copy=True)
    with pytest.raises(HubError, match="something already"):
        again(made, source, tmp_path / "early")
    assert not (tmp_path / "early").exists()  # refused before anything was written
    lost = dict(bucket.held)
    bucket.held.clear()
    bucket.held["theirs/readme"] = b"of somebody else"
    _, wrong = again(made, source, tmp_path / "again")
    assert wrong == {} and {n: b for n, b in bucket.held.items() if n.startswith("ours/")} == lost


def test_they_go_back_into_a_folder(source: Config, tmp_path: Path) -> None:
    made = back(source, tmp_path / "to", copy=True)
    done, wrong = again(made, source, tmp_path / "again", tmp_path / "pixels")
    objects = FolderObjects(done.config.objects_dir, open_keyring(done.config))
    assert wrong == {} and not done.config.objects.s3
    assert sorted(objects.open(a).read() for a in objects.addresses(1 << 62)) == sorted(PIXELS)


@pytest.mark.parametrize(("then", "told"), [("gone", "1 are missing"), ("changed", "1 are not those")])
def test_an_object_that_is_not_what_was_put_back_is_found(
    source: Config, bucket: Bucket, tmp_path: Path, then: str, told: str
) -> None:
    made = back(source, tmp_path / "to", copy=True)
    bucket.held.clear()
    done, wrong = again(made, source, tmp_path / "again")
    assert wrong == {}
    name = sorted(bucket.held)[0]
    body = bucket.held.pop(name)
    if then == "changed":
        bucket.held[name] = body[:-1] + bytes([body[-1] ^ 1])
    (found,) = (p for p in prove(done.config, done.said, done.keyring, made.folder) if not p.good)
    assert found.what == "sealed objects" and told in found.said


def test_objects_that_stay_in_the_bucket_are_listed_and_looked_for(
    source: Config, bucket: Bucket, tmp_path: Path
) -> None:
    made = back(source, tmp_path / "to", copy=False)
    assert made.said["objects"]["named"] == len(PIXELS) and not (made.folder / "objects").exists()
    assert dict(named_in_bucket(made.folder)) == {n[-32:]: len(b) for n, b in bucket.held.items()}
    done, wrong = again(made, source, tmp_path / "again")
    assert wrong == {} and any("see that this bucket is there" in line for line in done.missing)
    bucket.held.pop(sorted(bucket.held)[0])
    (found,) = (p for p in prove(done.config, done.said, done.keyring, made.folder) if not p.good)
    assert "of 4 objects 1 are missing" in found.said


def test_a_bucket_that_is_away_keeps_nobody_from_a_backup_of_the_databases(
    source: Config, bucket: Bucket, tmp_path: Path
) -> None:
    bucket.trouble = lambda method, path: 403
    made = back(source, tmp_path / "to", copy=False)
    assert "403 Trouble" in made.said["objects"]["not listed"]
    with pytest.raises(HubError, match="could not be made"):
        back(source, tmp_path / "to", copy=True, now=NOW + 1000)


def test_from_the_command_line(source: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.root)
    run = CliRunner()
    said = run.invoke(app, ["backup", "--to", str(tmp_path / "a")])
    assert said.exit_code == 0 and "4 are listed, not copied" in said.output, said.output
    said = run.invoke(app, ["backup", "--to", str(tmp_path / "b"), "--objects", "copy"])
    assert said.exit_code == 0 and "4 objects" in said.output, said.output
    said = run.invoke(app, ["backup", "--objects", "both"])
    assert isinstance(said.exception, HubError) and "use name or copy" in said.exception.remedy
