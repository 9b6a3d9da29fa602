"""The DICOM process of `hub serve`: every node of the project, and what they do beside their associations.

In: the settings, the channels, the keys. Out: a process that ends when it is told to, its addresses said to
the supervisor. Rounds of their own: studies are told to the core store, commitments answered, objects
forwarded, links looked at again when an order or a patient comes later, leftovers swept.
"""

from __future__ import annotations

import logging
import random
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

from engine.channels.definition import Channel
from engine.channels.node.committing import Commitments
from engine.channels.node.forwarding import Forwarding
from engine.channels.node.keys import order_keys
from engine.channels.node.linked import Links
from engine.channels.node.opening import Imaging, nodes_of, open_imaging, open_ingest, retrieve_url
from engine.channels.node.recovery import catch_up, sweep
from engine.channels.node.rounds import Round
from engine.channels.node.services import Services
from engine.channels.node.steps import Steps
from engine.channels.node.targets import target_of
from engine.channels.node.teller import Teller
from engine.channels.node.telling import StatusOut
from engine.channels.node.worklist import Worklist
from engine.channels.opening import open_journal, open_store
from engine.channels.sharing import open_queue, ringing
from engine.channels.spans import traced_journal
from engine.destinations.dicom import Outcome, Outgoing, report_commitment, store
from engine.destinations.mllp import send
from engine.journal.sql import SqlJournal
from engine.kernel.clock import now_ms
from engine.kernel.config import Config
from engine.kernel.errors import place_of
from engine.kernel.imaging import HeldInstance
from engine.listeners.dicom import DicomNode
from engine.listeners.dicom_metrics import NodeMetrics
from engine.listeners.dicom_settings import DicomPeer, DicomSettings
from engine.mapping.outbound.library import OutMaps
from engine.mapping.project import Maps
from engine.security.keys import Keyring
from engine.store.sql import SqlStore

__all__ = ["run_nodes"]

log = logging.getLogger("hub.dicom")
TELL, TELL_ORDERS, ANSWER, SEND, LINK, SWEEP, MEASURE = (
    0.5,
    1.0,
    2.0,
    2.0,
    2.0,
    3600.0,
    5.0,
)  # seconds between two rounds
STOP = 5.0  # seconds what is being served has to end


class _Process:
    """Everything of one DICOM process, from its start to its stop."""

    def __init__(self, config: Config, channels: Iterable[Channel], keyring: Keyring, maps: Maps) -> None:
        channels = [c for c in channels if c.dicom is not None]
        nodes = nodes_of(channels)
        self._config, self._nodes = config, nodes
        words = {c.name: maps.of("dicom").program(c.site or "standard").sender("") for c in channels}
        self._words, self._terminology = words, maps.terminology
        journal = ringing(config, "dicom", open_journal(config, keyring))
        self.journal: SqlJournal = traced_journal(config, "dicom", journal)
        self.store: SqlStore = open_store(config, keyring)
        self.imaging: Imaging = open_imaging(config, keyring)
        self.metrics = NodeMetrics()
        index, objects = self.imaging.index, self.imaging.objects
        catch_up(index, objects, self.journal.read)
        self._ingest = open_ingest(self.imaging, nodes, self.journal.append)
        self._links = Links(self.store, index, nodes, words)
        teller = Teller(index, self.journal.append, self._links.of, nodes, retrieve_url(config), now_ms)
        commitments = Commitments(index, objects.open, self._report, nodes, now_ms, random.random)
        forwarding = Forwarding(index, index.look, self._send, nodes, now_ms, random.random)
        self._queue = open_queue(config, "dicom")
        turn = self._turn
        self._answering = Round("storage commitments", commitments.tick, ANSWER, turn)
        self._rounds = [
            Round("studies", teller.tick, TELL, turn),
            self._answering,
            Round("links of studies", self._links.follow, LINK, turn),
            Round(
                "leftovers of objects",
                lambda: sweep(index, objects, self.journal.read, now_ms()),
                SWEEP,
                turn,
            ),
            Round("metrics", self._measure, MEASURE),
        ]
        for name, node in nodes.items():
            if node.step_status:
                self._rounds.append(
                    Round(f"status messages of {name}", self._status(name, node).tick, TELL_ORDERS, turn)
                )
        forwarding.begin()
        self._rounds.append(Round("forwarding", forwarding.fill, SEND, turn))
        for channel, peer in forwarding.destinations:
            one = partial(forwarding.empty, channel, peer)
            self._rounds.append(Round(f"forwarding to {channel}/{peer.ae_title}", one, SEND, turn))
        self._running = [
            DicomNode(name, node, self._services(name, node), self.metrics) for name, node in nodes.items()
        ]

    def _turn(self, name: str) -> bool:
        """Say whether it is this machine that does what several nodes on one index need done once."""
        return self._queue.turn("dicom")

    def start(self) -> list[str]:
        """Open every port; return the addresses. Raises ConfigError."""
        addresses = [f"{name}={node.start()}" for name, node in zip(self._nodes, self._running, strict=True)]
        for one in self._rounds:
            one.start()
        return addresses

    def stop(self) -> None:
        """End: first what comes in, then what is done beside it."""
        for node in self._running:
            node.stop(STOP)
        for one in self._rounds:
            one.stop()
        self._measure()
        self._queue.close()
        self.imaging.close()
        self.store.close()
        self.journal.close()

    def _services(self, name: str, node: DicomSettings) -> Services:
        issuer = node.issuers.patient
        zone = self._words[name].zone
        worklist = Worklist(
            self.store,
            days=node.worklist_days,
            zone=ZoneInfo(zone) if zone else None,
            issuer=issuer,
            own=self._words[name].own,
        )
        steps = Steps(
            self.imaging.index,
            self.journal.append,
            now_ms,
            lambda said: order_keys(said, issuer),
            worklist.left,
        )
        self._rounds.append(Round(f"worklist of {name}", worklist.refresh, TELL))
        return Services(
            node,
            self._ingest,
            self.imaging.index,
            self.imaging.objects,
            worklist,
            steps,
            self.store.audit.record,
            now_ms,
            self._wake,
        )

    def _status(self, name: str, node: DicomSettings) -> StatusOut:
        maps = OutMaps.open(self._config.root, self._terminology, self._config.identity_base)
        return StatusOut(
            name,
            node.step_status,
            self.store,
            self.imaging.index,
            self._channel_of,
            maps,
            _sent,
            now_ms,
            {"sender": node.ae_title, "receiver": "ORDERS"},
        )

    def _channel_of(self, entry: int) -> str:
        found = self.journal.get(entry) if entry else None
        return found.channel if found is not None else ""

    def _wake(self) -> None:
        self._answering.wake()

    def _report(
        self,
        node: DicomSettings,
        peer: DicomPeer,
        transaction: str,
        safe: Sequence[tuple[str, str]],
        failed: Sequence[tuple[str, str, int]],
    ) -> None:
        report_commitment(target_of(node, peer), transaction, safe, failed)

    def _send(self, node: DicomSettings, peer: DicomPeer, held: Sequence[HeldInstance]) -> Iterable[Outcome]:
        def outgoing(one: HeldInstance) -> Outgoing:
            return Outgoing(
                one.sop_class,
                one.sop_instance,
                one.transfer_syntax,
                lambda: self.imaging.objects.open(one.address),
            )

        return store(target_of(node, peer), [outgoing(one) for one in held])

    def _measure(self) -> None:
        backlog = {to: (b.waiting, b.parked) for to, b in self.imaging.index.backlog().items()}
        self.metrics.held(self.imaging.index.counts(), backlog)
        self.metrics.write(self._config.metrics_dir / "dicom.prom")


def run_nodes(
    config: Config,
    channels: Iterable[Channel],
    keyring: Keyring,
    maps: Maps,
    ready: Callable[[str], None],
) -> None:
    """Serve every node until told to stop. Raises HubError before anything is answered."""
    threading.excepthook = _say  # a thread of a library that falls would print what it stumbled over
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    process = _Process(config, channels, keyring, maps)
    try:
        ready(" ".join(process.start()))
        stopping.wait()
    finally:
        process.stop()


def _sent(url: str, message: bytes) -> str:
    (answer,) = send([message], url)
    return answer.code


def _say(args: Any) -> None:
    log.error(
        "a thread of the DICOM node ended: %s", place_of(args.exc_value) if args.exc_value else args.exc_type
    )
