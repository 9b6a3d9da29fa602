"""What a map file says, as typed rows: every word of the language has its place here, with the `file:line` it
came from.

Nothing in this module knows HL7 or FHIR; `read.py` fills these records from YAML, `layers.py` lays a site's
changes over them, `check.py` judges them and `compile.py` turns them into Python.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from engine.mapping.conditions import Condition

__all__ = [
    "Case",
    "Constant",
    "Each",
    "Join",
    "Locate",
    "MapDef",
    "MessageDef",
    "Place",
    "ResourceDef",
    "Row",
    "SiteDef",
    "Source",
    "Step",
    "TestDef",
    "Where",
]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row was written and by which layer (`standard`, `us_core`, `acme_lab`)."""

    file: str = ""
    line: int = 0
    layer: str = "standard"
    column: int = field(default=0, compare=False, repr=False)  # tells rows of one line apart

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


Where = Place


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a target path: `telecom(home)` is Step("telecom", "home")."""

    name: str
    label: str = ""

    def __str__(self) -> str:
        return f"{self.name}({self.label})" if self.label else self.name


@dataclass(frozen=True, slots=True)
class Locate:
    """A location in the source, as written: `PID-5.1`."""

    text: str


@dataclass(frozen=True, slots=True)
class Constant:
    """`=final`, `=v2-0203#MR` (table and code) or `=own:obx`."""

    text: str


@dataclass(frozen=True, slots=True)
class Join:
    """Text glued from parts; `with_` is a word: space, comma, newline, key, or the text itself."""

    parts: tuple[Source, ...]
    with_: str = ""


@dataclass(frozen=True, slots=True)
class First:
    """`[a, b]`: the first one valued."""

    options: tuple[Source, ...]


Source = Locate | Constant | Join | First


@dataclass(frozen=True, slots=True)
class Case:
    """One line of a `by` table: the values it is for (`""` = not valued, `else` = the rest) and its rows."""

    values: tuple[str, ...]
    rows: tuple[Row, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class Each:
    """`each: NTE`: once for every such segment in scope."""

    segment: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a target, where its value comes from, and what is said about it."""

    target: tuple[Step, ...]
    place: Place
    source: Source | None = None
    as_: str = ""
    code: str = ""
    unmapped: str = ""
    when: Condition | None = None
    default: tuple[Row, ...] = ()
    split: str = ""
    each: str = ""
    known_by: Source | None = None  # what tells an entry that `each` makes from the others of the list
    action: Source | None = None  # where it stands what happens to the entry
    by: Source | None = None
    cases: tuple[Case, ...] = ()
    failed: tuple[Row, ...] = ()
    make: str = ""
    make_rows: tuple[Row, ...] = ()
    children: tuple[Row, ...] = ()
    skip: str = ""
    flag: str = ""
    work: str = ""  # a flag that is work for a person
    assumed: str = ""

    @property
    def name(self) -> str:
        """The target as written: `telecom(home).use`."""
        return ".".join(str(s) for s in self.target)

    @property
    def each_segment(self) -> str:
        """The segment that `each` repeats over: NTE for `each: AIS/NTE`, the notes behind every AIS."""
        return self.each.rpartition("/")[2]

    def under(self, prefix: tuple[Step, ...]) -> Row:
        """The same row with its target below `prefix`."""
        return replace(self, target=prefix + self.target)


@dataclass(frozen=True, slots=True)
class TestDef:
    """An inline test: segments in, elements out."""

    name: str
    source: str
    expect: tuple[tuple[str, object], ...]
    place: Place
    map: str = ""


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a Location chain (PL): the facility, the building, the room, the bed."""

    name: str
    when: Condition | None
    rows: tuple[Row, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class MapDef:
    """A map from a segment or datatype to one FHIR type."""

    name: str
    source: str
    to: str
    rows: tuple[Row, ...]
    place: Place
    key: tuple[Source, ...] = ()  # alternatives `a | b`; each is looked up
    key_text: str = ""
    ignore: tuple[str, ...] = ()
    levels: tuple[Level, ...] = ()
    note: str = ""
    tests: tuple[TestDef, ...] = ()


@dataclass(frozen=True, slots=True)
class ResourceDef:
    """One line of a message map: which group it repeats with, which maps fill it, what it links to."""

    name: str
    per: tuple[str, ...]
    rows: tuple[str, ...]
    place: Place
    links: tuple[
        tuple[tuple[str, ...], str], ...
    ] = ()  # (element path from me or another resource, selector)
    when: Condition | None = None
    write: tuple[Case, ...] | str = ""
    write_by: Source | None = None


@dataclass(frozen=True, slots=True)
class MessageDef:
    """A message map: resources, how they are written, what is mended and what is refused."""

    name: str
    structure: str
    triggers: tuple[tuple[str, str], ...]
    resources: tuple[ResourceDef, ...]
    place: Place
    write: tuple[Case, ...] | str = "merge"
    write_by: Source | None = None
    mend: tuple[tuple[str, Place], ...] = ()
    refuse: tuple[tuple[str, Place], ...] = ()
    ignore: tuple[str, ...] = ()
    note: str = ""
    tests: tuple[TestDef, ...] = ()


@dataclass(frozen=True, slots=True)
class SiteDef:
    """A sender's or a realm's differences: which messages it is for, and the rows it changes."""

    name: str
    over: str
    place: Place
    match: tuple[tuple[str, tuple[str, ...]], ...] = ()
    timezone: str = ""
    charset: str = ""
    authority: str = ""
    systems: tuple[tuple[str, str], ...] = ()
    segments: tuple[
        tuple[str, tuple[tuple[str, str], ...]], ...
    ] = ()  # Z-segment dictionary: (name, type) per field
    change: tuple[tuple[str, tuple[Row, ...]], ...] = ()
    replace: tuple[tuple[str, object], ...] = ()
    ignore: tuple[tuple[str, tuple[str, ...]], ...] = ()
    tests: tuple[TestDef, ...] = field(default=())
