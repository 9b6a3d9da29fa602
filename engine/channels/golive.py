"""Bringing an approved draft live while the hub runs, and taking a change back with one click.

In: a draft that somebody else approved, or a change that is live. Out: the files written, all or none; a row
in the history; a commit where the folder is a git repository; an announcement that every worker hears between
two messages; and words for what a person must still do. A process that dies on the way leaves a note, which
`recover` follows at the next start.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from engine.channels.deciding import check, checks_of
from engine.channels.definition import Channel, load_channels
from engine.channels.draftpaths import built, forget, live_text
from engine.channels.drafts import Draft, Drafts
from engine.channels.gitting import commit
from engine.channels.renewal import alone, announce, announce_project, project_digest
from engine.channels.renewal import opened as opened_project
from engine.channels.restarts import ask_restart, cannot_listen, needs_restart
from engine.channels.spreading import spread
from engine.channels.swapping import pending, settle, swap
from engine.channels.threeway import merge
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.staff.changes import Change
from engine.staff.staff import Staff
from engine.terminology.translate import Terminology

__all__ = ["Plan", "apply", "back", "plan", "recover"]

Texts = Mapping[str, tuple[str | None, str | None]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What bringing a draft live would do."""

    draft: Draft
    problems: tuple[str, ...]  # why it cannot go live now
    restarts: tuple[str, ...]  # processes that start again by themselves
    by_hand: tuple[str, ...]  # what a person has to do for it


def plan(drafts: Drafts, number: int) -> Plan:
    """Say what going live would do, and what stops it."""
    draft = drafts.get(number)
    problems = []
    if draft.state != "approved":
        problems.append(f"it is {draft.state}, and only an approved draft goes live")
    moved = [s.path for s in drafts.standing(number) if s.state != "same"]
    problems += [f"{path} has changed live since the draft began" for path in moved]
    again, whole, trouble = _processes(drafts.config, drafts.root(number), draft.texts)
    return Plan(draft, (*problems, *trouble), tuple(again), tuple(whole))


def apply(drafts: Drafts, number: int, who: str) -> Change:
    """Bring an approved draft live. Raises HubError with what stands against it; nothing changed then."""
    config = drafts.config
    with alone(config):
        recover(config, drafts.staff)
        planned = plan(drafts, number)
        if planned.problems:
            raise HubError(f"draft {number} cannot go live", why="; ".join(planned.problems))
        draft = planned.draft
        checks = checks_of(drafts, draft)
        if checks is None or checks.live != project_digest(config.root):
            checks = check(drafts, number, who)  # what is live is not what they were made beside
        if not checks.well:
            raise HubError(
                f"draft {number} cannot go live", why=f"its checks find {checks.errors} errors now"
            )
        files = {path: (file.base, file.text) for path, file in draft.files.items()}
        approver = next((e.who for e in reversed(draft.events) if e.what == "approved"), "")
        made = 0

        def decided() -> None:
            nonlocal made
            with drafts.staff.database.write() as c:
                now = drafts.locked(c, number)
                if now.digest != draft.digest or now.state != "approved":
                    raise HubError(f"draft {number} has changed meanwhile", remedy="look at it as it is now")
                made = _record(drafts, c, draft, who, approver, "live", files)
                drafts.move(c, now, "live", who)

        swap(config, files, {"draft": number, "kind": "live", "after": _newest(drafts)}, decided)
        forget(config, str(number))
        return _announced(drafts, made, planned, f"{draft.title}\n\nDraft {number}", who, files)


def back(drafts: Drafts, change: int, who: str) -> Change:
    """Take a change back: its files say again what they said before. Raises HubError with the reasons where
    later changes touched the same lines.
    """
    config = drafts.config
    with alone(config):
        recover(config, drafts.staff)
        with drafts.staff.database.read() as c:
            found = drafts.staff.changes.one(c, change)
            later = drafts.staff.changes.after(c, change)
        if found is None or found.kind != "live":
            raise HubError(f"there is no change {change} that went live")
        if drafts.get(found.draft).state != "live":
            raise HubError(f"change {change} was taken back already")
        files = _reversed(config, found, later)
        root = built(config, f"back{change}", {path: after for path, (_, after) in files.items()})
        again, whole, trouble = _processes(config, root, {p: after for p, (_, after) in files.items()})
        if trouble:
            raise HubError(f"change {change} cannot be taken back", why="; ".join(trouble))
        draft = drafts.get(found.draft)
        made = 0

        def decided() -> None:
            nonlocal made
            with drafts.staff.database.write() as c:
                now = drafts.locked(c, draft.number)
                if now.state != "live":
                    raise HubError(f"change {change} was taken back already")
                made = _record(drafts, c, draft, who, "", "back", files)
                drafts.move(c, now, "rolled back", who)

        swap(config, files, {"draft": draft.number, "kind": "back", "after": _newest(drafts)}, decided)
        forget(config, f"back{change}")
        planned = Plan(draft, (), tuple(again), tuple(whole))
        message = f"Roll back: {draft.title}\n\nTakes back draft {draft.number}, change {change}"
        return _announced(drafts, made, planned, message, who, files)


def recover(config: Config, staff: Staff) -> list[str]:
    """Finish, or take back, what a process that died was writing; returns what people must know."""
    found = pending(config)
    if found is None:
        return []
    after = found.get("after", 0)
    with staff.database.read() as c:
        later = staff.changes.after(c, after if isinstance(after, int) else 0)
    live = any((x.draft, x.kind) == (found.get("draft"), found.get("kind")) for x in later)
    kept = settle(config, found, live)
    announce_project(config)
    what = "finished" if live else "taken back"
    said = [f"a change of draft {found.get('draft')} was interrupted, and is {what}"]
    return said + [f"{path} was changed by somebody else since, and stays as it is" for path in kept]


def _newest(drafts: Drafts) -> int:
    with drafts.staff.database.read() as c:
        return next((x.number for x in drafts.staff.changes.page(c, limit=1)), 0)


def _record(
    drafts: Drafts, c: sa.Connection, draft: Draft, who: str, approver: str, kind: str, files: Texts
) -> int:
    return drafts.staff.changes.add(
        c, draft.number, who, approver, kind, draft.digest, draft.title, dict(files)
    )


def _announced(drafts: Drafts, made: int, planned: Plan, message: str, who: str, files: Texts) -> Change:
    """Commit, tell the processes, and write down what a person must know. Never fails the change."""
    config = drafts.config
    said = list(planned.by_hand)
    id_, trouble = commit(config.root, files, who, message)
    said += [trouble] if trouble else []
    try:
        announce_project(config)
        if any(path.startswith("terminology/") for path in files):
            announce(config, Terminology.open(config.root / "terminology").digest)
        ask_restart(config, planned.restarts)
        spread(config, {path: (_bytes(before), _bytes(after)) for path, (before, after) in files.items()})
        said += [
            f"{process} start again, and answer what they have accepted first" for process in planned.restarts
        ]
    except HubError as e:
        said.append(f"the change is on disk, and the processes could not be told: {e}")
    with drafts.staff.database.write() as c:
        drafts.staff.changes.say(c, made, id_, said)
        done = drafts.staff.changes.one(c, made)
    assert done is not None
    return done


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _processes(
    config: Config, root: Path, texts: Mapping[str, str | None]
) -> tuple[list[str], list[str], list[str]]:
    """Return what starts again, what a person has to do, and why the project could not be used at all."""
    try:
        changed = Config(**{**dict(config), "root": root, "data": config.data_dir.resolve()})
        _, channels = opened_project(changed)
    except HubError as e:
        return [], [], [str(e)]
    try:
        live: list[Channel] = load_channels(config.root)
    except HubError:
        live = []  # what is live cannot be read: whatever comes, everything starts anew
    again, whole = needs_restart((config.root, live), (root, channels), texts)
    return again, whole, cannot_listen(live, channels)


def _reversed(config: Config, found: Change, later: list[Change]) -> dict[str, tuple[str | None, str | None]]:
    """Return the files of a change with what they say now and what they said before it."""
    out: dict[str, tuple[str | None, str | None]] = {}
    reasons = []
    for path, (before, after) in found.files.items():
        now = live_text(config, path)
        if now == before:
            continue
        text: str | None = before
        if now != after:
            done = merge(after, before, now) if None not in (after, before, now) else None  # type: ignore[arg-type]
            if done is None or done.text is None:
                names = (
                    ", ".join(f"change {x.number} ({x.title})" for x in later if path in x.files)
                    or "somebody with an editor"
                )
                line = f" at line {done.clashes[0].theirs_line}" if done is not None else ""
                reasons.append(f"{path}{line} was changed later by {names}")
                continue
            text = done.text
        out[path] = (now, text)
    if reasons:
        raise HubError(
            f"change {found.number} cannot be taken back by itself",
            why="; ".join(reasons),
            remedy="take the later change back first, or write a draft that says what shall be",
        )
    if not out:
        raise HubError(
            f"change {found.number} is not in force any more", why="its files say what they said before"
        )
    return out
