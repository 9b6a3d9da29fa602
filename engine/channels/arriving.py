"""Bodies of any format but HL7 v2, as the worker takes them: read once, arranged for the mapper, run so that
references name resources as the core store does.

In: the bytes of a journal entry, or of a whole file. Out: `Read` (what arrives at the maps, and what is known
of it before), or the bodies that a way in would make entries of.
"""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

from engine.formats import xdm
from engine.formats.cda import document as cda
from engine.formats.content import recognise
from engine.formats.dicom import document as dicom
from engine.formats.facts import Facts, of_cda, of_dicom, of_script, of_segments
from engine.formats.fhir import posted as fhir
from engine.formats.fhir.facts import of_fhir
from engine.formats.hl7v2.split import split_messages
from engine.formats.ncpdp import message as ncpdp
from engine.formats.x12.cut import Part, cut
from engine.formats.x12.segments import Reader
from engine.kernel.errors import FormatError
from engine.listeners.accepting import FhirIn, private_base
from engine.mapping.arrived import Arrived
from engine.mapping.fhir.arrived import fhir_arrived
from engine.mapping.fhir.identity import Incoming
from engine.mapping.from_x12 import arrivals
from engine.mapping.run import Run, TracedRun
from engine.mapping.treearrived import cda_arrived, dicom_arrived, script_arrived

if TYPE_CHECKING:
    from engine.channels.definition import Channel

__all__ = ["Read", "Way", "bodies_of", "read_body", "stored", "stored_traced", "way_of"]


@dataclass(frozen=True, slots=True)
class Read:
    """One body: what is mapped of it, one after another, and its facts."""

    format: str
    arrived: tuple[Arrived, ...]
    facts: Facts
    document: Any = None  # what the format room read: a Document, a Script, a Dicom, a Posted


class Way(NamedTuple):
    """What a channel says of those who send to it."""

    issuers: dicom.Issuers | None = None  # whose DICOM numbers come without an issuer
    fhir: Incoming = Incoming()


def read_body(body: bytes, format: str, way: Way = Way()) -> Read:
    """Read a body of CDA, X12, SCRIPT, DICOM or FHIR. Raises FormatError."""
    if format == "cda":
        document = cda.parse(body)
        return Read(format, (cda_arrived(document),), of_cda(document), document)
    if format == "ncpdp":
        script = ncpdp.parse(body)
        return Read(format, (script_arrived(script),), of_script(script), script)
    if format == "x12":
        arrived = tuple(arrivals(body))
        if not arrived:
            raise FormatError("no transaction set in this interchange", where="ST", remedy="send ST..SE")
        first = arrived[0].transaction
        outer = (first.interchange, first.group)
        around = [o.header for o in outer if o is not None and o.header is not None]
        return Read(format, arrived, of_segments([*around, *(s for a in arrived for s in a.segments)]))
    if format == "dicom":
        image = dicom.parse(body, way.issuers)
        return Read(format, (dicom_arrived(image),), of_dicom(image), image)
    if format == "fhir":
        posted = fhir.parse(body)
        return Read(format, (fhir_arrived(posted, way.fhir),), of_fhir(posted, way.fhir.base), posted)
    raise FormatError("no format that is read here", remedy="send HL7 v2, CDA, X12, SCRIPT, DICOM or FHIR")


def way_of(channel: Channel) -> Way:
    """Say what a channel knows of those who send to it."""
    node, receives = channel.dicom, channel.receives
    issuers = {} if node is None else node.dicom.issuers.model_dump()
    said = FhirIn() if receives is None else receives.rules.fhir
    base = said.base or private_base(channel.name)
    return Way(issuers, Incoming(base, said.patients, said.deletes != "refuse"))


def bodies_of(data: bytes) -> list[tuple[str, bytes]]:
    """Return (format, body) of every entry that a file with these bytes would become."""
    format = recognise(data)
    if format == "x12":
        parts = cut(Reader(BytesIO(data)))
        return [("x12", part.body) for part in parts if isinstance(part, Part)]
    if format == "xdm":
        inner = (d for d in xdm.read_package(data).documents if d.is_cda and not d.problem)
        return [("xdm", data), *(("cda", d.data) for d in inner)]
    if format in ("cda", "ncpdp", "dicom", "fhir"):
        return [(format, data)]
    return [("hl7v2", bytes(one.data)) for one in split_messages(data)]


class _Stored:
    """A run whose references name resources as the core store does: `Type/id`."""

    left_out = frozenset({"MessageHeader"})

    def reference(self, kind: str, draft_id: str) -> dict[str, Any]:
        return {"reference": f"{kind}/{draft_id}"}


class _StoredWithHeader(_Stored):
    left_out = frozenset()


_MADE: dict[tuple[str, bool], Any] = {}


def stored(run: type[Run], header: bool = False) -> type[Run]:
    """Return a run for the store; `header`: it keeps a MessageHeader."""
    return _stored(run, header)  # type: ignore[no-any-return]


def stored_traced(run: type[TracedRun], header: bool = False) -> type[TracedRun]:
    """Return its traced twin."""
    return _stored(run, header)  # type: ignore[no-any-return]


def _stored(run: Any, header: bool) -> Any:
    key = f"{run.__module__}.{run.__qualname__}", header
    if key not in _MADE:
        _MADE[key] = type(f"Stored{run.__name__}", (_StoredWithHeader if header else _Stored, run), {})
    return _MADE[key]
