"""Locations as rows write them, taken apart for the compiler: `PID-3(4.1=MRN and 5=MR).1`, `XPN.1.1`,
`OBX(3.1=8302-2)-5`.

In a segment map the numbers are field, component, subcomponent; in a datatype map component and subcomponent.
HL7 v2.8.2 §2.5 names the parts; the parentheses are ours (a repetition number, `only`, or a test on
components). X12: `CLM-05.1`, `REF(01=G1)-02`; `2010BB/NM1-09` reads another loop's segment,
`2010BA|2010CA/NM1-03` that of whichever is nearer, `ST/BPR-02` the transaction set's own; `C003.2` in the map
of a composite.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache

from engine.kernel.errors import MapError

__all__ = ["ABOVE", "MINE", "TOP", "Location", "Test", "locate", "of_mine"]

MINE = ("mine",)
"""What `OBX(4=mine)` compares with: the same place of the row's own segment of that name."""
TOP, ABOVE = ("top of mine",), ("above mine",)
"""Places of a containment tree (IHE PCD-01: OBX-4 is `1.2.1.3`, what holds it is `1.2.1.0`, `1.2.0.0` and, at
the top, `1.0.0.0`): the top of the row's own place, and the nearest there is between the two."""

_MOST_ZEROS = 5

_LOCATION = re.compile(
    r"((?:(?:ST|\d{4}[A-Z]{0,2}(?:\|\d{4}[A-Z]{0,2})*)/)?[A-Z][A-Z0-9]{1,2}|[CS]\d{3}|\d{4}[A-Z]{0,2})(?:\(([^()]*)\))?(?:[-.](\d+)(?:\(([^()]*)\))?(?:\.(\d+))?(?:\.(\d+))?)?"
)


@dataclass(frozen=True, slots=True)
class Test:
    """`5=MR|PI` on a repetition: component, subcomponent (0 = whole), the values, and whether they must not
    match."""

    component: int
    sub: int
    values: tuple[str, ...]
    negated: bool = False


@dataclass(frozen=True, slots=True)
class Location:
    """A location taken apart; 0 or () = not said."""

    name: str
    field: int = 0
    component: int = 0
    sub: int = 0
    n: int = 0
    only: bool = False
    tests: tuple[Test, ...] = ()
    segment_tests: tuple[Test, ...] = ()  # component = field, sub = component there

    @property
    def filtered(self) -> bool:
        """Say whether it names fewer than all repetitions."""
        return bool(self.n or self.only or self.tests)


@lru_cache(maxsize=4096)
def of_mine(values: tuple[str, ...], own: str) -> tuple[tuple[str, ...], ...]:
    """Return what a test that speaks of the row's own segment compares with, the first that is there counts;
    `own`: what stands at that place there."""
    if values == MINE:
        return ((own,),)
    if values not in (TOP, ABOVE):
        return (values,)
    parts = own.split(".")
    while len(parts) > 1 and parts[-1] == "0":
        parts.pop()
    if "." not in own or not all(parts):
        return ()
    heads = [".".join(parts[:n]) for n in range(len(parts) - 1, 1, -1)] if values == ABOVE else parts[:1]
    return tuple(tuple(head + ".0" * n for n in range(1, _MOST_ZEROS)) for head in heads)


@cache
def locate(text: str) -> Location | None:
    """Take a location apart; None if it is not one."""
    m = _LOCATION.fullmatch(text)
    if not m:
        return None
    name, segment_filter, field, filter_, component, sub = m.groups()
    n, only, tests = _filter(filter_ or "")
    _, _, segment_tests = _filter(segment_filter or "")
    return Location(name, int(field or 0), int(component or 0), int(sub or 0), n, only, tests, segment_tests)


def _filter(text: str) -> tuple[int, bool, tuple[Test, ...]]:
    text = text.strip()
    if not text:
        return 0, False, ()
    if text.isdigit():
        return int(text), False, ()
    if text == "only":
        return 0, True, ()
    tests = []
    for part in re.split(r"\s+and\s+", text):
        m = re.fullmatch(r"(\d+)(?:\.(\d+))?\s*(!?=)\s*(.+)", part.strip())
        if not m:
            raise MapError(
                f"filter ({text}) is not understood", remedy="write (2), (only), (5=MR) or (4.1=MRN and 5=MR)"
            )
        tests.append(
            Test(
                int(m[1]), int(m[2] or 0), tuple(v.strip().strip('"') for v in m[4].split("|")), m[3] == "!="
            )
        )
    return 0, False, tuple(tests)
