"""A whole hub with messages by HTTP and from a watched folder: into the store, over a crash."""

from __future__ import annotations

import http.client
import os
import signal
from collections.abc import Callable

from hub_process import Hub, free_ports, wait_for
from system_messages import result

from engine.console.figures import Gauge
from engine.console.health import health

SECRET = "s3cret-of-lakeside-0001"


def prepared(hub: Hub) -> int:
    """Give a hub a channel for POSTs and one for files; returns the port."""
    (port,) = free_ports(1)
    (hub.root / "inbox").mkdir()
    (hub.root / "tokens").write_text(f"lakeside {SECRET}\n")
    (hub.root / "tokens").chmod(0o600)
    web = f"{{port: {port}, path: /hl7, auth: {{token: tokens}}}}"
    (hub.root / "channels/web.yaml").write_text(f"channel: web\npurpose: Posts.\nreceive: {{http: {web}}}\n")
    (hub.root / "channels/files.yaml").write_text(
        "channel: files\npurpose: Files.\nreceive: {folder: {path: inbox, stable_for: 0.2, poll: 0.05}}\n"
    )
    return port


def test_messages_by_http_and_from_a_folder_reach_the_store(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    port = prepared(hub)
    hub.start()
    said = hub.log.read_text()
    assert f"http://127.0.0.1:{port}/hl7" in said and f"{(hub.root / 'inbox').resolve().as_uri()}" in said
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    for n in range(3):
        client.request("POST", "/hl7", result(f"WEB{n}", "W77", 4.1), {"Authorization": f"Bearer {SECRET}"})
        answer = client.getresponse()
        assert answer.status == 200 and f"MSA|AA|WEB{n}".encode() in answer.read()
    body = b"".join(result(f"FILE{n}", "F88", n) for n in range(300))
    (hub.root / "inbox/DOE.tmp").write_bytes(body)
    os.rename(hub.root / "inbox/DOE.tmp", hub.root / "inbox/DOE.hl7")
    wait_for(lambda: (hub.root / "inbox/.in-progress/DOE.hl7").exists() or _done(hub), "nothing is taken")
    os.kill(hub.children()["files"], signal.SIGKILL)
    wait_for(lambda: _done(hub), "the file is not taken after a crash")
    hub.drained()
    with hub.inside() as (journal, store):
        entries = journal.read(0, 1000)
        assert [e.control_id for e in entries] == [f"WEB{n}" for n in range(3)] + [
            f"FILE{n}" for n in range(300)
        ]
        assert {e.channel for e in entries} == {"web", "files"}
        assert entries[0].peer == "127.0.0.1 (lakeside)"
        assert all(store.written_by(e.id) for e in entries[:4])
        found = health(hub.config, Gauge([], journal, hub.config.core_url))
        assert not [r for r in found.reasons if "channel files" in r] and "files" in found.facts["processes"]
        (hub.root / "inbox").rename(hub.root / "unmounted")
        metrics = hub.config.metrics_dir / "files.prom"
        wait_for(lambda: 'hub_files_trouble{channel="files"} 1' in metrics.read_text(), "nobody noticed")
        found = health(hub.config, Gauge([], journal, hub.config.core_url))
        assert [r for r in found.reasons if "channel files: its folder" in r]
    assert hub.stop() == 0
    log = hub.log.read_text()
    assert "DOE" not in log and SECRET not in log and "Traceback" not in log


def _done(hub: Hub) -> bool:
    return (hub.root / "inbox/done/DOE.hl7").exists()


def test_what_cannot_be_used_stops_the_start(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    prepared(hub)
    (hub.root / "tokens").chmod(0o644)
    code, said = hub.refused()
    assert code == 2 and "can be read by others" in said and "Traceback" not in said and SECRET not in said
    (hub.root / "tokens").chmod(0o600)
    (hub.root / "inbox").rename(hub.root / "elsewhere")
    code, said = hub.refused()
    assert code == 2 and "is no folder" in said and "channels/files.yaml:3" in said
