"""What ships in terminology/releases: it loads, every row has a source, the sample feed finds its terms."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from engine.codes.loaders.summary import Asked
from engine.codes.loading import load_release
from engine.codes.store import CodeStore
from engine.terminology.damage import loinc_valid
from engine.terminology.localwords import Abbreviations
from engine.terminology.suggest import LocalTerm, gather, suggest
from engine.terminology.translate import Terminology

ROOT = Path(__file__).parents[2]
RELEASES = ROOT / "terminology/releases"
LOINC = "http://loinc.org"
CVX = "http://hl7.org/fhir/sid/cvx"
MVX = "http://hl7.org/fhir/sid/mvx"
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodeStore]:
    path = tmp_path_factory.mktemp("shipped") / "codes.db"
    for row in yaml.safe_load((RELEASES / "releases.yaml").read_text("utf-8")):
        asked = Asked(version=str(row["version"]), effective=str(row.get("effective", "")))
        load_release(path, RELEASES / row["file"], asked, loader=row["loader"])
    yield CodeStore(path)


def rows(name: str) -> list[dict[str, str]]:
    with (RELEASES / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_everything_that_is_listed_loads(store: CodeStore) -> None:
    sizes = {release.system: release.concepts for release in store.releases()}
    assert sizes[ICD] == 98_186
    assert sizes[LOINC] == len(rows("loinc/LoincTable/Loinc.csv")) >= 300
    assert sizes[CVX] == 287
    assert sizes[MVX] == 87
    assert sizes[RXNORM] == len(rows("rxnorm/provenance.csv"))


def test_every_loinc_term_has_a_right_check_digit_a_name_and_a_source_that_is_named() -> None:
    known = {row["LOINC_NUM"]: row for row in rows("loinc/provenance.csv")}
    for row in rows("loinc/LoincTable/Loinc.csv"):
        assert loinc_valid(row["LOINC_NUM"])
        assert row["LONG_COMMON_NAME"]
        sources = known.pop(row["LOINC_NUM"])["known_to"].split()
        assert sources and set(sources) != {"catalogue"}
    assert known == {}


def test_the_notice_of_loinc_ships_with_it() -> None:
    notice = " ".join((RELEASES / "loinc/LICENSE.md").read_text("utf-8").split())
    assert "This material contains content from LOINC (http://loinc.org)" in notice
    assert "available at no cost under the license at http://loinc.org/license" in notice


@pytest.mark.parametrize(
    ("system", "code", "display"),
    [
        (ICD, "E11.9", "Type 2 diabetes mellitus without complications"),
        (CVX, "208", "COVID-19, mRNA, LNP-S, PF, 30 mcg/0.3 mL dose"),
        (CVX, "03", "MMR"),
        (MVX, "MOD", "Moderna US, Inc."),
        (RXNORM, "197361", "amlodipine 5 MG Oral Tablet"),
        (LOINC, "718-7", "Hemoglobin [Mass/volume] in Blood"),
    ],
)
def test_codes_that_everybody_knows(store: CodeStore, system: str, code: str, display: str) -> None:
    found = store.lookup(system, code)
    assert found is not None and found.active
    assert found.display == display


def test_no_snomed_ct_ships() -> None:
    names = [path.name.lower() for path in RELEASES.rglob("*")]
    assert not [name for name in names if "sct2" in name or "der2" in name]


def test_every_code_of_the_sample_laboratory_is_suggested_its_term(store: CodeStore) -> None:
    abbreviations = Abbreviations.read(
        (ROOT / "terminology/abbreviations.csv").read_bytes(), "abbreviations.csv"
    )
    units = Terminology.open(ROOT / "terminology").table("units")
    with (ROOT / "sample_messages/lab_local40/expected_loinc.csv").open(encoding="utf-8", newline="") as file:
        wanted = list(csv.DictReader(file))
    assert len(wanted) == 40
    sent = b"".join(
        path.read_bytes() for path in (ROOT / "sample_messages/lab_local40").glob("*.hl7")
    ).decode()

    def ucum_of(text: str) -> str:
        hit = units.translate(text)
        return hit.code if hit else ""

    missed = []
    for row in wanted:
        assert f"|{row['local_code']}^{row['local_text']}^L|" in sent
        local = LocalTerm(row["local_code"], row["local_text"], unit=row["unit"], specimen=row["specimen"])
        made = suggest(local, gather(store, LOINC, local, abbreviations), abbreviations, ucum_of=ucum_of)
        if row["loinc"] not in [s.concept.code for s in made]:
            missed.append(row["local_text"])
    assert missed == []
