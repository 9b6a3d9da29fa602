"""Certificates of issuers that nobody sent, fetched from where a certificate says they are.

In: a certificate that leads to no anchor by what came with it. Out: certificates that may lead there; they
are believed no more than what came with it: the chain decides. At most four, one behind the other, each
kept for an hour, as is that it could not be had. Follows RFC 5280 4.2.2.1 (caIssuers) and RFC 4325.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import AuthorityInformationAccessOID

from engine.destinations.fetching import NotAsked, fetched
from engine.destinations.ocsp import named_by

__all__ = ["Issuers"]

_DEEPEST = 4
_MOST = 256 << 10
_KEPT = timedelta(hours=1)
_ADDRESSES = 2  # of one certificate that are tried
_ANSWERS = 500  # that are kept
_FILES = 8  # certificates of one answer that are looked at


class Issuers:
    """Fetches issuers, and keeps them."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[datetime, tuple[x509.Certificate, ...]]] = {}

    def above(self, certificate: x509.Certificate, at: datetime) -> tuple[x509.Certificate, ...]:
        """Return the issuers that are found, the nearest first."""
        found: list[x509.Certificate] = []
        here: x509.Certificate | None = certificate
        for _ in range(_DEEPEST):
            if here is None or here.issuer == here.subject:
                break
            here = self._issuer(here, at)
            if here is None or here in found:
                break
            found.append(here)
        return tuple(found)

    def _issuer(self, certificate: x509.Certificate, at: datetime) -> x509.Certificate | None:
        """Return who issued a certificate, where it can be had."""
        for address in named_by(certificate, AuthorityInformationAccessOID.CA_ISSUERS)[:_ADDRESSES]:
            for one in self._at(address, at):
                if one.subject == certificate.issuer:
                    return one
        return None

    def _at(self, address: str, at: datetime) -> Sequence[x509.Certificate]:
        kept = self._kept.get(address)
        if kept is None or at >= kept[0]:
            if len(self._kept) >= _ANSWERS:
                self._kept.clear()
            try:
                found = _read(fetched(address, _MOST))
            except NotAsked:
                found = ()
            kept = self._kept[address] = (at + _KEPT, found)
        return kept[1]


def _read(data: bytes) -> tuple[x509.Certificate, ...]:
    """Read certificates as they are published: DER, PEM, or a PKCS #7 of certificates only."""
    try:
        if data.lstrip().startswith(b"-----BEGIN CERT"):
            return tuple(x509.load_pem_x509_certificates(data)[:_FILES])
        return (x509.load_der_x509_certificate(data),)
    except ValueError:
        pass
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            return tuple(pkcs7.load_pem_pkcs7_certificates(data)[:_FILES])
        return tuple(pkcs7.load_der_pkcs7_certificates(data)[:_FILES])
    except ValueError:
        return ()
