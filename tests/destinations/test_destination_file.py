"""A folder that files are put into: whole, once, on disk, never over another parcel's, never outside."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from behaviour import MARKS, TakenNames

from engine.destinations.file import FileDestination
from engine.kernel.delivery import Around, Parcel


class Folder:
    """A folder whose disk can be taken away."""

    def __init__(self, root: Path) -> None:
        self.path, self._elsewhere = root / "archive", root / "unmounted"
        self.path.mkdir()
        self.words: dict[str, Any] = {"path": f"{self.path}/{{type}}/{{control_id}}.hl7"}
        self.secrets = ()

    def files(self) -> list[Path]:
        return sorted(p for p in self.path.rglob("*") if p.is_file())

    def taken(self) -> list[bytes]:
        return [p.read_bytes() for p in self.files()]

    def away(self) -> None:
        self.path.rename(self._elsewhere)

    def back(self) -> None:
        self._elsewhere.rename(self.path)


class TestFile(TakenNames):
    word = "file"
    can_refuse = False
    never_refuses = "a folder judges no content"
    can_lose_answers = False
    never_loses = "the system's answer comes with the call"

    @pytest.fixture
    def side(self, tmp_path: Path) -> Folder:
        return Folder(tmp_path)

    def other(self, **facts: str) -> Parcel:
        """Return another parcel whose words are the first one's."""
        return replace(self.parcel(2), facts={**self.parcel().facts, **facts})

    def test_names(self, side: Folder, made: Any) -> None:
        (side.path / "in").mkdir()
        there = made(path=f"{side.path}/in/{{received:%Y%m}}/{{channel}}-{{event}}.{{key}}.hl7")
        assert there.deliver(self.parcel()).verdict == "sent"
        assert side.files() == [side.path / "in/202605/lab_oru-R01.lab_oru-101-other-1.hl7"]

    def test_a_folder_of_the_project(self, side: Folder, made: Any, around: Around) -> None:
        (around.root / "out").mkdir()
        assert made(path="out/{entry}.hl7").deliver(self.parcel()).verdict == "sent"
        assert (around.root / "out/101.hl7").read_bytes() == self.parcel().body

    @pytest.mark.parametrize(
        ("control_id", "name"),
        [
            ("../../etc/passwd", "_.._etc_passwd.hl7"),
            ("..", "_.hl7"),
            (".hidden", "hidden.hl7"),
            ("a/b\\c:d*?\0\n", "a_b_c_d____.hl7"),
            ("Ü" * 300, "_" * 80 + ".hl7"),
        ],
    )
    def test_names_are_made_safe(self, side: Folder, made: Any, control_id: str, name: str) -> None:
        assert made().deliver(self.other(control_id=control_id)).verdict == "sent"
        assert side.files() == [side.path / "ORU_R01" / name]
        assert [p.name for p in side.path.parent.iterdir() if p.name not in ("project", "archive")] == []

    def test_a_link_that_leads_out_is_not_followed(self, side: Folder, made: Any, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        (side.path / "ORU_R01").symlink_to(tmp_path / "elsewhere")
        there = made(path=f"{side.path}/{{type}}/{{channel}}/{{entry}}.hl7")
        receipt = there.deliver(self.parcel())
        assert receipt.verdict == "park" and "leads out" in receipt.why
        assert list((tmp_path / "elsewhere").iterdir()) == []

    def test_it_waits_until_the_file_was_taken(self, side: Folder, made: Any) -> None:
        there = made(exists="wait", path=f"{side.path}/next.hl7")
        assert there.deliver(self.parcel(1)).verdict == "sent"
        assert there.deliver(self.parcel(2)).verdict == "retry"
        (side.path / "next.hl7").unlink()
        assert there.deliver(self.parcel(2)).verdict == "sent"
        assert side.taken() == [self.parcel(2).body]

    @pytest.mark.parametrize("cut", ["write", "fsync", "link", "unlink"])
    def test_power_cuts(self, side: Folder, made: Any, monkeypatch: pytest.MonkeyPatch, cut: str) -> None:
        class PowerCut(BaseException):
            pass

        def fail(*_: Any, **__: Any) -> Any:
            raise PowerCut

        there = made()
        target = (Path, "unlink") if cut == "unlink" else (os, cut)
        with monkeypatch.context() as patch:
            patch.setattr(*target, fail) if cut != "write" else patch.setattr(os, "fchmod", fail)
            with pytest.raises(PowerCut):
                there.deliver(self.parcel())
        whole = [p for p in side.files() if not p.name.startswith(".")]
        assert all(p.read_bytes() == self.parcel().body for p in whole)  # half a file has no name
        assert made().deliver(self.parcel()).verdict == "sent"
        assert side.taken() == [self.parcel().body]  # and nothing is left behind

    def test_a_disk_without_links(self, side: Folder, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def none(*_: Any, **__: Any) -> None:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")

        monkeypatch.setattr(os, "link", none)
        there = made()
        assert there.deliver(self.parcel()).verdict == "sent"
        assert there.deliver(self.other()).verdict == "park"
        assert side.taken() == [self.parcel().body]

    def test_a_full_disk(self, side: Folder, made: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        there = made()
        monkeypatch.setattr(os, "fsync", full)
        receipt = there.deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True) and "No space left" in receipt.why
        monkeypatch.undo()
        assert there.deliver(self.parcel()).verdict == "sent" and len(side.taken()) == 1

    def test_modes(self, side: Folder, made: Any) -> None:
        made(mode="664").deliver(self.parcel())
        (path,) = side.files()
        assert path.stat().st_mode & 0o777 == 0o664 and path.parent.stat().st_mode & 0o777 == 0o775

    def test_a_name_is_shown_only_where_it_tells_nothing(self, side: Folder, made: Any) -> None:
        assert made().deliver(self.parcel()).reference == ""
        shown = made(path=f"{side.path}/{{entry}}.hl7").deliver(self.parcel(2)).reference
        assert shown == f"{side.path}/102.hl7" and MARKS[2] not in shown


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/archive/{type}/../{entry}.hl7", "leads out"),
        ("/archive/{type}/./x", "leads out"),
        ("/archive/{type}/", "does not end"),
        ("/archive//{type}//x", "does not end"),
        ("/archive/{typ}.hl7", "not known"),
        ("/archive/{{type}}", "no path"),
        ("/archive/\n{type}", "no path"),
    ],
)
def test_paths_that_cannot_be_followed(path: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        FileDestination(path=path)
