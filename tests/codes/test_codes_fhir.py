"""FHIR packages and resources, and OMOP vocabularies."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from code_samples import write

from engine.codes.loaders.summary import Asked
from engine.codes.loading import load_release
from engine.codes.store import CodeStore
from engine.codes.systems import LOINC, NDC, RXNORM, SNOMED
from engine.kernel.errors import HubError

SYSTEM: dict[str, Any] = {
    "resourceType": "CodeSystem",
    "url": "urn:x:colours",
    "version": "1.2.0",
    "date": "2025-03-01T10:00:00Z",
    "status": "active",
    "content": "complete",
    "hierarchyMeaning": "is-a",
    "concept": [
        {
            "code": "red",
            "display": "Red",
            "definition": "Long waves",
            "designation": [{"language": "de", "value": "Rot"}],
            "concept": [
                {"code": "crimson", "display": "Crimson", "property": [
                    {"code": "notSelectable", "valueBoolean": True}
                ]},
                {"code": "puce", "property": [{"code": "inactive", "valueBoolean": True}]},
            ],
        },
        {"code": "blue", "display": "Blue", "property": [{"code": "wave", "valueDecimal": 450}]},
        {"code": "violet", "display": "Violet", "property": [
            {"code": "parent", "valueCode": "red"}, {"code": "parent", "valueCode": "blue"},
        ]},
    ],
}  # fmt: skip
MAP: dict[str, Any] = {
    "resourceType": "ConceptMap",
    "url": "urn:x:map",
    "version": "1",
    "group": [
        {
            "source": "urn:x:local|1",
            "target": "urn:x:colours",
            "element": [
                {"code": "R", "target": [{"code": "red", "equivalence": "equal"}]},
                {"code": "C", "target": [
                    {"code": "crimson", "relationship": "source-is-broader-than-target"}
                ]},
                {"code": "N", "target": [{"equivalence": "unmatched"}]},
                {"target": [{"code": "red", "equivalence": "equal"}]},
                {"code": "D", "target": [
                    {"code": "blue", "equivalence": "equal", "dependsOn": [{"property": "p", "value": "v"}]}
                ]},
            ],
        }
    ],
}  # fmt: skip
VALUES: dict[str, Any] = {
    "resourceType": "ValueSet",
    "url": "urn:x:reds",
    "version": "1.2.0",
    "compose": {"include": [{"system": "urn:x:colours", "concept": [{"code": "red"}]}]},
}


def package(path: Path, *resources: dict[str, Any], version: str = "6.0.0") -> Path:
    """Write a package as packages.fhir.org has them."""
    files = {
        "package/package.json": {"name": "x.terms", "version": version},
        "package/.index.json": {"files": []},
    }
    files |= {f"package/{r['resourceType']}-{n}.json": r for n, r in enumerate(resources)}
    files["package/example/CodeSystem-x.json"] = {**SYSTEM, "url": "urn:x:example"}
    files["package/StructureDefinition-a.json"] = {"resourceType": "StructureDefinition", "url": "urn:x:s"}
    with tarfile.open(path, "w:gz") as made:
        for name, body in files.items():
            data = json.dumps(body).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return path


def test_a_package(tmp_path: Path) -> None:
    fragment = {**SYSTEM, "url": SNOMED, "content": "fragment"}
    named = {"resourceType": "CodeSystem", "url": LOINC, "content": "not-present"}
    summary = load_release(
        tmp_path / "codes.db", package(tmp_path / "x.tgz", SYSTEM, MAP, VALUES, fragment, named)
    )
    store = CodeStore(tmp_path / "codes.db")
    assert {(r.system, r.version, r.concepts) for r in store.releases()} == {
        ("urn:x:colours", "1.2.0", 5),
        ("urn:x:map", "1", 0),
        ("x.terms", "6.0.0", 0),
    }
    assert store.in_force(SNOMED) is None  # a handful of codes is not SNOMED CT
    assert any(LOINC in note for note in summary.notes)
    red, crimson, puce, violet = (
        store.lookup("urn:x:colours", c) for c in ("red", "crimson", "puce", "violet")
    )
    assert red is not None and crimson is not None and puce is not None and violet is not None
    assert red.properties == {"definition": "Long waves"}
    assert crimson.parents == ("red",) and crimson.properties == {"notSelectable": "true"}
    assert (puce.active, puce.display) == (False, "puce")
    assert violet.parents == ("red", "blue")
    assert store.subsumes("urn:x:colours", "blue", "violet") == "subsumes"
    assert store.search("urn:x:colours", "rot")[0] == red
    assert store.document("ValueSet", "urn:x:reds") == VALUES
    assert store.documents("ValueSet") == [("urn:x:reds", "1.2.0")]
    assert store.document("ValueSet", "urn:x:reds", "9") is None

    def to(code: str) -> list[tuple[str, str, str]]:
        found = store.translate("urn:x:local", code, "urn:x:colours")
        return [(m.code, m.equivalence, m.display) for m in found]

    assert to("R") == [("red", "equal", "Red")]
    assert to("C") == [("crimson", "narrower", "Crimson")]
    assert to("N") == []
    assert to("D") == [("blue", "inexact", "Blue")]


def test_a_small_part_in_a_package_stays_beside_the_whole(tmp_path: Path) -> None:
    whole = {**SYSTEM, "version": "1.0.0", "concept": [{"code": f"c{n}"} for n in range(40)]}
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    load_release(tmp_path / "codes.db", tmp_path / "whole.json")
    other = {**SYSTEM, "url": "urn:x:other"}
    summary = load_release(tmp_path / "codes.db", package(tmp_path / "x.tgz", SYSTEM, other))
    assert [leads for _, leads in summary.releases] == [False, True]
    assert "urn:x:colours has 5 concepts here and 40 in 1.0.0, which stays current" in summary.notes
    store = CodeStore(tmp_path / "codes.db")
    assert store.lookup("urn:x:colours", "c39") is not None
    assert store.lookup("urn:x:colours", "red", "1.2.0") is not None


def test_plain_json_and_bundles(tmp_path: Path) -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": r} for r in (SYSTEM, MAP, VALUES)]}
    path = tmp_path / "terms.json"
    path.write_text(json.dumps(bundle))
    load_release(tmp_path / "codes.db", path)
    store = CodeStore(tmp_path / "codes.db")
    assert store.lookup("urn:x:colours", "red") is not None
    assert store.document("ValueSet", "urn:x:reds") == VALUES
    assert {r.system for r in store.releases()} == {"urn:x:colours", "urn:x:map", "terms"}
    path.write_text(json.dumps({**SYSTEM, "content": "fragment", "version": "2"}))  # asked for by name: taken
    load_release(tmp_path / "codes.db", path)
    path.write_text(json.dumps({**SYSTEM, "hierarchyMeaning": "part-of", "version": "3"}))
    load_release(tmp_path / "codes.db", path)
    store._due = 0.0
    crimson = store.lookup("urn:x:colours", "crimson")
    assert crimson is not None and crimson.version == "3" and crimson.parents == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps(SYSTEM, indent=1)[:-40], r"terms\.json:\d+: is not readable as JSON"),
        (json.dumps({**SYSTEM, "concept": [{"display": "no code"}]}), r"terms\.json: is no valid CodeSystem"),
        ("[]", r"terms\.json:1: is no FHIR resource"),
        (json.dumps({"resourceType": "Patient"}), r"has no codes"),
    ],
)
def test_damaged_resources_are_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "terms.json"
    path.write_text(text)
    with pytest.raises(HubError, match=said):
        load_release(tmp_path / "codes.db", path)
    assert CodeStore(tmp_path / "codes.db").releases() == []


CONCEPTS = (
    "concept_id\tconcept_name\tdomain_id\tvocabulary_id\tconcept_class_id\tstandard_concept\tconcept_code\t"
    "valid_start_date\tvalid_end_date\tinvalid_reason\n"
    '1\tInventitis "x"\tCondition\tSNOMED\tDisorder\tS\t9900001\t20000101\t20991231\t\n'
    "2\tMild inventitis\tCondition\tSNOMED\tDisorder\tS\t9900002\t20000101\t20991231\t\n"
    "3\tOld inventitis\tCondition\tSNOMED\tDisorder\t\t9900003\t20000101\t20200101\tU\n"
    "4\tinventamol\tDrug\tRxNorm\tIngredient\tS\t77\t20000101\t20991231\t\n"
    "5\tFictor\tDrug\tNDC\t11-digit NDC\t\t00001234567\t20000101\t20991231\t\n"
    "6\tSomething\tMetadata\tRace\tRace\tS\t1\t20000101\t20991231\t\n"
)
RELATIONS = (
    "concept_id_1\tconcept_id_2\trelationship_id\tvalid_start_date\tvalid_end_date\tinvalid_reason\n"
    "2\t1\tIs a\t20000101\t20991231\t\n3\t2\tConcept replaced by\t20000101\t20991231\t\n"
    "5\t4\tMaps to\t20000101\t20991231\t\n5\t1\tMaps to\t20000101\t20200101\tD\n1\t2\tSubsumes\t2\t2\t\n"
    "1\t1\tMaps to\t20000101\t20991231\t\n"
)
VOCABULARY = (
    "vocabulary_id\tvocabulary_name\tvocabulary_reference\tvocabulary_version\tvocabulary_concept_id\n"
    "SNOMED\tSNOMED\tu\t2025-01-01 SNOMED CT\t1\n"
    "RxNorm\tRxNorm\tu\tRxNorm 20250303\t2\nNDC\tNDC\tu\tNDC 20250302\t3\n"
)
ATHENA = {
    "CONCEPT.csv": CONCEPTS,
    "CONCEPT_RELATIONSHIP.csv": RELATIONS,
    "VOCABULARY.csv": VOCABULARY,
    "CONCEPT_SYNONYM.csv": "concept_id\tconcept_synonym_name\tlanguage_concept_id\n"
    "2\tLight inventitis\t4180186\n",
}


def test_athena(tmp_path: Path) -> None:
    summary = load_release(tmp_path / "codes.db", write(tmp_path / "athena", ATHENA))
    store = CodeStore(tmp_path / "codes.db")
    found = store.in_force(SNOMED)
    assert found is not None
    assert (found.version, found.concepts) == ("OMOP 2025-01-01 SNOMED CT", 3)
    assert summary.skipped["vocabulary Race"] == 1
    mild = store.lookup(SNOMED, "9900002")
    assert mild is not None and mild.parents == ("9900001",)
    assert mild.properties == {"domain": "Condition", "class": "Disorder", "concept_id": "2"}
    assert store.search(SNOMED, "light")[0] == mild
    assert not store.validate(SNOMED, "9900003")[0]
    assert [(m.code, m.equivalence) for m in store.translate(SNOMED, "9900003", SNOMED)] == [
        ("9900002", "equivalent")
    ]
    assert [(m.code, m.equivalence) for m in store.translate(NDC, "00001234567", RXNORM)] == [("77", "wider")]
    assert store.translate(NDC, "00001234567", SNOMED) == []  # that link is no longer valid


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("CONCEPT.csv", CONCEPTS[:-30], r"CONCEPT\.csv:7: "),
        (
            "CONCEPT.csv",
            CONCEPTS.replace("concept_code", "code"),
            r"CONCEPT\.csv:1: lacks the column concept_code",
        ),
        (
            "CONCEPT.csv",
            CONCEPTS.replace("\t9900002\t", "\t\t"),
            r"CONCEPT\.csv:3: has no concept_id or no code",
        ),
        (
            "CONCEPT_RELATIONSHIP.csv",
            RELATIONS.replace("\tIs a", " Is a"),
            r"CONCEPT_RELATIONSHIP\.csv:2: has 5",
        ),
        ("VOCABULARY.csv", VOCABULARY.split("\n")[0] + "\n", r"has none of the vocabularies"),
    ],
)
def test_a_damaged_download_is_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=said):
        load_release(tmp_path / "codes.db", write(tmp_path / "athena", {**ATHENA, name: text}), Asked())
    assert CodeStore(tmp_path / "codes.db").releases() == []
