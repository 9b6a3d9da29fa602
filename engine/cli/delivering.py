"""The deliveries process of `hub serve`: every destination's queue, and what follows the change feed.

In: the settings, the channels, the keys. Out: a process that ends when it is told to.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from engine.channels.definition import Channel
from engine.channels.delivering.metrics import write_metrics
from engine.channels.delivering.notices import notices_of
from engine.channels.delivering.parcels import Parcels
from engine.channels.delivering.places import Destined, around, destinations_of
from engine.channels.delivering.running import Delivering
from engine.channels.delivering.settled import settled
from engine.channels.delivering.turn import process_name
from engine.channels.keeping import keep_deliveries
from engine.channels.opening import open_journal, open_store
from engine.channels.orders.hearing import hearing
from engine.channels.sharing import open_queue
from engine.channels.spans import open_spans, watch
from engine.kernel.clock import now_ms
from engine.kernel.config import Config
from engine.kernel.delivery import Destination
from engine.kernel.errors import StoreUnavailable
from engine.security.keys import Keyring

__all__ = ["run_deliveries"]

MEASURE = 5.0  # seconds between two writings of the figures
FORGET = 6 * 3_600_000  # ms between two looks for evidence that is past its time
STOP = 15.0  # seconds that what is under way has to end


def run_deliveries(
    config: Config, channels: Iterable[Channel], keyring: Keyring, ready: Callable[[str], None]
) -> None:
    """Deliver until told to stop."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    channels = list(channels)
    places = destinations_of(config, channels)
    journal, store = open_journal(config, keyring), open_store(config, keyring)
    queue = open_queue(config, "deliveries")
    parcels = partial(Parcels, config.root, config.identity_base, keyring, journal, store)
    hear, spans = hearing(channels, journal, now_ms), open_spans(config, "deliveries")

    def made(place: Destined, line: Destination) -> None:
        hear(place, line)
        if spans is not None:
            watch(line, place.name, place.kind.word, spans)

    delivering = Delivering(
        places,
        around(config),
        store.deliveries,
        lambda: parcels().make,
        now_ms,
        stale=parcels().stale,
        turn=lambda name: queue.turn(f"to-{name}"),
        beside={
            **notices_of(places, around(config), store.deliveries, now_ms),
            "forget-deliveries": now_and_then(partial(keep_deliveries, config, store)),
        },
        made=made,
        settled=lambda: settled(journal, store),
        holder=process_name(config.node_name),
    )
    path = config.metrics_dir / "deliveries.prom"
    delivering.start()
    ready("")
    try:
        while True:
            with suppress(StoreUnavailable):  # the threads say it; the figures grow old, and that is seen
                write_metrics(path, store.deliveries.places(), delivering.sendings, now_ms())
            if stopping.wait(MEASURE):
                break
    finally:
        delivering.stop(STOP)
        if spans is not None:
            spans.close()
        queue.close()
        store.close()
        journal.close()


def now_and_then(what: Callable[[int], None]) -> Callable[[], bool]:
    """Return a step that does something, told the time, at the start and then every `FORGET`."""
    last = 0

    def step() -> bool:
        nonlocal last
        if (now := now_ms()) - last > FORGET:
            what(now)
            last = now
        return False

    return step
