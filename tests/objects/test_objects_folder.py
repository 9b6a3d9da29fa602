"""Objects in a folder: kept once, whole or not at all, whoever else uses it and whatever the disk does."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from engine.kernel.clock import now_ms
from engine.kernel.errors import HubError
from engine.objects.folder import FolderObjects, MissingObject
from engine.objects.sealed import DamagedObject
from engine.security.keys import Keyring

LATER = 1 << 60  # ms: a time after everything here
ROOT = Path(__file__).parents[2]


def files(root: Path) -> list[Path]:
    return sorted(p for p in root.rglob("*") if p.is_file())


def put(objects: FolderObjects, *pieces: bytes) -> str:
    arriving = objects.begin()
    for piece in pieces:
        arriving.write(piece)
    stored = objects.keep(arriving)
    assert stored.size == sum(map(len, pieces))
    return stored.address


@pytest.fixture
def objects(tmp_path: Path, keyring: Keyring) -> FolderObjects:
    return FolderObjects(tmp_path / "objects", keyring)


def test_what_was_kept_is_read_and_is_its_owners_only(objects: FolderObjects) -> None:
    whole = random.Random(1).randbytes(3_000_000)
    address = put(objects, whole[:100], whole[100:])
    with objects.open(address) as opened:
        assert opened.read() == whole
        opened.seek(2_000_000)
        assert opened.read(5) == whole[2_000_000:2_000_005]
    (file,) = files(objects.root)
    assert file == objects.root / address[:2] / address
    assert file.stat().st_mode & 0o077 == 0
    assert whole[:40] not in file.read_bytes()


def test_the_same_bytes_are_kept_once(objects: FolderObjects) -> None:
    first = put(objects, b"the same")
    with objects.open(first) as opened:
        assert put(objects, b"the ", b"same") == first
        assert opened.read() == b"the same"  # who reads meanwhile goes on reading
    assert len(files(objects.root)) == 1
    assert put(objects, b"another") != first


def test_nothing_is_visible_before_it_is_kept_and_nothing_stays_of_what_is_abandoned(
    objects: FolderObjects,
) -> None:
    arriving = objects.begin()
    arriving.write(b"a" * 5_000_000)
    assert [p.suffix for p in files(objects.root)] == [".part"]
    assert list(objects.addresses(LATER)) == []
    arriving.abandon()
    arriving.abandon()
    assert files(objects.root) == []
    with pytest.raises(OSError):
        arriving.write(b"more")


def test_a_missing_or_damaged_object_is_an_error_that_names_it(objects: FolderObjects) -> None:
    for address in ("0" * 32, "../../../etc/passwd", "", "G" * 32):
        with pytest.raises(MissingObject):
            objects.open(address)
    address = put(objects, b"abc")
    (file,) = files(objects.root)
    file.write_bytes(file.read_bytes()[:-1])
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DamagedObject, match=address):
        objects.open(address)
    assert len(os.listdir("/proc/self/fd")) == before


def test_deleted_is_gone(objects: FolderObjects) -> None:
    address = put(objects, b"abc")
    assert objects.delete(address)
    assert not objects.delete(address)
    with pytest.raises(HubError):
        objects.open(address)


def test_what_is_brought_again_is_not_discarded(objects: FolderObjects) -> None:
    address = put(objects, b"abc")
    os.utime(objects.root / address[:2] / address, (1, 1))
    moment = now_ms() - 60_000
    assert list(objects.addresses(moment)) == [address]
    put(objects, b"abc")
    assert list(objects.addresses(moment)) == []
    assert not objects.discard(address, moment)
    assert objects.open(address).read() == b"abc"
    assert objects.discard(address, LATER)
    assert objects.discard(address, LATER)  # gone is gone
    assert files(objects.root) == []


@pytest.mark.parametrize("when", ["begin", "write", "keep"])
def test_a_full_disk_is_an_oserror_and_leaves_nothing(
    objects: FolderObjects, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    real, left = os.write, {"begin": 0, "write": 1_000_000, "keep": 4_000_000}[when]

    def write(handle: int, data: bytes) -> int:
        nonlocal left
        if left <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        done = real(handle, memoryview(data)[:left])  # a disk that fills takes a part first
        left -= done
        return done

    open_before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError) as full:
        arriving = objects.begin()
        for _ in range(4):
            arriving.write(bytes(1 << 20))
        objects.keep(arriving)
    assert full.value.errno == errno.ENOSPC
    assert files(objects.root) == []
    assert len(os.listdir("/proc/self/fd")) == open_before
    monkeypatch.undo()
    put(objects, b"there is room again")


def test_a_failed_fsync_or_rename_leaves_nothing(
    objects: FolderObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    for name in ("fsync", "rename"):
        arriving = objects.begin()
        arriving.write(b"abc")
        monkeypatch.setattr(os, name, fail)
        with pytest.raises(OSError):
            objects.keep(arriving)
        monkeypatch.undo()
        assert files(objects.root) == []


def test_below_its_reserve_the_disk_takes_no_more(
    objects: FolderObjects, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    free = objects.disk_free()
    assert free
    with pytest.raises(OSError) as full:
        FolderObjects(objects.root, keyring, reserve_bytes=free * 2).begin()
    assert full.value.errno == errno.ENOSPC
    assert files(objects.root) == []


def test_the_next_start_removes_leftovers_and_spares_a_neighbour(
    objects: FolderObjects, keyring: Keyring, tmp_path: Path
) -> None:
    dying = """
import os, sys
from pathlib import Path
from engine.objects.folder import FolderObjects
from engine.security.keys import Keyring
arriving = FolderObjects(Path(sys.argv[1]), Keyring.open(Path(sys.argv[2]), existing_data=True)).begin()
arriving.write(b"half")
os._exit(9)
"""
    subprocess.run(
        [sys.executable, "-c", dying, str(objects.root), str(tmp_path / "hub.key")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    live = objects.begin()
    live.write(b"mine")
    assert len(files(objects.root)) == 2
    FolderObjects(objects.root, keyring)
    assert files(objects.root) == [live.path]
    assert objects.open(objects.keep(live).address).read() == b"mine"


def test_threads_that_bring_the_same_bytes_all_find_them(objects: FolderObjects) -> None:
    found: list[bytes] = []

    def bring() -> None:
        for n in range(10):
            found.append(objects.open(put(objects, b"object %d" % n)).read())

    threads = [threading.Thread(target=bring) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == sorted(b"object %d" % n for n in range(10) for _ in range(4))
    assert len(files(objects.root)) == 10


def test_what_is_put_aside_can_be_brought_back(objects: FolderObjects) -> None:
    address = put(objects, b"an object")
    moment = now_ms() + 60_000
    assert not objects.put_aside(address, 0) and list(objects.addresses(LATER)) == [address]
    assert objects.put_aside(address, moment) and not objects.put_aside(address, moment)
    assert list(objects.addresses(LATER)) == [] and list(objects.leftovers(0)) == []
    assert list(objects.leftovers(moment)) == [address]
    with pytest.raises(MissingObject):
        objects.open(address)
    assert objects.bring_back(address) and not objects.bring_back(address)
    assert objects.open(address).read() == b"an object"
    assert objects.put_aside(address, moment) and objects.remove_leftover(address)
    assert not objects.remove_leftover(address) and not objects.bring_back(address)


def test_what_is_touched_is_counted_on(objects: FolderObjects) -> None:
    address = put(objects, b"an object")
    os.utime(objects.root / address[:2] / address, (1, 1))
    assert objects.touch(address)
    assert not objects.discard(address, 2_000_000)
    objects.delete(address)
    assert not objects.touch(address)
