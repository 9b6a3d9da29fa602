"""An authority of nobody, and certificates that it gives for Direct addresses and domains."""

from __future__ import annotations

import datetime
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

NOW = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
_USES = (
    "digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement",
    "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
)  # fmt: skip


class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: x509.Certificate
    key: rsa.RSAPrivateKey

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def secret(self) -> bytes:
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())

    def written(self, folder: Path, name: str, *chain: Pair) -> tuple[Path, Path]:
        """Write both to files; return where."""
        (folder / f"{name}.pem").write_bytes(self.pem + b"".join(c.pem for c in chain))
        (folder / f"{name}.key").write_bytes(self.secret)
        return folder / f"{name}.pem", folder / f"{name}.key"


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    """Make a key once."""
    return rsa.generate_private_key(65537, 2048)


def made(
    name: str,
    issuer: Pair | None,
    *names: x509.GeneralName,
    ca: bool = False,
    uses: tuple[str, ...] = ("digital_signature", "key_encipherment"),
    days: tuple[int, int] = (-1, 30),
    list_at: str = "",
    responder_at: str = "",
    issuer_at: str = "",
    more: tuple[x509.ExtensionType, ...] = (),
) -> Pair:
    """Make a certificate; it signs itself where nobody issues it."""
    own = key(name)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    signer: Any = issuer or Pair(None, own)  # type: ignore[arg-type]
    by = issuer.certificate.subject if issuer else subject
    uses = ("key_cert_sign", "crl_sign") if ca else uses
    builder = (
        x509.CertificateBuilder(by, subject, own.public_key(), x509.random_serial_number())
        .not_valid_before(NOW + datetime.timedelta(days=days[0]))
        .not_valid_after(NOW + datetime.timedelta(days=days[1]))
        .add_extension(x509.BasicConstraints(ca, None), True)
        .add_extension(x509.KeyUsage(**{use: use in uses for use in _USES}), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.key.public_key()), False)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
    if list_at:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(list_at)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), False)
    ways = (
        (AuthorityInformationAccessOID.OCSP, responder_at),
        (AuthorityInformationAccessOID.CA_ISSUERS, issuer_at),
    )
    if access := [x509.AccessDescription(w, x509.UniformResourceIdentifier(at)) for w, at in ways if at]:
        builder = builder.add_extension(x509.AuthorityInformationAccess(access), False)
    for one in more:
        builder = builder.add_extension(one, False)
    return Pair(builder.sign(signer.key, hashes.SHA256()), own)


def revocation_list(
    issuer: Pair, *revoked: x509.Certificate, signed_by: Pair | None = None, days: tuple[int, int] = (-1, 7)
) -> bytes:
    """Make the list of what an authority has taken back."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuer.certificate.subject)
        .last_update(NOW + datetime.timedelta(days=days[0]))
        .next_update(NOW + datetime.timedelta(days=days[1]))
    )
    for one in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(one.serial_number).revocation_date(NOW)
        builder = builder.add_revoked_certificate(entry.build())
    signed = builder.sign((signed_by or issuer).key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


ANCHOR = made("Sample anchor", None, ca=True)
BETWEEN = made("Sample intermediate", ANCHOR, ca=True)
STRANGER = made("Nobody's anchor", None, ca=True)
US = "hub@direct.mercy.example"
THEM = "nurse@direct.lakeshore.example"
HUB = made("hub", BETWEEN, x509.RFC822Name(US))
NURSE = made("nurse", ANCHOR, x509.RFC822Name(THEM))
LAKESHORE = made("lakeshore", BETWEEN, x509.DNSName("direct.lakeshore.example"))
