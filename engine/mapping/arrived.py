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

RunClass = type[Run]
TracedClass = type[TracedRun]
NO_DELIMS = Delims("\x00", "\x00", "\x00", "\x00", "\x00")
"""Characters that no document holds: nothing in it is split."""


class Arrived(Protocol):
    """One thing to be mapped; a Run reads the first five."""

    @property
    def delims(self) -> Delims:
        """What splits fields; documents have none."""
        ...

    @property
    def charset(self) -> str:
        """As it was read."""
        ...

    @property
    def segments(self) -> Sequence[Any]:
        """Segments."""
        ...

    @property
    def repairs(self) -> Sequence[Any]:
        """Each with .where, .text, .code."""
        ...

    @property
    def names(self) -> set[str]:
        """Of the segments or groups in it."""
        ...

    @property
    def format(self) -> str:
        """Hl7v2, x12, cda, ncpdp."""
        ...

    @property
    def kinds(self) -> tuple[str, ...]:
        """What `for:` of message maps may name, most exact first."""
        ...

    @property
    def type(self) -> str:
        """As the journal and the report call it: `34133-9`, `837P`, `NewRx`."""
        ...

    @property
    def raw(self) -> bytes:
        """As it came; empty where it is part of something longer."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """What sites match on."""
        ...

    @property
    def authority(self) -> str:
        """The name space private to the sender."""
        ...

    @property
    def scope(self) -> Any:
        """The groups."""
        ...

    @property
    def run(self) -> RunClass:
        """What generated code calls, fast."""
        ...

    @property
    def traced_run(self) -> TracedClass:
        """And its twin that remembers."""
        ...

    def report(
        self, built: Built, x: Any, rows: list[Row], maps: Mapping[str, MapDef], message: MessageDef
    ) -> Report:
        """Say of every populated place where it went (`x` is a traced run)."""
        ...
