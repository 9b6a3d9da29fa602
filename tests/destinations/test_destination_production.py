"""What a hub with real patients refuses of a destination: told at its start, and where one is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.channels.production import weaknesses
from engine.destinations.kinds import KINDS
from engine.kernel.config import load_config
from engine.kernel.delivery import Around
from engine.kernel.errors import ConfigError

RABBIT = {"user": "hub", "password": "x", "exchange": "hub"}
MAIL = {"sender": "hub@mercy.example", "to": ["desk@mercy.example"]}


@pytest.mark.parametrize(
    ("word", "words", "weak"),
    [
        ("http", {"url": "http://erp.example/in"}, ["in the clear"]),
        ("http", {"url": "https://erp.example/in"}, []),
        ("http", {"url": "http://127.0.0.2:80/in"}, []),
        ("http", {"url": "http://[::1]:80/in"}, []),
        ("http", {"url": "http://localhost.example/in"}, ["in the clear"]),
        ("webhook", {"url": "http://erp.example/in"}, ["in the clear", "without a secret"]),
        ("webhook", {"url": "https://erp.example/in", "secret": "x"}, []),
        ("rabbitmq", {**RABBIT, "host": "rabbit.example", "security": "none"}, ["in the clear"]),
        ("rabbitmq", {**RABBIT, "host": "localhost", "security": "none"}, []),
        ("rabbitmq", {**RABBIT, "host": "rabbit.example"}, []),
        ("email", {**MAIL, "host": "smtp.example", "security": "none"}, ["in the clear"]),
        ("email", {**MAIL, "host": "smtp.example"}, []),
        ("mllp", {"url": "mllp://lis.example:2575"}, ["in the clear"]),
        ("mllp", {"url": "mllps://lis.example:2575"}, []),
    ],
)
def test_weak_settings(word: str, words: dict[str, Any], weak: list[str], tmp_path: Path) -> None:
    kind = KINDS[word]
    settings: Any = kind.settings(**words)
    told = [what for what, remedy in settings.weaknesses() if remedy]
    assert len(told) == len(weak) and all(w in t for w, t in zip(weak, told, strict=True))
    around = Around(tmp_path, tmp_path, "Mercy", "https://id.example", production=True)
    if weak:
        with pytest.raises(ConfigError, match=weak[0]):
            kind.make(settings, "other", around)
    else:
        kind.make(settings, "other", around).close()


def test_a_hub_tells_them_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "hub: Mercy\ndestinations:\n  erp:\n    http: {url: http://erp.example/in}\n"
        "  portal:\n    webhook: {url: https://portal.example/}\n"
    )
    told = [one for one in weaknesses(load_config(tmp_path), ()) if "destination " in one[1]]
    assert [(where.rpartition(":")[2], what.partition(":")[0]) for where, what, _ in told] == [
        ("3", "destination erp"),
        ("5", "destination portal"),
    ]
