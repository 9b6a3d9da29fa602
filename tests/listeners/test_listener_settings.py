"""Settings say what they are: every field with a description and an example that loads."""

from __future__ import annotations

from typing import Any

import pytest
from listener_bench import MemoryJournal
from pydantic import BaseModel, TypeAdapter, ValidationError
from twisted.internet.testing import MemoryReactorClock

from engine.formats.hl7v2.header import peek
from engine.kernel.errors import ConfigError
from engine.listeners.ack_rules import Accepts, AckRules, AckSettings
from engine.listeners.listen import Listening, ListenSettings
from engine.listeners.mllp_settings import MllpChannel, MllpSettings
from engine.listeners.tls import TlsSettings

MODELS: list[type[BaseModel]] = [Accepts, AckSettings, MllpChannel, MllpSettings, TlsSettings, ListenSettings]


@pytest.mark.parametrize("model", MODELS)
def test_every_field_is_described_and_its_examples_load(model: type[BaseModel]) -> None:
    for name, field in model.model_fields.items():
        assert field.description, name
        assert field.examples, name
        for example in field.examples:
            TypeAdapter(field.rebuild_annotation()).validate_python(example)
    assert model.model_config.get("frozen") and model.model_config.get("extra") == "forbid"


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (Accepts, {"type": "ORU R01"}),
        (Accepts, {"type": "ORU^R01|"}),
        (Accepts, {"type": "ORU^R01", "version": "2.x"}),
        (Accepts, {"type": "ORU^R01", "version": "2.3 to"}),
        (MllpSettings, {"port": 70_000}),
        (MllpSettings, {"port": 1, "allow": ["10.0.0.1/8"]}),
        (MllpSettings, {"port": 1, "alow": []}),
    ],
)
def test_what_cannot_be_followed_is_refused(model: type[BaseModel], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate(wrong)


@pytest.mark.parametrize(
    ("accepts", "kind", "version", "row"),
    [
        ("ORU^R01", "ORU^R01^ORU_R01", "2.5.1", "good"),
        ("ORU", "ORU^R30", "2.5.1", "good"),
        ("ADT^*", "ADT^A99", "2.5.1", "good"),
        ("ADT^A01|A04", "ADT^A04", "2.5.1", "good"),
        ("ADT^A01|A04", "ADT^A08", "2.5.1", "wrong-event"),
        ("ADT^A01", "ADT", "2.5.1", "wrong-event"),
        ("ORU^R01@2.3 to 2.5.1", "ORU^R01", "2.3", "good"),
        ("ORU^R01@2.3 to 2.5.1", "ORU^R01", "2.4", "good"),
        ("ORU^R01@2.3 to 2.5.1", "ORU^R01", "2.5.1^USA", "good"),
        ("ORU^R01@2.3 to 2.5.1", "ORU^R01", "2.5.2", "wrong-version"),
        ("ORU^R01@2.3 to 2.5.1", "ORU^R01", "2.10", "wrong-version"),
        ("ORU^R01@2.3 to 2.5.1", "ORU^R01", "", "wrong-version"),
        ("ORU^R01@2.3 to 2.5.1", "ORU^R01", "two", "wrong-version"),
        ("ORU^R01@2.2|2.4", "ORU^R01", "2.3", "wrong-version"),
    ],
)
def test_accept_lines(accepts: str, kind: str, version: str, row: str) -> None:
    pattern, _, versions = accepts.partition("@")
    rules = AckRules(AckSettings(accept=(Accepts(type=pattern, version=versions),)))
    message = f"MSH|^~\\&|A|B|||||{kind}|1|P|{version}\r".encode()
    assert rules.decide(peek(message), message).row == row
    assert rules.decide(peek(message), message).row == row  # remembered


def test_an_empty_control_id_is_not_taken_for_one_that_was_remembered() -> None:
    rules = AckRules(AckSettings())
    rows = []
    for control_id in ("1", "", "2", "   ", '""', "3"):
        message = f"MSH|^~\\&|A|B|||||ORU^R01|{control_id}|P|2.5\r".encode()
        rows.append(rules.decide(peek(message), message).row)
    assert rows == ["good", "no-control-id", "good", "no-control-id", "no-control-id", "good"]


def test_a_flood_of_types_is_not_remembered_for_ever() -> None:
    rules = AckRules(AckSettings(accept=(Accepts(type="ORU^R01"),)))
    for n in range(5000):
        message = f"MSH|^~\\&|A|B|||||X{n}^R01|1|P|2.5\r".encode()
        assert rules.decide(peek(message), message).row == "wrong-type"
    assert len(rules._known) <= 1024


def test_strict_without_a_validator_is_said_at_start() -> None:
    with pytest.raises(ConfigError, match="strict"):
        AckRules(AckSettings(strict=True))


def test_below_the_reserve_nothing_is_appended(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Usage:
        free = 100

    def usage(folder: Any) -> type[Usage]:
        asked.append(folder)
        return Usage

    monkeypatch.setattr("engine.listeners.listen.shutil.disk_usage", usage)
    settings = ListenSettings(journal_disk=tmp_path, disk_reserve_bytes=101)
    listening = Listening(settings, [], MemoryJournal(), MemoryReactorClock())
    assert listening._room_on_disk() is False and asked == [tmp_path]
    listening = Listening(
        settings.model_copy(update={"disk_reserve_bytes": 100}), [], MemoryJournal(), MemoryReactorClock()
    )
    assert listening._room_on_disk() is True
    assert listening._room_on_disk() is True and len(asked) == 2  # once a second is enough
