"""The listener as a process of its own: real sockets, TLS, signals, a real journal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from certificates import Certificates
from listener_bench import oru
from twisted.internet.protocol import Factory
from twisted.protocols.tls import TLSMemoryBIOFactory

from engine.destinations.mllp import NotAnswered, send
from engine.destinations.tls import ClientTls
from engine.journal.sql import SqlJournal
from engine.kernel.errors import ConfigError
from engine.listeners.tls import TlsSettings, tls_options
from engine.security.keys import Keyring
from engine.wire.mllp import END, encode


class Process:
    """A running listener."""

    def __init__(self, folder: Path, *channels: dict[str, Any]) -> None:
        self.folder = folder
        script = Path(__file__).with_name("listener_process.py")
        self.log = (folder / "log").open("w+b")
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(folder), json.dumps(channels)],
            stdout=subprocess.PIPE,
            stderr=self.log,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        assert self.process.stdout is not None
        self.said = json.loads(self.process.stdout.readline() or b"null")
        self.urls: list[str] = self.said if isinstance(self.said, list) else []

    def port(self, n: int = 0) -> int:
        """Return the TCP port of the n-th channel."""
        return int(self.urls[n].rsplit(":", 1)[1])

    def connect(self, n: int = 0) -> socket.socket:
        """Open a connection to the n-th channel."""
        return socket.create_connection(("127.0.0.1", self.port(n)), 10)

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def journal(self) -> list[tuple[str, str, bytes]]:
        """Return kind, control id and body of every entry."""
        keyring = Keyring.open(self.folder / "keys", existing_data=True)
        journal = SqlJournal.open(f"sqlite:///{self.folder}/journal.db", keyring)
        try:
            return [(e.kind, e.control_id, e.body) for e in journal.read(0, 100_000)]
        finally:
            journal.close()

    def closed(self) -> dict[str, int]:
        """Return how many connections it ended, by reason, as its metrics file says after a while."""
        time.sleep(0.3)
        lines = (self.folder / "metrics/listeners.prom").read_text().splitlines()
        found = [line for line in lines if line.startswith("hub_mllp_closed_total{")]
        return {line.split('reason="')[1].split('"')[0]: int(line.rsplit(" ", 1)[1]) for line in found}

    def rss(self) -> int:
        """Return the resident memory in bytes."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def kill(self) -> None:
        """End it whatever it does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.log.close()


def lab(**mllp: Any) -> dict[str, Any]:
    """Return a channel on a free port."""
    return {"channel": "lab", "mllp": {"port": 0, **mllp}}


@contextlib.contextmanager
def running(folder: Path, *channels: dict[str, Any]) -> Iterator[Process]:
    process = Process(folder, *channels)
    try:
        yield process
    finally:
        process.kill()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """One plain port that the tests of this file share."""
    with running(tmp_path_factory.mktemp("plain"), lab()) as process:
        yield process


def read(connection: socket.socket, answers: int = 1) -> bytes:
    """Read so many answers, or what there is before the end of the connection."""
    data = b""
    while data.count(END) < answers and (piece := connection.recv(65536)):
        data += piece
    return data


def ended(connection: socket.socket) -> bool:
    """Say whether the other side closes."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_what_is_answered_is_in_the_journal(tmp_path: Path) -> None:
    with running(tmp_path, lab(), {"channel": "other", "mllp": {"port": 0}}) as process:
        answers = list(send([oru(b"J1"), oru(b"J2"), oru(b"J1")], process.urls[0]))
        answers += send([oru(b"K1")], process.urls[1])
        assert all(answer.good for answer in answers)
        with process.connect() as garbage:
            garbage.sendall(encode(b"not a message"))
            assert b"MSA|AR|" in read(garbage)
        assert process.stop() == 0
        entries = process.journal()
    assert [(kind, control) for kind, control, _ in entries] == [
        ("message", "J1"),
        ("message", "J2"),
        ("message", "K1"),
        ("garbage", ""),
    ]
    assert entries[0][2] == oru(b"J1")


def test_a_sender_that_closes_its_direction_still_gets_its_answer(server: Process) -> None:
    for n in range(20):
        with server.connect() as connection:
            connection.sendall(encode(oru(b"HC%d" % n)))
            connection.shutdown(socket.SHUT_WR)
            assert b"MSA|AA|HC%d\r" % n in read(connection)


def test_strangers_are_sent_away_and_a_good_sender_goes_on(server: Process) -> None:
    before = server.closed()
    with server.connect() as good:
        for n, stream in enumerate(
            (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05\x01", b"hello", b"\x00" * 99)
        ):
            with server.connect() as stranger:
                stranger.sendall(stream)
                assert ended(stranger)
            good.sendall(encode(oru(b"ST%d" % n)))
            assert b"MSA|AA|ST%d\r" % n in read(good)
        with server.connect() as half:
            half.sendall(encode(oru(b"LOST"))[:-1])
        good.sendall(encode(oru(b"ST9")))
        assert b"MSA|AA|ST9\r" in read(good)
    after = server.closed()
    new = {reason: after[reason] - before.get(reason, 0) for reason in after}
    assert new == {"http": 1, "tls": 1, "garbage": 2, "half-frame": 1}
    server.log.flush()
    text = (server.folder / "log").read_text()
    assert "TEST" not in text and "A1001" not in text


def test_pipelined_frames_come_back_in_order(server: Process) -> None:
    stream = b"".join(encode(oru(b"PL%04d" % n)) for n in range(500))
    with server.connect() as connection:
        writer = threading.Thread(target=connection.sendall, args=(stream,))
        writer.start()
        data = read(connection, 500)
        writer.join()
    found = [ack.split(b"MSA|AA|")[1].split(b"\r")[0] for ack in data.split(END)[:-1]]
    assert found == [b"PL%04d" % n for n in range(500)]


def test_a_big_frame_and_many_connections_leave_memory_bounded(server: Process) -> None:
    idle = [server.connect() for _ in range(200)]
    list(send([oru(b"WARM")], server.urls[0]))
    before = server.rss()
    for _ in range(300):
        server.connect().close()
    big = oru(b"BIG") + b"OBX|2|ED|PDF^Report^L||^AP^^Base64^" + b"QUJD" * 500_000 + b"||||||F\r"
    [answer] = send([big], server.urls[0])
    assert answer.good
    for n in range(20):
        assert all(a.good for a in send([big.replace(b"|BIG|", b"|BIG%d|" % n)], server.urls[0]))
    for connection in idle:
        connection.sendall(encode(oru(b"I%d" % connection.fileno())))
    assert all(b"MSA|AA|" in read(connection) for connection in idle)
    for connection in idle:
        connection.close()
    assert server.rss() - before < 120 << 20


def test_stop_answers_what_was_begun(tmp_path: Path) -> None:
    with running(tmp_path, lab()) as process:
        half, idle, never = process.connect(), process.connect(), process.connect()
        frame = encode(oru(b"LATE"))
        half.sendall(frame[:100])
        never.sendall(frame[:100])
        list(send([oru(b"SYNC")], process.urls[0]))  # both are read by now
        process.process.send_signal(signal.SIGTERM)
        assert ended(idle)
        with pytest.raises(NotAnswered):
            list(send([oru(b"NEW")], process.urls[0], timeout=2))
        half.sendall(frame[100:])
        assert b"MSA|AA|LATE\r" in read(half)
        assert ended(half) and ended(never)
        assert process.process.wait(20) == 0
        assert [control for _, control, _ in process.journal()] == ["SYNC", "LATE"]


def test_a_port_in_use_is_one_line_with_the_remedy(server: Process, tmp_path: Path) -> None:
    with running(tmp_path, lab(port=server.port())) as second:
        assert f"channel lab: cannot listen on 127.0.0.1:{server.port()}" in second.said
        assert "choose another `port`" in second.said
        assert second.process.wait(20) == 3


def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    answered: set[str] = set()
    for crash in range(3):
        with running(tmp_path, lab()) as process:

            def feed(sender: int, process: Process = process, crash: int = crash) -> None:
                messages = (oru(b"X%d-%d-%d" % (crash, sender, n)) for n in range(100_000))
                with contextlib.suppress(NotAnswered):
                    for answer in send(messages, process.urls[0]):
                        if answer.good:
                            answered.add(answer.control_id)

            senders = [threading.Thread(target=feed, args=(n,)) for n in range(4)]
            for sender in senders:
                sender.start()
            time.sleep(0.2 + 0.13 * crash)
            process.kill()
            for sender in senders:
                sender.join()
    kept = [control for _, control, _ in process.journal()]
    assert len(answered) > 20
    assert answered <= set(kept)
    assert len(kept) == len(set(kept))


# TLS


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("tls"), "ours")


@pytest.fixture(scope="module")
def tls_server(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Two TLS ports: the first takes anyone, the second only clients of our authority."""
    certificate, key = map(str, certificates.issue("server"))
    open_to_all = {"certificate": certificate, "key": key}
    closed = {**open_to_all, "client_ca": str(certificates.ca), "require_client": True}
    folder = tmp_path_factory.mktemp("tls-server")
    with running(folder, lab(tls=open_to_all), lab(tls=closed)) as process:
        yield process


def test_tls(tls_server: Process, certificates: Certificates) -> None:
    assert tls_server.urls[0].startswith("mllps://")
    answers = list(send([oru(b"T1"), oru(b"T2")], tls_server.urls[0], tls=ClientTls(ca=certificates.ca)))
    assert [answer.code for answer in answers] == ["AA", "AA"]


def test_a_tls_connection_is_watched_like_any_other(certificates: Certificates, tmp_path: Path) -> None:
    """An idle sender is closed, and counted, under TLS too."""
    certificate, key = map(str, certificates.issue("idle"))
    channel = lab(tls={"certificate": certificate, "key": key}, idle_seconds=0.5)
    with running(tmp_path, channel) as process:
        context = ssl.create_default_context(cafile=certificates.ca)
        with context.wrap_socket(process.connect(), server_hostname="localhost") as connection:
            connection.settimeout(10)
            connection.sendall(encode(oru(b"I1")))
            assert b"MSA|AA|I1\r" in read(connection)
            assert connection.recv(1) == b""  # closed by the hub
        assert process.closed().get("idle") == 1
        assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_versions(tls_server: Process, certificates: Certificates, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=certificates.ca)
    context.minimum_version = context.maximum_version = version
    with context.wrap_socket(tls_server.connect(), server_hostname="localhost") as connection:
        connection.sendall(encode(oru(b"V1")))
        assert b"MSA|AA|V1\r" in read(connection)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_older_tls_and_plain_text_are_refused(tls_server: Process, certificates: Certificates) -> None:
    before = tls_server.closed().get("tls-failed", 0)
    context = ssl.create_default_context(cafile=certificates.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises((ssl.SSLError, ConnectionError)):
        context.wrap_socket(tls_server.connect(), server_hostname="localhost")
    with tls_server.connect() as plain:
        plain.sendall(encode(oru(b"PLAIN")))
        data = b""
        with contextlib.suppress(ConnectionResetError):
            data = read(plain)
        assert b"MSA" not in data
    assert tls_server.closed()["tls-failed"] >= before + 1


def test_client_certificates(tls_server: Process, certificates: Certificates, tmp_path: Path) -> None:
    certificate, key = certificates.issue("lab")
    ours = ClientTls(ca=certificates.ca, certificate=certificate, key=key)
    [answer] = send([oru(b"C1")], tls_server.urls[1], tls=ours)
    assert answer.good
    strangers = Certificates(tmp_path, "strangers")
    certificate, key = strangers.issue("lab")
    for tls in (
        ClientTls(ca=certificates.ca),
        ClientTls(ca=certificates.ca, certificate=certificate, key=key),
    ):
        with pytest.raises(NotAnswered):
            list(send([oru(b"C2")], tls_server.urls[1], tls=tls))


def test_a_sender_does_not_talk_to_an_unknown_server(tls_server: Process, tmp_path: Path) -> None:
    with pytest.raises(NotAnswered, match="TLS handshake failed"):
        list(send([oru()], tls_server.urls[0], tls=ClientTls(ca=Certificates(tmp_path, "other").ca)))


def test_tls_files_that_cannot_be_used(certificates: Certificates, tmp_path: Path) -> None:
    certificate, key = certificates.issue("a")
    _, other = certificates.issue("b")
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for settings, where in (
        (TlsSettings(certificate=tmp_path / "none.pem", key=key), "none.pem"),
        (TlsSettings(certificate=empty, key=key), "empty.pem"),
        (TlsSettings(certificate=certificate, key=empty), "empty.pem"),
        (TlsSettings(certificate=certificate, key=other), "b.key"),
        (TlsSettings(certificate=certificate, key=key, require_client=True), "tls"),
    ):
        with pytest.raises(ConfigError, match=where):
            tls_options(settings)


def test_twisted_takes_the_tls_of_a_listener_without_a_warning(certificates: Certificates) -> None:
    certificate, key = certificates.issue("warned")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TLSMemoryBIOFactory(tls_options(TlsSettings(certificate=certificate, key=key)), False, Factory())
