"""A DICOM node: objects, queries, worklists, procedure steps, commitments, over associations of pynetdicom.

In: a node's settings and what the hub does for it (`NodeServices`). Out: its address; metrics. Nothing is
answered with success before the services have said so. Stopping takes no new connections, lets what is being
served end for a while, then aborts. Follows PS3.8 (upper layer) and PS3.7 (DIMSE).
"""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

from pynetdicom import AE, build_context, evt

from engine.formats.dicom.uids import IMPLEMENTATION_UID, IMPLEMENTATION_VERSION
from engine.kernel.errors import ConfigError
from engine.kernel.imaging import NodeServices
from engine.listeners.dicom_answers import Answers
from engine.listeners.dicom_metrics import NodeMetrics
from engine.listeners.dicom_policy import LIMIT, VERIFICATION, Policy, Rejected
from engine.listeners.dicom_retrieve import Retrieval
from engine.listeners.dicom_settings import DicomSettings
from engine.listeners.dicom_tls import server_context
from engine.listeners.dicom_transport import NodeRequest, NodeServer
from engine.wire.dicom_library import hush

__all__ = ["DicomNode"]

log = logging.getLogger("hub.dicom")


class DicomNode:
    """One node; `start` and `stop` it."""

    def __init__(
        self,
        channel: str,
        settings: DicomSettings,
        services: NodeServices,
        metrics: NodeMetrics | None = None,
    ) -> None:
        self.metrics = metrics or NodeMetrics()
        self._channel, self._settings = channel, settings
        self._policy = Policy(settings)
        self._answers = Answers(channel, settings, services, self.metrics)
        self._retrieval = Retrieval(channel, settings, services, self.metrics, self._answers.peer_of)
        self._server: NodeServer | None = None
        self._lock, self._now = threading.Lock(), 0
        self._thread: threading.Thread | None = None

    def start(self) -> str:
        """Open the port; return its address, `dicom://TITLE@HOST:PORT`. Raises ConfigError."""
        hush()
        s = self._settings
        ae = AE(s.ae_title)
        ae.maximum_pdu_size = s.max_pdu_bytes
        # pynetdicom would count connections that have asked for nothing yet
        ae.maximum_associations = 1 << 20
        ae.network_timeout = s.idle_seconds
        ae.acse_timeout = min(30.0, s.idle_seconds)
        ae.dimse_timeout = s.idle_seconds
        ae.implementation_class_uid = IMPLEMENTATION_UID
        ae.implementation_version_name = IMPLEMENTATION_VERSION
        tls = server_context(s.tls) if s.tls is not None else None
        try:
            server: Any = ae.make_server(
                (s.host, s.port),
                contexts=[build_context(VERIFICATION)],  # what a caller may have is decided when it calls
                ssl_context=tls,
                evt_handlers=[
                    *self._answers.handlers(),
                    (evt.EVT_REQUESTED, self._requested),
                    (evt.EVT_ESTABLISHED, self._established),
                    (evt.EVT_REJECTED, self._rejected),
                    (evt.EVT_RELEASED, self._ended, ["release"]),
                    (evt.EVT_ABORTED, self._ended, ["abort"]),
                ],
                server_class=NodeServer,
                request_handler=NodeRequest,
            )
        except OSError as e:
            raise ConfigError(
                f"port {s.port} on {s.host} cannot be opened",
                where=f"channel {self._channel}",
                why=(e.strerror or "").lower(),
                remedy="set another port: there, or stop what uses it",
            ) from None
        server.name, server.seconds = self._channel, s.idle_seconds
        server.most = s.max_associations * 2 + 20  # those above are told why they are rejected
        server.begin = self._answers.begin
        server.may_connect = self._policy.may_connect
        server.left = self._left
        server.retrieve = self._retrieval.serve
        server.count = lambda name, **labels: self.metrics.count(name, self._channel, **labels)
        ae._servers.append(server)
        self._server, self._thread = server, server.serve()
        host = f"[{s.host}]" if ":" in s.host else s.host
        return f"dicom://{s.ae_title}@{host}:{self.port}"

    @property
    def port(self) -> int:
        """The port that is open."""
        return int(self._server.server_address[1]) if self._server is not None else 0

    @property
    def associations(self) -> int:
        """How many associations there are now."""
        return len(self._server.active_associations) if self._server is not None else 0

    def stop(self, seconds: float = 5.0) -> None:
        """Take no more connections, and end: after `seconds` what is left is aborted."""
        server, self._server = self._server, None
        if server is None:
            return
        server.shutdown()
        until = time.monotonic() + seconds
        while server.active_associations and time.monotonic() < until:
            time.sleep(0.02)
        for association in server.active_associations:
            association.abort()
        if self._thread is not None:
            self._thread.join(1.0)

    def _requested(self, event: Any) -> None:
        """Decide who calls, and what is supported for that caller; pynetdicom negotiates the rest."""
        association = event.assoc
        association.asked = True
        rq = association.requestor.primitive
        calling = str(rq.calling_ae_title).strip()
        judged = self._policy.judge(
            str(rq.called_ae_title).strip(), calling, str(association.requestor.address)
        )
        if not isinstance(judged, Rejected):
            judged = self._counted(association, judged)
        if isinstance(judged, Rejected):
            self.metrics.count("rejected", self._channel, reason=judged.word)
            association.acse.send_reject(judged.result, judged.source, judged.reason)
            association.kill()
            return
        association.may = judged
        proposed = [str(c.abstract_syntax) for c in rq.presentation_context_definition_list]
        association.acceptor.supported_contexts = self._policy.contexts(proposed, judged)

    def _counted(self, association: Any, may: frozenset[str]) -> frozenset[str] | Rejected:
        with self._lock:
            if self._now >= self._settings.max_associations:
                return LIMIT
            self._now += 1
            association.counted = True
        return may

    def _left(self, association: Any) -> None:
        """Count out an association that is over in every respect."""
        with self._lock:
            self._now -= association.counted
            association.counted = False

    def _established(self, event: Any) -> None:
        self.metrics.count("associations", self._channel)
        self.metrics.associations(self._channel, self.associations)

    def _rejected(self, event: Any) -> None:
        self.metrics.count("rejected", self._channel, reason="limit")

    def _ended(self, event: Any, how: str) -> None:
        self.metrics.count("ended", self._channel, how=how)
        self.metrics.associations(self._channel, self.associations)
