"""Subscriptions at /fhir: by clients that others wrote, checked, told in order, given up, never elsewhere."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import fhirclient.client
import orjson
import pytest
import uvicorn
from console_people import BASE, Console
from fhirclient.models.observation import Observation
from fhirclient.models.subscription import Subscription as SubscriptionModel
from fhirpy import SyncFHIRClient
from starlette.testclient import TestClient

from engine.channels.subscribing.wanted import Unwanted, allowed, headers_of, read_wanted
from engine.channels.subscribing.watch import SubscriptionWatch
from engine.kernel.clock import now_ms
from engine.kernel.subscription_settings import SubscriptionSettings

POTASSIUM = "Observation?code=http://loinc.org|2823-3"
DAY = 86_400_000


class Endpoint:
    """A program that waits to be called: a FHIR server of one kind of request, on a port of its own."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answers: list[int] = []
        mine = self

        class Handler(BaseHTTPRequestHandler):
            def _take(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                mine.calls.append((self.command, self.path, dict(self.headers.items()), body))
                status = mine.answers.pop(0) if mine.answers else 200
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://127.0.0.1:9/")
                self.send_header("Content-Length", "0")
                self.end_headers()

            do_POST = do_PUT = _take

            def log_message(self, *given: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.host = f"127.0.0.1:{self.server.server_port}"


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


class Desk:
    """A hub, a program with a key, and the watch."""

    def __init__(self, console: Console, host: str) -> None:
        self.console, self.hub, self.ms = console, console.hub, now_ms()
        settings = SubscriptionSettings(hosts=(host,), give_up_after="1 hour")
        config = self.hub.config.model_copy(update={"subscriptions": settings})
        self.hub.config = config
        from engine.console.app import create_app

        self.app = create_app(
            config,
            self.hub.keyring,
            self.hub.store,
            console.gauge,
            config.token_file.read_text(),
            console=(self.hub, console.seated),
        )
        self.hub.staff.now = lambda: self.ms
        self.watch = SubscriptionWatch(config, self.hub.store, self.hub.staff, lambda: self.ms)
        self.watch.step()
        self.client = self.program("portal", "system/Subscription.cruds", "system/Observation.rs")

    def program(self, name: str, *scopes: str) -> TestClient:
        _, key = self.hub.staff.keys.add(name, scopes, "admin")
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/fhir+json"}
        return TestClient(self.app, BASE, headers=headers, client=("127.0.0.1", 50002))

    def post(self, body: dict[str, Any], status: int = 201, client: TestClient | None = None) -> Any:
        answer = (client or self.client).post("/fhir/Subscription", content=orjson.dumps(body))
        assert answer.status_code == status, answer.text
        return answer.json()

    def pass_on(self) -> None:
        while self.watch.step():
            pass
        self.watch.send()

    def calls(self, id_: str) -> list[tuple[str, str]]:
        return [(one.verdict, one.why) for one in self.hub.staff.subscriptions.calls(id_)]


@pytest.fixture
def desk(fresh_console: Callable[[], Console], endpoint: Endpoint) -> Iterator[Desk]:
    made = Desk(fresh_console(), endpoint.host)
    yield made
    made.watch.close()


def wanted(
    endpoint: Endpoint, criteria: str = POTASSIUM, payload: str = "application/fhir+json"
) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "type": "rest-hook",
        "endpoint": f"http://{endpoint.host}/in",
        "payload": payload,
    }
    channel["header"] = ["Authorization: Bearer their-secret"]
    if not payload:
        del channel["payload"]
    return {
        "resourceType": "Subscription",
        "status": "requested",
        "reason": "Show results in the portal",
        "criteria": criteria,
        "channel": channel,
    }


def take(desk: Desk, name: str = "lab/oru_potassium", changes: dict[str, str] | None = None) -> str:
    entry = desk.console.project.take("lab_oru", name, changes)
    return next(f"{k}/{i}" for k, i, *_ in desk.hub.store.written_by(entry) if k == "Observation")


def test_what_matches_is_put_to_the_endpoint(desk: Desk, endpoint: Endpoint) -> None:
    made = desk.post(wanted(endpoint))
    assert made["status"] == "requested" and made["channel"]["header"] == ["Authorization: ********"]
    observation = take(desk)
    take(desk, "lab/oru_final")  # haemoglobin: not what was asked for
    desk.pass_on()
    (call,) = endpoint.calls
    method, path, headers, body = call
    assert (method, path) == ("PUT", f"/in/{observation}")
    assert headers["Authorization"] == "Bearer their-secret"
    assert headers["Content-Type"] == "application/fhir+json"
    assert orjson.loads(body)["id"] == observation.partition("/")[2] and b"4.1" in body
    assert desk.client.get(f"/fhir/Subscription/{made['id']}").json()["status"] == "active"
    desk.pass_on()
    assert len(endpoint.calls) == 1


def test_without_a_payload_nothing_of_a_patient_is_told(desk: Desk, endpoint: Endpoint) -> None:
    desk.post(wanted(endpoint, payload=""))
    take(desk)
    desk.pass_on()
    ((method, path, _, body),) = endpoint.calls
    assert (method, path, body) == ("POST", "/in", b"")


def test_what_was_there_before_is_not_told_and_what_changes_twice_is_told_as_it_is(
    desk: Desk, endpoint: Endpoint
) -> None:
    take(desk)
    desk.post(wanted(endpoint))
    desk.pass_on()
    assert endpoint.calls == []
    endpoint.answers = [503]
    take(desk, changes={"|4.1|": "|4.4|", "LAB0001": "LAB0002", "20260501141000": "20260501142000"})
    desk.pass_on()
    take(desk, changes={"|4.1|": "|4.9|", "LAB0001": "LAB0003", "20260501141000": "20260501143000"})
    desk.pass_on()
    assert len(endpoint.calls) == 1  # it waits
    desk.ms += 10_000
    desk.pass_on()
    assert len(endpoint.calls) == 2 and b"4.9" in endpoint.calls[1][3]
    desk.ms += 10_000
    desk.pass_on()
    assert len(endpoint.calls) == 2


def test_an_endpoint_that_fails_is_given_up_and_says_why(desk: Desk, endpoint: Endpoint) -> None:
    made = desk.post(wanted(endpoint))
    take(desk)
    endpoint.answers = [500] * 100
    for _ in range(30):
        desk.pass_on()
        desk.ms += 301_000
    found = desk.client.get(f"/fhir/Subscription/{made['id']}").json()
    assert found["status"] == "error" and found["error"].startswith("given up: answered 500")
    calls = len(endpoint.calls)
    assert 10 < calls < 25  # ever more slowly, for an hour
    take(desk, changes={"|4.1|": "|4.4|", "LAB0001": "LAB0002", "20260501141000": "20260501142000"})
    desk.pass_on()
    assert len(endpoint.calls) == calls
    endpoint.answers = []
    again = wanted(endpoint) | {"id": made["id"], "status": "requested"}
    path = f"/fhir/Subscription/{made['id']}"
    assert desk.client.put(path, content=orjson.dumps(again)).status_code == 200
    take(desk, changes={"|4.1|": "|4.6|", "LAB0001": "LAB0003", "20260501141000": "20260501143000"})
    desk.pass_on()
    assert len(endpoint.calls) == calls + 1


def test_one_resource_that_is_refused_does_not_hold_up_the_next(desk: Desk, endpoint: Endpoint) -> None:
    made = desk.post(wanted(endpoint, "Observation"))
    endpoint.answers = [422]
    take(desk)
    take(desk, "lab/oru_final")
    desk.pass_on()
    assert [c[0] for c in desk.calls(made["id"])] == ["sent", "refuse"]


def test_a_redirect_is_not_followed(desk: Desk, endpoint: Endpoint) -> None:
    made = desk.post(wanted(endpoint))
    endpoint.answers = [302]
    take(desk)
    desk.pass_on()
    assert len(endpoint.calls) == 1 and desk.calls(made["id"])[0][0] == "retry"


def test_off_on_its_end_and_when_its_key_is_revoked(desk: Desk, endpoint: Endpoint) -> None:
    ends = wanted(endpoint) | {"end": "2100-01-01T00:00:00Z"}
    for body in (ends, wanted(endpoint)):
        desk.post(body)
    first, second = desk.hub.staff.subscriptions.all()
    desk.hub.staff.keys.revoke("portal", "admin")
    take(desk)
    desk.pass_on()
    assert endpoint.calls == []
    for one in (first, second):
        now = desk.hub.staff.subscriptions.get(one.id)
        assert now is not None and now.status == "off" and "worth nothing" in now.error
    desk.client = desk.program("other", "system/*.cruds")
    made = desk.post(ends)
    desk.ms += 80 * 365 * DAY
    take(desk, "lab/oru_final")
    desk.pass_on()
    found = desk.hub.staff.subscriptions.get(made["id"])
    assert found is not None and (found.status, found.error) == ("off", "its end has come")


def test_after_a_crash_what_matched_is_told(desk: Desk, endpoint: Endpoint) -> None:
    desk.post(wanted(endpoint))
    take(desk)
    while desk.watch.step():
        pass
    desk.watch.close()  # killed before it called
    desk.watch = SubscriptionWatch(desk.hub.config, desk.hub.store, desk.hub.staff, lambda: desk.ms)
    desk.pass_on()
    assert len(endpoint.calls) == 1


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"criteria": "Observation?colour=red"}, 422, "'colour' is not supported"),
    ({"criteria": "Observation?date=yesterday"}, 422, "is not a date"),
    ({"criteria": "Patient"}, 403, "system/Patient.r"),
    ({"criteria": "Bundle"}, 422, "cannot be searched"),
    ({"criteria": "everything"}, 422, "takes a search"),
    ({"status": "off"}, 422, "is requested"),
    ({"status": "nonsense"}, 422, "status"),
    ({"reason": None}, 422, "reason"),
    ({"channel": {"type": "email", "endpoint": "mailto:a@b.example"}}, 422, "only rest-hook"),
    ({"channel": {"type": "rest-hook", "endpoint": "https://evil.example/"}}, 422, "its host is none"),
    ({"channel": {"type": "rest-hook"}}, 422, "takes https://"),
]


def test_what_is_refused(desk: Desk, endpoint: Endpoint) -> None:
    for change, status, said in REFUSED:
        body = {k: v for k, v in (wanted(endpoint) | change).items() if v is not None}
        answer = desk.post(body, status)
        assert said in answer["issue"][0]["diagnostics"], change
    assert desk.hub.staff.subscriptions.all() == []


def test_who_may_what(desk: Desk, endpoint: Endpoint) -> None:
    mine = desk.post(wanted(endpoint))
    path = f"/fhir/Subscription/{mine['id']}"
    other = desk.program("other", "system/*.cruds")
    assert other.get(path).status_code == 404 and other.delete(path).status_code == 404
    assert other.get("/fhir/Subscription").json()["total"] == 0
    reader = desk.program("reader", "system/*.rs")
    desk.post(wanted(endpoint), 403, reader)
    assert TestClient(desk.app, BASE).post("/fhir/Subscription").status_code == 401
    assert desk.client.get("/fhir/Subscription").json()["total"] == 1
    assert desk.client.delete(path).status_code == 204
    assert desk.client.get(path).status_code == 404
    who, action, what, _ = desk.console.audit(2)[0]
    assert (who, action, what) == ("key/portal", "fhir:delete", f"Subscription/{mine['id']}")
    kept = repr(desk.console.audit(30))
    assert "their-secret" not in kept


def test_the_secret_of_a_header_is_sealed_and_stays_when_it_is_sent_back_hidden(
    desk: Desk, endpoint: Endpoint
) -> None:
    made = desk.post(wanted(endpoint))
    with desk.hub.staff.database.read() as c:
        assert b"their-secret" not in bytes(
            c.exec_driver_sql("SELECT sealed FROM staff_subscription").scalar()
        )
    path = f"/fhir/Subscription/{made['id']}"
    shown = desk.client.get(path)
    stale = desk.client.put(path, content=shown.content, headers={"If-Match": 'W/"99"'})
    assert stale.status_code == 412
    sent = desk.client.put(path, content=shown.content, headers={"If-Match": shown.headers["etag"]})
    assert sent.status_code == 200 and sent.json()["meta"]["versionId"] == "2"
    take(desk)
    desk.pass_on()
    assert endpoint.calls[0][2]["Authorization"] == "Bearer their-secret"


@pytest.fixture
def served(desk: Desk) -> Iterator[str]:
    """The web side of the hub on a port of its own."""
    server = uvicorn.Server(uvicorn.Config(desk.app, port=0, log_config=None, lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/fhir"
    server.should_exit = True
    thread.join()


def test_clients_that_nobody_here_wrote(desk: Desk, endpoint: Endpoint, served: str) -> None:
    _, key = desk.hub.staff.keys.add("theirs", ["system/*.cruds"], "admin")
    theirs = SyncFHIRClient(served, authorization=f"Bearer {key}")
    made = theirs.resource(
        "Subscription", **{k: v for k, v in wanted(endpoint).items() if k != "resourceType"}
    )
    made.save()
    server = fhirclient.client.FHIRClient({"app_id": "hub", "api_base": served}).server
    server.session.headers["Authorization"] = f"Bearer {key}"
    second = SubscriptionModel(wanted(endpoint, payload=""))
    assert second.create(server)["resourceType"] == "Subscription"
    observation = take(desk)
    desk.pass_on()
    assert sorted((c[0], c[1]) for c in endpoint.calls) == [("POST", "/in"), ("PUT", f"/in/{observation}")]
    assert Observation(orjson.loads(next(c[3] for c in endpoint.calls if c[3]))).valueQuantity.value == 4.1
    assert SubscriptionModel.read(made.id, server).status == "active"
    made.delete()
    assert [one.criteria for one in desk.hub.staff.subscriptions.all()] == [POTASSIUM]


def test_where_none_are_allowed_there_are_none(
    fresh_console: Callable[[], Console], endpoint: Endpoint
) -> None:
    console = fresh_console()
    _, key = console.hub.staff.keys.add("portal", ["system/*.cruds"], "admin")
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/fhir+json"}
    client = TestClient(console.app, BASE, headers=headers)
    assert client.post("/fhir/Subscription", content=orjson.dumps(wanted(endpoint))).status_code == 403


def test_the_statement_says_what_is_answered(desk: Desk) -> None:
    found = desk.client.get("/fhir/metadata").json()["rest"][0]["resource"]
    (one,) = [r for r in found if r["type"] == "Subscription"]
    assert [i["code"] for i in one["interaction"]] == ["create", "read", "update", "delete", "search-type"]


HOSTS = ("ehr.example", "portal.example:8443", "localhost", "127.0.0.1:8080", "[::1]:8443")


@pytest.mark.parametrize(
    ("endpoint", "why"),
    [
        ("https://ehr.example/in", ""),
        ("https://EHR.example:443/in?x=1", ""),
        ("https://portal.example:8443", ""),
        ("http://localhost/in", ""),
        ("http://127.0.0.1:8080/in", ""),
        ("https://[::1]:8443/", ""),
        ("https://ehr.example:444/", "its host"),
        ("https://portal.example/", "its host"),
        ("http://ehr.example/in", "takes https://"),
        ("https://ehr.example.evil.test/", "its host"),
        ("https://ehr.example@evil.test/", "a name or password"),
        ("https://evil.test/#ehr.example", "a fragment"),
        ("https://ehr.example\\@evil.test/", "is no address"),
        ("https://169.254.169.254/latest", "its host"),
        ("http://127.0.0.1:8081/", "its host"),
        ("ftp://ehr.example/", "takes https://"),
        ("https://ehr.example:x/", "is no address"),
        ("", "takes https://"),
    ],
)
def test_endpoints(endpoint: str, why: str) -> None:
    said = allowed(endpoint, HOSTS)
    assert said.startswith(why) if why and not why.startswith(("a ", "its")) else why in said
    assert bool(said) is bool(why)


@pytest.mark.parametrize("line", ["Host: evil", "no colon", "A: b\r\nHost: x", "Content-Length: 1", "X Y: z"])
def test_headers_that_are_refused(line: str) -> None:
    with pytest.raises(Unwanted):
        headers_of([line])


def test_a_subscription_of_the_standard_is_read() -> None:
    body = {
        "criteria": "Observation?code=http://loinc.org|1975-2",
        "channel": {
            "type": "rest-hook",
            "endpoint": "https://ehr.example/on-result",
            "payload": "application/fhir+json",
            "header": ["Authorization: Bearer abc"],
        },
    }
    read = read_wanted(body, HOSTS)
    assert read.query == (("code", "http://loinc.org|1975-2"),) and read.payload


def test_what_matches_no_more_when_its_turn_comes_is_told_to_nobody(desk: Desk, endpoint: Endpoint) -> None:
    made = desk.post(wanted(endpoint, "Observation?date=2026-05-01"))
    endpoint.answers = [503]
    name = take(desk)
    desk.pass_on()
    assert len(endpoint.calls) == 1
    assert take(desk, changes={"LAB0001": "LAB0002", "20260501083000": "20260430083000"}) == name
    desk.ms += DAY // 48
    desk.pass_on()
    assert len(endpoint.calls) == 1, desk.calls(made["id"])
