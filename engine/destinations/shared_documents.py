"""The documents of a parcel, each with what is known of it.

In: a parcel and what the site says. Out: entries, in the order they stand there; a `FormatError` for a parcel
without a document that can be shared. A CDA document tells of itself; a Bundle brings DocumentReferences
whose attachments hold their data.
"""

from __future__ import annotations

from engine.formats.content import recognise
from engine.formats.xds.entry import DocumentEntry, Sharing
from engine.formats.xds.of_cda import entry_of_cda
from engine.kernel.delivery import Parcel
from engine.kernel.errors import FormatError

__all__ = ["documents_of"]


def documents_of(parcel: Parcel, sharing: Sharing) -> list[DocumentEntry]:
    """Return the documents of a parcel."""
    if recognise(parcel.body) == "cda":
        return [entry_of_cda(parcel.body, sharing)]
    raise FormatError(
        "nothing to share",
        why="what is delivered holds no document",
        remedy="`body: ccd`, or `original` where the channel receives CDA documents",
    )
