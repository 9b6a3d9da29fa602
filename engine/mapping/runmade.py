"""How a run makes other resources beside the one it fills, and the identities that keys give.

In: what the maps of made resources fill (`make:`, chains of Locations). Out: References; the resource itself
becomes a draft of its own when a key names it, and is contained otherwise, never matched by name. FHIR R4
references.html.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from engine.kernel.message import Draft, Identity
from engine.mapping.memory import fresh, keep, keeps, met_before
from engine.mapping.runstate import State
from engine.mapping.traced import absorb, plain

__all__ = ["RunMaking"]


class RunMaking(State):
    """Resources made on the way, and keys."""

    def make(self, name: str, raw: str, parts: list[str], fn: Callable[..., Any]) -> dict[str, Any] | None:
        """Build the resource that map `name` makes of this value, once per message, and return the Reference
        to it.

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
            o, labels, keys = seen()
            return self.settle_made(kind, name, o, labels, keys, [], (fn, raw))
        once = not met_before(self, (fn, raw))
        marks = self.marks
        o, labels, keys, inner = self._resource(parts, fn)
        if not o:
            return None
        if not once and not inner and self.marks == marks + 1 and keeps(self, raw):
            keep(self, (fn, raw), fresh([o, labels, keys]))
        return self.settle_made(kind, name, o, labels, keys, inner, (fn, raw))

    def _resource(
        self, parts: list[str], fn: Callable[..., Any]
    ) -> tuple[dict[str, Any], dict[str, list[str]], Any, Any]:
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
            for kind, name, body, labels, value in seen():
                if above is not None:
                    body["partOf"] = above
                above = self._settle_keyed(kind, name, body, labels, self._place(value))
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

    def inside(self, o: dict[str, Any]) -> tuple[Any, ...] | None:
        """Begin the rows that fill a made resource up: what they contain is contained in it, not in the one
        around.

        None where it is contained itself: FHIR has no contained resource in another."""
        if any(c is o for c in self.contained):
            return None
        frame = self.enter()
        self.contained = o.get("contained", [])
        return frame

    def outside(self, frame: tuple[Any, ...] | None, o: dict[str, Any]) -> None:
        """End the rows that filled a made resource up."""
        if frame is not None:
            inner = self.drop(frame)
            if inner:
                o["contained"] = inner

    def drop(self, frame: tuple[Any, ...]) -> list[dict[str, Any]]:
        """End a made resource; returns what it contained."""
        inner = self.contained
        self.contained, self.cleared, self.before = frame
        return inner

    def leave(
        self, frame: tuple[Any, ...], kind: str, path: str, o: dict[str, Any], labels: dict[str, list[str]]
    ) -> dict[str, Any] | None:
        """End a resource that rows made inline: a number with who gave it names it, else its
        content within what this sender says; with contained parts it is contained itself."""
        inner = self.drop(frame)
        self.chained = None
        if not o or all(k == "code" and kind == "PractitionerRole" for k in o):
            return None
        keys: tuple[Identity, ...] = ()
        if not inner and not _refers_inside(o):
            shown = plain(o) if self.tracing else o
            keys = self.made_keys(kind, [] if kind == "PractitionerRole" else o.get("identifier", []))
            if not keys:
                content = json.dumps(shown, sort_keys=True, default=str)
                keys = ((f"urn:hub:content:{self.sender.authority}", content),)
        return self.settle_made(kind, path, o, labels, keys, inner, None)

    def level(
        self,
        frame: tuple[Any, ...],
        kind: str,
        name: str,
        level: str,
        o: dict[str, Any],
        labels: dict[str, list[str]],
        path: list[str],
    ) -> dict[str, Any] | None:
        """End one level of a Location chain; its key is the path from the top down, within the sender's
        facility."""
        inner = self.drop(frame)
        shown = [i["value"] for i in o.get("identifier", ()) if "value" in i] or [o.get("name", "")]
        path.append(f"{level}={shown[0]}")
        value = "|".join(p.replace("\\", "\\\\").replace("|", "\\|") for p in path)
        if self.chained is not None:
            if inner:
                self.chained = None
            else:
                body = {"resourceType": kind, **{k: v for k, v in o.items() if k != "partOf"}}
                marked = {k: tuple(v) for k, v in labels.items()}
                self.chained.append([kind, name, fresh(body), marked, value])
        return self.settle_made(kind, name, o, labels, self._place(value), inner, None)

    def _place(self, value: str) -> tuple[Identity, ...]:
        return ((f"urn:hub:place:{self.sender.authority}", value),)

    def settle_made(
        self,
        kind: str,
        name: str,
        o: dict[str, Any],
        labels: dict[str, list[str]],
        keys: tuple[Identity, ...],
        inner: list[dict[str, Any]],
        memo: Any,
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

    # -- keys ------------------------------------------------------------------------------------------------

    def labelled(
        self, o: dict[str, Any], lab: dict[str, list[str]], name: str, label: str
    ) -> list[dict[str, Any]]:
        """Return the entries of a list that the row with this label made."""
        entries = o.get(name) or []
        if not isinstance(entries, list):
            return [entries]
        if len(entries) == 1 and name in lab:
            return entries if not label or lab[name][0] == label else []
        marks = lab.get(name) or [""] * len(entries)
        return [e for e, m in zip(entries, marks, strict=False) if m == label or not label]

    def keys_of(self, type_: str, identifiers: list[dict[str, Any]], where: str) -> tuple[Identity, ...]:
        """Turn the identifiers that a key names into identities; a missing system becomes the sender's own
        name space."""
        out: dict[Identity, None] = {}
        for i in identifiers:
            value = i.get("value")
            if value:
                out[(self._identity_system(i) or self.sender.authority, str(value))] = None
        return tuple(out)

    def keys_by(
        self, o: dict[str, Any], lab: dict[str, list[str]], wanted: tuple[tuple[str, str], ...]
    ) -> tuple[Identity, ...]:
        """The same for a key that names elements by their labels: `identifier(instance) |
        identifier(obx)`."""
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


def _refers_inside(o: Any) -> bool:
    for v in o.values() if isinstance(o, dict) else o:
        if isinstance(v, (dict, list)) and _refers_inside(v):
            return True
    return isinstance(o, dict) and str(o.get("reference", "")).startswith("#")


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
