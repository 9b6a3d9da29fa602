"""Where a resource of ours is at a server that gives ids of its own, for references from another
transaction.

In: a name of ours, and the address that the server gave when it was written. Out: an address that is
certain. A transaction-response tells its entries apart by their order alone, and a mother and her newborn
may stand in one transaction: before anything refers to an address from outside, the resource there is read
and must carry our identifier. Where it does not, or no address was given, the server is searched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from engine.destinations.fhir_addresses import Addresses
from engine.destinations.fhir_client import Answer
from engine.destinations.fhir_judging import Judged, judged_http
from engine.destinations.fhir_written import There, Written
from engine.destinations.http_answers import retry_after
from engine.fhir import jsonio
from engine.kernel.delivery import Receipt
from engine.kernel.errors import FormatError

__all__ = ["Finding", "Stopped", "stop"]


class Stopped(Exception):
    """The parcel ended here."""

    def __init__(self, receipt: Receipt) -> None:
        super().__init__(receipt.why)
        self.receipt = receipt


def stop(judged: Judged, answer: Answer, what: str = "") -> NoReturn:
    """End the parcel with what an answer means."""
    wait = retry_after(answer.headers)
    raise Stopped(Receipt(judged.verdict, what + judged.why, wait=wait, down=judged.down))


class Finding:
    """Finds addresses at one server; `get` asks it and may raise Stopped."""

    def __init__(self, get: Callable[[str], Answer], addresses: Addresses, written: Written) -> None:
        self._get, self._addresses, self._written = get, addresses, written
        self.relied = False  # whether an address of an earlier parcel was used without asking

    def address(self, name: str, said: str = "") -> str:
        """Return the address of a resource of ours, or nothing where the server has none. `said` is what it
        called it a moment ago."""
        known = self._written.has(name)
        if known is not None and known.sure:
            self.relied = True
            return known.address
        known = self._written.of(name)
        likely = said or (known.address if known is not None else "")
        found = likely if likely and self._is_ours(likely, name) else self._searched(name)
        if found:
            known = known or There(0)
            self._written.note({name: known._replace(address=found, sure=True)})
        return found

    def has_changed(self, address: str, name: str, version: str) -> bool:
        """Read what is at an address; say whether it is in another version than an If-Match named."""
        answer = self._get(address)
        if answer.status in (404, 410):
            return True
        held = (self._body(answer, name).get("meta") or {}).get("versionId")
        return version not in (answer.headers.get("etag"), f'W/"{held}"')

    def _is_ours(self, address: str, name: str) -> bool:
        """Read what is at an address; say whether it carries our identifier of this resource."""
        answer = self._get(address)
        if answer.status in (404, 410):
            return False
        body = self._body(answer, name)
        own = self._addresses.carried(body)
        return body.get("resourceType") == name.partition("/")[0] and name.partition("/")[2] in own

    def _searched(self, name: str) -> str:
        kind = name.partition("/")[0]
        bundle = self._body(self._get(f"{kind}?{self._addresses.query(name)}&_count=2"), name)
        held = [e.get("resource") or {} for e in bundle.get("entry") or () if isinstance(e, dict)]
        # what does not carry it was found by a server that ignores the search
        ids = [str(one.get("id")) for one in held if name.partition("/")[2] in self._addresses.carried(one)]
        if len(ids) > 1:
            raise Stopped(Receipt("park", f"several {kind} there carry our identifier"))
        return f"{kind}/{ids[0]}" if ids else ""

    def _body(self, answer: Answer, name: str) -> dict[str, Any]:
        what = f"looking for a {name.partition('/')[0]}: "
        judged = judged_http(answer.status, answer.body)
        if judged.verdict != "sent":
            stop(judged, answer, what)
        try:
            body = jsonio.loads(answer.body)
        except FormatError:
            body = None
        if not isinstance(body, dict):
            stop(Judged("retry", "the answer is no resource", True), answer, what)
        return body
