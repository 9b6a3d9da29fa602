"""The restore drill: a hub under load is backed up while it runs, lost with its machine, and put back.

What was acknowledged before the backup began is there and can be read at /fhir; the work goes on; what the
senders send once more, since nobody knows what was lost, is applied once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from hub_process import ROOT, Hub, Sender, free_ports, wait_for
from test_system_crash import answered, check, evolving

WORDS = "orchid lantern gravel submarine"
SENDERS = 3


def command(hub: Hub, *words: str) -> str:
    """Run `hub ...` in the project as an operator does; return what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli.main", *words],
        cwd=hub.root if hub.root.exists() else ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "HUB_BACKUP_PASSPHRASE": WORDS},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kept(messages: Iterator[tuple[str, bytes]], sent: list[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """Give messages, 10 a second, and remember them as a sender's own log does."""
    for one in messages:
        sent.append(one)
        yield one
        time.sleep(0.1)


def drill(hub: Hub, tmp_path: Path, web: int, before: int) -> None:
    """Back up under load, lose everything, restore, go on."""
    done: Counter[str] = Counter()
    log: list[list[tuple[str, bytes]]] = [[] for _ in range(SENDERS)]
    hub.start()
    senders = [Sender(hub.ports["lab_oru"], kept(evolving(n, done), log[n])) for n in range(SENDERS)]
    for sender in senders:
        sender.start()
    wait_for(partial(answered, senders, before), "no answers")
    safe = [control for sender in senders for control in list(sender.acked)]
    backups, vault = tmp_path / "backups", tmp_path / "vault"
    command(hub, "backup", "--to", str(backups))
    command(hub, "backup", "keys", "--to", str(vault))
    more = sum(len(sender.acked) for sender in senders) + 10
    wait_for(partial(answered, senders, more), "the backup stopped the senders")
    for sender in senders:
        sender.finish()
    hub.kill()
    shutil.rmtree(hub.root)

    (archive,), (keys,) = backups.iterdir(), vault.iterdir()
    hub.root = tmp_path / "restored"
    said = command(hub, "restore", str(archive), "--to", str(hub.root), "--keys", str(keys))
    assert "proven: it is the hub that was backed up" in said and "missing" not in said, said
    hub.log, hub.parts = tmp_path / "again.log", "listeners,workers,console"
    hub.start()
    hub.drained()
    with hub.inside() as (journal, store):
        held = journal.head()
        assert held >= len(safe)
        assert all(store.find("control", control) for control in safe)
    token = (hub.root / "var/token").read_text().split()[-1]
    answer = httpx.get(
        f"http://127.0.0.1:{web}/fhir/Observation?_count=100",
        headers={"Authorization": f"Bearer {token}"},
    ).json()
    assert len(answer.get("entry", [])) >= len({control.split("-")[1] for control in safe}), answer

    again = [Sender(hub.ports["lab_oru"], (m for m in [*sent])) for sent in log]
    for sender in again:
        sender.start()
    for sender in again:
        sender.join(60)
    acked = [control for sender in again for control in sender.acked]
    assert len(acked) == sum(map(len, log))  # what is held already is answered, not refused
    hub.drained()
    assert hub.stop() == 0
    check(hub, done, acked)
    print(f"{len(safe)} acknowledged before the backup, {held} entries in it, {len(acked)} sent once more")


def web_side(port: int) -> dict[str, str]:
    """Return the settings of a hub whose web side is asked."""
    return {"console": f"{{listen: '127.0.0.1:{port}'}}"}


def test_what_was_acknowledged_before_the_backup_is_back(
    make_hub: Callable[..., Hub], tmp_path: Path
) -> None:
    (web,) = free_ports(1)
    hub = make_hub(workers=1, **web_side(web))
    drill(hub, tmp_path, web, 30)


@pytest.mark.soak
def test_the_drill_at_length(make_hub: Callable[..., Hub], tmp_path: Path) -> None:
    (web,) = free_ports(1)
    hub = make_hub(workers=2, **web_side(web))
    drill(hub, tmp_path, web, 5000)
