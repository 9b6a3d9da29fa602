"""Archives: read in place, refused when they are damaged or grow without end."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from code_samples import LOINC_COLUMNS, LOINC_ROWS, conso, csv_text, loinc, loinc_zip, write

from engine.codes.loaders.files import Files
from engine.codes.loaders.summary import Asked
from engine.codes.loading import load_release
from engine.codes.store import CodeStore
from engine.codes.systems import LOINC
from engine.kernel.errors import HubError


def test_a_truncated_zip_is_refused(tmp_path: Path) -> None:
    whole = loinc_zip(tmp_path / "Loinc_2.80.zip").read_bytes()
    for cut in (len(whole) // 2, len(whole) - 10, 100):
        (tmp_path / "Loinc_2.80.zip").write_bytes(whole[:cut])
        with pytest.raises(HubError, match=r"Loinc_2\.80\.zip: is damaged or cut short.*publisher"):
            load_release(tmp_path / "codes.db", tmp_path / "Loinc_2.80.zip")
    assert not (tmp_path / "codes.db").exists()


def test_one_changed_byte_in_a_zip_is_refused(tmp_path: Path) -> None:
    path = loinc_zip(tmp_path / "Loinc_2.80.zip")
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as made:
        at = made.getinfo("LoincTable/Loinc.csv").header_offset + 60
    data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(HubError, match=r"Loinc\.csv"):
        load_release(tmp_path / "codes.db", path)
    assert CodeStore(tmp_path / "codes.db").releases() == []


@pytest.mark.parametrize(
    ("filler", "said"),
    [
        ("x" * (40 << 20), "has a line without end"),
        (f'"{"x" * 1_000_000}"\r\n' * 80, "unpacks to far more than a release does"),
    ],
)
def test_a_bomb_is_refused_while_it_is_read(filler: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "RxNorm_full_05052025.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("RXNCONSO.RRF", (conso("1", "IN", "a") + filler).replace('"', ""))
    with pytest.raises(HubError, match=said), Files(path).open(Files(path).members[0]) as stream:
        for _ in stream:
            pass
    with pytest.raises(
        HubError, match=said.replace("unpacks to far more than a release does", "has 1 columns")
    ):
        load_release(tmp_path / "codes.db", path)


def test_names_that_climb_have_nowhere_to_go(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    path = inner / "Loinc_2.80.zip"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("../../Loinc.csv", csv_text(LOINC_ROWS, LOINC_COLUMNS))
        made.writestr("/etc/Loinc.csv", "not this")
    load_release(tmp_path / "store" / "codes.db", path)
    found = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert found == {
        "inner/Loinc_2.80.zip",
        *(f"store/codes.db{end}" for end in ("", "-load.lock")),
    } | {name for name in found if name.endswith(("-wal", "-shm"))}


def test_an_encrypted_zip_says_so(tmp_path: Path) -> None:
    path = loinc_zip(tmp_path / "Loinc_2.80.zip")
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\x01\x02") + 8
    data[at] |= 1
    path.write_bytes(data)
    with pytest.raises(HubError, match="is encrypted"):
        Files(path)


def test_gzip_folder_and_zip_hold_the_same(tmp_path: Path) -> None:
    text = csv_text(LOINC_ROWS, LOINC_COLUMNS)
    folder = write(tmp_path / "release", {"LoincTable/Loinc.csv": text})
    packed = tmp_path / "Loinc.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    zipped = tmp_path / "a.zip"
    with zipfile.ZipFile(zipped, "w") as made:
        made.writestr("Loinc.csv", text)
    digests = set()
    for n, path in enumerate((folder, packed, zipped)):
        summary = load_release(tmp_path / f"{n}.db", path, Asked(version="2.80"))
        digests.add(summary.releases[0][0].digest)
        assert CodeStore(tmp_path / f"{n}.db").lookup(LOINC, loinc(9100001))
    assert len(digests) == 1  # what is inside counts
    packed.write_bytes(gzip.compress(text.encode())[:-12])
    with pytest.raises(HubError, match=r"Loinc\.csv\.gz: is damaged or cut short"):
        load_release(tmp_path / "x.db", packed)


def test_a_truncated_package_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.tgz"
    with tarfile.open(path, "w:gz") as made:
        for name in ("package/package.json", "package/CodeSystem-a.json"):
            info = tarfile.TarInfo(name)
            body = b'{"name": "x", "version": "1.0.0"}' + b" " * 100_000
            info.size = len(body)
            made.addfile(info, io.BytesIO(body))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(HubError, match=r"p\.tgz: is damaged or cut short"):
        load_release(tmp_path / "codes.db", path)


def test_progress_ends_at_its_end(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    load_release(
        tmp_path / "codes.db",
        loinc_zip(tmp_path / "Loinc_2.80.zip"),
        tell=lambda *said: told.append(said),
    )
    assert told[-1][0] == "indexing"
    assert told[-1][1] == told[-1][2]
    assert all(at <= total for _, at, total in told)


@pytest.mark.parametrize("name", ["nothing.bin", "notes.txt"])
def test_what_is_no_release_says_so(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("hello\n")
    with pytest.raises(HubError, match=r"is no release this hub knows.*--as loinc"):
        load_release(tmp_path / "codes.db", tmp_path / name)
    with pytest.raises(HubError, match="is not there"):
        load_release(tmp_path / "codes.db", tmp_path / "gone.zip")
