"""Puts pieces to a FHIR server in transactions, or one by one, and reads what came of each.

In: pieces, in any order. Out: nothing but the server's own name of the first; or `Stopped` with the receipt
that says where it ended. A transaction that is too long for the server is halved. A transaction-response of
another length tells of no entry for certain: then every resource goes by itself, which is safe because
everything may be sent again. A server that answers 200 with entries that failed is not atomic, and the
receipt says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from engine.destinations.fhir_addresses import Addresses
from engine.destinations.fhir_client import Answer, FhirClient, Unreached
from engine.destinations.fhir_finding import Finding, Stopped, stop
from engine.destinations.fhir_judging import (
    CHANGED,
    Judged,
    Landed,
    address_in,
    judged_entry,
    judged_http,
    landed,
    told,
)
from engine.destinations.fhir_pieces import Piece, groups
from engine.destinations.fhir_settings import FhirSettings
from engine.destinations.fhir_written import There, Written
from engine.fhir import jsonio
from engine.kernel.delivery import Receipt

__all__ = ["Sending"]

_WORST = ("sent", "refuse", "park", "retry")  # what may pass comes first: all of it is sent again


class _TooLong(Exception):
    """The server takes no transaction of this length."""


class Sending:
    """Writes to one server."""

    def __init__(
        self, client: FhirClient, addresses: Addresses, written: Written, settings: FhirSettings
    ) -> None:
        self._client, self._addresses, self._written = client, addresses, written
        self.finding = Finding(lambda path: self._asked("GET", path, None, {}, ()), addresses, written)
        self._transactions = settings.transactions
        self._most = settings.entries if settings.transactions else 1
        self._guarded = settings.changed_there == "park"

    def write(self, found: Sequence[Piece]) -> str:
        """Write all pieces; return the server's address of the first that is not only mentioned."""
        there: dict[str, str] = {}
        waiting = groups(found, self._most)
        done = 0
        while waiting:
            group = waiting[0]
            try:
                self._group(group, there)
            except _TooLong:
                waiting = self._shorter(waiting)
                continue
            except Stopped as stopped:
                raise _after(stopped, done, len(waiting)) from None
            waiting = waiting[1:]
            done += 1
        own = next((one for one in found if not one.mentioned), None)
        return there.get(own.name, "") if own is not None else ""

    def _shorter(self, waiting: list[list[Piece]]) -> list[list[Piece]]:
        first = waiting[0]
        self._most = max(1, len(first) // 2)
        again = groups([one for group in waiting for one in group], self._most)
        if len(first) == 1 or len(again[0]) >= len(first):
            raise Stopped(
                Receipt("refuse", f"{len(first)} resources that belong together are too long for it")
            )
        return again

    def delete(self, gone: Iterable[str]) -> None:
        """Delete what is gone here; what is not there is fine. Raises Stopped.

        A server that keeps what others refer to answers 409 (HAPI): it is asked again once they are gone.
        """
        waiting = list(gone)
        while waiting:
            kept = [name for name in waiting if not self._deleted(name, last=len(waiting) == 1)]
            if len(kept) == len(waiting):
                self._deleted(kept[0], last=True)
            waiting = kept

    def _deleted(self, name: str, *, last: bool) -> bool:
        """Delete one; say whether it is gone. Raises Stopped, for 409 if it is the last."""
        answer = self._asked("DELETE", self._addresses.named(name), None, {}, (name,))
        judged = judged_http(answer.status, answer.body)
        if answer.status in (404, 410) or judged.verdict == "sent":
            known = self._written.of(name)
            if known is not None:  # what is still under way with an older state must not bring it back
                self._written.note({name: There(known.version + 1)})
            return True
        if answer.status == 409 and not last:
            return False
        if answer.status in (405, 501):
            judged = Judged("refuse", f"answered {answer.status}: it deletes nothing of this type for us")
        stop(judged, answer, f"deleting a {name.partition('/')[0]}: ")

    def _group(self, group: Sequence[Piece], there: dict[str, str]) -> None:
        entries = self._entries(group, there)
        if self._transactions:
            results = self._transaction(group, entries)
        elif len(group) == 1:
            results = [self._alone(group[0], entries[0])]
        else:
            raise Stopped(
                Receipt(
                    "park",
                    f"{len(group)} resources refer to each other in a circle, and transactions: is false",
                )
            )
        if len(results) != len(group):
            parts = groups(group, 1)
            if len(parts) == 1:
                raise Stopped(
                    Receipt(
                        "park", f"it answered {len(results)} entries for {len(group)}: nobody can tell which"
                    )
                )
            for part in parts:
                self._group(part, there)
            return
        self._read(group, results, there)

    def _entries(self, group: Sequence[Piece], there: dict[str, str]) -> list[dict[str, Any]]:
        here = {one.name for one in group}
        for one in group:
            for name in one.refers - here:
                if not self._addresses.keeps_id(name.partition("/")[0]):
                    there[name] = self.finding.address(name, there.get(name, ""))
        entries = []
        for one in group:
            keeps = self._addresses.keeps_id(one.type)
            known = self._written.of(one.name) if self._guarded and (keeps or not one.mentioned) else None
            if known is None or not known.etag:
                entries.append(self._addresses.entry(one, here, there))
                continue
            # at its own address: not every server heeds the If-Match of a conditional update (HAPI)
            at = one.name if keeps else self.finding.address(one.name, known.address)
            entries.append(self._addresses.entry(one, here, there, known.etag if at else "", at))
        return entries

    def _transaction(self, group: Sequence[Piece], entries: list[dict[str, Any]]) -> list[Landed]:
        body = jsonio.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})
        answer = self._asked("POST", "", body, {}, [one.name for one in group])
        if answer.status == 413:
            raise _TooLong
        judged = judged_http(answer.status, answer.body)
        if judged.verdict != "sent":
            if answer.status == 409:
                self._stop_if_changed(group, entries)
            stop(judged, answer, "")
        results = landed(answer.body)
        if results is None:
            stop(
                Judged("retry", f"answered {answer.status} without a transaction-response", True), answer, ""
            )
        return results

    def _alone(self, one: Piece, entry: dict[str, Any]) -> Landed:
        request = entry["request"]
        headers = {
            header: request[word]
            for word, header in (("ifNoneExist", "If-None-Exist"), ("ifMatch", "If-Match"))
            if word in request
        }
        body = jsonio.dumps(entry["resource"])
        answer = self._asked(request["method"], request["url"], body, headers, (one.name,))
        judged = judged_http(answer.status, answer.body)
        if judged.verdict != "sent":
            if answer.status == 409:
                self._stop_if_changed([one], [entry])
            stop(judged, answer, f"{one.type}: ")
        address, version = address_in(
            answer.headers.get("location") or answer.headers.get("content-location")
        )
        return Landed(answer.status, address, answer.headers.get("etag") or version)

    def _stop_if_changed(self, group: Sequence[Piece], entries: Sequence[dict[str, Any]]) -> None:
        """See whether a 409 comes of an If-Match, for which some servers answer it (HAPI): that never passes
        by itself. Raises Stopped."""
        for one, entry in zip(group, entries, strict=True):
            version, known = entry["request"].get("ifMatch"), self._written.of(one.name)
            address = known.address if known else ""
            if version and address and self.finding.has_changed(address, one.name, version):
                raise Stopped(Receipt("park", f"{one.type}: answered 409; {CHANGED}"))

    def _read(self, group: Sequence[Piece], results: Sequence[Landed], there: dict[str, str]) -> None:
        """Read every entry. Raises Stopped where one failed, or the server gave another id than was asked."""
        noted: dict[str, There] = {}
        failed: list[tuple[Judged, str]] = []
        for i, (one, result) in enumerate(zip(group, results, strict=True)):
            judged = judged_entry(result.status)
            if judged.verdict != "sent":
                why = "; ".join(part for part in (judged.why, told(result.outcome)) if part)
                failed.append(
                    (judged, f"entry {i} ({one.type}): {result.status or 'no status'} {why}".rstrip())
                )
                continue
            keeps = self._addresses.keeps_id(one.type)
            if keeps and result.address and result.address != one.name:
                raise Stopped(
                    Receipt(
                        "park",
                        f"it gave a {one.type} another id than ours: it does not take ids; set ids: theirs",
                    )
                )
            there[one.name] = one.name if keeps else result.address
            known = self._written.of(one.name) or There(one.version)
            version = known.version if one.mentioned and not keeps else one.version
            # the only one of its type here: the answer can mean no other
            single = sum(other.type == one.type for other in group) == 1
            sure = single and there[one.name].startswith(f"{one.type}/")
            sure = sure or (known.sure and known.address == there[one.name])
            noted[one.name] = There(version, there[one.name], result.etag, sure)
        self._written.note(noted)
        if failed:
            worst = max(failed, key=lambda f: _WORST.index(f[0].verdict))
            why = worst[1] + (f" and {len(failed) - 1} more" if len(failed) > 1 else "")
            if noted:
                self._written.atomic = False
                why += f"; {len(noted)} of {len(group)} were written all the same: this server is not atomic"
            raise Stopped(Receipt(worst[0].verdict, why))

    def _asked(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], names: Iterable[str]
    ) -> Answer:
        """Ask; where nobody can tell what came of it, forget what the server had of these names."""
        try:
            answer = self._client.send(method, path, body, headers)
        except Unreached as e:
            self._written.forget(names)
            self._written.doubt()
            raise Stopped(Receipt("retry", e.why, down=e.down)) from None
        if answer.status >= 500:
            self._written.forget(names)
            self._written.doubt()
        return answer


def _after(stopped: Stopped, done: int, left: int) -> Stopped:
    """Say which transaction it was, where there were several."""
    if done + left == 1:
        return stopped
    r = stopped.receipt
    why = f"transaction {done + 1} of {done + left}: {r.why}" + (
        f"; {done} before it written" if done else ""
    )
    return Stopped(Receipt(r.verdict, why, wait=r.wait, down=r.down))
