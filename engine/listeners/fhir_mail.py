"""FHIR at the door: read, decided on, written down, answered in FHIR's own words.

In: the bytes of one body, and what its request said it is. Out: `Mail`. Accepting means what it means for
every format: safe on disk and going to be worked on. So a resource is answered by 202 and not by 201, and the
answer to a transaction says 202 of each entry: nothing is in the core store yet. What is no FHIR, and what
asks for more than that resources be written, is kept, waits for a person, and is answered by 422 and why.
FHIR R4 http.html, operationoutcome.html, bundle.html#transaction-response.
"""

from __future__ import annotations

import logging
from typing import Any

from engine.formats.content import recognise
from engine.formats.facts import Facts
from engine.formats.fhir.facts import of_fhir
from engine.formats.fhir.posted import ASKING, Posted, parse
from engine.kernel.errors import FormatError
from engine.kernel.message import Accepted
from engine.listeners.accepting import private_base
from engine.listeners.ack_rules import Decision
from engine.listeners.entries import Source
from engine.listeners.fhir_door import MEDIA, Asked, outcome, written
from engine.listeners.mail import ROWS, Answer, Letter, Mail, decide, letter_of, mail_of
from engine.mapping.fhir.asking import not_followed
from engine.mapping.fhir.documents import named_binaries

__all__ = ["fhir_mail", "mail_asked"]

log = logging.getLogger(__name__)

KEPT = "on disk and going to be worked on; it is not in the core store yet"


def mail_asked(data: bytes, source: Source, peer: str, asked: Asked) -> Mail:
    """Read a body that was posted to an address of FHIR; what is of another format is taken as that."""
    if recognise(data) not in ("", "fhir"):
        return mail_of(data, source, peer)
    try:
        return fhir_mail(data, source, peer, asked)
    except Exception as e:  # a fault of ours: the bytes are kept, and a person looks
        log.error("channel %s: a body of FHIR could not be read", source.channel)
        row = Decision("not-readable", "reject", "garbage")
        return Mail(
            [letter_of(data, source, peer, "fhir", None, row, f"internal error, {type(e).__name__}")],
            _reply(None),
        )


def fhir_mail(data: bytes, source: Source, peer: str, asked: Asked | None = None) -> Mail:
    """Read one body."""
    settings = source.rules.settings
    posted: Posted | None = None
    facts: Facts | None = None
    why = ""
    try:
        posted = parse(data)
        facts = of_fhir(posted, settings.fhir.base or private_base(source.channel))
    except FormatError as e:
        why = f"{e.what}{f' ({e.where})' if e.where else ''}{f': {e.why}' if e.why else ''}"
    decision = decide(settings, "fhir", facts)
    if posted is not None and decision.row == "good":
        why = _refused(posted, settings.fhir.deletes != "refuse", asked)
        if why:
            decision = Decision("rejected", "reject", "refused")
    return Mail([letter_of(data, source, peer, "fhir", facts, decision, why)], _reply(posted))


def _refused(posted: Posted, deletes: bool, asked: Asked | None) -> str:
    """Say why nothing of a body is done; "" where it is."""
    named = named_binaries(posted.asks)
    for ask in posted.asks:
        problem = not_followed(ask, deletes, named)
        if problem is not None:
            return f"{problem.text} ({problem.where})"
    if asked is not None and asked.type:
        if posted.value["resourceType"] != asked.type:
            return "the resource is not of the type that the address names"
        if asked.id and posted.value.get("id") != asked.id:
            return "the id in the address is not that of the resource"
        if not asked.id and "id" in posted.value:
            return f"a POST to a type asks for an id, and it has one: PUT it to {asked.type}/id"
    return ""


def _reply(posted: Posted | None) -> Any:
    def reply(mail: Mail, accepted: list[Accepted | None], now: int) -> Answer:
        entry = next((a.id for a in accepted if a is not None), 0)
        wrong = next((x for x in mail.letters if x.decision.row != "good"), None)
        if wrong is not None:
            return Answer(422, _wrong(wrong, entry), MEDIA)
        said = f"kept as entry {entry}: {KEPT}"
        if posted is None or posted.kind not in ASKING:
            return Answer(202, written(outcome("information", "informational", said)), MEDIA)
        done = {"status": "202 Accepted", "outcome": outcome("information", "informational", said)}
        answers = [{"response": done} for _ in posted.asks]
        bundle: dict[str, Any] = {"resourceType": "Bundle", "type": f"{posted.kind}-response"}
        if answers:
            bundle["entry"] = answers
        return Answer(200, written(bundle), MEDIA)

    return reply


def _wrong(letter: Letter, entry: int) -> bytes:
    row = letter.decision.row
    text = letter.why if row == "rejected" else f"{ROWS[row]}{': ' + letter.why if letter.why else ''}"
    code = "structure" if row == "not-readable" else "not-supported"
    return written(
        outcome("error", code, f"{text}; kept as entry {entry}, not worked on until a person says so")
    )
