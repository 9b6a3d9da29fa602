"""The change feed: nothing skipped, nothing twice, waiting for what comes."""

from __future__ import annotations

import json
import threading
from typing import Any

from console_web import Web

from engine.fhir import jsonio


def all_changes(web: Web, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    since = 0
    while True:
        page = web.get(f"/feed?since={since}&{query}")
        assert page["next"] >= since
        if page["next"] == since:
            assert page["changes"] == [] and since <= page["head"]
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
    assert page["next"] == page["head"]  # all were looked at: the next call starts behind them


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
    assert len(rows) == 6 and rows[-1]["next"] == rows[-2]["position"]
    assert json.loads(json.dumps(rows[0], default=str))["position"] == 1


def test_a_position_of_the_future_is_refused_and_the_reason_said(web: Web) -> None:
    answer = web.client.get(f"/feed?since={web.hub.store.head() + 1}")
    assert answer.status_code == 409 and "older than your copy" in answer.json()["error"]


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
    assert answers and answers[0]["next"] > head and answers[0]["changes"]


def test_who_waits_in_vain_gets_an_empty_answer_and_the_same_position(web: Web) -> None:
    head = web.hub.store.head()
    page = web.get(f"/feed?since={head}&wait=1")
    assert page == {"changes": [], "next": head, "head": head}
