"""The web side with a certificate of its own, and the settings it is made of."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
import time
import urllib.request
from pathlib import Path

import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.console.app import tls_settings
from engine.kernel.config import Config, default_workers, load_config
from engine.kernel.errors import ConfigError


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """A project whose web side has a certificate that signs itself, named from the project's root."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "tls").mkdir()
    (tmp_path / "tls/web.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (tmp_path / "tls/web.key").write_bytes(key.private_bytes(*pem))
    (tmp_path / "config.yaml").write_text("console: {tls: {certificate: tls/web.pem, key: tls/web.key}}\n")
    return load_config(tmp_path)


def test_requests_over_tls_are_answered(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")  # the names start at the project's root, wherever the hub was started

    async def app(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b"hello"})  # type: ignore[operator]

    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", **tls_settings(config)))
    running = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    running.start()
    while not server.started and running.is_alive():
        time.sleep(0.01)
    try:
        believed = ssl.create_default_context(cafile=config.root / "tls/web.pem")
        with urllib.request.urlopen(f"https://localhost:{port}/", context=believed, timeout=10) as answer:
            assert answer.read() == b"hello"
        with pytest.raises(OSError, match=r"(?i)reset|closed|refused|empty|without response"):
            urllib.request.urlopen(f"http://localhost:{port}/", timeout=10)
    finally:
        server.should_exit = True
        running.join(10)
        listening.close()


def test_without_a_certificate_there_is_no_tls(tmp_path: Path) -> None:
    assert tls_settings(load_config(tmp_path)) == {}


def test_files_that_cannot_be_used_are_told_with_the_line(config: Config) -> None:
    (config.root / "tls/web.key").write_text("no key")
    with pytest.raises(ConfigError, match=r"config.yaml:1: .* cannot be used: it is no PEM"):
        tls_settings(config)
    (config.root / "tls/web.key").unlink()
    with pytest.raises(ConfigError, match=r"(?i)no such file"):
        tls_settings(config)


def test_two_workers_where_there_are_two_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for cores, workers in ((1, 1), (2, 2), (16, 2)):
        monkeypatch.setattr("os.sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        assert default_workers() == workers
        assert load_config(tmp_path).workers == workers
    (tmp_path / "config.yaml").write_text("workers: 5\n")
    assert load_config(tmp_path).workers == 5
