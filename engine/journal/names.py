"""Words the journal repeats (channel and sender, message type, charset) as small numbers.

In comes a word and its kind, out goes the number of its `name` row, made on first use. The row holds the word
sealed and a keyed hash to find it by, because a damaged message can carry patient data in the field a sender
is read from.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from engine.journal import tables
from engine.security.keys import Keyring

__all__ = ["Names"]

_KEPT = 50_000  # words kept in memory; a flood of new senders costs time, not memory

Word = tuple[str, str]
"""(kind, text), e.g. ("type", "ORU^R01"); kind `source` is channel and sender with a NUL between them."""


class Names:
    """The `name` table, with what was used of it in memory."""

    def __init__(self, engine: Engine, keyring: Keyring) -> None:
        self._engine = engine
        self._keyring = keyring
        self._ids: dict[Word, int] = {}
        self._words: dict[int, Word] = {}
        self._listed: tuple[int, dict[int, tuple[str, str]], dict[int, str]] | None = None

    def ids(self, wanted: Iterable[Word]) -> dict[Word, int]:
        """Return the numbers of these words, making rows for new ones (committed before this returns)."""
        known = self._ids
        missing = [word for word in set(wanted) if word not in known]
        if missing:
            self._make(missing)
        return self._ids

    def find(self, word: Word) -> int | None:
        """Return the number of a word, or None when no entry ever used it."""
        if word not in self._ids:
            with self._engine.connect() as connection:
                query = sa.select(tables.name).where(tables.name.c.mac == self._mac(word))
                for row in connection.execute(query):
                    self._keep(row.id, self._open(row.mac, row.sealed))
        return self._ids.get(word)

    def texts(self, numbers: Iterable[int]) -> dict[int, Word]:
        """Return the words of these numbers (and of others in memory)."""
        missing = [n for n in set(numbers) if n not in self._words]
        if missing:
            with self._engine.connect() as connection:
                query = sa.select(tables.name).where(tables.name.c.id.in_(missing))
                found = [(row.id, self._open(row.mac, row.sealed)) for row in connection.execute(query)]
            words = dict(self._words)
            for number, word in found:
                self._keep(number, word)
            return words | dict(found)
        return self._words

    def sources(self) -> dict[int, tuple[str, str]]:
        """Return every (channel, sender) that ever sent, by number."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(tables.name)).all()
        words = {row.id: self._words.get(row.id) or self._open(row.mac, row.sealed) for row in rows}
        return {n: source_of(text) for n, (kind, text) in words.items() if kind == "source"}

    def listed(self, newest: int) -> tuple[dict[int, tuple[str, str]], dict[int, str]]:
        """Return every (channel, sender) and every message type by number ("" stands for types too odd for a
        name); `newest` is the newest name there is: while it stays, nothing is read again.
        """
        if self._listed is None or self._listed[0] != newest:
            with self._engine.connect() as connection:
                rows = connection.execute(sa.select(tables.name)).all()
            words = {row.id: self._words.get(row.id) or self._open(row.mac, row.sealed) for row in rows}
            sources = {n: source_of(text) for n, (kind, text) in words.items() if kind == "source"}
            types = {n: text for n, (kind, text) in words.items() if kind == "type"}
            self._listed = max(words, default=0), sources, types
        return self._listed[1:]

    def _make(self, missing: list[Word]) -> None:
        macs = {self._mac(word): word for word in missing}
        table = tables.name
        with self._engine.execution_options(immediate=True).begin() as connection:
            query = sa.select(table.c.mac, table.c.id).where(table.c.mac.in_(macs))
            found: dict[bytes, int] = {row.mac: row.id for row in connection.execute(query)}
            new = [
                {
                    "mac": mac,
                    "sealed": self._keyring.seal(
                        "\0".join(word).encode("utf-8", "surrogatepass"), b"name:" + mac
                    ),
                }
                for mac, word in sorted(macs.items())  # in one order everywhere: nobody waits in a ring
                if mac not in found
            ]
            if new:
                insert = sa.text(
                    "INSERT INTO name (mac, sealed) VALUES (:mac, :sealed) ON CONFLICT DO NOTHING"
                )
                connection.execute(insert, new)
        if new:
            with self._engine.connect() as connection:
                found = {row.mac: row.id for row in connection.execute(query)}
        for mac, number in found.items():
            self._keep(number, macs[bytes(mac)])

    def _keep(self, number: int, word: Word) -> None:
        if len(self._ids) >= _KEPT:
            self._ids, self._words = {}, {}
        self._ids[word] = number
        self._words[number] = word

    def _mac(self, word: Word) -> bytes:
        return self._keyring.mac16("journal name " + word[0], word[1])

    def _open(self, mac: bytes, sealed: bytes) -> Word:
        text = self._keyring.unseal(sealed, b"name:" + bytes(mac)).decode("utf-8", "surrogatepass")
        kind, _, value = text.partition("\0")
        return kind, value


def source(channel: str, sender: str) -> Word:
    """Return the word for a channel and a sender of it."""
    return "source", f"{channel}\0{sender}"


def source_of(text: str) -> tuple[str, str]:
    """Return the channel and sender of a `source` word."""
    channel, _, sender = text.partition("\0")
    return channel, sender
