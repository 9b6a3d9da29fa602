"""The watch of a hub: what raises an alarm, who is told, when nobody is woken, and that it is told once."""

from __future__ import annotations

import datetime
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from engine.channels.alarms import ofthehub, sending
from engine.channels.alarms import watch as watch_file
from engine.channels.alarms.telling import in_quiet_hours
from engine.channels.alarms.watch import Watch
from engine.channels.alarms.wording import as_json, mail_of
from engine.channels.alerts import State
from engine.channels.definition import Channel, load_channels
from engine.channels.opening import open_journal, open_keyring, open_staff, open_store, prepare_folder
from engine.channels.processes import ended
from engine.channels.rates import Rates
from engine.kernel.alert_settings import AlertSettings
from engine.kernel.config import Config, load_config
from engine.kernel.errors import ConfigError, HubError, StoreUnavailable
from engine.security.access import Grant
from engine.store.audit import Access
from engine.store.deliveries import Place

ZONE = "Europe/Berlin"
NOON = int(datetime.datetime(2026, 6, 24, 12, 0, tzinfo=ZoneInfo(ZONE)).timestamp() * 1000)
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000
TOLD = {
    "mail": {
        "host": "localhost",
        "sender": "hub@mercy.example",
        "to": ["it@mercy.example"],
        "escalate_to": ["boss@mercy.example"],
    },
    "webhooks": [{"name": "pager", "url": "https://pager.mercy.example/hub"}],
    "disk_free_mb": 0,
    "time_zone": ZONE,
}
FIRST = {"mail:it@mercy.example", "webhook:pager"}


class Watched:
    """A hub whose channels are as a test says, at a time that the test sets."""

    def __init__(self, hub: Opened) -> None:
        self.hub, self.staff, self.ms = hub, hub.staff, NOON
        self.staff.now = lambda: self.ms
        self.now: dict[str, State] = {}
        self.trouble: HubError | None = None
        self.settings: dict[str, Any] = dict(TOLD)
        self.lines: tuple[dict[str, Any], ...] = ({"when": "held > 3", "say": "look"},)
        self.watch = self.start()

    @property
    def config(self) -> Config:
        alerts = AlertSettings.model_validate(self.settings | {"every_channel": self.lines})
        return self.hub.config.model_copy(update={"alerts": alerts})

    def start(self) -> Watch:
        """Start the watch, again after a restart."""
        rates = Rates(self.hub.journal, self.staff.hours, None, lambda: self.ms)
        self.watch = Watch(
            self.config,
            self.hub.keyring,
            self.hub.store,
            self.staff,
            self,
            rates,
            self.channels,
            lambda: self.ms,
        )
        return self.watch

    def channels(self) -> list[Channel]:
        return load_channels(self.hub.root)

    def states(self) -> dict[str, State]:
        if self.trouble is not None:
            raise self.trouble
        return dict(self.now)

    def look(self, minutes: float = 0, **states: State) -> list[str]:
        """Let time pass, look, and return the notices that were made since the last look."""
        self.ms += int(minutes * MINUTE)
        self.now = states
        before = {n.id for n in self.staff.notices.recent(limit=500)}
        self.watch.prove()
        self.watch.look()
        made = [n for n in self.staff.notices.recent(limit=500) if n.id not in before]
        return sorted(f"{n.event} {n.way}" for n in made)

    def on(self) -> list[str]:
        return [a.kind for a in self.staff.alarms.open()]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two channels and empty databases, made once."""
    root = tmp_path_factory.mktemp("watched") / "project"
    (root / "channels").mkdir(parents=True)
    for name in ("lab_oru", "adt"):
        (root / f"channels/{name}.yaml").write_text(f"channel: {name}\nreceive: {{mllp: {{port: 0}}}}\n")
    (root / "config.yaml").write_text("workers: 1\n")
    config = load_config(root)
    prepare_folder(config)
    opened = Opened(config)
    opened.close()
    return root


class Opened:
    """What a watch needs of a project."""

    def __init__(self, config: Config) -> None:
        self.config, self.root = config, config.root
        self.keyring = open_keyring(config)
        self.journal, self.store = open_journal(config, self.keyring), open_store(config, self.keyring)
        self.staff = open_staff(config, self.keyring)

    def close(self) -> None:
        for one in (self.journal, self.store, self.staff):
            one.close()


@pytest.fixture
def watched(template: Path, tmp_path: Path) -> Iterator[Watched]:
    hub = Opened(load_config(Path(shutil.copytree(template, tmp_path / "project"))))
    yield Watched(hub)
    hub.close()


RAISED = ["raised mail:it@mercy.example", "raised webhook:pager"]
OVER = ["over mail:it@mercy.example", "over webhook:pager"]
BAD, GOOD = State(held=4), State(held=3)


class TestTold:
    def test_once_when_it_begins_and_once_when_it_is_over(self, watched: Watched) -> None:
        assert watched.look(lab_oru=GOOD) == []
        assert watched.look(1, lab_oru=BAD) == RAISED
        (on,) = watched.watch.on()
        assert (on.channel, on.when, on.say, on.value) == ("lab_oru", "held > 3", "look", 4)
        assert watched.look(1, lab_oru=BAD) == []
        watched.start()  # over a restart, too
        assert watched.look(1, lab_oru=BAD) == []
        assert watched.look(1, lab_oru=GOOD) == []
        assert watched.look(5, lab_oru=GOOD) == OVER
        assert watched.look(5, lab_oru=GOOD) == [] and watched.on() == []

    def test_again_when_nobody_acknowledges_it(self, watched: Watched) -> None:
        watched.look(lab_oru=BAD)
        assert watched.look(29, lab_oru=BAD) == []
        assert watched.look(2, lab_oru=BAD) == ["escalated mail:boss@mercy.example"]
        assert watched.look(60, lab_oru=BAD) == []
        watched.look(1, lab_oru=GOOD)
        assert watched.look(9, lab_oru=GOOD) == sorted([*OVER, "over mail:boss@mercy.example"])

    def test_whoever_acknowledges_it_in_time_ends_that(self, watched: Watched) -> None:
        watched.look(lab_oru=BAD)
        watched.staff.alarms.acknowledge(1, "ann")
        assert watched.look(90, lab_oru=BAD) == []

    def test_quiet_hours_wait_for_the_morning_and_urgent_ones_do_not(self, watched: Watched) -> None:
        watched.settings["quiet_hours"] = "22:00-06:30"
        watched.lines = ({"when": "held > 3"}, {"when": "waiting > 9", "urgent": True})
        watched.ms = NOON + 12 * HOUR  # midnight
        watched.start()
        assert watched.look(adt=BAD) == []
        assert watched.look(1, adt=BAD, lab_oru=State(waiting=10)) == RAISED
        assert watched.look(6 * 60, adt=BAD, lab_oru=State(waiting=10)) == [
            "escalated mail:boss@mercy.example"
        ]
        assert watched.look(35, adt=BAD, lab_oru=State(waiting=10)) == RAISED
        assert set(watched.on()) == {"held", "waiting"}

    def test_what_came_and_went_in_quiet_hours_wakes_nobody(self, watched: Watched) -> None:
        watched.settings["quiet_hours"] = "22:00-06:30"
        watched.ms = NOON + 12 * HOUR
        watched.start()
        watched.look(adt=BAD)
        watched.look(1, adt=GOOD)
        assert watched.look(9, adt=GOOD) == [] and watched.look(9 * 60, adt=GOOD) == []
        assert len(watched.staff.alarms.past()) == 1  # it can be read in the history

    def test_a_silence_holds_notices_back_until_it_is_over(self, watched: Watched) -> None:
        watched.staff.silences.make("lab_*", "", 60, "the laboratory moves", "ann")
        assert watched.look(lab_oru=BAD, adt=BAD) == RAISED  # of adt
        assert watched.look(59, lab_oru=BAD, adt=BAD) == ["escalated mail:boss@mercy.example"]
        assert watched.look(2, lab_oru=BAD, adt=BAD) == RAISED

    def test_at_most_daily_is_kept_over_a_restart(self, watched: Watched) -> None:
        watched.lines = ({"when": "held > 3", "at_most": "daily"},)
        watched.start()
        told: list[str] = []
        for _ in range(6):  # it comes and goes
            told += watched.look(30, lab_oru=BAD)
            told += watched.look(30, lab_oru=GOOD)
            told += watched.look(9, lab_oru=GOOD)
            watched.start()
        assert told == RAISED + OVER
        assert watched.look(24 * 60, lab_oru=BAD) == RAISED

    def test_a_channels_own_line_takes_the_place_of_the_one_for_all(self, watched: Watched) -> None:
        path = watched.hub.root / "channels/lab_oru.yaml"
        path.write_text(path.read_text() + "\nalert:\n  - {when: held > 100, say: call ann}\n")
        assert watched.look(lab_oru=State(held=50), adt=State(held=50)) == RAISED
        (alarm,) = watched.staff.alarms.open()
        assert alarm.channel == "adt"
        watched.look(lab_oru=State(held=101), adt=State(held=50))
        assert watched.staff.alarms.open()[0].say == "call ann"


class TestOfTheHub:
    @pytest.fixture(autouse=True)
    def nothing_else(self, watched: Watched) -> None:
        watched.lines = ()
        watched.start()
        watched.look()
        assert watched.on() == []

    def test_a_database_that_does_not_answer(self, watched: Watched) -> None:
        watched.look(lab_oru=BAD)
        watched.trouble = StoreUnavailable("the core store cannot be read", where="core.db")
        assert watched.look(1) == RAISED and watched.on() == ["database"]
        watched.trouble = None
        watched.look(1)
        assert watched.look(9) == OVER

    def test_what_is_judged_by_figures_stays_while_they_are_away(self, watched: Watched) -> None:
        watched.lines = ({"when": "held > 3"},)
        watched.start()
        watched.look(lab_oru=BAD)
        watched.trouble = StoreUnavailable("away")
        watched.look(60)
        assert set(watched.on()) == {"held", "database"}

    @pytest.mark.parametrize(
        ("days", "on", "urgent"), [(90, False, False), (29, True, False), (6, True, True), (-1, True, True)]
    )
    def test_certificates(self, watched: Watched, days: int, on: bool, urgent: bool) -> None:
        make_certificate(watched.hub.root / "tls/lab.pem", watched.ms + days * DAY + HOUR)
        name_in_channel(watched.hub.root, "tls/lab.pem")
        watched.start()
        watched.look()
        found = watched.staff.alarms.open()
        assert bool(found) is on
        if found:
            assert (found[0].kind, found[0].urgent) == ("certificate", urgent)
            assert "lab.mercy.example of channel lab_oru" in found[0].what

    def test_a_certificate_that_cannot_be_read(self, watched: Watched) -> None:
        name_in_channel(watched.hub.root, "tls/none.pem")
        watched.start()
        watched.look()
        assert watched.on() == ["certificate"]

    def test_disk(self, watched: Watched) -> None:
        watched.settings["disk_free_mb"] = 1 << 40
        watched.start()
        watched.look()
        (alarm,) = watched.staff.alarms.open()
        assert (alarm.kind, alarm.urgent) == ("disk", True)

    def test_a_process_that_starts_again_and_again(self, watched: Watched) -> None:
        for n in range(3):
            watched.look()
            assert watched.on() == []
            ended(watched.config.data_dir, "worker-0", "signal 9", watched.ms - n * MINUTE)
        assert watched.look() == RAISED
        assert "worker-0 started again 3 times" in watched.staff.alarms.open()[0].what
        assert watched.look(11) == OVER

    def test_a_process_that_reports_no_more(self, watched: Watched) -> None:
        path = watched.config.metrics_dir / "worker-0.prom"
        path.write_text("")
        os.utime(path, (time.time() - 100,) * 2)
        assert watched.look() == RAISED and watched.on() == ["process"]

    def test_an_audit_that_was_tampered_with(self, watched: Watched) -> None:
        watched.hub.store.audit.record(*[Access("ann", "fhir:read", f"Patient/{n}") for n in range(9)])
        watched.look(25 * 60)
        assert watched.on() == []
        with watched.hub.store._database.write() as session:
            session.run("UPDATE audit SET who = 'bob' WHERE id = 3")
        assert watched.look(25 * 60) == RAISED
        (alarm,) = watched.staff.alarms.open()
        assert alarm.kind == "audit" and "row 3" in alarm.what

    def test_an_audit_whose_end_was_cut_off(self, watched: Watched) -> None:
        watched.hub.store.audit.record(*[Access("ann", "fhir:read", f"Patient/{n}") for n in range(9)])
        watched.look(120)  # keeps a copy of the head
        with watched.hub.store._database.write() as session:
            session.run("DELETE FROM audit WHERE id > 5")
            session.run("UPDATE audit_head SET id = 5, hash = (SELECT hash FROM audit WHERE id = 5)")
        watched.look(25 * 60)
        assert "row 6" in watched.staff.alarms.open()[0].what
        (watched.config.data_dir / "audit.heads").write_text("1 2 3\n")
        watched.start()
        watched.look(5)
        assert watched.on() == ["audit", "audit"]  # both stay until a person has seen them
        for alarm in watched.staff.alarms.open():
            watched.staff.alarms.acknowledge(alarm.id, "ann")
        (watched.config.data_dir / "audit.heads").unlink()
        watched.start()
        watched.look(5)
        assert watched.on() == []

    def test_a_broken_glass_until_somebody_else_has_looked_into_it(self, watched: Watched) -> None:
        account = watched.staff.accounts.add("ann", [Grant("viewer")], "admin")
        broken = watched.staff.glass.break_(account, ["lab_oru"], "resuscitation in room 4", 30)
        assert watched.look() == RAISED
        (alarm,) = watched.staff.alarms.open()
        assert alarm.urgent and alarm.what == "ann broke the glass on lab_oru"
        assert "resuscitation" not in str(alarm)
        watched.staff.glass.acknowledge(broken.id, "bob")
        assert watched.look() == OVER

    def test_a_backup_that_is_too_old(self, watched: Watched) -> None:
        watched.settings["backup"] = "26 hours"
        watched.start()
        watched.look()
        assert watched.on() == []
        assert watched.look(27 * 60) == RAISED
        watched.staff.backups.told("cli:root", "/backup")
        assert watched.look(1) == OVER
        watched.look(27 * 60)
        assert watched.staff.alarms.open()[0].what == "the newest backup is 27 hours old"


def test_silence_against_the_usual(watched: Watched) -> None:
    zone, hours = ZoneInfo(ZONE), {}
    for hour in range((NOON - 63 * DAY) // HOUR, NOON // HOUR):
        if 7 <= datetime.datetime.fromtimestamp(hour * 3600, zone).hour < 19:
            hours["lab_oru", hour] = 60
    watched.staff.hours.add(0, 0, hours)
    watched.lines = ({"when": "silent against the usual"},)
    watched.start()
    last = watched.ms
    assert watched.look(4, lab_oru=State(last=last)) == []
    assert watched.look(2, lab_oru=State(last=last)) == RAISED
    assert "unusual" in watched.staff.alarms.open()[0].what
    assert watched.look(0.1, lab_oru=State(last=watched.ms)) == OVER
    watched.ms = last = NOON + 8 * HOUR  # at night nothing comes
    assert watched.look(300, lab_oru=State(last=last)) == []


@pytest.mark.parametrize(
    ("quiet", "at", "is_quiet"),
    [
        ("22:00-06:30", "21:59", False),
        ("22:00-06:30", "22:00", True),
        ("22:00-06:30", "03:00", True),
        ("22:00-06:30", "06:30", False),
        ("12:00-13:00", "12:30", True),
        ("12:00-13:00", "13:00", False),
        ("", "03:00", False),
    ],
)
def test_quiet_hours(quiet: str, at: str, is_quiet: bool) -> None:
    settings = AlertSettings(quiet_hours=quiet, time_zone=ZONE)
    moment = datetime.datetime.fromisoformat(f"2026-06-24T{at}").replace(tzinfo=ZoneInfo(ZONE))
    assert in_quiet_hours(settings.quiet, settings.zone, int(moment.timestamp() * 1000)) is is_quiet


@pytest.mark.parametrize(
    "settings",
    [
        {"quiet_hours": "22-6"},
        {"quiet_hours": "25:00-06:00"},
        {"time_zone": "Mars/Base"},
        {"mail": {"host": "x", "sender": "nobody"}},
        {"webhooks": [{"name": "Pager 1", "url": "https://x"}]},
        {"webhooks": [{"name": "pager", "url": "ftp://x"}]},
    ],
)
def test_settings_that_cannot_be_followed(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        AlertSettings.model_validate(settings)


@pytest.mark.parametrize("word", ["settle", "escalate_after", "audit"])
def test_times_that_are_none_stop_the_start(watched: Watched, word: str) -> None:
    watched.settings[word] = "soon"
    with pytest.raises(ConfigError, match="soon"):
        watched.start()


class TestNotices:
    def test_say_channel_cause_count_and_link_and_carry_the_head_of_the_audit(self, watched: Watched) -> None:
        watched.look(lab_oru=State(held=1234))
        (alarm,) = watched.staff.alarms.open()
        said = as_json(watched.config, alarm, "raised", "5:ab", watched.ms)
        assert said["channel"] == "lab_oru" and said["count"] == 1234 and said["audit_head"] == "5:ab"
        assert said["link"].endswith(f"/alerts/{alarm.id}")
        subject, text = mail_of(watched.config, alarm, "raised", "5:ab", watched.ms)
        assert "ALARM: lab_oru: 1,234 messages parked" in subject and "\n" not in subject
        assert said["link"] in text and "audit head: 5:ab" in text and "look" in text
        assert "Nobody has acknowledged" in mail_of(watched.config, alarm, "escalated", "", watched.ms)[1]
        assert "It was on for" in mail_of(watched.config, alarm, "over", "", watched.ms + HOUR)[1]
        assert "nothing is wrong" in mail_of(watched.config, None, "test", "", watched.ms)[1]

    def test_are_sent_and_answers_kept(self, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
        def post(hook: Any, ca: Any, body: dict[str, Any], once: str, at: int) -> str:
            raise HubError("answered 500 out of order", where="webhook pager")

        monkeypatch.setattr(sending, "send_mail", lambda *_: "accepted by the mail server")
        monkeypatch.setattr(sending, "post_notice", post)
        watched.look(lab_oru=BAD)
        watched.watch.send()
        assert [(n.way, n.state) for n in watched.staff.notices.of(1)] == [
            ("mail:it@mercy.example", "sent"),
            ("webhook:pager", "failing"),
        ]
        assert "out of order" in watched.staff.notices.troubled()[0].answer

    def test_are_told_to_a_destination_as_events(self, watched: Watched, tmp_path: Path) -> None:
        events: dict[str, Any] = {"file": {"path": f"{tmp_path}/{{key}}"}}
        watched.settings = {"destinations": ("events",)}
        with pytest.raises(ConfigError, match="there is no events"):
            watched.start()
        watched.hub.config = watched.hub.config.model_copy(update={"destinations": {"events": events}})
        with pytest.raises(ConfigError, match="takes no events of the hub"):
            watched.start()
        events["webhook"] = {"url": "http://127.0.0.1:1/", "timeout_seconds": 2}
        del events["file"]
        watched.start()
        watched.look(lab_oru=BAD)
        watched.watch.send()
        ((way, state),) = [(n.way, n.state) for n in watched.staff.notices.of(1)]
        assert (way, state) == ("destination:events", "failing")
        assert "cannot be reached" in watched.staff.notices.troubled()[0].answer

    def test_to_a_way_that_is_no_longer_there(self, watched: Watched) -> None:
        watched.staff.notices.make(None, "test", ["webhook:gone"])
        watched.watch.send()
        assert "no longer in the settings" in watched.staff.notices.troubled()[0].answer


def test_the_threads_go_on_after_a_fault(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 1:
            raise RuntimeError("a fault")
        if len(looks) == 2:
            raise StoreUnavailable("away")
        watched.watch.stopping.set()

    monkeypatch.setattr(watch_file, "_LOOK", 0.01)
    monkeypatch.setattr(watched.watch, "look", look)
    watched.watch.start()
    assert watched.watch.stopping.wait(10)
    assert len(looks) == 3


def make_certificate(path: Path, expires: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lab.mercy.example")])
    end = datetime.datetime.fromtimestamp(expires / 1000, datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(end - datetime.timedelta(days=365))
        .not_valid_after(end)
        .sign(key, hashes.SHA256())
    )
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))


def name_in_channel(root: Path, file: str) -> None:
    path = root / "channels/lab_oru.yaml"
    tls = f"tls: {{certificate: {file}, key: tls/lab.key}}"
    path.write_text(path.read_text().replace("port: 0", f"port: 0, {tls}"))


def test_a_destination_that_takes_nothing_and_what_was_refused(watched: Watched) -> None:
    place = Place("ehr", "down", NOON, "cannot connect", pending=3, refused=1, parked=1)
    config = watched.hub.config
    kinds = [c.kind for c in ofthehub.destinations(config, [place], NOON + MINUTE)]
    assert kinds == ["undelivered"], "a short break wakes nobody"
    down, held = ofthehub.destinations(config, [place], NOON + 6 * MINUTE)
    assert (down.what, down.urgent) == ("ehr takes no deliveries, 3 deliveries wait: cannot connect", True)
    assert held.what == "2 deliveries to ehr refused or parked"
    stopped = place._replace(state="stopped", refused=0, parked=0)
    (one,) = ofthehub.destinations(config, [stopped], NOON + HOUR)
    assert one.what == "ehr was stopped by a person, 3 deliveries wait"
    assert ofthehub.destinations(config, [place._replace(state="open", refused=0, parked=0)], NOON) == []
