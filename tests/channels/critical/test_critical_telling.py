"""People are told at once, again while nobody takes a result over, and never of a patient."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest
from critical_hub import Critical, result

from engine.channels.alarms.ofthehub import critical as alarms_of
from engine.channels.critical.telling import check_settings, next_escalation
from engine.channels.critical.wording import mail_of
from engine.kernel.config import load_config
from engine.kernel.errors import ConfigError

MINUTE = 60_000


class Pager:
    """A paging service on a port of its own: keeps what it is sent, or fails as it is told."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.fails = 0
        pager = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if pager.fails:
                    pager.fails -= 1
                    self.send_response(503)
                else:
                    pager.bodies.append({**orjson.loads(body), "to": self.path})
                    pager.keys.append(self.headers["Idempotency-Key"])
                    self.send_response(204)
                self.end_headers()

            def log_message(self, *given: object) -> None:
                """Say nothing."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def pager() -> Iterator[Pager]:
    made = Pager()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def critical(tmp_path: Path, pager: Pager) -> Iterator[Critical]:
    made = Critical.open(
        tmp_path / "project",
        settings="webhooks: [desk], escalate_webhooks: [doctor]",
        more=f"alerts: {{quiet_hours: 00:00-23:59, webhooks: [{{name: desk, url: '{pager.url}/desk'}}, "
        f"{{name: doctor, url: '{pager.url}/doctor'}}]}}",
    )
    yield made
    made.close()


def later(critical: Critical, minutes: float) -> None:
    critical.ms += int(minutes * MINUTE)
    critical.watch.step()
    while critical.watch.send():
        pass


def test_who_is_told_and_when(critical: Critical, pager: Pager) -> None:
    (row,) = critical.take(result("6.9"))
    later(critical, 0)
    (first,) = pager.bodies  # in quiet hours, too
    assert (first["to"], first["kind"], first["critical"]) == ("/desk", "new", row.id)
    assert first["link"].endswith(f"/critical/{row.id}") and first["resource"] == row.subject
    for minutes, told in ((14, 1), (2, 2), (1, 2), (14, 3)):
        later(critical, minutes)
        assert [b["to"] for b in pager.bodies] == ["/desk", "/doctor", "/doctor"][:told]
    critical.staff.criticals.acknowledge(row.id, "anna")
    later(critical, 120)
    assert len(pager.bodies) == 3 and len(set(pager.keys)) == 3


def test_no_notice_holds_anything_of_a_patient(critical: Critical, pager: Pager) -> None:
    (row,) = critical.take(result("6.9", flag="HH"))
    later(critical, 0)
    text = orjson.dumps(pager.bodies).decode() + "".join(mail_of(critical.hub.config, row, "new", row.raised))
    for secret in ("Doe", "100234", "6.9", "19800101"):
        assert secret not in text
    assert "Potassium" in text and "above the limit" in text


def test_a_rule_that_escalates_sooner(critical: Critical, pager: Pager) -> None:
    (row,) = critical.take(result("4.0", flag="HH"))
    assert next_escalation(row) == row.raised + 5 * MINUTE
    later(critical, 6)
    assert sorted(b["to"] for b in pager.bodies) == ["/desk", "/doctor"]


def test_a_correction_is_told_and_ends_the_waiting_for_the_first(critical: Critical, pager: Pager) -> None:
    critical.take(result("6.9"))
    later(critical, 0)
    critical.take(result("4.2", "C", control="C2"))
    later(critical, 0)
    assert [b["kind"] for b in pager.bodies] == ["new", "withdrawn"]
    later(critical, 16)
    assert [b["kind"] for b in pager.bodies[2:]] == ["withdrawn"]  # not of the first any more


def test_a_notice_that_fails_is_tried_again_within_seconds(critical: Critical, pager: Pager) -> None:
    pager.fails = 2
    (row,) = critical.take(result("6.9"))
    for seconds in (0, 6, 11):
        later(critical, seconds / 60)
    assert len(pager.bodies) == 1
    (notice,) = critical.staff.critical_notices.of(row.id)
    assert (notice.state, notice.tries) == ("sent", 3)


def test_a_crash_between_making_and_noting_tells_once(critical: Critical, pager: Pager) -> None:
    critical.hub.receive("lab_oru", result("6.9"))
    critical.hub.work()
    told = critical.staff.criticals.__class__.was_told
    with pytest.MonkeyPatch.context() as patch:

        def killed(*given: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(critical.staff.criticals.__class__, "was_told", killed)
        with pytest.raises(KeyboardInterrupt):
            critical.watch.step()
    assert critical.staff.criticals.__class__.was_told is told
    critical.watch = critical.another()
    later(critical, 0)
    later(critical, 1)
    assert [b["kind"] for b in pager.bodies] == ["new"]


def test_missed_escalations_are_one(critical: Critical, pager: Pager) -> None:
    critical.take(result("6.9"))
    later(critical, 100)
    assert sorted(b["to"] for b in pager.bodies) == ["/desk", "/doctor"]


def test_after_a_day_only_the_alarm_speaks_of_it(critical: Critical, pager: Pager) -> None:
    (row,) = critical.take(result("6.9"))
    later(critical, 24 * 60 + 1)
    assert [b["to"] for b in pager.bodies] == ["/desk"]
    (alarm,) = alarms_of(critical.hub.config, critical.staff, critical.ms)
    assert alarm.urgent and alarm.what == "1 critical result taken over by nobody for 30 minutes"
    critical.staff.criticals.acknowledge(row.id, "anna")
    assert alarms_of(critical.hub.config, critical.staff, critical.ms) == []


def test_figures(critical: Critical, pager: Pager) -> None:
    critical.take(result("6.9"))
    later(critical, 0)
    text = critical.watch.metrics.text()
    for line in (
        'hub_critical_results_total{kind="new"} 1',
        "hub_critical_raised_seconds_count 1",
        "hub_critical_told_seconds_count 1",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("{mail: [a@b.example]}", "no mail server"),
        ("{webhooks: [pager]}", "there is no webhook pager"),
        ("{escalate_after: soon}", "is not a time"),
    ],
)
def test_settings_that_lead_nowhere(tmp_path: Path, settings: str, said: str) -> None:
    (tmp_path / "config.yaml").write_text(f"critical: {settings}\n")
    with pytest.raises(ConfigError, match=said):
        check_settings(load_config(tmp_path))


def test_a_destination_is_told_by_events(tmp_path: Path, pager: Pager) -> None:
    critical = Critical.open(
        tmp_path / "project",
        settings="destinations: [events]",
        more=f"destinations: {{events: {{webhook: {{url: '{pager.url}/events', secret: x}}}}}}",
    )
    pager.fails = 1
    (row,) = critical.take(result("6.9"))
    later(critical, 0)
    assert pager.bodies == [] and "503" in critical.staff.critical_notices.of(row.id)[0].answer
    later(critical, 0.2)
    (first,) = pager.bodies
    assert (first["type"], first["specversion"], first["source"]) == ("critical.new", "1.0", "/criticals")
    assert (first["data"]["critical"], first["data"]["resource"]) == (row.id, row.subject)
    assert first["id"] == pager.keys[0]
    later(critical, 16)
    assert [b["type"] for b in pager.bodies] == ["critical.new", "critical.escalated"]
    told = orjson.dumps(pager.bodies).decode()
    assert not [secret for secret in ("Doe", "100234", "6.9", "19800101") if secret in told]
    critical.close()
