"""Entries that belong to one another: a message and its replays, what shares its control id, the order behind
a result, the study behind an order, the merge behind a patient's number.

In: an entry's line; its words (numbers of patient, order, study), where who asks may see them. Out: `Link`s,
each with why, newest first, at most `MOST`. Every look-up is by a key. Entries that share an order's number
are linked only where they are known under a number of the same patient too: two senders number alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.channels.message.envelope import asked_by, state_of
from engine.channels.searchwords import search_words
from engine.formats.content import recognise
from engine.formats.facts import facts_of
from engine.formats.hl7v2.parse import parse
from engine.formats.xdm import read_package
from engine.journal.search import Line
from engine.journal.sql import SqlJournal
from engine.kernel.errors import FormatError
from engine.kernel.message import Entry
from engine.store.sql import SqlStore

__all__ = ["MOST", "Link", "linked", "words_of"]

MOST = 60
_EACH = 40  # entries looked at for one number
_SHARED = {
    "order": "the same order",
    "visit": "the same visit",
    "claim": "the same claim",
    "document": "the same document or its set",
    "study": "the same study",
}
_MERGES = frozenset(
    f"ADT^A{n}" for n in (18, 24, 30, 34, 35, 36, 37, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51)
)
_WORDS = 8  # numbers of one kind that are asked for


@dataclass(frozen=True, slots=True)
class Link:
    """One entry that belongs to another, and why."""

    entry: int
    why: str
    channel: str
    type: str
    kind: str
    received: int
    state: str
    asked_by: str


def words_of(entry: Entry) -> tuple[tuple[str, str], ...]:
    """Return (kind, value) of what a message is found by; nothing where it cannot be read."""
    format = recognise(entry.body)
    try:
        if format in ("", "hl7v2"):
            return search_words(parse(entry.body, charset=entry.charset))
        if format == "xdm":
            return read_package(entry.body).words
        return facts_of(entry.body, format).words
    except FormatError:
        return ()


def linked(
    line: Line, journal: SqlJournal, store: SqlStore, words: Iterable[tuple[str, str]] = ()
) -> list[Link]:
    """Return what belongs to an entry; `words`: what its body says it is about."""
    why: dict[int, str] = {}
    if line.parent is not None:
        again = "edited from this one" if line.kind == "resend" else "the one that was run again"
        why[line.parent] = again
    if line.position != line.id:
        why.setdefault(line.position, "whose place it takes")
    if line.conflicts_with is not None:
        why.setdefault(line.conflicts_with, "came first with the same control id")
    same: set[int] = set()
    if line.control_id:
        same = set(journal.search.by_control(line.control_id, line.sender, line.channel)[-_EACH:])
    same.discard(line.id)
    about = list(words)
    patients = [value for kind, value in about if kind == "patient"][:_WORDS]
    for kind, said in _SHARED.items():
        for value in [v for k, v in about if k == kind][:_WORDS]:
            found = [n for n in store.find(kind, value, _EACH) if n != line.id]
            for number in _of_these(found, patients, store):
                why.setdefault(number, said)
    merges: set[int] = set()
    for value in patients:
        merges |= set(store.find("patient", value, 5 * _EACH)) - why.keys() - {line.id}
    wanted = sorted(why.keys() | same | merges)
    lines = {one.id: one for one in journal.search.lines(wanted)}
    for number in same:
        other = lines.get(number)
        if other is not None and number not in why:
            if other.parent == line.id or (line.parent is not None and other.parent == line.parent):
                word = "an edited one" if other.kind == "resend" else "a replay"
                why[number] = f"{word} of {'this one' if other.parent == line.id else line.parent}"
            elif other.position in (line.position, line.id):
                why[number] = f"a replay of {other.position}"
            else:
                why[number] = "the same control id"
    for number in merges:
        if number in lines and lines[number].message_type in _MERGES and number not in why:
            why[number] = "moves, merges or renumbers the patient or the visit"
    chosen = sorted((n for n in why if n in lines), reverse=True)[:MOST]
    outcomes = store.outcomes_of(chosen)
    return [_link(lines[n], why[n], state_of(outcomes.get(n))) for n in chosen]


def _of_these(found: list[int], patients: list[str], store: SqlStore) -> set[int]:
    """Return those entries that are known under a number of the same patient."""
    kept: set[int] = set()
    for value in patients:
        kept |= store.known(found, "patient", value)
    return kept


def _link(line: Line, why: str, state: str) -> Link:
    return Link(
        line.id, why, line.channel, line.message_type, line.kind, line.received, state, asked_by(line)
    )
