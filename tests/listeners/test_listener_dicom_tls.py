"""DICOM over TLS: who may speak, and that a caller who does not shake hands keeps nobody waiting."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
from io import BytesIO
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from dicom_node import CT, EXPLICIT, Raw, bundled, serving, until

from engine.destinations.dicom import Outgoing, Target, echo, store
from engine.kernel.errors import ConfigError, HubError
from engine.listeners.dicom_tls import client_context, server_context
from engine.listeners.tls import TlsSettings


class Authority:
    """Makes certificates in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.path = folder / f"{name}.pem"
        self._write(self.path, self._sign(self._name, self._key, True))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Issue a certificate; return it and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate, secret = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        self._write(certificate, self._sign(subject, key, False))
        secret.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return certificate, secret

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, authority: bool) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]),
                critical=False,
            )
            .sign(self._key, hashes.SHA256())
        )

    def _write(self, path: Path, certificate: x509.Certificate) -> None:
        path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("site"), "site")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


def tls_of(authority: Authority, name: str, **more: object) -> TlsSettings:
    certificate, key = authority.issue(name)
    return TlsSettings(certificate=certificate, key=key, client_ca=authority.path, **more)


def target(node, context: ssl.SSLContext | None) -> Target:
    return Target("127.0.0.1", node.port, "HUB", "CT01", context, seconds=10)


@pytest.fixture
def node(site: Authority):
    with serving(tls=tls_of(site, "hub", require_client=True).model_dump()) as (node, services):
        yield node, services


def test_objects_come_over_tls(node, site: Authority):
    served, services = node
    raw = Path(bundled("CT_small.dcm")).read_bytes()
    one = Outgoing(CT, "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322", EXPLICIT, lambda: BytesIO(raw))
    context = client_context(tls_of(site, "ct01"))
    assert [o.status for o in store(target(served, context), [one] * 20)] == [0] * 20
    assert len(services.stored) == 20
    assert len({bytes(s.data) for s in services.stored}) == 1


def test_who_has_no_certificate_of_ours_does_not_speak(node, site: Authority, stranger: Authority):
    served, services = node
    without = ssl.create_default_context(cafile=str(site.path))
    certificate, key = stranger.issue("mallory")
    foreign = ssl.create_default_context(cafile=str(site.path))
    foreign.load_cert_chain(certificate, key)
    for context in (without, foreign, None):
        with pytest.raises(HubError):
            echo(target(served, context))
    echo(target(served, client_context(tls_of(site, "ct01"))))
    assert services.begun == []


def test_a_server_that_is_not_known_is_not_called(site: Authority, stranger: Authority):
    with serving(tls=tls_of(stranger, "hub").model_dump()) as (node, _), pytest.raises(HubError):
        echo(target(node, client_context(tls_of(site, "ct01"))))


def test_old_versions_are_refused(node, site: Authority):
    served, _ = node
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    assert server_context(tls_of(site, "hub")).minimum_version is ssl.TLSVersion.TLSv1_2
    with pytest.warns(DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", served.port), 10) as plain,
        pytest.raises((ssl.SSLError, OSError)),
    ):
        context.wrap_socket(plain)


def test_who_does_not_shake_hands_keeps_nobody_waiting(node, site: Authority):
    served, _ = node
    context = client_context(tls_of(site, "ct01"))
    before = threading.active_count()
    silent = [Raw(served) for _ in range(5)]
    try:
        silent[0].send(b"GET / HTTP/1.0\r\n\r\n")
        echo(target(served, context))
    finally:
        for raw in silent:
            raw.socket.close()
    assert until(lambda: threading.active_count() <= before)


def test_files_that_cannot_be_used_are_named(tmp_path: Path, site: Authority, stranger: Authority):
    certificate, key = site.issue("good")
    _, other = stranger.issue("other")
    empty = tmp_path / "empty.pem"
    empty.write_text("")
    for settings, named in (
        (TlsSettings(certificate=tmp_path / "none.pem", key=key), "none.pem"),
        (TlsSettings(certificate=certificate, key=tmp_path / "none.key"), "none.key"),
        (TlsSettings(certificate=certificate, key=other), "other.key"),
        (TlsSettings(certificate=certificate, key=key, client_ca=empty), "empty.pem"),
    ):
        with pytest.raises(ConfigError, match=named):
            server_context(settings)
    with pytest.raises(ConfigError, match="client_ca"):
        server_context(TlsSettings(certificate=certificate, key=key, require_client=True))
