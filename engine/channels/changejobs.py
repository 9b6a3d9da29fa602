"""What takes longer than a page may: the checks and the impact of a draft, each in a process of its own.

In: a draft's number, who asks, how far back. Out: a small file that says how far it is, without patient data,
and in the end a report in `staff.db`, sealed, about exactly this content. It runs with low priority, so that
messages go first, and ends soon after somebody asked it to stop.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from engine.channels.deciding import check
from engine.channels.definition import load_channels
from engine.channels.drafts import Draft, Drafts
from engine.channels.impact import Impact, Side, impact_of
from engine.channels.impactgroups import Came, Group
from engine.channels.opening import open_journal, open_keyring, open_staff
from engine.channels.renewal import project_digest, write_whole
from engine.kernel.clock import now_ms
from engine.kernel.config import Config, load_config
from engine.kernel.errors import HubError, place_of
from engine.mapping.project import Maps

__all__ = ["Job", "impact_now", "impact_report", "job_of", "start", "stop", "wait"]

KINDS = ("checks", "impact")
_DAY = 86_400_000
_LOW = 10  # added to the niceness
_children: dict[str, subprocess.Popen[bytes]] = {}  # those this process started: they have to be waited for


@dataclass(frozen=True, slots=True)
class Job:
    """How far one of them is. `state`: running, done, failed."""

    kind: str
    draft: int
    digest: str
    state: str
    at: int
    pid: int = 0
    done: int = 0
    of: int = 0
    changed: int = 0
    why: str = ""


def start(config: Config, kind: str, draft: Draft, who: str, last: int = 1000, days: int = 0) -> Job:
    """Start the checks or the impact of a draft in the background. Raises HubError where it runs already."""
    now = job_of(config, kind, draft.number)
    if now is not None and now.state == "running" and now.digest == draft.digest:
        raise HubError(f"the {kind} of draft {draft.number} are being worked out", remedy="wait, or stop it")
    stop(config, kind, draft.number)
    folder = _folder(config)
    name = f"{kind}-{draft.number}"
    (folder / f"{name}.stop").unlink(missing_ok=True)
    words = [str(config.root.resolve()), kind, str(draft.number), who, str(last), str(days)]
    job = Job(kind, draft.number, draft.digest, "running", now_ms(), of=last if kind == "impact" else 0)
    write_whole(folder / f"{name}.json", orjson.dumps(asdict(job)))
    child = subprocess.Popen(
        [sys.executable, "-m", "engine.channels.changejobs", *words],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _children[name] = child
    return job


def job_of(config: Config, kind: str, number: int) -> Job | None:
    """Return how far the checks or the impact of a draft are; None where nobody asked."""
    name = f"{kind}-{number}"
    child = _children.get(name)
    ended = child is not None and child.poll() is not None
    try:
        job = Job(**orjson.loads((_folder(config) / f"{name}.json").read_bytes()))
    except (OSError, orjson.JSONDecodeError, TypeError):
        return None
    gone = ended or (child is None and not _alive(job.pid))
    if job.state == "running" and gone:
        with suppress(OSError, orjson.JSONDecodeError, TypeError):  # it may have ended between the two looks
            job = Job(**orjson.loads((_folder(config) / f"{name}.json").read_bytes()))
        if job.state == "running":
            return Job(job.kind, job.draft, job.digest, "failed", job.at, why="it ended before its time")
    return job


def stop(config: Config, kind: str, number: int) -> None:
    """Ask it to end."""
    (_folder(config) / f"{kind}-{number}.stop").touch()
    child = _children.pop(f"{kind}-{number}", None)
    if child is not None and kind == "checks":
        child.terminate()
    if child is not None:
        with suppress(subprocess.TimeoutExpired):
            child.wait(2)


def impact_now(
    drafts: Drafts,
    number: int,
    last: int,
    days: int,
    progress: Callable[[int, int], None] = lambda done, changed: None,
    stopped: Callable[[], bool] = lambda: False,
    since: int | None = None,
) -> Impact:
    """Work out the impact of a draft, and keep it under its content; of `days`, or `since` (ms)."""
    config = drafts.config
    draft, root = drafts.get(number), drafts.root(number)
    before = project_digest(config.root)
    live = Side(Maps.open(config.root, config.identity_base), load_channels(config.root))
    changed = Side(Maps.open(root, config.identity_base), load_channels(root))
    journal = open_journal(config, drafts.staff.keyring)
    if since is None and days:
        since = now_ms() - days * _DAY
    try:
        found = impact_of(journal, live, changed, drafts.staff.keyring.mac16, last, since, progress, stopped)
    finally:
        journal.close()
    body = {**found.as_json(values=True), "live": before, "asked": {"last": last, "days": days}}
    with drafts.staff.database.write() as c:
        drafts.rows.keep_report(c, "impact", draft.digest, orjson.dumps(body))
    return found


def impact_report(drafts: Drafts, draft: Draft) -> tuple[int, str, Impact] | None:
    """Return when the impact of exactly this content was worked out, beside which live project, and what it
    says.
    """
    with drafts.staff.database.read() as c:
        found = drafts.rows.report(c, "impact", draft.digest)
    if found is None:
        return None
    words = orjson.loads(found[1])
    live = words.pop("live")
    words.pop("asked")
    groups = []
    for g in words.pop("groups"):
        effects = [Came(**{**e, "values": [tuple(v) for v in e["values"]]}) for e in g.pop("effects")]
        groups.append(Group(**g, effects=effects))
    return found[0], live, Impact(**words, groups=groups)


def _run(root: Path, kind: str, number: int, who: str, last: int, days: int) -> None:
    """Be the process."""
    os.nice(_LOW)
    config = load_config(root)
    name = f"{kind}-{number}"
    path = _folder(config) / f"{name}.json"
    staff = open_staff(config, open_keyring(config))
    try:
        drafts = Drafts(config, staff)
        draft = drafts.get(number)
        job = Job(kind, number, draft.digest, "running", now_ms(), os.getpid(), of=last)
        write_whole(path, orjson.dumps(asdict(job)))
        why, state, done, differ = "", "done", 0, 0
        try:
            if kind == "checks":
                check(drafts, number, who)
            else:
                marker = _folder(config) / f"{name}.stop"

                def progress(seen: int, otherwise: int) -> None:
                    now = {**asdict(job), "done": seen, "changed": otherwise}
                    write_whole(path, orjson.dumps(now))

                found = impact_now(drafts, number, last, days, progress, marker.exists)
                why, done, differ = found.stopped, found.replayed, found.changed
        except HubError as e:
            why, state = str(e), "failed"
        except Exception as e:
            why, state = f"a fault of the hub ({place_of(e)})", "failed"
        ended = {**asdict(job), "state": state, "why": why, "at": now_ms(), "done": done, "changed": differ}
        write_whole(path, orjson.dumps(ended))
    finally:
        staff.close()


def _folder(config: Config) -> Path:
    folder = config.data_dir / "jobs"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _alive(pid: int) -> bool:
    if not pid:
        return True  # it is only just starting
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def wait(config: Config, kind: str, number: int, patience: float = 120.0) -> Job:
    """Wait until it has ended. Raises HubError when it takes too long."""
    until = time.monotonic() + patience
    while True:
        job = job_of(config, kind, number)
        if job is not None and job.state != "running":
            return job
        if time.monotonic() > until:
            raise HubError(f"the {kind} of draft {number} take longer than {patience:.0f} s")
        time.sleep(0.1)


if __name__ == "__main__":
    root_, kind_, number_, who_, last_, days_ = sys.argv[1:]
    _run(Path(root_), kind_, int(number_), who_, int(last_), int(days_))
