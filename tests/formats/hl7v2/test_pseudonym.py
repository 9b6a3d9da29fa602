"""A message about nobody: what was anybody's is gone everywhere, what belongs together still does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.formats.hl7v2.parse import parse
from engine.formats.hl7v2.pseudonym import pseudonymised
from engine.kernel.errors import FormatError

SAMPLES = Path(__file__).resolve().parents[3] / "sample_messages"
KEY = b"k" * 32
MESSAGE = """MSH|^~\\&|LIS|LAB|HUB|MERCY|20260501141000-0500||ORU^R01^ORU_R01|C77|P|2.5.1
PID|1||100311^^^NORTH&2.16.1&ISO^MR~99-1^^^SSA^SS||Bell^Oscar||19551130|M|||9 Elm^^Leeds^IL^60001^USA||5550142
NTE|1|L|Oscar Bell called, ring 3125550142
ORC|RE|ORD2^EHR|LAB2^LIS
OBR|1|ORD2^EHR|LAB2^LIS|24323-8^Metabolic panel^LN|||20260501083000-0500|||||||||1902^Welby^Marcus
OBX|1|NM|2951-2^Sodium^LN||141|mmol/L^^UCUM|136-145|N|||F
OBX|2|ST|5778-6^Color^LN||Straw yellow||||||F
OBX|3|ST|X^Seen by^L||Dr Welby||||||F
OBX|4|TX|X^Report^L||Mr Bell was well.\\.br\\Seen 1 May||||||F
OBX|5|CWE|X^Organism^L||^Bell flower||||||F
ZPI|1|VIP|Oscar
"""


def made() -> list[list[str]]:
    return [line.split("|") for line in pseudonymised(MESSAGE, KEY).text.splitlines()]


def test_nothing_of_the_person_is_left() -> None:
    text = pseudonymised(MESSAGE, KEY).text
    for word in ("Bell", "Oscar", "100311", "Elm", "Leeds", "60001", "5550142", "Welby", "Marcus", "1902"):
        assert word not in text, word
    assert "19551130" not in text and "20260501" not in text and "C77" not in text


def test_what_makes_it_a_result_is_left() -> None:
    pid, obr, sodium, colour = made()[1], made()[4], made()[5], made()[6]
    assert pid[3].split("^")[3:5] == ["NORTH&2.16.1&ISO", "MR~" + pid[3].split("~")[1].split("^")[0]]
    assert pid[8] == "M" and pid[11].split("^")[3] == "IL" and pid[11].split("^")[5] == "USA"
    assert obr[4] == "24323-8^Metabolic panel^LN" and sodium[2:8] == MESSAGE.splitlines()[5].split("|")[2:8]
    assert colour[5] == "Straw yellow"


def test_words_of_the_person_are_gone_from_results_too() -> None:
    by, report, organism = made()[7][5], made()[8][5], made()[9][5]
    assert by == "Xx Xxxxx" and report.startswith("Xx Xxxx xxx xxxx.\\.br\\") and organism == "^Xxxx xxxxxx"
    assert made()[10] == ["ZPI", "0", "XXX", "Xxxxx"]


def test_the_same_number_is_the_same_everywhere_and_keeps_its_shape() -> None:
    order, request = made()[3], made()[4]
    assert order[2] == request[2] and order[3] == request[3] != "LAB2^LIS"
    assert re.fullmatch(r"[A-Z]{3}\d\^EHR", order[2])


def test_times_move_together() -> None:
    header, request = made()[0][6], made()[4][7]
    assert header[8:] == "141000-0500" and request[8:] == "083000-0500" and header[:8] == request[:8]


def test_what_was_kept_is_told() -> None:
    kept = dict(pseudonymised(MESSAGE, KEY).kept)
    assert kept["OBX-5"] == "Straw yellow" and "OBR-4" in kept


def test_another_key_gives_another_person() -> None:
    assert pseudonymised(MESSAGE, KEY).text == pseudonymised(MESSAGE, KEY).text
    assert pseudonymised(MESSAGE, KEY).text != pseudonymised(MESSAGE, b"x" * 32).text


def test_nobody_is_older_than_ninety() -> None:
    old = pseudonymised(MESSAGE.replace("19551130", "19010203"), KEY).text.splitlines()[1].split("|")[7]
    assert int(old[:4]) > 1920


@pytest.mark.parametrize("sample", sorted(SAMPLES.glob("adt/*.hl7"))[:12])
def test_samples_stay_messages_and_lose_their_names(sample: Path) -> None:
    text = sample.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    one = "\n".join(x for x in text.split("\n") if x)
    out = pseudonymised(one, KEY).text
    assert [s[:3] for s in out.splitlines()] == [s[:3] for s in one.splitlines()]
    assert parse(out.replace("\n", "\r").encode()).code == "ADT"
    pid = next((x.split("|") for x in one.splitlines() if x.startswith("PID")), None)
    for word in re.findall(r"[A-Za-z]{4,}", (pid or ["", "", "", "", "", ""])[5]):
        assert word not in out


def test_what_is_no_v2_message_is_refused() -> None:
    with pytest.raises(FormatError):
        pseudonymised("<ClinicalDocument/>", KEY)
