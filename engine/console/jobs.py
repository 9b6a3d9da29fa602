"""Work that takes longer than a page: done in a thread, its progress asked for by the page.

In: a name and a function that tells how far it is. Out: how it stands, for everybody who may see the page.
One of each name runs at a time; nothing of it is kept over a restart.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from engine.kernel.clock import now_ms
from engine.kernel.errors import HubError, place_of

__all__ = ["Job", "Jobs"]

log = logging.getLogger("hub.console")


@dataclass(slots=True)
class Job:
    """One piece of work. `result` is for the page; `trouble` says why there is none."""

    name: str
    who: str
    began: int
    told: str = ""
    ended: int | None = None
    result: str = ""
    trouble: str = ""

    @property
    def running(self) -> bool:
        """Say whether it goes on."""
        return self.ended is None


class Jobs:
    """The work of one hub."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    def of(self, name: str) -> Job | None:
        """Return the newest work of a name."""
        with self._lock:
            return self._jobs.get(name)

    def start(self, name: str, who: str, work: Callable[[Callable[[str], None]], str]) -> bool:
        """Start work that is given a way to tell its progress and returns its result.

        False: it runs already.
        """
        with self._lock:
            before = self._jobs.get(name)
            if before is not None and before.running:
                return False
            job = self._jobs[name] = Job(name, who, now_ms())
        threading.Thread(target=_run, args=(job, work), name=name, daemon=True).start()
        return True


def _run(job: Job, work: Callable[[Callable[[str], None]], str]) -> None:
    def tell(text: str) -> None:
        job.told = text

    try:
        job.result = work(tell)
    except HubError as e:
        job.trouble = str(e)
    except Exception as e:
        job.trouble = f"a fault of the hub ({place_of(e)})"
        log.error("%s: internal error %s", job.name, place_of(e))
    finally:
        job.ended = now_ms()
