"""A replay is tried, shown, approved with a reason, and happens once."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from console_people import Console, Someone, console_of, text_of
from hub_project import Hub, make_project, shipped_maps

from engine.channels.drafts import Drafts
from engine.channels.message.running import Run
from engine.console.pages.message_desk import _DESKS
from engine.mapping.derived import derived

ROW = "interpretation"
MAP = "mappings/hl7v2/segments/OBX_Observation.yaml"


def field(page: str, name: str) -> str:
    found = re.search(rf'name="{name}"[^>]*value="([^"]*)"', page)
    assert found, name
    return html.unescape(found[1])


@dataclass
class One:
    """A console that has received one more message."""

    console: Console
    number: int

    @property
    def at(self) -> str:
        return f"/message/{self.number}"

    @property
    def head(self) -> int:
        return int(self.console.project.journal.head())

    def as_(self, *roles: str, **more: Any) -> Someone:
        return self.console.as_(*roles, **more)

    def take(self, name: str = "potassium") -> int:
        """Receive a result under an order and a control id of its own."""
        n = self.head + 1
        changes = (
            {"LAB0001": f"LAB{n}", "ORD1": f"ORDER{n}", "LAB1^": f"FILL{n}^"} if name == "potassium" else {}
        )
        return self.console.project.take("lab_oru", f"lab/oru_{name}", changes)

    def mend(self) -> None:
        """Take a row out of the maps in force, as somebody who edits the files does."""
        hub = self.console.hub
        hub._maps = derived(hub.maps(), {MAP: without_row(self.console)})


def without_row(console: Console) -> str:
    lines = (console.project.root / MAP).read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line.strip().startswith(ROW)]
    assert len(kept) < len(lines)
    return "".join(kept)


@pytest.fixture(scope="module")
def console_of_one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    project = Hub.open(make_project(tmp_path_factory.mktemp("one") / "project"), shipped_maps())
    made = console_of(project)
    made.hub.maps()
    yield made
    made.close()
    project.close()


@pytest.fixture
def one(console_of_one: Console) -> Iterator[One]:
    made = One(console_of_one, 0)
    made.number = made.take()
    maps = console_of_one.hub.maps()
    yield made
    console_of_one.hub._maps = maps


def test_a_dry_run_shows_and_stores_nothing(one: One) -> None:
    someone = one.as_("operator")
    page = someone.get(f"{one.at}/replay").text
    assert "Nothing would come out different" in text_of(page)
    one.mend()
    facts = someone.json(f"{one.at}/replay.json")
    assert facts["run"]["changes"] == 1
    assert {d["path"] for v in facts["versions"] for d in v["differences"]} == {f"Observation.{ROW}"}
    assert one.head == one.number and one.console.project.store.outcome(1) is not None


def test_a_replay_is_approved_with_a_reason_and_happens_once(one: One) -> None:
    one.mend()
    someone = one.as_("operator")
    token = field(someone.get(f"{one.at}/replay").text, "token")
    someone.post(f"{one.at}/replay", {"token": token, "why": " "}, status=400)
    assert one.head == one.number
    first = someone.post(f"{one.at}/replay", {"token": token, "why": "the row is gone"})
    second = someone.post(f"{one.at}/replay", {"token": token, "why": "the row is gone"})
    third = one.as_("analyst").post(f"{one.at}/replay", {"token": token, "why": "me too"})
    assert {a.headers["location"] for a in (first, second, third)} == {f"/message/{one.number + 1}"}
    assert one.head == one.number + 1
    made = one.console.project.journal.get(one.number + 1)
    assert made is not None and (made.kind, made.reason) == ("replay", "operator: the row is gone")
    done = [row for row in one.console.audit(9) if row[1] == "console:message:replay"]
    said = f"{one.number + 1}: the row is gone"
    assert done == [("operator", "console:message:replay", f"entry/{one.number}", said)]
    page = text_of(someone.get(f"{one.at}/replay").text)
    assert f"Replay {one.number + 1} of this message is asked for" in page


def test_what_was_not_shown_is_not_approved(one: One) -> None:
    someone = one.as_("operator")
    token = field(someone.get(f"{one.at}/replay").text, "token")
    one.mend()
    page = someone.post(f"{one.at}/replay", {"token": token, "why": "as I saw it"}, status=409)
    assert "Nothing was done" in page.text and f"Observation.{ROW}" in page.text
    assert one.head == one.number
    fresh = field(page.text, "token")
    someone.post(f"{one.at}/replay", {"token": fresh, "why": "as I see it now"})
    assert one.head == one.number + 1


def test_a_form_is_of_one_message_and_of_this_hub(one: One) -> None:
    one.take()
    someone = one.as_("operator")
    token = field(someone.get(f"{one.at}/replay").text, "token")
    for wrong in (token, token[:-4] + "AAAA", "", "x"):
        someone.post(f"/message/{one.number + 1}/replay", {"token": wrong, "why": "because"}, status=400)
    someone.client.post(f"{one.at}/replay", data={"token": token, "why": "because", "csrf": "other"})
    assert one.head == one.number + 1
    one.as_("viewer").post(f"{one.at}/replay", {"token": token, "why": "because"}, status=403)


def test_a_draft_is_tried_and_cannot_be_released(one: One) -> None:
    drafts = Drafts(one.console.hub.config, one.console.hub.staff)
    number = drafts.begin("without interpretation", "ann").number
    drafts.put(number, MAP, without_row(one.console), "ann")
    someone = one.as_("analyst")
    facts = someone.json(f"{one.at}/replay.json?maps=draft-{number}")
    assert facts["run"]["changes"] == 1 and facts["token"] == ""
    page = someone.get(f"{one.at}/replay?maps=draft-{number}").text
    assert "bring the draft live" in page and f"Run entry {one.number} again" not in page
    assert someone.json(f"{one.at}/replay.json?maps=live")["run"]["changes"] == 0
    assert "there is no draft 99" in someone.get(f"{one.at}/replay?maps=draft-99").text
    someone.get(f"{one.at}/replay?maps=../../etc", 400)


def test_an_edit_shows_its_bytes_is_tried_and_sent_once(one: One) -> None:
    someone = one.as_("analyst")
    text = someone.json(f"{one.at}/edit.json")["text"]
    assert "4.1" in text
    someone.post(f"{one.at}/edit", {"text": text}, status=400)  # nothing was changed
    tried = someone.post(f"{one.at}/edit", {"text": text.replace("||4.1|", "||4.7|")}, status=200).text
    assert "<ins>OBX|1|" in tried and "<del>OBX|1|" in tried
    assert "Observation.valueQuantity.value" in tried and one.head == one.number
    form = {name: field(tried, name) for name in ("token", "bytes")}
    other = base64.b64encode(base64.b64decode(form["bytes"]).replace(b"4.7", b"9.9")).decode()
    someone.post(f"{one.at}/edit/send", {**form, "bytes": other, "why": "typing error"}, status=400)
    assert one.head == one.number
    for _ in range(2):
        answer = someone.post(f"{one.at}/edit/send", {**form, "why": "typing error"})
        assert answer.headers["location"] == f"/message/{one.number + 1}"
    assert one.head == one.number + 1
    one.console.project.work()
    made, old = (one.console.project.journal.get(one.number + n) for n in (1, 0))
    assert made is not None and old is not None
    assert (made.kind, made.parent) == ("resend", one.number)
    assert made.body == old.body.replace(b"||4.1|", b"||4.7|")
    compared = one.as_("operator").json(f"/message/{one.number + 1}/compare.json")  # with its origin
    assert [line["right"] for line in compared["comparison"]["lines"]] == ["4.1"]
    assert "Edit" not in text_of(one.as_("operator").get(one.at).text).split("Body FHIR")[1][:60]
    one.as_("operator").get(f"{one.at}/edit", 403)
    assert [r[1] for r in one.console.audit(20) if "resend" in r[1]] == ["console:message:resend"]


def test_an_edit_by_file_and_what_the_set_has_not(one: One) -> None:
    someone = one.as_("analyst")
    body = one.console.project.sample("lab/oru_potassium").replace(b"4.1", b"4.9")
    tried = someone.post(f"{one.at}/edit", {}, status=200, files={"file": ("x.hl7", body)}).text
    assert base64.b64decode(field(tried, "bytes")) == body
    latin = "MSH|^~\\&|A|B|||1||ORU^R01|L1|P|2.5|||||||8859/1\rPID|1||7||Müller\r".encode("latin-1")
    one.console.project.receive("lab_oru", latin)
    one.console.project.work()
    text = someone.json(f"/message/{one.number + 1}/edit.json")["text"].replace("Müller", "Łukasz")
    answer = someone.post(f"/message/{one.number + 1}/edit", {"text": text}, status=400)
    assert "no such character" in answer.text and "Łukasz" not in answer.text


def test_many_are_tried_then_released_once_in_order(one: One) -> None:
    hub = one.console.project
    numbers = [
        hub.receive("lab_oru", hub.sample("lab/oru_rp"), "refused", "no"),
        hub.receive("lab_oru", b"GET / HTTP/1.1", "garbage"),
        one.take(),
        one.number,
    ]
    hub.work()
    one.mend()
    someone = one.as_("operator")
    where = someone.post("/replay", {"entries": " ".join(map(str, numbers))}).headers["location"]
    run = one_run(where)
    facts = someone.json(f"{where}.json")
    assert (facts["entries"], facts["done"], facts["ended"], facts["changing"]) == (4, 4, True, 3)
    assert facts["parked"] == [{"cause": "not-readable", "count": 1, "entries": [numbers[1]]}]
    groups = {(g["element"], g["kind"]): g["count"] for g in facts["groups"]}
    assert groups[f"Observation.{ROW}", "removed"] == 2
    page = someone.get(where).text
    for value in ("Doe", "100234", "4.1"):
        assert value not in page
    before = one.head
    someone.post(f"{where}/release", {"why": ""}, status=400)
    for _ in range(3):
        someone.post(f"{where}/release", {"why": "the row is gone"})
    run._thread.join(30)
    assert one.head == before + 3
    made = [hub.journal.get(n) for n in range(before + 1, one.head + 1)]
    assert [m.position for m in made if m] == sorted([*numbers[:1], *numbers[2:]])
    assert someone.json(f"{where}.json")["asked"] == 3
    one.as_("operator", name="other").get(where, 404)
    one.as_("viewer").get(where, 403)


def one_run(where: str) -> Run:
    token = where.rpartition("/")[2]
    run = next(r for d in _DESKS.values() for t, r in d.runs._runs.items() if t == token)
    assert run._thread is not None
    run._thread.join(60)
    return run


def test_many_by_channel_and_time_and_only_of_ones_own(one: One) -> None:
    adt = one.console.project.take("adt", "adt/adt_a01_admit")
    someone = one.as_("operator", channels=("lab*",))
    assert "lab_oru" in someone.get("/replay").text
    where = someone.post("/replay", {"entries": f"{one.number}, {adt}"}).headers["location"]
    one_run(where)
    facts = someone.json(f"{where}.json")
    assert (facts["entries"], facts["changing"]) == (1, 0)
    someone.post(f"{where}/release", {"why": "because"}, status=409)  # nothing would change
    by_time = {"channel": "lab_oru", "since": "2000-01-01", "state": "done"}
    where = someone.post("/replay", by_time).headers["location"]
    someone.post(f"{where}/stop")
    assert someone.json(f"{where}.json")["entries"] >= 1
    found = someone.post("/find", {"q": f"control:LAB{one.number}"}).headers["location"]
    page = someone.get(found).text
    assert "Try a replay of all of these" in page
    where = someone.post("/replay", {"t": field(page, "t")}).headers["location"]
    assert someone.json(f"{where}.json")["entries"] == 1
    someone.post("/replay", {"entries": str(adt)}, status=404)
    someone.post("/replay", {"entries": "1; drop"}, status=400)
    someone.post("/replay", {"since": "yesterday"}, status=400)
    someone.post("/replay", {}, status=400)
    someone.post("/replay", {**by_time, "state": "lost"}, status=400)


def test_a_message_of_many_mebibytes_is_shown_in_part(one: One) -> None:
    head = one.console.project.sample("lab/oru_potassium").split(b"\r")[:2]
    body = b"\r".join([*head, b"OBX|1|ED|1||^^^Base64^" + b"QUJD" * (5 << 20), b"NTE|1||the end", b""])
    number = one.console.project.receive("lab_oru", body)
    someone = one.as_("operator")
    facts = someone.json(f"/message/{number}.json?at=PID[1]-3")
    assert facts["about"]["bytes"] == len(body) and "download it" in facts["shown"]["note"]
    assert [s["address"] for s in facts["shown"]["segments"]] == ["MSH[1]", "PID[1]", "OBX[1]"]
    assert facts["trace"] is None and "too long to be traced" in facts["why_not"]
    assert len(someone.get(f"/message/{number}").content) < 60_000
    assert len(someone.get(f"/message/{number}/download").content) == len(body)
    someone.get(f"/message/{number}/compare?with={one.number}", 413)
