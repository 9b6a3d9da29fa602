"""The FHIR R4 (4.0.1) definitions: what elements a type has, what they hold, and which codes they allow.

Reads the compact file `data/r4.json.gz` (made by `tools/fhir_definitions.py`) once, on first use, and answers
from memory: elements of resources, datatypes and backbone elements (R4 structuredefinition.html), content
references, choice elements by their concrete name (formats.html#choice), codes of required bindings
(terminologies.html), search parameters (search.html). Paths are written as analysts write them:
`Observation.valueQuantity.value`, `Patient.birthDate.extension.url`.
"""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from engine.kernel.errors import HubError

__all__ = [
    "Binding",
    "ElementDef",
    "Resolved",
    "SearchParameter",
    "UnknownPath",
    "base_type",
    "codes",
    "codes_by_system",
    "concrete_name",
    "data_types",
    "element",
    "elements",
    "is_primitive",
    "notice",
    "resolve_path",
    "resource_types",
    "search_parameters",
    "short",
    "types",
]


@dataclass(frozen=True, slots=True)
class Binding:
    """The value set of an element; `strength` is required, extensible, preferred or example."""

    strength: str
    value_set: str


@dataclass(frozen=True, slots=True)
class ElementDef:
    """One element: `types` are type names, or the path of a backbone element such as
    `Observation.component`.

    `max` is None for any number. `targets` are the resource types a Reference or canonical may point to,
    empty for any.
    """

    path: str
    name: str
    types: tuple[str, ...]
    min: int
    max: int | None
    short: str
    targets: tuple[str, ...] = ()
    binding: Binding | None = None

    @property
    def repeats(self) -> bool:
        """Say whether JSON holds a list."""
        return self.max is None or self.max > 1

    @property
    def choice(self) -> bool:
        """Say whether this is a `value[x]`."""
        return self.name.endswith("[x]")


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a path leads to. `repeats` tells of the last step, `in_list` of any step on the way, the last
    included."""

    path: str
    type: str
    element: ElementDef
    repeats: bool
    in_list: bool


@dataclass(frozen=True, slots=True)
class SearchParameter:
    """One search parameter of one resource; `expression` is FHIRPath, `targets` are set for references."""

    name: str
    type: str
    expression: str
    targets: tuple[str, ...]


class UnknownPath(HubError):
    """A path names an element that R4 does not have; `near` holds names that look like it."""

    def __init__(self, what: str, *, where: str = "", why: str = "", remedy: str = "") -> None:
        super().__init__(what, where=where, why=why, remedy=remedy)
        self.near: tuple[str, ...] = ()


@cache
def _data() -> dict[str, Any]:
    packed = files("engine.fhir").joinpath("data/r4.json.gz").read_bytes()
    data: dict[str, Any] = orjson.loads(gzip.decompress(packed))
    return data


def notice() -> str:
    """Return the origin and licence of the definitions."""
    return str(_data()["notice"])


@cache
def resource_types() -> frozenset[str]:
    """Return the names of all concrete resources."""
    return frozenset(
        k for k, v in _data()["types"].items() if v["kind"] == "resource" and "abstract" not in v
    )


@cache
def data_types() -> frozenset[str]:
    """Return the names of all datatypes, primitive and complex."""
    return frozenset(
        k for k, v in _data()["types"].items() if v["kind"] != "resource" and "abstract" not in v
    )


def types() -> frozenset[str]:
    """Return the names of all concrete types."""
    return resource_types() | data_types()


@cache
def is_primitive(type_name: str) -> bool:
    """Say whether a type is written as a plain JSON value."""
    kind = _data()["types"].get(type_name)
    return kind is not None and kind["kind"] == "primitive-type"


def base_type(type_name: str) -> str:
    """Return the type that a type specialises, or an empty string."""
    return str(_data()["types"].get(type_name, {}).get("base", ""))


def short(type_name: str) -> str:
    """Return the one-line definition of a type."""
    return str(_data()["types"].get(type_name, {}).get("short", ""))


def concrete_name(choice: str, type_name: str) -> str:
    """Name one alternative of a choice: (`value[x]`, `Quantity`) is `valueQuantity`."""
    type_name = base_type(type_name) if type_name in ("SimpleQuantity", "MoneyQuantity") else type_name
    return choice.removesuffix("[x]") + type_name[0].upper() + type_name[1:]


def _row(owner: str, row: list[Any]) -> ElementDef:
    path, lower, upper, words, text = row[:5]
    kinds: list[str] = []
    targets: tuple[str, ...] = ()
    for word in words:
        if word.startswith("#"):
            kinds.append(word[1:])
        elif word in ("BackboneElement", "Element"):
            kinds.append(f"{owner}.{path}")
        elif "(" in word:
            kind, _, rest = word.partition("(")
            kinds.append(kind)
            targets = tuple(rest[:-1].split("|"))
        else:
            kinds.append(word)
    return ElementDef(
        path=f"{owner}.{path}",
        name=path.rsplit(".", 1)[-1],
        types=tuple(kinds),
        min=lower,
        max=None if upper < 0 else upper,
        short=text,
        targets=targets,
        binding=Binding(row[5], row[6].split("|")[0]) if len(row) > 5 else None,
    )


@cache
def elements(type_name: str) -> Mapping[str, ElementDef]:
    """Return the elements of a type or backbone path in order, by name; choices as `value[x]`; empty if
    unknown."""
    root, _, inner = type_name.partition(".")
    record = _data()["types"].get(root)
    if record is None or "elements" not in record:
        return {}
    out: dict[str, ElementDef] = {}
    prefix = inner + "." if inner else ""
    if not inner and record["base"]:
        out.update(elements(record["base"]))
    for row in record["elements"]:
        path = row[0]
        if path.startswith(prefix) and "." not in path[len(prefix) :]:
            made = _row(root, row)
            out[made.name] = made
        elif path == inner:
            backbone = "BackboneElement" if "BackboneElement" in row[3] else "Element"
            out.update(elements(backbone))
    return out


@cache
def _by_json_name(type_name: str) -> Mapping[str, ElementDef]:
    out: dict[str, ElementDef] = {}
    for name, made in elements(type_name).items():
        if made.choice:
            plain = name.removesuffix("[x]")
            out[name] = out[plain] = made
            for kind in made.types:
                targets = made.targets if kind in ("Reference", "canonical") else ()
                out[concrete_name(name, kind)] = replace(made, types=(kind,), targets=targets)
        else:
            out[name] = made
    return out


def element(type_name: str, name: str) -> ElementDef | None:
    """Find an element of a type or backbone path by its JSON name, or None.

    A choice answers to `value[x]`, `value` (all its types) and `valueQuantity` (that type alone).
    """
    return _by_json_name(type_name).get(name)


def _step(kind: str, name: str, path: str) -> ElementDef:
    if is_primitive(kind):
        found = elements("Element").get(name)
    else:
        found = element(kind, name.removeprefix("_") if name.startswith("_") else name)
    if found is not None:
        return found
    known = elements("Element") if is_primitive(kind) else _by_json_name(kind)
    near = tuple(get_close_matches(name, [n for n in known if not n.endswith("[x]")], 3))
    error = UnknownPath(
        f"{kind} has no element `{name}` in FHIR R4",
        where=path,
        remedy=f"did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else "",
    )
    error.near = near
    raise error


def resolve_path(path: str) -> Resolved:
    """Walk a path from a resource or datatype and return what it leads to; raise UnknownPath where it
    leaves R4.

    A choice named without its type (`Observation.value.unit`) must have exactly one type that knows the
    next step.
    """
    head, *steps = path.split(".")
    if head not in _data()["types"]:
        near = tuple(get_close_matches(head, types(), 3))
        error = UnknownPath(f"FHIR R4 has no type `{head}`", where=path)
        error.near = near
        raise error
    if not steps:
        raise UnknownPath("a path needs an element after the type", where=path)
    kind, in_list = head, False
    found: ElementDef | None = None
    for name in steps:
        if found is not None and len(found.types) > 1:
            knows = [
                k
                for k in found.types
                if name in (elements("Element") if is_primitive(k) else _by_json_name(k))
            ]
            if len(knows) != 1:
                raise UnknownPath(
                    f"`{found.name}` may hold several types",
                    where=path,
                    remedy=f"name one, e.g. `{concrete_name(found.name, (knows or list(found.types))[0])}`",
                )
            kind = knows[0]
        found = _step(kind, name, path)
        kind = found.types[0]
        in_list = in_list or found.repeats
    assert found is not None
    return Resolved(path, kind if len(found.types) == 1 else "", found, found.repeats, in_list)


def codes_by_system(value_set: str) -> Mapping[str, Mapping[str, str]]:
    """Return {system: {code: display}} of the value set of a required binding; empty where R4 gives no
    finite list."""
    found: Mapping[str, Mapping[str, str]] = _data()["value_sets"].get(value_set.split("|")[0], {})
    return found


@cache
def codes(value_set: str) -> frozenset[str]:
    """Return the bare codes of the value set of a required binding; empty where R4 gives no finite list."""
    return frozenset(code for part in codes_by_system(value_set).values() for code in part)


@cache
def search_parameters(resource_type: str) -> Mapping[str, SearchParameter]:
    """Return the search parameters of a resource by name, those of Resource and DomainResource included."""
    out: dict[str, SearchParameter] = {}
    for owner in ("Resource", "DomainResource", resource_type):
        for name, row in _data()["search"].get(owner, {}).items():
            out[name] = SearchParameter(name, row[0], row[1], tuple(row[2]) if len(row) > 2 else ())
    return out
