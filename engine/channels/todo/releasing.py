"""Fix once, release all: the messages of a task run again in the order of their patients, once.

In: a task, who, why, the word of the form. Out: a release with a number: written down first, then the replays
by the hundred, each hundred in one transaction of the journal, so that one that was broken off goes on where
it stopped and no message is asked for twice. What runs at this moment, or is in another release, is left out.
Closing is the other end of a task: nothing runs, and the messages no longer wait.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from engine.channels.replay import AT_ONCE, ask_replays, due_replays
from engine.channels.todo.tasks import Task, Tasks, numbers_of, plain_place
from engine.journal.sql import SqlJournal
from engine.kernel.config import Config
from engine.kernel.errors import HubError, place_of
from engine.staff.releases import Release
from engine.staff.staff import Staff
from engine.store.audit import Access
from engine.store.sql import SqlStore

__all__ = ["Progress", "Releasing"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """What a release has led to so far."""

    asked: int = 0
    gone: int = 0  # their bodies are gone: they cannot run
    done: int = 0
    parked: int = 0  # again
    superseded: int = 0  # done, and something newer was there already
    closed: int = 0

    @property
    def running(self) -> int:
        """How many were asked for and have no outcome yet."""
        return self.asked - self.gone - self.done - self.parked - self.closed


class Releasing:
    """Releases and closes the messages of tasks."""

    def __init__(
        self, config: Config, journal: SqlJournal, store: SqlStore, staff: Staff, tasks: Tasks
    ) -> None:
        self.config, self.journal, self.store = config, journal, store
        self.staff, self.tasks = staff, tasks
        self._threads: dict[int, threading.Thread] = {}

    def release(self, task: Task, form: str, who: str, why: str) -> Release:
        """Write down a release of what waits for a cause; `carry_out` does it. Raises HubError."""
        with self.alone():
            known = self.staff.releases.of_form(form)
            if known is not None:
                return known
            entries = self.ready(task)
            if not entries:
                raise HubError("nothing of this waits any more", why="somebody has released or closed it")
            _reasoned(why)
            said = f"{why}: {len(entries)}: {numbers_of(entries)}"
            self.store.audit.record(Access(who, "work:release", f"task/{task.id}", said))
            about = (task.channel, task.cause, task.place, task.gap)
            head = self.journal.head()
            return self.staff.releases.begin(task.id, form, who, why, about, entries, head=head)

    def ready(self, task: Task) -> list[int]:
        """Return the entries of a task that can be released now, in order."""
        parked, flagged = self.tasks.entries(task.id)
        busy = self.staff.releases.busy() | due_replays(self.journal, self.store).keys()
        return sorted({*parked, *flagged} - busy)

    def carry_out(self, number: int) -> None:
        """Put the replays of a release into the journal, those that are not there yet."""
        releases = self.staff.releases
        while True:
            with self.alone():
                release = releases.get(number)
                if release is None or release.ended is not None:
                    return
                left = releases.left(number, AT_ONCE)
                if not left:
                    releases.end(number)
                    return
                there = {parent: entry for entry, parent in self.journal.search.again(release.head)}
                replays = {entry: there[entry] for entry in left if entry in there}
                missing = [entry for entry in left if entry not in replays]
                replays |= ask_replays(self.journal, missing, release.who, f"work {number}: {release.reason}")
                gone = [entry for entry in missing if entry not in replays]
                self.store.gaps.forget(gone)
                releases.asked(number, replays | dict.fromkeys(gone, 0))

    def start(self, number: int, wait: float = 1.0) -> None:
        """Carry a release out beside the page that asked for it; a short one is done on return."""
        thread = self._threads.get(number)
        if thread is None or not thread.is_alive():
            thread = threading.Thread(
                target=self._carried, args=(number,), name=f"release {number}", daemon=True
            )
            self._threads[number] = thread
            thread.start()
        thread.join(wait)

    def at_work(self, number: int) -> bool:
        """Say whether a release is being carried out by this process."""
        thread = self._threads.get(number)
        return thread is not None and thread.is_alive()

    def _carried(self, number: int) -> None:
        try:
            self.carry_out(number)
        except Exception as e:  # the thread's end: its page says that it was broken off, and goes on with it
            log.error("release %d was broken off and can be gone on with: %s", number, place_of(e))
        finally:
            self._threads.pop(number, None)

    def close(self, task: Task, form: str, who: str, why: str) -> Release:
        """Close what waits for a cause: nothing runs, nothing is lost, and `reopen` takes it back."""
        with self.alone():
            known = self.staff.releases.of_form(form)
            if known is not None:
                return known
            _reasoned(why)
            parked, flagged = self.tasks.entries(task.id)
            busy = self.staff.releases.busy() | due_replays(self.journal, self.store).keys()
            before = {run for entry in parked for run in self.tasks.runs(entry) if run <= entry}
            entries = sorted({*before, *flagged} - busy)
            if not entries:
                raise HubError("nothing of this waits any more", why="somebody has released or closed it")
            said = f"{why}: {len(entries)}: {numbers_of(entries)}"
            self.store.audit.record(Access(who, "work:close", f"task/{task.id}", said))
            about = (task.channel, task.cause, task.place, task.gap)
            made = self.staff.releases.begin(task.id, form, who, why, about, entries, kind="close")
            self.store.closing.close(
                entries, _about(task.cause, task.place), f"closed by {who}: {why}", task.gap
            )
            self.staff.releases.end(made.number)
            self.tasks.read_again()
            return self.staff.releases.get(made.number) or made

    def reopen(self, release: Release, who: str, why: str) -> int:
        """Take a closing back; returns how many messages wait again."""
        _reasoned(why)
        with self.alone():
            entries = [entry for entry, _ in self.staff.releases.lines(release.number, limit=10_000_000)]
            self.store.audit.record(
                Access(who, "work:reopen", f"release/{release.number}", f"{why}: {len(entries)}")
            )
            about = _about(release.cause, release.place)
            changed = self.store.closing.reopen(entries, about, release.gap)
            self.staff.releases.reopen(release.number)
            self.tasks.read_again()
        return len(changed)

    def progress(self, release: Release) -> Progress:
        """Say what a release has led to so far."""
        lines = self.staff.releases.lines(release.number, limit=10_000_000)
        if release.kind == "close":
            return Progress(len(lines), closed=0 if release.reopened or not release.ended else len(lines))
        replays = [replay for _, replay in lines if replay]
        states = Counter(self.store.waiting.states(replays).values())
        return Progress(
            asked=sum(replay is not None for _, replay in lines),
            gone=sum(replay == 0 for _, replay in lines),
            done=states["done"] + states["skipped"],
            parked=states["parked"],
            closed=states["closed"],
            superseded=self.store.waiting.superseded(replays),
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep others who release at the same time out, of other processes too."""
        path = self.config.data_dir / "release.lock"
        handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _about(cause: str, place: str) -> Callable[[str, str], bool]:
    return lambda code, where: code == cause and place in ("", plain_place(where))


def _reasoned(why: str) -> None:
    if not why.strip():
        raise HubError("it needs a reason", remedy="say in a few words what was mended or decided")
