"""Memory stays bounded whatever senders do: connections opened and dropped, idle senders, documents, batches.

The bounds are generous; the figures of a run are printed (`pytest -s`) and kept in bench/README.md.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_process import ROOT, Hub, Sender, frame, send, wait_for
from system_messages import group, header, result

MB = 1 << 20


def memory(pid: int, what: str = "VmRSS") -> int:
    """Return the resident memory of a process in MB, now or (VmHWM) at its highest."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(what + ":"):
            return int(line.split()[1]) // 1024
    raise AssertionError(what)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """One running hub for the tests of this file."""
    made = Hub(tmp_path_factory.mktemp("resources"))
    made.start()
    yield made
    made.kill()


def dropped(hub: Hub, count: int) -> None:
    """Open connections and drop them, some after half a frame, some with a reset."""
    port, listener = hub.ports["lab_oru"], hub.children()["listeners"]
    assert send(port, result(f"C{count}", "1", 1)) == ["AA"]
    before = memory(listener)
    for number in range(count):
        with socket.create_connection(("127.0.0.1", port)) as s:
            if number % 3 == 1:
                s.sendall(b"\x0bMSH|^~\\&|half")
            if number % 3 == 2:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert send(port, result(f"D{count}", "1", 2)) == ["AA"]
    wait_for(lambda: len(os.listdir(f"/proc/{listener}/fd")) < 60, "connections stay open")
    after = memory(listener)
    print(f"{count} connections dropped: listener {before} -> {after} MB")
    assert after - before < 40


def test_connections_opened_and_dropped(hub: Hub) -> None:
    dropped(hub, 1500)


@pytest.mark.soak
def test_ten_thousand_connections_opened_and_dropped(hub: Hub) -> None:
    dropped(hub, 10_000)


def test_two_hundred_idle_senders(hub: Hub) -> None:
    port, listener = hub.ports["lab_oru"], hub.children()["listeners"]
    before = memory(listener)
    idle = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    try:
        for s in idle:
            s.sendall(frame(result(f"I{s.fileno()}", "2", 1)))
        for s in idle:
            s.settimeout(30)
            assert b"MSA|AA|" in s.recv(4096)
        assert send(port, result("I", "2", 3)) == ["AA"]
        after = memory(listener)
        print(f"200 idle senders: listener {before} -> {after} MB")
        assert after - before < 40
    finally:
        for s in idle:
            s.close()


def test_a_result_with_a_document_of_two_megabytes(hub: Hub) -> None:
    document = b"%PDF-1.4\n" + os.urandom(1_500_000)  # 2 MB in base64
    assert send(hub.ports["lab_oru"], header("PDF1") + group("31", document, "PDFORDER")) == ["AA"]
    hub.drained()
    with hub.inside() as (_, store):
        (entry,) = store.find("control", "PDF1")
        outcome = store.outcome(entry)
        assert outcome is not None and outcome.status == "done", outcome
        kinds = {kind: id_ for kind, id_, _, _ in store.written_by(entry)}
        resource = store.read("DocumentReference", kinds["DocumentReference"])
        assert resource is not None
        import base64

        (content,) = resource["content"]
        assert base64.b64decode(content["attachment"]["data"]) == document
    peaks = {name: memory(pid, "VmHWM") for name, pid in hub.children().items()}
    print(f"2 MB document: peaks {peaks} MB")
    assert max(peaks.values()) < 500


def batch(size: int) -> tuple[bytes, int]:
    """Make a batch file of about so many bytes; return it and its number of messages."""
    parts, number = [b"FHS|^~\\&|SYSLAB|EAST\rBHS|^~\\&|SYSLAB|EAST\r"], 0
    length = 0
    while length < size:
        body = result(f"B{size}-{number}", f"9{number % 50:03d}", number)
        parts.append(body)
        length += len(body)
        number += 1
    return b"".join([*parts, b"BTS|%d\rFTS|1\r" % number]), number


def batch_through_the_listener(hub: Hub, size: int, bound: int) -> None:
    data, count = batch(size)
    with hub.inside() as (journal, _):
        before = journal.head()
    sender = Sender(hub.ports["lab_oru"], iter([("batch", data)]))
    sender.start()
    sender.join(300)
    assert sender.answers == {"batch": "AA"}
    with hub.inside() as (journal, _):
        assert journal.head() == before + count
    peaks = {name: memory(pid, "VmHWM") for name, pid in hub.children().items()}
    print(f"batch of {size // MB} MB, {count} messages, in one frame: peaks {peaks} MB")
    assert max(peaks.values()) < bound


def test_a_batch_through_the_listener(hub: Hub) -> None:
    batch_through_the_listener(hub, 1 * MB, 500)
    hub.drained()


@pytest.mark.soak
def test_a_batch_of_fifty_megabytes_through_the_listener(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub(parts="listeners")
    hub.start()
    batch_through_the_listener(hub, 50 * MB, 1500)


STREAM = """
import resource, sys
from engine.formats.hl7v2.parse import iter_messages, parse
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(sys.argv[1], "rb") as file:
    count = sum(1 for piece in iter_messages(file) if parse(piece.data).segments)
print(count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.parametrize("size", [5, pytest.param(50, marks=pytest.mark.soak)])
def test_a_batch_file_is_streamed(tmp_path: Path, size: int) -> None:
    data, count = batch(size * MB)
    (tmp_path / "batch.hl7").write_bytes(data)
    made = subprocess.run(
        [sys.executable, "-c", STREAM, str(tmp_path / "batch.hl7")],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    messages, grown = map(int, made.stdout.split())
    print(f"batch file of {size} MB streamed: {messages} messages, {grown} MB more than before")
    assert messages == count
    assert grown < 30
