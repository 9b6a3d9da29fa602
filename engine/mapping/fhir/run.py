"""One run over one body of FHIR: what is asked is held against what may be done, each resource is copied into
a draft with its numbers, references, codes and units put right.

In: a `FhirArrived`, the sender's settings, code tables, rules. Out: `Built`. Everything that was sent is in
the drafts as it was sent, but for what docs/analysts/fhir-in.md names; `FhirRun.reasons` says what reached
nothing and why; the twin of it is in twin.py. FHIR R4
http.html#transaction, bundle.html, messaging.html.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from engine.fhir import definitions
from engine.formats.fhir.posted import Ask
from engine.kernel.errors import MapError
from engine.kernel.message import Draft, Flag, Gap, Identity, Told
from engine.mapping.build import Built
from engine.mapping.fhir.asking import not_followed
from engine.mapping.fhir.codes import Codes, is_coding, is_identifier, is_quantity
from engine.mapping.fhir.devices import categories, parts_of
from engine.mapping.fhir.documents import attachments, binaries_of, checked, named_binaries
from engine.mapping.fhir.identity import Incoming, Known, Problem, joined, known_by, owned
from engine.mapping.fhir.references import References, device_key
from engine.mapping.fhir.rules import STANDARD, FhirRules
from engine.mapping.model import Place

__all__ = ["FhirRun", "rules_in", "told_at"]

_IN_ERROR = {
    "AllergyIntolerance": "verificationStatus",
    "Condition": "verificationStatus",
}
_VERIFICATION = {
    "AllergyIntolerance": "http://terminology.hl7.org/CodeSystem/allergyintolerance-verification",
    "Condition": "http://terminology.hl7.org/CodeSystem/condition-ver-status",
}
_DROPPED_META = {
    "versionId": "the hub counts versions itself",
    "lastUpdated": "says which of two is older",
}


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class Made(NamedTuple):
    """A draft, and where what it says was sent; as units are asked about."""

    draft: Draft
    where: str
    segment: None = None


class _Known(NamedTuple):
    ask: Ask
    known: Known
    draft: Draft


class FhirRun(Codes, References):
    """The run of the worker."""

    tracing = False
    watching = False
    left_out: frozenset[str] = frozenset()  # types of which no resource is made

    def __init__(
        self,
        arrived: Any,
        sender: Any,
        tables: Mapping[str, Any],
        functions: Mapping[str, Any],
        identify: Callable[[str, str, str], str],
    ) -> None:
        super().__init__()
        self.arrived, self.sender, self.tables, self.identify = arrived, sender, tables, identify
        self.incoming: Incoming = arrived.incoming
        self.base: str = (self.incoming.base or str(sender.authority)).rstrip("/")
        self.flags: list[Flag] = []
        self.gaps: list[Gap] = []
        self.held: Flag | None = None
        self.systems: dict[str, str] = {}
        self.reasons: dict[str, tuple[str, str]] = {}  # place, or what it begins with -> why, state
        self.rows: list[Place] = []
        self.devices = False
        self.binaries: dict[str, Ask] = {}

    # -- notes -------------------------------------------------------------------------------------------

    def reference(self, kind: str, draft_id: str) -> dict[str, Any]:
        """Write a reference as it stands in a bundle that leaves the hub."""
        return {"reference": f"urn:uuid:{draft_id}"}

    def hold(self, code: str, where: str, text: str) -> None:
        if self.held is None:
            self.held = Flag(code, where, text, True)

    def asks(self) -> tuple[Ask, ...]:
        """Return what is asked; the twin's values remember their places."""
        asks: tuple[Ask, ...] = self.arrived.document.asks
        return asks

    # -- the whole ---------------------------------------------------------------------------------------

    def build(self, rules: FhirRules, entry_key: str) -> Built:
        """Make the drafts of the body."""
        out = Built(flags=self.flags, gaps=self.gaps)
        self.rules, self.devices, self.entry_key = rules, rules.devices, entry_key
        for _, names, place in rules.codes:
            for name in names:
                if name not in self.tables:
                    raise MapError(f"there is no table {name}", where=str(place))
        found = self._known()
        made: dict[str, Draft] = {}
        if self.held is None:
            for one in found:
                self._fill(one)
            for one in found:
                self._add(one, made)
        out.held = self.held
        out.drafts = list(made.values())
        out.nodes = [Made(d, d.type) for d in out.drafts]  # type: ignore[misc]
        return out

    def _known(self) -> list[_Known]:
        """Find out who every resource is, before any of them is read: references may go forward."""
        found: list[_Known] = []
        asks = self.asks()
        named = named_binaries(asks)
        self.binaries = binaries_of(asks)
        for ask in asks:
            problem = not_followed(ask, self.incoming.deletes, named)
            if problem is not None:
                self.hold(*problem)
            elif ask.type == "Binary":
                self.reasons[ask.place] = ("the document that names it has its bytes", "decides")
            else:
                known = known_by(ask, self.incoming, self.base, self.authority_of)
                if isinstance(known, Problem):
                    self.hold(*known)
                elif ask.type in self.left_out:
                    why = f"the store keeps no {ask.type}: the journal has the message itself"
                    self.reasons[ask.place] = (why, "ignored")
                else:
                    found.append(_Known(ask, known, self._draft(ask, known)))
        for one in found:
            if not self._of_device(one.ask):
                self.here(*one)
        for one in found:  # what a device measured is known by whom and what it is about
            if self._of_device(one.ask):
                self._measured_key(one)
                self.here(*one)
        return found

    def _of_device(self, ask: Ask) -> bool:
        return self.devices and ask.type == "Observation"

    def _draft(self, ask: Ask, known: Known) -> Draft:
        kind, keys = ask.type, known.keys
        write = "known" if ask.method == "DELETE" else known.write
        name = "".join(("_" if c.isupper() and n else "") + c.lower() for n, c in enumerate(kind))
        draft_id = self.identify(kind, *keys[0]) if keys else self._placed(kind, ask)
        made = Draft(name, kind, draft_id, {}, keys, write, map=self.rules.name, owns=owned(kind))
        made.decides = kind == "Patient" and len(keys) > 1
        return made

    def _placed(self, kind: str, ask: Ask) -> str:
        """Name what has no number by its place in the entry."""
        return self.identify(kind, "urn:hub:position", f"{self.base}|{self.entry_key}|{ask.n}")

    # -- one resource ------------------------------------------------------------------------------------

    def _fill(self, one: _Known) -> None:
        ask, _, draft = one
        if ask.method == "DELETE":
            self._delete(one)
            return
        resource = ask.resource or {}
        if resource.get("implicitRules"):
            text = "rules that the hub does not know change what it says"
            self.hold("implicit-rules", f"{ask.place}.implicitRules", text)
        body = {k: v for k, v in resource.items() if k not in ("id", "_id", "meta")}
        copied = self._object(body, ask.place, ask.type, one)
        draft.body.update(copied)
        if meta := self._meta(resource.get("meta"), ask):
            draft.body["meta"] = meta
        draft.told = _told(resource)
        if ask.type == "DocumentReference":
            self._documents(one)
        if ask.type == "Observation" and self.devices:
            self._measured(one)
        self._own_number(one)

    def _object(self, value: Mapping[str, Any], at: str, element: str, one: _Known) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, inner in value.items():
            path = f"{element}.{name}"
            left = next((p for e, p in self.rules.leave_out if e == path), None)
            if left is not None:
                self.reasons[f"{at}.{name}"] = (f"left out on purpose ({left})", "ignored")
                continue
            out[name] = self._any(inner, f"{at}.{name}", path, one)
        if is_coding(out):
            system = out["system"]
            out["system"] = self.keep(self.system_of(str(system)), system)
        elif is_identifier(out):
            system = out["system"]
            out["system"] = self.keep(self.authority_of(str(system)), system)
        if is_quantity(out):
            self.quantity(out, where_of(at, one.ask, element))
        elif isinstance(out.get("reference"), str) or isinstance(out.get("identifier"), dict):
            if element.count("."):
                self.refer(out, at, element, one.ask, one.known)
        elif (tables := self.rules.tables(element)) is not None and isinstance(out.get("coding"), list):
            self.concept(out, *tables, where_of(at, one.ask, element))
        return out

    def _any(self, value: Any, at: str, element: str, one: _Known) -> Any:
        if isinstance(value, dict):
            if "resourceType" in value:  # contained
                kind = value["resourceType"]
                return self._object(value, at, str(kind), one)
            return self._object(value, at, element, one)
        if isinstance(value, list):
            return [self._any(v, f"{at}[{n}]", element, one) for n, v in enumerate(value)]
        return value

    def _meta(self, meta: Any, ask: Ask) -> Any:
        if not isinstance(meta, dict):
            return meta
        for name, why in _DROPPED_META.items():
            self.reasons[f"{ask.place}.meta.{name}"] = (why, "decides")
        return {k: v for k, v in meta.items() if k.lstrip("_") not in _DROPPED_META}

    def _documents(self, one: _Known) -> None:
        """Put the bytes of documents where their metadata are, and hold them against these."""
        ask, _, draft = one
        for n, attachment in attachments(draft.body):
            at = f"{ask.place}.content[{n}].attachment"
            binary = self.binaries.get(str(attachment.get("url")))
            if binary is not None and binary.resource is not None and "data" in binary.resource:
                data, kind = binary.resource["data"], binary.resource.get("contentType")
                url = attachment.pop("url")
                attachment["data"] = self.keep(str(data), data, url) if isinstance(data, str) else data
                said = attachment.get("contentType", kind)
                if said == kind and isinstance(kind, str):
                    attachment["contentType"] = self.keep(str(kind), said, kind)
                elif kind is not None:
                    text = "the document has another media type than its metadata say"
                    self.hold("document-type", f"{at}.contentType", text)
            problem = checked(attachment, at)
            if problem is not None:
                self.hold(*problem)
        if draft.body.get("status") == "current":
            draft.weak = ("status",)  # once superseded it does not become current by being sent again

    def _own_number(self, one: _Known) -> None:
        """Keep the sender's own id among the numbers of a resource."""
        ask, known, draft = one
        if known.own is None:
            return
        own = (ask.resource or {}).get("id")
        element = definitions.element(draft.type, "identifier")
        number = {"system": known.own[0], "value": self.keep(str(known.own[1]), own or known.own[1])}
        held = draft.body.get("identifier")
        if element is None or (held is not None and not element.repeats):
            if own:
                self.reasons[f"{ask.place}.id"] = ("only part of its identity", "key")
        elif not element.repeats:
            draft.body["identifier"] = number
        elif held is None or isinstance(held, list):
            every = [*(held or ())]
            same = next((i for i in every if isinstance(i, dict) and _pair(i) == known.own), None)
            if same is None:
                every.append(number)
            else:
                same["value"] = self.keep(str(same["value"]), same["value"], own)
            draft.body["identifier"] = every

    def _measured_key(self, one: _Known) -> None:
        """Give an Observation of a device a key that no other Observation has."""
        ask, known, draft = one
        resource = ask.resource or {}
        stamp = self.arrived.stamp or self.entry_key
        who, what = (self._whom(resource.get(name), one) for name in ("subject", "device"))
        parts = parts_of(resource, known, who, what, stamp)
        draft.keys = tuple(device_key(self.sender.own, *p) for p in parts)
        draft.id = self.identify(draft.type, *draft.keys[0])

    def _whom(self, said: Any, one: _Known) -> str:
        """Return the number of whom or what a reference names."""
        if not isinstance(said, dict):
            return ""
        found = self.target_of(said, one.known)
        if found is not None and found.keys:
            return joined(*found.keys[0])
        named = self._object(said, one.ask.place, "Observation.subject", one)
        identifier = named.get("identifier")
        if isinstance(identifier, dict) and identifier.get("value"):
            return joined(str(identifier.get("system") or ""), str(identifier["value"]))
        return str(named.get("reference") or named.get("display") or "")

    def _measured(self, one: _Known) -> None:
        """Give an Observation of a device its own number and category."""
        ask, _, draft = one
        system, value = draft.keys[0]
        for n in categories(draft.body, self.rules.vital_signs):
            why = "a device measured it: never a result of the laboratory"
            self.reasons[f"{ask.place}.category[{n}]"] = (why, "ignored")
            self.flags.append(Flag("not-of-the-laboratory", where_of("", ask, "Observation.category"), why))
        held = draft.body.get("identifier")
        if held is None or isinstance(held, list):
            draft.body["identifier"] = [{"system": system, "value": value}, *(held or ())]

    def _delete(self, one: _Known) -> None:
        ask, _, draft = one
        status = definitions.element(draft.type, "status")
        binding = status.binding if status is not None else None
        body = draft.body
        body["resourceType"] = draft.type
        if draft.type in _IN_ERROR:
            coding = {"system": _VERIFICATION[draft.type], "code": "entered-in-error"}
            body[_IN_ERROR[draft.type]] = {"coding": [coding]}
        elif binding is not None and "entered-in-error" in definitions.codes(binding.value_set):
            body["status"] = "entered-in-error"
        else:
            text = f"a {draft.type} cannot be marked as entered in error"
            self.hold("delete-not-followed", ask.at, text)

    def _add(self, one: _Known, made: dict[str, Draft]) -> None:
        """Take a draft among those of the body: a second one of its key says the same, or waits."""
        draft = one.draft
        other = made.get(draft.id)
        if other is None:
            made[draft.id] = draft
        elif other.body == draft.body:
            return
        else:
            text = f"two entries are about the same {draft.type} and say different things"
            self.hold("duplicate-key", one.ask.place, text)


def where_of(at: str, ask: Ask, element: str) -> str:
    """Say where something stands so that the same place of any body is one: `Observation[2].code`."""
    kind, _, rest = element.partition(".")
    return f"{kind}[{ask.n}].{rest}" if ask.n >= 0 and rest else element


def _pair(identifier: Mapping[str, Any]) -> Identity:
    return str(identifier.get("system")), str(identifier.get("value"))


def _told(resource: Mapping[str, Any]) -> Told | None:
    """Return when the sender last changed it, by its own clock."""
    meta = resource.get("meta")
    said = meta.get("lastUpdated") if isinstance(meta, dict) else None
    return told_at("meta.lastUpdated", str(said)) if isinstance(said, str) else None


def told_at(kind: str, said: str) -> Told | None:
    """Read an instant; None where it is none."""
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        return None
    if at.tzinfo is None:
        return None
    first = (at - _EPOCH) // _MS
    return Told(kind, first, first + (0 if "." in said else 999))


def rules_in(messages: Mapping[str, Any], name: str) -> FhirRules:
    """Return the rules of a name. Raises MapError."""
    found = messages.get(name or STANDARD)
    if not isinstance(found, FhirRules):
        raise MapError(
            f"there are no rules {name or STANDARD}",
            where="fhir",
            remedy="mappings/fhir/rules has them; they begin with map: NAME and from: fhir",
        )
    return found
