"""What stands at every location of an entry, under the addresses of lineage.

In: an entry, the maps, its site. Out: address -> value, for all formats. For comparing, and for `--show-phi`.
"""

from __future__ import annotations

from engine.channels.arriving import read_body
from engine.formats.content import recognise
from engine.formats.hl7v2.leaves import leaves
from engine.formats.hl7v2.parse import parse
from engine.formats.x12.addresses import leaves as x12_leaves
from engine.formats.x12.segments import text_of
from engine.kernel.message import Entry
from engine.mapping.from_x12 import arrivals
from engine.mapping.project import Maps

__all__ = ["charset_of", "values_of"]


def charset_of(maps: Maps, site: str) -> str:
    """Return the character set that a site's messages have where they name none."""
    return next((s.charset for s in reversed(maps.chain(site)) if s.charset), "")


def values_of(entry: Entry, charset: str = "") -> dict[str, str]:
    """Return what stands at every location of an entry; `charset`: where the message names none.

    Raises FormatError.
    """
    format = recognise(entry.body)
    if format in ("", "hl7v2"):
        message = parse(entry.body, charset=entry.charset or charset)
        return {leaf.address: leaf.value for leaf in leaves(message)}
    if format == "x12":
        segments = (s for sent in arrivals(entry.body) for s in sent.segments)
        return {leaf.address: text_of(leaf.value) for s in segments for leaf in x12_leaves(s)}
    document = read_body(entry.body, format).document
    return {leaf.place: leaf.value for leaf in document.leaves()}
