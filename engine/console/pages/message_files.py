"""Files out of a message: its bytes, what is embedded in it, a small picture of its images.

In: the number of an entry. Out: downloads under a policy that lets them do nothing. The media type is what
the bytes are; markup of a sender is never handed out as markup. Every one is in the audit first.
"""

from __future__ import annotations

from engine.channels.message.content import open_content
from engine.console.answers import Answer, Download, Refused
from engine.console.dicomweb_rendered import thumbnail
from engine.console.dicomweb_retrieve import Held
from engine.console.door import Door
from engine.console.exchange import Ask
from engine.console.pages.message import opened
from engine.console.refusals import Refusal
from engine.console.visit import Visit
from engine.formats.content import recognise
from engine.formats.dicom.document import parse
from engine.kernel.errors import FormatError, HubError
from engine.kernel.message import Entry

__all__ = ["add"]

_SUFFIX = {
    "": "hl7",
    "hl7v2": "hl7",
    "x12": "x12",
    "cda": "xml",
    "ncpdp": "xml",
    "dicom": "dcm",
    "xdm": "zip",
    "fhir": "json",
}


def _body(visit: Visit, action: str) -> Entry:
    """Open the body of a visit's entry, or refuse."""
    one = opened(visit, action)
    visit.require("see.bodies", one.about.channel)
    if one.body is None:
        raise Refused(404, one.problem or "There is no body.")
    return one.body


def add(door: Door) -> None:
    """Add the pages."""

    @door.get("/message/{entry:int}/download", needs="export", twin=False)
    def download(visit: Visit) -> Answer:
        """Hand out the bytes of a message as they came."""
        body = _body(visit, "message:download")
        visit.require("export", body.channel)
        suffix = _SUFFIX.get(recognise(body.body), "bin")
        return Download(body.body, "application/octet-stream", f"entry-{body.id}.{suffix}")

    @door.get("/message/{entry:int}/content/{number:int}", needs="see.bodies", twin=False)
    def content(visit: Visit) -> Answer:
        """Hand out one thing that is embedded in a message."""
        body = _body(visit, "message:content")
        try:
            found = open_content(body, int(visit.path["number"]))
        except HubError as e:
            raise Refused(404, str(e)) from None
        return Download(found.body, found.media, found.filename, found.inline)

    @door.get("/message/{entry:int}/thumbnail", needs="see.bodies", twin=False)
    def picture(visit: Visit) -> Answer:
        """Hand out a small picture of the images that a message tells of."""
        body = _body(visit, "message:thumbnail")
        visit.require("see.studies", body.channel)
        return Download(_picture(visit, body), "image/jpeg", f"entry-{body.id}.jpg", True)


def _picture(visit: Visit, body: Entry) -> bytes:
    imaging = visit.hub.imaging()
    if imaging is None or recognise(body.body) != "dicom":
        raise Refused(404, "There is nothing to show.")
    try:
        document = parse(body.body)
    except FormatError as e:
        raise Refused(404, f"It cannot be read: {e.what}") from None
    study, one = document.own("StudyInstanceUID"), document.own("SOPInstanceUID")
    alone = document.kind == "instance"
    found = imaging.index.instances(study, "", (one,) if alone else (), False) if study else []
    if not found:
        raise Refused(404, "The images are not held here (any more).")
    ask = Ask("GET", headers={"accept": "image/jpeg"}, base=visit.base)
    try:
        return thumbnail(Held("study", (study,), found), ask, imaging.objects.open).body
    except Refusal as e:
        raise Refused(e.status if e.status == 503 else 404, e.text) from None
