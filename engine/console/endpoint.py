"""The read-only FHIR R4 endpoint: read, vread, history and search of one core store (FHIR R4 http.html,
search.html).

In: `Ask`s below `/fhir`. Out: `Reply`s with resources, Bundles or OperationOutcomes, and what the audit table
is to know. Bodies keep every digit (`engine.fhir.jsonio`). A `next` link holds the search sealed, so that no
identifier stands in its URL. Synchronous; calls come from several threads.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from engine.console.capability import capability
from engine.console.continuations import Continuation, Pages
from engine.console.documents import document_asked, retrieved, with_addresses
from engine.console.exchange import Ask, Reply
from engine.console.negotiation import lenient, negotiate, split_general
from engine.console.parameters import parameters, searchable
from engine.console.refusals import Refusal, named, outcome
from engine.console.sight import searched, shows
from engine.console.subscriptions import SubscriptionDesk
from engine.console.terminology import TerminologyDesk
from engine.fhir import jsonio
from engine.kernel.clock import iso, now_ms
from engine.security.keys import Keyring
from engine.store.read import StoredVersion
from engine.store.search import Page, SearchError
from engine.store.sql import SqlStore

__all__ = ["MEDIA", "Endpoint"]

MEDIA = "application/fhir+json; charset=utf-8"
_COUNT, _MOST = 50, 1000
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}").fullmatch

Pairs = Sequence[tuple[str, str]]


class Endpoint:
    """Answers FHIR requests from one store."""

    def __init__(
        self,
        store: SqlStore,
        keyring: Keyring,
        hub: str,
        terminology: TerminologyDesk | None = None,
        issued: bool = False,
        subscriptions: SubscriptionDesk | None = None,
    ) -> None:
        self._store = store
        self._terminology, self._subscriptions = terminology, subscriptions
        self._pages = Pages(keyring)
        self._hub = hub
        self._started = now_ms()
        self._issued = issued

    def answer(self, ask: Ask) -> Reply:
        """Answer one request; every refusal is an OperationOutcome. Raises only what the store raises."""
        try:
            if (document := document_asked(ask)) is not None:
                only = ask.caller.limit("DocumentReference", "r")
                return retrieved(ask, *document, lambda kind, id_: self._current(kind, id_, only))
            pretty = negotiate(ask)
            return self._answer(ask, pretty)
        except Refusal as refused:
            return refusal(refused)

    def metadata(self, ask: Ask) -> Reply:
        """Answer with the CapabilityStatement."""
        try:
            subscribed = self._subscriptions is not None and self._subscriptions.on
            made = capability(self._hub, ask.base, self._started, self._issued, subscribed)
            if ("mode", "terminology") in ask.query and self._terminology is not None:
                made = self._terminology.capabilities(self._hub, ask.base, self._started)
            return _reply(200, made, negotiate(ask), "capabilities", "metadata")
        except Refusal as refused:
            return refusal(refused)

    def _answer(self, ask: Ask, pretty: bool) -> Reply:
        if self._terminology is not None and ask.path and ask.path[-1].startswith("$"):
            resource, name, said = self._terminology.answer(ask)
            return _reply(200, resource, pretty, name, ask.path[0], said)
        if ask.path[:1] == ("Subscription",) and self._subscriptions is not None:
            return self._subscriptions.answer(ask, pretty)
        match ask.path:
            case (kind, "_search") if ask.method == "POST":
                if ask.form is None:
                    raise Refusal(415, "a search by POST sends application/x-www-form-urlencoded")
                return self._search(ask, kind, (*ask.query, *ask.form), pretty)
            case _ if ask.method not in ("GET", "HEAD"):
                raise Refusal(
                    405,
                    f"{ask.method} is not supported here: this endpoint is read-only",
                    headers={"Allow": "POST" if ask.path[1:] == ("_search",) else "GET, HEAD"},
                )
            case (_, "_search"):
                raise Refusal(405, "_search is for POST", headers={"Allow": "POST"})
            case (kind,):
                return self._search(ask, kind, ask.query, pretty)
            case (kind, id_):
                return self._read(ask, _kind(kind), id_, pretty)
            case (kind, id_, "_history"):
                return self._history(ask, _kind(kind), id_, pretty)
            case (kind, id_, "_history", version):
                return self._vread(ask, _kind(kind), id_, version, pretty)
            case _:
                raise Refusal(
                    404,
                    "there is nothing at this address; /fhir/metadata says what there is",
                    code="not-supported",
                )

    # -- one resource

    def _read(self, ask: Ask, kind: str, id_: str, pretty: bool) -> Reply:
        _only_general(ask, kind)
        only = ask.caller.limit(kind, "r")
        found = self._store.read(kind, id_) if _ID(id_) else None
        if found is not None and not self._shows(found, only):
            raise Refusal(404, f"there is no {kind} with this id", what=f"{kind}/{id_}")
        if found is None:
            if _ID(id_) and self._store.gone(kind, id_) and self._versions(kind, id_, only):
                raise Refusal(
                    410, f"this {kind} has been deleted; its versions are at _history", what=f"{kind}/{id_}"
                )
            raise Refusal(404, f"there is no {kind} with this id", what=kind)
        shown = with_addresses(found, ask.base)
        return _conditional(ask, found, _reply(200, shown, pretty, "read", f"{kind}/{id_}"))

    def _current(self, kind: str, id_: str, only: str | None) -> dict[str, Any] | None:
        """Return a resource, where who is limited to a patient may see it."""
        found = self._store.read(kind, id_)
        return found if found is not None and self._shows(found, only) else None

    def _vread(self, ask: Ask, kind: str, id_: str, version: str, pretty: bool) -> Reply:
        _only_general(ask, kind)
        number = int(version) if version.isascii() and version.isdigit() and len(version) < 10 else 0
        only = ask.caller.limit(kind, "r")
        found = self._store.vread(kind, id_, number) if number and _ID(id_) else None
        if found is not None and only is not None:
            seen = [v.version for v in self._versions(kind, id_, only)]
            found = found if found.version in seen else None
        if found is None:
            raise Refusal(404, f"there is no such version of a {kind} with this id", what=kind)
        what = f"{kind}/{id_}/_history/{number}"
        if found.resource is None:
            raise Refusal(410, f"version {number} is the deletion of this {kind}", what=what)
        return _conditional(ask, found.resource, _reply(200, found.resource, pretty, "vread", what))

    def _history(self, ask: Ask, kind: str, id_: str, pretty: bool) -> Reply:
        if kind == "Provenance":
            raise Refusal(
                404, "Provenance has no versions: it is made from the history", code="not-supported"
            )
        pairs, page = self._opened(ask.query, f"{kind}/{id_}/_history")
        pairs, _ = _known(pairs, {"_since"}, kind, lenient(ask))
        count = page.count if page else _count(ask.query)
        since = next((_instant(v) for k, v in pairs if k == "_since"), None)
        versions = self._versions(kind, id_, ask.caller.limit(kind, "r")) if _ID(id_) else []
        if not versions:
            raise Refusal(404, f"there is no {kind} with this id", what=kind)
        total = [v for v in versions if since is None or v.at >= since]
        below = int(page.cursor) if page and page.cursor else 0
        rest = [v for v in total if not below or v.version < below]
        shown = rest[:count]
        address = f"{ask.base}/{kind}/{id_}/_history"
        bundle: dict[str, Any] = {
            "resourceType": "Bundle",
            "type": "history",
            "total": len(total),
            "link": [_self(address, page, ask, pairs, count)],
        }
        if len(rest) > count:
            bundle["link"].append(
                self._next(
                    address, Continuation(f"{kind}/{id_}/_history", pairs, count, str(shown[-1].version))
                )
            )
        if shown:
            bundle["entry"] = [_version_entry(ask.base, v) for v in shown]
        return _reply(200, bundle, pretty, "history", f"{kind}/{id_}", f"versions {len(shown)}")

    def _versions(self, kind: str, id_: str, only: str | None) -> list[StoredVersion]:
        """Return the versions that may be seen, newest first; a deletion, where one before it may be."""
        found = self._store.history(kind, id_)
        if only is None:
            return found
        seen = [v for v in found if v.resource is None or self._shows(v.resource, only)]
        oldest = min((v.version for v in seen if v.resource is not None), default=0)
        return [v for v in seen if oldest and v.version >= oldest]

    def _shows(self, found: dict[str, Any], only: str | None) -> bool:
        return shows(found, only, self._store.read)

    # -- search

    def _search(self, ask: Ask, kind: str, query: Pairs, pretty: bool) -> Reply:
        kind = _kind(kind)
        pairs, page = self._opened(query, kind)
        pairs, ignored = _known(pairs, set(parameters(kind)), kind, lenient(ask))
        count = page.count if page else _count(query)
        if kind == "Provenance" and not pairs:
            raise Refusal(400, "Provenance is searched by target=Type/id alone", code="required", what=kind)
        only = ask.caller.limit(kind, "s")
        try:
            found = self._found(kind, pairs, count, page.cursor if page else None, only)
        except SearchError as e:
            text = f"search parameter {named(e.where)}: {e.what}" if e.where else e.what
            raise Refusal(
                400, text + (f"; {e.remedy}" if e.remedy else ""), code="invalid", what=kind
            ) from None
        address = f"{ask.base}/{kind}"
        bundle: dict[str, Any] = {
            "resourceType": "Bundle",
            "type": "searchset",
            "link": [_self(address, page, ask, pairs, count)],
        }
        if found.cursor:
            bundle["link"].append(self._next(address, Continuation(kind, pairs, count, found.cursor)))
        entries: list[dict[str, Any]] = [
            {
                "fullUrl": f"{ask.base}/{kind}/{resource['id']}",
                "resource": with_addresses(resource, ask.base),
                "search": {"mode": "match"},
            }
            for resource in found.resources
        ]
        if ignored:
            text = f"ignored, because they are not supported for {kind}: " + ", ".join(map(named, ignored))
            entries.append(
                {"resource": outcome(text, "not-supported", "warning"), "search": {"mode": "outcome"}}
            )
        if entries:
            bundle["entry"] = entries
        asked = " ".join(f"{k}={v}" for k, v in pairs)
        ids = " ".join(resource["id"] for resource in found.resources)
        return _reply(200, bundle, pretty, "search", kind, f"{asked} found {len(found.resources)}: {ids}")

    def _found(self, kind: str, pairs: Pairs, count: int, cursor: str | None, only: str | None) -> Page:
        """Search what the caller may see. Raises SearchError."""
        if only is None or kind == "Provenance":
            found = self._store.search(kind, pairs, count, cursor)
        elif (own := searched(kind, only)) is not None:
            found = self._store.search(kind, [*pairs, own], count, cursor)
        else:
            return Page([], None)
        return Page([r for r in found.resources if self._shows(r, only)], found.cursor)

    def _opened(self, query: Pairs, scope: str) -> tuple[tuple[tuple[str, str], ...], Continuation | None]:
        """Return what is searched for: the parameters of the query, or those sealed in its `_page`."""
        rest = split_general(query)
        tokens = [value for name, value in rest if name == "_page"]
        if not tokens:
            return tuple((k, v) for k, v in rest if k != "_count"), None
        if len(rest) > 1:
            raise Refusal(400, "_page stands alone: it holds the whole search")
        page = self._pages.open(tokens[0], scope)
        return page.pairs, page

    def _next(self, address: str, page: Continuation) -> dict[str, str]:
        return {"relation": "next", "url": f"{address}?_page={self._pages.seal(page)}"}


def refusal(refused: Refusal) -> Reply:
    """Make the answer of a refusal."""
    body = jsonio.dumps(outcome(refused.text, refused.code))
    return Reply(refused.status, body, MEDIA, dict(refused.headers), "refused", refused.what)


def _kind(kind: str) -> str:
    if kind not in searchable():
        raise Refusal(404, "this is no FHIR R4 resource type of this endpoint", code="not-supported")
    return kind


def _only_general(ask: Ask, kind: str) -> None:
    _known(split_general(ask.query), set(), kind, lenient(ask))


def _known(
    pairs: Pairs, known: set[str], kind: str, ignore: bool
) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """Return the parameters that are supported, and the names of those that may be ignored; refuse the
    others.
    """
    kept, ignored = [], []
    for name, value in pairs:
        bare, _, modifier = name.partition(":")
        if bare in known and modifier in ("", "Patient" if bare in ("patient", "subject") else ""):
            if value:  # an empty parameter is none (R4 search.html)
                kept.append((name, value))
        else:
            ignored.append(name)
    if ignored and not ignore:
        offered = ", ".join(sorted(known)) or "none"
        raise Refusal(
            400,
            f"the parameter {named(ignored[0])} is not supported here; supported for {kind}: {offered}. "
            "Prefer: handling=lenient ignores it",
            code="not-supported",
            what=kind,
        )
    return tuple(kept), ignored


def _count(query: Pairs) -> int:
    values = [value for name, value in query if name == "_count"]
    if not values:
        return _COUNT
    if len(values) > 1 or not (values[0].isascii() and values[0].isdigit()) or int(values[0][:9]) < 1:
        raise Refusal(400, "search parameter '_count' takes one number, 1 or more")
    return min(int(values[0][:9]), _MOST)


def _self(address: str, page: Continuation | None, ask: Ask, pairs: Pairs, count: int) -> dict[str, str]:
    """Name the search that was done: what was ignored is left out (R4 search.html#conformance)."""
    if page is not None:
        tokens = [v for k, v in (*ask.query, *(ask.form or ())) if k == "_page"]
        return {"relation": "self", "url": f"{address}?_page={tokens[0]}"}
    return {"relation": "self", "url": f"{address}?{urlencode([*pairs, ('_count', str(count))], safe='|:/')}"}


def _instant(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(
            400, "search parameter '_since' takes an instant such as 2026-05-01T14:10:00Z"
        ) from None
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _version_entry(base: str, version: StoredVersion) -> dict[str, Any]:
    """Make one entry of a history Bundle (R4 http.html#history)."""
    address = f"{version.type}/{version.id}"
    method, status = {"create": ("POST", "201"), "delete": ("DELETE", "204")}.get(version.op, ("PUT", "200"))
    entry: dict[str, Any] = {
        "fullUrl": f"{base}/{address}",
        "request": {"method": method, "url": version.type if method == "POST" else address},
        "response": {"status": status, "etag": f'W/"{version.version}"', "lastModified": iso(version.at)},
    }
    if version.resource is not None:
        entry["resource"] = version.resource
    return entry


def _reply(
    status: int, body: dict[str, Any], pretty: bool, action: str, what: str, detail: str = ""
) -> Reply:
    text = jsonio.dumps_pretty(body) if pretty else jsonio.dumps(body)
    return Reply(status, text, MEDIA, {}, action, what, detail)


def _conditional(ask: Ask, resource: dict[str, Any], reply: Reply) -> Reply:
    """Add ETag and Last-Modified, and answer 304 where the asker has this version (R4 http.html#cread)."""
    meta = resource["meta"]
    modified = datetime.fromisoformat(meta["lastUpdated"]).replace(microsecond=0)
    reply.headers["Last-Modified"] = format_datetime(modified.astimezone(UTC), usegmt=True)
    etag = f'W/"{meta["versionId"]}"' if "versionId" in meta else ""
    if etag:
        reply.headers["ETag"] = etag
    have = ask.headers.get("if-none-match")
    same = False
    if have is not None:
        weak = [one.strip().removeprefix("W/") for one in have.split(",")]
        same = "*" in weak or (bool(etag) and etag.removeprefix("W/") in weak)
    elif since := ask.headers.get("if-modified-since"):
        try:
            same = modified <= parsedate_to_datetime(since)
        except (ValueError, TypeError):
            same = False  # a date that is none is ignored (RFC 9110, 13.1.3)
    if same:
        reply.status, reply.body = 304, b""
    return reply
