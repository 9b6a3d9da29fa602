"""HTTP against a real server with somebody else's middleware for Idempotency-Key."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import certifi
import pytest
import uvicorn
from behaviour import MARKS, Behaviour
from cable import Cable
from idempotency_header_middleware import IdempotencyHeaderMiddleware
from idempotency_header_middleware.backends import MemoryBackend
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine.destinations.http import HttpDestination
from engine.destinations.http_answers import retry_after
from engine.destinations.http_auth import CallerAuth, authorization
from engine.destinations.kinds import KINDS
from engine.kernel.delivery import Around
from engine.kernel.errors import ConfigError

TOKEN = "tk-9f2c41aa0e77"


class Server:
    """Takes what is POSTed or PUT, once for each Idempotency-Key."""

    def __init__(self, word: str = "http") -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.bodies: list[bytes] = []
        self.status, self.headers, self.quotes = 201, {}, False
        self.given: list[str] = []  # tokens; the newest is believed
        takes = Route("/{path:path}", self._take, methods=["POST", "PUT", "OPTIONS"])
        app = Starlette(routes=[Route("/token", self._token, methods=["POST"]), takes])
        app.add_middleware(
            IdempotencyHeaderMiddleware, backend=MemoryBackend(), applicable_methods=["POST", "PUT"]
        )
        config = uvicorn.Config(app, port=0, log_config=None, lifespan="off")
        self._server = uvicorn.Server(config)
        threading.Thread(target=self._server.run, daemon=True).start()
        while not self._server.started:
            time.sleep(0.01)
        self.cable = Cable(self._server.servers[0].sockets[0].getsockname()[1])
        self.url = f"http://127.0.0.1:{self.cable.port}"
        self.words: dict[str, Any] = {"url": f"{self.url}/in", "auth": {"bearer": TOKEN}}
        self.secrets = (TOKEN,)

    async def _token(self, request: Request) -> Response:
        if request.headers.get("authorization") != "Basic bWVyY3k6c2VzYW1l":  # mercy:sesame
            return JSONResponse({"error": "invalid_client"}, 401)
        self.given.append(f"given-{len(self.given)}")
        return JSONResponse({"access_token": self.given[-1], "token_type": "Bearer", "expires_in": 300})

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        self.requests.append((request.method, str(request.url.path), dict(request.headers), body))
        believed = self.given[-1:] or [TOKEN]
        if request.headers.get("authorization") not in [f"Bearer {token}" for token in believed]:
            return Response(status_code=401)  # what is JSON would be kept under the key
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": "POST"})
        if self.status < 300:
            self.bodies.append(body)
        said = {"said": body.decode("utf-8", "replace") if self.quotes else "noted"}
        return JSONResponse(said, self.status, self.headers)

    def taken(self) -> list[bytes]:
        return self.bodies

    def away(self) -> None:
        self.cable.pull()

    def back(self) -> None:
        self.cable.plug()

    def refuse(self) -> None:
        self.status, self.quotes = 422, True

    def lose_answer(self) -> None:
        self.cable.lose_answer()

    def close(self) -> None:
        self.cable.pull()
        self._server.should_exit = True


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


class TestHttp(Behaviour):
    word = "http"

    @pytest.fixture
    def side(self, server: Server) -> Server:
        return server

    def test_what_is_sent(self, side: Server, made: Any) -> None:
        there = made(
            url=f"{side.url}/in/{{channel}}/{{type}}/{{received:%Y%m%d}}?of={{entry}}",
            method="PUT",
            headers={"X-Control": "{control_id}", "X-Api-Key": "sesame"},
        )
        receipt = there.deliver(self.parcel())
        ((method, path, headers, body),) = side.requests
        assert (method, path) == ("PUT", "/in/lab_oru/ORU^R01/20260502")
        assert body == self.parcel().body
        assert headers["idempotency-key"] == self.parcel().key
        assert headers["content-type"] == "application/hl7-v2"
        assert (headers["x-control"], headers["x-api-key"]) == (f"C1-{MARKS[2]}", "sesame")
        assert receipt.request.startswith(b"PUT /in/lab_oru/ORU%5ER01/20260502?of=101\r\n")
        assert b"sesame" not in receipt.request and receipt.request.endswith(body)
        assert receipt.answer.startswith(b"201 Created\r\n") and b"noted" in receipt.answer

    @pytest.mark.parametrize(
        ("status", "headers", "verdict", "down", "wait"),
        [
            (200, {}, "sent", False, None),
            (202, {}, "sent", False, None),
            (302, {"Location": "http://127.0.0.1:1/"}, "retry", True, None),
            (400, {}, "refuse", False, None),
            (401, {}, "retry", True, None),
            (403, {}, "park", True, None),
            (404, {}, "retry", True, None),
            (408, {}, "retry", False, None),
            (409, {}, "retry", False, None),
            (413, {}, "refuse", False, None),
            (422, {}, "refuse", False, None),
            (425, {}, "retry", False, None),
            (429, {"Retry-After": "17"}, "retry", True, 17),
            (500, {}, "retry", False, None),
            (503, {"Retry-After": "2"}, "retry", True, 2),
        ],
    )
    def test_answers_by_meaning(
        self,
        side: Server,
        made: Any,
        status: int,
        headers: dict[str, str],
        verdict: str,
        down: bool,
        wait: float | None,
    ) -> None:
        side.status, side.headers, side.quotes = status, headers, True
        receipt = made().deliver(self.parcel())
        assert (receipt.verdict, receipt.down, receipt.wait) == (verdict, down, wait)
        assert str(status) in receipt.why and len(side.requests) == 1
        self.shows_nothing(side, receipt)

    def test_who_does_not_answer_in_time(self, side: Server, made: Any) -> None:
        held = made(timeout_seconds=0.2)
        side._take = None  # type: ignore[method-assign,assignment]
        side.cable._to = _silent()
        receipt = held.deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", False) and "no answer in time" in receipt.why
        assert not held.deliver(self.parcel()).down, "it may be this message that it dies of"
        assert held.deliver(self.parcel(2)).down, "two of them: it is not the message"

    def test_credentials_that_are_not_believed(self, side: Server, made: Any) -> None:
        there = made(auth={"user": "hub", "password": "wrong-one"})
        receipt = there.deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True) and "credentials" in receipt.why
        with pytest.raises(Exception, match="401"):
            there.check()

    def test_tokens_for_a_shared_secret(self, side: Server, made: Any) -> None:
        shared = {"client_id": "mercy", "secret": "sesame", "token_url": f"{side.url}/token", "scope": "in"}
        there = made(auth=None, client_secret=shared)
        assert there.deliver(self.parcel(1)).verdict == "sent" and len(side.given) == 1
        assert there.deliver(self.parcel(2)).verdict == "sent" and len(side.given) == 1
        side.given.append("another")  # the first is believed no more
        receipt = there.deliver(self.parcel(3))
        assert receipt.verdict == "sent" and len(side.given) == 3 and b"given-" not in receipt.request
        assert len(side.taken()) == 3 and "OPTIONS" in there.check()
        wrong = made(auth=None, client_secret={**shared, "secret": "open-wide"})
        receipt = wrong.deliver(self.parcel(4))
        assert (receipt.verdict, receipt.down) == ("retry", True) and "open-wide" not in receipt.why

    def test_a_file_of_authorities_that_is_gone(self, side: Server, made: Any, tmp_path: Path) -> None:
        there = made(tls={"ca": tmp_path / "ca.pem"})
        receipt = there.deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True) and "ca.pem" in receipt.why
        (tmp_path / "ca.pem").write_bytes(Path(certifi.where()).read_bytes())
        assert there.deliver(self.parcel()).verdict == "sent"

    def test_an_address_of_this_parcel_that_is_not_there(self, side: Server, made: Any) -> None:
        side.status = 404
        receipt = made(url=f"{side.url}/{{type}}").deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("park", False)

    def test_a_word_that_this_parcel_has_not(self, side: Server, made: Any) -> None:
        there = made(url=f"{side.url}/in/{{event}}")
        receipt = there.deliver(replace(self.parcel(), facts={}))
        assert receipt.verdict == "park" and "no event" in receipt.why and side.requests == []


def _silent() -> int:
    """Return a port that takes connections and says nothing."""
    import socket

    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen(4)
    _KEPT.append(made)
    return int(made.getsockname()[1])


_KEPT: list[Any] = []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"url": "https://erp.example/{control_id}"}, "patient data"),
        ({"url": "https://erp.example/{patient}"}, "not known"),
        ({"url": "https://erp.example/{type:%Y}"}, "only `received` takes a format"),
        ({"url": "https://erp.example/{"}, "stands alone"),
        ({"url": "https://hub:secret@erp.example/"}, "url"),
        ({"url": "https://{channel}.example/"}, "url"),
        ({"url": "ftp://erp.example/"}, "url"),
        ({"url": "https://e.example/", "headers": {"Authorization": "x"}}, "auth"),
        ({"url": "https://e.example/", "headers": {"X-A": "x\r\nX-B: y"}}, "single line"),
        ({"url": "https://e.example/", "headers": {"X A": "x"}}, "no name"),
        ({"url": "https://e.example/", "auth": {"bearer": "t", "user": "u", "password": "p"}}, "takes"),
        (
            {"url": "https://e.example/", "client_secret": {"client_id": "x", "secret": "y"}},
            "needs token_url",
        ),
        ({"url": "https://e.example/", "tls": {"key": "k.pem"}}, "certificate"),
    ],
)
def test_settings_that_cannot_be_followed(words: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        HttpDestination(**words)
    assert "secret" not in str(caught.value) or "url" in str(caught.value)


def test_who_asks_for_it_may_name_patients_in_addresses() -> None:
    url = "https://erp.example/{control_id}"
    assert HttpDestination(url=url, patient_data_in_url=True).url == url


@pytest.mark.parametrize(
    ("url", "fine"),
    [("http://erp.example/", False), ("http://localhost:80/", True), ("https://erp.example/", True)],
)
def test_production_sends_nothing_in_the_clear(url: str, fine: bool, tmp_path: Path) -> None:
    around = Around(tmp_path, tmp_path, "Mercy", "https://id.example", production=True)
    kind = KINDS["http"]
    if fine:
        kind.make(kind.settings(url=url), "erp", around).close()
        return
    with pytest.raises(ConfigError, match="in the clear"):
        kind.make(kind.settings(url=url), "erp", around)


def test_retry_after() -> None:
    from datetime import UTC, datetime

    now = datetime(2026, 5, 2, 12, tzinfo=UTC)
    for said, seconds in [
        ("0", 0.0),
        ("120", 120.0),
        ("9999999", 86400.0),
        ("Sat, 02 May 2026 12:01:30 GMT", 90.0),
        ("Sat, 02 May 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ]:
        assert retry_after({"retry-after": said}, now) == seconds, said


def test_basic_credentials() -> None:
    """The example of RFC 7617, section 2."""
    auth = CallerAuth(user="Aladdin", password="open sesame")
    assert authorization(auth) == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert "sesame" not in repr(auth) and json.dumps(authorization(CallerAuth(bearer="t"))) == '"Bearer t"'
