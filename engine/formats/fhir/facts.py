"""What a journal, a listener and a search know of FHIR that came before it is mapped.

In: a `Posted`. Out: `Facts`: type (`fhir Observation`, `fhir transaction`), the number that makes it the same
one, who sends it, the patients whose order it keeps, the words it is found by. The number is
Bundle.identifier, or that of the List of a Provide Document Bundle; else a hash of the bytes, because an id
stays while the content changes. Values are looked at wherever they stand, by the names that R4 gives them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote

from engine.formats.facts import MOST_KEYS, MOST_WORDS, Facts
from engine.formats.fhir.posted import Posted

__all__ = ["of_fhir", "split_query", "split_reference"]

_BAR = re.compile(r"(?<!\\)\|")
_ESCAPED = re.compile(r"\\([,$|\\])")
_ABOUT = ("subject", "patient", "beneficiary", "for", "individual")
_WORDS = {
    "ServiceRequest": "order",
    "MedicationRequest": "order",
    "Encounter": "visit",
    "DocumentReference": "document",
    "Composition": "document",
    "List": "document",
    "Claim": "claim",
}
"""Types whose identifiers are words of a kind of their own."""


def of_fhir(posted: Posted, base: str = "") -> Facts:
    """Read what is known of a body; `base`: the server of the sender, whose own ids are told apart by it."""
    words: dict[tuple[str, str], None] = {}
    keys: dict[str, None] = {}
    control = _number_of(posted)
    for said in _texts(posted.value, "id"), _pair(posted.value.get("identifier")):
        for one in said:
            _put(words, "control", one)
    for ask in posted.asks:
        resource = ask.resource
        if resource is None:
            continue
        kind = ask.type
        inner = [r for r in resource.get("contained") or () if isinstance(r, dict)]
        for person in (resource, *inner):
            if person.get("resourceType") == "Patient":
                _patient(person, base, words, keys)
        for number in _identifiers(resource) if kind in _WORDS else ():
            for text in _pair(number):
                _put(words, _WORDS[kind], text)
        if kind != "Patient":
            for text in _texts(resource, "id"):
                _put(words, "control", text)
        for name in _ABOUT:
            about = resource.get(name)
            if isinstance(about, dict):
                _about(about, base, words, keys)
    return Facts(
        "fhir",
        posted.kind[:30],
        control,
        base or posted.headers.get("endpoint") or posted.headers.get("source", ""),
        posted.headers,
        tuple(keys) if len(keys) <= MOST_KEYS else (),
        tuple(words)[:MOST_WORDS],
        charset="UTF-8",
    )


def _number_of(posted: Posted) -> str:
    """Return what makes a body the same one when it comes again."""
    said = list(_pair(posted.value.get("identifier"))) if posted.is_bundle else []
    if not said:
        lists = [a.resource for a in posted.asks if a.type == "List" and a.resource is not None]
        if len(lists) == 1:
            said = [text for one in _identifiers(lists[0]) for text in _pair(one)]
    if said and len(said[-1]) <= 150:
        return said[-1]
    return "sha256:" + hashlib.sha256(posted.raw).hexdigest()[:40]


def _patient(
    patient: Mapping[str, Any], base: str, words: dict[tuple[str, str], None], keys: dict[str, None]
) -> None:
    for one in _identifiers(patient):
        _number(one, words, keys)
    for own in _texts(patient, "id"):
        _put(words, "patient", own)
        keys[f"{base}/Patient|{own}"] = None
    for name in patient.get("name") or () if isinstance(patient.get("name"), list) else ():
        if isinstance(name, dict):
            given = name.get("given")
            parts = [name.get("family"), *(given if isinstance(given, list) else ())]
            for part in parts:
                for said in part.split() if isinstance(part, str) else ():
                    _put(words, "name", said.casefold())
    born = patient.get("birthDate")
    if isinstance(born, str) and len(born) == 10:
        _put(words, "birth", born.replace("-", ""))


def _about(
    about: Mapping[str, Any], base: str, words: dict[tuple[str, str], None], keys: dict[str, None]
) -> None:
    """Take the patient whom a reference names."""
    identifier = about.get("identifier")
    if isinstance(identifier, dict):
        _number(identifier, words, keys)
    said = about.get("reference")
    if not isinstance(said, str):
        return
    query = split_query(said)
    if query is not None:
        _number({"system": query[1], "value": query[2]}, words, keys)
        return
    server, kind, own = split_reference(said)
    if kind == "Patient":
        _put(words, "patient", own)
        keys[f"{server or base}/Patient|{own}"] = None


def split_reference(text: str) -> tuple[str, str, str]:
    """Return (server, type, id) of a literal reference; empty where it is none."""
    plain = text.split("/_history/")[0].split("#")[0]
    parts = plain.rsplit("/", 2)
    if len(parts) < 2 or not parts[-1] or "?" in plain or not parts[-2][:1].isupper():
        return "", "", ""
    server = parts[0] if len(parts) == 3 else ""
    if server and "://" not in server:
        return "", "", ""
    return server, parts[-2], parts[-1]


def split_query(text: str) -> tuple[str, str, str] | None:
    """Return (type, system, value) of `Type?identifier=system|value`; None where it is no such reference."""
    kind, asked, query = text.partition("?")
    name, _, value = query.partition("=")
    if not asked or name != "identifier" or "&" in query or "/" in kind:
        return None
    parts = _BAR.split(unquote(value))
    if len(parts) != 2 or not all(parts):
        return None
    system, number = (_ESCAPED.sub(r"\1", part) for part in parts)
    return kind, system, number


def _number(identifier: Mapping[str, Any], words: dict[tuple[str, str], None], keys: dict[str, None]) -> None:
    system, value = identifier.get("system"), identifier.get("value")
    if not isinstance(value, str) or not value.strip():
        return
    _put(words, "patient", value)
    if isinstance(system, str) and system and len(value) <= 250:
        keys[f"{system.removeprefix('urn:oid:')}|{value}"] = None


def _identifiers(resource: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for name in ("masterIdentifier", "identifier"):
        found = resource.get(name)
        for one in found if isinstance(found, list) else (found,):
            if isinstance(one, dict):
                yield one


def _pair(identifier: Any) -> Iterator[str]:
    if isinstance(identifier, dict):
        system, value = identifier.get("system"), identifier.get("value")
        if isinstance(value, str) and value:
            yield value
            if isinstance(system, str) and system:
                yield f"{system}^{value}"


def _texts(resource: Mapping[str, Any], name: str) -> Iterator[str]:
    value = resource.get(name)
    if isinstance(value, str) and value:
        yield value


def _put(words: dict[tuple[str, str], None], kind: str, value: str) -> None:
    value = value.strip()
    if value and len(value) <= 250:
        words[kind, value] = None
