"""Documents, claims and prescriptions at the door: read, decided on, written down, answered.

In: the bytes of one body (`mail_of`) or a part of a stream of X12 (`part_letter`), and the channel it came in
on. Out: `Mail`: the journal entries, what the table says of each, and the answer that may be given once
they are on disk: TA1 and 999 for X12, Status or Error for SCRIPT, an HTTP status for all. An interchange is
one entry for each transaction set, claim or member (`engine.formats.x12.cut`), appended together. The
principle is that of HL7 v2: accept means safe on disk and going to be processed; reject means kept, but not
processed until a person says so. Nothing of a body is said but where it is wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from engine.formats import xdm
from engine.formats.cda import document as cda
from engine.formats.content import recognise
from engine.formats.facts import Facts, of_cda, of_script, of_segments
from engine.formats.ncpdp import message as ncpdp
from engine.formats.ncpdp.answers import ANSWERS, error, refusal, script_keys, taken, unread
from engine.formats.ncpdp.strict import Schemas, open_schemas
from engine.formats.x12.acknowledge import Issue, acknowledge, rejection
from engine.formats.x12.acknowledge_claims import ClaimAnswer, acknowledge_claims
from engine.formats.x12.cut import Part, Received, Stray, cut
from engine.formats.x12.envelope import Group, Interchange, Transaction
from engine.formats.x12.partner_rules import partners_in
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import Reader
from engine.kernel.clock import iso, now_ms
from engine.kernel.errors import ConfigError, FormatError
from engine.kernel.message import Accepted, NewEntry
from engine.listeners.accepting import kinds_of
from engine.listeners.ack_rules import AckSettings, Decision
from engine.listeners.entries import Source

__all__ = ["ROWS", "Answer", "Letter", "Mail", "answer_x12", "decide", "letter_of", "mail_of", "part_letter"]
__all__ += ["schemas_in", "stray_letter"]

log = logging.getLogger(__name__)

ROWS: dict[str, str] = {
    "good": "",
    "not-readable": "it cannot be read",
    "wrong-format": "this channel does not accept this format",
    "wrong-type": "this channel does not accept this type of document or transaction",
    "wrong-processing-id": "this channel accepts no test data, or nothing but test data",
    "no-control-id": "it has no number of its own: no answer could name it",
    "rejected": "the acknowledgement rejects it",
    "empty-package": "no document of the package can be filed",
    "other-patient": "the metadata of its package names another patient than the document",
}
"""Rows of what is not HL7 v2; the first that fits decides."""
_HALF = 500_000_000
"""Control numbers below are those of 999s, above those of 277CAs."""
_GARBAGE = frozenset({"not-readable", "wrong-format"})


class Answer(NamedTuple):
    """What a sender over HTTP is told."""

    status: int
    body: bytes = b""
    type: str = "text/plain"


@dataclass(slots=True)
class Letter:
    """One journal entry to be."""

    entry: NewEntry
    decision: Decision
    facts: Facts | None = None
    why: str = ""  # where and how it is wrong, without content


@dataclass(slots=True)
class Mail:
    """All that one body became."""

    letters: list[Letter] = field(default_factory=list)
    reply: Callable[[Mail, list[Accepted | None], int], Answer] | None = None

    @property
    def entries(self) -> list[NewEntry]:
        """The entries, in order."""
        return [letter.entry for letter in self.letters]

    @property
    def decisions(self) -> list[Decision]:
        """What the table says of each."""
        return [letter.decision for letter in self.letters]

    def answer(self, accepted: list[Accepted | None], now: int) -> Answer:
        """Return the answer, once everything is on disk; `now` in ms."""
        if self.reply is not None:
            return self.reply(self, accepted, now)
        return _plain(self.letters, accepted)


def decide(settings: AckSettings, format: str, facts: Facts | None) -> Decision:
    """Find the row for one body; `facts` None: it cannot be read."""
    row = _row(settings, format, facts)
    if row == "good":
        return Decision(row, "accept", "message")
    return Decision(row, "reject", "garbage" if row in _GARBAGE else "refused")


def _row(settings: AckSettings, format: str, facts: Facts | None) -> str:
    mine = [t for t in settings.others if t.format == format]
    if not mine:
        return "wrong-format"
    if facts is None:
        return "not-readable"
    if not any(not t.kinds or facts.kind in t.kinds for t in mine):
        return "wrong-type"
    asked = settings.processing_id
    if format in ("x12", "ncpdp") and asked and ("T" if facts.test else "P") not in asked:
        return "wrong-processing-id"
    return "no-control-id" if format == "ncpdp" and not facts.control else "good"


def mail_of(data: bytes, source: Source, peer: str, format: str = "") -> Mail:
    """Read one whole body. Never raises for what it holds."""
    format = format or recognise(data)
    try:
        return _mail_of(data, source, peer, format)
    except Exception as e:  # a fault of ours: the bytes are kept, and a person looks
        log.error("channel %s: a body of format %s could not be read", source.channel, format or "unknown")
        row = Decision("not-readable", "reject", "garbage")
        return Mail([letter_of(data, source, peer, format, None, row, f"internal error, {type(e).__name__}")])


def _mail_of(data: bytes, source: Source, peer: str, format: str) -> Mail:
    settings = source.rules.settings
    if not any(t.format == format for t in settings.others):
        return Mail([letter_of(data, source, peer, format, None, decide(settings, format, None))])
    reader = {"x12": _x12, "xdm": _package, "ncpdp": _script}.get(format)
    if reader is not None:
        return reader(data, source, peer)
    if format == "fhir":
        from engine.listeners.fhir_mail import fhir_mail  # it makes Mail, too

        return fhir_mail(data, source, peer)
    facts: Facts | None = None
    why = ""
    try:
        facts = of_cda(cda.parse(data))
    except FormatError as e:
        why = str(e)
    return Mail([letter_of(data, source, peer, format, facts, decide(settings, format, facts), why)])


def letter_of(
    body: bytes,
    source: Source,
    peer: str,
    format: str,
    facts: Facts | None,
    decision: Decision,
    why: str = "",
    note: str = "",
) -> Letter:
    """Write down one body, or a part of it."""
    said = "; ".join(t for t in (decision.row if decision.row != "good" else "", why, note) if t)
    if facts is None:
        entry = NewEntry(source.channel, body, now_ms(), source.sender, peer, kind=decision.kind, reason=said)
        return Letter(entry, decision, None, why)
    sender, keys = source.senders.facts_of(facts)
    entry = NewEntry(
        channel=source.channel,
        body=body,
        received=now_ms(),
        sender=sender,
        peer=peer,
        control_id=facts.control,
        message_type=facts.message_type[:40],
        charset=facts.charset if facts.format != "x12" else "",
        kind=decision.kind,
        order_keys=keys,
        reason=said,
        duplicate_window_ms=source.duplicate_window_ms,
        duplicates=source.duplicates,
    )
    return Letter(entry, decision, facts, why)


# -- documents in a package ----------------------------------------------------------------------------------


def _package(data: bytes, source: Source, peer: str) -> Mail:
    """Write down a package and each document in it, in one go."""
    try:
        package = xdm.read_package(data)
    except FormatError as e:
        decision = decide(source.rules.settings, "xdm", None)
        return Mail([letter_of(data, source, peer, "xdm", None, decision, str(e))])
    facts = Facts(
        "xdm", "", package.id[:200], package.source, {"source": package.source}, package.keys, package.words
    )
    good, why = Decision("good", "accept", "message"), ""
    outer = good
    if package.empty:
        outer = Decision("empty-package", "reject", "refused")
        why = "; ".join(dict.fromkeys((*package.problems, *(d.problem for d in package.documents))))
    letters = [letter_of(data, source, peer, "xdm", facts, outer, why)]
    for n, document in enumerate(package.documents, 1):
        if not document.is_cda or document.problem:
            continue  # the package itself is worked on for these
        inner: Facts | None = None
        why = ""
        try:
            inner = of_cda(cda.parse(document.data))
        except FormatError as e:
            why = str(e)
        row = good if inner else Decision("not-readable", "reject", "garbage")
        if inner is not None and document.other_patient(inner.keys) == "other":
            row = Decision("other-patient", "reject", "refused")
        note = f"document {n} of a package"
        letters.append(letter_of(document.data, source, peer, "cda", inner, row, why, note))
    return Mail(letters)


# -- X12 -----------------------------------------------------------------------------------------------------


def _x12(data: bytes, source: Source, peer: str) -> Mail:
    settings = source.rules.settings
    reader = Reader(BytesIO(data))
    letters: list[Letter] = []
    received: list[Received] = []
    waiting: list[Part] = []
    x12 = settings.x12
    rules = partners_in(x12.partners)
    sets = kinds_of(settings.others, "x12")
    lenient, keep = x12.reject == "envelope", x12.claim_answers
    for item in cut(reader, lenient=lenient, keep=keep, partners=rules, sets=sets):
        if isinstance(item, Part):
            waiting.append(item)
        elif isinstance(item, Received):
            letters += [part_letter(p, source, peer, item.interchange) for p in waiting]
            received.append(item)
            waiting = []
        else:
            letters.append(stray_letter(item, source, peer))
    if not letters:
        letters = [letter_of(data, source, peer, "x12", None, decide(settings, "x12", None))]

    def reply(mail: Mail, accepted: list[Accepted | None], now: int) -> Answer:
        first = next((a.id for a in accepted if a is not None), 0)
        written = answer_x12(received, settings, first, now)
        if written:
            return Answer(200, written, "application/edi-x12")
        return _plain(mail.letters, accepted)

    return Mail(letters, reply)


def part_letter(part: Part, source: Source, peer: str, whole: Interchange | None, note: str = "") -> Letter:
    """Write down a part; `whole`: its interchange, where that is known to its end.

    What its TA1 or 999 rejects is kept, and no one works on it.
    """
    settings = source.rules.settings
    try:
        facts = of_segments(part.segments, part.set, part.n)
    except FormatError as e:
        return letter_of(part.body, source, peer, "x12", None, decide(settings, "x12", None), str(e), note)
    decision = decide(settings, "x12", facts)
    why = _rejected(part.transaction, whole) if decision.row == "good" else ""
    if why:
        decision = Decision("rejected", "reject", "refused")
    return letter_of(part.body, source, peer, "x12", facts, decision, why, note)


def _rejected(transaction: Transaction | None, whole: Interchange | None) -> str:
    """Give the codes that the sender is told where a transaction set is not accepted; or "".

    `whole` may have been read apart from the transaction set: groups are told by their place.
    """
    if transaction is not None and transaction.rejected:
        return f"IK502 {' '.join(transaction.rejected)}"
    if whole is None:
        return ""
    group: Group | None = None
    if transaction is not None and transaction.group is not None:
        place = transaction.group.interchange.groups.index(transaction.group)
        group = whole.groups[place] if place < len(whole.groups) else None
    return rejection(whole, group)


def stray_letter(item: Stray, source: Source, peer: str) -> Letter:
    """Write down text that belongs to no interchange."""
    decision = Decision("not-readable", "reject", "garbage")
    return letter_of(item.body, source, peer, "x12", None, decision, "it belongs to no interchange")


def answer_x12(received: Sequence[Received], settings: AckSettings, number: int, now: int) -> bytes:
    """Write TA1, 999 and 277CA for interchanges; `number`: of the first journal entry, it numbers them."""
    if settings.x12.answer == "never":
        return b""
    out = b""
    stamp = iso(now)
    day, time = stamp[:10].replace("-", ""), stamp[11:16].replace(":", "")
    claims = 0
    for n, item in enumerate(received):
        issue = Issue(day, time, (number + n) % _HALF or 1)
        unwanted = _unwanted(item.interchange, settings)
        out += acknowledge(item.interchange, item.verdicts, issue, more=unwanted) or b""
        for each in item.judged:
            if unwanted or each.transaction.rejected:
                continue  # whatever is right in it is not accepted either
            issue = Issue(day, time, _HALF + (number + claims) % _HALF)
            claims += 1
            said = ClaimAnswer(reference=f"{issue.control:09d}")
            out += acknowledge_claims(*each, issue, said) or b""
    return out


def _unwanted(interchange: Interchange, settings: AckSettings) -> list[Problem]:
    """Complain of test data in a production channel, or of the reverse: row `wrong-processing-id`."""
    isa, asked = interchange.header, settings.processing_id
    if not asked or ("T" if isa.get(15).strip() == "T" else "P") in asked:
        return []
    text = "this channel does not take ISA15"
    return [Problem("E", 1, "TA105", "020", "ISA-15", text, segment="ISA", offset=isa.offset)]


# -- SCRIPT --------------------------------------------------------------------------------------------------


@cache
def schemas_in(folder: Path) -> Schemas:
    """Read the XSD files below a folder. Raises ConfigError."""
    try:
        files = {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.xsd"))}
    except OSError as e:
        raise ConfigError("the schemas cannot be read", where=str(folder), why=e.strerror or "") from None
    if not files:
        raise ConfigError("there is no XSD file", where=str(folder), remedy="put NCPDP's schemas there")
    return open_schemas(files)


def _script(data: bytes, source: Source, peer: str) -> Mail:
    settings = source.rules.settings
    script: ncpdp.Script | None = None
    facts: Facts | None = None
    why = ""
    try:
        script = ncpdp.parse(data)
        facts = of_script(script)
        facts = replace(facts, keys=tuple(dict.fromkeys((*facts.keys, *script_keys(script)))))
    except FormatError as e:
        why = f"{e.what}{f' ({e.where})' if e.where else ''}{f': {e.why}' if e.why else ''}"
    decision = decide(settings, "ncpdp", facts)
    if script is not None and decision.row == "good" and script.transaction not in ANSWERS:
        folder = settings.script.schemas
        why = refusal(script, schemas_in(folder) if folder is not None else None)
        if why:
            decision = Decision("rejected", "reject", "refused")

    def reply(mail: Mail, accepted: list[Accepted | None], now: int) -> Answer:
        entry = next((a.id for a in accepted if a is not None), 0)
        number, sent, how = f"HUB{entry}-{now}"[:35], iso(now), settings.script
        if script is None:
            return Answer(200, unread(number, sent, how.description_code, why), "application/xml")
        if script.transaction in ANSWERS and decision.outcome == "accept":
            return Answer(204)  # answering an answer would never end
        if decision.outcome == "accept":
            return Answer(200, taken(script, number, sent, how.status), "application/xml")
        said = why or ROWS[decision.row]
        return Answer(200, error(script, number, sent, "900", how.description_code, said), "application/xml")

    return Mail([letter_of(data, source, peer, "ncpdp", facts, decision, why)], reply)


def _plain(letters: Iterable[Letter], accepted: list[Accepted | None]) -> Answer:
    """Answer what has no acknowledgement of its own: the numbers of its entries, or why it waits."""
    wrong = [
        f"{ROWS[x.decision.row]}{': ' + x.why if x.why else ''}" for x in letters if x.decision.row != "good"
    ]
    if wrong:
        return Answer(422, "".join(f"{line}\n" for line in dict.fromkeys(wrong)).encode())
    entries = " ".join(str(a.id) for a in accepted if a is not None)
    return Answer(200, f"kept as entry {entries}\n".encode())
