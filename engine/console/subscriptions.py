"""`/fhir/Subscription`: programs ask to be called when something matches a search (R4 subscription.html).

In: `Ask`s. Out: `Reply`s. Create, update, delete, read and search, each of a caller's own only. The server
decides the status: `requested` becomes `active`, `off` stays off, `error` says why. What a subscription may
tell is what its owner may read: the type of its criteria, of everybody, not of one patient.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from engine.channels.subscribing.wanted import Unwanted, Wanted, headers_of, read_wanted
from engine.console.exchange import Ask, Reply
from engine.console.parameters import parameters, searchable
from engine.console.refusals import Refusal, named
from engine.console.sight import insufficient
from engine.fhir import jsonio
from engine.fhir.validate import validate
from engine.kernel.clock import iso
from engine.kernel.errors import FormatError, HubError, StoreUnavailable
from engine.kernel.subscription_settings import SubscriptionSettings
from engine.staff.subscriptions import Subscription, Subscriptions
from engine.store.search import SearchError
from engine.store.sql import SqlStore

__all__ = ["INTERACTIONS", "KIND", "SubscriptionDesk"]

KIND = "Subscription"
INTERACTIONS = ("create", "read", "update", "delete", "search-type")
MEDIA = "application/fhir+json; charset=utf-8"
_HIDDEN = "********"
_TYPES = ("application/fhir+json", "application/json")


class SubscriptionDesk:
    """Answers for subscriptions."""

    def __init__(self, store: SqlStore, kept: Subscriptions, settings: SubscriptionSettings) -> None:
        self._store, self._kept, self._settings = store, kept, settings

    @property
    def on(self) -> bool:
        """Say whether there may be subscriptions at all."""
        return bool(self._settings.hosts)

    def answer(self, ask: Ask, pretty: bool) -> Reply:
        """Answer one request below `/fhir/Subscription`. Raises Refusal."""
        if not self.on:
            raise Refusal(
                403, "there are no subscriptions here: whoever runs the hub names hosts under subscriptions:"
            )
        match ask.method, ask.path[1:]:
            case "POST", ():
                return self._create(ask, pretty)
            case (("GET" | "HEAD"), ()):
                return self._search(ask, pretty)
            case (("GET" | "HEAD"), (id_,)):
                found = self._own(ask, "r", id_)
                return self._reply(200, found, pretty, "read")
            case "PUT", (id_,):
                return self._update(ask, id_, pretty)
            case "DELETE", (id_,):
                found = self._own(ask, "d", id_)
                self._kept.delete(id_)
                return Reply(204, b"", MEDIA, {}, "delete", f"{KIND}/{id_}", found.criteria)
        raise Refusal(405, "a Subscription is created, read, updated, deleted or searched without parameters")

    def _create(self, ask: Ask, pretty: bool) -> Reply:
        _may(ask, KIND, "c")
        body, wanted = self._read(ask)
        status = body.get("status")
        if status not in ("requested", "active"):  # R4: a client submits it as requested
            raise Refusal(422, "status: a new Subscription is requested", code="business-rule")
        try:
            made = self._kept.make(
                ask.caller.who, wanted.kind, body, self._store.head(), _end(body), self._settings.most
            )
        except StoreUnavailable:
            raise
        except HubError as e:
            raise Refusal(422, f"{e.what}; {e.remedy}", code="too-costly") from None
        reply = self._reply(201, made, pretty, "create")
        reply.headers["Location"] = f"{ask.base}/{KIND}/{made.id}/_history/{made.version}"
        return reply

    def _update(self, ask: Ask, id_: str, pretty: bool) -> Reply:
        known = self._own(ask, "u", id_)
        if (match := ask.headers.get("if-match")) and match != f'W/"{known.version}"':
            raise Refusal(412, "somebody has changed it since", code="conflict", what=f"{KIND}/{id_}")
        body, wanted = self._read(ask, known)
        if body.get("id") != id_:
            raise Refusal(400, "the id of the resource is not that of its address")
        status = "off" if body.get("status") == "off" else "requested"
        made = self._kept.change(id_, wanted.kind, body, status, self._store.head(), _end(body))
        if made is None:
            raise Refusal(404, "there is no Subscription with this id", what=KIND)
        return self._reply(200, made, pretty, "update")

    def _read(self, ask: Ask, known: Subscription | None = None) -> tuple[dict[str, Any], Wanted]:
        """Read and check the resource that was sent. Raises Refusal."""
        if ask.headers.get("content-type", "").partition(";")[0].strip().lower() not in _TYPES:
            raise Refusal(415, "a resource comes as application/fhir+json")
        try:
            body = jsonio.loads(ask.body)
        except FormatError:
            raise Refusal(400, "this is no JSON", code="structure") from None
        if not isinstance(body, dict) or body.get("resourceType") != KIND:
            raise Refusal(400, "this is no Subscription", code="structure")
        problems = validate(body)
        if problems:
            raise Refusal(422, f"{problems[0].path}: {problems[0].text}", code="invalid", what=KIND)
        if known is not None:
            _put_back(body, known.body)
        try:
            wanted = read_wanted(body, self._settings.hosts)
        except Unwanted as e:
            raise Refusal(422, str(e), code="business-rule", what=KIND) from None
        self._check_criteria(ask, wanted)
        return body, wanted

    def _check_criteria(self, ask: Ask, wanted: Wanted) -> None:
        """Refuse a search that this hub does not answer, or that the caller may not ask."""
        if wanted.kind not in searchable() or wanted.kind in (KIND, "Provenance"):
            raise Refusal(422, "criteria: this type cannot be searched here", code="not-supported")
        if any(ask.caller.limit(wanted.kind, may) is not None for may in "rs"):
            raise insufficient(f"system/{wanted.kind}.rs")
        for name, _ in wanted.query:
            bare, _, modifier = name.partition(":")
            if bare not in parameters(wanted.kind) or modifier not in ("", "Patient"):
                offered = ", ".join(sorted(parameters(wanted.kind)))
                raise Refusal(
                    422,
                    f"criteria: {named(name)} is not supported; supported for {wanted.kind}: {offered}",
                    code="not-supported",
                )
        try:
            self._store.search(wanted.kind, [pair for pair in wanted.query if pair[1]], 1)
        except SearchError as e:
            where = f"{named(e.where)}: " if e.where else ""
            raise Refusal(422, f"criteria: {where}{e.what}", code="invalid") from None

    def _own(self, ask: Ask, may: str, id_: str) -> Subscription:
        """Return a subscription of the caller. Raises Refusal."""
        _may(ask, KIND, may)
        found = self._kept.get(id_)
        if found is None or found.owner != ask.caller.who:
            raise Refusal(404, "there is no Subscription with this id", what=KIND)
        return found

    def _search(self, ask: Ask, pretty: bool) -> Reply:
        _may(ask, KIND, "s")
        if any(name not in ("_format", "_pretty", "_count") for name, _ in ask.query):
            raise Refusal(400, "Subscriptions are searched without parameters", code="not-supported")
        found = self._kept.all(owner=ask.caller.who)
        bundle: dict[str, Any] = {
            "resourceType": "Bundle",
            "type": "searchset",
            "total": len(found),
            "link": [{"relation": "self", "url": f"{ask.base}/{KIND}"}],
        }
        if found:
            bundle["entry"] = [
                {
                    "fullUrl": f"{ask.base}/{KIND}/{one.id}",
                    "resource": _resource(one),
                    "search": {"mode": "match"},
                }
                for one in found
            ]
        return _json(200, bundle, pretty, "search", KIND, f"found {len(found)}")

    def _reply(self, status: int, one: Subscription, pretty: bool, action: str) -> Reply:
        reply = _json(status, _resource(one), pretty, action, f"{KIND}/{one.id}", one.criteria)
        reply.headers["ETag"] = f'W/"{one.version}"'
        return reply


def _resource(one: Subscription) -> dict[str, Any]:
    """Return a subscription as it is now; the values of its headers are secrets and are not shown."""
    body = {k: v for k, v in one.body.items() if k not in ("resourceType", "id", "meta", "status", "error")}
    channel = dict(body["channel"])
    if channel.get("header"):
        channel["header"] = [f"{name}: {_HIDDEN}" for name in headers_of(channel["header"])]
    said: dict[str, Any] = {
        "resourceType": KIND,
        "id": one.id,
        "meta": {"versionId": str(one.version), "lastUpdated": iso(one.updated)},
        "status": one.status,
        **body,
        "channel": channel,
    }
    return said | ({"error": one.error} if one.error else {})


def _put_back(body: dict[str, Any], known: dict[str, Any]) -> None:
    """Take the values of headers that are sent back hidden from what is known."""
    channel = body.get("channel") or {}
    kept = headers_of(known["channel"].get("header") or [])
    if isinstance(channel.get("header"), list):
        channel["header"] = [
            f"{name}: {kept[name]}"
            if (name := str(line).partition(":")[0].strip()) in kept and str(line).endswith(_HIDDEN)
            else line
            for line in channel["header"]
        ]


def _may(ask: Ask, kind: str, interaction: str) -> None:
    if not ask.caller.scopes.contexts(kind, interaction) & {"system", "user"}:
        raise insufficient(f"system/{kind}.{interaction}")


def _end(body: dict[str, Any]) -> int | None:
    text = body.get("end")
    if not text:
        return None
    at = datetime.fromisoformat(str(text))
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _json(status: int, body: dict[str, Any], pretty: bool, action: str, what: str, detail: str = "") -> Reply:
    text = jsonio.dumps_pretty(body) if pretty else jsonio.dumps(body)
    return Reply(status, text, MEDIA, {}, action, what, detail)
