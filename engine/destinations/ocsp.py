"""Whether a certificate holds now, asked of the responder that it names.

In: a certificate, its issuer, a time. Out: that it holds, a HubError where it was taken back, `NotAsked`
where that cannot be told. An answer is believed when it is of this certificate and this issuer, in date,
and signed by the issuer or by whom the issuer gave the right to (id-kp-OCSPSigning). A good answer is kept
until it is out of date, an hour at most. Follows RFC 6960 3.2, 4.1 and 4.2.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from engine.destinations.fetching import NotAsked, fetched, is_web
from engine.kernel.errors import HubError

__all__ = ["Responders", "named_by", "responders_of"]

_KEPT = timedelta(hours=1)
_CLOCKS = timedelta(minutes=5)  # by which two clocks may differ
_MOST = 1 << 20
_MEDIA = "application/ocsp-request"


def responders_of(certificate: x509.Certificate) -> list[str]:
    """Return where a certificate's responder is, by HTTP."""
    return named_by(certificate, AuthorityInformationAccessOID.OCSP)


def named_by(certificate: x509.Certificate, method: x509.ObjectIdentifier) -> list[str]:
    """Return the addresses of HTTP that a certificate gives for something (authorityInfoAccess)."""
    try:
        access = certificate.extensions.get_extension_for_class(x509.AuthorityInformationAccess).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [
        one.access_location.value
        for one in access
        if one.access_method == method
        and isinstance(one.access_location, x509.UniformResourceIdentifier)
        and is_web(one.access_location.value)
    ]


class Responders:
    """Asks responders, and keeps what they said. `holds` says whether a responder's own certificate does."""

    def __init__(self, holds: Callable[[x509.Certificate, x509.Certificate, datetime], None]) -> None:
        self._holds = holds
        self._kept: dict[tuple[bytes, int], datetime] = {}

    def check(self, certificate: x509.Certificate, issuer: x509.Certificate, at: datetime) -> None:
        """Raise HubError where a certificate was taken back, NotAsked where no responder tells."""
        name = (issuer.fingerprint(hashes.SHA256()), certificate.serial_number)
        if (until := self._kept.get(name)) is not None and at < until:
            return
        request = ocsp.OCSPRequestBuilder().add_certificate(certificate, issuer, hashes.SHA1()).build()
        asked, why = request.public_bytes(Encoding.DER), ""
        for address in responders_of(certificate):
            try:
                answer = _read(fetched(address, _MOST, asked, _MEDIA), address)
                self._believed(answer, issuer, at)
                single = _single(answer, request)
                until = _until(single, at)
            except NotAsked as e:
                why = why or e.why
                continue
            if single.certificate_status == ocsp.OCSPCertStatus.REVOKED:
                raise HubError("the certificate is not trusted", why="it was taken back by who issued it")
            if single.certificate_status == ocsp.OCSPCertStatus.GOOD:
                self._kept[name] = until
                return
            why = why or f"{address} does not know the certificate"
        raise NotAsked("no responder answers", why=why, remedy="see that it can be asked from here")

    def _believed(self, answer: ocsp.OCSPResponse, issuer: x509.Certificate, at: datetime) -> None:
        """Raise NotAsked where an answer is not signed by who may."""
        if _signed(answer, issuer):
            return
        for signer in answer.certificates:
            if not _signed(answer, signer):
                continue
            try:
                signer.verify_directly_issued_by(issuer)
                uses = signer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, x509.ExtensionNotFound):
                continue
            if ExtendedKeyUsageOID.OCSP_SIGNING not in uses:
                continue
            if not signer.not_valid_before_utc <= at <= signer.not_valid_after_utc:
                continue
            try:
                signer.extensions.get_extension_for_class(x509.OCSPNoCheck)
            except x509.ExtensionNotFound:
                self._holds(signer, issuer, at)
            return
        raise NotAsked("no answer that counts", why="the responder's answer is not signed by who may sign it")


def _read(data: bytes, address: str) -> ocsp.OCSPResponse:
    try:
        answer = ocsp.load_der_ocsp_response(data)
    except ValueError:
        raise NotAsked("no answer", why=f"what {address} answers is no OCSP response") from None
    if answer.response_status != ocsp.OCSPResponseStatus.SUCCESSFUL:
        said = answer.response_status.name.lower().replace("_", " ")
        raise NotAsked("no answer", why=f"{address} answered: {said}")
    return answer


def _single(answer: ocsp.OCSPResponse, request: ocsp.OCSPRequest) -> ocsp.OCSPSingleResponse:
    """Return what is said of the certificate that was asked for."""
    for one in answer.responses:
        if (
            one.serial_number == request.serial_number
            and one.hash_algorithm.name == request.hash_algorithm.name
            and one.issuer_key_hash == request.issuer_key_hash
            and one.issuer_name_hash == request.issuer_name_hash
        ):
            return one
    raise NotAsked("no answer that counts", why="the responder's answer is of another certificate")


def _until(single: ocsp.OCSPSingleResponse, at: datetime) -> datetime:
    """Return until when an answer may be kept. Raises NotAsked where it is not of now."""
    ends = single.next_update_utc
    if single.this_update_utc > at + _CLOCKS or (ends is not None and ends < at):
        raise NotAsked("no answer that counts", why="the responder's answer is out of date")
    if ends is None and single.this_update_utc < at - _KEPT:
        raise NotAsked("no answer that counts", why="the responder's answer is out of date")
    return min(ends or at, at + _KEPT)


def _signed(answer: ocsp.OCSPResponse, signer: x509.Certificate) -> bool:
    """Say whether an answer is signed by the key of a certificate."""
    key, hashed = signer.public_key(), answer.signature_hash_algorithm
    if hashed is None or isinstance(hashed, hashes.SHA1 | hashes.MD5):
        return False
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(answer.signature, answer.tbs_response_bytes, padding.PKCS1v15(), hashed)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(hashed))
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True
