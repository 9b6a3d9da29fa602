"""Health ports of a real node without a web side: probes, scraping, a drain before the stop, JSON lines."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from contextlib import suppress

import httpx
import pytest
from hub_process import Hub, free_ports, send, wait_for
from system_messages import result
from trace_collector import Collector

from engine.channels.spans import ids_of


def test_a_node_without_console(make_hub: Callable[..., Hub]) -> None:
    (port,) = free_ports(1)
    address = f"127.0.0.1:{port}"
    collector = Collector()
    hub = make_hub(
        parts="listeners,workers",
        traces=f"{{otlp: '{collector.address}'}}",
        health=f"{{listeners: '{address}', workers: '{address}', drain_seconds: 2}}",
        log="json",
    )
    hub.start()
    web = httpx.Client(base_url=f"http://{address}")
    wait_for(lambda: web.get("/health/ready").status_code == 200, "it never is ready")
    assert web.get("/health/live").json() == {
        "status": "ok",
        "roles": ["listeners", "workers"],
        "reasons": [],
    }
    assert send(hub.ports["lab_oru"], result("H1", "M1", 4)) == ["AA"]

    def counted() -> bool:
        text = web.get("/metrics").text
        done = re.search(r'hub_entries_done_total\{process="worker-0",worker="0"\} 1$', text, re.M)
        taken = re.search(
            r'hub_mllp_messages_total\{process="listeners",channel="lab_oru".*\} 1$', text, re.M
        )
        return bool(done and taken)

    wait_for(counted, "the figures of listeners and workers")
    hub.process.send_signal(signal.SIGTERM)  # type: ignore[union-attr]
    wait_for(lambda: web.get("/health/ready").status_code == 503, "it does not say that it stops")
    assert web.get("/health/ready").json()["reasons"] == ["this node is stopping"]
    assert web.get("/health/live").status_code == 200
    assert send(hub.ports["lab_oru"], result("H2", "M1", 5)) == ["AA"]  # whoever comes meanwhile is served
    assert hub.process.wait(30) == 0  # type: ignore[union-attr]
    with pytest.raises(httpx.ConnectError):
        web.get("/health/live")
    web.close()
    lines = []
    for line in hub.log.read_text().splitlines():
        with suppress(json.JSONDecodeError):
            lines.append(json.loads(line))
    assert all({"at", "level", "process", "logger", "event"} == set(one) for one in lines)
    with hub.inside() as (journal, _):
        assert journal.head() == 2
    # two processes joined it by the number of the entry alone
    trace, _ = ids_of(hub.config.identity_base, hub.config.hub, 1)
    assert {(s.name, s.process) for s in collector.spans if s.trace == trace} == {
        ("listener.receive", "listeners"),
        ("journal.append", "listeners"),
        ("worker.work", "worker-0"),
        ("store.apply", "worker-0"),
    }
    collector.close()
