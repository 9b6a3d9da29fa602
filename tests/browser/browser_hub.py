"""The console of a hub in this process, behind a real port, with a worker that works beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn
from console_people import Console

__all__ = ["Served", "served"]


@dataclass
class Served:
    """A console at an address."""

    console: Console
    base: str

    def seat(self, tab: Any, *roles: str, **more: Any) -> Any:
        """Give a browser window the session of somebody with these roles; returns the window."""
        someone = self.console.as_(*roles, **more)
        ((name, value),) = list(someone.client.cookies.items())
        tab.page.context.add_cookies([{"name": name, "value": value, "url": self.base}])
        return tab


@contextmanager
def served(console: Console, *, working: bool = True) -> Iterator[Served]:
    """Serve a console; `working`: what arrives is worked off meanwhile."""
    config = uvicorn.Config(
        console.app, port=0, log_level="error", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.1):
            console.project.work()

    worker = threading.Thread(target=work, daemon=True)
    if working:
        worker.start()
    try:
        yield Served(console, f"http://127.0.0.1:{port}")
    finally:
        over.set()
        if working:
            worker.join()
        server.should_exit = True
        thread.join()
