"""The pages of alarms: what is wrong, who looks after it, silences, notices that do not arrive, the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from console_people import Console, text_of

from engine.channels.alarms import sending
from engine.kernel.alert_settings import AlertSettings
from engine.kernel.errors import HubError
from engine.security.access import Grant
from engine.staff.alarms import Condition

HELD = Condition("lab_oru|held", "held", "12 messages are parked", "lab_oru", "look", 12)
DISK = Condition("disk|x", "disk", "10 MB are free", value=10, urgent=True)


@pytest.fixture
def desk(fresh_console: Callable[[], Console]) -> Console:
    """A hub on which two things are wrong."""
    made = fresh_console()
    alerts = AlertSettings.model_validate(
        {
            "mail": {"host": "localhost", "sender": "hub@a.example", "to": ["it@a.example"]},
            "webhooks": [{"name": "pager", "url": "https://pager.a.example/", "secret": "hidden-word"}],
        }
    )
    made.hub.config = made.hub.config.model_copy(update={"alerts": alerts})
    made.hub.staff.alarms.settle([HELD, DISK], {"held", "disk"}, 0)
    return made


def settled(desk: Console, *on: Condition) -> None:
    desk.hub.staff.alarms.settle(on, {"held", "disk"}, 0)


def test_what_is_wrong_stands_there_the_urgent_first(desk: Console) -> None:
    viewer = desk.as_("viewer")
    said = text_of(viewer.get("/alerts").text)
    assert said.index("10 MB are free") < said.index("12 messages are parked")
    facts = viewer.json("/alerts.json")
    assert [(a["what"], a["urgent"], a["cause"]) for a in facts["alarms"]] == [
        ("10 MB are free", True, "/admin/health"),
        ("12 messages are parked", False, "/work?channel=lab_oru"),
    ]
    assert viewer.json("/alerts/count.json") == {"count": 2, "urgent": 1}
    assert "acknowledge" not in said.replace("acknowledge the alarm", "")


def test_alarms_of_a_channel_are_for_those_whose_roles_cover_it(desk: Console) -> None:
    other = desk.as_("viewer", channels=("adt",), name="other")
    assert [a["what"] for a in other.json("/alerts.json")["alarms"]] == ["10 MB are free"]
    other.get("/alerts/1", 404)
    desk.as_("operator", channels=("adt",), name="op").post("/alerts/1/acknowledge", status=404)
    settled(desk)
    assert [a["channel"] for a in other.json("/alerts/history.json")["alarms"]] == [""]


def test_acknowledged_with_a_name_and_written_down(desk: Console) -> None:
    desk.as_("operator", name="olga").post("/alerts/1/acknowledge")
    assert desk.audit()[0][:3] == ("olga", "console:alert:acknowledge", "alarm/1")
    assert "olga" in text_of(desk.as_("viewer").get("/alerts/1").text)
    admin = desk.as_("admin")
    assert admin.post("/alerts/1/acknowledge").headers["location"] == "/alerts/1"
    assert "olga looks after it already" in text_of(admin.get("/alerts/1").text)
    desk.as_("viewer").post("/alerts/2/acknowledge", status=403)


def test_nobody_acknowledges_a_glass_they_broke(desk: Console) -> None:
    account = desk.hub.staff.accounts.add("olga", [Grant("operator")], "admin")
    broken = desk.hub.staff.glass.break_(account, ["lab_oru"], "an emergency in room 4", 30)
    glass = Condition(f"glass|{broken.id}", "glass", "olga broke the glass", value=broken.id, urgent=True)
    desk.hub.staff.alarms.settle([glass], {"glass"}, 0)
    desk.as_("operator", name="olga").post("/alerts/3/acknowledge", status=409)
    assert desk.hub.staff.glass.open()[0].acknowledged is None
    desk.as_("admin").post("/alerts/3/acknowledge")
    assert desk.hub.staff.glass.open()[0].acknowledged_by == "admin"


class TestSilences:
    FORM = {"channel": "lab_oru", "kind": "held", "minutes": "60", "why": "they know"}

    def test_are_made_shown_and_taken_back(self, desk: Console) -> None:
        operator = desk.as_("operator")
        operator.post("/alerts/silences", self.FORM)
        facts = operator.json("/alerts.json")
        assert [a["silenced"] for a in facts["alarms"]] == [False, True]
        assert (facts["silences"][0]["why"], facts["silences"][0]["made_by"]) == ("they know", "operator")
        operator.post("/alerts/silences/1/end")
        assert operator.json("/alerts.json")["silences"] == []
        assert [row[1] for row in desk.audit(2)] == ["console:alert:silence", "console:alert:silence-end"]

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"channel": "nowhere"}, 400),
            ({"channel": "adt"}, 403),
            ({"channel": "*"}, 403),
            ({"kind": "noise"}, 400),
            ({"minutes": "0"}, 409),
            ({"why": ""}, 409),
        ],
    )
    def test_only_what_one_may(self, desk: Console, change: dict[str, str], status: int) -> None:
        operator = desk.as_("operator", channels=("lab_*",), name="lab")
        operator.post("/alerts/silences", {**self.FORM, **change}, status)
        assert desk.hub.staff.silences.now_silent() == []

    def test_one_of_another_channel_is_not_taken_back(self, desk: Console) -> None:
        desk.hub.staff.silences.make("*", "", 60, "why", "ann")
        desk.as_("operator", channels=("lab_*",), name="lab").post("/alerts/silences/1/end", status=403)
        desk.as_("admin").post("/alerts/silences/9/end", status=404)


class TestNotices:
    def test_a_test_shows_the_answer(self, desk: Console, monkeypatch: pytest.MonkeyPatch) -> None:
        sent: list[str] = []
        monkeypatch.setattr(
            sending, "send_mail", lambda *given: sent.append(given[3]) or "accepted by the mail server"
        )
        admin = desk.as_("admin")
        assert (
            admin.post("/alerts/test", {"way": "mail:it@a.example"}).headers["location"] == "/alerts/notices"
        )
        said = text_of(admin.get("/alerts/notices").text)
        assert "mail:it@a.example was told: accepted by the mail server" in said
        assert len(sent) == 1 and "test: This is a test" in sent[0]
        assert desk.hub.staff.notices.take() == []  # it is not sent again

    def test_one_that_fails_says_why_and_is_not_tried_again(
        self, desk: Console, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any) -> str:
            raise HubError("answered 403 who are you", where="webhook pager")

        monkeypatch.setattr(sending, "post_notice", refuse)
        admin = desk.as_("admin")
        admin.post("/alerts/test", {"way": "webhook:pager"})
        said = text_of(admin.get("/alerts/notices").text)
        assert "cannot be told" in said and "answered 403 who are you" in said and "given up" in said
        assert "Notices that do not arrive" in text_of(admin.get("/alerts").text)
        admin.post("/alerts/notices/1/again")
        assert [n.id for n in desk.hub.staff.notices.take()] == [1]

    @pytest.mark.parametrize("way", ["", "mail:someone@else.example", "webhook:other"])
    def test_only_to_whom_the_settings_name(self, desk: Console, way: str) -> None:
        desk.as_("admin").post("/alerts/test", {"way": way}, 400)
        desk.as_("viewer").post("/alerts/test", {"way": "webhook:pager"}, 403)


def test_rules_are_shown_with_their_place_and_without_secrets(desk: Console) -> None:
    page = desk.as_("viewer").get("/alerts/rules").text
    said = text_of(page)
    assert "oldest waiting > 10 minutes" in said and "channels/lab_oru.yaml:" in said
    assert "webhook:pager" in said and "hidden-word" not in page
    assert "hidden-word" not in desk.as_("viewer").get("/alerts/rules.json").text
    rules = {c["channel"]: c["rules"] for c in desk.as_("viewer").json("/alerts/rules.json")["channels"]}
    assert {"held > 10", "oldest waiting > 10 minutes"} <= {r["when"] for r in rules["lab_oru"]}


def test_history_and_numbers_that_are_none(desk: Console) -> None:
    settled(desk)
    viewer = desk.as_("viewer")
    assert len(viewer.json("/alerts/history.json")["alarms"]) == 2
    assert viewer.json("/alerts/history.json?before=1")["alarms"] == []
    assert "Nothing is wrong." in text_of(viewer.get("/alerts").text)
    for path in ("/alerts/999", "/alerts/x", "/alerts/1%2F2"):
        viewer.get(path, 404)


def test_the_pages_work_without_anybody_to_tell(fresh_console: Callable[[], Console]) -> None:
    made = fresh_console()
    admin = made.as_("admin")
    assert "Nobody is told of alarms" in text_of(admin.get("/alerts").text)
    for path in ("/alerts/notices", "/alerts/rules", "/alerts/history"):
        admin.get(path)
