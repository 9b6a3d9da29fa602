"""HTTP over real sockets: TLS, client certificates, a sender that closes its direction, kill -9."""

from __future__ import annotations

import http.client
import signal
import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from listener_bench import oru
from test_listener_network import Certificates, Process, running

SECRET = "s3cret-of-lakeside-0001"


def web(**http: Any) -> dict[str, Any]:
    """Return a channel on a free port."""
    return {"channel": "lab", "http": {"port": 0, **http}}


def port_of(process: Process, n: int = 0) -> int:
    return int(process.urls[n].rsplit(":", 1)[1].split("/")[0])


def post(connection: http.client.HTTPConnection, body: bytes, **headers: str) -> tuple[int, bytes]:
    connection.request("POST", "/hl7", body, {"Content-Type": "application/hl7-v2", **headers})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_a_real_client_keeps_its_connection_and_mllp_goes_on_beside_it(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(f"lakeside {SECRET}\n")
    tokens.chmod(0o600)
    mllp = {"channel": "other", "mllp": {"port": 0}}
    with running(tmp_path, web(auth={"token": str(tokens)}), mllp) as process:
        assert process.urls[0].startswith("http://127.0.0.1:") and process.urls[1].startswith("mllp://")
        good = {"Authorization": f"Bearer {SECRET}"}
        connection = http.client.HTTPConnection("127.0.0.1", port_of(process), timeout=10)
        for n in range(3):
            status, body = post(connection, oru(b"W%d" % n), **good)
            assert status == 200 and b"MSA|AA|W%d\r" % n in body
        held = connection.sock
        assert held is not None and post(connection, iter([oru(b"W3")]), **good)[0] == 200  # type: ignore[arg-type]
        assert connection.sock is held
        assert post(connection, oru(b"W4"), Authorization="Bearer wrong")[0] == 401
        for n in range(20):
            with socket.create_connection(("127.0.0.1", port_of(process)), 10) as raw:
                body = oru(b"H%d" % n)
                head = f"POST /hl7 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {SECRET}\r\n"
                raw.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
                raw.shutdown(socket.SHUT_WR)
                said = b""
                while piece := raw.recv(65536):
                    said += piece
                assert b"MSA|AA|H%d\r" % n in said
        process.closed()  # waits for the metrics file
        assert process.stop() == 0
        entries = process.journal()
        log = (tmp_path / "log").read_text()
    assert [control for _, control, _ in entries] == [
        *(f"W{n}" for n in range(4)),
        *(f"H{n}" for n in range(20)),
    ]
    assert SECRET not in log and "PATIENT" not in log and "Traceback" not in log
    metrics = (tmp_path / "metrics/listeners.prom").read_text()
    assert 'hub_post_requests_total{channel="lab",status="200"} 24' in metrics


def test_an_oversized_body_is_told_so_while_it_is_being_sent(tmp_path: Path) -> None:
    with running(tmp_path, web(max_bytes=4096)) as process:
        for n in range(5):
            client = http.client.HTTPConnection("127.0.0.1", port_of(process), timeout=10)
            assert post(client, b"x" * 300_000)[0] == 413, n
        client = http.client.HTTPConnection("127.0.0.1", port_of(process), timeout=10)
        assert post(client, oru())[0] == 200


def test_tls_and_the_name_in_the_certificate(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    ours = Certificates(tmp_path_factory.mktemp("tls"), "ours")
    certificate, key = map(str, ours.issue("server"))
    tls = {"certificate": certificate, "key": key, "client_ca": str(ours.ca), "require_client": True}
    with running(tmp_path, web(tls=tls, auth={"certificate": ["lakeside"]})) as process:
        assert process.urls[0].startswith("https://")

        def client(name: str) -> http.client.HTTPSConnection:
            context = ssl.create_default_context(cafile=ours.ca)
            if name:
                context.load_cert_chain(*ours.issue(name))
            return http.client.HTTPSConnection("localhost", port_of(process), timeout=10, context=context)

        lakeside = client("lakeside")
        assert [post(lakeside, oru(b"T%d" % n))[0] for n in range(3)] == [200] * 3
        assert post(client("riverside"), oru(b"R"))[0] == 403
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
            post(client(""), oru(b"N"))
        plain = http.client.HTTPConnection("127.0.0.1", port_of(process), timeout=10)
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            post(plain, oru(b"P"))
        assert process.stop() == 0
        assert [control for _, control, _ in process.journal()] == ["T0", "T1", "T2"]
        assert "Traceback" not in (tmp_path / "log").read_text()


def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    answered: list[str] = []
    with running(tmp_path, web()) as process:

        def sender(number: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port_of(process), timeout=10)
            for n in range(10_000):
                control = f"S{number}-{n}"
                try:
                    status, body = post(connection, oru(control.encode()))
                except (OSError, http.client.HTTPException):
                    return
                if status == 200 and f"MSA|AA|{control}\r".encode() in body:
                    answered.append(control)

        threads = [threading.Thread(target=sender, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        threads[0].join(1)
        process.process.send_signal(signal.SIGKILL)
        for thread in threads:
            thread.join(20)
        process.process.wait(20)
        kept = [control for _, control, _ in process.journal()]
    assert answered and set(answered) <= set(kept) and len(kept) == len(set(kept))
