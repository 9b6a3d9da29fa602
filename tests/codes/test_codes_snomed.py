"""SNOMED CT in RF2: snapshot, delta, maps with rules, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from code_samples import (
    DISEASE,
    FSN,
    GB,
    GONE,
    INVENTED_SET,
    IS_A,
    MILD,
    MODULE,
    PREFERRED,
    ROOT,
    SEVERE,
    SYNONYM,
    US,
    rf2,
    sct,
    write,
    zipped,
)

from engine.codes.loaders.summary import Asked
from engine.codes.loading import load_release
from engine.codes.store import CodeStore
from engine.codes.systems import ICD10, SNOMED
from engine.kernel.errors import HubError

VERSION = "http://snomed.info/sct/900000000000207008/version/20250101"


@pytest.fixture
def loaded(tmp_path: Path) -> CodeStore:
    load_release(tmp_path / "codes.db", zipped(tmp_path / "edition.zip", rf2()))
    return CodeStore(tmp_path / "codes.db")


def _name(store: CodeStore, code: str, version: str = "") -> str:
    found = store.lookup(SNOMED, code, version)
    assert found is not None
    return found.display


def test_a_snapshot(loaded: CodeStore) -> None:
    (release,) = loaded.releases()
    assert (release.version, release.effective, release.concepts) == (VERSION, "2025-01-01", 5)
    found = loaded.lookup(SNOMED, MILD)
    assert found is not None
    assert (found.display, found.parents, found.active) == ("Mild inventitis color", (DISEASE,), True)
    assert found.properties == {
        "effectiveTime": "20250101",
        "moduleId": MODULE,
        "sufficientlyDefined": "true",
    }
    assert loaded.lookup(SNOMED, MILD, "20250101") == found  # the date alone says it
    assert loaded.lookup(SNOMED, MILD, "20240101") is None
    assert _name(loaded, SEVERE) == 'Severe "inventitis"'  # quotes are letters in RF2
    assert _name(loaded, ROOT) == "SNOMED CT Concept (SNOMED RT+CTV3)"  # nothing but the FSN
    assert loaded.validate(SNOMED, GONE)[0] is False


def test_subsumption(loaded: CodeStore) -> None:
    assert loaded.subsumes(SNOMED, ROOT, MILD) == "subsumes"
    assert loaded.subsumes(SNOMED, MILD, ROOT) == "subsumed-by"
    assert loaded.subsumes(SNOMED, MILD, SEVERE) == "not-subsumed"
    assert loaded.subsumes(SNOMED, MILD, MILD) == "equivalent"
    assert loaded.subsumes(SNOMED, MILD, "1") is None
    assert set(loaded.descendants(SNOMED, ROOT)) == {DISEASE, MILD, SEVERE}
    assert loaded.ancestors(SNOMED, MILD) == {DISEASE, ROOT}


def test_a_reference_set(loaded: CodeStore) -> None:
    assert set(loaded.members(INVENTED_SET)) == {MILD, SEVERE}
    assert set(loaded.members(INVENTED_SET, "20250101")) == {MILD, SEVERE}
    assert loaded.members(INVENTED_SET, "20240101") == loaded.members("x") == loaded.members("1") == []


def test_a_map_that_needs_the_patient_is_for_people(loaded: CodeStore) -> None:
    assert [(m.code, m.equivalence) for m in loaded.translate(SNOMED, MILD, ICD10)] == [("I01.0", "wider")]
    matches = loaded.translate(SNOMED, SEVERE, ICD10)
    assert [(m.code, m.equivalence) for m in matches] == [
        ("I02.0", "inexact"),
        ("I02.9", "inexact"),
        ("Z99", "wider"),
    ]
    assert matches[0].source == "SNOMED CT to ICD-10 extended map: IF MILD CHOOSE I02.0"
    assert loaded.translate(SNOMED, DISEASE, ICD10) == []  # cannot be classified
    (same,) = loaded.translate(SNOMED, GONE, SNOMED)
    assert (same.code, same.equivalence, same.display) == (DISEASE, "equal", "Inventitis")


def test_the_language_of_displays(tmp_path: Path) -> None:
    edition = write(tmp_path / "edition", rf2())
    for language, display in (("en-GB", "Mild inventitis colour"), (US, "Mild inventitis color")):
        load_release(tmp_path / "codes.db", edition, Asked(language=language))
        store = CodeStore(tmp_path / "codes.db")
        assert _name(store, MILD) == display
        assert store.search(SNOMED, "colour")[0].code == MILD  # both names are found
        store.close()
    with pytest.raises(HubError, match=f"no language reference set 'sv'.*{US}"):
        load_release(tmp_path / "codes.db", edition, Asked(language="sv"))


def _delta() -> dict[str, str]:
    date = "20250201"
    parts = {name: text.split("\r\n")[0] + "\r\n" for name, text in rf2(date, "Delta").items()}
    new = sct(990005)

    def add(kind: str, *rows: tuple[str, ...]) -> None:
        name = next(name for name in parts if kind in name)
        parts[name] += "".join("\t".join(row) + "\r\n" for row in rows)

    add("_Concept_", (new, date, "1", MODULE, "900000000000074008"), (SEVERE, date, "0", MODULE, "x"))
    add(
        "_Description_",
        (sct(880200, "01"), date, "1", MODULE, new, "en", FSN, "New inventitis (disorder)", "x"),
        (sct(880006, "01"), "20250115", "1", MODULE, MILD, "en", SYNONYM, "overtaken", "x"),
        (sct(880006, "01"), date, "0", MODULE, MILD, "en", SYNONYM, "Mild inventitis color", "x"),
        (sct(880201, "01"), date, "1", MODULE, MILD, "en", SYNONYM, "Light inventitis", "x"),
    )
    add(
        "_Language",
        ("90000000-0000-4000-8000-000000000001", date, "1", MODULE, US, sct(880201, "01"), PREFERRED),
    )
    add(
        "_Relationship_",
        (sct(770002, "02"), date, "0", MODULE, SEVERE, DISEASE, "0", IS_A, "900000000000011006", "x"),
        (sct(770200, "02"), date, "1", MODULE, new, MILD, "0", IS_A, "900000000000011006", "x"),
    )
    add("_Simple", ("30000000-0000-4000-8000-000000000001", date, "0", MODULE, INVENTED_SET, SEVERE))
    add(
        "_ExtendedMap",
        (
            *("20000000-0000-4000-8000-000000000001", date, "0", MODULE, "447562003", MILD, "1", "1"),
            *("TRUE", "", "I01.0", "447561005", "447637006"),
        ),
        (
            *("20000000-0000-4000-8000-000000000077", date, "1", MODULE, "447562003", MILD, "1", "1"),
            *("TRUE", "", "I01.9", "447561005", "447637006"),
        ),
    )
    return parts


def test_a_delta_makes_a_release_beside_the_one_before(tmp_path: Path, loaded: CodeStore) -> None:
    new = sct(990005)
    summary = load_release(tmp_path / "codes.db", write(tmp_path / "delta", _delta()))
    loaded._due = 0.0
    assert [r.version[-8:] for r in loaded.releases()] == ["20250201", "20250101"]
    assert summary.notes == [f"the delta was applied to {VERSION}"]
    assert loaded.releases()[0].version == VERSION.replace("20250101", "20250201")
    assert _name(loaded, MILD) == "Light inventitis"
    assert _name(loaded, MILD, "20250101") == "Mild inventitis color"
    assert _name(loaded, DISEASE) == "Inventitis"  # as it was
    assert loaded.ancestors(SNOMED, new) == {MILD, DISEASE, ROOT}
    assert set(loaded.descendants(SNOMED, ROOT)) == {DISEASE, MILD, new}
    assert loaded.validate(SNOMED, SEVERE)[0] is False
    assert loaded.validate(SNOMED, SEVERE, version="20250101")[0] is True
    assert [m.code for m in loaded.translate(SNOMED, MILD, ICD10)] == ["I01.9"]
    assert [m.code for m in loaded.translate(SNOMED, MILD, ICD10, version="20250101")] == ["I01.0"]
    assert [m.code for m in loaded.translate(SNOMED, GONE, SNOMED)] == [DISEASE]
    assert loaded.members(INVENTED_SET) == [MILD]
    assert loaded.search(SNOMED, "overtaken") == []
    with pytest.raises(HubError, match="is a delta of the past"):
        load_release(tmp_path / "codes.db", tmp_path / "delta")


def test_a_delta_without_its_snapshot_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"no SNOMED CT to apply it to\. Load the snapshot"):
        load_release(tmp_path / "codes.db", write(tmp_path / "delta", _delta()))


def _one(kind: str) -> str:
    return next(name for name in rf2() if kind in name)


@pytest.mark.parametrize(
    ("kind", "change", "said"),
    [
        ("_Description_", lambda t: t[:-30], r"_Description_.*txt:12: (has|ends in)"),
        ("_Description_", lambda t: t[:-2], r"_Description_.*txt:12: ends in the middle of a line"),
        (
            "_Description_",
            lambda t: t.replace("\tInventitis\t", "\tInven", 1),
            r":4: has 8 columns instead of 9",
        ),
        ("_Concept_", lambda t: t.replace(MILD, MILD[:-1] + "x"), r":4: is no row of a release"),
        ("_Concept_", lambda t: t.replace("definitionStatusId", "status"), r":1: has another header"),
        (
            "_Concept_",
            lambda t: "\r\n".join(t.split("\r\n")[:3]) + "\r\n",
            r"descriptions without their concept",
        ),
        ("_Relationship_", lambda t: None, r"has no relationship file"),
        ("_Language", lambda t: t + t.split("\r\n")[1].replace("0000-4000", "1111-4000") + "\r\n", None),
        ("_Concept_", lambda t: t + t.split("\r\n")[3] + "\r\n", None),  # the same row again changes nothing
    ],
)
def test_a_damaged_edition_is_refused(kind: str, change: object, said: str | None, tmp_path: Path) -> None:
    parts = rf2()
    changed = change(parts[_one(kind)])  # type: ignore[operator]
    if changed is None:
        del parts[_one(kind)]
    else:
        parts[_one(kind)] = changed
    edition = write(tmp_path / "edition", parts)
    if said is None:
        assert load_release(tmp_path / "codes.db", edition).releases[0][0].concepts == 5
        return
    with pytest.raises(HubError, match=said):
        load_release(tmp_path / "codes.db", edition)
    assert CodeStore(tmp_path / "codes.db").releases() == []


def test_preferred_terms_fall_back_to_another_dialect(tmp_path: Path) -> None:
    parts = rf2()
    name = _one("_Language")
    parts[name] = "".join(line for line in parts[name].splitlines(keepends=True) if US not in line)
    load_release(tmp_path / "codes.db", write(tmp_path / "edition", parts))
    assert GB in parts[name]
    assert _name(CodeStore(tmp_path / "codes.db"), MILD) == "Mild inventitis colour"
