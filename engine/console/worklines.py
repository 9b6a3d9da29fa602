"""Tasks as pages show them: words for the cause, who has it, since when; code values for those who may.

In: tasks, the visit. Out: rows. A code that no table knows may be patient data where a sender misuses a
field: its value is shown with `see.bodies` on that channel only, and that is noted for the audit. Channels
that the person's roles do not cover are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.channels.causes import words_of
from engine.channels.todo.tasks import Task
from engine.console.visit import Visit
from engine.kernel.clock import now_ms
from engine.staff.notes import About, Standing
from engine.store.gaps import Sighting

__all__ = ["Row", "about", "ago_choices", "rows_of", "seen"]

_NOBODY = Standing()


@dataclass(frozen=True, slots=True)
class Row:
    """One task. Times are ms since the epoch."""

    id: str
    channel: str
    cause: str
    title: str
    what: str  # the code or the place
    help: str
    desk: str  # codes | maps | person | sender | hub
    place: str
    gap: int
    count: int
    parked: int
    flagged: int
    running: int
    senders: tuple[tuple[str, int], ...]
    oldest: int | None
    newest: int | None
    samples: tuple[int, ...]
    assignee: str
    until: int | None  # it sleeps so long


def about(task: Task) -> About:
    """Return what a task is about."""
    return task.channel, task.cause, task.place, task.gap


def seen(visit: Visit, tasks: Sequence[Task]) -> list[Task]:
    """Return the tasks of channels that the person may see."""
    return [t for t in tasks if visit.may("see.messages", t.channel)]


def rows_of(visit: Visit, tasks: Sequence[Task]) -> list[Row]:
    """Return rows for tasks; what they show of codes is noted for the audit."""
    gaps = [t.gap for t in tasks if t.gap]
    sightings = {s.id: s for s in visit.hub.store.gaps.all(numbers=gaps)} if gaps else {}
    shown = [t.gap for t in tasks if t.gap in sightings and visit.may("see.bodies", t.channel)]
    if shown:
        visit.saw("work:codes", "codes", " ".join(map(str, shown)))
    standing = visit.hub.staff.notes.standing([t.id for t in tasks])
    times = visit.hub.journal.search.received(sorted({n for t in tasks for n in (t.oldest, t.newest)}))
    return [_row(t, sightings.get(t.gap), t.gap in shown, standing.get(t.id, _NOBODY), times) for t in tasks]


def _row(
    task: Task, sighting: Sighting | None, readable: bool, standing: Standing, times: dict[int, int]
) -> Row:
    words = words_of(task.cause, parked=task.parked > 0)
    place = sighting.field if sighting is not None else task.place
    return Row(
        task.id,
        task.channel,
        task.cause,
        words.title,
        _what(task, sighting, readable),
        words.help,
        words.desk,
        place,
        task.gap,
        task.count,
        task.parked,
        task.flagged,
        task.running,
        task.senders,
        times.get(task.oldest),
        times.get(task.newest),
        task.samples,
        standing.assignee,
        standing.until if standing.asleep(now_ms()) else None,
    )


def _what(task: Task, sighting: Sighting | None, readable: bool) -> str:
    if sighting is None:
        return task.place
    code = sighting.code if readable else "a code"
    asked = f"unknown to {sighting.table}" if sighting.table else "for which no table is asked"
    return f"{sighting.field} {code} {asked}"


def ago_choices() -> tuple[tuple[str, str, int], ...]:
    """Return how long a task may sleep: word of the form, words, milliseconds."""
    hour = 3_600_000
    return (
        ("1h", "an hour", hour),
        ("4h", "four hours", 4 * hour),
        ("1d", "a day", 24 * hour),
        ("3d", "three days", 72 * hour),
        ("7d", "a week", 168 * hour),
        ("30d", "30 days", 720 * hour),
    )
