"""A hub's web side in this process, and the people who ask it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hub_project import TOKEN, Hub
from starlette.testclient import TestClient

from engine.console.app import create_app
from engine.console.figures import Gauge

BASE = "http://127.0.0.1:8080"


@dataclass
class Web:
    """A hub and what asks it."""

    hub: Hub
    gauge: Gauge
    client: TestClient  # on this machine, with the token
    stranger: TestClient  # on this machine, without
    elsewhere: TestClient  # on another machine, without

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        """Get JSON, whose status must be this."""
        answer = self.client.get(path, headers={k.replace("_", "-"): v for k, v in headers.items()})
        assert answer.status_code == status, answer.text
        return answer.json()

    def last_audit(self, count: int = 1) -> list[tuple[str, str, str, str]]:
        """Return the newest audit rows as (who, action, what, detail)."""
        newest, _ = self.hub.store.audit.head()
        rows = self.hub.store.audit.rows(max(0, newest - count), count)
        return [(r.who, r.action, r.what, r.detail) for r in rows]


def web_side(hub: Hub) -> Web:
    gauge = Gauge(hub.channels, hub.journal, hub.config.core_url)
    app = create_app(hub.config, hub.keyring, hub.store, gauge, hub.config.token_file.read_text())
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    return Web(
        hub,
        gauge,
        TestClient(app, BASE, headers=bearer, client=("127.0.0.1", 50000)),
        TestClient(app, BASE, client=("127.0.0.1", 50001)),
        TestClient(app, "http://hub.example:8080", client=("192.0.2.7", 50002)),
    )
