"""What DICOMweb of a project is served from: opened once for the web side, where the project has a node.

In: the settings, keys and channels, the journal. Out: a `DicomWeb`, and what to close at the end. Objects
that are stored by HTTP belong to the first node.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.channels.definition import Channel
from engine.channels.node.opening import Imaging, nodes_of, open_imaging, open_ingest
from engine.console.dicomweb import DicomWeb
from engine.journal.sql import SqlJournal
from engine.kernel.config import Config
from engine.security.keys import Keyring

__all__ = ["open_dicomweb"]


def open_dicomweb(
    config: Config, keyring: Keyring, channels: Sequence[Channel], journal: SqlJournal
) -> tuple[DicomWeb | None, Imaging | None]:
    """Open both stores; nothing where there is no node. Raises ConfigError, StoreUnavailable."""
    nodes = nodes_of(channels)
    if not nodes:
        return None, None
    name, node = next(iter(nodes.items()))
    imaging = open_imaging(config, keyring)
    ingest = open_ingest(imaging, nodes, journal.append)
    return DicomWeb(imaging.index, imaging.objects, ingest, name, node.max_object_mb << 20), imaging
