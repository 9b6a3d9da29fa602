"""One body of FHIR R4 as JSON: a resource, or a Bundle and what its entries ask for, with every value's
place.

In: bytes as they came. Out: a `Posted`: its kind (`Observation`, `transaction`, `message` ...), its entries
with full URL, method and address, and every populated value with its place as a FHIRPath, counted from 0.
Nothing is dropped in silence: a name that stands twice in an object, a value that JSON cannot hold, XML, a
Bundle of a kind that tells nothing new (searchset, history) are refused with the place. Whether a resource is
a sound one is asked later. FHIR R4 json.html, bundle.html, http.html#transaction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from engine.kernel.errors import FormatError

__all__ = ["BUNDLES", "Ask", "Leaf", "Posted", "asks_of", "is_fhir", "leaves_of", "name_of", "parse"]

BUNDLES = frozenset({"transaction", "batch", "collection", "message"})
"""Kinds of Bundle that are taken."""
ASKING = frozenset({"transaction", "batch"})
"""Those whose entries say what is to be done with them."""
_DEEPEST = 64
_MOST_ENTRIES = 20_000
_MARK = b'"resourceType"'
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}").fullmatch
_TYPE = re.compile(r"[A-Z][A-Za-z]{1,60}").fullmatch
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_BOM = b"\xef\xbb\xbf"


class Leaf(NamedTuple):
    """One value and where it stands."""

    place: str
    value: str
    line: int = 0


@dataclass(frozen=True, slots=True)
class Ask:
    """One resource, and what is asked for it; of a body that is one resource there is one."""

    n: int  # place in Bundle.entry, from 0; -1: the body itself
    resource: Mapping[str, Any] | None
    full_url: str = ""
    method: str = "POST"  # POST | PUT | DELETE | PATCH | GET | HEAD
    url: str = ""
    if_none_exist: str = ""
    condition: bool = False  # ifMatch and its like
    stated: bool = False  # it is told and not asked for: a collection, a message

    @property
    def place(self) -> str:
        """Where the resource stands."""
        return f"Bundle.entry[{self.n}].resource" if self.n >= 0 else self.type

    @property
    def at(self) -> str:
        """Where the entry stands."""
        return f"Bundle.entry[{self.n}]" if self.n >= 0 else self.type

    @property
    def type(self) -> str:
        """Its type; that of the address where there is no resource."""
        if self.resource is not None:
            return str(self.resource["resourceType"])
        return self.url.split("?")[0].strip("/").split("/")[0]


@dataclass(frozen=True, slots=True)
class Posted:
    """One body, read."""

    raw: bytes
    value: Mapping[str, Any]
    kind: str  # type of the resource, or of the Bundle
    asks: tuple[Ask, ...]
    repairs: tuple[Any, ...] = ()
    charset: str = "UTF-8"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_bundle(self) -> bool:
        """Say whether it is a Bundle."""
        return bool(self.value["resourceType"] == "Bundle")

    def leaves(self) -> Iterator[Leaf]:
        """Give every value with its place."""
        for place, value in leaves_of(self.value, str(self.value["resourceType"])):
            yield Leaf(place, shown(value))


def is_fhir(data: bytes) -> bool:
    """Say whether bytes look like a FHIR resource as JSON."""
    begin = data[:400].removeprefix(_BOM).lstrip(b" \t\r\n")
    return begin[:1] == b"{" and _MARK in data


def shown(value: Any) -> str:
    """Write a value as JSON has it; a text as it is."""
    if isinstance(value, str):
        return value
    return "true" if value is True else "false" if value is False else str(value)


def leaves_of(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Give the values below a place, in the order in which they stand; null says nothing."""
    stack = [(path, value)]
    while stack:
        at, one = stack.pop()
        if isinstance(one, Mapping):
            stack.extend([(f"{at}.{name_of(k, n)}", v) for n, (k, v) in enumerate(one.items())][::-1])
        elif isinstance(one, list):
            stack.extend([(f"{at}[{n}]", v) for n, v in enumerate(one)][::-1])
        elif one is not None:
            yield at, one


def name_of(name: str, n: int) -> str:
    """Give a name as a place shows it: one that is none may hold anything."""
    return name if _NAME(name) else f"?{n}"


def parse(data: bytes) -> Posted:
    """Read a body. Raises FormatError."""
    value = _json(data)
    kind = value.get("resourceType")
    if not isinstance(kind, str) or not _TYPE(kind):
        raise FormatError(
            "no FHIR resource",
            where="resourceType",
            why="it does not say of what type it is",
            remedy="send one FHIR R4 resource, or a Bundle",
        )
    asks = asks_of(value)
    named = str(value.get("type")) if kind == "Bundle" else kind
    return Posted(data, value, named, asks, headers=_headers(value))


def asks_of(value: Mapping[str, Any]) -> tuple[Ask, ...]:
    """Return the resources of a body and what is asked for each. Raises FormatError."""
    if value["resourceType"] != "Bundle":
        return (Ask(-1, value),)
    type_ = value.get("type")
    if not isinstance(type_, str) or type_ not in BUNDLES:
        known = type_ if isinstance(type_, str) and re.fullmatch(r"[a-z-]{1,30}", type_) else "none"
        raise FormatError(
            f"a Bundle of type {known} is not taken",
            where="Bundle.type",
            remedy="send a transaction, a batch, a collection or a message",
        )
    entries = value.get("entry", [])
    if not isinstance(entries, list) or len(entries) > _MOST_ENTRIES:
        raise FormatError(f"no list of at most {_MOST_ENTRIES} entries", where="Bundle.entry")
    asks = tuple(_ask(n, one, type_) for n, one in enumerate(entries))
    if type_ == "message" and (not asks or asks[0].type != "MessageHeader"):
        raise FormatError("a message begins with its MessageHeader", where="Bundle.entry[0].resource")
    return asks


def _json(data: bytes) -> Mapping[str, Any]:
    begin = data[:400].removeprefix(_BOM).lstrip(b" \t\r\n")
    if begin[:1] == b"<":
        raise FormatError(
            "FHIR as XML is not read", remedy="send it as JSON, with Content-Type application/fhir+json"
        )
    try:
        text = data.removeprefix(_BOM).decode("utf-8")
        value = json.loads(text, object_pairs_hook=_once, parse_float=Decimal, parse_constant=_no_constant)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False, default=str).encode("utf-8")
    except UnicodeDecodeError as e:
        raise FormatError("not JSON", where=f"byte {e.start}", why="the bytes are not UTF-8") from None
    except UnicodeEncodeError:
        raise FormatError("not JSON", why="half of a character is escaped without its other half") from None
    except json.JSONDecodeError as e:
        raise FormatError("not JSON", where=f"line {e.lineno}, column {e.colno}", why=e.msg) from None
    except RecursionError:
        raise FormatError("JSON that is nested too deeply") from None
    except ValueError:  # a number of thousands of digits
        raise FormatError("not JSON", why="a number in it is too long") from None
    if not isinstance(value, dict):
        raise FormatError("no FHIR resource", why="it is no JSON object")
    _not_too_deep(value)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        name = twice if _NAME(twice) else "a name"
        raise FormatError(f"{name} stands twice in one object", why="one of the two would be lost")
    return out


def _no_constant(name: str) -> Any:
    raise FormatError("not JSON", why=f"{name} is no number of JSON")


def _not_too_deep(value: Any) -> None:
    level: list[Any] = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one)
            if isinstance(inner, (dict, list))
        ]
        if not level:
            return
    raise FormatError("JSON that is nested too deeply", why=f"more than {_DEEPEST} levels")


def _ask(n: int, entry: Any, kind: str) -> Ask:
    at = f"Bundle.entry[{n}]"
    if not isinstance(entry, dict):
        raise FormatError("no entry of a Bundle", where=at)
    resource, request = entry.get("resource"), entry.get("request")
    if resource is not None:
        type_ = resource.get("resourceType") if isinstance(resource, dict) else None
        if not isinstance(type_, str) or not _TYPE(type_):
            raise FormatError("no FHIR resource", where=f"{at}.resource")
        if type_ == "Bundle":
            raise FormatError(
                "a Bundle inside a Bundle is not taken", where=f"{at}.resource", remedy="send it by itself"
            )
    full_url = entry.get("fullUrl", "")
    if not isinstance(full_url, str):
        raise FormatError("no address", where=f"{at}.fullUrl")
    if kind not in ASKING:
        if resource is None:
            raise FormatError("an entry without a resource", where=at)
        return Ask(n, resource, full_url, stated=True)
    if not isinstance(request, dict):
        raise FormatError(f"an entry of a {kind} says what is asked: request is missing", where=at)
    method, url, none = request.get("method"), request.get("url"), request.get("ifNoneExist", "")
    if not isinstance(method, str) or method not in ("POST", "PUT", "DELETE", "PATCH", "GET", "HEAD"):
        raise FormatError("no method of HTTP", where=f"{at}.request.method")
    if not isinstance(url, str) or not isinstance(none, str):
        raise FormatError("no address", where=f"{at}.request")
    if resource is None and method in ("POST", "PUT"):
        raise FormatError(f"a {method} without a resource", where=at)
    condition = any(request.get(k) for k in ("ifMatch", "ifNoneMatch", "ifModifiedSince"))
    return Ask(n, resource, full_url, method, url, none, condition)


def _headers(value: Mapping[str, Any]) -> dict[str, str]:
    """Give what site files match on: who says it, by what profile."""
    out: dict[str, str] = {"type": str(value["resourceType"])}
    first: Any = value
    if value["resourceType"] == "Bundle":
        out["bundle"] = str(value.get("type"))
        entries = value.get("entry") or [{}]
        first = entries[0].get("resource") if isinstance(entries[0], dict) else None
    meta = first.get("meta") if isinstance(first, dict) else None
    source = first.get("source") if isinstance(first, dict) else None
    if isinstance(first, dict) and first.get("resourceType") == "MessageHeader" and isinstance(source, dict):
        out |= {k: v for k in ("endpoint", "name", "software") if isinstance(v := source.get(k), str)}
    if isinstance(meta, dict):
        if isinstance(meta.get("source"), str):
            out["source"] = meta["source"]
        profiles = meta.get("profile")
        if isinstance(profiles, list) and profiles and isinstance(profiles[0], str):
            out["profile"] = profiles[0]
    return out
