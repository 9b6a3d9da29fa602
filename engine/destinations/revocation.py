"""Whether a certificate was taken back: the revocation lists that its chain names.

In: a chain that is trusted already, its anchor last. Out: nothing, or a HubError. A list is fetched by HTTP
from where the certificate says, believed when the certificate's own issuer signed it and it is not out of
date, and kept in memory until it is, an hour at most. Anything else (OCSP, lists of other issuers, LDAP) is
not asked. Follows RFC 5280 5 and 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal, NamedTuple

import httpx
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from engine.kernel.errors import HubError

__all__ = ["NotAsked", "Revocation"]

_KEPT = timedelta(hours=1)
_MOST = 32 << 20
_SECONDS = 20


class NotAsked(HubError):
    """A revocation list cannot be had or believed now; whether the certificate holds is not known."""


class _Kept(NamedTuple):
    found: x509.CertificateRevocationList
    until: datetime


class Revocation:
    """Asks for revocation lists and keeps them."""

    def __init__(self, policy: Literal["named", "strict", "off"]) -> None:
        self._policy = policy
        self._kept: dict[str, _Kept] = {}

    def check(self, chain: Sequence[x509.Certificate], at: datetime) -> None:
        """Raise HubError where one of a chain was taken back, `NotAsked` where that cannot be told."""
        if self._policy == "off":
            return
        for certificate, issuer in pairwise(chain):
            lists = _lists(certificate)
            if not lists:
                if self._policy == "strict":
                    raise HubError(
                        "the certificate is not trusted",
                        why="it names no revocation list that can be fetched",
                    )
                continue
            found = self._list(lists, issuer, at)
            if found.get_revoked_certificate_by_serial_number(certificate.serial_number) is not None:
                raise HubError("the certificate is not trusted", why="it was taken back by who issued it")

    def _list(
        self, addresses: Sequence[str], issuer: x509.Certificate, at: datetime
    ) -> x509.CertificateRevocationList:
        """Return the first list that can be had and believed."""
        why = ""
        for address in addresses:
            kept = self._kept.get(address)
            if kept is not None and at < kept.until:
                return kept.found
            try:
                found = _believed(_fetched(address), issuer, at)
            except NotAsked as e:
                why = why or e.why
                continue
            ends = found.next_update_utc or at
            self._kept[address] = _Kept(found, min(ends, at + _KEPT))
            return found
        raise NotAsked(
            "the revocation list cannot be had", why=why, remedy="see that it can be fetched from here"
        )


def _lists(certificate: x509.Certificate) -> list[str]:
    """Return where its revocation list is, as far as it is there for all reasons and by HTTP."""
    try:
        points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    except x509.ExtensionNotFound:
        return []
    return [
        name.value
        for point in points
        if point.crl_issuer is None and point.reasons is None
        for name in point.full_name or ()
        if isinstance(name, x509.UniformResourceIdentifier)
        and name.value.lower().startswith(("http://", "https://"))
    ]


def _fetched(address: str) -> x509.CertificateRevocationList:
    try:
        with (
            httpx.Client(timeout=_SECONDS, follow_redirects=False, trust_env=False) as client,
            client.stream("GET", address) as answer,
        ):
            if answer.status_code != 200:
                raise NotAsked("no list", why=f"{address} answered {answer.status_code}")
            data = b""
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > _MOST:
                    raise NotAsked("no list", why=f"{address} is larger than {_MOST >> 20} MiB")
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        raise NotAsked("no list", why=f"{address} cannot be reached ({type(e).__name__})") from None
    try:
        if data.lstrip().startswith(b"-----BEGIN"):
            return x509.load_pem_x509_crl(data)
        return x509.load_der_x509_crl(data)
    except ValueError:
        raise NotAsked("no list", why=f"what {address} answers is no revocation list") from None


def _believed(
    found: x509.CertificateRevocationList, issuer: x509.Certificate, at: datetime
) -> x509.CertificateRevocationList:
    """Return a list that its issuer signed and that is not out of date. Raises `NotAsked`."""
    key = issuer.public_key()
    try:
        signed = (
            found.issuer == issuer.subject
            and isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
            and found.is_signature_valid(key)
        )
    except (TypeError, ValueError, UnsupportedAlgorithm):
        signed = False
    if not signed:
        raise NotAsked("no list", why="the revocation list is not signed by who issued the certificate")
    if found.next_update_utc is None or found.next_update_utc < at:
        raise NotAsked("no list", why="the revocation list is out of date")
    return found
