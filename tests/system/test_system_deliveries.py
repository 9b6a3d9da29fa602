"""Deliveries under kill -9: a real hub, a receiver that fails, hangs up and forgets to answer.

Every acknowledged message reaches the receiver; as the receiver counts keys, each once; one patient's in the
order they were sent.
"""

from __future__ import annotations

import os
import random
import re
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice

import pytest
from hub_process import Hub, Sender, wait_for
from test_system_crash import answered, evolving

SENDERS = 4


class Receiver:
    """An HTTP server that takes a message once for each key, whatever else it does."""

    def __init__(self, seed: int) -> None:
        self.taken: dict[str, str] = {}  # key -> control id, in the order they were first taken
        self.calls = 0
        self.others: list[str] = []  # keys that came with other bytes than before
        self._bodies: dict[str, bytes] = {}
        self._rng, self._lock = random.Random(seed), threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                key = self.headers["Idempotency-Key"]
                how = receiver.take(key, body)
                if how == "hang up":
                    self.close_connection = True
                    return
                self.send_response(503 if how == "fail" else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/in"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self, key: str, body: bytes) -> str:
        with self._lock:
            self.calls += 1
            if self._rng.random() < 0.05:
                return "fail"
            if self._bodies.setdefault(key, body) != body:
                self.others.append(key)
            found = re.search(rb"\|ORU\^R01\^ORU_R01\|([^|]+)\|", body)
            assert found
            self.taken.setdefault(key, found[1].decode())
            return "hang up" if self._rng.random() < 0.05 else "take"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver(2026)
    yield made
    made.server.shutdown()
    made.server.server_close()


def torture(hub: Hub, receiver: Receiver, rounds: int, seed: int) -> None:
    """Kill the deliveries, a worker or everything, while four senders send."""
    rng = random.Random(seed)
    done: Counter[str] = Counter()
    path = hub.root / "channels/lab_oru.yaml"
    path.write_text(
        path.read_text() + f"\ndeliver:\n  receiver: {{http: {{url: '{receiver.url}'}}, at_once: 4}}\n"
    )
    hub.start()
    most = 150 + 60 * rounds  # a quiet machine sends thousands meanwhile, and each refusal costs a pause
    senders = [Sender(hub.ports["lab_oru"], islice(evolving(n, done), most)) for n in range(SENDERS)]
    for sender in senders:
        sender.start()
    for n in range(rounds):
        before = sum(len(sender.acked) for sender in senders)
        time.sleep(rng.uniform(0.1, 0.6))
        victim = ("deliveries", "tree", "worker-0")[n % 3]
        if victim == "tree":
            hub.kill()
            hub.start()
        else:
            wait_for(lambda victim=victim: victim in hub.children(), f"{victim} does not run")
            os.kill(hub.children()[victim], signal.SIGKILL)
        wait_for(
            lambda before=before: (
                answered(senders, before + SENDERS) or not any(sender.is_alive() for sender in senders)
            ),
            f"no answers after {victim}",
        )
    acked = [control for sender in senders for control in sender.finish()]
    hub.drained()
    with hub.inside() as (_, store):
        wait_for(lambda: all(p.pending == 0 for p in store.deliveries.places()), "deliveries wait")
        assert [(p.refused, p.parked) for p in store.deliveries.places()] == [(0, 0)]
    assert hub.stop() == 0
    assert receiver.others == [], "a second try was another message"
    controls = list(receiver.taken.values())
    assert set(acked) <= set(controls), "an acknowledged message was not delivered"
    assert len(set(controls)) == len(controls), "one message came under two keys"
    by_patient: dict[str, list[int]] = {}
    for control in controls:
        patient, _, count = control.rpartition("-")
        by_patient.setdefault(patient, []).append(int(count))
    assert all(counts == sorted(counts) for counts in by_patient.values()), "out of order"
    print(f"{rounds} kills: {len(controls)} messages delivered in {receiver.calls} calls")


def test_nothing_is_lost_doubled_or_out_of_order_on_its_way_out(
    make_hub: Callable[..., Hub], receiver: Receiver
) -> None:
    torture(make_hub(parts="listeners,workers,deliveries"), receiver, rounds=3, seed=2026)


@pytest.mark.soak
def test_thirty_times(make_hub: Callable[..., Hub], receiver: Receiver) -> None:
    torture(make_hub(workers=2, parts="listeners,workers,deliveries"), receiver, rounds=30, seed=7)


@pytest.mark.soak
def test_thirty_times_on_postgresql(
    make_hub: Callable[..., Hub], receiver: Receiver, postgres_database: str
) -> None:
    base = {"journal": postgres_database, "core": postgres_database}
    torture(make_hub(workers=2, parts="listeners,workers,deliveries", **base), receiver, rounds=30, seed=7)
