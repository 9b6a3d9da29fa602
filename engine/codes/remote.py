"""An external terminology server (Ontoserver, Snowstorm, HAPI, tx.fhir.org) behind the same Protocol as the
embedded store.

In: its FHIR address, a time each question may take. Out: answers of `CodeService`, remembered: what is known
for a day, what is unknown for ten minutes. A server that fails several times in a row is not asked for a
while (`Breaker`); then, and whenever it is slow, an answer that was remembered is given however old it is;
where there is none `ServerAway` is raised within the time allowed. No worker waits for it: messages are
translated by tables. FHIR R4 terminology-service.html.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, cast

import httpx

from engine.kernel.errors import HubError
from engine.terminology.concepts import Concept, Match, Release, Subsumption

__all__ = ["Breaker", "RemoteCodes", "ServerAway"]

KNOWN, UNKNOWN = 86_400.0, 600.0  # seconds an answer is believed: what is there, what is not
KEPT = 50_000  # answers remembered
_NONE: Mapping[str, str] = {}
_JSON = {"Accept": "application/fhir+json", "Content-Type": "application/fhir+json"}
_SUBSUMPTIONS = ("equivalent", "subsumes", "subsumed-by", "not-subsumed")
_UNKNOWN_CODES = frozenset({"not-found", "code-invalid"})
T = TypeVar("T")


class ServerAway(HubError):
    """The terminology server did not answer in its time, or is not asked for now."""


class Breaker:
    """Stops asking a server that fails, and tries it again after a growing pause."""

    def __init__(
        self,
        failures: int = 5,
        pause: float = 30.0,
        longest: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most, self._first, self._longest, self._clock = failures, pause, longest, clock
        self._failed = 0
        self._pause = pause
        self._until = 0.0
        self._lock = threading.Lock()

    @property
    def state(self) -> Literal["closed", "open", "half-open"]:
        """Say whether questions go through, stop, or one may try."""
        if self._failed < self._most:
            return "closed"
        return "open" if self._clock() < self._until else "half-open"

    def allows(self) -> bool:
        """Say whether a question may go out now; of those who wait for the end of a pause, one."""
        with self._lock:
            if self._failed < self._most:
                return True
            if self._clock() < self._until:
                return False
            self._until = self._clock() + self._pause  # others wait for what this one finds
            return True

    def worked(self) -> None:
        """Note an answer."""
        with self._lock:
            self._failed, self._pause = 0, self._first

    def failed(self) -> None:
        """Note a failure."""
        with self._lock:
            self._failed += 1
            if self._failed > self._most:
                self._pause = min(self._pause * 2, self._longest)
            if self._failed >= self._most:
                self._until = self._clock() + self._pause


class RemoteCodes:
    """One terminology server. Safe across threads."""

    def __init__(
        self,
        url: str,
        token: str = "",
        timeout: float = 2.0,
        *,
        breaker: Breaker | None = None,
        transport: httpx.BaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        headers = {**_JSON, **({"Authorization": f"Bearer {token}"} if token else {})}
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._client = httpx.Client(
            headers=headers, timeout=httpx.Timeout(timeout, connect=min(timeout, 1.0)), transport=transport
        )
        self.breaker = breaker or Breaker(clock=clock)
        self._clock = clock
        self._kept: OrderedDict[tuple[Any, ...], tuple[float, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    # -- the questions of CodeService ------------------------------------------------------------------------

    def releases(self) -> list[Release]:
        """List the code systems that the server says it has."""

        def ask() -> list[Release]:
            said = self._get("metadata", {"mode": "terminology"}) or {}
            found = []
            for system in said.get("codeSystem", ()):
                uri = str(system.get("uri", ""))
                versions = sorted(system.get("version", ()), key=lambda v: not v.get("isDefault", False))
                found += [
                    Release(uri, str(v.get("code", "")), source=self.url) for v in versions or [{}] if uri
                ]
            return found

        return self._remembered(("releases",), ask)

    def lookup(self, system: str, code: str, version: str = "") -> Concept | None:
        """Return a concept; None when the server has no such code. Raises ServerAway."""

        def ask() -> Concept | None:
            query = {"system": system, "code": code, **({"version": version} if version else {})}
            said = self._get("CodeSystem/$lookup", query)
            return None if said is None else _concept(system, code, said)

        return self._remembered(("lookup", system, code, version), ask)

    def validate(self, system: str, code: str, display: str = "", version: str = "") -> tuple[bool, str]:
        """Tell whether a code is known and active, and what there is to say about it. Raises ServerAway."""

        def ask() -> tuple[bool, str]:
            query = {"url": system, "code": code, "display": display, "version": version}
            said = self._get("CodeSystem/$validate-code", {k: v for k, v in query.items() if v})
            if said is None:
                return False, f"{code!r} is not in {system}"
            values = _values(said)
            return values.get("result") is True, str(values.get("message", ""))

        return self._remembered(("validate", system, code, display, version), ask, lambda v: v[0])

    def subsumes(self, system: str, a: str, b: str, version: str = "") -> Subsumption | None:
        """Tell how `a` stands to `b`; None when either is not known. Raises ServerAway."""

        def ask() -> Subsumption | None:
            query = {"system": system, "codeA": a, "codeB": b, **({"version": version} if version else {})}
            said = self._get("CodeSystem/$subsumes", query)
            outcome = _values(said).get("outcome") if said is not None else None
            return cast("Subsumption", outcome) if outcome in _SUBSUMPTIONS else None

        return self._remembered(("subsumes", system, a, b, version), ask)

    def translate(self, system: str, code: str, target: str, version: str = "") -> list[Match]:
        """Return what the server's maps say a code is in `target`. Raises ServerAway."""

        def ask() -> list[Match]:
            query = {"system": system, "code": code, "targetsystem": target, "version": version}
            said = self._get("ConceptMap/$translate", {k: v for k, v in query.items() if v})
            return [] if said is None else _matches(said, self.url)

        return self._remembered(("translate", system, code, target, version), ask)

    def search(
        self, system: str, text: str, limit: int = 50, offset: int = 0, properties: Mapping[str, str] = _NONE
    ) -> list[Concept]:
        """Find concepts by words of their names. Raises ServerAway."""

        def ask() -> list[Concept]:
            include: dict[str, Any] = {"system": system}
            if properties:
                include["filter"] = [
                    {"property": k, "op": "=", "value": v} for k, v in sorted(properties.items())
                ]
            value_set = {"resourceType": "ValueSet", "status": "active", "compose": {"include": [include]}}
            sent: list[dict[str, Any]] = [
                {"name": "valueSet", "resource": value_set},
                {"name": "count", "valueInteger": limit},
                {"name": "offset", "valueInteger": offset},
            ]
            if text:
                sent.append({"name": "filter", "valueString": text})
            said = self._ask(
                "POST", "ValueSet/$expand", body={"resourceType": "Parameters", "parameter": sent}
            )
            contains = (said or {}).get("expansion", {}).get("contains", ())
            return [
                Concept(
                    str(c.get("system", system)),
                    str(c.get("code", "")),
                    str(c.get("display", "")),
                    not c.get("inactive", False),
                    str(c.get("version", "")),
                )
                for c in contains
            ]

        key = ("search", system, text, limit, offset, *sorted(properties.items()))
        return self._remembered(key, ask)

    # -- asking ----------------------------------------------------------------------------------------------

    def _remembered(
        self, key: tuple[Any, ...], ask: Callable[[], T], is_known: Callable[[T], bool] = bool
    ) -> T:
        """Answer from memory, or ask; when the server is away, what was remembered will do however old."""
        with self._lock:
            held = self._kept.get(key)
            if held is not None:
                self._kept.move_to_end(key)
        if held is not None and self._clock() < held[0]:
            return cast("T", held[1])
        try:
            answer = ask()
        except ServerAway:
            if held is not None:
                return cast("T", held[1])
            raise
        with self._lock:
            self._kept[key] = (self._clock() + (KNOWN if is_known(answer) else UNKNOWN), answer)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return answer

    def _get(self, path: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        return self._ask("GET", path, query)

    def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> dict[str, Any] | None:
        """Put one question; None where the server says that it does not know. Raises ServerAway, HubError."""
        if not self.breaker.allows():
            raise ServerAway(
                "the terminology server is not asked for now", where=self.url, why="it failed several times"
            )
        try:
            answer = self._read(method, path, query, body)
        except httpx.HTTPError as e:
            self.breaker.failed()
            raise ServerAway(
                "the terminology server does not answer", where=self.url, why=type(e).__name__
            ) from None
        if answer.status_code >= 500 or answer.status_code == 429:
            self.breaker.failed()
            raise ServerAway(
                "the terminology server cannot answer", where=self.url, why=f"status {answer.status_code}"
            )
        self.breaker.worked()
        try:
            said = answer.json()
        except ValueError:
            said = None
        if answer.status_code == 200 and isinstance(said, dict):
            return said
        if answer.status_code == 404 or _issues(said) & _UNKNOWN_CODES:
            return None
        raise HubError(
            "the terminology server refuses the question",
            where=f"{self.url}/{path}",
            why=f"status {answer.status_code}",
            remedy="see whether the address is its FHIR endpoint, and the token is right",
        )

    def _read(
        self, method: str, path: str, query: Mapping[str, str] | None, body: dict[str, Any] | None
    ) -> httpx.Response:
        """Read one answer; a server that sends drop by drop ends with the time allowed for all of it."""
        end = self._clock() + self._timeout
        with self._client.stream(method, f"{self.url}/{path}", params=query, json=body) as answer:
            parts = []
            for part in answer.iter_bytes():
                parts.append(part)
                if self._clock() > end:
                    raise httpx.ReadTimeout("the answer takes too long")
            headers = {"Content-Type": answer.headers.get("content-type", "")}
            return httpx.Response(answer.status_code, headers=headers, content=b"".join(parts))


def _issues(said: Any) -> frozenset[str]:
    if not isinstance(said, dict):
        return frozenset()
    return frozenset(str(i.get("code", "")) for i in said.get("issue", ()) if isinstance(i, dict))


def _value(part: Mapping[str, Any]) -> Any:
    return next((v for k, v in part.items() if k.startswith("value")), None)


def _values(said: Mapping[str, Any]) -> dict[str, Any]:
    return {str(p.get("name")): _value(p) for p in said.get("parameter", ())}


def _concept(system: str, code: str, said: Mapping[str, Any]) -> Concept:
    """Read the answer of $lookup."""
    values = _values(said)
    properties: dict[str, str] = {}
    parents: list[str] = []
    active = True
    for one in said.get("parameter", ()):
        if one.get("name") != "property":
            continue
        parts = {str(p.get("name")): _value(p) for p in one.get("part", ())}
        name, value = str(parts.get("code", "")), parts.get("value", parts.get("valueString"))
        if isinstance(value, dict):
            value = value.get("code", "")
        if name == "parent":
            parents.append(str(value))
        elif name == "inactive":
            active = value not in (True, "true")
        elif value is not None:
            text = ("true" if value else "false") if isinstance(value, bool) else str(value)
            properties[name] = f"{properties[name]}\n{text}" if name in properties else text
    display, version = str(values.get("display") or ""), str(values.get("version") or "")
    return Concept(system, code, display, active, version, properties, tuple(parents))


def _matches(said: Mapping[str, Any], url: str) -> list[Match]:
    """Read the answer of $translate."""
    found = []
    for one in said.get("parameter", ()):
        if one.get("name") != "match":
            continue
        parts = {str(p.get("name")): _value(p) for p in one.get("part", ())}
        concept = parts.get("concept")
        equivalence = str(parts.get("equivalence", ""))
        if isinstance(concept, dict) and concept.get("code") and equivalence not in ("unmatched", "disjoint"):
            system, code, display = (str(concept.get(k, "")) for k in ("system", "code", "display"))
            found.append(Match(system, code, display, equivalence, str(parts.get("source") or url)))
    return found
