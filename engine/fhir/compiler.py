"""Writes one Python function per FHIR R4 type that checks an object of that type in a straight line.

In: the definitions. Out: functions `object -> list of problems or None`, made on first use and kept; their
source is registered with `linecache`, so a traceback or `source("Observation")` shows it. A function asks
for every element by name, counts what it found, and calls `checks.rest` only when the object holds more
keys than that: extensions, companions of primitives, nulls, unknown elements. Nothing is looked up by
reflection and no path is built for an object that is in order.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Callable, Mapping
from typing import Any

from engine.fhir import checks, conditions, definitions, invariants, primitives
from engine.fhir.checks import Checker, Problem, Problems, Shape, nest
from engine.fhir.definitions import ElementDef

__all__ = ["checker", "names", "resource", "source"]

_LARGE = 12  # a choice with more alternatives than this is looked up by key instead of asked for one by one
_MIME = "http://hl7.org/fhir/ValueSet/mimetypes"
_CURRENCY = "http://hl7.org/fhir/ValueSet/currencies"
_GENERAL = ("id", "extension", "modifierExtension")  # of elements; `rest` sees to them
_sources: dict[str, str] = {}
_ready: dict[str, Checker] = {}


def _xhtml(v: str) -> str:
    """Check a narrative; the XML library is loaded with the first one."""
    from engine.fhir.xhtml import refusal

    return refusal(v)


_names: dict[str, Any] = {
    "Problem": Problem,
    "add": checks.add,
    "nest": nest,
    "not_object": checks.not_object,
    "scalar": checks.scalar,
    "companion": checks.companion,
    "rest": checks.rest,
    "two_of": checks.two_of,
    "choice_missing": checks.choice_missing,
    "bound": checks.bound,
    "bound_coding": checks.bound_coding,
    "literal": checks.reference,
    "reference_type": checks.reference_type,
    "sound": checks.sound,
    "xhtml_refusal": _xhtml,
    **primitives.NAMES,
    **conditions.NAMES,
}
"""The name space of all generated functions; they call each other by name."""


class _Writer:
    """Source lines, and the constants they name."""

    def __init__(self, function: str) -> None:
        self.function = function
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}

    def put(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def constant(self, name: str, value: Any) -> str:
        full = f"{self.function}__{re.sub(r'[^A-Za-z0-9]', '_', name)}"
        self.constants[full] = value
        return full


def _function_name(kind: str, targets: tuple[str, ...] = ()) -> str:
    words = [kind.replace(".", "_"), *(sorted(targets) if kind == "Reference" else ())]
    return "_to_".join([words[0], "_".join(words[1:])]) if len(words) > 1 else words[0]


def _callee(kind: str, targets: tuple[str, ...] = ()) -> str:
    """Return the name of the function for a type; the first call of that function makes it."""
    if kind == "Resource":
        _names.setdefault("any_resource", resource)
        return "any_resource"
    name = _function_name(kind, targets)
    if name not in _names:

        def first(o: Any) -> Problems:
            return _build(kind, targets)(o)

        _names[name] = first
    return name


def _build(kind: str, targets: tuple[str, ...]) -> Checker:
    name = _function_name(kind, targets)
    writer = _Writer(name)
    if definitions.is_primitive(kind):
        _write_primitive(writer, kind)
    else:
        _write_type(writer, kind, targets)
    text = "\n".join(writer.lines) + "\n"
    _names.update(writer.constants)
    file = f"<FHIR R4 {name}>"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    _sources[name] = text
    exec(compile(text, file, "exec"), _names)  # the text is ours alone: definitions and templates, no input
    made: Checker = _names[name]
    return made


def checker(kind: str, targets: tuple[str, ...] = ()) -> Checker:
    """Return the validator of a type; of references, of those to `targets` alone."""
    name = _function_name(kind, targets)
    made: Checker = _names[name] if name in _sources else _build(kind, targets)
    return made


def names() -> Mapping[str, Any]:
    """Return what the conditions of primitives and invariants refer to."""
    return _names


def source(kind: str) -> str:
    """Return the Python source of the validator of a type, for eyes."""
    _build(kind, ())
    return _sources[_function_name(kind)]


def _write_primitive(w: _Writer, kind: str) -> None:
    code, text = primitives.TEXTS[kind]
    w.put(0, f"def {w.function}(v):")
    w.put(1, f"if {primitives.CONDITIONS[kind]}:")
    w.put(2, f"return scalar(None, '', v, {code!r}, {text!r})")
    w.put(1, "return None")


def _write_type(w: _Writer, kind: str, targets: tuple[str, ...]) -> None:
    is_resource = kind in definitions.resource_types()
    elements = definitions.elements(kind)
    inline: set[str] = set()
    others: dict[str, Checker] = {}
    choices: list[tuple[str, tuple[str, ...]]] = []
    large: list[tuple[ElementDef, tuple[str, ...]]] = []
    w.put(0, f"def {w.function}(o):")
    w.put(1, "if type(o) is not dict:")
    w.put(2, "return not_object(o)")
    w.put(1, "get = o.get")
    w.put(1, "problems = None")
    w.put(1, "n = 1" if is_resource else "n = 0")
    if is_resource:
        inline.add("resourceType")
    allowed = frozenset(targets) or definitions.resource_types()
    for name, e in elements.items():
        if e.max == 0:
            continue
        if e.choice:
            names = tuple(definitions.concrete_name(name, t) for t in e.types)
            if len(names) > _LARGE:
                large.append((e, names))
                for json_name, t in zip(names, e.types, strict=True):
                    others[json_name] = _one(t, e)
                continue
            choices.append((name, names))
            inline.update(names)
            _write_choice(w, e, names)
        elif kind == "Reference" and name in ("reference", "type"):
            inline.add(name)
            _write_reference(w, name, w.constant("targets", allowed))
        elif name in _GENERAL and not (is_resource and name == "id"):
            if name == "id":
                others[name] = _one("string", e)
        elif name == "contained":
            others[name] = _contained
        else:
            inline.add(name)
            _write_element(w, name, e, e.types[0])
    shape = Shape(
        name=kind,
        inline=frozenset(inline),
        lists=frozenset(n for n, e in elements.items() if e.repeats),
        primitives=_primitives(elements),
        others=others,
        choices=tuple(frozenset(names) for _, names in choices) + tuple(frozenset(ns) for _, ns in large),
        resource=is_resource,
        backbone="modifierExtension" in elements,
    )
    shape_name = w.constant("shape", shape)
    w.put(1, "if n != len(o)" + (":" if is_resource else " or not n:"))
    w.put(2, f"problems = rest({shape_name}, o, problems, {_callee('Extension')})")
    for e, names in large:
        if e.min:
            plain = e.name.removesuffix("[x]")
            group = w.constant(plain + " required", frozenset(names) | {"_" + n for n in names})
            w.put(1, f"if not any(k in {group} for k in o):")
            w.put(2, f"problems = add(problems, {plain!r}, 'required', 'is required')")
    if kind == "Extension":
        _write_extension(w, large[0][1])
    else:
        _write_invariants(w, kind, [(e.name.removesuffix("[x]"), ns) for e, ns in large])
    w.put(1, "return problems")


def _primitives(elements: Any) -> frozenset[str]:
    out: set[str] = set()
    for name, e in elements.items():
        for t in e.types:
            if definitions.is_primitive(t) and e.max != 0:
                out.add(definitions.concrete_name(name, t) if e.choice else name)
    return frozenset(out) - {"id"}


def _write_element(w: _Writer, name: str, e: ElementDef, kind: str, *, counter: str = "") -> None:
    """Write the check of one element under one JSON name."""
    w.put(1, f"v = get({name!r})")
    w.put(1, "if v is not None:")
    w.put(2, "n += 1")
    if counter:
        w.put(2, f"{counter} += 1")
    if not e.repeats:
        _write_value(w, 2, name, repr(name), e, kind)
    else:
        w.put(2, "if type(v) is not list:")
        w.put(3, f"problems = add(problems, {name!r}, 'cardinality', 'must be a list')")
        w.put(2, "elif not v:")
        w.put(3, f"problems = add(problems, {name!r}, 'empty', 'must not be an empty list')")
        w.put(2, "else:")
        w.put(3, "i = 0")
        w.put(3, "for v in v:")
        _write_value(w, 4, name, f'f"{name}[{{i}}]"', e, kind)
        w.put(4, "i += 1")
        if e.max is not None:
            w.put(3, f"if i > {e.max}:")
            w.put(
                4,
                f"problems = add(problems, {name!r}, 'cardinality', 'must have at most {e.max} entries')",
            )
    if e.min and not e.choice:
        if definitions.is_primitive(kind):
            w.put(1, f"elif {'_' + name!r} not in o:")
        else:
            w.put(1, "else:")
        w.put(2, f"problems = add(problems, {name!r}, 'required', 'is required')")


def _write_value(w: _Writer, depth: int, name: str, place: str, e: ElementDef, kind: str) -> None:
    """Write the check of the value in `v`; `place` is the source of its name."""
    required = e.binding is not None and e.binding.strength == "required"
    value_set = e.binding.value_set if e.binding is not None and required else ""
    if definitions.is_primitive(kind):
        condition, (code, text) = primitives.CONDITIONS[kind], primitives.TEXTS[kind]
        if kind == "code" and definitions.codes(value_set):
            allowed = definitions.codes(value_set)
            condition = f"type(v) is not str or v not in {w.constant(name + ' codes', allowed)}"
            code, text = "code", _allowed_text(value_set, allowed)
        elif value_set == _MIME and e.path in ("Attachment.contentType", "Binary.contentType"):
            condition, (code, text) = primitives.CONDITIONS["mime"], primitives.TEXTS["mime"]
        elif value_set == _CURRENCY:
            condition, (code, text) = primitives.CONDITIONS["currency"], primitives.TEXTS["currency"]
        w.put(depth, f"if {condition}:")
        if e.repeats:
            w.put(depth + 1, f"if v is not None or not companion(o, {name!r}, i):")
            w.put(depth + 2, f"problems = scalar(problems, {place}, v, {code!r}, {text!r})")
        else:
            w.put(depth + 1, f"problems = scalar(problems, {place}, v, {code!r}, {text!r})")
        if kind == "xhtml":
            w.put(depth, "elif (q := xhtml_refusal(v)):")
            w.put(depth + 1, f"problems = add(problems, {place}, 'xhtml', q)")
        return
    w.put(depth, f"q = {_callee(kind, e.targets)}(v)")
    w.put(depth, "if q is not None:")
    w.put(depth + 1, f"problems = nest(problems, {place}, q)")
    systems = definitions.codes_by_system(value_set) if value_set else {}
    if systems and kind in ("CodeableConcept", "Coding", "Quantity"):
        test = "bound" if kind == "CodeableConcept" else "bound_coding"
        text = _allowed_text(value_set, definitions.codes(value_set))
        w.put(depth, f"elif not {test}(v, {w.constant(name + ' systems', systems)}):")
        w.put(depth + 1, f"problems = add(problems, {place}, 'code', {text!r})")


def _allowed_text(value_set: str, allowed: frozenset[str]) -> str:
    name = value_set.rsplit("/", 1)[-1]
    words = f": {', '.join(sorted(allowed))}" if len(allowed) <= 20 else ""
    return f"must be a code of {name}{words}"


def _write_choice(w: _Writer, e: ElementDef, names: tuple[str, ...]) -> None:
    plain = e.name.removesuffix("[x]")
    counter = f"c_{plain}"
    w.put(1, f"{counter} = 0")
    for json_name, kind in zip(names, e.types, strict=True):
        _write_element(w, json_name, e, kind, counter=counter)
    w.put(1, f"if {counter} > 1:")
    w.put(2, f"problems = two_of(o, problems, {names!r})")
    if e.min:
        w.put(1, f"elif not {counter} and choice_missing(o, {names!r}):")
        w.put(2, f"problems = add(problems, {plain!r}, 'required', 'is required')")


def _write_reference(w: _Writer, name: str, targets: str) -> None:
    w.put(1, f"v = get({name!r})")
    w.put(1, "if v is not None:")
    w.put(2, "n += 1")
    if name == "type":
        w.put(2, f"q = reference_type(o, v, {targets})")
        w.put(2, "if q is not None:")
        w.put(3, "problems = q if problems is None else problems + q")
        return
    code, text = primitives.TEXTS["uri"]
    w.put(2, "if type(v) is not str or not v or ' ' in v or not v.isprintable():")
    w.put(3, f"problems = scalar(problems, 'reference', v, {code!r}, {text!r})")
    w.put(2, "else:")
    w.put(3, "kind, slash, rest_of = v.partition('/')")
    w.put(3, f"if kind not in {targets} or not is_id(rest_of):")
    w.put(4, f"q = literal(v, {targets})")
    w.put(4, "if q is not None:")
    w.put(5, "problems = q if problems is None else problems + q")


def _write_extension(w: _Writer, values: tuple[str, ...]) -> None:
    names = w.constant("values", frozenset(values) | {"_" + v for v in values})
    w.put(1, f"if ('extension' in o) is any(k in {names} for k in o):")
    w.put(2, "problems = add(problems, '', 'ext-1', 'must have either a value or extensions')")


def _write_invariants(w: _Writer, kind: str, large: list[tuple[str, tuple[str, ...]]]) -> None:
    rows = list(invariants.INVARIANTS.get(kind, ()))
    base = definitions.base_type(kind)
    if base in ("Quantity",):
        rows += invariants.INVARIANTS[base]
    if not rows:
        return
    for plain, names in large:
        if any(f"c_{plain}" in condition for _, condition, _ in rows):
            group = w.constant(plain + " names", frozenset(names) | {"_" + n for n in names})
            w.put(1, f"c_{plain} = any(k in {group} for k in o)")
    w.put(1, "if problems is None or sound(problems):")
    for key, condition, text in rows:
        w.put(2, f"if {condition}:")
        w.put(3, f"problems = add(problems, '', {key!r}, {text!r})")


def _one(kind: str, e: ElementDef) -> Checker:
    """Return a check of a single value of a type, for elements that `rest` looks up by key."""
    name = _callee(kind, e.targets if kind == "Reference" else ())

    def check(v: Any) -> Problems:
        made: Callable[[Any], Problems] = _names[name]
        return made(v)

    return check


def _contained(items: Any) -> Problems:
    if type(items) is not list:
        return [Problem("", "cardinality", "must be a list")]
    if not items:
        return [Problem("", "empty", "must not be an empty list")]
    problems: Problems = None
    for i, item in enumerate(items):
        inner = checks.contained(item, _typed)
        if inner is not None:
            problems = nest(problems, f"[{i}]", inner)
    return problems


def _typed(o: Any) -> Problems:
    """Check a resource by its own type, local references still open."""
    if type(o) is not dict:
        return checks.not_object(o)
    kind = o.get("resourceType")
    ready = _ready.get(kind) if type(kind) is str else None
    if ready is not None:
        return ready(o)
    if type(kind) is not str or kind not in definitions.resource_types():
        text = "is required" if kind is None else "names no resource type of R4"
        return [Problem("resourceType", "resource-type", text)]
    made: Checker = _names[_callee(kind)]
    problems = made(o)
    _ready[kind] = _names[_callee(kind)]  # the function itself: the first call has made it
    return problems


def resource(o: Any) -> Problems:
    """Check a resource that stands on its own, and settle its local references."""
    problems = _typed(o)
    if type(o) is not dict or (problems is None and "contained" not in o):
        return problems
    return checks.settle(o, problems)
