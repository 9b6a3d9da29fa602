"""The documents of a parcel, each with what is known of it.

In: a parcel and what the site says. Out: entries, in the order they stand there; a `FormatError` for a parcel
without a document that can be shared. A CDA document tells of itself; a Bundle brings DocumentReferences
whose attachments hold their data.
"""

from __future__ import annotations

from datetime import UTC, datetime

from engine.destinations.sharing_settings import SharingSettings
from engine.fhir import jsonio
from engine.formats.content import recognise
from engine.formats.xds.ebrim import Submission
from engine.formats.xds.entry import DocumentEntry, Sharing
from engine.formats.xds.of_cda import entry_of_cda
from engine.formats.xds.of_reference import entries_of_bundle
from engine.kernel.delivery import Parcel
from engine.kernel.errors import FormatError

__all__ = ["documents_of", "submission_of", "when_of"]


def submission_of(
    parcel: Parcel, sharing: SharingSettings, sender: str = "", recipients: tuple[str, ...] = ()
) -> Submission:
    """Return who submits what is in a parcel, and when: the same on every try."""
    return Submission(
        key=parcel.key,
        source=sharing.source,
        submitted=when_of(parcel).isoformat(),
        organization=sharing.organization,
        sender=sender,
        recipients=recipients,
        content=sharing.content.coded if sharing.content is not None else None,
        domain=sharing.domain,
    )


def when_of(parcel: Parcel) -> datetime:
    """Return when what is sent came in."""
    try:
        at = datetime.fromisoformat(parcel.facts.get("received", ""))
    except ValueError:
        return datetime.now(UTC)
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)


def documents_of(parcel: Parcel, sharing: Sharing, identity_base: str) -> list[DocumentEntry]:
    """Return the documents of a parcel: none, where it is a Bundle of something else."""
    if recognise(parcel.body) == "cda":
        return [entry_of_cda(parcel.body, sharing)]
    if parcel.media.partition(";")[0].strip() == "application/fhir+json":
        return entries_of_bundle(jsonio.loads(parcel.body), sharing, identity_base, parcel.mentioned)
    raise FormatError(
        "nothing to share",
        why="what is delivered holds no document",
        remedy="`body: ccd`, `original` where the channel receives CDA documents, or `fhir` where it makes "
        "DocumentReferences",
    )
