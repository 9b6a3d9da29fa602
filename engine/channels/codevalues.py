"""The results that stood beside a code that no table knows: what tells a person most of what it means.

In: a sighting, the journal. Out: the values of the messages that it names as samples. They are patient data:
whoever asks is in the audit before.
"""

from __future__ import annotations

from engine.formats.hl7v2.escapes import unescape
from engine.formats.hl7v2.parse import parse
from engine.journal.sql import SqlJournal, UnreadableEntry
from engine.kernel.errors import FormatError
from engine.store.gaps import Sighting

__all__ = ["sample_values"]


def sample_values(journal: SqlJournal, s: Sighting) -> list[str]:
    """Open the messages that a code names as samples, and return the results that stood beside it."""
    found: list[str] = []
    for entry, where in s.samples:
        if not where.startswith("OBX["):
            continue
        try:
            held = journal.get(entry)
            message = parse(held.body, charset=held.charset) if held is not None else None
        except (UnreadableEntry, FormatError):
            continue  # its body is gone by policy
        number = int(where[4:].partition("]")[0])
        segments = [x for x in message.segments if x.name == "OBX"] if message else []
        if message is not None and 0 < number <= len(segments):
            fields = segments[number - 1].fields
            raw = fields[5] if len(fields) > 5 else ""
            found.append(unescape(raw, message.delims, message.charset))
    return list(dict.fromkeys(v for v in found if v))
