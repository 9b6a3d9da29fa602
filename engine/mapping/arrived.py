"""What any format hands to the mapper: one message, document or transaction set, arranged, and who sent it.

In: what a format room read. Out: an `Arrived`; `convert.py` maps it with the maps of its format, fast or
traced. HL7 v2 has a way of its own there: its arrangement depends on the message map.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from engine.formats.hl7v2.delims import Delims
from engine.mapping.build import Built
from engine.mapping.lineage import Report
from engine.mapping.model import MapDef, MessageDef, Row
from engine.mapping.run import Run, TracedRun

__all__ = ["NO_DELIMS", "Arrived"]

NO_DELIMS = Delims("\x00", "\x00", "\x00", "\x00", "\x00")
"""Characters that no document holds: nothing in it is split."""


class Arrived(Protocol):
    """One thing to be mapped; a Run reads the first five."""

    delims: Delims
    charset: str
    segments: Sequence[Any]
    repairs: Sequence[Any]  # each with .where, .text, .code
    names: set[str]  # of the segments or groups in it

    format: str
    kinds: tuple[str, ...]  # what `for:` of message maps may name, most exact first
    type: str  # as the journal and the report call it: `34133-9`, `837P`, `NewRx`
    raw: bytes  # as it came; empty where it is part of something longer
    headers: Mapping[str, str]  # what sites match on
    authority: str  # the name space private to the sender
    scope: Any  # the groups
    run: type[Run]  # what generated code calls, fast
    traced_run: type[TracedRun]  # and its twin that remembers

    def report(
        self, built: Built, x: Any, rows: list[Row], maps: Mapping[str, MapDef], message: MessageDef
    ) -> Report:
        """Say of every populated place where it went (`x` is a traced run)."""
        ...
