"""The HTTP listener without a network: what is answered, what is refused, what a slow sender gets."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import h11
import pytest
from listener_bench import MemoryJournal, Wire, oru
from pydantic import ValidationError
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from engine.kernel.errors import ConfigError, StoreUnavailable
from engine.listeners.ack_rules import AckSettings
from engine.listeners.http_port import HttpPort
from engine.listeners.http_settings import HttpChannel, HttpSettings
from engine.listeners.intake import Budget, Intake
from engine.listeners.metrics import Metrics

SECRET = "s3cret-of-lakeside-0001"


class HttpWire(Wire):
    """A transport that an HTTP connection can be paused on, and cut."""

    paused = False

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False


class Client:
    """One sender: bytes in, responses out."""

    def __init__(self, bench: Bench, host: str) -> None:
        self.bench, self.wire = bench, HttpWire()
        self.connection = bench.port.buildProtocol(IPv4Address("TCP", host, 40_000))
        if self.connection is not None:
            self.connection.makeConnection(self.wire)

    def send(self, data: bytes) -> Client:
        assert self.connection is not None
        self.connection.dataReceived(data)
        return self

    def post(self, body: bytes, path: str = "/hl7", method: str = "POST", **headers: str) -> Client:
        """Send a whole request."""
        lines = {"Host": "hub", "Content-Length": str(len(body)), "Content-Type": "application/hl7-v2"}
        lines |= {name.replace("_", "-"): value for name, value in headers.items()}
        head = "".join(f"{n}: {v}\r\n" for n, v in lines.items() if v)
        return self.send(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + body)

    @property
    def closed(self) -> bool:
        return bool(self.wire.disconnecting or self.wire.disconnected)

    @property
    def statuses(self) -> list[int]:
        return [status for status, _, _ in self.responses]

    @property
    def responses(self) -> list[tuple[int, dict[str, str], bytes]]:
        """Return status, headers and body of every answer so far, read by another side of h11."""
        rest, out = self.wire.value(), []
        while rest:
            client = h11.Connection(h11.CLIENT)
            client.send(h11.Request(method="POST", target="/", headers=[("Host", "h")]))
            client.send(h11.EndOfMessage())
            client.receive_data(rest)
            body, status, headers = b"", 0, {}
            while True:
                event = client.next_event()
                if isinstance(event, h11.InformationalResponse):
                    out.append((event.status_code, {}, b""))
                elif isinstance(event, h11.Response):
                    status = event.status_code
                    headers = {n.decode(): v.decode() for n, v in event.headers}
                elif isinstance(event, h11.Data):
                    body += event.data
                else:
                    break
            out.append((status, headers, body))
            rest = client.trailing_data[0]
        return out


class Bench:
    """A port with its intake, on a clock that the test moves."""

    def __init__(self, rules: AckSettings | None = None, **http: Any) -> None:
        self.clock = Clock()
        self.clock.advance(100)
        self.journal, self.metrics = MemoryJournal(), Metrics()
        self.intake = Intake(
            self.journal,
            lambda flush: self.clock.callLater(0, flush),
            self.metrics,
            self.clock.seconds,
        )
        channel = HttpChannel(channel="lab", http=HttpSettings(port=0, **http), rules=rules or AckSettings())
        self.budget = Budget(4 << 20)
        self.port = HttpPort(channel, self.intake, self.metrics, self.clock.seconds, self.budget)

    def connect(self, host: str = "192.0.2.7") -> Client:
        return Client(self, host)

    def turn(self) -> None:
        self.clock.advance(0)

    def later(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.port.sweep()

    def refused(self) -> dict[str, int]:
        text = self.metrics.text().splitlines()
        found = [line for line in text if line.startswith("hub_post_refused_total{")]
        return {line.split('reason="')[1].split('"')[0]: int(line.rsplit(" ", 1)[1]) for line in found}


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    path.write_text(f"# who may send\nlakeside {SECRET}\n")
    path.chmod(0o600)
    return path


def test_answered_with_its_acknowledgement_once_the_journal_has_it() -> None:
    b = Bench()
    events = b.journal.on_append = []
    line = b.connect().post(oru(b"M7"))
    assert not line.statuses and not events
    b.turn()
    ((status, headers, body),) = line.responses
    assert (status, headers["content-type"]) == (200, "application/hl7-v2")
    assert b"\rMSA|AA|M7\r" in body and events == ["append"]
    assert [(e.body, e.peer) for e in b.journal.entries] == [(oru(b"M7"), "192.0.2.7")]
    assert not line.closed


def test_many_requests_on_one_connection_and_what_is_pipelined() -> None:
    b = Bench()
    line = b.connect()
    for n in range(3):
        line.post(oru(b"K%d" % n))
        b.turn()
    line.post(oru(b"P1"))
    line.post(oru(b"P2"))
    assert line.wire.paused  # nothing more is read while a request waits for the journal
    for _ in range(4):
        b.turn()
    assert line.statuses == [200] * 5
    assert [e.control_id for e in b.journal.entries] == ["K0", "K1", "K2", "P1", "P2"]


def test_chunked_and_cut_anywhere() -> None:
    b = Bench()
    line = b.connect()
    body = oru(b"C1")
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in (body[:20], body[20:])) + b"0\r\n\r\n"
    request = b"POST /hl7 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
    for n in range(len(request)):
        line.send(request[n : n + 1])
    b.turn()
    assert line.statuses == [200] and b.journal.entries[0].body == body


def test_the_client_that_asks_before_it_sends() -> None:
    b = Bench(max_bytes=2048)
    b.connect().post(b"", Expect="100-continue", Content_Length="3000")
    line = b.connect().post(b"", Expect="100-continue", Content_Length=str(len(oru())))
    assert line.wire.value().startswith(b"HTTP/1.1 100 ")
    line.send(oru())
    b.turn()
    assert b"HTTP/1.1 200 " in line.wire.value()
    assert b.refused() == {"too-long": 1} and len(b.journal.entries) == 1


@pytest.mark.parametrize(
    ("body", "rules", "status", "kind"),
    [
        (oru(b""), {}, 422, "refused"),
        (b"hello", {}, 422, "garbage"),
        (oru(), {"accept": [{"type": "ADT"}]}, 422, "refused"),
        (oru().replace(b"|P|2.5.1", b"|P|2.5.1|||NE|NE"), {}, 200, "message"),
        (oru().replace(b"|P|2.5.1", b"|T|2.5.1|||NE|NE"), {}, 422, "refused"),
        (oru().replace(b"ORU^R01^ORU_R01", b"ACK^R01") + b"MSA|AA|1\r", {}, 204, "answer"),
        (oru(b"1") + oru(b""), {}, 422, "message"),
        (b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + oru(b"1") + oru(b"2") + b"BTS|2\rFTS|1\r", {}, 200, "message"),
        (b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + oru(b"1") + b"BTS|2\rFTS|1\r", {}, 422, "message"),
    ],
)
def test_the_status_says_what_the_acknowledgement_says(
    body: bytes, rules: dict[str, Any], status: int, kind: str
) -> None:
    b = Bench(AckSettings(**rules))
    line = b.connect().post(body)
    b.turn()
    assert line.statuses == [status] and b.journal.entries[0].kind == kind


def test_the_journal_that_cannot_write_is_503_and_the_same_message_later_is_one() -> None:
    b = Bench()
    b.journal.fail = StoreUnavailable("disk full")
    line = b.connect().post(oru())
    b.turn()
    ((status, headers, body),) = line.responses
    assert (status, headers["retry-after"], headers["connection"]) == (503, "30", "close")
    assert b"PATIENT" not in body
    b.journal.fail = None
    for _ in range(2):
        line = b.connect().post(oru())
        b.turn()
        assert line.statuses == [200]
    assert len(b.journal.entries) == 1


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        ({"path": "/other"}, 404, "path"),
        ({"path": "/hl7?patient=DOE"}, 404, "path"),
        ({"method": "GET"}, 405, "method"),
        ({"method": "HEAD"}, 405, "method"),
        ({"Content_Type": "application/json"}, 415, "content-type"),
        ({"Content_Encoding": "gzip"}, 415, "content-encoding"),
        ({"Content_Length": "999999999"}, 413, "too-long"),
        ({"Content_Length": "9" * 30}, 400, "not-http"),
        ({"Content_Length": "-1"}, 400, "not-http"),
        ({"Transfer_Encoding": "chunked, gzip"}, 501, "not-http"),
        ({"body": b""}, 400, "empty"),
    ],
)
def test_refused_before_anything_is_kept(
    request_: dict[str, Any], status: int, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    b = Bench()
    line = b.connect().post(**{"body": oru(), **request_})
    b.turn()
    assert line.wire.value().startswith(b"HTTP/1.1 %d " % status)
    assert b.refused() == {reason: 1} and not b.journal.entries and b.budget.total == 0
    line.send(b"x" * 100_000)  # what still comes is thrown away, so that the answer can be read
    b.later(3)
    assert line.closed
    assert "DOE" not in caplog.text and "PATIENT" not in caplog.text


def test_a_head_without_end() -> None:
    b = Bench()
    line = b.connect().send(b"POST /hl7 HTTP/1.1\r\nX: ")
    for _ in range(20):
        line.send(b"x" * 1000)
    assert line.statuses == [431] and b.refused() == {"not-http": 1}


def test_a_body_that_outgrows_the_limit_while_it_comes() -> None:
    b = Bench(max_bytes=2048)
    line = b.connect().send(b"POST /hl7 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(3):
        line.send(b"400\r\n" + b"x" * 1024 + b"\r\n")
    assert line.statuses == [413] and b.budget.total == 0


def test_slow_heads_bodies_and_silence_are_ended() -> None:
    b = Bench(header_seconds=10, request_seconds=60, idle_seconds=120)
    silent, head, body, idle = (b.connect() for _ in range(4))
    idle.post(oru())
    b.turn()
    body.send(b"POST /hl7 HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
    for n in range(11):
        head.send(b"POST /hl7 HTTP/1.1\r\n"[n : n + 1])
        body.send(b"x")
        b.later(1)
    assert silent.closed and not silent.wire.value()
    assert head.statuses == [408] and not body.statuses and not idle.closed
    for _ in range(51):
        body.send(b"x")
        b.later(1)
    assert body.statuses == [408]
    b.later(61)
    assert idle.closed and body.closed and head.closed
    assert b.refused() == {"silent": 1, "slow-head": 1, "slow-body": 1}


@pytest.mark.parametrize("given", ["", "Bearer wrong", "Basic bGFrZXNpZGU6eA==", f"Token {SECRET}", "Bearer"])
def test_a_wrong_token_is_401_whatever_the_path(tokens: Path, given: str) -> None:
    b = Bench(auth={"token": tokens})
    for path in ("/hl7", "/other"):
        line = b.connect().post(oru(), path, Authorization=given)
        b.turn()
        assert line.statuses == [401] and line.responses[0][1]["www-authenticate"] == "Bearer"
    assert not b.journal.entries


def test_the_right_token_or_password_names_the_sender(tokens: Path) -> None:
    b = Bench(auth={"token": tokens})
    line = b.connect().post(oru(), Authorization=f"Bearer {SECRET}")
    b.turn()
    assert line.statuses == [200] and b.journal.entries[0].peer == "192.0.2.7 (lakeside)"
    b = Bench(auth={"basic": tokens})
    good, bad = (base64.b64encode(f"{u}:{SECRET}".encode()).decode() for u in ("lakeside", "other"))
    lines = [b.connect().post(oru(), Authorization=f"Basic {given}") for given in (good, bad, "?")]
    b.turn()
    assert [line.statuses for line in lines] == [[200], [401], [401]]
    assert SECRET not in b.metrics.text() and not vars(b.port.admission)["_users"]["lakeside"].isascii()


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        (f"lakeside {SECRET}\n", 0o644, "can be read by others"),
        ("lakeside short\n", 0o600, "fewer than 16"),
        (f"a {SECRET}\na {SECRET}\n", 0o600, "is no secret"),
        ("# none\n", 0o600, "there is no secret"),
    ],
)
def test_a_file_of_secrets_that_cannot_be_used(tmp_path: Path, text: str, mode: int, told: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=told) as found:
        Bench(auth={"token": path})
    assert SECRET not in str(found.value)


def test_who_may_connect_and_how_many() -> None:
    b = Bench(allow=["192.0.2.0/24"], max_connections=1)
    first = b.connect()
    assert b.connect("198.51.100.1").connection is None and b.connect().connection is None
    assert first.connection is not None
    assert b.refused() == {"not-allowed": 1, "too-many-connections": 1}


def test_a_very_long_batch_is_taken_over_several_turns_and_answered_once() -> None:
    b = Bench()
    b.port.budget = Budget(64 << 20)
    count = 1200
    long = [oru(b"%d" % n).replace(b"13.2", b"1" * 5000) for n in range(count)]
    batch = b"BHS|^~\\&|A\r" + b"".join(long) + b"BTS|%d\r" % count
    line, other = b.connect().post(batch), b.connect().post(oru(b"OTHER"))
    b.turn()
    assert other.statuses == [200] and len(b.journal.appends) > 2
    ((status, _, body),) = line.responses
    assert status == 200 and body.count(b"MSA|AA|") == count and len(b.journal.entries) == count + 1


def test_a_stop_answers_what_was_taken() -> None:
    b = Bench()
    idle, busy, half = b.connect(), b.connect().post(oru()), b.connect()
    half.send(b"POST /hl7 HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nMSH")
    b.port.stop()
    assert idle.closed and not busy.closed and not half.closed
    b.turn()
    assert busy.responses[0][1]["connection"] == "close" and busy.closed


def test_memory_for_all_is_limited_and_a_sender_that_leaves_frees_it() -> None:
    b = Bench(max_bytes=8 << 20)
    line = b.connect().send(b"POST /hl7 HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n\r\n")
    line.send(b"x" * 1_000_000)
    assert b.budget.total == 1_000_000 and line.connection is not None
    line.connection.connectionLost(Failure(ConnectionDone()))
    assert b.budget.total == 0 and b.refused() == {"half-request": 1}
    line = b.connect().send(b"POST /hl7 HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n\r\n")
    for _ in range(5):
        line.send(b"x" * 1_000_000)
    assert line.statuses == [503] and b.budget.total == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"path": "hl7"}, "is not a path"),
        ({"path": "/hl7?x=1"}, "is not a path"),
        ({"allow": ["here"]}, "here"),
        ({"auth": {}}, "takes token, basic or certificate"),
        ({"auth": {"token": "a", "basic": "b"}}, "not both"),
        ({"auth": {"certificate": ["lakeside"]}}, "client_ca"),
    ],
)
def test_settings_that_cannot_be_followed(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        HttpSettings(port=1, **given)
