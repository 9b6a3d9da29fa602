"""What dry runs work with: pipelines kept between requests, and replays of many on their way.

In: the maps and channels in force, or the folder of a draft's project. Out: a `Pipeline`, compiled once for
each; `Runs`, the rehearsals of many that somebody began, each in a thread of its own. Results hold patient
data, so they live in memory only, and those asked for last stay.
"""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from engine.channels.definition import Channel, load_channels
from engine.channels.message.many import Rehearsed, release, try_many
from engine.channels.message.rehearsing import DryRun, dry_run
from engine.channels.pipeline import Pipeline
from engine.journal.sql import SqlJournal
from engine.kernel.errors import HubError
from engine.mapping.derived import derived
from engine.mapping.project import Maps
from engine.store.sql import SqlStore

__all__ = ["Run", "Runs", "Tries"]

_KEPT = 3  # projects of drafts whose maps stay compiled
_RUNS = 8  # rehearsals of many that are remembered
_AT_ONCE = 2  # of them running at one time


class Tries:
    """Dry runs of one hub; may be used by several threads, which take turns."""

    def __init__(self, journal: SqlJournal, store: SqlStore, mac: Callable[[str, str], bytes]) -> None:
        self._journal, self._store, self._mac = journal, store, mac
        self._live: tuple[Maps, Sequence[Channel], Pipeline] | None = None
        self._drafts: OrderedDict[str, Pipeline] = OrderedDict()
        self._lock = threading.RLock()

    def live(self, maps: Maps, channels: Sequence[Channel]) -> Pipeline:
        """Return the pipeline of what is in force."""
        with self._lock:
            if self._live is None or self._live[0] is not maps or self._live[1] is not channels:
                self._live = maps, channels, Pipeline(maps, list(channels), self._mac)
            return self._live[2]

    def of(self, root: Path, live: Maps, texts: Mapping[str, str | None]) -> Pipeline:
        """Return the pipeline of a draft's project in a folder of its own; `texts`: the files it changes.

        Only what they reach is compiled anew. Raises MapError, ConfigError.
        """
        with self._lock:
            name = str(root)
            found = self._drafts.pop(name, None)
            if found is None:
                found = Pipeline(derived(live, texts, root), load_channels(root), self._mac)
            self._drafts[name] = found
            while len(self._drafts) > _KEPT:
                self._drafts.popitem(last=False)
            return found

    def run(self, entry: int, pipeline: Pipeline, body: bytes | None = None) -> DryRun:
        """Try the replay of an entry, or an edited message. Raises HubError."""
        with self._lock:
            channels = list(pipeline.channels.values())
            return dry_run(entry, self._journal, self._store, pipeline, body, channels)


@dataclass(slots=True)
class Run:
    """One rehearsal of many."""

    token: str
    who: str
    title: str
    draft: int  # the draft it was tried with; 0 = what is in force
    result: Rehearsed
    stopped: threading.Event = field(default_factory=threading.Event)
    released: dict[int, int] = field(default_factory=dict)  # entry -> its replay
    asked: int = 0  # replays asked for so far
    release_problem: str = ""
    release_state: str = ""  # empty | running | ended
    _thread: threading.Thread | None = None


class Runs:
    """The rehearsals of many that were begun last."""

    def __init__(self, tries: Tries) -> None:
        self._tries = tries
        self._runs: OrderedDict[str, Run] = OrderedDict()
        self._lock = threading.Lock()

    def begin(self, entries: Sequence[int], pipeline: Pipeline, who: str, title: str, draft: int = 0) -> Run:
        """Begin one. Raises HubError where too many run."""
        run = Run(secrets.token_urlsafe(16), who, title, draft, Rehearsed(tuple(entries)))
        with self._lock:
            if sum(not one.result.ended for one in self._runs.values()) >= _AT_ONCE:
                raise HubError("other dry runs are on their way", remedy="wait for one to end, or stop it")
            self._runs[run.token] = run
            ended = [token for token, one in self._runs.items() if one.result.ended]
            for token in ended[: max(0, len(self._runs) - _RUNS)]:
                del self._runs[token]
        run._thread = threading.Thread(
            target=try_many,
            args=(entries, lambda n: self._tries.run(n, pipeline), run.result, run.stopped.is_set),
            name="dry run",
            daemon=True,
        )
        run._thread.start()
        return run

    def get(self, token: str, who: str) -> Run | None:
        """Return a run of this person; None where there is none any more."""
        with self._lock:
            run = self._runs.get(token)
            return run if run is not None and run.who == who else None

    def release(self, run: Run, journal: SqlJournal, store: SqlStore, why: str) -> None:
        """Ask for the replays of a run that has ended, those that would come out different, in the order of
        origins.
        """
        run.release_state = "running"

        def work() -> None:
            try:
                chosen = sorted(run.result.changing)
                run.released = release(journal, store, chosen, run.who, why, partial(setattr, run, "asked"))
            except HubError as e:
                run.release_problem = str(e)
            finally:
                run.release_state = "ended"

        run._thread = threading.Thread(target=work, name="release", daemon=True)
        run._thread.start()

    def wait(self, run: Run, seconds: float) -> bool:
        """Wait for a run to end; returns whether it did."""
        if run._thread is not None:
            run._thread.join(seconds)
        return run.result.ended
