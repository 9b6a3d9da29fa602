"""HTTP with a FHIR server: one request, proven, its answer within limits (FHIR R4 http.html).

In: method, address below the base, body. Out: the answer, or `Unreached` with what went wrong and whether the
server may have got the request. A token that is refused is renewed once. Redirects are not followed: a body
with patient data goes to the address that was set and nowhere else. What was said is kept as evidence without
the proof.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

import httpx

from engine.destinations.fhir_settings import FhirSettings
from engine.destinations.fhir_tokens import Tokens, Unproven
from engine.destinations.http_secrets import without_secrets
from engine.destinations.tls import context_of
from engine.kernel.errors import ConfigError

__all__ = ["Answer", "FhirClient", "Unreached"]

_MEDIA = "application/fhir+json"
_MOST = 64 << 20  # bytes of an answer
_SECRET = ("authorization", "set-cookie", "x-amz-security-token")


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: httpx.Headers
    body: bytes


class Unreached(Exception):
    """No answer. `down`: the server was not reached at all, or gives us no token."""

    def __init__(self, why: str, *, down: bool) -> None:
        super().__init__(why)
        self.why, self.down = why, down


class FhirClient:
    """One thread's connections to one server."""

    def __init__(self, settings: FhirSettings, root: Path, tokens: Tokens) -> None:
        self._base, self._tokens = settings.url, tokens
        self._http = httpx.Client(
            verify=context_of(settings.tls.below(root) if settings.tls else None),
            timeout=httpx.Timeout(settings.timeout_seconds, connect=min(10.0, settings.timeout_seconds)),
            follow_redirects=False,
            trust_env=False,
            headers={"Accept": _MEDIA, "User-Agent": "hub", "Accept-Encoding": "identity"},
        )
        self.request, self.answer = bytearray(), bytearray()  # of this parcel

    def begin(self) -> None:
        """Start the evidence of a parcel anew."""
        self.request, self.answer = bytearray(), bytearray()

    def close(self) -> None:
        """Give back connections."""
        self._http.close()

    def send(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        """Ask once, or twice where a token was stale. Raises Unreached."""
        # a search must see what was written a moment ago, also where answers are cached (HAPI)
        asked = {"Cache-Control": "no-cache", **(headers or {})}
        if body is not None:
            asked = {"Content-Type": f"{_MEDIA}; charset=utf-8", "Prefer": "return=minimal", **asked}
        for again in (True, False):
            proof = self._proof()
            found = self._once(method, path, body, {**asked, **({"Authorization": proof} if proof else {})})
            if not (found.status == 401 and again and self._tokens.refused(proof)):
                break
        return found

    def _proof(self) -> str:
        try:
            return self._tokens.header(self._http)
        except Unproven as e:
            raise Unreached(f"{e.what}: {e.why}" if e.why else e.what, down=True) from None
        except ConfigError as e:
            raise Unreached(str(e), down=True) from None

    def _once(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
        url = f"{self._base}/{path}" if path else self._base
        self._keep(self.request, f"{method} {url}", headers, body or b"")
        try:
            request = self._http.build_request(method, url, content=body, headers=headers)
            self._tokens.sign(request)
            answer = self._read(self._http.send(request, stream=True))
        except ConfigError as e:  # a file of keys, which may come back
            raise Unreached(str(e), down=True) from None
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL, httpx.UnsupportedProtocol) as e:
            raise Unreached(_said(e), down=True) from None
        except httpx.TransportError as e:  # it may have got it, unless TLS was not agreed on
            tls = _tls_said(e)
            raise Unreached(tls or f"no answer: {type(e).__name__}", down=bool(tls)) from None
        self._keep(self.answer, f"HTTP {answer.status}", dict(answer.headers), answer.body)
        return answer

    @staticmethod
    def _read(found: httpx.Response) -> Answer:
        """Read an answer within limits. Raises Unreached."""
        try:
            read = bytearray()
            for part in found.iter_bytes():
                read += part
                if len(read) > _MOST:
                    raise Unreached("its answer is longer than 64 MB", down=False)
            return Answer(found.status_code, found.headers, bytes(read))
        finally:
            found.close()

    @staticmethod
    def _keep(into: bytearray, first: str, headers: dict[str, str], body: bytes) -> None:
        kept = {k: without_secrets(v) for k, v in headers.items() if k.lower() not in _SECRET}
        lines = [without_secrets(first), *(f"{k}: {v}" for k, v in kept.items())]
        into += (
            "\r\n".join(lines).encode("utf-8", "replace")
            + b"\r\n\r\n"
            + body
            + (b"\r\n\r\n" if body else b"")
        )


def _said(error: Exception) -> str:
    """Return why there is no connection."""
    return _tls_said(error) or f"it cannot be reached: {type(error).__name__}"


def _tls_said(error: Exception) -> str:
    """Return what TLS says, in words that name no patient; nothing where it is not to blame."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLError):
            reason = getattr(seen, "verify_message", "") or seen.reason or "it failed"
            return f"no TLS connection: {reason}"
        seen = seen.__cause__ or seen.__context__
    return ""
