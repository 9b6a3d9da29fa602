"""What is forgotten is gone with its objects, and nothing that is needed goes."""

from __future__ import annotations

from pathlib import Path

import pytest
from imaging_samples import new, query, uid

from engine.imaging.index import SqlIndex
from engine.imaging.retention import GRACE, expire
from engine.kernel.imaging import Linked
from engine.objects.folder import FolderObjects
from engine.security.keys import Keyring

DAY = 86_400_000
LINKED = Linked("linked")


def tell(index: SqlIndex, *studies: int) -> None:
    for number in studies:
        study = index.study(uid(number))
        assert study is not None
        index.tell(study.uid, study.version, 9, LINKED)


def test_a_forgotten_study_leaves_nothing_but_its_neighbours(index: SqlIndex) -> None:
    index.add([new(1), new(2, series=2), new(3, address="ff" * 16), new(4, 2)])
    index.queue("forward", 4, [("PACS", uid(1, 1, 1)), ("PACS", uid(2, 1, 1))])
    gone = index.forget(uid(1))
    assert sorted(gone) == sorted([new(1).stored.address, new(2, series=2).stored.address, "ff" * 16])
    assert index.study(uid(1)) is None and index.look(uid(1, 1, 1)) is None and index.others() == []
    assert list(index.search("STUDY", query(PatientID="P1"))) == []
    assert [s.sop_instance for s in index.due_sendings("PACS", 0, 9)] == [uid(2, 1, 1)]
    assert index.counts() | {"untold": 0, "reconcile": 0} == {
        "studies": 1,
        "series": 1,
        "instances": 1,
        "untold": 0,
        "reconcile": 0,
        "other_bytes": 0,
        "commitments": 0,
        "sendings": 1,
    }
    assert index.forget(uid(1)) == []
    assert index.add([new(9)])[0].what == "new"  # it may come again


def test_an_object_that_something_else_uses_stays(index: SqlIndex) -> None:
    index.add([new(1, address="aa" * 16), new(2, 2, address="aa" * 16), new(3, 2, 1, 1, address="bb" * 16)])
    assert index.forget(uid(1)) == []
    assert sorted(index.forget(uid(2))) == ["aa" * 16, "bb" * 16]


def test_single_instances_are_forgotten_and_counted(index: SqlIndex) -> None:
    index.add([new(1), new(2, number=2), new(3, series=2)])
    gone = index.forget(sop=(uid(1, 1, 1), uid(1, 2, 1)))
    assert sorted(gone) == sorted([new(1).stored.address, new(3, series=2).stored.address])
    study = index.study(uid(1))
    assert study is not None and (study.series, study.instances) == (1, 1)
    assert study.version > 1  # it is told again
    index.forget(sop=(uid(1, 1, 2),))
    assert index.study(uid(1)) is None and index.by_key("accession", "A1") == []


def test_only_what_is_old_told_and_sent_expires(tmp_path: Path, keyring: Keyring) -> None:
    index = SqlIndex.open(f"sqlite:///{tmp_path / 'imaging.db'}", keyring)
    objects = FolderObjects(tmp_path / "objects", keyring)
    addresses = {}
    for number in range(1, 6):
        arriving = objects.begin()
        arriving.write(b"object %d" % number)
        addresses[number] = objects.keep(arriving).address
    at = {1: 1 * DAY, 2: 1 * DAY, 3: 1 * DAY, 4: 50 * DAY, 5: 1 * DAY}
    index.add([new(n, n, address=addresses[n], at=at[n]) for n in addresses])
    index.add([new(9, 5, number=2, address=addresses[5], at=50 * DAY)])  # it still grows
    tell(index, 1, 3, 4, 5)  # 2 is not told
    index.enqueue("PACS", [uid(3, 1, 1)])  # 3 is not sent
    now = 1 << 60  # every file here is older than the grace
    assert expire(index.retention, objects, 40 * DAY, now) == 1
    assert [n for n in addresses if index.study(uid(n)) is None] == [1]
    assert sorted(objects.addresses(now)) == sorted(addresses[n] for n in (2, 3, 4, 5))
    tell(index, 2)
    index.sent([s.number for s in index.due_sendings("PACS", 0, 9)])
    assert expire(index.retention, objects, 40 * DAY, now) == 2
    assert expire(index.retention, objects, 40 * DAY, now) == 0
    assert [n for n in addresses if index.study(uid(n)) is not None] == [4, 5]
    index.close()


def test_an_object_that_comes_again_while_it_is_forgotten_stays(tmp_path: Path, keyring: Keyring) -> None:
    index = SqlIndex.open(f"sqlite:///{tmp_path / 'imaging.db'}", keyring)
    objects = FolderObjects(tmp_path / "objects", keyring)
    arriving = objects.begin()
    arriving.write(b"again")
    stored = objects.keep(arriving)  # a moment ago
    index.add([new(1, address=stored.address, at=DAY)])
    tell(index, 1)
    moment = int((objects.root / stored.address[:2] / stored.address).stat().st_mtime * 1000)
    assert expire(index.retention, objects, 2 * DAY, moment + GRACE) == 1
    assert list(objects.addresses(1 << 60)) == [stored.address]
    index.close()


@pytest.mark.parametrize("known", [[], ["ff" * 16]])
def test_used_says_what_is_held(index: SqlIndex, known: list[str]) -> None:
    index.add([new(n, address=address) for n, address in enumerate(known, 1)])
    assert index.used([*known, "ee" * 16]) == set(known)
