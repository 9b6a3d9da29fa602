"""What stands in a Bundle and in nobody's message: codes, words of status, numbers, times.

In: the bytes of a message and the Bundle it became. Out: one line for each fact that is neither in the
message nor in a code table under a code of the message nor a constant that a map file states for that
element. A constant never excuses a clinical code, a number or a time. The message is split here, tables and
maps are read as text: of the engine only the types of FHIR's elements are asked.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from engine.fhir import definitions

ROOT = Path(__file__).parents[2]
CLINICAL = re.compile(
    r"loinc\.org|snomed\.info|rxnorm|icd-?9|icd-?10|sid/cvx|sid/ndc|sid/mvx|ama-assn\.org|unitsofmeasure|atc|umls"
)
TIME = re.compile(r"(\d{4})(-\d\d)?(-\d\d)?(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)?)?")
TIMED = frozenset({"date", "dateTime", "instant"})
NUMBERS = frozenset({"decimal", "integer", "positiveInt", "unsignedInt"})
COMPARED = frozenset({"<", ">", "<=", ">="})  # stands with its number in one component
_PER_DAY = "MedicationRequest.dosageInstruction.maxDosePerPeriod.denominator"
MEANT = {
    "Patient.link.type": frozenset({"replaces", "replaced-by", "seealso"}),  # what A40 and A24 are
    f"{_PER_DAY}.code": frozenset({"d"}),  # what a total *daily* dose is
    f"{_PER_DAY}.value": frozenset({"1"}),
}
COUNTED = frozenset({("Attachment", "size")})  # counted from what was sent
Fact = tuple[str, str, str, Any]  # path, type of the element, system, value


@cache
def tables() -> dict[str, set[str]]:
    """Return, for every code that a table translates from, the codes it may become."""
    out: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "terminology/maps").glob("*.csv"):
        with path.open(encoding="utf-8", newline="") as f:
            for row in csv.DictReader(f):
                if row["status"] == "approved" and row["equivalence"] in ("equal", "equivalent", "wider"):
                    out[_bare(row["source_code"]).casefold()].add(_bare(row["target_code"]))
    return out


def _bare(cell: str) -> str:
    return cell[2:-1] if cell.startswith('="') else cell


@cache
def constants() -> dict[str, frozenset[str]]:
    """Return the words that map files state for each element; under "#" the codes of systems."""
    out: dict[str, set[str]] = defaultdict(set)
    for path in (ROOT / "mappings").rglob("*.yaml"):
        held = yaml.safe_load(path.read_text("utf-8"))
        for part in ("rows", "levels", "change", "resources"):
            _collect(held.get(part), frozenset(), out)
    return {name: frozenset(words) for name, words in out.items()}


def _collect(value: Any, under: frozenset[str], out: dict[str, set[str]]) -> None:
    if isinstance(value, dict):
        for key, held in value.items():
            _collect(held, under | {re.sub(r"\(.*?\)", "", str(key)).split(".")[-1]}, out)
    elif isinstance(value, list):
        for held in value:
            _collect(held, under, out)
    elif isinstance(value, str) and value.startswith("="):
        table, mark, code = value[1:].rpartition("#")
        for name in {"#", "code"} if mark and table else under:
            out[name].add(code)


class Source:
    """One message taken apart with nothing but `split`."""

    def __init__(self, data: bytes) -> None:
        text = re.sub(r"[\x0b\x1c\ufeff]", "", _decoded(data))
        start = text.index("MSH")
        field, *others = text[start + 3 : start + 8]
        leaves: list[str] = []
        for line in re.split(r"[\r\n]+", text[start:]):
            for part in line.split(field)[1:]:
                leaves += re.split("[" + re.escape("".join(o for o in others if o != "\\")) + "]", part)
        self.leaves = {_unescaped(x, field, others).strip() for x in leaves if x.strip()}
        self.folded = {x.casefold() for x in self.leaves}
        self.whole = " ".join(_unescaped(x, field, others) for x in leaves)
        self.numbers = {_number(n) for n in re.findall(r"\d+(?:\.\d+)?|\.\d+", self.whole)}
        self.numbers |= {_number(n) for n in re.findall(r"-(?:\d+(?:\.\d+)?|\.\d+)", self.whole)}
        self.times = [re.sub(r"[+-]\d{4}$", "", x) for x in self.leaves if re.match(r"\d{4}", x)]
        self.becomes = {target for x in self.folded for target in tables().get(x, ())}

    def says(self, code: str) -> bool:
        return (
            code.casefold() in self.folded
            or code in self.becomes
            or (code in COMPARED and code in self.whole)
        )

    def time(self, text: str) -> bool:
        """Say whether a time stands in the message with at least this precision; FHIR's seconds may be 00."""
        m = TIME.fullmatch(text)
        if m is None:
            return False
        day = "".join(x or "" for x in m.groups()[:3]).replace("-", "")
        clock = "".join(x or "" for x in m.groups()[3:6])
        written = {re.sub(r"\D", "", x.split(".")[0]) for x in self.times}
        if not clock:
            return any(w.startswith(day) for w in written)
        return any(w == day + clock or (clock.endswith("00") and w == day + clock[:4]) for w in written)


def _decoded(data: bytes) -> str:
    for codec in ("utf-8", "cp1252" if b"8859/2" not in data else "iso8859-2", "latin-1"):
        try:
            return data.decode(codec)
        except UnicodeDecodeError:
            continue
    raise AssertionError("latin-1 decodes everything")


def _unescaped(text: str, field: str, others: list[str]) -> str:
    for letter, char in zip("FSRT", (field, others[0], others[1], others[3]), strict=True):
        text = text.replace(f"\\{letter}\\", char)
    return text.replace("\\E\\", "\\")


def _number(text: str) -> str:
    """Digits as they stand, but for noughts in front: 007 is 7, and 4.10 is not 4.1."""
    sign, digits = ("-", text[1:]) if text.startswith("-") else ("", text)
    whole, dot, rest = digits.partition(".")
    return sign + (whole.lstrip("0") or "0") + dot + rest


def facts(value: Any, kind: str, path: str) -> Iterator[Fact]:
    """Give every code, number and time of a resource or datatype, with the FHIR type of its element."""
    if kind in ("Meta", "Narrative"):
        return
    elements = definitions.elements(kind)
    for key, held in value.items():
        if key == "resourceType" or key.startswith("_"):
            continue
        at = f"{path}.{key}"
        types = _types(elements, key)
        for one in held if isinstance(held, list) else [held]:
            if isinstance(one, dict):
                inner = one.get("resourceType") or types
                yield from facts(one, inner, at)
            elif (kind.split(".")[-1], key) not in COUNTED:
                yield at, types, str(value.get("system", "")) if key == "code" else "", one
    for key, held in value.items():
        if key.startswith("_"):
            for one in held if isinstance(held, list) else [held]:
                if isinstance(one, dict):
                    yield from facts(one, "Element", f"{path}.{key}")


def _types(elements: Any, key: str) -> str:
    for name, e in elements.items():
        if name == key:
            return e.types[0] if e.types else ""
        if e.choice:
            for t in e.types:
                if definitions.concrete_name(name, t) == key:
                    return str(t)
    return ""


def _stated(path: str, system: str, text: str) -> bool:
    """Say whether a map states this word for this element; no map states a clinical code."""
    if CLINICAL.search(system):
        return False
    names = ("#", "code") if system else (path.rpartition(".")[2],)
    return any(text in constants().get(name, ()) for name in names)


def inventions(data: bytes, bundle: dict[str, Any]) -> list[str]:
    """Return what nobody said."""
    source = Source(data)
    out = []
    for entry in bundle.get("entry", ()):
        resource = entry["resource"]
        for path, kind, system, value in facts(resource, resource["resourceType"], resource["resourceType"]):
            text = str(value)
            if kind == "code":
                said = source.says(text) or _stated(path, system, text)
                said = said or text in MEANT.get(path, ())
                if path.endswith(".contentType"):  # Image^DICOM -> image/dicom
                    said = said or text.rpartition("/")[2].casefold() in source.folded
            elif kind in NUMBERS:
                said = _number(text) in source.numbers or text in MEANT.get(path, ())
            elif kind in TIMED:
                said = source.time(text)
            else:
                continue
            if not said:
                out.append(f"{path}: {text}")
    return out
