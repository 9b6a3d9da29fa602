"""IHE MHD: documents provided to a health information exchange that speaks FHIR (ITI-65).

In: parcels that hold a document. Out: receipts; the reference is the submission set's address there. The
patient is found first, by the exchange's own number, in the body of a search and never in an address. Each
entry of the answer is read; an answer that does not say what became of every entry is checked by asking for
the submission set, and so is every parcel before it is sent: an earlier try may have arrived. Follows IHE MHD
4.2.4, 2:3.65, and FHIR R4 http.html#transaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from engine.destinations.fhir import capability_line
from engine.destinations.fhir_client import FhirClient, Unreached
from engine.destinations.fhir_judging import judged_entry, judged_http, landed, told
from engine.destinations.fhir_tokens import tokens_for
from engine.destinations.mhd_settings import MhdSettings
from engine.destinations.shared_documents import documents_of, submission_of
from engine.fhir import jsonio
from engine.formats.xds.ebrim import Submission
from engine.formats.xds.entry import DocumentEntry, Number, oid_of, one_patient
from engine.formats.xds.provide import (
    check_metadata,
    patient_resource,
    provide_bundle,
    reference_identifier,
    set_identifier,
    unique_identifier,
)
from engine.kernel.delivery import Around, DestinationKind, Parcel, Receipt, Verdict
from engine.kernel.errors import ConfigError, FormatError, HubError

__all__ = ["MHD", "Mhd"]

_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Prefer": "handling=strict"}


class _Stopped(Exception):
    """Nothing more is to be done in this try."""

    def __init__(self, verdict: Verdict, why: str, down: bool = False) -> None:
        super().__init__(why)
        self.receipt = Receipt(verdict, why, down=down)


class Mhd:
    """One exchange."""

    def __init__(self, settings: MhdSettings, name: str, around: Around) -> None:
        weak = list(settings.server.weaknesses()) if around.production else []
        if weak:
            raise ConfigError(
                f"the production profile refuses this destination: {weak[0][0]}",
                where=f"destination {name}",
                remedy=weak[0][1],
            )
        self._settings, self._where = settings, f"destination {name}"
        self._base = around.identity_base
        self._unsearched: set[str] = set()  # types that the exchange does not search by identifier
        tokens = tokens_for(settings.server, around.root, around.data)
        self._client = FhirClient(settings.server, around.root, tokens)

    def deliver(self, parcel: Parcel) -> Receipt:
        """Provide the documents of a parcel."""
        self._client.begin()
        try:
            receipt = self._deliver(parcel)
        except FormatError as e:
            receipt = Receipt("refuse", str(e))
        except _Stopped as stopped:
            receipt = stopped.receipt
        except Unreached as e:
            receipt = Receipt("retry", e.why, down=e.down)
        return replace(receipt, request=bytes(self._client.request), answer=bytes(self._client.answer))

    def check(self) -> str:
        """Read the exchange's CapabilityStatement. Raises HubError."""
        self._client.begin()
        try:
            answer = self._client.send("GET", "metadata")
        except Unreached as e:
            raise HubError(e.why, where=self._where) from None
        said = _resource(answer.body) if answer.status == 200 else {}
        if said.get("resourceType") != "CapabilityStatement":
            why = f"status {answer.status}"
            raise HubError("no FHIR server answers at this address", where=self._where, why=why)
        return capability_line(said, self._settings.server).partition(";")[0]

    def close(self) -> None:
        """Give back connections."""
        self._client.close()

    def _deliver(self, parcel: Parcel) -> Receipt:
        sharing = self._settings.sharing
        entries = documents_of(parcel, sharing.said, self._base)
        if not entries:
            return Receipt("sent", "nothing to deliver: it wrote no document")
        one_patient(entries)
        submission = submission_of(parcel, sharing)
        check_metadata(submission, entries, self._settings.metadata)
        if address := self._there(submission):
            return Receipt("sent", "the exchange has it already", reference=address)
        subject, patient = self._subject(submission, entries)
        bundle = provide_bundle(
            submission,
            entries,
            self._settings.metadata,
            subject,
            patient,
            {"List", "DocumentReference"} - self._unsearched,
            self._others(entries),
        )
        answer = self._client.send("POST", "", jsonio.dumps(bundle))
        judged = judged_http(answer.status, answer.body)
        if judged.verdict != "sent":
            raise _Stopped(judged.verdict, judged.why, judged.down)
        return self._read(submission, bundle["entry"], answer.body)

    def _read(self, submission: Submission, asked: list[dict[str, Any]], body: bytes) -> Receipt:
        """Read what became of each entry; where the answer does not tell, ask."""
        results = landed(body) or []
        for one, result in zip(asked, results, strict=False):
            judged = judged_entry(result.status)
            if judged.verdict != "sent":
                kind = one["resource"]["resourceType"]
                parts = (f"its answer hides a {kind} that it did not take: {result.status}", judged.why)
                why = "; ".join(part for part in (*parts, told(result.outcome)) if part)
                raise _Stopped(judged.verdict, why)
        if len(results) == len(asked):
            return Receipt("sent", reference=results[0].address)
        if address := self._there(submission):
            return Receipt("sent", reference=address)
        why = f"it answered for {len(results)} of {len(asked)} entries, and the submission set is not there"
        raise _Stopped("park", why)

    def _subject(
        self, submission: Submission, entries: list[DocumentEntry]
    ) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
        """Return the reference to the patient, and the Patient where one goes along."""
        settings = self._settings
        if settings.patient == "include":
            return patient_resource(submission, entries[0])
        first = entries[0]
        number = first.patient_of(settings.sharing.domain) or first.patient_of(oid_of(settings.system))
        if number is None:
            raise FormatError(
                "the documents cannot be provided",
                why=f"their patient has no number of {settings.sharing.domain}",
                remedy="`sharing: domain` is the authority whose numbers the exchange knows",
            )
        identifier = {"system": settings.system, "value": number.extension}
        if settings.patient == "number":
            return {"type": "Patient", "identifier": identifier}, None
        found = self._having("Patient", identifier)
        if len(found) != 1:
            many = "several patients there have" if found else "nobody there has"
            raise _Stopped("park", f"{many} the document's patient number")
        return {"reference": f"Patient/{found[0]['id']}"}, None

    def _there(self, submission: Submission) -> str:
        """Return the address of the submission set, or of its first document, where the exchange has it.

        Not every exchange lets its lists be searched by identifier; which types it does not is remembered.
        """
        self._unsearched.clear()
        asked = {"List": set_identifier(submission), "DocumentReference": reference_identifier(submission, 0)}
        for kind, identifier in asked.items():
            try:
                found = self._having(kind, identifier)
            except _Stopped as stopped:
                if stopped.receipt.verdict == "retry":
                    raise
                self._unsearched.add(kind)
                continue
            return f"{kind}/{found[0]['id']}" if found else ""
        return ""

    def _others(self, entries: list[DocumentEntry]) -> dict[Number, str]:
        """Return the addresses there of documents that these replace or add to, as far as they are there."""
        out = {}
        for number in {number for entry in entries for _, number in entry.relates}:
            try:
                found = self._having("DocumentReference", unique_identifier(number))
            except _Stopped as stopped:
                if stopped.receipt.verdict == "retry":
                    raise
                break  # it searches no documents: it is told the number
            if len(found) == 1:
                out[number] = f"DocumentReference/{found[0]['id']}"
        return out

    def _having(self, kind: str, identifier: Mapping[str, str]) -> list[Mapping[str, Any]]:
        """Return the resources of a type that have an identifier; a server that ignores the question answers
        others, too. Raises _Stopped where it does not answer it.
        """
        form = urlencode({"identifier": f"{identifier['system']}|{identifier['value']}"}).encode()
        answer = self._client.send("POST", f"{kind}/_search", form, _FORM)
        judged = judged_http(answer.status, answer.body)
        if judged.verdict != "sent":
            verdict: Verdict = "retry" if judged.verdict == "retry" else "park"
            raise _Stopped(verdict, f"a search for a {kind}: {judged.why}", judged.down)
        bundle = _resource(answer.body)
        held = [e.get("resource") or {} for e in bundle.get("entry") or () if isinstance(e, dict)]
        return [
            one
            for one in held
            if one.get("resourceType") == kind
            and one.get("id")
            and any(
                i.get("system") == identifier["system"] and i.get("value") == identifier["value"]
                for i in (*(one.get("identifier") or ()), one.get("masterIdentifier") or {})
            )
        ]


def _resource(body: bytes) -> dict[str, Any]:
    try:
        read = jsonio.loads(body)
    except FormatError:
        return {}
    return read if isinstance(read, dict) else {}


MHD = DestinationKind("mhd", MhdSettings, Mhd, ("original", "ccd", "fhir"))
