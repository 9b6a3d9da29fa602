"""`hub terms unit`: a unit read, explained and converted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.cli import terms_unit
from engine.cli.main import app
from engine.kernel.errors import HubError

ROOT = Path(__file__).parents[2]


def hub(*words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["terms", "unit", *words])
    if isinstance(done.exception, HubError):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture(autouse=True)
def project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(terms_unit, "_says", lambda root, loinc: {})


def test_a_unit_is_read_and_explained() -> None:
    said = json.loads(hub("K/uL", "--json"))
    assert said["ucum"] == "10*3/uL" and said["by"].startswith("units.csv:")
    assert (said["measures"], said["factor"]) == ("m-3", "1000000000000")


@pytest.mark.parametrize("text", ["C", "U/h", "zz", "mg / dL"])
def test_what_stays_as_sent_ends_with_1(text: str) -> None:
    assert f"{text}: stays as sent; " in hub(text, code=1)


def test_what_the_sender_calls_ucum() -> None:
    assert "U/h is U/h (UCUM)" in hub("U/h", "--ucum")
    assert "K/uL is 10*3/uL" in hub("K/uL", "--ucum")


def test_a_number_before_it_is_converted() -> None:
    said = json.loads(hub("100 MG/DL", "--to", "mmol/L", "--loinc", "2345-7", "--json"))
    assert (said["text"], said["number"], said["result"]) == ("MG/DL", "100", "5.55")
    assert said["how"].startswith("Glucose: 180.156 g/mol")


def test_what_does_not_convert_ends_with_1() -> None:
    assert "does not convert: mg/dL measures g.m-3" in hub("mg/dL", "--to", "mmol/L", code=1)


def test_a_target_that_is_no_unit_is_an_error() -> None:
    with pytest.raises(HubError, match="Write mmol/L"):
        hub("mg/dL", "--to", "MMOL/L")


def test_a_unit_that_contradicts_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terms_unit, "_says", lambda root, loinc: {"PROPERTY": "SCnc"})
    assert "contradicts the code: the code is of property SCnc (substance concentration), which mg/dL" in hub(
        "mg/dL", "--loinc", "14749-6"
    )
