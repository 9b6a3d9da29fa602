"""Code systems, concept maps and value sets written as FHIR: JSON files, bundles, and packages (.tgz).

In: HL7 THO (`hl7.terminology.r4-6.x.tgz`) or any other package, or plain JSON. Out: a release of each
CodeSystem that is complete, a crosswalk for each ConceptMap, and the ValueSets as they are. FHIR R4
codesystem.html, conceptmap.html, valueset.html; the relationships of R5 maps are read as R4's equivalences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from engine.codes.loaders.files import Files, Member
from engine.codes.loaders.summary import Asked, Loader, Summary
from engine.codes.writing import Load
from engine.kernel.errors import FormatError

__all__ = ["LOADER"]

_R5 = {
    "equivalent": "equivalent",
    "source-is-narrower-than-target": "wider",
    "source-is-broader-than-target": "narrower",
    "related-to": "relatedto",
}
_R4 = frozenset(
    ["relatedto", "equivalent", "equal", "wider", "subsumes", "narrower", "specializes", "inexact"]
)
_NONE = frozenset({"unmatched", "disjoint", "not-related-to"})
_LARGE = 512 << 20


def _fits(files: Files) -> bool:
    name = files.path.name.lower()
    if name.endswith((".tgz", ".tar.gz", ".tar")):
        return files.find("/package/package.json", "/package.json") is not None
    if files.path.is_dir():
        return files.find("/package.json", ".index.json") is not None or all(
            m.base.endswith(".json") for m in files.members
        )
    return name.removesuffix(".gz").endswith(".json")


def _load(files: Files, load: Load, asked: Asked, summary: Summary) -> None:
    members = files.matching(
        lambda m: (
            m.base.endswith(".json")
            and not m.base.startswith(".")
            and not m.base.endswith(".index.json")
            and "/example" not in m.name
            and "/other/" not in m.name
        )
    )
    files.expect(members)
    package = files.find("/package/package.json", "/package.json")
    name, version = "", asked.version
    if package is not None:
        about = _json(files, package)
        name, version = str(about.get("name", "")), version or str(about.get("version", ""))
    taker = _Taker(load, asked, summary, name, version)
    for member in members:
        if member is package:
            continue
        body = _json(files, member)
        if package is None and body.get("resourceType") == "Bundle":
            taker.shelf_name = str(body.get("id") or member.base.removesuffix(".json"))
        for resource in _resources(body):
            taker.take(resource, files.where(member))
    taker.end()


def _json(files: Files, member: Member) -> dict[str, Any]:
    if member.size > _LARGE:
        raise FormatError("is too large for one resource", where=files.where(member))
    with files.open(member) as stream:
        data = stream.read()
    try:
        body = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise FormatError(
            "is not readable as JSON",
            where=files.where(member, error.lineno),
            why=error.msg,
            remedy="fetch the file again",
        ) from None
    if not isinstance(body, dict):
        raise FormatError("is no FHIR resource", where=files.where(member, 1))
    return body


def _resources(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if body.get("resourceType") == "Bundle":
        for entry in body.get("entry", ()):
            if isinstance(entry, dict) and isinstance(entry.get("resource"), dict):
                yield entry["resource"]
    else:
        yield body


class _Taker:
    """Takes resources into one load."""

    def __init__(self, load: Load, asked: Asked, summary: Summary, package: str, version: str) -> None:
        self.load, self.asked, self.summary = load, asked, summary
        self.package, self.version = package, version
        self.taken: set[tuple[str, str, str]] = set()
        self.shelf: int | None = None
        self.shelf_name = package  # where many value sets stand; one alone stands under its own url
        self.left: list[str] = []

    def take(self, body: dict[str, Any], where: str) -> None:
        """Take one resource; kinds that hold no codes are passed over."""
        kind = str(body.get("resourceType", ""))
        self.summary.rows[kind or "other JSON"] += 1
        if kind not in ("CodeSystem", "ConceptMap", "ValueSet"):
            return
        url, version = str(body.get("url", "")), self._version(body)
        if not url:
            self.summary.skipped[f"{kind} without a url"] += 1
            return
        if (kind, url, version) in self.taken:
            self.summary.skipped[f"{kind} a second time"] += 1
            return
        self.taken.add((kind, url, version))
        try:
            if kind == "CodeSystem":
                self._system(body, url, version)
            elif kind == "ConceptMap":
                self._map(body, url, version)
            else:
                self._set(body, url, version)
        except (AttributeError, KeyError, TypeError) as error:
            raise FormatError(
                f"is no valid {kind}",
                where=where,
                why=f"{type(error).__name__}: {error}",
                remedy="fetch it again",
            ) from None

    def end(self) -> None:
        """Note what was left out, by name where there are few."""
        if self.left:
            shown = ", ".join(self.left[:5])
            self.summary.notes.append(
                f"{len(self.left)} CodeSystems are fragments or only named there; "
                f"their own releases are loaded separately: {shown}{' ...' if len(self.left) > 5 else ''}"
            )

    def _version(self, body: Mapping[str, Any]) -> str:
        own = body.get("version")
        alone = "" if self.package else self.asked.version
        return alone or str(own or self.version or body.get("date") or "unversioned")

    def _system(self, body: dict[str, Any], url: str, version: str) -> None:
        content = body.get("content", "complete")
        wanted = content == "complete" or (content in ("fragment", "example") and not self.package)
        if not wanted or not body.get("concept"):
            self.left.append(url)
            self.summary.skipped[f"CodeSystem with content {content}"] += 1
            return
        release = self.load.release(url, version, self.asked.effective or str(body.get("date", ""))[:10])
        is_a = body.get("hierarchyMeaning", "is-a") == "is-a"
        seen: dict[str, dict[str, str]] = {}
        waiting: list[tuple[dict[str, Any], str]] = [(c, "") for c in reversed(body["concept"])]
        parents: dict[str, list[str]] = {}
        displays: dict[str, tuple[str, bool]] = {}
        while waiting:
            concept, above = waiting.pop()
            code = str(concept["code"])
            if above and is_a and above not in parents.setdefault(code, []):
                parents[code].append(above)
            if code in seen:
                self.summary.skipped["code a second time"] += 1
            else:
                said, more, active = _properties(concept)
                seen[code] = said
                displays[code] = (str(concept.get("display", code)), active)
                parents.setdefault(code, []).extend(p for p in more if p not in parents[code])
                for other in concept.get("designation", ()):
                    use = str((other.get("use") or {}).get("code", ""))
                    self.load.name(release, code, str(other["value"]), str(other.get("language", "")), use)
            waiting += [(below, code) for below in reversed(concept.get("concept", ()))]
        for code, said in seen.items():
            display, active = displays[code]
            self.load.concept(release, code, display, active, said, [p for p in parents[code] if p in seen])

    def _map(self, body: dict[str, Any], url: str, version: str) -> None:
        release = self.load.release(url, version, self.asked.effective or str(body.get("date", ""))[:10])
        for group in body.get("group", ()):
            source, target = str(group.get("source", "")), str(group.get("target", ""))
            source, target = source.partition("|")[0], target.partition("|")[0]
            if not source or not target:
                self.summary.skipped["group of a map without source or target system"] += 1
                continue
            walk = self.load.crosswalk(release, url, source, target)
            for element in group.get("element", ()):
                if not element.get("code"):
                    self.summary.skipped["element of a map without a code"] += 1
                    continue
                for n, to in enumerate(element.get("target", ())):
                    said = str(to.get("equivalence") or _R5.get(str(to.get("relationship")), ""))
                    if not to.get("code") or said in _NONE or to.get("relationship") in _NONE:
                        self.summary.skipped["code without an equivalent"] += 1
                        continue
                    note = str(to.get("comment", ""))
                    if to.get("dependsOn") or to.get("product"):
                        said, note = "inexact", note or "it depends on more than the code"
                    self.load.link(
                        walk,
                        str(element["code"]),
                        str(to["code"]),
                        said if said in _R4 else "inexact",
                        str(to.get("display", "")),
                        priority=n,
                        note=note,
                    )
                    self.summary.links += 1

    def _set(self, body: dict[str, Any], url: str, version: str) -> None:
        if self.shelf_name:
            if self.shelf is None:
                own = self.version or self.asked.version or "unversioned"
                self.shelf = self.load.release(self.shelf_name, own, self.asked.effective)
            release = self.shelf
        else:
            release = self.load.release(url, version, self.asked.effective or str(body.get("date", ""))[:10])
        self.load.document(release, "ValueSet", url, version, body)
        self.summary.rows["value sets kept"] += 1


def _properties(concept: Mapping[str, Any]) -> tuple[dict[str, str], list[str], bool]:
    """Read the properties of a concept: as texts, the parents among them, and whether it is in use."""
    said: dict[str, str] = {}
    parents: list[str] = []
    active = True
    if concept.get("definition"):
        said["definition"] = str(concept["definition"])
    for one in concept.get("property", ()):
        name = str(one["code"])
        value = next((v for k, v in one.items() if k.startswith("value")), "")
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, dict):  # a Coding
            text = str(value.get("code", ""))
        else:
            text = str(value)
        if name in ("parent", "subsumedBy"):
            parents.append(text)
            continue
        if (name == "inactive" and text == "true") or (name == "status" and text in ("retired", "inactive")):
            active = False
        said[name] = f"{said[name]}\n{text}" if name in said else text
    return said, parents, active


LOADER = Loader(
    "fhir", "FHIR: a package .tgz (HL7 THO, ...), CodeSystem, ValueSet, ConceptMap JSON", _fits, _load
)
