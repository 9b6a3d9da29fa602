"""The file of critical results is read strictly: what is not understood is refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.channels.critical.rules import INTERPRETATION, LOINC, Rules, read_rules, rules_of
from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import loads

ROOT = Path(__file__).resolve().parents[3]


def read(text: str) -> Rules:
    return read_rules(loads(text, "mappings/critical.yaml"))


def test_the_words_of_a_rule() -> None:
    rules = read(
        """
not_older_than: 30 days
escalate_after: 20 minutes
rules:
  - name: Potassium
    loinc: [2823-3]
    code: urn:lab:north|K
    above: [6.2 mmol/L, 6.2 meq/L]
    below: 2.8 mmol/L
    age: {from: 28 days, under: 18 years}
    channels: lab_*
    preliminary: false
    say: Call the ward
    escalate_after: 5 minutes
  - name: Flagged
    interpretation: [HH, "http://lab.example|PANIC"]
"""
    )
    potassium, flagged = rules.rules
    assert potassium.codes == {(LOINC, "2823-3"), ("urn:lab:north", "K")}
    assert [(one.side, str(one.value), one.unit) for one in potassium.limits] == [
        ("below", "2.8", "mmol/L"),
        ("above", "6.2", "mmol/L"),
        ("above", "6.2", "meq/L"),
    ]
    assert potassium.on("lab_oru") and not potassium.on("adt")
    assert (potassium.preliminary, potassium.escalate_ms, potassium.place) == (
        False,
        300_000,
        "mappings/critical.yaml:5",
    )
    assert flagged.interpretations == {(INTERPRETATION, "HH"), ("http://lab.example", "PANIC")}
    assert (rules.not_older_ms, rules.escalate_ms) == (30 * 86_400_000, 1_200_000)
    assert rules.about(((LOINC, "2823-3"),)) == [flagged, potassium]
    assert rules.about(((LOINC, "718-7"),)) == [flagged]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{name: K, above: 6}", "limits for no code"),
        ("{name: K, loinc: 2823-3}", "does not say what is critical"),
        ("{name: K, loinc: 2823-3, above: 6 mmol per L}", "no number with a unit"),
        ("{name: K, loinc: 2823-3, above: 6 mmols}", "no unit of UCUM"),
        ("{name: K, loinc: 2823-3, above: six}", "no number with a unit"),
        ("{name: K, code: K, above: 6}", "has no system"),
        ("{name: K, loinc: 2823-3, above: 6, every: true}", "stands alone"),
        ("{name: K, loinc: 2823-3, over: 6}", "does not know 'over'"),
        ("{name: K, loinc: 2823-3, every: yes}", "true or false"),
        ("{name: K, loinc: 2823-3, above: 6, age: grown up}", "from: and under:"),
        ("{name: K, loinc: 2823-3, above: 6, age: {from: young}}", "no age"),
        ("{name: K, interpretation: HH, escalate_after: soon}", "is not a time"),
        ("{interpretation: HH}", "needs a name"),
    ],
)
def test_what_is_refused(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refused:
        read(f"rules:\n  - {line}\n")
    assert refused.value.where == "mappings/critical.yaml:2"


def test_two_rules_of_one_name() -> None:
    with pytest.raises(ConfigError, match="two rules are called 'A'"):
        read("rules:\n  - {name: A, interpretation: HH}\n  - {name: A, interpretation: LL}\n")


def test_the_file_that_ships_has_no_limits() -> None:
    assert all(not rule.limits for rule in rules_of(ROOT).rules)


def test_no_file_is_no_rule(tmp_path: Path) -> None:
    assert rules_of(tmp_path).rules == ()
