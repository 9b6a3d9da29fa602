"""The change feed: nothing skipped, nothing twice, waiting for what comes."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from console_web import Web, web_side
from hub_project import Hub, make_project

from engine.fhir import jsonio
from engine.store.cursor import FeedRestored, cursor_at, position_of


def place(cursor: str) -> int:
    return int(cursor.partition("-")[0])


def all_changes(web: Web, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    since = "0"
    while True:
        page = web.get(f"/feed?since={since}&{query}")
        assert place(page["next"]) >= place(since)
        if page["next"] == since:
            assert page["changes"] == [] and place(since) <= page["head"]
            return found
        found += page["changes"]
        since = page["next"]


def test_pages_of_any_size_give_the_same_changes_in_order(web: Web) -> None:
    whole = all_changes(web, "limit=1000")
    assert [c["position"] for c in whole] == sorted({c["position"] for c in whole})
    assert all_changes(web, "limit=7") == whole
    stored = web.hub.store.feed(0, 1000)
    assert [(c["position"], c["type"], c["id"], c["version"], c["op"]) for c in whole] == [
        (c.seq, c.type, c.id, c.version, c.op) for c in stored
    ]


def test_only_some_types_still_moves_on_past_the_others(web: Web) -> None:
    whole = all_changes(web, "limit=1000")
    some = all_changes(web, "limit=2&types=Observation,Patient")
    assert some == [c for c in whole if c["type"] in ("Observation", "Patient")]
    assert all_changes(web, "types=Binary") == []
    page = web.get("/feed?types=Binary&limit=1")
    assert place(page["next"]) == page["head"]  # all were looked at: the next call starts behind them


def test_bodies_come_when_asked_for(web: Web) -> None:
    for query in ("bodies=true&limit=500", "bodies=true&limit=500&types=Observation"):
        changes = web.get(f"/feed?{query}")["changes"]
        for change in changes:
            version = web.get(f"/fhir/{change['type']}/{change['id']}/_history/{change['version']}")
            assert change["resource"] == version
    assert "resource" not in web.get("/feed?limit=1")["changes"][0]


def test_a_deletion_is_a_change_without_body(fresh: Any) -> None:
    web = fresh()
    id_ = web.hub.written(web.hub.take("lab_oru", "lab/oru_potassium"), "Observation")
    before = web.hub.store.head()
    web.hub.store.delete("Observation", id_)
    (change,) = web.get(f"/feed?since={before}&bodies=true")["changes"]
    assert (change["op"], change["id"], change["resource"]) == ("delete", id_, None)


def test_lines_of_json(web: Web) -> None:
    answer = web.client.get("/feed?limit=5&bodies=true", headers={"Accept": "application/x-ndjson"})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    rows = [jsonio.loads(line) for line in answer.content.splitlines()]
    assert len(rows) == 6 and place(rows[-1]["next"]) == rows[-2]["position"]
    assert json.loads(json.dumps(rows[0], default=str))["position"] == 1


def test_a_position_of_the_future_is_refused_and_the_reason_said(web: Web) -> None:
    answer = web.client.get(f"/feed?since={web.hub.store.head() + 1}")
    assert answer.status_code == 410 and "older than your copy" in answer.json()["error"]


def test_a_cursor_of_another_past_is_refused_however_far_the_store_has_grown(tmp_path: Path) -> None:
    """An older core store is restored; it works off the journal again and overtakes a reader."""
    root = make_project(tmp_path / "project")
    hub = Hub.open(root)
    hub.take("lab_oru", "lab/oru_preliminary")
    early = web_side(hub).get("/feed?since=0&limit=1000")["next"]
    backup = tmp_path / "core.db"
    with sqlite3.connect(root / "var/core.db") as live, sqlite3.connect(backup) as copy:
        live.backup(copy)
    hub.take("lab_oru", "lab/oru_final")
    late = web_side(hub).get("/feed?since=0&limit=1000")["next"]
    assert place(late) > place(early)
    hub.close()

    for path in (root / "var").glob("core.db*"):
        path.unlink()
    shutil.copy(backup, root / "var/core.db")
    hub = Hub.open(root)
    web = web_side(hub)
    behind = web.client.get(f"/feed?since={late}")
    assert behind.status_code == 410 and "since=0" in behind.json()["error"]
    hub.work()
    hub.take("lab_oru", "lab/oru_potassium")
    assert hub.store.head() > place(late)
    for wait in ("", "&wait=5", "&types=Observation"):
        overtaken = web.client.get(f"/feed?since={late}{wait}")
        assert overtaken.status_code == 410 and "another change" in overtaken.json()["error"]
    assert web.get(f"/feed?since={early}")["changes"]  # read before the backup was taken: goes on
    with pytest.raises(FeedRestored, match="Read again from since=0"):
        position_of(hub.store, late)
    assert position_of(hub.store, str(place(late))) == place(late)  # a bare number cannot be judged
    hub.close()


def test_what_makes_no_sense_is_refused(web: Web) -> None:
    for query in (
        "since=-1",
        "since=x",
        "limit=many",
        "types=Nonsense",
        "bodies=yes",
        "colour=red",
        "since=1&since=2",
        "wait=soon",
    ):
        assert web.client.get(f"/feed?{query}").status_code == 400, query


def test_who_waits_gets_the_change_when_it_comes(fresh: Any) -> None:
    web = fresh()
    web.hub.take("lab_oru", "lab/oru_preliminary")
    head = web.hub.store.head()
    answers: list[dict[str, Any]] = []
    waiting = threading.Thread(target=lambda: answers.append(web.get(f"/feed?since={head}&wait=25")))
    waiting.start()
    web.hub.take("lab_oru", "lab/oru_final")
    waiting.join(30)
    assert answers and place(answers[0]["next"]) > head and answers[0]["changes"]


def test_who_waits_in_vain_gets_an_empty_answer_and_the_same_position(web: Web) -> None:
    head = web.hub.store.head()
    cursor = cursor_at(web.hub.store, head)
    page = web.get(f"/feed?since={cursor}&wait=1")
    assert page == {"changes": [], "next": cursor, "head": head}
