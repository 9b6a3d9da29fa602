"""A file of documents, claims or prescriptions into the journal, and its acknowledgement beside it.

In: an open file that is no HL7 v2. Out: the same entries as over HTTP (`mail.py`), each once, however often
the taking is interrupted: an X12 file of any length is cut as it is read, and an entry says in its sealed
reason which part of which file it is. The TA1 and 999 of each interchange are written into the channel's
folder of answers once all of it is in the journal; their names hold the interchange's number and the
journal's, so that the same file gives the same answer again. An interchange of more than 4 MiB is worked off
as it is read; its envelope is read before, so that what TA1 or 999 reject by it is not worked on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from engine.formats.content import HEAD, recognise
from engine.formats.x12.cut import Part, Received, cut
from engine.formats.x12.envelope import Interchange, opened
from engine.formats.x12.partner_rules import partners_in
from engine.formats.x12.segments import Reader
from engine.kernel.clock import now_ms
from engine.kernel.disk import sync_folder
from engine.kernel.errors import FormatError
from engine.listeners.accepting import kinds_of
from engine.listeners.mail import Letter, answer_x12, mail_of, part_letter, stray_letter

if TYPE_CHECKING:
    from engine.listeners.files import Taking

__all__ = ["format_of", "take_other"]

_HELD = 4 << 20  # bytes of an interchange that wait for its trailer


def format_of(file: BinaryIO) -> str:
    """Tell the format of a file by its first bytes, and of a zip by its last; it is at its beginning then."""
    file.seek(0)
    head = file.read(HEAD)
    if head.startswith(b"PK"):
        size = file.seek(0, 2)
        file.seek(max(HEAD, size - HEAD))
        head += file.read(HEAD)
    file.seek(0)
    return recognise(head)


def take_other(taking: Taking, format: str) -> None:
    """Put everything of a file to the journal."""
    if format == "x12" and any(t.format == "x12" for t in taking.source.rules.settings.others):
        try:
            _interchanges(taking)
        except FormatError as e:  # what came before it is taken
            taking.flush()
            taking.taken.broken = True
            taking.file.seek(0)
            taking.garbage(0, taking.file.read(1 << 16), f"too-long; {e}; cut")
        return
    size = taking.file.seek(0, 2)
    taking.file.seek(0)
    if size > taking.limit:
        taking.taken.broken = True
        taking.garbage(0, taking.file.read(1 << 20), "too-long; cut")
        return
    data = taking.file.read()
    if data.strip():
        for n, letter in enumerate(mail_of(data, taking.source, taking.peer, format).letters):
            _put(taking, letter, f"{n}d")


def _put(taking: Taking, letter: Letter, place: str) -> None:
    """Put one entry; `place`: which of its file it is."""
    entry = letter.entry
    said = f"file {taking.tag}@{place} of {taking.name}"
    entry = replace(entry, reason=f"{entry.reason}; {said}" if entry.reason else said)
    taking.count(letter.decision.row)
    if entry.kind == "garbage":
        taking.taken.garbage += 1
        entry = replace(entry, control_id=f"{taking.tag}@{place}")  # recognised when it comes again
    else:
        taking.taken.readable += 1
    taking.put(place, entry)


def _interchanges(taking: Taking) -> None:
    settings = taking.source.rules.settings
    number = 0
    waiting: list[Part] = []
    size = 0
    first = ""  # place of the first entry of the interchange

    def flush(whole: Interchange | None) -> Iterator[Letter]:
        for part in waiting:
            note = f"part {part.n} of a transaction set" if part.n else ""
            yield part_letter(part, taking.source, taking.peer, whole, note)
        waiting.clear()

    ahead = iter(_ahead(taking.file))
    coming = next(ahead, None)
    lenient, keep = settings.x12.reject == "envelope", settings.x12.claim_answers
    rules, sets = partners_in(settings.x12.partners), kinds_of(settings.others, "x12")
    for item in cut(Reader(taking.file), lenient=lenient, keep=keep, partners=rules, sets=sets):
        letters: list[Letter] = []
        if isinstance(item, Part):
            waiting.append(item)
            size += len(item.body)
            if size > _HELD:
                letters, size = list(flush(coming)), 0
        elif isinstance(item, Received):
            letters, size = list(flush(item.interchange)), 0
            coming = next(ahead, None)
        else:
            letters = [stray_letter(item, taking.source, taking.peer)]
        for letter in letters:
            number += 1
            if not first:
                first = f"{number}x"
                taking.watched = {first}
            _put(taking, letter, f"{number}x")
        if isinstance(item, Received):
            taking.flush()
            if settings.x12.into:
                _answer(taking, item, taking.ids.get(first, 0))
            first = ""
    taking.flush()


def _ahead(file: BinaryIO) -> list[Interchange]:
    """Read the envelopes of a long file, so that no part of a rejected one is worked on before its end."""
    found: list[Interchange] = []
    if file.seek(0, 2) > _HELD:
        file.seek(0)
        with suppress(FormatError):  # told when it is reached again
            for item in opened(s for s in Reader(file) if s.name):
                if isinstance(item, Interchange):
                    found.append(item)
    file.seek(0)
    return found


def _answer(taking: Taking, received: Received, entry: int) -> None:
    """Write TA1 and 999 of one interchange; a name that is there is written over with the same."""
    settings = taking.source.rules.settings
    written = answer_x12([received], settings, entry, now_ms())
    if not written:
        return
    number = received.interchange.header.get(13).strip()
    folder = Path(settings.x12.into)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    name = f"ack-{number if number.isdecimal() else 'unnumbered'}-{entry}.x12"
    fresh = folder / f".{name}.new"
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(written)
        file.flush()
        os.fsync(file.fileno())
    os.replace(fresh, folder / name)
    sync_folder(folder)
