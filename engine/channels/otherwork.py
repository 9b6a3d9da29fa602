"""A document, a claim, a prescription or an image through the pure rooms: what `pipeline` does for HL7 v2.

In: a journal entry in CDA, X12, SCRIPT, DICOM or an XDM package, its channel. Out: the work, filled in or
parked with its cause. The sender's own time decides what is older: effectiveTime of a document (where that is
no certain instant, its versionNumber within its set), GS04 with GS05, SentTime. A channel without authority
makes patients and changes none.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from engine.channels.arriving import Read, read_body, stored, way_of
from engine.channels.dating import told
from engine.channels.delivering.choosing import dues_of
from engine.channels.documents import superseding
from engine.channels.judging import folded, mixed, without_authority
from engine.channels.packages import package_drafts
from engine.fhir.validate import validate
from engine.formats.cda.document import Document
from engine.formats.cda.elements import attr, child
from engine.formats.dicom.document import Dicom
from engine.formats.dicom.header import LIMIT, OTHER_BYTES, TOO_LONG, marks_of
from engine.formats.fhir.posted import Posted
from engine.formats.ncpdp.message import Script
from engine.formats.xdm import read_package
from engine.kernel.errors import HubError
from engine.kernel.message import Draft, Entry, Flag, Gap, Told, Work
from engine.mapping.convert import map_arrived
from engine.mapping.fhir.run import told_at
from engine.mapping.from_ncpdp import mark_fills, mark_known

if TYPE_CHECKING:
    from engine.channels.definition import Channel
    from engine.channels.pipeline import Pipeline

__all__ = ["TOLD_WITH_STUDY", "fill_other", "judge", "prepare_other", "site_of"]

NUMBERS = {
    "x12": "ISA-13",
    "cda": "/ClinicalDocument/id[1]",
    "ncpdp": "/Message/Header[1]/MessageID[1]",
    "xdm": "METADATA.XML",
    "dicom": "SOPInstanceUID",
    "fhir": "Bundle.identifier",
}
"""Where the number stands that makes a body the same one."""
TIMES = frozenset({"effectiveTime", "effectiveTime local", "GS-04", "GS-04 local", "SentTime", "timestamp"})
OF_MANY = frozenset(
    {"Device", "Location", "Organization", "Patient", "Practitioner", "PractitionerRole", "RelatedPerson"}
)
"""What documents of many sets speak of: a version number says nothing of it."""
PARTS_TOLD = 32
"""Parts of one payment, about 8 MiB, whose claims the payment lists: each makes a new version of the list."""
TOLD_WITH_STUDY = "told with its study"
"""What is noted of an image: nothing is made of it alone."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def fill_other(pipeline: Pipeline, out: Work, entry: Entry, channel: Channel, format: str) -> None:
    """Fill in the work of an entry. Raises FormatError and MapError."""
    if format == "xdm":
        _package(pipeline, out, entry, channel)
        return
    read = read_body(entry.body, format, way_of(channel))
    out.search = read.facts.words
    if entry.kind == "refused":
        text = "the channel refused it and told the sender; hub msg show says why"
        out.parked = Flag("refused", NUMBERS[format], text, True)
        return
    if isinstance(read.document, Dicom):
        out.parked = _held_back(entry, read.document)
        if out.parked is not None:
            return
        if read.document.kind == "instance":
            out.note = TOLD_WITH_STUDY
            return
        if read.document.kind in ("study", "mpps"):
            entry = replace(entry, conflicts_with=None)  # the same one, as it stands now
    maps = pipeline.maps.of(format)
    drafts: dict[tuple[str, str], Draft] = {}
    gaps: list[Gap] = []
    site = site_of(pipeline, read, channel)
    program = maps.program(site)
    out.revision, out.tables = program.revision, pipeline.tables(format, site)
    for n, arrived in enumerate(read.arrived):
        origin = f"urn:hub:entry|{entry.position}" + (f"|{n}" if n else "")
        run = stored(arrived.run, channel.keeps_header)
        built = map_arrived(arrived, program, pipeline.identify, origin, run, channel.map)
        try:
            out.flags += [*built.flags, *(Flag(r.code, r.where, r.text) for r in arrived.repairs)]
            gaps += built.gaps
            out.parked = out.parked or built.held
            drafts.update({(d.type, d.id): d for d in built.drafts})
        finally:
            built.release()
    out.gaps = tuple(gaps)
    if out.parked is not None:
        return
    found = list(drafts.values())
    _shortened(found, entry, out)
    if isinstance(read.document, Script):
        mark_known(found)
        mark_fills(read.document, found)
    if isinstance(read.document, (Document, Posted)):
        found += superseding(found, pipeline.identify)
    when = told_of(read, program.sender("").zone)
    for draft in found:
        if draft.told is None and draft.name != "superseded":
            draft.told = when if when is None or when.kind in TIMES or draft.type not in OF_MANY else None
    judge(out, entry, channel, found, NUMBERS[format])
    if channel.deliver:
        out.deliveries = dues_of(channel, entry, pipeline.mac, keys=read.facts.keys)


def _held_back(entry: Entry, document: Dicom) -> Flag | None:
    """Say why nothing is made of an object as it came; an edited one counts as what it says now."""
    if document.kind in ("study", "mpps") or entry.kind == "resend":
        return None
    # the journal's word counts too, where the index was not told of the first: but an image is only shown
    told = entry.conflicts_with is not None and document.kind != "instance"
    marks = marks_of(document.raw)
    if told or OTHER_BYTES in marks:
        text = (
            "other bytes came first under this SOP Instance UID; these are kept, and nothing is made of them"
        )
        return Flag("other-bytes", NUMBERS["dicom"], text, True)
    if document.kind != "instance" and (TOO_LONG in marks or len(document.raw) >= LIMIT):
        text = "the journal has its beginning only, and half a report is none: map it from the object"
        return Flag("too-long", NUMBERS["dicom"], text, True)
    return None


def _shortened(drafts: list[Draft], entry: Entry, out: Work) -> None:
    """Leave the details out of a payment that comes in very many parts: each claim's stand with the claim."""
    part = entry.control_id.split("/")[3:4]
    if not part or not part[0].isdecimal() or int(part[0]) <= PARTS_TOLD:
        return
    for draft in drafts:
        if draft.type == "PaymentReconciliation" and draft.body.pop("detail", None) is not None:
            draft.labels.pop("detail", None)
            draft.acts.pop("detail", None)
            text = f"a payment in more than {PARTS_TOLD} parts: from here on it lists no claims, they name it"
            out.flags.append(Flag("payment-in-parts", "BPR[1]", text))


def prepare_other(pipeline: Pipeline, entry: Entry, channel: Channel, format: str) -> None:
    """Compile what bodies of this kind need; what is wrong here is told when the entry is worked."""
    with suppress(HubError):
        read = read_body(entry.body, format, way_of(channel))
        program = pipeline.maps.of(format).program(site_of(pipeline, read, channel))
        for arrived in read.arrived if format != "fhir" else ():
            found = (program.plan_for(kind, "") for kind in arrived.kinds)
            plan = program.plan(channel.map) if channel.map else next((p for p in found if p), None)
            if plan is not None:
                plan.prepare(arrived.names)


def site_of(pipeline: Pipeline, read: Read, channel: Channel) -> str:
    """Name the site whose maps are used."""
    maps = pipeline.maps.of(read.format)
    if channel.site in maps.sites:
        return channel.site
    return maps.site_for(read.arrived[0].headers).name


def judge(out: Work, entry: Entry, channel: Channel, drafts: list[Draft], number: str) -> None:
    """Park what the maps made of a body, or hand it to the store with all that is to be said of it."""
    out.flags = folded(out.flags)
    if entry.conflicts_with is not None:
        text = f"entry {entry.conflicts_with} has the same number and other content"
        out.flags.append(Flag("same-control-id", number, text, True))
    for d in drafts:
        for p in validate(d.body, d.known) if d.write != "known" else ():
            flag = Flag("invalid", p.path, f"{p.text} ({d.map})", True)
            if channel.on_error == "hold":
                out.parked = flag
                return
            out.flags.append(flag)
        if not d.keys and d.write == "merge":
            d.write = "snapshot"  # known by its place only: replaced, never mixed with who stood there
    if not channel.demographics:
        out.parked = without_authority(drafts, "")
    out.parked = out.parked or mixed(drafts)
    out.drafts = drafts


def told_of(read: Read, zone: str) -> Told | None:
    """Return the time by which the sender tells what it tells."""
    document = read.document
    if isinstance(document, Document):
        stamp = attr(child(document.root, "effectiveTime"), "value")
        return told("effectiveTime", stamp, zone) or _version(document)
    if isinstance(document, Script):
        return _sent(document.sent)
    if isinstance(document, Posted):
        return told_at("timestamp", str(document.value.get("timestamp") or ""))
    gs = next((s for s in getattr(read.arrived[0].scope, "own", {}).get("GS", ())), None)
    return told("GS-04", f"{gs.get(4).strip()}{gs.get(5).strip()[:6]}", zone) if gs is not None else None


def _version(document: Document) -> Told | None:
    set_id, number = document.set_id, document.version
    if set_id is None or not number.isdecimal() or len(number) > 12:
        return None
    return Told(f"version of {set_id.root}^{set_id.extension}"[:120], int(number), int(number))


def _sent(text: str) -> Told | None:
    """Read a FHIR dateTime with its zone; a day is no certain instant."""
    if len(text) <= 10:
        return None
    first = (datetime.fromisoformat(text) - _EPOCH) // _MS
    return Told("SentTime", first, first + (0 if "." in text else 999))


def _package(pipeline: Pipeline, out: Work, entry: Entry, channel: Channel) -> None:
    package = read_package(entry.body)
    out.search = package.words
    drafts, out.flags = package_drafts(package, pipeline.identify, f"urn:hub:entry|{entry.position}")
    if package.empty:
        text = "no document of the package can be filed; its flags say why"
        out.parked = Flag("empty-package", NUMBERS["xdm"], text, True)
        return
    if entry.kind == "refused":
        text = "the channel refused it and told the sender; hub msg show says why"
        out.parked = Flag("refused", NUMBERS["xdm"], text, True)
        return
    judge(out, entry, channel, drafts, NUMBERS["xdm"])
    if channel.deliver:
        out.deliveries = dues_of(channel, entry, pipeline.mac)
