"""Whom a node calls: its peers as targets, with the node's own title and certificate.

In: a node's settings and one of its peers. Out: a `Target`. Apart from `opening.py`, which is loaded where
nobody is called.
"""

from __future__ import annotations

from engine.destinations.dicom import Target
from engine.listeners.dicom_settings import DicomPeer, DicomSettings
from engine.listeners.dicom_tls import client_context

__all__ = ["target_of"]


def target_of(node: DicomSettings, peer: DicomPeer) -> Target:
    """Say how a node calls one of its peers. Raises ConfigError where a certificate cannot be used."""
    tls = client_context(node.tls) if peer.tls else None
    return Target(peer.host, peer.port, peer.ae_title, node.ae_title, tls, node.idle_seconds)
