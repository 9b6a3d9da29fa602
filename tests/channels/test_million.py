"""The messages that the console is measured with are found as real ones: same words, same outcomes."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import pytest
from hub_project import HERE

from engine.channels.asking import read_query
from engine.channels.finding import Finder
from engine.channels.searchwords import search_words
from engine.formats.hl7v2.parse import parse
from engine.journal.sql import SqlJournal
from engine.kernel.clock import now_ms
from engine.security.keys import Keyring
from engine.store.sql import SqlStore


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE / "bench"))
    sys.modules.pop("million", None)


def test_the_words_are_those_of_the_pipeline() -> None:
    from million import message

    for number in range(1, 400):
        made = message(number, 1000, now_ms())
        words = search_words(parse(made.entry.body))
        assert len(set(made.words)) == len(made.words)
        assert set(made.words) == set(words), made.entry.message_type


def test_they_are_in_the_mix_they_should_be(tmp_path: Path) -> None:
    from million import CHANNELS, fill

    keyring = Keyring.supplied(b"0123456789abcdef0123456789abcdef")
    journal = SqlJournal.open(f"sqlite:///{tmp_path}/journal.db", keyring)
    store = SqlStore.open(f"sqlite:///{tmp_path}/core.db", keyring)
    fill(journal, store, 1200, quiet=True)
    finder, now = Finder(journal, store), datetime.now()

    def count(q: str) -> int:
        return len(finder.find(read_query(q, now), limit=5000, names=False).hits)

    assert journal.head() == count("") == 1200 and count("waiting") == 0
    assert {channel for channel, _ in journal.names.sources().values()} == {name for name, *_ in CHANNELS}
    assert 20 <= count("parked not refused") <= 60 and 20 <= count("flagged") <= 70
    assert count("skipped") == count("answers") > 0
    assert 100 < count("last 9 days") < 140
    fill(journal, store, 1200, quiet=True)
    assert journal.head() == 1200
    store.close()
    journal.close()
