"""The web side on PostgreSQL: the same figures, reads, feed and audit as on SQLite."""

from __future__ import annotations

from pathlib import Path

from console_web import web_side
from hub_project import Hub, make_project

from engine.store.cursor import cursor_at


def test_the_same_on_postgresql(postgres_database: str, tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    url = postgres_database.replace("postgresql+psycopg:", "postgresql:")
    with (root / "config.yaml").open("a") as file:
        file.write(f"journal: {url}\ncore: {url}\n")
    hub = Hub.open(root)
    web = web_side(hub)
    try:
        entry = hub.take("lab_oru", "lab/oru_potassium")
        hub.receive("lab_oru", hub.sample("lab/oru_rp"), "refused", "not accepted")
        hub.work()
        hub.receive("lab_oru", hub.sample("lab/oru_final"))
        figures = web.gauge.now()
        (lab,) = [c for c in figures.channels if c.name == "lab_oru"]
        assert (lab.received, lab.waiting, lab.parked) == (3, 1, 1)
        assert figures.oldest == hub.journal.oldest_after(2)
        id_ = hub.written(entry, "Observation")
        assert web.get(f"/fhir/Observation/{id_}")["id"] == id_
        assert web.get("/fhir/Observation?code=2823-3")["entry"][0]["resource"]["id"] == id_
        assert web.get("/feed?limit=1000")["next"] == cursor_at(hub.store, hub.store.head())
        assert web.last_audit()[0][1] == "feed:read"
        assert web.stranger.get("/status").status_code == 200
        assert web.stranger.get("/fhir/Patient").status_code == 401
    finally:
        web.gauge.close()
        hub.close()
