"""Open what imaging needs of a project: where objects are kept, what is held; the nodes and who they call.

In: the settings, the keys, the channels. Out: both stores, made at the first start; targets of a node's peers
with its own certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.channels.definition import Channel
from engine.destinations.dicom import Target
from engine.formats.dicom.uids import is_storage
from engine.imaging.index import SqlIndex
from engine.kernel.config import Config
from engine.kernel.imaging import Objects
from engine.listeners.dicom_policy import Policy
from engine.listeners.dicom_settings import DicomPeer, DicomSettings
from engine.listeners.dicom_tls import client_context
from engine.objects.folder import FolderObjects
from engine.security.keys import Keyring

__all__ = ["Imaging", "nodes_of", "open_imaging", "open_objects", "retrieve_url", "takes_of", "target_of"]


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
    """Return what says whether a channel takes objects of a SOP class, on whatever way they come."""
    policies = {name: Policy(node) for name, node in nodes.items()}

    def takes(channel: str, sop_class: str) -> bool:
        policy = policies.get(channel)
        return is_storage(sop_class) if policy is None else policy.takes_class(sop_class)

    return takes


def target_of(node: DicomSettings, peer: DicomPeer) -> Target:
    """Say how a node calls one of its peers. Raises ConfigError where a certificate cannot be used."""
    tls = client_context(node.tls) if peer.tls else None
    return Target(peer.host, peer.port, peer.ae_title, node.ae_title, tls, node.idle_seconds)


def retrieve_url(config: Config) -> str:
    """Return where studies are retrieved by WADO-RS, as the core store is told."""
    base = config.console.proxy
    if not base:
        scheme = "https" if config.console.tls else "http"
        base = f"{scheme}://{config.console.listen}"
    return f"{base.rstrip('/')}/dicomweb"
