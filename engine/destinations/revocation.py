"""Whether a certificate was taken back: the responders and the revocation lists that its chain names.

In: a chain that is trusted already, its anchor last. Out: nothing, or a HubError. A responder is asked first
(`ocsp.py`); where none is named or none answers, the list decides. A list is fetched by HTTP from where the
certificate says, believed when the certificate's own issuer signed it and it is not out of date, and kept in
memory until it is, an hour at most. Lists of other issuers and LDAP are not asked. Follows RFC 5280 5, 6.3.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal, NamedTuple

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from engine.destinations.fetching import NotAsked, fetched, is_web
from engine.destinations.ocsp import Responders, responders_of
from engine.kernel.errors import HubError

__all__ = ["NotAsked", "Revocation"]

_KEPT = timedelta(hours=1)
_MOST = 32 << 20


class _Kept(NamedTuple):
    found: x509.CertificateRevocationList
    until: datetime


class Revocation:
    """Asks responders and for revocation lists, and keeps what they say."""

    def __init__(self, policy: Literal["named", "strict", "off"]) -> None:
        self._policy = policy
        self._kept: dict[str, _Kept] = {}
        self._responders = Responders(self._by_list)

    def check(self, chain: Sequence[x509.Certificate], at: datetime) -> None:
        """Raise HubError where one of a chain was taken back, `NotAsked` where that cannot be told."""
        if self._policy == "off":
            return
        for certificate, issuer in pairwise(chain):
            lists, responders = _lists(certificate), responders_of(certificate)
            if not lists and not responders:
                if self._policy == "strict":
                    raise HubError(
                        "the certificate is not trusted",
                        why="it names no revocation list that can be fetched, and no responder",
                    )
                continue
            if responders:
                try:
                    self._responders.check(certificate, issuer, at)
                    continue
                except NotAsked:
                    if not lists:
                        raise
            self._by_list(certificate, issuer, at)

    def _by_list(self, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> None:
        """Raise HubError where a list names a certificate, NotAsked where there is none."""
        found = self._list(_lists(certificate), issuer, at)
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
        if isinstance(name, x509.UniformResourceIdentifier) and is_web(name.value)
    ]


def _fetched(address: str) -> x509.CertificateRevocationList:
    data = fetched(address, _MOST)
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
