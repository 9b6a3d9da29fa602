"""The message page and a replay on PostgreSQL: the same as on SQLite."""

from __future__ import annotations

import html
import re
from pathlib import Path

from console_people import console_of
from hub_project import Hub, make_project, shipped_maps


def test_the_same_on_postgresql(postgres_database: str, tmp_path: Path) -> None:
    root = make_project(tmp_path / "project")
    url = postgres_database.replace("postgresql+psycopg:", "postgresql:")
    with (root / "config.yaml").open("a") as file:
        file.write(f"journal: {url}\ncore: {url}\nstaff: {url}\n")
    project = Hub.open(root, shipped_maps())
    console = console_of(project)
    try:
        first, last = (project.take("lab_oru", f"lab/oru_{name}") for name in ("preliminary", "corrected"))
        refused = project.receive("lab_oru", project.sample("lab/oru_rp"), "refused", "no")
        project.work()
        someone = console.as_("analyst")
        for tab in ("", "/fhir", "/lineage", "/timeline", f"/compare?with={first}", "/replay", "/edit"):
            someone.get(f"/message/{last}{tab}")
        assert "the same order" in {
            link["why"] for link in someone.json(f"/message/{last}/timeline.json")["links"]
        }
        made = someone.json(f"/message/{refused}/fhir.json")
        assert made["dry_run"]["state"] == "done" and {v["op"] for v in made["versions"]} == {"new"}
        feed = project.store.head()
        page = someone.get(f"/message/{refused}/replay").text
        token = html.unescape(re.findall(r'name="token" value="([^"]*)"', page)[0])
        assert project.store.head() == feed
        for _ in range(2):
            answer = someone.post(f"/message/{refused}/replay", {"token": token, "why": "accepted after all"})
            assert answer.headers["location"] == f"/message/{refused + 1}"
        assert project.journal.head() == refused + 1
        project.work()
        wrote = someone.json(f"/message/{refused + 1}/fhir.json")["versions"]
        assert {(v["type"], v["op"]) for v in wrote} >= {("Patient", "create"), ("Observation", "create")}
    finally:
        console.close()
        project.close()
