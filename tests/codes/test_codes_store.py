"""The code store: versions side by side, atomic loads, readers beside a writer, search."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from code_samples import (
    DISEASE,
    LOINC_COLUMNS,
    LOINC_ROWS,
    MILD,
    csv_text,
    loinc,
    loinc_row,
    rf2,
    write,
    zipped,
)
from hypothesis import given
from hypothesis import strategies as st

from engine.codes.database import writing
from engine.codes.loaders.summary import Asked
from engine.codes.loading import load_release, make_current, remove_release
from engine.codes.searching import words
from engine.codes.store import CodeStore
from engine.codes.systems import LOINC, SNOMED
from engine.codes.writing import Load
from engine.kernel.errors import HubError, StoreUnavailable
from engine.terminology.concepts import CodeService

A = loinc(9100001)


def _load(
    folder: Path, version: str, *, effective: str = "", current: bool | None = None, **changed: str
) -> None:
    rows = [loinc_row(9100001, "Examplate", **changed), *LOINC_ROWS[1:]]
    path = folder / "Loinc.csv"
    path.write_text(csv_text(rows, LOINC_COLUMNS))
    load_release(folder / "codes.db", path, Asked(version=version, effective=effective), current=current)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[CodeStore]:
    made = CodeStore(tmp_path / "codes.db")
    yield made
    made.close()


def _name(store: CodeStore, version: str = "") -> str:
    store._due = 0.0  # a second later
    found = store.lookup(LOINC, A, version)
    assert found is not None
    return found.display


def test_nothing_loaded_is_an_answer_too(store: CodeStore) -> None:
    service: CodeService = store
    assert service.releases() == []
    assert service.lookup(LOINC, A) is None
    assert service.validate(LOINC, A) == (False, f"no release of {LOINC} is loaded")
    assert service.search(LOINC, "x") == []
    assert service.translate(LOINC, A, SNOMED) == []
    assert service.subsumes(LOINC, A, A) is None
    assert store.document("ValueSet", "u") is None and store.documents("ValueSet") == []
    assert store.names(LOINC, A) == [] and list(store.descendants(LOINC, A)) == []


def test_versions_live_side_by_side(tmp_path: Path, store: CodeStore) -> None:
    _load(tmp_path, "2.80", LONG_COMMON_NAME="as it was")
    assert _name(store) == "as it was"
    _load(tmp_path, "2.81", LONG_COMMON_NAME="as it is")
    assert _name(store) == "as it is"
    assert _name(store, "2.80") == "as it was"
    assert _name(store, "2.81") == "as it is"
    assert store.lookup(LOINC, A, "2.79") is None
    assert store.validate(LOINC, A, version="2.79") == (False, f"no release of {LOINC} 2.79 is loaded")
    make_current(tmp_path / "codes.db", LOINC, "2.80")
    assert _name(store) == "as it was"
    assert store.search(LOINC, "as it")[0].display == "as it was"
    with pytest.raises(HubError, match=r"2\.80 is the current release"):
        remove_release(tmp_path / "codes.db", LOINC, "2.80")
    remove_release(tmp_path / "codes.db", LOINC, "2.81")
    store._due = 0.0
    assert [r.version for r in store.releases()] == ["2.80"]
    with pytest.raises(HubError, match=r"no release 2\.81"):
        make_current(tmp_path / "codes.db", LOINC, "2.81")


def test_which_release_becomes_current(tmp_path: Path, store: CodeStore) -> None:
    def version() -> str:
        store._due = 0.0
        found = store.in_force(LOINC)
        assert found is not None
        return found.version

    _load(tmp_path, "2.9", effective="2020-01-01")
    _load(tmp_path, "2.8", effective="2019-01-01")  # an older one, loaded later
    assert version() == "2.9"
    _load(tmp_path, "2.99", effective="2999-01-01")  # not in effect yet
    assert version() == "2.9"
    _load(tmp_path, "2.81")  # without a date: numbers, not letters, say which is newer
    assert version() == "2.81"
    _load(tmp_path, "2.80", current=True)
    assert version() == "2.80"
    _load(tmp_path, "2.82", current=False)
    assert version() == "2.80"


def test_a_part_that_ships_never_takes_the_place_of_the_whole(tmp_path: Path, store: CodeStore) -> None:
    _load(tmp_path, "2.81")
    path = tmp_path / "Loinc.csv"
    path.write_text(csv_text(LOINC_ROWS[:1], LOINC_COLUMNS))
    for _ in range(2):
        summary = load_release(tmp_path / "codes.db", path, Asked(version="part of 2.82"))
        assert summary.releases[0][1] is False
    assert len(store.search(LOINC, "")) == 5
    assert len(store.search(LOINC, "", version="part of 2.82")) == 1


def test_what_replaces_the_current_release_is_current_whatever_its_date(
    tmp_path: Path, store: CodeStore
) -> None:
    _load(tmp_path, "2.80")
    _load(tmp_path, "2.80", effective="2999-01-01", LONG_COMMON_NAME="mended", current=False)
    assert _name(store) == "mended"


def test_the_same_version_again_replaces_it(tmp_path: Path, store: CodeStore) -> None:
    _load(tmp_path, "2.80", LONG_COMMON_NAME="first")
    assert _name(store) == "first"
    _load(tmp_path, "2.80", LONG_COMMON_NAME="mended")
    assert _name(store) == "mended"
    assert len(store.releases()) == 1
    with sqlite3.connect(tmp_path / "codes.db") as file:
        tables = {name for (name,) in file.execute("SELECT name FROM sqlite_master")}
    assert "concept_2" in tables and "concept_1" not in tables


class _PowerCut(BaseException):
    pass


def test_an_interrupted_load_leaves_nothing_readable_and_can_be_run_again(
    tmp_path: Path, store: CodeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    _load(tmp_path, "2.80")
    before = _name(store)
    for moment in ("settle", "commit", "counts"):
        with monkeypatch.context() as at:

            def cut(self: Load, *rest: object, **more: object) -> None:
                raise _PowerCut

            at.setattr(Load, moment, cut)
            at.setattr(Load, "abandon", lambda self: None)  # the process is gone, nobody tidies up
            with pytest.raises(_PowerCut):
                _load(tmp_path, "2.81", LONG_COMMON_NAME="half")
        assert _name(store) == before
        assert store.lookup(LOINC, A, "2.81") is None
    (tmp_path / "Loinc.csv").write_text(csv_text(LOINC_ROWS, LOINC_COLUMNS))
    summary = load_release(tmp_path / "codes.db", tmp_path / "Loinc.csv", Asked(version="2.81"))
    assert summary.notes == ["what an interrupted load had left behind was removed"]
    with sqlite3.connect(tmp_path / "codes.db") as file:
        assert file.execute("SELECT count(*) FROM load").fetchone() == (2,)
        assert file.execute("SELECT count(*) FROM release").fetchone() == (2,)
    assert _name(store, "2.81").startswith("Examplate")


def test_two_loads_at_once_are_refused(tmp_path: Path) -> None:
    with writing(tmp_path / "codes.db"), pytest.raises(HubError, match="another process is loading"):
        _load(tmp_path, "2.80")


def test_readers_go_on_while_a_release_is_switched_in(tmp_path: Path, store: CodeStore) -> None:
    _load(tmp_path, "2.80")
    stop, wrong = threading.Event(), []

    def read() -> None:
        try:
            while not stop.is_set():
                store._due = 0.0
                found = store.lookup(LOINC, A)
                if found is None or not store.search(LOINC, "examplate"):
                    wrong.append("gone")
        except Exception as error:
            wrong.append(repr(error))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for n in range(5):
        _load(tmp_path, "2.80", SHORTNAME=f"n{n}")
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_release_of_which_a_part_is_gone_is_told_as_damaged(tmp_path: Path, store: CodeStore) -> None:
    _load(tmp_path, "2.80")
    assert store.search(LOINC, "examplate")
    with sqlite3.connect(tmp_path / "codes.db") as connection:
        (words,) = connection.execute(
            "SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE VIRTUAL%' LIMIT 1"
        ).fetchone()
        connection.execute(f"DROP TABLE {words}_data")
    fresh = CodeStore(tmp_path / "codes.db")
    with pytest.raises(StoreUnavailable, match="loaded again"):
        fresh.search(LOINC, "examplate")
    assert fresh.lookup(LOINC, A) is not None
    fresh.close()


def test_a_damaged_file_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "codes.db").write_bytes(b"this is no database" * 500)
    with pytest.raises(StoreUnavailable, match="loaded again"):
        CodeStore(tmp_path / "codes.db").lookup(LOINC, A)
    with pytest.raises(StoreUnavailable):
        _load(tmp_path, "2.80")


def test_a_file_that_is_deleted_and_made_again_is_noticed(tmp_path: Path, store: CodeStore) -> None:
    _load(tmp_path, "2.80", LONG_COMMON_NAME="before")
    assert _name(store) == "before"
    for path in tmp_path.glob("codes.db*"):
        path.unlink()
    store._due = 0.0
    assert store.releases() == [] and store.lookup(LOINC, A) is None
    _load(tmp_path, "2.81", LONG_COMMON_NAME="after")
    assert _name(store) == "after"
    assert [r.version for r in store.releases()] == ["2.81"]


def test_another_layout_is_refused(tmp_path: Path, store: CodeStore) -> None:
    _load(tmp_path, "2.80")
    with sqlite3.connect(tmp_path / "codes.db") as file:
        file.execute("PRAGMA user_version=99")
    with pytest.raises(HubError, match="its layout is 99"):
        store.lookup(LOINC, A)


def test_the_file_is_its_owners_only(tmp_path: Path) -> None:
    _load(tmp_path, "2.80")
    assert (tmp_path / "codes.db").stat().st_mode & 0o777 == 0o600


def test_validate_tells_another_name(tmp_path: Path, store: CodeStore) -> None:
    _load(tmp_path, "2.80")
    display = _name(store)
    assert store.validate(LOINC, A, display.upper()) == (True, "")
    assert store.validate(LOINC, A, "examplate serpl-scnc") == (True, "")  # its short name
    assert store.validate(LOINC, A, "Glucose") == (True, f"the name of {A!r} in {LOINC} 2.80 is {display!r}")
    assert store.validate(LOINC, "9-9") == (False, f"'9-9' is not in {LOINC} 2.80")


def test_search(tmp_path: Path, store: CodeStore) -> None:
    _load(tmp_path, "2.80")
    store._due = 0.0
    assert [c.code for c in store.search(LOINC, "serum exam")] == [A, loinc(9100003)]
    assert store.search(LOINC, "serum nonsense") == []
    assert [c.code for c in store.search(LOINC, "nonsense testonium", any_word=True)] == [loinc(9100002)]
    assert [c.code for c in store.search(LOINC, A)] == [A]  # a code finds itself
    assert store.search(LOINC, A, offset=1) == []
    nominal = store.search(LOINC, "serum", properties={"SCALE_TYP": "Nom"})
    assert [c.code for c in nominal] == [loinc(9100005)]
    everything = [c.code for c in store.search(LOINC, "", limit=100)]
    assert everything == sorted(everything) and len(everything) == 5
    for text, properties in (
        ("", {}),
        ("serum", {}),
        ("serum", {"SCALE_TYP": "Nom"}),
        ("!", {}),
        ("zzz", {}),
    ):
        assert store.count(LOINC, text, properties) == len(store.search(LOINC, text, 100, 0, properties))
    assert store.count("urn:x:none") == 0
    pages = [store.search(LOINC, "serum", limit=2, offset=n) for n in (0, 2, 4)]
    assert [c.code for page in pages for c in page] == [c.code for c in store.search(LOINC, "serum")]


@given(text=st.text(max_size=40))
def test_no_text_is_an_instruction(text: str, searched: CodeStore) -> None:
    for any_word in (False, True):
        for found in searched.search(LOINC, text, any_word=any_word):
            assert found.system == LOINC


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodeStore]:
    folder = tmp_path_factory.mktemp("codes")
    _load(folder, "2.80")
    made = CodeStore(folder / "codes.db")
    yield made
    made.close()


def test_a_property_with_several_values_fits_each(tmp_path: Path, store: CodeStore) -> None:
    path = tmp_path / "terms.json"
    said = [{"code": "tag", "valueString": text} for text in ("left", "right side")]
    system = {"resourceType": "CodeSystem", "url": "urn:x:a", "concept": [{"code": "a", "property": said}]}
    path.write_text(json.dumps(system))
    load_release(tmp_path / "codes.db", path)
    for value, found in (("left", 1), ("right side", 1), ("right", 0), ("side", 0), ("", 0)):
        assert len(store.search("urn:x:a", "", properties={"tag": value})) == found, value
    assert store.search("urn:x:a", "", properties={"other": "left"}) == []
    assert store.search("urn:x:a", "", properties={'a".b': "left"}) == []


def test_a_child_process_opens_the_file_for_itself(tmp_path: Path, store: CodeStore) -> None:
    _load(tmp_path, "2.80")
    name = _name(store)
    read, write_ = os.pipe()
    child = os.fork()
    if child == 0:
        store._concept.cache_clear()
        found = store.lookup(LOINC, A)
        mine = store._connection() in store._parents[0]  # type: ignore[operator]
        os.write(write_, f"{found.display if found else ''}|{mine}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 1000).decode() == f"{name}|False"


def test_words() -> None:
    assert words('K+ (serum) "x_y" OR NOT*') == ["K", "serum", "x", "y", "OR", "NOT"]


def test_a_circle_in_a_hierarchy_ends(tmp_path: Path, store: CodeStore) -> None:
    parts = rf2()
    name = next(name for name in parts if "_Relationship_" in name)
    row = next(line for line in parts[name].splitlines(keepends=True) if f"{MILD}\t{DISEASE}" in line)
    parts[name] += row.replace(f"{MILD}\t{DISEASE}", f"{DISEASE}\t{MILD}")
    load_release(tmp_path / "codes.db", write(tmp_path / "edition", parts))
    store._due = 0.0
    assert store.subsumes(SNOMED, MILD, DISEASE) == "subsumes"
    assert MILD not in set(store.descendants(SNOMED, MILD))


def test_systems_do_not_disturb_each_other(tmp_path: Path, store: CodeStore) -> None:
    _load(tmp_path, "2.80")
    load_release(tmp_path / "codes.db", zipped(tmp_path / "e.zip", rf2()))
    remove_release(tmp_path / "codes.db", LOINC, "2.80", even_current=True)
    store._due = 0.0
    assert store.lookup(LOINC, A) is None
    assert store.lookup(SNOMED, MILD) is not None
