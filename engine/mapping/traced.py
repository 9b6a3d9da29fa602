"""Values that remember where they came from, so that lineage is read off the finished resource.

The traced twin of a compiled map runs the same steps on these instead of plain text: a piece split from a
field knows its address, a code looked up knows the text it was looked up from. Walking the finished bundle
then gives every (target element, source addresses, row). Only lineage, `try` and tests pay for it.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

__all__ = ["Address", "TBool", "TDecimal", "TInt", "TKey", "TStr", "absorb", "plain", "sources_of", "traced"]


class Address(NamedTuple):
    """A place in an HL7 v2 message; 0 = the whole of it. `PID[1]-5[1].1.1`, all 1-based."""

    segment: str
    n: int
    field: int
    rep: int = 0
    component: int = 0
    sub: int = 0

    def __str__(self) -> str:
        text = f"{self.segment}[{self.n}]-{self.field}"
        if self.rep:
            text += f"[{self.rep}]"
        if self.component:
            text += f".{self.component}"
        if self.sub:
            text += f".{self.sub}"
        return text

    def below(self, index: int) -> Address:
        """The `index`-th part one level down."""
        segment, n, field, rep, component, _ = self
        if not rep:
            return Address(segment, n, field, index, component, self.sub)
        if not component:
            return Address(segment, n, field, rep, index, self.sub)
        return Address(segment, n, field, rep, component, index)


Sources = tuple[Any, ...]
"""Addresses: of an HL7 v2 message, or of whatever format the values came in (`treerun.At`)."""


class TStr(str):
    """Text with its source addresses and the row that read it."""

    __slots__ = ("row", "src")
    src: Sources
    row: int

    def __new__(cls, text: str, src: Sources = (), row: int = -1) -> TStr:
        self = super().__new__(cls, text)
        self.src, self.row = src, row
        return self

    def split(self, sep: str | None = None, maxsplit: Any = -1) -> list[str]:
        """Split one level down; every piece knows its own address."""
        if len(self.src) != 1:
            return list(str.split(self, sep, maxsplit))
        at = self.src[0]
        return [TStr(p, (at.below(i),), self.row) for i, p in enumerate(str.split(self, sep, maxsplit), 1)]

    def strip(self, chars: str | None = None) -> TStr:
        """Strip, keeping the source."""
        return TStr(str.strip(self, chars), self.src, self.row)


class TKey(TStr):
    """An identity key made of several values: its parts are not mapped by standing in it."""

    __slots__ = ()


class TInt(int):
    """A whole number with its sources."""

    src: Sources
    row: int


class TDecimal(Decimal):
    """A decimal with its sources."""

    src: Sources
    row: int


class TBool:
    """true or false with its sources (bool cannot be subclassed)."""

    __slots__ = ("row", "src", "value")

    def __init__(self, value: bool) -> None:
        self.value = value
        self.src: Sources = ()
        self.row = -1

    def __bool__(self) -> bool:
        return self.value

    def __eq__(self, other: object) -> bool:
        return self.value == (other.value if isinstance(other, TBool) else other)

    def __hash__(self) -> int:
        return hash(self.value)


def traced(value: Any, src: Sources, row: int) -> Any:
    """Return `value` carrying `src`; dicts and lists carry it in every leaf."""
    kind = type(value)
    if kind is str or (kind is TStr and not value.src):
        return TStr(value, src, row)
    if kind is TStr:
        return value
    out: Any
    if isinstance(value, dict):
        return {k: traced(v, src, row) for k, v in value.items()}
    if isinstance(value, list):
        return [traced(v, src, row) for v in value]
    if isinstance(value, TStr | TInt | TDecimal | TBool) and value.src:
        return value
    if isinstance(value, bool | TBool):
        out = TBool(bool(value))
    elif isinstance(value, str):
        return TStr(value, src, row)
    elif isinstance(value, Decimal):
        out = TDecimal(value)
    elif isinstance(value, int):
        out = TInt(value)
    else:
        return value
    out.src, out.row = src, row
    return out


def sources_of(values: Iterable[Any]) -> Sources:
    """Collect the sources of several values, each once, in order."""
    seen: dict[Any, None] = {}
    for v in values:
        for a in getattr(v, "src", ()):
            seen[a] = None
    return tuple(seen)


def plain(value: Any) -> Any:
    """Return the value without its memory, ready for JSON."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    if isinstance(value, TStr):
        return str.__str__(value)
    if isinstance(value, TBool):
        return value.value
    if isinstance(value, TInt):
        return int(value)
    if isinstance(value, TDecimal):
        return Decimal(str(value))
    return value


def absorb(kept: Any, dropped: Any) -> Any:
    """Give `kept` the sources of an equal value that was dropped beside it; returns what to keep."""
    if isinstance(kept, dict) and isinstance(dropped, dict):
        for k, v in dropped.items():
            if k in kept:
                kept[k] = absorb(kept[k], v)
        return kept
    if isinstance(kept, list) and isinstance(dropped, list):
        for i, v in enumerate(dropped):
            if i < len(kept):
                kept[i] = absorb(kept[i], v)
        return kept
    more = getattr(dropped, "src", ())
    if more and kept == dropped:
        src = getattr(kept, "src", ())
        out = traced(
            plain(kept), tuple(dict.fromkeys(src + more)), getattr(kept, "row", getattr(dropped, "row", -1))
        )
        return out
    return kept
