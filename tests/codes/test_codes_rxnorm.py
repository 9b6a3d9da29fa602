"""RxNorm: term types, the direction of relationships, NDCs, and rows that are not whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from code_samples import archived, conso, rel, sat, write, zipped

from engine.codes.loading import load_release
from engine.codes.store import CodeStore
from engine.codes.systems import NDC, RXNORM
from engine.kernel.errors import HubError

PARTS = {
    "rrf/RXNCONSO.RRF": conso("9001", "IN", "inventamol")
    + conso("9002", "SCD", "inventamol 10 MG Oral Tablet")
    + conso("9002", "PSN", "inventamol 10 mg tablet")
    + conso("9002", "SCD", "Inventamol of another vocabulary", sab="MTHSPL")
    + conso("9003", "SCD", "inventamol 20 MG Oral Tablet", suppress="O")
    + conso("9004", "SBD", "inventamol 10 MG Oral Tablet [Fictor]"),
    "rrf/RXNREL.RRF": rel("9001", "has_ingredient", "9002")
    + rel("9002", "tradename_of", "9004")
    + rel("9004", "has_ingredient", "9001", sab="OTHER"),
    "rrf/RXNSAT.RRF": sat("9002", "NDC", "00011000222")
    + sat("9004", "NDC", "00011-0003-33")
    + sat("9002", "NDC", "00011000444")
    + sat("9004", "NDC", "00011000444")
    + sat("9002", "NDC", "00011000555", sab="MTHSPL")
    + sat("9002", "NDC", "1100066677")
    + sat("9002", "RXN_STRENGTH", "10 MG"),
    "rrf/RXNATOMARCHIVE.RRF": archived("8001", "SCD", "inventamol ten", into="9002")
    + archived("8002", "IN", "oldamol", into="")
    + archived("9001", "IN", "inventamole", into="9001")
    + archived("8003", "SCD", "of another", into="9002", sab="MTHSPL"),
    "prescribe/rrf/RXNCONSO.RRF": conso("1", "IN", "the subset beside it is not read"),
}


@pytest.fixture
def loaded(tmp_path: Path) -> CodeStore:
    load_release(tmp_path / "codes.db", zipped(tmp_path / "RxNorm_full_05052025.zip", PARTS))
    return CodeStore(tmp_path / "codes.db")


def test_a_release(loaded: CodeStore) -> None:
    (release,) = loaded.releases()
    assert (release.version, release.effective, release.concepts) == ("05052025", "2025-05-05", 6)
    found = loaded.lookup(RXNORM, "9002")
    assert found is not None
    assert found.display == "inventamol 10 MG Oral Tablet"
    # RXNREL reads `2 RELA 1`: the tablet has the ingredient, not the other way round
    assert found.properties == {"TTY": "SCD", "has_ingredient": "9001", "RXN_STRENGTH": "10 MG"}
    ingredient, branded = loaded.lookup(RXNORM, "9001"), loaded.lookup(RXNORM, "9004")
    assert ingredient is not None and branded is not None
    assert ingredient.properties == {"TTY": "IN"}
    assert branded.properties["tradename_of"] == "9002"
    assert loaded.validate(RXNORM, "9003")[0] is False
    assert [c.code for c in loaded.search(RXNORM, "invent tablet", properties={"TTY": "SCD"})] == [
        "9002",
        "9003",
    ]


def test_ndc_leads_to_the_drug(loaded: CodeStore) -> None:
    def to(ndc: str) -> list[tuple[str, str]]:
        return [(m.code, m.equivalence) for m in loaded.translate(NDC, ndc, RXNORM)]

    assert loaded.targets(NDC) == [RXNORM] and loaded.targets("urn:x:none") == []
    assert to("00011000222") == [("9002", "wider")]
    assert to("0011-0002-22") == to("00011-0002-22") == to("00011000222")  # as a label has it
    assert to("00011000333") == [("9004", "wider")]
    assert to("00011000444") == [("9002", "inexact"), ("9004", "inexact")]  # which one, nobody knows
    assert to("00011000555") == []  # another vocabulary's word
    assert to("1100066677") == []  # ten digits: one of three codes


def test_retired_drugs_are_known_as_such_and_lead_to_what_they_were_merged_into(loaded: CodeStore) -> None:
    gone, ended = loaded.lookup(RXNORM, "8001"), loaded.lookup(RXNORM, "8002")
    assert gone is not None and ended is not None
    assert (gone.display, gone.active, gone.properties["retired"]) == ("inventamol ten", False, "true")
    assert [(m.code, m.equivalence) for m in loaded.translate(RXNORM, "8001", RXNORM)] == [
        ("9002", "equivalent")
    ]
    assert loaded.translate(RXNORM, "8002", RXNORM) == []
    assert loaded.validate(RXNORM, "9001") == (True, "")
    assert loaded.lookup(RXNORM, "8003") is None


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("rrf/RXNSAT.RRF", lambda t: t[:-5], r"RXNSAT\.RRF:7: has 13 columns instead of 14"),
        ("rrf/RXNREL.RRF", lambda t: t[:-1], r"RXNREL\.RRF:3: ends in the middle of a line"),
        (
            "rrf/RXNCONSO.RRF",
            lambda t: t.replace("|IN|", "|", 1),
            r"RXNCONSO\.RRF:1: has 18 columns instead of 19",
        ),
        ("rrf/RXNCONSO.RRF", lambda t: t.replace("9001|ENG", "x|ENG", 1), r"RXNCONSO\.RRF:1: has no RXCUI"),
        (
            "rrf/RXNCONSO.RRF",
            lambda t: t.replace("4096|\n", "4096|x\n", 1),
            r":1: has text after its last column",
        ),
    ],
)
def test_a_damaged_file_is_refused(
    name: str, change: object, said: str, tmp_path: Path, loaded: CodeStore
) -> None:
    parts = {**PARTS, name: change(PARTS[name])}  # type: ignore[operator]
    with pytest.raises(HubError, match=said):
        load_release(tmp_path / "codes.db", write(tmp_path / "RxNorm_full_06022025", parts))
    assert [r.version for r in loaded.releases()] == ["05052025"]
