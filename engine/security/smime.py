"""S/MIME: a MIME entity signed, encrypted, opened again, and whose signature it is.

In: bytes of MIME entities, certificates and keys. Out: the same, wrapped or unwrapped; a `FormatError` for
what cannot be opened or is not what its signature says. Signed with SHA-256, encrypted with AES-CBC for RSA
keys, as the Applicability Statement for Secure Health Transport 1.2 (2.6, 2.7) asks. Made by `cryptography`;
it verifies no CMS signature, so the structure is read by pyasn1 and each signature checked by `cryptography`.
Follows RFC 8551 (S/MIME 4.0) and RFC 5652 (CMS). Whether a certificate is to be believed is not asked here.
"""

from __future__ import annotations

import base64
import email
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from typing import Any, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from engine.kernel.errors import ConfigError, FormatError
from engine.security.ber import definite

__all__ = ["Identity", "Signed", "decrypt", "encrypt", "sign", "verify"]

Cipher = Literal["aes-128-cbc", "aes-256-cbc"]
_CIPHERS: dict[str, Any] = {"aes-128-cbc": algorithms.AES128, "aes-256-cbc": algorithms.AES256}
_HASHES: dict[str, hashes.HashAlgorithm] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
_MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
_PSS = "1.2.840.113549.1.1.10"
_SIGNATURE_TYPES = ("application/pkcs7-signature", "application/x-pkcs7-signature")
_ENVELOPES = ("application/pkcs7-mime", "application/x-pkcs7-mime")


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we are: a certificate, its private key, and what leads to an anchor."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey
    chain: tuple[x509.Certificate, ...] = ()


@dataclass(frozen=True, slots=True)
class Signed:
    """What was signed, by whom, and the certificates that came along."""

    content: bytes  # a MIME entity
    signer: x509.Certificate
    others: tuple[x509.Certificate, ...]


def sign(entity: bytes, identity: Identity) -> bytes:
    """Return an entity as multipart/signed; its lines must end with CRLF and be of seven bits."""
    made = pkcs7.PKCS7SignatureBuilder().set_data(entity)
    made = made.add_signer(identity.certificate, identity.key, hashes.SHA256())
    for one in identity.chain:
        made = made.add_certificate(one)
    options = [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary]
    signature = _lines(made.sign(Encoding.DER, options))
    digest = hashes.Hash(hashes.SHA256())
    digest.update(entity)
    boundary = b"=_signed_" + base64.b16encode(digest.finalize()[:18])
    return b"".join(
        (
            b'Content-Type: multipart/signed; protocol="application/pkcs7-signature";\r\n',
            b' micalg=sha-256; boundary="' + boundary + b'"\r\n\r\n',
            b"--" + boundary + b"\r\n" + entity + b"\r\n--" + boundary + b"\r\n",
            b'Content-Type: application/pkcs7-signature; name="smime.p7s"\r\n',
            b"Content-Transfer-Encoding: base64\r\n",
            b'Content-Disposition: attachment; filename="smime.p7s"\r\n\r\n',
            signature + b"--" + boundary + b"--\r\n",
        )
    )


def encrypt(entity: bytes, recipients: Sequence[x509.Certificate], cipher: Cipher) -> bytes:
    """Return an entity as application/pkcs7-mime that only the recipients open."""
    made = pkcs7.PKCS7EnvelopeBuilder().set_data(entity).set_content_encryption_algorithm(_CIPHERS[cipher])
    for one in recipients:
        made = made.add_recipient(one)
    data = made.encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
    return (
        b'Content-Type: application/pkcs7-mime; smime-type=enveloped-data; name="smime.p7m"\r\n'
        b"Content-Transfer-Encoding: base64\r\n"
        b'Content-Disposition: attachment; filename="smime.p7m"\r\n\r\n' + _lines(data)
    )


def decrypt(message: Message, identity: Identity) -> bytes:
    """Open an application/pkcs7-mime that is encrypted for us; return the entity in it."""
    if message.get_content_type() not in _ENVELOPES:
        raise _unreadable("it is not encrypted")
    data = message.get_payload(decode=True)
    if not isinstance(data, bytes):
        raise _unreadable("its encrypted part is no base64")
    try:
        whole = definite(data, implicit=True)
        return pkcs7.pkcs7_decrypt_der(whole, identity.certificate, identity.key, [])
    except (ValueError, UnsupportedAlgorithm):
        raise _unreadable(
            "it is not encrypted for our certificate, or by a cipher that Direct does not know"
        ) from None


def verify(entity: bytes) -> Signed:
    """Check a signed entity (multipart/signed or signed-data); return what was signed and by whom."""
    message = email.message_from_bytes(entity)
    if message.get_content_type() == "multipart/signed":
        parts: Any = message.get_payload()
        if not isinstance(parts, list) or len(parts) != 2:
            raise _unreadable("it is not two parts, one of them the signature")
        if parts[1].get_content_type() not in _SIGNATURE_TYPES:
            raise _unreadable("it is not signed by S/MIME")
        data = parts[1].get_payload(decode=True)
        content: bytes | None = _signed_part(entity, str(message.get_boundary()))
    elif message.get_content_type() in _ENVELOPES:
        data, content = message.get_payload(decode=True), None
    else:
        raise _unreadable("it is not signed")
    if not isinstance(data, bytes):
        raise _unreadable("its signature is no base64")
    unreadable = _asn1_error()
    try:
        return _checked(data, content)
    except (ValueError, KeyError, IndexError, TypeError, UnsupportedAlgorithm, unreadable) as e:
        raise _unreadable(f"its signature cannot be read ({type(e).__name__})") from None


def _signed_part(entity: bytes, boundary: str) -> bytes:
    """Return the first part byte for byte, as it was signed, with CRLF at the ends of its lines."""
    mark = b"--" + boundary.encode("ascii", "replace")
    text = entity.replace(b"\r\n", b"\n")
    start = text.find(mark + b"\n")
    end = text.find(b"\n" + mark, start + len(mark))
    if start < 0 or end < 0:
        raise _unreadable("its parts cannot be told apart")
    return text[start + len(mark) + 1 : end].replace(b"\n", b"\r\n")


def _checked(data: bytes, detached: bytes | None) -> Signed:
    """Read signed-data, find who signed it among its certificates, check digest and signature."""
    from pyasn1.codec.der import decoder, encoder
    from pyasn1_modules import rfc5652

    info, _ = decoder.decode(definite(data), asn1Spec=rfc5652.ContentInfo())
    if info["contentType"] != rfc5652.id_signedData:
        raise _unreadable("it holds no signature")
    signed, _ = decoder.decode(bytes(info["content"]), asn1Spec=rfc5652.SignedData())
    content = detached
    if content is None:
        content = bytes(signed["encapContentInfo"]["eContent"])
    certificates = [
        x509.load_der_x509_certificate(encoder.encode(one["certificate"]))
        for one in signed["certificates"]
        if one.getName() == "certificate"
    ]
    if len(signed["signerInfos"]) != 1:
        raise _unreadable("it has not exactly one signature")
    told = signed["signerInfos"][0]
    signer = _signer(told["sid"], certificates, encoder)
    algorithm = _HASHES.get(str(told["digestAlgorithm"]["algorithm"]))
    if algorithm is None or str(told["signatureAlgorithm"]["algorithm"]) == _PSS:
        raise _unreadable("it is signed by an algorithm that Direct does not know, e.g. SHA-1")
    covered = content
    if told["signedAttrs"].isValue:
        covered = _attributes(told["signedAttrs"], content, algorithm, decoder, encoder, rfc5652)
    _check(signer, bytes(told["signature"]), covered, algorithm)
    return Signed(content, signer, tuple(c for c in certificates if c != signer))


def _attributes(
    said: Any, content: bytes, algorithm: hashes.HashAlgorithm, decoder: Any, encoder: Any, rfc5652: Any
) -> bytes:
    """Compare the digest among the signed attributes with the content's; return them as they are signed."""
    digest = hashes.Hash(algorithm)
    digest.update(content)
    own = digest.finalize()
    plain = rfc5652.SignedAttributes()
    found = False
    for n, one in enumerate(said):
        plain[n] = one
        if str(one["attrType"]) == _MESSAGE_DIGEST:
            value, _ = decoder.decode(bytes(one["attrValues"][0]))
            if not hmac.compare_digest(bytes(value), own):
                raise _unreadable("it is not what was signed")
            found = True
    if not found:
        raise _unreadable("its signature does not cover it")
    return bytes(encoder.encode(plain))


def _signer(said: Any, certificates: Iterable[x509.Certificate], encoder: Any) -> x509.Certificate:
    kind = said.getName()
    for one in certificates:
        if kind == "issuerAndSerialNumber":
            named = said["issuerAndSerialNumber"]
            if int(named["serialNumber"]) == one.serial_number and (
                encoder.encode(named["issuer"]) == one.issuer.public_bytes()
            ):
                return one
        else:
            try:
                key = one.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
            except x509.ExtensionNotFound:
                continue
            if key == bytes(said["subjectKeyIdentifier"]):
                return one
    raise _unreadable("the certificate of who signed it did not come with it")


def _check(signer: x509.Certificate, signature: bytes, data: bytes, algorithm: hashes.HashAlgorithm) -> None:
    key = signer.public_key()
    try:
        if isinstance(key, rsa.RSAPublicKey):
            key.verify(signature, data, padding.PKCS1v15(), algorithm)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(signature, data, ec.ECDSA(algorithm))
        else:
            raise _unreadable("the key of who signed it is of a kind that Direct does not know")
    except InvalidSignature:
        raise _unreadable("it is not what was signed") from None


def _asn1_error() -> type[Exception]:
    try:
        from pyasn1.error import PyAsn1Error
        from pyasn1_modules import rfc5652  # noqa: F401
    except ImportError:
        raise ConfigError(
            "signatures cannot be checked",
            why="pyasn1-modules is not installed",
            remedy="pip install 'hl7-hub[direct]'",
        ) from None
    return PyAsn1Error  # type: ignore[no-any-return]


def _lines(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


def _unreadable(why: str) -> FormatError:
    return FormatError("the secured message cannot be opened", why=why, remedy="ask who sent it")
