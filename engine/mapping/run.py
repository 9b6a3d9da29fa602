"""One run of a compiled map over one message: what the generated code calls, and what it leaves behind.

A `Run` holds the delimiters, the sender's settings and the notes taken on the way (flags, deletes, resources made on the
side). `TracedRun` is its twin for lineage: the same steps on values that remember their addresses (traced.py).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

from engine.formats.hl7v2.escapes import unescape
from engine.kernel.message import Draft, Flag, Identity
from engine.mapping import dates
from engine.mapping.memory import copier, keep, keeps
from engine.mapping.traced import TKey, TStr, absorb, plain, sources_of, traced
from engine.mapping.values import decimal_of

__all__ = ["ORIGINAL_TEXT", "Ambiguous", "Identify", "Run", "Sender", "TracedRun", "lit"]

ORIGINAL_TEXT = "http://hl7.org/fhir/StructureDefinition/originalText"
DELETE = '""'
DAY_ONLY = "only the day is kept; the time as sent is in the message"
DAY_AND_TEXT = DAY_ONLY + " and in the originalText extension"

Identify = Callable[[str, str, str], str]
"""(resource type, system, value) -> the id of the resource that this identity names (lower-case UUID text)."""


class TranslationTable(Protocol):
    """A code table of the terminology room."""

    rows: Any

    def translate(self, code: str, system: str = "", uri: str = "", *, any_system: bool = False) -> Any: ...


class Sender(Protocol):
    """What is configured about whoever sent the message."""

    name: str
    zone: str
    authority: str

    def system(self, name: str) -> str:
        """URI of a coding system as this sender names it, or ""."""
        ...

    def authority_uri(self, name: str) -> str:
        """URI of an assigning authority as this sender names it, or ""."""
        ...

    def has_code(self, system: str, code: str) -> bool:
        """Say whether a code is in a code system; True where the system's codes are not at hand."""
        ...


class _Literal(str):
    """A constant inside joined text: its spaces stay."""

    __slots__ = ()


@lru_cache(maxsize=4096)
def lit(text: str) -> str:
    """Return a constant that `join` leaves as it is."""
    return _Literal(text)


class Ambiguous(Exception):
    """A key names more than one identifier, or none: the message is held. `code` is a stable word."""

    def __init__(self, code: str, where: str, text: str) -> None:
        super().__init__(text)
        self.code, self.where, self.text = code, where, text


class Run:
    """The state of one message being mapped. Attributes starting lower-case and short are read by generated code."""

    tracing = False

    def __init__(self, message: Any, sender: Sender, tables: Mapping[str, TranslationTable], functions: Mapping[str, Any], identify: Identify) -> None:
        d = message.delims
        self.message = message
        self.delims = d
        self.cs, self.rs, self.ss, self.es = d.component, d.repetition, d.subcomponent, d.escape
        self.sender, self.tables, self.fns, self.identify = sender, tables, functions, identify
        self.names = {s.name for s in message.segments}
        self.flags: list[Flag] = []
        self.marks = 0  # goes up with everything that a value leaves behind besides itself
        self.settled = 0  # the same for resources made beside the one being filled
        self.notes = 0  # the same for flags, failures and holds alone
        self.laid: dict[int, tuple[Any, list[str]]] = {}  # the padded fields of segments, by the segments' ids
        self.chained: list[Any] | None = None  # the levels of the chain being made, for its memory
        self.fails = 0
        self.failed_at: list[tuple[str, str]] = []
        self.lost = ""
        self.row = -1
        self.where = ""  # `OBX[3]`, the segment being mapped
        self.cleared: list[str] = []
        self.contained: list[dict[str, Any]] = []
        self.before: Mapping[str, tuple[str, ...]] = {}
        self.parent_key: Identity = ("", "")
        self.made: dict[Any, dict[str, Any]] = {}
        self.drafts: list[Draft] = []
        self.scope: Any = None
        self.held: Flag | None = None
        self.cache: dict[Any, Any] = {}  # values of texts seen before; the caller may share it between runs of one site
        self.merged: list[Any] = []  # segments that mend joined, for the report
        self.spots: dict[tuple[str, str], list[Any]] = {}  # (element, label) -> the segment of each entry that `each` made
        self.weak: list[str] = []  # elements that only a new resource takes

    # -- text ------------------------------------------------------------------------------------------------------

    def text(self, v: str) -> str:
        """Decode one leaf; blank and `""` are nothing."""
        if not v or v == DELETE:
            return ""
        if self.es in v:
            v = unescape(v, self.delims, self.message.charset)
        return v.strip()

    def keep(self, value: Any, *raw: str) -> Any:
        """Return a value read from `raw`; the traced twin remembers whence."""
        return value

    # -- notes -----------------------------------------------------------------------------------------------------

    def flag(self, code: str, where: str, text: str = "", work: bool = False) -> None:
        """Take a note for people; never holds patient data."""
        self.marks += 1
        self.notes += 1
        self.flags.append(Flag(code, self.where + where, text, work))

    def fail(self, code: str, raw: str) -> None:
        """Say that a value was there but could not be held by its type; a `failed:` case or a flag follows."""
        self.marks += 1
        self.notes += 1
        self.fails += 1
        self.failed_at.append((code, raw))

    def settle(self, since: int, where: str) -> None:
        """Turn the failures since `since` into flags: no `failed:` rows took care of them."""
        for code, _ in self.failed_at[since - self.fails :]:
            self.flag(code, where, "the value is not readable as its type and was left out")
        del self.failed_at[since - self.fails :]
        self.fails = since

    def forget(self, since: int) -> None:
        """Drop the failures since `since`: `failed:` rows took care of them."""
        if self.fails > since:
            del self.failed_at[since - self.fails :]
            self.fails = since

    def hold(self, code: str, where: str, text: str) -> None:
        """Hold the message for a person: nothing of it is written."""
        self.marks += 1
        self.notes += 1
        if self.held is None:
            self.held = Flag(code, self.where + where, text, True)

    def chose(self, v: str) -> None:
        """Remember that a value chose a case (the traced twin tells of it)."""

    # -- primitives ------------------------------------------------------------------------------------------------

    def date(self, v: str) -> str | None:
        t = self.text(v)
        if not t:
            return None
        out = dates.read_date(t)
        if out is None:
            self.fail("not-a-date", v)
        return out

    def date_time(self, v: str) -> str | None:
        t = self.text(v)
        if not t:
            return None
        when = dates.read_datetime(t, self.sender.zone)
        if when is None:
            self.fail("not-a-time", v)
            return None
        if when.lost:
            self.lost = when.lost
            self.marks += 1
        return when.value

    def keep_original(self, o: dict[str, Any] | None, name: str, v: str, where: str) -> None:
        """Keep the text of a time that lost its clock beside the day that is left, and flag it.

        The value of an extension has no room for another extension; there the flag alone tells.
        """
        self.flag(self.lost, where, DAY_ONLY if o is None else DAY_AND_TEXT)
        self.lost = ""
        if o is not None and name in o:
            o["_" + name] = {"extension": [{"url": ORIGINAL_TEXT, "valueString": self.keep(self.text(v), v)}]}

    def instant(self, v: str) -> str | None:
        t = self.text(v)
        if not t:
            return None
        when = dates.read_instant(t, self.sender.zone)
        if when is None or when.lost:
            self.fail("not-a-time" if when is None else f"instant-{when.lost}", v)
            return None
        return when.value

    def time(self, v: str) -> str | None:
        t = self.text(v)
        if not t:
            return None
        when = dates.read_time(t)
        if when is None or not when.value:
            self.fail("not-a-time", v)
            return None
        if when.lost:
            self.flag(when.lost, "")
        return when.value

    def decimal(self, v: str) -> Any:
        t = self.text(v)
        if not t:
            return None
        out = decimal_of(t)
        if out is None:
            self.fail("not-a-number", v)
        return out

    def integer(self, v: str) -> int | None:
        t = self.text(v)
        if not t:
            return None
        if not t.lstrip("+-").isdigit() or not t.isascii() or len(t) > 10:
            self.fail("not-a-whole-number", v)
            return None
        return int(t)

    def positive(self, v: str) -> int | None:
        n = self.integer(v)
        if n is not None and n < 1:
            self.fail("not-a-whole-number", v)
            return None
        return n

    def boolean(self, v: str) -> bool | None:
        t = self.text(v)
        if not t:
            return None
        if t.upper() in ("Y", "YES", "TRUE", "T"):
            return True
        if t.upper() in ("N", "NO", "FALSE", "F"):
            return False
        self.fail("not-yes-or-no", v)
        return None

    def token(self, v: str) -> str | None:
        """A FHIR code, uri or id: no white space but single spaces inside."""
        t = " ".join(self.text(v).split())
        return t or None

    def uri(self, v: str) -> str | None:
        t = self.text(v)
        if not t:
            return None
        if any(c.isspace() for c in t):
            self.fail("not-a-uri", v)
            return None
        return t

    def string(self, v: str) -> str | None:
        return self.text(v) or None

    # -- codes -----------------------------------------------------------------------------------------------------

    def system(self, v: str) -> str | None:
        """The URI of a coding system as this sender names it; None when nobody says."""
        t = self.text(v)
        return (self.sender.system(t) or None) if t else None

    def authority(self, v: str) -> str | None:
        """The URI of an assigning authority as this sender names it; None when nobody says."""
        t = self.text(v)
        return (self.sender.authority_uri(t) or None) if t else None

    def code(self, table: str, v: str, where: str, unmapped: str, required: bool) -> str | None:
        """Translate into a FHIR code. No hit: required bindings drop (or hold), others keep the text."""
        t = self.text(v)
        if not t:
            return None
        found = self.tables[table].translate(t)
        if found is not None:
            return None if found.drop else found.code
        return self._no_code(t, v, table, where, unmapped or ("drop" if required else "keep"), required)

    def _no_code(self, t: str, v: str, table: str, where: str, unmapped: str, required: bool) -> str | None:
        if unmapped == "hold":
            self.hold("unmapped-code", where, f"the code is not in table {table}")
            return None
        if self.tables[table].rows:
            self.flag("unmapped-code", where, f"the code is not in table {table}", unmapped == "flag")
        return None if required or unmapped == "drop" else " ".join(t.split())

    def _look(self, table: str, c: dict[str, Any], parts: Sequence[str], any_system: bool) -> Any:
        """Look a coding up by the system as the sender wrote it and as it resolves."""
        name = ""
        for code_at, system_at in ((0, 2), (3, 5), (9, 11)):
            if len(parts) > system_at and self.text(parts[code_at]) == c["code"]:
                name = self.text(parts[system_at])
                break
        return self.tables[table].translate(c["code"], name, c.get("system", ""), any_system=any_system)

    def coding(self, table: str, local: dict[str, Any] | None, parts: Sequence[str], where: str, unmapped: str, any_system: bool) -> dict[str, Any] | None:
        """Translate into a Coding; no hit keeps the local one."""
        if not local or "code" not in local:
            return local
        found = self._look(table, local, parts, any_system)
        if found is None:
            return self._missing(local, table, where, unmapped)
        return None if found.drop else {**_coding(found), "code": self.keep(found.code, local["code"])}

    def _missing(self, local: dict[str, Any], table: str, where: str, unmapped: str) -> dict[str, Any] | None:
        if unmapped == "hold":
            self.hold("unmapped-code", where, f"the code is not in table {table}")
            return None
        standard = unmapped == "keep" and any("system" in c for c in local.get("coding") or [local])  # a standard code as sent
        if self.tables[table].rows and not standard:  # a table without rows is one that only a site can fill
            self.flag("unmapped-code", where, f"the code is not in table {table}", unmapped == "flag")
        return None if unmapped == "drop" else local

    def concept(self, table: str, local: dict[str, Any] | None, parts: Sequence[str], where: str, unmapped: str, any_system: bool) -> dict[str, Any] | None:
        """Put the standard coding first and keep what was sent; no hit keeps the local coding, flagged."""
        if not local:
            return None
        codings = local.get("coding") or []
        hits: list[dict[str, Any]] = []
        missing = False
        for c in codings:
            if "code" not in c:
                continue
            found = self._look(table, c, parts, any_system)
            if found is None:
                missing = True
            elif found.drop:
                return None
            else:
                hits.append({**_coding(found), "code": self.keep(found.code, c["code"])})
                if "system" not in c and found.source.startswith(("http", "urn:")):
                    c["system"] = found.source
        if missing and not hits:
            return self._missing(local, table, where, unmapped)
        merged: list[dict[str, Any]] = []
        for c in hits + codings:
            for i, m in enumerate(merged):
                if m.get("system") == c.get("system") and m.get("code") == c.get("code"):
                    merged[i] = absorb({**c, **m}, c)
                    break
            else:
                merged.append(c)
        return {"coding": merged, **{k: v for k, v in local.items() if k != "coding"}} if merged else local

    def local_concept(self, system: str, v: str) -> dict[str, Any] | None:
        """ID or IS -> CodeableConcept in the HL7 table of the field; without a table, text alone."""
        t = self.text(v)
        if not t:
            return None
        code = self.keep(" ".join(t.split()), v)
        if not system:
            return {"text": code}
        return {"coding": [{"system": system, "code": code} if self.sender.has_code(system, code) else {"code": code}]}

    def local_coding(self, system: str, v: str) -> dict[str, Any] | None:
        t = self.text(v)
        if not t:
            return None
        code = self.keep(" ".join(t.split()), v)
        return {"system": system, "code": code} if system and self.sender.has_code(system, code) else {"code": code}

    # -- text made of several ----------------------------------------------------------------------------------------

    def join(self, raws: Sequence[str], glue: str) -> str | None:
        """Glue decoded texts; empty ones vanish."""
        said = False
        out: list[str] = []
        for r in raws:
            if type(r) is _Literal:
                out.append(r)
                continue
            t = self.text(r)
            if t:
                said = True
                out.append(t)
        return glue.join(out) if said else None

    def join_key(self, raws: Sequence[str]) -> str | None:
        """Glue for a key: the separator is escaped, empty places stay, trailing ones go."""
        plain = "|".join(raws)
        if (
            plain.isascii()
            and "\\" not in plain
            and '"' not in plain
            and (not self.es or self.es not in plain)
            and plain.count("|") == len(raws) - 1
            and len(plain.split(None, 1)) == 1
            and plain.isprintable()
            and " " not in plain
        ):
            return plain.rstrip("|") or None
        parts = [(r if type(r) is _Literal else self.text(r)).replace("\\", "\\\\").replace("|", "\\|") for r in raws]
        while parts and not parts[-1]:
            parts.pop()
        return "|".join(parts) or None

    # -- segments in scope -------------------------------------------------------------------------------------------

    def near(self, g: Any, name: str) -> Any:
        """The segment of that name in the nearest enclosing group, or in the only sibling group that has it; else None."""
        found = g.near(name)
        if found is False:
            self.flag("several-in-scope", f" {name}", f"more than one {name} stands beside this segment; none was read")
            return None
        return found

    # -- other resources ---------------------------------------------------------------------------------------------

    def make(self, name: str, raw: str, parts: list[str], fn: Callable[..., Any]) -> dict[str, Any] | None:
        """Build the resource that map `name` makes of this value, once per message, and return the Reference to it.

        A resource without a usable key is contained in the one being built and never matched by name.
        """
        self.marks += 1
        self.chained = None
        kind = name.rsplit("_", 1)[-1]
        if self.tracing:
            o, labels, keys, inner = self._resource(parts, fn)
            return self.settle_made(kind, name, o, labels, keys, inner, None) if o else None
        known = self.made.get((fn, raw))
        if known is not None:
            return known
        seen = self.cache.get((fn, raw))
        if seen is not None:
            again, marked, keys = seen
            return self.settle_made(kind, name, again(), marked(), keys, [], (fn, raw))
        marks = self.marks
        o, labels, keys, inner = self._resource(parts, fn)
        if not o:
            return None
        if not inner and self.marks == marks + 1 and keeps(self, raw):
            again = copier(o)
            keep(self, (fn, raw), (again, copier(copier(labels)()), keys))
            o = again()
        return self.settle_made(kind, name, o, labels, keys, inner, (fn, raw))

    def _resource(self, parts: list[str], fn: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, list[str]], Any, Any]:
        """Run the function of a resource map: elements, labels, keys, and what it contained."""
        frame = self.enter()
        o: dict[str, Any] = {}
        labels: dict[str, list[str]] = {}
        keys = fn(parts, self, o, labels)
        return o, labels, keys, self.drop(frame)

    def chain(self, raw: str, parts: list[str], fn: Callable[..., Any]) -> dict[str, Any] | None:
        """Build the Locations of a PL, once per message and text, and return the Reference to the lowest."""
        seen = None if self.tracing else self.cache.get((fn, raw))
        above: dict[str, Any] | None = None
        if seen is not None:
            self.marks += 1
            for kind, name, again, labels, value in seen:
                body = again()
                if above is not None:
                    body["partOf"] = above
                above = self._settle_keyed(kind, name, body, dict(labels), self._place(value))
            return above
        self.chained, notes, cleared = [], self.notes, len(self.cleared)
        above = fn(parts, self)
        levels, self.chained = self.chained, None
        clean = (self.notes, len(self.cleared)) == (notes, cleared)
        if levels is not None and not self.tracing and clean and keeps(self, raw):
            keep(self, (fn, raw), levels)
        return above

    def enter(self) -> tuple[Any, ...]:
        """Begin a resource made inside another; returns what `leave` or `drop` needs to come back."""
        self.marks += 1
        frame = (self.contained, self.cleared, self.before)
        self.contained, self.cleared, self.before = [], [], {}
        return frame

    def drop(self, frame: tuple[Any, ...]) -> list[dict[str, Any]]:
        """End a made resource; returns what it contained."""
        inner = self.contained
        self.contained, self.cleared, self.before = frame
        return inner

    def leave(self, frame: tuple[Any, ...], kind: str, path: str, o: dict[str, Any], labels: dict[str, list[str]]) -> dict[str, Any] | None:
        """End a resource that rows made inline: equal content is one resource; with contained parts it is contained itself."""
        inner = self.drop(frame)
        self.chained = None
        if not o or all(k == "code" and kind == "PractitionerRole" for k in o):
            return None
        keys: tuple[Identity, ...] = ()
        if not inner and not _refers_inside(o):
            shown = plain(o) if self.tracing else o
            keys = (("urn:hub:content", json.dumps(shown, sort_keys=True, default=str)),)
        return self.settle_made(kind, path, o, labels, keys, inner, None)

    def level(self, frame: tuple[Any, ...], kind: str, name: str, level: str, o: dict[str, Any], labels: dict[str, list[str]], path: list[str]) -> dict[str, Any] | None:
        """End one level of a Location chain; its key is the path from the top down, within the sender's facility."""
        inner = self.drop(frame)
        shown = [i["value"] for i in o.get("identifier", ()) if "value" in i] or [o.get("name", "")]
        path.append(f"{level}={shown[0]}")
        value = "|".join(p.replace("|", "\\|") for p in path)
        if self.chained is not None:
            if inner:
                self.chained = None
            else:
                body = {"resourceType": kind, **{k: v for k, v in o.items() if k != "partOf"}}
                marked = {k: tuple(v) for k, v in labels.items()}
                self.chained.append((kind, name, copier(copier(body)()), marked, value))
        return self.settle_made(kind, name, o, labels, self._place(value), inner, None)

    def _place(self, value: str) -> tuple[Identity, ...]:
        return ((f"urn:hub:place:{self.sender.authority}", value),)

    def settle_made(
        self, kind: str, name: str, o: dict[str, Any], labels: dict[str, list[str]], keys: tuple[Identity, ...], inner: list[dict[str, Any]], memo: Any
    ) -> dict[str, Any] | None:
        """Register a made resource: a draft of its own when a key names it, contained otherwise."""
        body = {"resourceType": kind, **o}
        if not keys:
            shift = len(self.contained)
            renamed = {f"#{c['id']}": f"#c{shift + i}" for i, c in enumerate(inner, 1)}
            for i, c in enumerate(inner, 1):
                c["id"] = f"c{shift + i}"
                _rename(c, renamed)
            _rename(body, renamed)
            self.contained.extend(inner)
            for c in self.contained:
                if {k: v for k, v in c.items() if k != "id"} == body:
                    if self.tracing:
                        for k in o:
                            c[k] = absorb(c[k], body[k])
                    return {"reference": "#" + c["id"]}
            body["id"] = f"c{len(self.contained) + 1}"
            self.contained.append(body)
            return {"reference": "#" + body["id"]}
        if inner:
            body["contained"] = inner
        ref = self._settle_keyed(kind, name, body, {k: tuple(v) for k, v in labels.items()}, keys)
        if memo is not None:
            self.made[memo] = ref
        return ref

    def _settle_keyed(
        self,
        kind: str,
        name: str,
        body: dict[str, Any],
        labels: dict[str, tuple[str, ...]],
        keys: tuple[Identity, ...],
    ) -> dict[str, Any]:
        """Register a made resource that a key names; one this message made before takes what it lacks."""
        self.settled += 1
        draft_id = self.identify(kind, keys[0][0], keys[0][1])
        for d in self.drafts:
            if d.id == draft_id:
                for k, v in body.items():
                    if k not in d.body:
                        d.body[k] = v
                    elif self.tracing:
                        d.body[k] = absorb(d.body[k], v)
                break
        else:
            self.drafts.append(Draft(name, kind, draft_id, body, keys, "merge", labels, map=name))
        return self.reference(kind, draft_id)

    def reference(self, kind: str, draft_id: str) -> dict[str, Any]:
        """Return the Reference to a draft."""
        return {"reference": "urn:uuid:" + draft_id}

    def body_of(self, ref: dict[str, Any] | None) -> dict[str, Any] | None:
        """Return the body of a resource made in this message, by its Reference."""
        target = (ref or {}).get("reference", "")
        if target.startswith("#"):
            return next((c for c in self.contained if "#" + c["id"] == target), None)
        return next((d.body for d in self.drafts if target.endswith(d.id)), None) if target else None

    def labelled(self, o: dict[str, Any], lab: dict[str, list[str]], name: str, label: str) -> list[dict[str, Any]]:
        """Return the entries of a list that the row with this label made."""
        entries = o.get(name) or []
        if not isinstance(entries, list):
            return [entries]
        if len(entries) == 1 and name in lab:
            return entries if not label or lab[name][0] == label else []
        marks = lab.get(name) or [""] * len(entries)
        return [e for e, m in zip(entries, marks, strict=False) if m == label or not label]

    def keys_of(self, type_: str, identifiers: list[dict[str, Any]], where: str) -> tuple[Identity, ...]:
        """Turn the identifiers that a key names into identities; a missing system becomes the sender's own name space."""
        out: dict[Identity, None] = {}
        for i in identifiers:
            value = i.get("value")
            if value:
                out[(self._identity_system(i) or self.sender.authority, str(value))] = None
        return tuple(out)

    def keys_by(
        self, o: dict[str, Any], lab: dict[str, list[str]], wanted: tuple[tuple[str, str], ...]
    ) -> tuple[Identity, ...]:
        """The same for a key that names elements by their labels: `identifier(instance) | identifier(obx)`."""
        out: dict[Identity, None] = {}
        for name, label in wanted:
            entries = o.get(name)
            if not entries:
                continue
            for i in entries if not label and type(entries) is list else self.labelled(o, lab, name, label):
                value = i.get("value")
                if value:
                    system = i.get("system") or self._identity_system(i) or self.sender.authority
                    out[(str(system), str(value))] = None
        return tuple(out)

    def made_keys(self, type_: str, identifiers: list[dict[str, Any]]) -> tuple[Identity, ...]:
        """The same for resources made on the side: without an authority there is no usable key."""
        out: dict[Identity, None] = {}
        for i in identifiers:
            value, system = i.get("value"), self._identity_system(i)
            if value and system:
                out[(system, str(value))] = None
        return tuple(out)[:1]

    def _identity_system(self, i: dict[str, Any]) -> str:
        if i.get("system"):
            return str(i["system"])
        assigner = i.get("assigner")
        name = assigner.get("display") if isinstance(assigner, dict) else None
        return f"urn:hub:authority:{name}" if name else ""

    # -- small shapes ------------------------------------------------------------------------------------------------

    def pieces(self, v: str, sep: str) -> list[str]:
        """Split one text into several."""
        t = self.text(v)
        return [self.keep(p, v) for p in str(t).split(sep) if p] if t else []

    def text_concept(self, v: str) -> dict[str, Any] | None:
        """`{text}` for a CodeableConcept or Annotation."""
        t = self.text(v)
        return {"text": t} if t else None

    def value_identifier(self, v: str) -> dict[str, Any] | None:
        """An Identifier that has nothing but a value."""
        t = self.text(v)
        return {"value": t} if t else None

    def display(self, v: str) -> dict[str, Any] | None:
        """A Reference that has nothing but a display."""
        t = self.text(v)
        return {"display": t} if t else None

    def pick(self, raw: str, tests: tuple[tuple[int, int, tuple[str, ...], bool], ...]) -> list[str]:
        """Return the repetitions that pass all tests, e.g. ((5, 0, ("MR",), False),) for `(5=MR)`."""
        out = []
        if raw and raw != DELETE:
            for r in raw.split(self.rs):
                parts = r.split(self.cs)
                for component, sub, values, negated in tests:
                    got = parts[component - 1] if component <= len(parts) else ""
                    subs = got.split(self.ss)
                    got = (subs[sub - 1] if sub <= len(subs) else "") if sub else subs[0]
                    if (self.text(got) in values) is negated:
                        break
                else:
                    if r:
                        out.append(r)
        return out

    def each(self, g: Any, s: Any, name: str) -> Any:
        """The segments `name` of this group; NTE: those that stand directly after `s`."""
        if name == "NTE":
            return g.following(s)
        return g.positioned(s, name) if name in ("ROL", "PRT") else g.all(name)

    def find(self, g: Any, name: str, tests: tuple[tuple[int, int, tuple[str, ...], bool], ...], number: int) -> str:
        """Return field `number` of the first segment in scope whose fields pass the tests (`OBX(3.1=8302-2)-5`)."""
        for s in g.all(name):
            f = self.fields_of(s)
            for fld, component, values, negated in tests:
                got = f[fld] if fld < len(f) else ""
                parts = got.split(self.rs)[0].split(self.cs)
                got = parts[component - 1] if component and component <= len(parts) else parts[0]
                if (self.text(got) in values) is negated:
                    break
            else:
                return f[number] if number < len(f) else ""
        return ""

    def fields_of(self, s: Any) -> list[str]:
        """The raw fields of a segment."""
        return s.fields  # type: ignore[no-any-return]


def _refers_inside(o: Any) -> bool:
    if isinstance(o, dict):
        return any((k == "reference" and str(v).startswith("#")) or _refers_inside(v) for k, v in o.items())
    return isinstance(o, list) and any(map(_refers_inside, o))


def _rename(o: Any, names: Mapping[str, str]) -> None:
    if not names:
        return
    if isinstance(o, dict):
        ref = o.get("reference")
        if isinstance(ref, str) and ref in names:
            o["reference"] = names[ref]
        for v in o.values():
            _rename(v, names)
    elif isinstance(o, list):
        for v in o:
            _rename(v, names)


def _coding(found: Any) -> dict[str, Any]:
    out = {"system": found.system, "code": found.code, "display": found.display}
    return {k: v for k, v in out.items() if v}


class TracedRun(Run):
    """The twin that remembers: used for lineage, `try` and `convert`, never on the hot path."""

    tracing = True

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.choices: list[Any] = []  # addresses of values that chose a case
        self.failures: list[tuple[Any, str]] = []  # (address, code)
        self.nested: dict[int, tuple[Any, dict[str, list[str]]]] = {}  # id of an element -> it, and the labels of its lists

    def labels_of(self, o: dict[str, Any], name: str) -> dict[str, list[str]]:
        """The labels of the lists of an element inside a resource."""
        labels = self.nested.setdefault(id(o), (o, {}))[1]
        marks = labels.setdefault(name, [])
        marks += [""] * (len(o.get(name, ())) - len(marks))
        return labels

    def text(self, v: str) -> str:
        out = Run.text(self, v)
        src = getattr(v, "src", ())
        return traced(str(out), src, self.row) if out and src else out

    def keep(self, value: Any, *raw: str) -> Any:
        return traced(value, sources_of(raw), self.row)

    def chose(self, v: str) -> None:
        self.choices.extend((a, self.row) for a in getattr(v, "src", ()))

    def fail(self, code: str, raw: str) -> None:
        super().fail(code, raw)
        self.failures.extend((a, code) for a in getattr(raw, "src", ()))

    def join(self, raws: Sequence[str], glue: str) -> str | None:
        out = Run.join(self, [str(r) if not hasattr(r, "src") else r for r in raws], glue)
        return None if out is None else traced(str(out), sources_of(r for r in raws if self.text(r)), self.row)

    def join_key(self, raws: Sequence[str]) -> str | None:
        out = Run.join_key(self, raws)
        return None if out is None else TKey(str(out), sources_of(r for r in raws if self.text(r)), self.row)

    def code(self, table: str, v: str, where: str, unmapped: str, required: bool) -> str | None:
        out = Run.code(self, table, v, where, unmapped, required)
        if out is None:
            if self.text(v):
                self.failures.extend((a, f"code not in table {table}") for a in getattr(v, "src", ()))
            return None
        return TStr(str(out), getattr(v, "src", ()), self.row)

    def authority(self, v: str) -> str | None:
        return self._named(Run.authority(self, v), v)

    def system(self, v: str) -> str | None:
        return self._named(Run.system(self, v), v)

    def _named(self, out: str | None, v: str) -> str | None:
        if out is None:
            if self.text(v):
                self.failures.extend((a, "no system is known for this name; the sender's `systems` can say") for a in getattr(v, "src", ()))
            return None
        return TStr(str(out), getattr(v, "src", ()), self.row)


def _tracing(name: str) -> Callable[..., Any]:
    plain_method = getattr(Run, name)

    def method(self: TracedRun, v: str) -> Any:
        out = plain_method(self, v)
        return None if out is None else traced(out if not isinstance(out, str) else str(out), getattr(v, "src", ()), self.row)

    method.__name__ = name
    method.__doc__ = plain_method.__doc__
    return method


for _name in ("date", "date_time", "instant", "time", "decimal", "integer", "positive", "boolean", "token", "uri", "string"):
    setattr(TracedRun, _name, _tracing(_name))
