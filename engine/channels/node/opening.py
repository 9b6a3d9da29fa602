"""Open what imaging needs of a project: where objects are kept, what is held, the way of objects to both.

In: the settings, the keys, the channels. Out: both stores, made at the first start; the nodes by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.channels.definition import Channel
from engine.channels.node.ingest import Ingest
from engine.formats.dicom.uids import is_storage
from engine.imaging.index import SqlIndex
from engine.kernel.config import Config
from engine.kernel.imaging import Objects
from engine.kernel.message import Accepted, NewEntry
from engine.listeners.dicom_settings import DicomSettings
from engine.objects.folder import FolderObjects
from engine.security.keys import Keyring

__all__ = ["Imaging", "nodes_of", "open_imaging", "open_ingest", "open_objects", "retrieve_url", "takes_of"]


@dataclass(frozen=True, slots=True)
class Imaging:
    """What is held: objects, and the index of them."""

    objects: Any  # Objects, with `close`
    index: SqlIndex

    def close(self) -> None:
        """Close both."""
        self.index.close()
        self.objects.close()


def nodes_of(channels: Iterable[Channel]) -> dict[str, DicomSettings]:
    """Return the nodes by their channels' names."""
    return {c.name: c.dicom.dicom for c in channels if c.dicom is not None}


def open_objects(config: Config, keyring: Keyring) -> Objects:
    """Open the object store. Raises ConfigError."""
    reserve = config.disk_reserve_mb << 20
    if config.objects.s3:
        from engine.objects.s3 import S3Objects

        o = config.objects
        return S3Objects(
            o.s3,
            keyring,
            region=o.region,
            access_key=o.access_key,
            secret_key=o.secret_key,
            spool=config.objects_dir,
            reserve_bytes=reserve,
        )
    return FolderObjects(config.objects_dir, keyring, reserve_bytes=reserve)


def open_imaging(config: Config, keyring: Keyring) -> Imaging:
    """Open the object store and the index. Raises ConfigError, StoreUnavailable."""
    objects = open_objects(config, keyring)
    try:
        return Imaging(objects, SqlIndex.open(config.imaging_url, keyring))
    except BaseException:
        objects.close()  # type: ignore[attr-defined]
        raise


def takes_of(nodes: Mapping[str, DicomSettings]) -> Callable[[str, str], bool]:
    """Return what says whether a channel takes objects of a SOP class; without a node, storage only."""

    def takes(channel: str, sop_class: str) -> bool:
        node = nodes.get(channel)
        return is_storage(sop_class) if node is None else node.takes_class(sop_class)

    return takes


def open_ingest(
    imaging: Imaging,
    nodes: Mapping[str, DicomSettings],
    append: Callable[[Sequence[NewEntry]], list[Accepted]],
) -> Ingest:
    """Return the way of objects to the disk, under the rules of the nodes, on whatever way they come."""

    def issuer(channel: str) -> str:
        node = nodes.get(channel)
        return node.issuers.patient if node is not None else ""

    most = max(node.max_object_mb for node in nodes.values()) << 20
    return Ingest(
        imaging.objects, imaging.index, append, max_object_bytes=most, issuer=issuer, takes=takes_of(nodes)
    )


def retrieve_url(config: Config) -> str:
    """Return where studies are retrieved by WADO-RS, as the core store is told."""
    base = config.console.proxy
    if not base:
        scheme = "https" if config.console.tls else "http"
        base = f"{scheme}://{config.console.listen}"
    return f"{base.rstrip('/')}/dicomweb"
