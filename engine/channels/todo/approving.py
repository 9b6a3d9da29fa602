"""Codes approved at the console: the rows, the tables, and what waited as releases with pages of their own.

In: numbers of codes, who, the word of the form. Out: releases, one for each channel whose messages waited;
the same form sent twice is the same approval. What a worker had in hand with the old table while it changed
is run again a second later, in the same release.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.channels.todo.releasing import Releasing
from engine.channels.todo.tasks import task_id
from engine.channels.worklist import Approved, Worklist
from engine.kernel.errors import place_of
from engine.staff.releases import Release

__all__ = ["Approval", "approve_codes", "release_codes"]

log = logging.getLogger(__name__)

IN_HAND = 1.0  # seconds a worker may have had a batch in hand when the table changed
_CODE = "unmapped-code"


@dataclass(frozen=True, slots=True)
class Approval:
    """What an approval led to."""

    releases: tuple[Release, ...]
    tables: tuple[str, ...]  # name@version
    unreadable: int = 0
    held_back: int = 0


def approve_codes(
    releasing: Releasing,
    work: Worklist,
    numbers: Sequence[int],
    form: str,
    who: str,
    comment: str = "",
    *,
    change: bool = False,
) -> Approval:
    """Approve codes and release what waited for them. Raises ConfigError, HubError; then nothing changed."""
    return _done(
        releasing,
        work,
        numbers,
        form,
        who,
        comment,
        lambda: work.approve(numbers, who, comment, change=change),
    )


def release_codes(
    releasing: Releasing, work: Worklist, numbers: Sequence[int], form: str, who: str
) -> Approval:
    """Release what still waits for codes that their tables have by now. Raises HubError."""
    return _done(releasing, work, numbers, form, who, "", lambda: work.release(numbers, who))


def _done(
    releasing: Releasing,
    work: Worklist,
    numbers: Sequence[int],
    form: str,
    who: str,
    comment: str,
    do: Callable[[], Approved],
) -> Approval:
    with releasing.alone():
        known = releasing.staff.releases.of_form(form)
        if known is not None:
            return Approval((known,), ())
        done = do()
        tables = tuple(f"{name}@{version}" for name, version in done.tables.items())
        why = comment or f"codes approved: {', '.join(tables)}"
        made = _noted(releasing, numbers, form, who, why, done)
    if made:
        again = threading.Timer(IN_HAND, _catch_up, (releasing, work, numbers, who, made[0].number))
        again.daemon = True
        again.start()
    return Approval(made, tables, len(done.unreadable), len(done.held_back))


def _noted(
    releasing: Releasing, numbers: Sequence[int], form: str, who: str, why: str, done: Approved
) -> tuple[Release, ...]:
    """Write releases down for what runs again, one for each channel."""
    releases = releasing.staff.releases
    by_channel: dict[str, dict[int, int]] = {}
    channels = releasing.store.waiting.channels(sorted(done.replays))
    for entry, replay in done.replays.items():
        by_channel.setdefault(channels.get(entry, ""), {})[entry] = replay
    gap = numbers[0] if len(numbers) == 1 else 0
    made = []
    for n, (channel, replays) in enumerate(sorted(by_channel.items())):
        task = task_id("code", channel, _CODE, "", gap) if gap else ""
        one = form if n == 0 else f"{form}:{channel}"
        begun = releases.begin(task, one, who, why, (channel, _CODE, "", gap), (), head=0)
        releases.asked(begun.number, replays)
        releases.end(begun.number, len(done.held_back) if n == 0 else 0)
        found = releases.get(begun.number)
        assert found is not None
        made.append(found)
    return tuple(made)


def _catch_up(releasing: Releasing, work: Worklist, numbers: Sequence[int], who: str, release: int) -> None:
    try:
        with releasing.alone():
            if work.waiting(numbers).entries:
                more = work.release(numbers, who)
                releasing.staff.releases.asked(release, more.replays)
    except Exception as e:  # nobody waits for this thread: what it did not do is offered at the code's page
        log.warning("messages go on waiting for an approved code; release them at its page: %s", place_of(e))
