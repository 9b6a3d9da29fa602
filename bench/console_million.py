"""How long the console takes to answer over a million messages: Find, and any other page.

python bench/console_million.py --folder /tmp/million [--messages 1000000] [--database sqlite postgresql]
    [--rounds 100] [--url /now /message/{entry}] [--only-make]

The project in the folder is made once (`million.py`: 8 channels, 200,000 patients, 3 % parked, 90 days; half
an hour; the one in PostgreSQL is a copy of the one in SQLite, if that is there) and asked again and again.
Every kind of search is asked with other words each round, in turn with the others; `find` figures are of the
search alone (`cpu_p95`: what this process worked, with SQLite in it, without a server), `http` figures of
whole answers of the console, signed in, over a connection of this machine.
One JSON object a line: p50 and p95 in milliseconds.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from hub_under_test import HERE, report
from million import CODES, PATIENTS, family, fill, given, message

from engine.channels.asking import read_query
from engine.channels.finding import Finder
from engine.channels.opening import open_journal, open_keyring, open_store, prepare_folder
from engine.kernel.clock import now_ms
from engine.kernel.config import Config, load_config

CHECKS = 40


@contextlib.contextmanager
def database(kind: str, folder: Path) -> Iterator[str]:
    """Start PostgreSQL on the folder's data, where that is wanted; returns its URL, "" for SQLite."""
    if kind == "sqlite":
        yield ""
        return
    from million_postgres import started

    with started(folder / "postgresql") as url:
        yield url


def project(folder: Path, url: str) -> Config:
    """Make the project's files, or find them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("mappings", "terminology", "channels"):
        if not (folder / name).exists():
            shutil.copytree(HERE / name, folder / name)
    for path in (folder / "channels").glob("imaging*"):
        path.unlink()
    lines = ["hub: Bench", "disk_reserve_mb: 0", "terminology: {load_shipped: false}"]
    lines += [f"journal: {url}", f"core: {url}"] if url else []
    (folder / "config.yaml").write_text("\n".join(lines) + "\n")
    config = load_config(folder)
    prepare_folder(config)
    return config


def _same_keys(folder: Path, config: Config) -> None:
    """Take the key file of the project in SQLite, if it is there and this one has none."""
    key = folder / "sqlite/project/var/hub.key"
    mine = config.data_dir / "hub.key"
    if key.exists() and not mine.exists():
        mine.write_bytes(key.read_bytes())
        mine.chmod(0o600)


def searches(count: int) -> dict[str, Callable[[random.Random], str]]:
    """Return the kinds of searches: each makes one from a die."""
    now = now_ms()

    def of(dice: random.Random, part: str) -> str:
        made = message(dice.randrange(1, count + 1), count, now)
        return {"control": made.control, "order": made.order}[part]

    def mrn(dice: random.Random) -> str:
        return f"MRN{dice.randrange(PATIENTS):07d}"

    def name(dice: random.Random) -> str:
        return family(dice.randrange(PATIENTS) * 5 + 1)

    common = family(0)
    return {
        "everything": lambda dice: "",
        "mrn": mrn,
        "name, rare": name,
        "name, frequent": lambda dice: family(5 * dice.randrange(4)),
        "two names": lambda dice: f"{common} {given(dice.randrange(300))}",
        "name and birth date": lambda dice: f"{name(dice)} {1930 + dice.randrange(90)}-03-03",
        "order": lambda dice: of(dice, "order"),
        "control id": lambda dice: of(dice, "control"),
        "code, frequent": lambda dice: f"code:{CODES[dice.randrange(5)]}",
        "code, rare": lambda dice: f"code:{CODES[399 - dice.randrange(5)]}",
        "nothing such": lambda dice: f"NOBODY{dice.randrange(10**9)}",
        "parked": lambda dice: "parked",
        "parked, yesterday": lambda dice: "parked, yesterday",
        "parked in a rare channel": lambda dice: "parked channel:rare_feed cause:merge*",
        "cause": lambda dice: f"cause:{dice.choice(('merge-conflict', 'unmapped-code', 'no-map'))}",
        "waiting": lambda dice: "waiting",
        "flagged in a channel": lambda dice: "flagged channel:orders",
        "channel": lambda dice: f"channel:{dice.choice(('immunization', 'lab_oru', 'rare_feed'))}",
        "rare type": lambda dice: "type:ADT^A40",
        "sender, last 7 days": lambda dice: "sender:*CLINIC last 7 days",
        "refused": lambda dice: "refused",
        "replays": lambda dice: "replays",
        "mrn or mrn": lambda dice: f"{mrn(dice)} or {mrn(dice)}",
        "name parked last week": lambda dice: f"{common} parked last 7 days",
        "not": lambda dice: f"not channel:lab_oru not type:ADT* not {common}",
        "place by index": lambda dice: f"PID-3.1={mrn(dice)} and OBX-3.1={CODES[dice.randrange(30)]}",
        "issue's own": lambda dice: f"OBX-3.1={CODES[dice.randrange(5)]} and parked, yesterday",
        "place without index": lambda dice: "OBX-5>50, yesterday and channel:lab_oru",
    }


def measured(name: str, times: list[float], **more: object) -> float:
    """Report p50 and p95; returns p95."""
    times.sort()
    p50, p95 = statistics.median(times), times[min(len(times) - 1, int(len(times) * 0.95))]
    report(name, p50=p50, p95=p95, worst=times[-1], rounds=len(times), **more)
    return p95


def find_times(config: Config, count: int, rounds: int, kind: str, only: str) -> None:
    """Ask every kind of search, in turn."""
    keyring = open_keyring(config)
    journal, store = open_journal(config, keyring), open_store(config, keyring)
    finder = Finder(journal, store)
    kinds = {k: v for k, v in searches(count).items() if re.search(only, k)}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    cpu: dict[str, list[float]] = {name: [] for name in kinds}
    hits: dict[str, int] = dict.fromkeys(kinds, 0)
    for turn in range(rounds):
        for name, make in kinds.items():
            text = make(random.Random(turn * 1000 + len(name)))
            begun, worked = time.perf_counter(), time.process_time()
            page = finder.find(read_query(text, datetime.now()), patients=True)
            times[name].append((time.perf_counter() - begun) * 1000)
            cpu[name].append((time.process_time() - worked) * 1000)
            hits[name] += len(page.hits)
    for name, found in times.items():
        own = statistics.quantiles(cpu[name], n=20)[-1]
        measured(f"find {name}", found, database=kind, hits=hits[name] / rounds, cpu_p95=own)
    own = statistics.quantiles([t for found in cpu.values() for t in found], n=20)[-1]
    every = [t for found in times.values() for t in found]
    measured("find, all kinds", every, database=kind, cpu_p95=own)
    store.close()
    journal.close()


def main() -> None:
    """Make what is missing, and measure."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--folder", type=Path, required=True)
    ask.add_argument("--messages", type=int, default=1_000_000)
    ask.add_argument("--database", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite"])
    ask.add_argument("--rounds", type=int, default=100)
    ask.add_argument("--only", default="", help="searches whose name has this")
    ask.add_argument("--url", nargs="*", default=[])
    ask.add_argument("--only-make", action="store_true")
    given_ = ask.parse_args()
    for kind in given_.database:
        folder = given_.folder / kind
        folder.mkdir(parents=True, exist_ok=True)
        with database(kind, folder) as url:
            config = project(folder / "project", url)
            _same_keys(given_.folder, config)
            keyring = open_keyring(config)
            journal, store = open_journal(config, keyring), open_store(config, keyring)
            begun = time.perf_counter()
            before = journal.head()
            copied = given_.folder / "sqlite/project/var"
            if url and not before and (copied / "journal.db").exists():
                store.close()
                journal.close()
                from million_copy import copy_into

                copy_into(copied, url)
                journal, store = open_journal(config, keyring), open_store(config, keyring)
            fill(journal, store, given_.messages)
            made = journal.head() - before
            store.close()
            journal.close()
            if made:
                report("made", database=kind, messages=made, seconds=time.perf_counter() - begun)
            if given_.only_make:
                continue
            find_times(config, given_.messages, given_.rounds, kind, given_.only)
            if given_.url:
                from million_http import http_times

                kinds = {k: v for k, v in searches(given_.messages).items() if re.search(given_.only, k)}
                http_times(config, given_.url, kinds, given_.messages, given_.rounds, kind, measured)


if __name__ == "__main__":
    sys.exit(main())
