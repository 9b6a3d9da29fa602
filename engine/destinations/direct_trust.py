"""Whose certificate a Direct message is encrypted for: found, bound to the address, trusted, not taken back.

In: an address and settings. Out: the certificates to encrypt for, or a HubError that says what is wrong with
each that was found; nothing is ever encrypted for one that is not trusted. Found in files first, then in DNS
if it is asked (CERT records of the address, then of its domain; LDAP is not asked). Follows the Applicability
Statement for Secure Health Transport 1.2, 4.0 and 5.0 to 5.3, and RFC 4398.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cryptography import x509

from engine.destinations.direct_settings import DirectSettings
from engine.destinations.issuers import Issuers
from engine.destinations.revocation import Revocation
from engine.kernel.errors import ConfigError, HubError
from engine.security.mailcerts import Use, bound_to, chain_of, check_use, domain_of, read_certificates

__all__ = ["Trust"]


class _Found(NamedTuple):
    """A certificate, where it was found, and what came with it."""

    certificate: x509.Certificate
    where: str
    others: tuple[x509.Certificate, ...] = ()


class Trust:
    """Whom we believe. Raises ConfigError where the anchors cannot be read."""

    def __init__(self, settings: DirectSettings, revocation: Revocation) -> None:
        self._settings, self._revocation, self._issuers = settings, revocation, Issuers()
        self._anchors = read_certificates(settings.anchors)

    def recipients(self, address: str) -> tuple[x509.Certificate, ...]:
        """Return the certificates that a message for an address is encrypted for. Raises HubError."""
        found = self._in_files(address) or (self._in_dns(address) if self._settings.dns else ())
        if not found:
            asked = [
                w for w, on in (("files", self._settings.certificates), ("DNS", self._settings.dns)) if on
            ]
            raise HubError(
                "there is no certificate of the recipient",
                where=address,
                why="none in " + " and ".join(asked),
                remedy="ask the recipient's HISP for it and put it into the folder of `certificates`",
            )
        wrong: list[str] = []
        for bound in ("address", "domain"):  # one of the address goes before one of its domain (5.3)
            good = []
            for one in found:
                if bound_to(one.certificate, address) != bound:
                    continue
                try:
                    self.check(one.certificate, self._with_issuers(one), "encrypt")
                except ConfigError:
                    raise
                except HubError as e:
                    wrong.append(f"{one.where}: {e.why or e.what}")
                else:
                    good.append(one.certificate)
            if good:
                return tuple(good)
        wrong += [
            f"{one.where}: it is of another address"
            for one in found
            if not bound_to(one.certificate, address)
        ]
        raise HubError(
            "no certificate of the recipient can be used", where=address, why="; ".join(dict.fromkeys(wrong))
        )

    def check(self, certificate: x509.Certificate, others: Iterable[x509.Certificate], use: Use) -> None:
        """Raise HubError where a certificate is not to be believed now."""
        check_use(certificate, use)
        at = datetime.now(UTC)
        chain = chain_of(certificate, others, self._anchors, at)
        self._revocation.check(chain, at)

    def _with_issuers(self, one: _Found) -> tuple[x509.Certificate, ...]:
        """Return what came with a certificate, and its issuers where it leads to no anchor by that.

        Who signed a notice may be anybody: for them nothing is fetched.
        """
        at = datetime.now(UTC)
        if self._settings.issuers == "given":
            return one.others
        try:
            chain_of(one.certificate, one.others, self._anchors, at)
        except HubError:
            return (*one.others, *self._issuers.above((one.certificate, *one.others)[-1], at))
        return one.others

    def _in_files(self, address: str) -> tuple[_Found, ...]:
        folder = self._settings.certificates
        if folder is None:
            return ()
        for name in (address.lower(), domain_of(address)):
            path = folder / f"{name}.pem"
            if path.parent == folder and path.is_file():
                own, *others = read_certificates(path)
                return (_Found(own, path.name, tuple(others)),)
        return ()

    def _in_dns(self, address: str) -> tuple[_Found, ...]:
        for name in (address.replace("@", ".", 1), domain_of(address)):
            if found := dns_certificates(name, self._settings.name_servers, self._settings.timeout_seconds):
                return tuple(_Found(one, f"DNS {name}") for one in found)
        return ()


def dns_certificates(name: str, servers: Sequence[str], seconds: float) -> tuple[x509.Certificate, ...]:
    """Ask DNS for the CERT records of a name (RFC 4398, type PKIX). Raises HubError where nobody answers."""
    try:
        import dns.exception
        import dns.nameserver
        import dns.rdtypes.ANY.CERT
        import dns.resolver
    except ImportError:
        raise ConfigError(
            "DNS cannot be asked", why="dnspython is not installed", remedy="pip install 'hl7-hub[direct]'"
        ) from None
    try:
        resolver = dns.resolver.Resolver(configure=not servers)
        if servers:
            resolver.nameservers = [_server(one) for one in servers]
        resolver.lifetime = min(seconds, 20)
        answer = resolver.resolve(name, "CERT", search=False)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return ()
    except (dns.exception.DNSException, OSError, ValueError) as e:
        raise HubError("DNS does not answer", where=name, why=type(e).__name__) from None
    out = []
    for one in answer:
        if isinstance(one, dns.rdtypes.ANY.CERT.CERT) and one.certificate_type == 1:
            try:
                out.append(x509.load_der_x509_certificate(one.certificate))
            except ValueError:
                continue  # another record of the name may hold one that can be read
    return tuple(out)


def _server(text: str) -> Any:
    import dns.nameserver

    address, colon, port = text.rpartition(":")
    if not colon or (":" in address and not address.startswith("[")):
        address, port = text, "53"
    return dns.nameserver.Do53Nameserver(address.strip("[]"), int(port))
