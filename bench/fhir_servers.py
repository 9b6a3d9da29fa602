"""FHIR servers that a benchmark writes to and kills: sekmet-fhir, HAPI FHIR. Their data outlive the kills.

In: a folder. Out: an address, the process, and in the end everything the server holds.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx
from hub_under_test import HERE, free_port

__all__ = ["SERVERS", "Hapi", "Sekmet", "Server"]

Held = tuple[dict[str, dict[str, Any]], int]  # resources by Type/id, and how many versions that took


class Server:
    """A FHIR server in a process of its own."""

    program: Path
    patience = 60.0  # seconds until it answers for the first time

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.starts = folder, free_port(), 0
        self.url = f"http://127.0.0.1:{self.port}/fhir"
        self.start()
        end = time.monotonic() + self.patience
        while not self._answers():
            if time.monotonic() > end:
                raise TimeoutError(f"{self.program.name} does not answer: {folder / 'log'}")
            time.sleep(0.1)
        self.own, _ = self.held()  # some come with a few resources

    def command(self) -> list[str]:
        """Return how it is started."""
        raise NotImplementedError

    def held(self) -> Held:
        """Return everything it holds."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and return at once."""
        self.starts += 1
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(self.command(), cwd=self.folder, stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill it with -9."""
        self.process.kill()
        self.process.wait()

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/metadata", timeout=30).status_code == 200
        except httpx.TransportError:
            return False


class Sekmet(Server):
    """sekmet-fhir (PyPI; `bash tests/contract/install`): SQLite, asked directly what it holds."""

    program = HERE / "tests/contract/.sekmet/bin/sekmet"

    def command(self) -> list[str]:
        lines = (
            f"base_url: {self.url}\nhost: 127.0.0.1\nport: {self.port}\ndata_dir: {self.folder / 'data'}\n"
            "log_inbound: false\nsimulator: {enabled: false}\n"
        )
        (self.folder / "settings.yaml").write_text(lines)
        return [str(self.program), "serve", "--config", str(self.folder / "settings.yaml")]

    def held(self) -> Held:
        with sqlite3.connect(self.folder / "data/sekmet.db") as db:
            rows = db.execute("SELECT type, id, json FROM resources WHERE deleted = 0").fetchall()
            versions = db.execute("SELECT count(*) FROM versions").fetchone()[0]
        return {f"{kind}/{id}": json.loads(body) for kind, id, body in rows}, versions


class Hapi(Server):
    """HAPI FHIR (Maven Central; `bash tests/contract/install hapi`): asked for the history of everything."""

    program = HERE / "tests/contract/.hapi/classes/Peer.class"
    patience = 300.0

    def command(self) -> list[str]:
        return [str(HERE / "tests/contract/hapi/run"), str(self.port), str(self.folder)]

    def held(self) -> Held:
        newest: dict[str, dict[str, Any] | None] = {}
        versions: dict[str, int] = {}
        url = f"{self.url}/_history?_count=500"
        while url:
            bundle = httpx.get(url, timeout=300).raise_for_status().json()
            for entry in bundle.get("entry", ()):
                name = entry["fullUrl"].removeprefix(f"{self.url}/")
                version = int(entry["response"]["etag"].removeprefix("W/").strip('"'))
                if version > versions.get(name, 0):
                    versions[name], newest[name] = version, entry.get("resource")  # none: deleted
            url = next((link["url"] for link in bundle["link"] if link["relation"] == "next"), "")
        return {name: body for name, body in newest.items() if body}, sum(versions.values())


SERVERS: dict[str, type[Server]] = {"sekmet": Sekmet, "hapi": Hapi}
