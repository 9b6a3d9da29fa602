"""HTTP(S): a parcel's body is POSTed or PUT to an address, or to one that is made for each.

In: parcels. Out: receipts by the meaning of the status (`http_answers.py`). `Idempotency-Key` is the parcel's
key on every try (draft-ietf-httpapi-idempotency-key-header): a server that honours it takes one parcel once,
whatever becomes of its answer. Redirects are not followed, the machine's proxy settings are not used: nothing
but the settings says where patients' data go.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Literal
from urllib.parse import quote, urlsplit

import httpx
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from engine.destinations.fhir_settings import ClientSecretSettings
from engine.destinations.fhir_tokens import Unproven, tokens_by_secret
from engine.destinations.http_answers import answered, asked, meaning, not_reached, phrase, retry_after
from engine.destinations.http_auth import CallerAuth, authorization
from engine.destinations.production import on_this_machine, refuse_weak
from engine.destinations.tls import ClientTls, context_of
from engine.kernel.delivery import Around, DestinationKind, Parcel, Receipt
from engine.kernel.errors import ConfigError, HubError
from engine.kernel.template import FACTS, PLAIN_FACTS, Template

__all__ = ["HTTP", "Http", "HttpDestination", "in_the_clear"]

Headers = Callable[[Parcel], Mapping[str, str]]

_MOST_READ = 1 << 20  # of an answer
_OURS = frozenset({"content-type", "content-length", "host", "idempotency-key", "transfer-encoding"})


class HttpDestination(BaseModel):
    """An HTTP server that takes messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        description="Where each parcel goes. Words in braces stand for what is known of it: `{channel}`, "
        "`{type}`, `{event}`, `{sender}`, `{entry}`, `{key}`, `{received:%Y%m%d}`.",
        examples=["https://erp.mercy.example/in/{channel}"],
        pattern=r"^https?://[^\s{}/@]+(/\S*)?$",
    )
    patient_data_in_url: bool = Field(
        default=False,
        description="Whether `url` may name `{control_id}`, which a sender may build from a patient's "
        "number. Servers and proxies write addresses into their logs.",
        examples=[True],
    )
    method: Literal["POST", "PUT"] = Field(default="POST", description="How it is sent.", examples=["PUT"])
    headers: dict[str, str] = Field(
        default_factory=dict,
        description="More headers; the same words in braces, and `{control_id}`.",
        examples=[{"X-Facility": "{sender}"}],
        repr=False,
    )
    auth: CallerAuth | None = Field(
        default=None,
        description="Who we say we are.",
        examples=[{"bearer": "${secret:ERP_TOKEN}"}],
    )
    client_secret: ClientSecretSettings | None = Field(
        default=None,
        description="Access tokens for a shared secret (OAuth 2.0 client credentials), in place of `auth`; "
        "with `token_url` and `scope`.",
        examples=[
            {
                "client_id": "mercy-hub",
                "secret": "${secret:ERP_SECRET}",
                "token_url": "https://login.mercy.example/token",
                "scope": "messages.write",
            }
        ],
    )
    tls: ClientTls | None = Field(
        default=None,
        description="Whom to believe, and our own certificate.",
        examples=[{"ca": "tls/mercy-ca.pem"}],
    )
    timeout_seconds: float = Field(
        default=30, gt=0, le=600, description="Seconds it has for an answer.", examples=[60]
    )

    @field_validator("headers")
    @classmethod
    def _names(cls, headers: dict[str, str]) -> dict[str, str]:
        for name, value in headers.items():
            if not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
                raise ValueError(f"{name!r} is no name of a header")
            if name.lower() in _OURS or name.lower() == "authorization":
                raise ValueError(f"{name}: is set by the hub; credentials go to `auth`")
            if not value.isprintable():
                raise ValueError(f"{name}: its value is no single line")
            Template(value)
        return headers

    @model_validator(mode="after")
    def _words(self) -> HttpDestination:
        Template(self.url, FACTS if self.patient_data_in_url else PLAIN_FACTS)
        shared = self.client_secret
        if shared is not None and self.auth is not None:
            raise ValueError("auth and client_secret: one way to prove who we are is enough")
        if shared is not None and not {"token_url", "scope"} <= shared.model_fields_set:
            raise ValueError("client_secret: needs token_url and scope")
        return self

    def weaknesses(self) -> Iterator[tuple[str, str]]:
        """Give (what is weak, remedy) for a hub with real patients."""
        return in_the_clear(self.url)


class Http:
    """One HTTP server."""

    def __init__(
        self,
        settings: HttpDestination,
        around: Around,
        signed: Headers | None = None,
    ) -> None:
        self._settings = settings
        self._url = Template(settings.url)
        self._headers = {name: Template(value) for name, value in settings.headers.items()}
        self._hidden = [name for name, made in self._headers.items() if not made.facts]  # may be secrets
        self._signed = signed
        self._tls = settings.tls.below(around.root) if settings.tls is not None else None
        self._client: httpx.Client | None = None
        self._unanswered = ""  # the key of the parcel that nobody answered last
        shared = settings.client_secret
        self._tokens = tokens_by_secret(shared, settings.url) if shared is not None else None
        parts = urlsplit(settings.url)
        self._where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"

    def deliver(self, parcel: Parcel) -> Receipt:
        """Send one parcel; say what the answer means."""
        try:
            url = self._url.fill(parcel, lambda value: quote(value, safe=""))
            client = self._opened()
            headers = self._headers_of(parcel, client)
        except (ConfigError, Unproven) as e:  # a certificate's file or a token, which may come back
            return Receipt("retry", str(e), down=True)
        except HubError as e:
            return Receipt("park", str(e))
        request = client.build_request(self._settings.method, url, content=parcel.body, headers=headers)
        evidence = asked(request, parcel.body, self._hidden)
        try:
            answer, body = self._exchanged(client, request)
            if answer.status_code == 401 and self._renewed(request, client):
                answer, body = self._exchanged(client, request)
        except Unproven as e:
            return Receipt("retry", str(e), evidence, down=True)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as e:
            self.close()
            return self._silent(parcel, e, not_reached(e, self._where, evidence))
        self._unanswered = ""
        verdict, down, remedy = meaning(answer.status_code)
        if answer.status_code in (404, 405, 410) and self._url.facts:
            verdict, down = "park", False  # an address made for this parcel: others may have a better one
        said = f"answered {answer.status_code} {phrase(answer.status_code)}".strip()
        return Receipt(
            verdict,
            f"{said}; {remedy}" if remedy else said,
            evidence,
            answered(answer, body),
            wait=retry_after(answer.headers) if verdict == "retry" else None,
            down=down,
        )

    def _silent(self, parcel: Parcel, error: Exception, receipt: Receipt) -> Receipt:
        """Say that nobody answered. Where it was reached, one message may be what it dies of; once two in a
        row had no answer, it is not the message."""
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return receipt
        down = self._unanswered not in ("", parcel.key)
        self._unanswered = parcel.key
        return replace(receipt, down=down)

    def check(self) -> str:
        """Ask what the address offers (OPTIONS), which changes nothing there. Raises HubError."""
        client = self._opened()
        url = self._url.head.partition("?")[0] if self._url.facts else self._settings.url
        request = client.build_request("OPTIONS", url, headers=self._known(client))
        try:
            answer, _ = self._exchanged(client, request)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as e:
            self.close()
            raise HubError(not_reached(e, self._where).why) from None
        status = answer.status_code
        if status in (401, 403, 407) or (status >= 500 and status != 501):
            raise HubError(
                f"answered {status} {phrase(status)}", where=self._where, remedy=meaning(status).remedy
            )
        return f"{self._where} answered {status} {phrase(status)} to OPTIONS".replace("  ", " ")

    def close(self) -> None:
        """Close its connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _opened(self) -> httpx.Client:
        if self._client is None:
            self._client = httpx.Client(
                verify=context_of(self._tls),
                timeout=self._settings.timeout_seconds,
                follow_redirects=False,
                trust_env=False,
            )
        return self._client

    def _exchanged(self, client: httpx.Client, request: httpx.Request) -> tuple[httpx.Response, bytes]:
        """Send a request and read its answer, no longer and no more than is sensible."""
        end = time.monotonic() + self._settings.timeout_seconds
        answer = client.send(request, stream=True)
        try:
            read = bytearray()
            for piece in answer.iter_bytes(65536):
                read += piece
                if len(read) > _MOST_READ:
                    break
                if time.monotonic() > end:
                    break  # its status has been said; the rest comes too slowly to be of use
            return answer, bytes(read)
        finally:
            answer.close()

    def _renewed(self, request: httpx.Request, client: httpx.Client) -> bool:
        """Put another token in place of a refused one; False where there is none. Raises Unproven."""
        if self._tokens is None or not self._tokens.refused(request.headers["Authorization"]):
            return False
        request.headers["Authorization"] = self._tokens.header(client)
        return True

    def _headers_of(self, parcel: Parcel, client: httpx.Client) -> dict[str, str]:
        made = {name: value.fill(parcel, _one_line) for name, value in self._headers.items()}
        made |= self._known(client) | {"Content-Type": parcel.media, "Idempotency-Key": parcel.key}
        return made | (dict(self._signed(parcel)) if self._signed is not None else {})

    def _known(self, client: httpx.Client) -> dict[str, str]:
        made = {"User-Agent": "hub"}
        if self._settings.auth is not None:
            made["Authorization"] = authorization(self._settings.auth)
        elif self._tokens is not None:
            made["Authorization"] = self._tokens.header(client)
        return made


def in_the_clear(url: str) -> Iterator[tuple[str, str]]:
    """Give (what is weak, remedy) of an address without TLS on another machine."""
    parts = urlsplit(url)
    if parts.scheme == "http" and not on_this_machine(parts.hostname or ""):
        yield "patients' data would go over the network in the clear", "write https://"


def _one_line(value: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in value)


def _make(settings: HttpDestination, name: str, around: Around) -> Http:
    refuse_weak(settings, f"destination {name}", around)
    return Http(settings, around)


HTTP = DestinationKind("http", HttpDestination, _make, ("original", "fhir", "event", "any"), at_once=4)
