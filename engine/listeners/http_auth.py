"""Who may POST: bearer tokens (RFC 6750), user names with passwords (RFC 7617), names of client certificates.

In: files of lines `name secret`, and what a request shows. Out: the sender's name, or nothing. Only digests
of secrets are kept, and all of them are compared in constant time. A file that others may read is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from engine.kernel.disk import private_text
from engine.kernel.errors import ConfigError
from engine.listeners.http_settings import HttpAuth

__all__ = ["Admission", "names_of"]

_SHORTEST = 16


class Admission:
    """What one port asks of its senders. Raises ConfigError for a file that cannot be used."""

    def __init__(self, auth: HttpAuth | None) -> None:
        self._tokens = _secrets(auth.token) if auth is not None and auth.token else {}
        self._users = _secrets(auth.basic) if auth is not None and auth.basic else {}
        self._certificates = frozenset(auth.certificate) if auth is not None else frozenset()
        self.challenge = "Bearer" if self._tokens else 'Basic realm="hub", charset="UTF-8"'

    @property
    def asks(self) -> bool:
        """Say whether a request must show a token or a password."""
        return bool(self._tokens or self._users)

    def who(self, authorization: bytes) -> str | None:
        """Return the name behind an Authorization header; None: nobody's."""
        scheme, _, rest = authorization.strip().partition(b" ")
        secret = rest.strip()
        if scheme.lower() == b"bearer" and self._tokens:
            return _found(self._tokens, None, secret)
        if scheme.lower() == b"basic" and self._users:
            try:
                user, _, password = base64.b64decode(secret, validate=True).partition(b":")
            except (binascii.Error, ValueError):
                return None
            return _found(self._users, user, password)
        return None

    def certified(self, certificate: Any) -> str | None:
        """Return the name of a client certificate that may send, empty where none is asked for."""
        if not self._certificates:
            return ""
        if certificate is None:
            return None
        return next((n for n in names_of(certificate.to_cryptography()) if n in self._certificates), None)


def names_of(certificate: x509.Certificate) -> list[str]:
    """Return the DNS names and common names of a certificate."""
    names: list[str] = []
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        names += extension.value.get_values_for_type(x509.DNSName)
    except (x509.ExtensionNotFound, ValueError):
        pass  # a certificate without such names has a common name
    names += [str(a.value) for a in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    return names


def _secrets(path: Path) -> dict[str, bytes]:
    named: dict[str, bytes] = {}
    for number, line in enumerate(private_text(path, "the file of secrets").splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{path}:{number}"
        if len(words) != 2 or words[0] in named:
            raise ConfigError("is no secret", where=where, remedy="write `name secret`, each name once")
        if len(words[1]) < _SHORTEST:
            raise ConfigError(
                f"this secret has fewer than {_SHORTEST} characters", where=where, remedy="use a random one"
            )
        named[words[0]] = _digest(words[1].encode())
    if not named:
        raise ConfigError("there is no secret in it", where=str(path), remedy="write lines `name secret`")
    return named


def _found(secrets: dict[str, bytes], user: bytes | None, secret: bytes) -> str | None:
    given = _digest(secret)
    found = None
    for name, digest in secrets.items():
        if hmac.compare_digest(given, digest) and (user is None or hmac.compare_digest(user, name.encode())):
            found = name
    return found


def _digest(secret: bytes) -> bytes:
    return hashlib.sha256(secret).digest()
