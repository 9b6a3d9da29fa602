"""The console over HTTP for `console_million.py`: whole answers, signed in, on a connection of this machine.

In: a project's configuration, paths (`{entry}` stands for any message). Out: how long each answer took; Find
is asked as a person does: a form, and the page it leads to. Server and client share one process.
"""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import httpx
from hub_under_test import HERE

from engine.channels.definition import load_channels
from engine.channels.opening import open_journal, open_keyring, open_store
from engine.kernel.config import Config

sys.path[:0] = [str(HERE / "tests"), str(HERE / "tests/browser")]

__all__ = ["http_times"]


def http_times(
    config: Config,
    paths: list[str],
    searches: dict[str, Callable[[random.Random], str]],
    count: int,
    rounds: int,
    kind: str,
    measured: Callable[..., float],
) -> None:
    """Ask each path, and Find with each kind of search."""
    from browser_hub import served
    from console_people import console_of

    if not config.token_file.exists():
        config.token_file.write_text("a-token-of-a-benchmark-0123456789abcdef\n")
        config.token_file.chmod(0o600)
    keyring = open_keyring(config)
    project: Any = SimpleNamespace(
        config=config,
        keyring=keyring,
        channels=load_channels(config.root),
        journal=open_journal(config, keyring),
        store=open_store(config, keyring),
    )
    console = console_of(project)
    with served(console, working=False) as hub:
        someone = console.as_("analyst")
        ((cookie, value),) = list(someone.client.cookies.items())
        with httpx.Client(base_url=hub.base, cookies={cookie: value}, timeout=120) as client:
            for path in paths:
                times = [_asked(client, _filled(path, count, turn)) for turn in range(-3, rounds)][3:]
                measured(f"http {path}", times, database=kind)
            times = []
            for turn in range(rounds):
                for name, make in searches.items():
                    q = make(random.Random(turn * 1000 + len(name)))
                    begun = time.perf_counter()
                    answer = client.post("/find", data={"q": q, "csrf": someone.csrf})
                    assert answer.status_code == 303, answer.text
                    _asked(client, answer.headers["location"])
                    times.append((time.perf_counter() - begun) * 1000)
            measured("http find, form and page", times, database=kind)
    console.close()
    project.store.close()
    project.journal.close()


def _asked(client: httpx.Client, path: str) -> float:
    begun = time.perf_counter()
    answer = client.get(path)
    took = (time.perf_counter() - begun) * 1000
    assert answer.status_code == 200, f"{re.sub('t=.*', 't=...', path)}: {answer.status_code}"
    return took


def _filled(path: str, count: int, turn: int) -> str:
    return path.replace("{entry}", str(random.Random(turn).randrange(1, count + 1)))
