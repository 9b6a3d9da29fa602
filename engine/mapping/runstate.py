"""What one run over one message holds: the delimiters, the sender's settings, and the notes taken on the way.

`Sender` and `TranslationTable` are what a run asks of its surroundings. A note is a flag, a failure that a
`failed:` case may take care of, or a hold that parks the message; none of them ever carries patient data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, Protocol

from engine.formats.hl7v2.escapes import unescape
from engine.kernel.message import Draft, Flag, Gap, Identity

__all__ = ["DELETE", "Identify", "Literal", "Sender", "State", "TranslationTable", "lit"]

DELETE = '""'

Identify = Callable[[str, str, str], str]
"""(resource type, system, value) -> the id of the resource that this identity names (lower-case UUID
text)."""


class TranslationTable(Protocol):
    """A code table of the terminology room."""

    rows: Any

    @property
    def target_systems(self) -> frozenset[str]:
        """The systems that its rows lead to."""
        ...

    def translate(self, code: str, system: str = "", uri: str = "", *, any_system: bool = False) -> Any: ...


class Sender(Protocol):
    """What is configured about whoever sent the message."""

    name: str
    zone: str
    authority: str
    own: str  # beginning of the hub's own names: `urn:hub:own/id/`
    translated: str  # where a translated coding stands among those that were sent: first | second

    def system(self, name: str) -> str:
        """URI of a coding system as this sender names it, or ""."""
        ...

    def authority_uri(self, name: str) -> str:
        """URI of an assigning authority as this sender names it, or ""."""
        ...

    def has_code(self, system: str, code: str) -> bool:
        """Say whether a code is in a code system; True where the system's codes are not at hand."""
        ...


class Literal(str):
    """A constant inside joined text: its spaces stay."""

    __slots__ = ()


@lru_cache(maxsize=4096)
def lit(text: str) -> str:
    """Return a constant that `join` leaves as it is."""
    return Literal(text)


class State:
    """The state of one message being mapped. Attributes starting lower-case and short are read by generated
    code."""

    tracing = False
    left_out: frozenset[str] = frozenset()  # types of which no resource is made

    def __init__(
        self,
        message: Any,
        sender: Sender,
        tables: Mapping[str, TranslationTable],
        functions: Mapping[str, Any],
        identify: Identify,
    ) -> None:
        d = message.delims
        self.message = message
        self.delims = d
        self.cs, self.rs, self.ss, self.es = d.component, d.repetition, d.subcomponent, d.escape
        self.sender, self.tables, self.fns, self.identify = sender, tables, functions, identify
        self.names = {s.name for s in message.segments}
        self.flags: list[Flag] = []
        self.gaps: list[Gap] = []
        self.marks = 0  # goes up with everything that a value leaves behind besides itself
        self.settled = 0  # the same for resources made beside the one being filled
        self.notes = 0  # the same for flags, failures and holds alone
        self.laid: dict[
            int, tuple[Any, list[str]]
        ] = {}  # the padded fields of segments, by the segments' ids
        self.chained: list[Any] | None = None  # the levels of the chain being made, for its memory
        self.fails = 0
        self.failed_at: list[tuple[str, str]] = []
        self.lost = ""
        self.row = -1
        self.where = ""  # `OBX[3]`, the segment being mapped
        self.cleared: list[str] = []
        self.contained: list[dict[str, Any]] = []
        self.before: Mapping[str, tuple[str, ...]] = {}
        self.parent_key: Identity = ("", "")
        self.made: dict[Any, dict[str, Any]] = {}
        self.drafts: list[Draft] = []
        self.scope: Any = None
        self.held: Flag | None = None
        # values of texts seen before; the caller may share it between runs of one site
        self.cache: dict[Any, Any] = {}
        self.met: set[int] = set()  # hashes of texts met once, shared in the same way
        self.merged: list[Any] = []  # segments that mend joined, for the report
        # (element, label) -> (segment, entry) of each that `each` made; None for one that `when` refused
        self.spots: dict[tuple[str, str], list[Any]] = {}
        # (element, label) -> segment's id -> what its entry is called, its action: lists told one by one
        # (group, segment, field, component) -> what stands there -> fields of the first that has it
        self.trees: dict[tuple[int, str, int, int], dict[str, list[str]]] = {}
        self.told: dict[tuple[str, str], dict[int, tuple[str, str]]] = {}
        self.known: dict[str, Any] = {}  # remembered values of this resource, found sound
        self.weak: list[str] = []  # elements that only a new resource takes

    # -- text ------------------------------------------------------------------------------------------------

    def text(self, v: str) -> str:
        """Decode one leaf; blank and `""` are nothing."""
        if not v or v == DELETE:
            return ""
        if self.es in v:
            v = unescape(v, self.delims, self.message.charset)
        return v.strip()

    def keep(self, value: Any, *raw: str) -> Any:
        """Return a value read from `raw`; the traced twin remembers whence."""
        return value

    # -- notes -----------------------------------------------------------------------------------------------

    def flag(self, code: str, where: str, text: str = "", work: bool = False) -> None:
        """Take a note for people; never holds patient data."""
        self.marks += 1
        self.notes += 1
        self.flags.append(Flag(code, self.where + where, text, work))

    def fail(self, code: str, raw: str) -> None:
        """Say that a value was there but could not be held by its type; a `failed:` case or a flag
        follows."""
        self.marks += 1
        self.notes += 1
        self.fails += 1
        self.failed_at.append((code, raw))

    def settle(self, since: int, where: str) -> None:
        """Turn the failures since `since` into flags: no `failed:` rows took care of them."""
        for code, _ in self.failed_at[since - self.fails :]:
            self.flag(code, where, "the value is not readable as its type and was left out")
        del self.failed_at[since - self.fails :]
        self.fails = since

    def forget(self, since: int) -> None:
        """Drop the failures since `since`: `failed:` rows took care of them."""
        if self.fails > since:
            del self.failed_at[since - self.fails :]
            self.fails = since

    def hold(self, code: str, where: str, text: str) -> None:
        """Hold the message for a person: nothing of it is written."""
        self.marks += 1
        self.notes += 1
        if self.held is None:
            self.held = Flag(code, self.where + where, text, True)

    def missed(self, table: str, where: str, rule: str, code: str, system: str, uri: str, text: str) -> None:
        """Remember a code that the table does not know, for the worklist."""
        self.marks += 1
        self.notes += 1
        own = self.where.partition("[")[0] + "-"
        at = where.removeprefix(own[:-1]) if where.startswith(own) else f" {where}"
        self.gaps.append(Gap(self.where + at, table, rule, code, system, uri, text))

    def refuse(self, entries: tuple[str, str], s: Any) -> None:
        """Remember that `each` wants no entry of this segment: links make none either."""
        self.marks += 1
        self.spots.setdefault(entries, []).append((s, None))

    def chose(self, v: str) -> None:
        """Remember that a value chose a case (the traced twin tells of it)."""
