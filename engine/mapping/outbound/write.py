"""FHIR resources into a message of another format, with a report of both sides.

In: a Bundle (or resources), the name of what is written, what the caller gives beside them, and for X12 the
envelope. Out: bytes, every value with its FHIR element and row, and every FHIR leaf that was not written. A
message that its own reader and validator do not accept is refused: `Refused` says which place lacks what, and
which row should have filled it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from engine.formats.cda.document import parse as read_document
from engine.formats.hl7v2.strict import validate as check_v2
from engine.formats.ncpdp.message import parse as read_script
from engine.formats.x12.envelope import Transaction, envelopes
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import read_segments
from engine.formats.x12.validate import check_interchange, check_transaction
from engine.kernel.errors import HubError
from engine.mapping.outbound import hl7v2, xml
from engine.mapping.outbound.draft import Draft
from engine.mapping.outbound.library import OutMaps
from engine.mapping.outbound.patients import MERGES, is_given_up, not_one_patient, not_pairs
from engine.mapping.outbound.resources import Resources
from engine.mapping.outbound.results import left_behind
from engine.mapping.outbound.run import Flag, Running
from engine.mapping.outbound.x12 import Envelope, Written, interchange, transaction_set

__all__ = ["Refused", "Report", "Value", "write_any", "write_ccd", "write_script", "write_v2", "write_x12"]


class Value(NamedTuple):
    """One value written: its address in the target, the FHIR element (empty: a constant), and the row."""

    target: str
    source: str
    row: str


class Refused(HubError):
    """The target demands what FHIR does not have. `reasons` are one line each, without values."""

    def __init__(self, what: str, reasons: list[str]) -> None:
        super().__init__(
            what, why="; ".join(reasons[:5]) + (f" and {len(reasons) - 5} more" if reasons[5:] else "")
        )
        self.reasons = reasons


@dataclass(slots=True)
class Report:
    """What became of a Bundle: `not_written` are the leaves no row read and no `ignore:` names."""

    format: str
    written: list[Value] = field(default_factory=list)
    not_written: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Give the report as plain data; no values of patients are in it."""
        return {
            "target_format": self.format,
            "written": [v._asdict() for v in self.written],
            "not_written": self.not_written,
            "ignored": self.ignored,
            "warnings": [
                {"code": f.code, "source": f.where, "row": f.row, "text": f.text} for f in self.flags
            ],
        }


def fill(maps: OutMaps, name: str, source: Any, given: Mapping[str, str]) -> tuple[Draft, Running, Report]:
    """Run a whole message's map over resources; the draft is pruned, the report lacks its addresses."""
    program = maps.entry(name)
    resources = Resources.of(source, given)
    resources.own = maps.own
    resources.oids, resources.coding_ids = maps.oids, maps.coding_ids
    running = Running(resources, maps.terminology.tables)
    draft = Draft(name)
    kinds = program.map.kinds
    found = {kind: [n for n in resources.nodes if n.kind == kind] for kind in kinds}
    nodes = next((some for some in found.values() if some), [])  # `Task|Claim`: Claims where there is no Task
    if not nodes:
        raise Refused(f"there is no {' or '.join(kinds)} to write a {name} from", ["nothing to write"])
    running.asked = len(nodes)
    program.run(nodes, draft, running)
    touched = resources.touched()
    for node in nodes:
        if node.place not in touched:
            running.flag("left-out", node.place, str(program.map.place), f"nothing of it is in the {name}")
    draft.prune()
    stops = [f"{f.row}: {f.where}: {f.text}" for f in running.flags if f.refuses]
    if stops:
        raise Refused(f"a {name} cannot be written", stops)
    modified = sorted(
        {r for r, place in resources.unread() if ".modifierExtension" in place and r in touched}
    )
    if modified:
        raise Refused(
            f"a {name} cannot be written",
            [f"{r} has a modifierExtension that no row understands" for r in modified],
        )
    report = Report(program.map.format, flags=running.flags)
    ignore = [p for name in sorted(running.used) for p in maps.maps[name].ignore]
    for resource, place in resources.unread():
        path = f"{resource.partition('/')[0]}{place[len(resource) :]}"
        hit = any(fnmatchcase(_without_places(path), p) for p in ignore)
        (report.ignored if hit else report.not_written).append(place)
    return draft, running, report


def _without_places(path: str) -> str:
    """Take the places in lists out: item[0].net becomes item.net."""
    out, depth = [], 0
    for c in path:
        depth += (c == "[") - (c == "]")
        if not depth and c != "]":
            out.append(c)
    return "".join(out)


def write_any(maps: OutMaps, name: str, source: Any, given: Mapping[str, str]) -> tuple[bytes, Report]:
    """Write a message whose envelope stands among what is given: sender, receiver, control, day, time ..."""
    format = maps.entry(name).map.format
    if format == "cda":
        return write_ccd(maps, source, given, name)
    if format == "hl7v2":
        return write_v2(maps, source, given, name)
    if format == "ncpdp":
        return write_script(maps, source, given, name)
    missing = [n for n in ("sender", "receiver", "control", "day", "time") if not given.get(n)]
    if missing or not given["control"].isdecimal():
        raise Refused(
            "an interchange needs sender, receiver and a control number of nine digits at most",
            [f"{n} is not given" for n in missing or ["control"]],
        )
    envelope = Envelope(
        given["sender"], given["receiver"], given["day"], given["time"], int(given["control"]),
        given.get("senderQualifier", "ZZ"), given.get("receiverQualifier", "ZZ"), given.get("usage", "P"),
    )  # fmt: skip
    return write_x12(maps, name, source, envelope, given)


def write_x12(
    maps: OutMaps, name: str, source: Any, envelope: Envelope, given: Mapping[str, str] | None = None
) -> tuple[bytes, Report]:
    """Write one transaction set in its interchange. Raises Refused, MapError or FormatError.

    `%control`, `%day`, `%time`, `%sender` and `%receiver` come from the envelope, all others from `given`.
    """
    own = {
        "control": str(envelope.control), "day": envelope.day, "time": envelope.time,
        "sender": envelope.sender.strip(), "receiver": envelope.receiver.strip(),
    }  # fmt: skip
    draft, running, report = fill(maps, name, source, {**own, **(given or {})})
    head = draft.get("ST", "03")
    guide = head.value if head is not None else ""
    draft.parts = [p for p in draft.parts if p.name != "ST"]
    made = transaction_set(draft, maps.maps[name].to.split()[0], guide, envelope.separators)
    _all_there(name, made, running)
    data = interchange([made], envelope)
    _demand(maps, name, data)
    report.written = [Value(address, d.source, "" if d.row == "=" else d.row) for address, d in made.values]
    return data, report


def write_ccd(
    maps: OutMaps, source: Any, given: Mapping[str, str] | None = None, name: str = "ccd"
) -> tuple[bytes, Report]:
    """Write the document of one patient. Raises Refused where the resources are not of one patient."""
    _one_patient(source)
    draft, _, report = fill(maps, name, source, given or {})
    data, values = xml.document(draft, "ClinicalDocument", xml.NAMESPACES)
    read_document(data)
    report.written = [Value(address, d.source, "" if d.row == "=" else d.row) for address, d in values]
    lacks = [place for place in _DEMANDED if draft.get(*place.split("/")) is None]
    if lacks:
        raise Refused(f"a {name} cannot be written", [f"{place} has no value" for place in lacks])
    return data, report


_DEMANDED = (
    "id/@root", "effectiveTime/@value", "recordTarget/patientRole", "author/time/@value",
    "author/assignedAuthor/representedOrganization/name",
    "custodian/assignedCustodian/representedCustodianOrganization/name",
)  # fmt: skip


def write_v2(maps: OutMaps, source: Any, given: Mapping[str, str], name: str) -> tuple[bytes, Report]:
    """Write an HL7 v2 message of one patient, or of a merge. Raises Refused where it lacks what it needs."""
    merge = "Patient" in maps.entry(name).map.kinds and given.get("event") in MERGES
    wrong_patients = not_pairs(source) if merge else not_one_patient(source)
    if wrong_patients:
        what = "a merge is of pairs of patients" if merge else "a message is of one patient"
        raise Refused(what, wrong_patients)
    draft, _, report = fill(maps, name, source, given)
    data, values = hl7v2.message(draft)
    report.written = [Value(address, d.source, "" if d.row == "=" else d.row) for address, d in values]
    nodes = Resources.of(source).nodes
    found_at = [m for address, _ in values if (m := _V2_PLACE.match(address))]
    there = {(m[1], m[2], m[3]) for m in found_at} | {(m[1], m[2], f"{m[3]}.{m[4]}") for m in found_at}
    lacks = []
    if merge:
        pairs = len([n for n in nodes if n.kind == "Patient" and is_given_up(n)])
        for segment, number in (("MRG", "1"), ("PID", "3"), ("PID", "5")):
            if len({n for s, n, f in there if (s, f) == (segment, number)}) != pairs:
                lacks.append(f"{segment}-{number} has no value for one of {pairs} merged")
    for kind, places in _V2_DEMANDS.items():
        asked = len([n for n in nodes if n.kind == kind]) if kind else 1
        for place in places if not kind or kind in _V2_ABOUT[maps.maps[name].kinds[0]] else ():
            segment, _, field_ = place.partition("-")
            found = len({n for s, n, f in there if (s, f) == (segment, field_)})
            if found < asked:
                lacks.append(f"{place} has no value" + (f" for {asked - found} {kind}" if kind else ""))
    if "DiagnosticReport" in maps.maps[name].kinds:
        lacks += left_behind(Resources.of(source), [(address, d.source) for address, d in values])
    if lacks:
        raise Refused(f"a {name} cannot be written", lacks)
    wrong = [p for p in check_v2(data) if p.severity == "E" and not _mistaken(p.location, p.code, p.text)]
    if wrong:
        raise Refused(f"the {name} is not what HL7 demands", [f"{p.location}: {p.text}" for p in wrong])
    return data, report


def _mistaken(location: str, code: str, text: str) -> bool:
    """Say whether the checker is wrong: it has no place for notes behind a choice of segments (ORM_O01),
    takes the second order of an OML for a prior result, and holds documents to the 64 KiB of long ago."""
    if location.startswith("OBX") and text == "OBX-5 is longer than a ED may be":
        return True
    return (code == "100" and location.startswith("NTE")) or location == "MSH"


_V2_PLACE = re.compile(r"(\w+)\[(\d+)\]-(\d+)(?:\(\d+\))?(?:\.(\d+))?")
_V2_DEMANDS = {  # of the message, and of every resource of a kind
    "": ("MSH-3", "MSH-5", "MSH-7", "MSH-9.2", "MSH-10", "MSH-12", "PID-3", "PID-5"),
    "ServiceRequest": ("ORC-1", "ORC-2", "OBR-2", "OBR-4"),
    "Task": ("ORC-1", "ORC-5", "OBR-4"),
    "Immunization": ("ORC-1", "RXA-3", "RXA-5", "RXA-20"),
    "DiagnosticReport": ("OBR-4", "OBR-25"),
}
_V2_ABOUT = {
    "ServiceRequest": ("ServiceRequest",),
    "Immunization": ("Immunization",),
    "DiagnosticReport": ("DiagnosticReport",),
    "Patient": (),
    "Task": ("Task",),
}


def write_script(
    maps: OutMaps, source: Any, given: Mapping[str, str], name: str = "newrx"
) -> tuple[bytes, Report]:
    """Write the message of one prescription. Raises Refused where a part lacks that the pharmacy needs."""
    kind = maps.maps[name].kinds[0]
    orders = [n for n in Resources.of(source).nodes if n.kind == kind]
    if len(orders) != 1:
        raise Refused(f"a {name} is of one {kind}", [f"there are {len(orders)}"])
    draft, _, report = fill(maps, name, source, given)
    data, values = xml.document(draft, "Message", {}, ordered=False)
    report.written = [Value(address, d.source, "" if d.row == "=" else d.row) for address, d in values]
    lacks = [place for place in _SCRIPT_DEMANDS if draft.get(*place.split("/")) is None]
    if lacks:
        raise Refused(f"a {name} cannot be written", [f"{place} has no value" for place in lacks])
    read_script(data)
    return data, report


_DRUG = "Body/NewRx/MedicationPrescribed"
_SCRIPT_DEMANDS = (
    "Header/To", "Header/From", "Header/MessageID", "Header/SentTime",
    *(f"Body/NewRx/Patient/HumanPatient/{n}" for n in ("Name/LastName", "Gender", "DateOfBirth/Date")),
    "Body/NewRx/Pharmacy/Identification/NCPDPID", "Body/NewRx/Pharmacy/BusinessName",
    "Body/NewRx/Prescriber/NonVeterinarian/Identification/NPI",
    "Body/NewRx/Prescriber/NonVeterinarian/Name/LastName",
    *(f"{_DRUG}/{n}" for n in ("DrugDescription", "Quantity/Value", "WrittenDate/Date", "Substitutions",
                               "NumberOfRefills", "Sig/SigText")),
)  # fmt: skip


def _one_patient(source: Any) -> None:
    """Refuse resources of two patients, or of one that is not there: they must never share a document."""
    wrong = not_one_patient(source)
    if wrong:
        raise Refused("a document is of one patient", wrong)


_ONE_EACH = {"837P": "CLM", "276": "TRN", "278": "UM"}
"""The segment that stands once for each resource written."""


def _all_there(name: str, made: Written, running: Running) -> None:
    """Refuse where a resource has no segment of its own: what is left out must never look sent."""
    there = sum(row[0] == _ONE_EACH.get(name) for row in made.rows)
    if name in _ONE_EACH and there != running.asked:
        gone = f"{running.asked - there} of {running.asked} have no place in it"
        raise Refused(f"a {name} cannot be written", [f"{gone}: look at use, type, patient and coverage"])


def _demand(maps: OutMaps, name: str, data: bytes) -> None:
    """Read back what was written: what its own validator complains of is not sent."""
    segments, _, problems = read_segments(data)
    for item in envelopes(segments):
        if isinstance(item, Transaction):
            problems += check_transaction(item, item.tree())
        else:
            problems += check_interchange(item)
    errors = [p for p in problems if p.severity == "E"]
    if errors:
        raise Refused(f"the {name} lacks what its guide demands", [_said(p) for p in errors])


def _said(p: Problem) -> str:
    place = f"{p.loop}/{p.where}" if p.loop else p.where
    return f"{place}: {p.text}"
