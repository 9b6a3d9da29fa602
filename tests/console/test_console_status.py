"""The pages without patient data: what they show, to whom, and how strictly."""

from __future__ import annotations

import base64
import os
import re
import time
from html.parser import HTMLParser
from typing import Any

from console_web import BASE, Web
from hub_project import HERE, TOKEN
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from engine.channels.causes import CAUSES
from engine.channels.replay import ask_replay
from engine.console.exposition import merged
from engine.console.status import ago
from engine.security.signing import FILE, SigningKeys

PAGES = ("/status", "/status.json", "/healthz", "/metrics")
PATIENT_DATA = (
    "100234",
    "Doe",
    "Jane",
    "19800101",
    "1980-01-01",
    "THISTLEDOWN",
    "1004217",
    "LAB0001",
    "ORD1",
)


def alive(web: Web, age: float = 0) -> None:
    """Make the metrics files that the processes of a running hub renew."""
    folder = web.hub.config.metrics_dir
    (folder / "listeners.prom").write_text(
        "# HELP hub_mllp_answers_total Answers.\n# TYPE hub_mllp_answers_total counter\n"
        'hub_mllp_answers_total{channel="lab_oru",code="AA"} 3\n'
    )
    (folder / "worker-0.prom").write_text(
        "# HELP hub_entries_done_total Done.\n# TYPE hub_entries_done_total counter\n"
        'hub_entries_done_total{worker="0"} 3\n'
    )
    (folder / "deliveries.prom").write_text("")
    for path in folder.glob("*.prom"):
        os.utime(path, (time.time() - age, time.time() - age))


def test_the_page_says_how_each_channel_is(web: Web) -> None:
    alive(web)
    html = web.stranger.get("/status").text
    for text in (
        "My Integration Hub",
        "lab_oru",
        "adt",
        "Laboratory results",
        "mllp://127.0.0.1:",
        "hub send",
    ):
        assert text in html
    assert CAUSES["refused"][0] in html and "hub msg find --status parked" in html
    for link in ("/fhir/metadata", "/metrics", "/healthz", "/status.json"):
        assert f'href="{link}' in html
    told = web.stranger.get("/status.json").json()
    lab = next(c for c in told["channels"] if c["name"] == "lab_oru")
    assert (lab["received"], lab["waiting"], lab["parked"]) == (7, 0, 1)
    assert told["parked"] == [{"cause": "refused", "count": 1, "channels": ["lab_oru"]}]
    assert told["journal"]["entries"] == web.hub.journal.head()
    assert told["feed"]["position"] == web.hub.store.head()
    assert told["status"] == "ok"


def test_no_patient_data_on_any_page(web: Web) -> None:
    alive(web)
    for path in PAGES:
        text = web.stranger.get(path).text
        for word in PATIENT_DATA:
            assert word not in text, (path, word)


def test_the_figures_follow_what_happens(fresh: Any) -> None:
    web = fresh()

    def now() -> Any:
        web.gauge._last = None  # not the answer of a moment ago
        return web.gauge.now()

    assert (now().head, now().waiting, now().oldest) == (0, 0, None)
    hub = web.hub
    hub.receive("lab_oru", hub.sample("lab/oru_preliminary"))
    hub.receive("lab_oru", hub.sample("lab/oru_final"))
    hub.receive("adt", hub.sample("adt/adt_a01_admit"))
    figures = now()
    assert {c.name: c.waiting for c in figures.channels} == {"adt": 1, "lab_oru": 2}
    assert figures.oldest == hub.journal.oldest_after(0) and figures.waiting == 3
    hub.work()
    figures = now()
    assert (figures.waiting, figures.oldest, figures.parked) == (0, None, {})
    assert {c.name: c.received for c in figures.channels} == {"adt": 1, "lab_oru": 2}
    bad = hub.receive("lab_oru", hub.sample("lab/oru_potassium").replace(b"ORU^R01^ORU_R01", b"XYZ^X01"))
    hub.work()
    assert now().parked == {("lab_oru", "no-map"): 1}
    ask_replay(hub.journal, bad, "somebody", "mended", hub.sample("lab/oru_potassium"))
    assert now().waiting == 1
    hub.work()
    figures = now()
    assert figures.parked == {} and figures.waiting == 0  # what a replay brought in waits for nobody


def test_what_was_written_and_needs_a_look(fresh: Any) -> None:
    web = fresh()
    assert web.stranger.get("/status.json").json()["work"] == {"messages": 0, "flags": []}
    hub = web.hub
    body = (
        b"MSH|^~\\&|ACMELIS|ACME|HUB|MERCY|20260501120000||ORU^R01^ORU_R01|C1|P|2.5.1\r"
        b"PID|1||7001^^^MRN^MR||Fern^Ann||19800101|F\r"
        b"OBR|1|P1|F1|24323-8^CMP^LN|||20260501110000|||||||||||||||20260501||LAB|F\r"
        b"OBX|1|NM|NEWK^Potassium^L||4.1|mmol/L|||||F\r"
    )
    first = hub.receive("lab_oru", body)
    second = hub.receive("lab_oru", body.replace(b"C1", b"C2").replace(b"P1|F1", b"P2|F2"))
    hub.work()

    def told() -> Any:
        web.gauge._last = None
        return web.stranger.get("/status.json").json()["work"]

    now = told()
    assert now["messages"] == 2
    (line,) = [f for f in now["flags"] if f["code"] == "unmapped-code"]
    assert (line["count"], line["channels"]) == (2, ["lab_oru"])
    assert [one["entry"] for one in line["newest"]] == [second, first]
    html = web.stranger.get("/status").text
    assert "Written, and somebody should look" in html and f"hub msg show {second}" in html
    assert web.stranger.get("/healthz").json()["work"] == 2
    ask_replay(hub.journal, first, "somebody", "looked at")
    hub.work()
    now = told()
    assert now["messages"] == 2  # the replay has the flag too, its origin counts no more
    (line,) = [f for f in now["flags"] if f["code"] == "unmapped-code"]
    assert first not in [one["entry"] for one in line["newest"]]


def test_entries_of_a_channel_whose_file_is_gone_are_still_shown(fresh: Any) -> None:
    web = fresh()
    web.hub.receive("old_lab", web.hub.sample("lab/oru_final"))
    web.hub.work()
    line = next(c for c in web.gauge.now().channels if c.name == "old_lab")
    assert (line.known, line.received, line.parked) == (False, 1, 1)
    assert "its file is gone" in web.stranger.get("/status").text


class _Page(HTMLParser):
    """Collects what a strict policy would refuse."""

    def __init__(self) -> None:
        super().__init__()
        self.bad: list[str] = []
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.bad += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in given):
            self.bad.append(tag)
        if tag in ("script", "img", "link"):
            self.loaded.append(given.get("src") or given.get("href") or "")


def test_the_page_obeys_its_own_policy_and_loads_nothing_from_elsewhere(web: Web) -> None:
    answer = web.stranger.get("/status")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    page = _Page()
    page.feed(answer.text)
    assert page.bad == []
    assert page.loaded
    for address in page.loaded:
        assert address.startswith("/static/"), address
        loaded = web.stranger.get(address)
        assert loaded.status_code == 200 and "http://" not in loaded.text.replace(
            "http://www.w3.org/2000/svg", ""
        )
    assert 'http-equiv="refresh"' in answer.text  # for browsers without scripts
    assert web.stranger.get("/static/..%2Fapp.py").status_code == 404
    assert web.stranger.get("/static/app.py").status_code == 404


def test_every_answer_carries_the_strict_headers(web: Web) -> None:
    for path in (*PAGES, "/fhir/metadata", "/fhir/Patient", "/feed", "/nowhere", "/static/hub.css"):
        headers = web.stranger.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


def test_names_cannot_break_the_page(fresh: Any) -> None:
    web = fresh()
    web.hub.receive("lab_oru", web.hub.sample("lab/oru_final"))
    evil = web.hub.config.model_copy(update={"hub": "<script>alert(1)</script>"})
    from engine.console.app import create_app

    app = create_app(evil, web.hub.keyring, web.hub.store, web.gauge, TOKEN)
    html = TestClient(app, BASE, client=("127.0.0.1", 1)).get("/status").text
    assert "<script>alert" not in html and "&lt;script&gt;alert" in html


def test_from_elsewhere_the_pages_need_the_token(web: Web) -> None:
    alive(web)
    for path in ("/status", "/status.json", "/metrics"):
        answer = web.elsewhere.get(path)
        assert answer.status_code == 401 and "lab_oru" not in answer.text
        assert answer.headers["www-authenticate"].startswith("Basic")
        bearer = web.elsewhere.get(path, headers={"Authorization": f"Bearer {TOKEN}"})
        password = base64.b64encode(f"me:{TOKEN}".encode()).decode()
        basic = web.elsewhere.get(path, headers={"Authorization": f"Basic {password}"})
        assert (bearer.status_code, basic.status_code) == (200, 200)
    assert web.elsewhere.get("/healthz").json() == {"status": "ok"}


def test_a_proxy_on_this_machine_or_a_foreign_name_is_not_this_machine(web: Web) -> None:
    assert web.stranger.get("/status", headers={"X-Forwarded-For": "192.0.2.1"}).status_code == 401
    assert web.stranger.get("/status", headers={"Forwarded": "for=192.0.2.1"}).status_code == 401
    assert web.stranger.get("/status", headers={"Host": "evil.example"}).status_code == 401
    assert web.stranger.get("/status", headers={"Host": "localhost:8080"}).status_code == 200


def test_public_keys_are_for_everybody_and_private_ones_for_nobody(fresh: Any) -> None:
    web = fresh()
    elsewhere = web.elsewhere
    assert elsewhere.get("/.well-known/jwks.json").json() == {"keys": []}
    names = SigningKeys(web.hub.config.data_dir / FILE).rotate()
    answer = elsewhere.get("/.well-known/jwks.json")
    assert answer.headers["content-type"] == "application/jwk-set+json"
    assert [key["kid"] for key in answer.json()["keys"]] == names
    assert not any("d" in key for key in answer.json()["keys"])


def test_health_is_good_while_everything_answers(web: Web) -> None:
    alive(web)
    answer = web.stranger.get("/healthz")
    assert answer.status_code == 200
    assert answer.json()["status"] == "ok" and answer.json()["reasons"] == []


def test_health_names_what_is_wrong(fresh: Any) -> None:
    web = fresh()
    answer = web.stranger.get("/healthz")
    assert answer.status_code == 503
    assert answer.json()["reasons"] == [
        f"{name} has not reported yet" for name in ("listeners", "worker-0", "deliveries")
    ]
    alive(web, age=120)
    reasons = web.stranger.get("/healthz").json()["reasons"]
    assert len(reasons) == 3 and all("has not reported for 12" in r for r in reasons)
    alive(web)
    assert web.stranger.get("/healthz").status_code == 200
    html = web.stranger.get("/status").text
    assert "Running" in html


def test_health_is_bad_below_the_reserve_of_the_disk(fresh: Any) -> None:
    web = fresh()
    alive(web)
    from engine.console.health import health

    small = web.hub.config.model_copy(update={"disk_reserve_mb": 1 << 40})
    (reason,) = health(small, web.gauge).reasons
    assert "disk_reserve_mb" in reason


def test_health_is_bad_when_a_database_does_not_answer(fresh: Any) -> None:
    web = fresh()
    alive(web)
    web.hub.take("lab_oru", "lab/oru_final")
    web.hub.store._database.engine.dispose()
    for path in web.hub.config.data_dir.glob("core.db*"):
        path.unlink()
    web.gauge._core.engine.dispose()
    web.gauge._last = None
    answer = web.stranger.get("/healthz")
    assert answer.status_code == 503 and answer.json()["reasons"]
    assert "Needs help" in web.stranger.get("/status").text
    assert 'hub_up{process="console"} 0' in web.stranger.get("/metrics").text


def test_metrics_are_one_text_that_prometheus_reads(web: Web) -> None:
    alive(web)
    answer = web.stranger.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {f.name: f for f in text_string_to_metric_families(answer.text)}
    answers = families["hub_mllp_answers"].samples[0]
    assert (
        answers.labels == {"process": "listeners", "channel": "lab_oru", "code": "AA"} and answers.value == 3
    )
    backlog = {s.labels["channel"]: s.value for s in families["hub_backlog_entries"].samples}
    assert backlog == {"adt": 0, "lab_oru": 0}
    parked = families["hub_parked_entries"].samples[0]
    assert (parked.labels["channel"], parked.labels["cause"], parked.value) == ("lab_oru", "refused", 1)
    assert {s.labels["name"] for s in families["hub_process_up"].samples} == {
        "listeners",
        "worker-0",
        "deliveries",
    }
    for name in (
        "hub_up",
        "hub_journal_head",
        "hub_feed_position",
        "hub_disk_free_bytes",
        "hub_http_requests",
    ):
        assert families[name].samples, name


def test_processes_that_are_gone_are_left_out(fresh: Any) -> None:
    web = fresh()
    alive(web, age=120)
    text = web.stranger.get("/metrics").text
    assert "hub_mllp_answers_total" not in text
    assert 'hub_process_up{process="console",name="listeners"} 0' in text


def test_the_same_family_of_two_processes_is_described_once() -> None:
    one = '# HELP a_total Things.\n# TYPE a_total counter\na_total 1\na_total{x="y z",} 2\n'
    text = merged({"p": one, "q": one + "not a sample at all\n# EOF\n"})
    assert text.count("# HELP a_total") == text.count("# TYPE a_total") == 1
    values = [(s.labels, s.value) for f in text_string_to_metric_families(text) for s in f.samples]
    assert values == [
        ({"process": "p"}, 1),
        ({"process": "p", "x": "y z"}, 2),
        ({"process": "q"}, 1),
        ({"process": "q", "x": "y z"}, 2),
    ]


def test_every_documented_cause_has_words() -> None:
    documented = (
        (HERE / "docs/analysts/parked.md").read_text().partition("## Why parked")[2].partition("\n## ")[0]
    )
    first_cells = [line.split("|")[1] for line in documented.splitlines() if line.startswith("| `")]
    causes = {cause for cell in first_cells for cause in re.findall(r"`([a-z-]+)`", cell)}
    assert len(causes) > 15 and causes <= set(CAUSES)


def test_times_as_people_say_them() -> None:
    said = [ago(100_000_000 - seconds * 1000, 100_000_000) for seconds in (0, 5, 60, 119, 3600, 90_000)]
    assert said == ["just now", "5 seconds ago", "1 minute ago", "1 minute ago", "1 hour ago", "1 day ago"]
    assert all(re.fullmatch(r"[A-Z].*", title) for title, _ in CAUSES.values())


def test_an_alarm_of_a_channels_file_is_on_the_page_and_in_the_metrics(fresh: Any) -> None:
    web = fresh()
    alive(web)
    hub = web.hub

    def alarms() -> list[tuple[str, str, int]]:
        web.gauge._last = None
        return [(a.channel, a.when, a.value) for a in web.gauge.now().alarms]

    assert alarms() == []
    hub.receive("lab_oru", hub.sample("lab/oru_potassium").replace(b"|F|||", b"|Q9|||"))
    for n in range(11):
        bad = hub.sample("lab/oru_potassium").replace(b"ORU^R01^ORU_R01", b"XYZ^X%02d" % n)
        hub.receive("lab_oru", bad)
    hub.work()
    assert ("lab_oru", "held > 10", 12) in alarms()
    assert ("lab_oru", "unmapped codes > 0", 1) in alarms()
    assert not [a for a in alarms() if a[0] == "adt"]
    html = web.stranger.get("/status").text
    assert "Results are waiting for an analyst" in html and "an alarm is on" in html
    told = web.stranger.get("/status.json").json()["alerts"]
    assert {a["when"] for a in told} == {"held > 10", "unmapped codes > 0"}
    text = web.stranger.get("/metrics").text
    assert 'hub_alert{process="console",channel="lab_oru",when="held > 10"} 1' in text
    for word in PATIENT_DATA:
        assert word not in html and word not in text


def test_behind_a_declared_proxy_nobody_is_on_this_machine(web: Web) -> None:
    proxied = web.hub.config.console.model_copy(update={"proxy": "https://hub.example"})
    config = web.hub.config.model_copy(update={"console": proxied})
    from engine.console.app import create_app

    app = create_app(config, web.hub.keyring, web.hub.store, web.gauge, TOKEN)
    client = TestClient(app, BASE, client=("127.0.0.1", 1))
    for path in ("/status", "/status.json", "/metrics"):
        assert client.get(path).status_code == 401
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    assert "https://hub.example/fhir/Observation" in client.get("/status", headers=bearer).text
    links = client.get("/fhir/Observation?_count=1", headers=bearer).json()["link"]
    assert all(link["url"].startswith("https://hub.example/fhir/") for link in links)
