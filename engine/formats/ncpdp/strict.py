"""SCRIPT by its own schema: the XSD files a user is licensed for, in a folder, say what is wrong and where.

In: the files of a folder as bytes, and messages. Out: `Fault`s: XPath, line, and what the schema wants there,
in words that hold nothing of what the message says. NCPDP's schemas are its members' and none is shipped.
Files may include and import only each other, by name: no network, no DTD, no entities, nothing outside the
folder. Several versions lie in sub-folders named for them (`2017071/transport.xsd`). Follows W3C XML Schema
1.0; NCPDP SCRIPT names its root schema's element `Message`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from lxml import etree

from engine.formats.ncpdp.message import Script
from engine.formats.xml.read import read_xml
from engine.kernel.errors import ConfigError, FormatError

__all__ = ["Fault", "Schemas", "open_schemas"]

_XS = "http://www.w3.org/2001/XMLSchema"
_POINTS = ("include", "import", "redefine")
_EXPECTED = re.compile(r"Expected is (?:one of )?\( ([^)]{1,400}) \)")
_NAMED = re.compile(r"attribute '([\w:.\-]{1,80})'")
_NAMESPACE = re.compile(r"\{[^}]*\}")
MOST_FAULTS = 20
"""Faults told of one message; what is wrong further on usually follows from them."""

_WORDS = {
    "SCHEMAV_ELEMENT_CONTENT": "it does not belong here, or something before it is missing",
    "SCHEMAV_CVC_COMPLEX_TYPE_2_4": "it does not belong here, or something before it is missing",
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_1": "an attribute does not belong here",
    "SCHEMAV_CVC_COMPLEX_TYPE_3_2_2": "an attribute does not belong here",
    "SCHEMAV_CVC_COMPLEX_TYPE_4": "an attribute is missing",
    "SCHEMAV_CVC_ENUMERATION_VALID": "the value is none of the schema's list",
    "SCHEMAV_CVC_PATTERN_VALID": "the value has not the form the schema wants",
    "SCHEMAV_CVC_LENGTH_VALID": "the value has not the length the schema wants",
    "SCHEMAV_CVC_MINLENGTH_VALID": "the value is shorter than the schema wants",
    "SCHEMAV_CVC_MAXLENGTH_VALID": "the value is longer than the schema allows",
    "SCHEMAV_CVC_MININCLUSIVE_VALID": "the value is less than the schema allows",
    "SCHEMAV_CVC_MAXINCLUSIVE_VALID": "the value is more than the schema allows",
    "SCHEMAV_CVC_FRACTIONDIGITS_VALID": "the value has more decimals than the schema allows",
    "SCHEMAV_CVC_TOTALDIGITS_VALID": "the value has more digits than the schema allows",
    "SCHEMAV_CVC_TYPE_3_1_1": "an attribute stands where the schema knows none",
    "SCHEMAV_CVC_TYPE_3_1_2": "elements stand where the schema wants a value",
    "SCHEMAV_CVC_ELT_1": "the schema does not know this root",
}


class Fault(NamedTuple):
    """One thing the schema does not allow; `text` names elements and never says a value."""

    place: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.place}: {self.text}"


class _Version(NamedTuple):
    schema: etree.XMLSchema
    namespace: str


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schemas of a folder, ready; `versions` by sub-folder, `""` for files in the folder itself."""

    versions: Mapping[str, _Version]

    def faults(self, script: Script) -> tuple[Fault, ...]:
        """Say what of a message the schema of its version does not allow."""
        version = self.versions.get(script.version) or self.versions.get("")
        if version is None:
            known = ", ".join(sorted(self.versions))
            text = f"there is no schema for its version; there are some for {known}"
            return (Fault(script.places.of(script.root), _line(script.root), text),)
        root = script.root
        if version.namespace != (etree.QName(root).namespace or ""):
            wanted = version.namespace or "none"
            text = f"its namespace is not the schema's, which is {wanted}"
            return (Fault(script.places.of(root), _line(root), text),)
        if version.schema.validate(root):
            return ()
        found: dict[Fault, None] = {}
        for entry in _entries(version.schema):
            found.setdefault(_fault(script, entry))
            if len(found) >= MOST_FAULTS:
                break
        return tuple(found)


def _entries(schema: etree.XMLSchema) -> Iterable[Any]:
    log: Any = schema.error_log
    return log  # type: ignore[no-any-return]


def _line(element: etree._Element) -> int:
    line: Any = element.sourceline
    return line or 1


def _fault(script: Script, entry: Any) -> Fault:
    element = _element(script, entry)
    place = script.places.of(element) if element is not None else script.places.of(script.root)
    text = _WORDS.get(entry.type_name, "the value is not of the schema's type")
    named = _NAMED.search(entry.message)
    if named and "COMPLEX_TYPE_3_2" in entry.type_name:
        text = f"the attribute {named[1]} does not belong here"
    elif named and entry.type_name.endswith("COMPLEX_TYPE_4"):
        text = f"the attribute {named[1]} is missing"
    elif entry.type_name == "SCHEMAV_ELEMENT_CONTENT" and "Missing child" in entry.message:
        text = "something is missing at its end"
    expected = _EXPECTED.search(entry.message)
    if expected and entry.type_name == "SCHEMAV_ELEMENT_CONTENT":
        text = f"{text}: the schema wants {_NAMESPACE.sub('', expected[1])}"
    return Fault(place, int(entry.line) or _line(element if element is not None else script.root), text)


def _element(script: Script, entry: Any) -> etree._Element | None:
    """Find the element that libxml2 means by a path such as `/*/*[2]/n:NewRx`."""
    if not entry.path:
        return None
    prefixes = {p: uri for p, uri in script.root.nsmap.items() if p}
    try:
        found = script.root.getroottree().xpath(entry.path, namespaces=prefixes or None)
    except etree.XPathError:
        return None
    return found[0] if isinstance(found, list) and found and isinstance(found[0], etree._Element) else None


class _Inside(etree.Resolver):
    """Gives the files of the folder by name, and an error for all else."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = files

    def resolve(self, system_url: str, public_id: str, context: Any = None) -> Any:
        name = PurePosixPath(system_url or "").name
        if name not in self.files:
            raise _bad(name, "it is not in the folder")
        return self.resolve_string(self.files[name], context, base_url=name)


def open_schemas(files: Mapping[str, bytes]) -> Schemas:
    """Read the XSD files of a folder, by their path in it (`transport.xsd`, `2023011/transport.xsd`).

    Raises ConfigError, with the file and what is wrong with it.
    """
    folders: dict[str, dict[str, bytes]] = {}
    for path, data in files.items():
        version, _, name = path.rpartition("/")
        if name.lower().endswith(".xsd"):
            folders.setdefault(version, {})[name] = data
    if not folders:
        raise ConfigError(
            "no schema files",
            why="there is no .xsd file in the folder",
            remedy="put NCPDP's .xsd files there, or in a sub-folder for each version (2017071, 2023011)",
        )
    return Schemas({version: _open(version, inside) for version, inside in sorted(folders.items())})


def _open(version: str, files: Mapping[str, bytes]) -> _Version:
    roots = []
    for name, data in sorted(files.items()):
        where = f"{version}/{name}" if version else name
        try:
            schema = read_xml(data).root
        except FormatError as e:
            raise _bad(where, e.why or e.what) from None
        if schema.tag != f"{{{_XS}}}schema":
            raise _bad(where, "its root is no xs:schema")
        for point in schema.iterchildren(*(f"{{{_XS}}}{p}" for p in _POINTS)):
            location = (point.get("schemaLocation") or "").strip()
            if location and location.removeprefix("./") not in files:
                raise _bad(where, "it refers to a schema that does not stand beside it in the folder")
        if any(e.get("name") == "Message" for e in schema.iterchildren(f"{{{_XS}}}element")):
            roots.append((name, schema.get("targetNamespace") or ""))
    if len(roots) != 1:
        why = (
            "no file declares the element Message"
            if not roots
            else "several files declare the element Message"
        )
        raise _bad(version or ".", why)
    (name, namespace) = roots[0]
    parser = etree.XMLParser(resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False)
    parser.resolvers.add(_Inside(files))
    try:
        tree = etree.fromstring(files[name], parser, base_url=name)
        return _Version(etree.XMLSchema(etree.ElementTree(tree)), namespace)
    except etree.LxmlError as e:
        log: Any = e.error_log if isinstance(e, etree.Error) else None
        last = log.last_error if log else None
        at = f" (line {last.line})" if last is not None else ""
        raise _bad(
            f"{version}/{name}" if version else name, f"it is no schema that can be used{at}: {e}"
        ) from None


def _bad(where: str, why: str) -> ConfigError:
    return ConfigError(
        "an XSD file cannot be used",
        where=where,
        why=why,
        remedy="put all files of one version of NCPDP's schemas into one folder",
    )
