"""Hashes only narrow: whatever matches a query is found, whichever way it is written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from imaging_samples import new, query, uid
from pydicom.dataset import Dataset

from engine.formats.dicom.jsonmodel import to_model
from engine.formats.dicom.matching import matches
from engine.imaging.index import SqlIndex
from engine.imaging.keys import Keys, day_of, letters
from engine.security.keys import Keyring

KEYS = Keys(Keyring.supplied(b"x" * 40))
LETTERS = st.sampled_from("abABéÉüßøŁſıİσς'- ^=山田がｱ.")
NAMES = st.text(LETTERS, min_size=1, max_size=14)


@st.composite
def asked(draw: st.DrawFn) -> tuple[str, str]:
    """A name, and a pattern made of it."""
    name = draw(NAMES)
    pattern = list(draw(st.sampled_from([name, name.upper(), name.lower(), name.casefold()])))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(pattern)))
        end = draw(st.integers(at, len(pattern)))
        pattern[at:end] = [draw(st.sampled_from(["*", "?", "*", "", "^", "="]))]
    return name, "".join(pattern)


@given(asked())
@settings(max_examples=2000, deadline=None)
def test_a_name_that_matches_is_never_narrowed_away(pair: tuple[str, str]) -> None:
    name, pattern = pair
    held, wanted = Dataset(), Dataset()
    held.PatientName, wanted.PatientName = name, pattern
    if matches(wanted, held):
        term = KEYS.name(pattern)
        assert term is None or term in KEYS.terms(to_model(held))


def test_names_are_found_by_their_letters() -> None:
    assert letters("O'Brien-Müller") == "OBRIENMULLER"
    assert letters("Straße") == "STRASSE"


def test_days_are_numbers_and_what_is_none_is_zero() -> None:
    assert [day_of(t) for t in ("20260501", "2026.05.01", "", "2026", "2026-05-01", "x")] == [
        20260501,
        20260501,
        0,
        0,
        0,
        0,
    ]


def test_two_processes_write_and_read_one_index(tmp_path: Path, keyring: Keyring) -> None:
    url = f"sqlite:///{tmp_path / 'imaging.db'}"
    index = SqlIndex.open(url, keyring)
    writer = """
import sys
from pathlib import Path
from engine.imaging.index import SqlIndex
from engine.security.keys import Keyring
from imaging_samples import new
index = SqlIndex.open(sys.argv[1], Keyring.open(Path(sys.argv[2]), existing_data=True))
series = int(sys.argv[3])
for number in range(1, 61):
    entry = series * 1000 + number
    index.add([new(entry, 1, series, number), new(entry + 500, series + 10, 1, number)])
index.close()
"""
    folders = [str(Path(__file__).parents[2]), str(Path(__file__).parent)]
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", writer, url, str(tmp_path / "hub.key"), str(series)],
            env={"PYTHONPATH": ":".join(folders)},
        )
        for series in (1, 2)
    ]
    index.add([new(n, 1, 3, n) for n in range(1, 61)])
    while any(w.poll() is None for w in writers):
        for study in index.search("STUDY", query(StudyInstanceUID=uid(1))):
            held = index.instances(study=uid(1))
            assert len(held) >= int(study.NumberOfStudyRelatedInstances)  # only ever more
    assert [w.returncode for w in writers] == [0, 0]
    assert index.counts()["instances"] == 300
    study = index.study(uid(1))
    assert study is not None and (study.series, study.instances) == (3, 180)
    index.close()


def test_a_header_with_values_that_are_none_is_indexed_all_the_same(tmp_path: Path, keyring: Keyring) -> None:
    index = SqlIndex.open(f"sqlite:///{tmp_path / 'imaging.db'}", keyring)
    odd = new(1, StudyDate="yesterday", SeriesNumber=None, InstanceNumber=None, PatientName="", PatientID="")
    odd.header.add_new(0x00200013, "IS", None)
    assert index.add([odd])[0].what == "new"
    assert [str(s.StudyInstanceUID) for s in index.search("STUDY", query(StudyDate=""))] == [uid(1)]
    index.close()
