"""What `hub serve` refuses, each in one line with the remedy, and how it starts, stops and starts again."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_process import ROOT, Hub, frame, send, wait_for
from system_messages import result


def refused(hub: Hub, *words: str, code: int = 2) -> None:
    """The server does not start, and says why in one line."""
    got, said = hub.refused()
    lines = [line for line in said.splitlines() if line.strip()]
    assert got == code and len(lines) == 1 and "Traceback" not in said, said
    for word in words:
        assert word in lines[0], (word, lines[0])


def test_a_busy_port(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    with socket.socket() as other:
        other.bind(("127.0.0.1", hub.ports["lab_oru"]))
        other.listen()
        refused(hub, str(hub.ports["lab_oru"]), "channels/lab_oru.yaml", "Set another port")


def test_a_folder_that_cannot_be_written(make_hub: Callable[..., Hub]) -> None:
    refused(make_hub(data="/proc/hub"), "/proc/hub", "Make it writable")


def test_no_channel(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    shutil.rmtree(hub.root / "channels")
    refused(hub, "there is no channel", "Write one")


def test_a_busy_port_of_the_web_side(make_hub: Callable[..., Hub]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        hub = make_hub(parts="console", console=f"{{listen: '127.0.0.1:{port}'}}")
        refused(hub, str(port), "console: listen:", "Set another port")


def test_a_folder_that_is_a_file(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    (hub.root / "var").write_text("")
    refused(hub, "var", "Make it writable")


def test_no_project(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    (hub.root / "config.yaml").unlink()
    refused(hub, "there is no project here", "`hub init`")
    assert not (hub.root / "var").exists()


def test_a_wrong_python(make_hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    hub = make_hub()
    old = hub.root / "old"
    old.mkdir()
    (old / "sitecustomize.py").write_text("import sys\nsys.version_info = (3, 9, 18, 'final', 0)\n")
    got, said = hub.refused(path=f"{old}{os.pathsep}{ROOT}")
    assert got == 1 and said.count("\n") == 1 and "Python 3.9" in said and "3.11 or later" in said, said


def test_a_word_that_is_no_setting(make_hub: Callable[..., Hub]) -> None:
    refused(make_hub(wrokers="2"), "config.yaml:", "wrokers")


def test_a_missing_key_and_a_second_hub_and_an_older_journal(
    make_hub: Callable[..., Hub], tmp_path: Path
) -> None:
    hub = make_hub()
    hub.start()
    data = hub.config.data_dir
    assert send(hub.ports["lab_oru"], result("1", "1", 1)) == ["AA"]
    hub.drained()
    assert data.stat().st_mode & 0o077 == 0
    for path in data.glob("*.db*"):
        assert path.stat().st_mode & 0o077 == 0, path.name
    refused(hub, "are running already", "Stop it first")
    assert hub.stop() == 0

    kept = tmp_path / "kept"
    (data / "hub.key").rename(kept)
    refused(hub, "hub.key", "key")
    assert not (data / "hub.key").exists(), "a new key was made over existing data"
    kept.rename(data / "hub.key")

    shutil.copy(data / "journal.db", tmp_path / "older.db")  # the hub has stopped: all is in the file
    hub.start()
    assert send(hub.ports["lab_oru"], result("2", "1", 2)) == ["AA"]
    hub.drained()
    assert hub.stop() == 0
    for path in data.glob("journal.db*"):
        path.unlink()
    shutil.copy(tmp_path / "older.db", data / "journal.db")
    refused(hub, "the journal is older than the core store", "Restore a journal")


def test_it_starts_again_what_dies_and_stops_gracefully(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    hub.start()
    port = hub.ports["lab_oru"]
    with (
        socket.create_connection(("127.0.0.1", port)) as idle,
        socket.create_connection(("127.0.0.1", port)) as busy,
    ):
        before = hub.children()
        os.kill(before["worker-0"], signal.SIGKILL)
        wait_for(
            lambda: hub.children().get("worker-0", before["worker-0"]) != before["worker-0"], "no new worker"
        )
        busy.settimeout(20)
        busy.sendall(frame(result("G", "1", 1)))
        assert hub.process is not None
        hub.process.send_signal(signal.SIGTERM)  # what was sent before is answered before it ends
        assert b"MSA|AA|G" in busy.recv(4096)
        assert hub.process.wait(30) == 0
        idle.settimeout(20)
        assert idle.recv(10) == b""
    with contextlib.suppress(FileNotFoundError), (hub.config.data_dir / "core.db-wal").open("rb") as log:
        assert log.read() == b"", "the log of the store was not copied at the end"
    hub.start()
    hub.drained()
    with hub.inside() as (_, store):
        assert [o.status for o in store.outcomes()] == ["done"]


def _runs(pid: int) -> bool:
    """Say whether a process runs; one that has ended stands in /proc until its new parent looks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_children_do_not_outlive_a_killed_supervisor(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(workers=2)
    hub.start()
    children = hub.children()
    assert set(children) == {"listeners", "worker-0", "worker-1"}
    assert hub.process is not None
    hub.process.kill()
    hub.process.wait()
    hub.start()  # waits for what is left of the first, and finds the ports free
    assert not [pid for pid in children.values() if _runs(pid)]
    assert send(hub.ports["lab_oru"], result("K", "1", 1)) == ["AA"]


def test_the_keeper_runs_beside_the_workers_where_there_is_a_policy(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(keep="{messages: 7 years}", workers=1)
    hub.start()
    assert set(hub.children()) == {"listeners", "worker-0", "keeper"}
    assert "messages older than 7 years are deleted every day at 02:00" in hub.log.read_text()
    os.kill(hub.children()["keeper"], signal.SIGKILL)  # its end is nobody else's
    assert send(hub.ports["lab_oru"], result("K1", "1", 1)) == ["AA"]
    wait_for(lambda: "keeper" in hub.children(), "no new keeper")
    hub.drained()
    assert hub.stop() == 0


@pytest.mark.soak
def test_a_hundred_channels_start(make_hub: Callable[..., Hub]) -> None:
    from hub_process import free_ports

    hub = make_hub(parts="listeners,workers,console", console=f"{{listen: '127.0.0.1:{free_ports(1)[0]}'}}")
    text = (hub.root / "channels/lab_oru.yaml").read_text()
    for number, port in enumerate(free_ports(100)):
        hub.channel(f"many_{number}", text.replace("channel: lab_oru", f"channel: many_{number}"), port)
    begun = time.monotonic()
    hub.start()
    print(f"cold start with 102 channels: {time.monotonic() - begun:.1f} s")
    assert hub.log.read_text().count("mllp://") >= 102
