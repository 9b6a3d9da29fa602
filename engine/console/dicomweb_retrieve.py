"""WADO-RS: instances as they are held or in another native transfer syntax, and their metadata (PS3.18 10.4).

In: the instances of a study, a series, or one; the wishes of who asks. Out: answers that are streamed from
the sealed objects, with their length where nothing has to be written anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from engine.console.dicomweb_accept import Wish, json_wanted, wishes
from engine.console.dicomweb_answer import Answer, Part, copied, json_stream, multipart, single
from engine.console.dicomweb_object import Opened
from engine.console.dicomweb_transcode import reachable, transcoded
from engine.console.exchange import Ask
from engine.console.refusals import Refusal
from engine.fhir import jsonio
from engine.formats.dicom.jsonmodel import to_model
from engine.formats.dicom.uids import is_encapsulated
from engine.kernel.errors import HubError
from engine.kernel.imaging import HeldInstance

__all__ = ["Held", "address", "closing", "metadata", "retrieve"]

log = logging.getLogger("hub.console")

_DICOM = "application/dicom"
_INLINE = 1024  # bytes of a binary value that stand in the metadata themselves

Open = Callable[[str], BinaryIO]


@dataclass(frozen=True, slots=True)
class Held:
    """What a request is about: `what` names the resource, `uids` its place; its instances, one at least."""

    what: str
    uids: tuple[str, ...]
    instances: Sequence[HeldInstance]

    @property
    def detail(self) -> str:
        """Say for the audit table what was asked for."""
        return f"{'/'.join(self.uids)} instances {len(self.instances)}"


def address(base: str, one: HeldInstance) -> str:
    """Return the URL of an instance."""
    return f"{base}/studies/{one.study}/series/{one.series}/instances/{one.sop_instance}"


def retrieve(held: Held, ask: Ask, open_: Open) -> Answer:
    """Answer with whole instances (PS3.18 10.4.1.1.1 to 10.4.1.1.3)."""
    one = len(held.instances) == 1 and held.what == "instance"
    asked = [wish for wish in wishes(ask) if wish.takes(_DICOM, parts=True)]
    alone = False
    if one:
        asked = [wish for wish in wishes(ask) if wish.takes(_DICOM, parts=wish.parts is not False)]
        asked = [wish for wish in asked if _reached(held.instances[0].transfer_syntax, wish)][:1]
        alone = any(wish.parts is False for wish in asked)
    parts = [_part(instance, asked, open_, ask.base) for instance in held.instances]
    if one:  # what cannot be written is found out while another answer can still be given
        parts = [_ready(parts[0], held.instances[0], asked, open_)]
    if alone:
        return single(parts[0], "retrieve", held.what, held.detail)
    return multipart(parts, _DICOM, "retrieve", held.what, held.detail)


def _reached(held: str, wish: Wish) -> str:
    return reachable(held, wish.syntax, is_encapsulated(held))


def _syntax(held: str, asked: Sequence[Wish]) -> str:
    for wish in asked:
        if found := _reached(held, wish):
            return found
    raise Refusal(
        406, "what is held cannot be had in this media type and transfer syntax; transfer-syntax=* takes any"
    )


def _part(instance: HeldInstance, asked: Sequence[Wish], open_: Open, base: str) -> Part:
    syntax = _syntax(instance.transfer_syntax, asked)
    same = syntax == instance.transfer_syntax

    def content() -> Iterator[bytes]:
        stream = open_(instance.address)
        if same:
            yield from closing(stream, copied(stream, 0, instance.size))
        else:
            opened = Opened(stream)
            yield from closing(opened, transcoded(opened, syntax)[1])

    media = f"{_DICOM};transfer-syntax={syntax}"
    return Part(media, instance.size if same else None, content, address(base, instance))


def _ready(part: Part, instance: HeldInstance, asked: Sequence[Wish], open_: Open) -> Part:
    """Return the part with its length, where it must be written anew to know it."""
    if part.length is not None:
        return part
    opened = Opened(open_(instance.address))
    length, content = transcoded(opened, _syntax(instance.transfer_syntax, asked))
    return replace(part, length=length, content=lambda: closing(opened, content))


def closing(what: Any, content: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what there is, then close what it came from."""
    try:
        yield from content
    finally:
        what.close()


def metadata(held: Held, ask: Ask, open_: Open) -> Answer:
    """Answer with all attributes but bulk data (PS3.18 10.4.1.1.5)."""
    json_wanted(ask)
    rows = (jsonio.dumps(_row(instance, open_, ask.base)) for instance in held.instances)
    return json_stream(rows, "metadata", held.what, held.detail)


def _row(instance: HeldInstance, open_: Open, base: str) -> dict[str, Any]:
    bulk = f"{address(base, instance)}/bulkdata/"
    try:
        opened = Opened(open_(instance.address))
    except (HubError, Refusal) as e:
        # one damaged object must not hide the others of its study
        log.error("object %s: metadata are those of the index: %s", instance.address, e)
        return _told(to_model(instance.dataset), instance)
    try:
        model = to_model(opened.dataset, binary=_INLINE, bulk=lambda path, _: bulk + path)
        if opened.pixels is not None:
            tag = f"{opened.pixels.tag:08X}"
            model[tag] = {"vr": opened.pixels.vr, "BulkDataURI": bulk + tag}
    finally:
        opened.close()
    return _told(model, instance)


def _told(model: dict[str, Any], instance: HeldInstance) -> dict[str, Any]:
    if "00080005" in model:
        model["00080005"] = {"vr": "CS", "Value": ["ISO_IR 192"]}  # as the text is now: PS3.18 F.2
    model["00083002"] = {"vr": "UI", "Value": [instance.transfer_syntax]}
    return dict(sorted(model.items()))
