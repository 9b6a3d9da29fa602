"""A disk under the core store whose fsync fails: the lanes stop and try again with growing pauses, senders
are answered as before (the journal's disk is well), and once it works nothing is lost, doubled or disordered.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_process import Hub, send, wait_for
from system_messages import result
from test_system_crash import check

HERE = Path(__file__).parent
TRY = re.compile(r"the store is not available, trying again in ([0-9.]+) s")


@pytest.fixture(scope="session")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that makes fsync fail."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("NO C COMPILER: a failing fsync of the core store was not tested")
    made = tmp_path_factory.mktemp("shim") / "failing_sync.so"
    source = HERE / "failing_sync.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True)
    return made


def numbered(first: int, count: int, sent: Counter[str]) -> list[tuple[str, bytes]]:
    """Make messages of three patients, each message the next value of its patient's one result."""
    made = []
    for n in range(first, first + count):
        mrn = f"7{n % 3:03d}"
        sent[mrn] += 1
        control = f"F-{mrn}-{sent[mrn]}"
        made.append((control, result(control, mrn, sent[mrn], order=f"ORD{mrn}")))
    return made


@pytest.mark.parametrize(("workers", "rounds"), [(2, 1), pytest.param(1, 3, marks=pytest.mark.soak)])
def test_a_failing_fsync_of_the_core_store_loses_and_doubles_nothing(
    make_hub: Callable[..., Hub],
    shim: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    workers: int,
    rounds: int,
) -> None:
    flag = tmp_path / "fails"
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    monkeypatch.setenv("HUB_SYNC_FAILS", str(flag))
    monkeypatch.setenv("HUB_SYNC_OF", "core.db")
    hub = make_hub(workers=workers)
    hub.start()
    monkeypatch.delenv("LD_PRELOAD")  # the hub alone has the bad disk
    port, sent, acked = hub.ports["lab_oru"], Counter[str](), []

    def take(first: int, count: int) -> None:
        made = numbered(first, count, sent)
        assert send(port, *(body for _, body in made)) == ["AA"] * count
        acked.extend(control for control, _ in made)

    def tries() -> list[float]:
        return [float(wait) for wait in TRY.findall(hub.log.read_text())]

    take(0, 12)
    hub.drained()
    for round_ in range(rounds):
        before = len(tries())
        flag.touch()
        take(12 + 12 * round_, 12)
        wait_for(lambda least=before + 4: len(tries()) >= least, "nobody says that the store is down")
        with hub.inside() as (journal, store):
            assert journal.head() == 24 + 12 * round_  # all are on the journal's disk
            done = store.outcomes(limit=1000)
            assert len(done) < journal.head() and {o.status for o in done} == {"done"}
        flag.unlink()
        hub.drained()
    waits = tries()
    assert max(waits) > min(waits), "the pauses did not grow"
    take(12 + 12 * rounds, 3)
    hub.drained()
    text = hub.log.read_text()
    assert "Traceback" not in text and "ended (" not in text, "a process died of it"
    assert hub.stop() == 0
    check(hub, sent, acked)


def test_a_hub_killed_while_fsync_fails_starts_again_whole(
    make_hub: Callable[..., Hub], shim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "fails"
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    monkeypatch.setenv("HUB_SYNC_FAILS", str(flag))
    monkeypatch.setenv("HUB_SYNC_OF", "core.db")
    hub = make_hub()
    hub.start()
    sent: Counter[str] = Counter()
    made = numbered(0, 30, sent)
    port = hub.ports["lab_oru"]
    assert send(port, *(body for _, body in made[:15])) == ["AA"] * 15
    flag.touch()
    assert send(port, *(body for _, body in made[15:])) == ["AA"] * 15
    wait_for(lambda: TRY.search(hub.log.read_text()), "nobody says that the store is down")
    hub.kill()
    flag.unlink()
    monkeypatch.delenv("LD_PRELOAD")
    hub.start()
    hub.drained()
    assert hub.stop() == 0
    check(hub, sent, [control for control, _ in made])


@pytest.mark.soak
def test_the_journals_disk_fails_and_nobody_is_answered(
    make_hub: Callable[..., Hub], shim: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flag = tmp_path / "fails"
    monkeypatch.setenv("LD_PRELOAD", str(shim))
    monkeypatch.setenv("HUB_SYNC_FAILS", str(flag))
    monkeypatch.setenv("HUB_SYNC_OF", "journal.db")
    hub = make_hub()
    hub.start()
    port = hub.ports["lab_oru"]
    assert send(port, result("F-7000-1", "7000", 1, order="ORD7000")) == ["AA"]
    flag.touch()
    with pytest.raises(AssertionError):
        send(port, result("F-7000-2", "7000", 2, order="ORD7000"), patience=3)
    flag.unlink()
    assert send(port, result("F-7000-2", "7000", 2, order="ORD7000")) == ["AA"]  # it sends again
    hub.drained()
    assert hub.stop() == 0
    check(hub, Counter({"7000": 2}), ["F-7000-1", "F-7000-2"])
