"""Certificates of mail addresses: whose they are, what they may be used for, whether an anchor stands behind.

In: certificates, an address, trust anchors, a time. Out: the chain to an anchor, or a HubError that says what
is wrong with the certificate. Revocation is asked elsewhere: it needs a network. Follows the Applicability
Statement for Secure Health Transport 1.2, 4.0 (trust verification) and 5.1 (address-bound and domain-bound
certificates), and RFC 5280; the path is checked by `cryptography`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from engine.kernel.errors import ConfigError, HubError
from engine.security.smime import Identity

__all__ = ["bound_to", "chain_of", "check_use", "domain_of", "read_certificates", "read_identity"]

Use = Literal["encrypt", "sign"]


def read_certificates(path: Path) -> tuple[x509.Certificate, ...]:
    """Read the certificates of a PEM or DER file."""
    try:
        data = path.read_bytes()
        if b"-----BEGIN" in data:
            return tuple(x509.load_pem_x509_certificates(data))
        return (x509.load_der_x509_certificate(data),)
    except (OSError, ValueError) as e:
        why = getattr(e, "strerror", "") or "it holds no certificate"
        raise ConfigError("cannot read a certificate", where=str(path), why=why) from None


def read_identity(certificate: Path, key: Path | None, password: str) -> Identity:
    """Read our own certificate, what follows it in its file, and its private key."""
    own, *chain = read_certificates(certificate)
    where = str(key or certificate)
    try:
        secret = load_pem_private_key((key or certificate).read_bytes(), password.encode() or None)
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as e:
        why = getattr(e, "strerror", "") or "it holds no private key, or its password is another"
        raise ConfigError("cannot read the private key", where=where, why=why) from None
    if not isinstance(secret, rsa.RSAPrivateKey):
        raise ConfigError("cannot be used for Direct", where=where, why="the private key is not an RSA key")
    if secret.public_key() != own.public_key():
        raise ConfigError(
            "certificate and key do not belong together", where=where, remedy="name the key it was made for"
        )
    return Identity(own, secret, tuple(chain))


def domain_of(address: str) -> str:
    """Return the domain of an address, in lower case."""
    return address.rpartition("@")[2].strip().rstrip(".").lower()


def bound_to(certificate: x509.Certificate, address: str) -> Literal["address", "domain", ""]:
    """Say what of an address a certificate stands for: all of it, its domain, or nothing (5.1)."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ""
    mailboxes = {_same(one) for one in names.get_values_for_type(x509.RFC822Name)}
    if _same(address) in mailboxes:
        return "address"
    domains = {one.rstrip(".").lower() for one in names.get_values_for_type(x509.DNSName)}
    return "domain" if not mailboxes and domain_of(address) in domains else ""


def _same(address: str) -> str:
    """Write an address so that two spellings of one are the same; Direct compares all of it without case."""
    return f"{address.rpartition('@')[0]}@{domain_of(address)}".casefold()


def check_use(certificate: x509.Certificate, use: Use) -> None:
    """Raise HubError where a certificate is not meant for what it is used for."""
    if use == "encrypt" and not isinstance(certificate.public_key(), rsa.RSAPublicKey):
        raise HubError(
            "the certificate cannot be used", why="its key is no RSA key; nothing can be encrypted"
        )
    try:
        held = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return
    fine = held.key_encipherment if use == "encrypt" else held.digital_signature or held.content_commitment
    if not fine:
        what = "to encrypt" if use == "encrypt" else "to sign"
        raise HubError("the certificate cannot be used", why=f"it is not meant {what} (keyUsage)")


def chain_of(
    certificate: x509.Certificate,
    others: Iterable[x509.Certificate],
    anchors: Sequence[x509.Certificate],
    at: datetime,
) -> tuple[x509.Certificate, ...]:
    """Return the chain from a certificate to an anchor, the anchor last. Raises HubError."""
    if at > certificate.not_valid_after_utc:
        day = certificate.not_valid_after_utc.date()
        raise HubError("the certificate is not trusted", why=f"it expired on {day}")
    if at < certificate.not_valid_before_utc:
        day = certificate.not_valid_before_utc.date()
        raise HubError("the certificate is not trusted", why=f"it is not valid before {day}")
    authorities = (
        ExtensionPolicy.permit_all()
        .require_present(x509.BasicConstraints, Criticality.AGNOSTIC, _authority)
        .may_be_present(x509.KeyUsage, Criticality.AGNOSTIC, _signs_certificates)
    )
    # purposes of the web (serverAuth) say nothing of mail: what it may be used for is in `check_use`
    builder = PolicyBuilder().store(Store(list(anchors))).time(at.replace(tzinfo=None))
    builder = builder.extension_policies(ca_policy=authorities, ee_policy=ExtensionPolicy.permit_all())
    try:
        return tuple(builder.build_client_verifier().verify(certificate, list(others)).chain)
    except (VerificationError, ValueError) as e:
        raise HubError(
            "the certificate is not trusted",
            why="no chain leads from it to a trust anchor: " + _short(str(e)),
            remedy="name the anchor of who issued it in `anchors`, if you trust that authority",
        ) from None


def _short(text: str) -> str:
    """Keep what the check says, without the names in it."""
    return " ".join(text.split())[:120].split("<")[0].strip()


def _authority(_policy: object, _certificate: x509.Certificate, said: x509.BasicConstraints) -> None:
    if not said.ca:
        raise ValueError("an issuer is no authority")


def _signs_certificates(_policy: object, _certificate: x509.Certificate, said: x509.KeyUsage | None) -> None:
    if said is not None and not said.key_cert_sign:
        raise ValueError("an issuer may not sign certificates")
