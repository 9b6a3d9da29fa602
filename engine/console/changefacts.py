"""What the page of one change shows, and nothing the person may not see.

In: a visit and a draft. Out: facts: files with what differs, checks, impact with entries to open (values only
where the person may see bodies on all channels they came over), people's words, what is in force where.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import unified_diff
from typing import Any

from engine.channels import changejobs
from engine.channels.changejobs import impact_report, job_of
from engine.channels.deciding import channels_reached, checks_of, lone_allowed
from engine.channels.draftpaths import safe_path, text_digest
from engine.channels.drafts import OPEN, Draft, Drafts, Standing
from engine.channels.golive import plan
from engine.channels.impactgroups import Group
from engine.channels.renewal import announced_project, in_force, project_digest
from engine.console.answers import Refused
from engine.console.visit import Visit
from engine.kernel.errors import HubError

__all__ = [
    "drafts_of",
    "edit_facts",
    "facts_of",
    "job_facts",
    "may_draft",
    "number_of",
    "reached",
    "require_all",
]

_LARGE = 200_000  # characters of a file that is shown side by side
_OF_FILES = frozenset({"begin", "put", "drop", "rebase", "void"})
"""What the hub itself notes of a draft: its text is a path, or a state."""
_LINES = 1500  # of what differs, in one file


def drafts_of(visit: Visit) -> Drafts:
    """Return the drafts of the project."""
    return Drafts(visit.hub.config, visit.hub.staff)


def number_of(visit: Visit) -> int:
    """Return the draft's number of the address."""
    text = visit.path["number"]
    if not text.isascii() or not text.isdecimal() or len(text) > 15:
        raise Refused(404, "There is no such draft.")
    return int(text)


def may_draft(visit: Visit, path: str) -> None:
    """Refuse who may not draft a file: a channel's file is its channel's matter."""
    if path.startswith("channels/"):
        visit.require("draft", path.split("/")[1].removesuffix(".yaml").removesuffix(".test"))
    else:
        visit.require("draft")


def reached(visit: Visit, draft: Draft) -> list[str]:
    """Return the channels whose people have a say in it."""
    try:
        channels = visit.hub.channels()
    except HubError:
        channels = visit.hub.first
    return channels_reached(draft, channels)


def require_all(visit: Visit, permission: str, channels: Iterable[str]) -> None:
    """Refuse who may not on one of the channels."""
    visit.require(permission)
    for channel in channels:
        visit.require(permission, channel)


def facts_of(visit: Visit, draft: Draft) -> dict[str, Any]:
    """Return everything the page of a change shows."""
    drafts = drafts_of(visit)
    standing = drafts.standing(draft.number) if draft.state in OPEN else []
    with drafts.staff.database.read() as c:
        changes = drafts.staff.changes.of(c, draft.number)
    channels = reached(visit, draft)
    person = visit.person.name
    decides = all(visit.may("changes.approve", channel) for channel in channels)
    lone = lone_allowed(drafts)
    return {
        **job_facts(visit, draft),
        "number": draft.number,
        "heading": draft.title,
        "author": draft.author,
        "authors": sorted(draft.authors),
        "state": draft.state,
        "begun": draft.begun,
        "changed": draft.changed,
        "digest": draft.digest,
        "open": draft.state in OPEN,
        "files": _files(draft, {s.path: s for s in standing}),
        "moved": [s.path for s in standing if s.state != "same"],
        "clashes": [s.path for s in standing if s.state == "clash"],
        "events": _events(visit, draft),
        "channels": channels,
        "may_approve": decides and (person not in draft.authors or lone),
        "may_decide": decides,
        "own": person in draft.authors,
        "lone": lone,
        "plan": _plan(drafts, draft),
        "changes": [
            {
                "number": x.number,
                "kind": x.kind,
                "at": x.at,
                "who": x.who,
                "approved_by": x.approved_by,
                "commit": x.commit,
                "said": x.said,
            }
            for x in reversed(changes)
        ],
        "in_force": _in_force(visit) if changes else [],
    }


def job_facts(visit: Visit, draft: Draft) -> dict[str, Any]:
    """Return how far checks and impact are, and what they found about exactly this content."""
    drafts, config = drafts_of(visit), visit.hub.config
    live = project_digest(config.root)
    jobs = {kind: job_of(config, kind, draft.number) for kind in changejobs.KINDS}
    running = any(j is not None and j.state == "running" for j in jobs.values())
    checks = checks_of(drafts, draft)
    impact = impact_report(drafts, draft)
    return {
        "number": draft.number,
        "running": running,
        "jobs": jobs,
        "checks": checks,
        "checks_old": draft.state in OPEN and checks is not None and checks.live != live,
        "impact": None if impact is None else _impact(visit, draft, *impact, live=live),
        "changes_nothing": not draft.files,
        "open": draft.state in OPEN,
    }


def edit_facts(visit: Visit, draft: Draft, path: str) -> dict[str, Any]:
    """Return a file of a draft as it is to be written on."""
    drafts = drafts_of(visit)
    path = safe_path(visit.hub.config, path.strip())
    may_draft(visit, path)
    text = drafts.text(draft.number, path)
    found = next((s for s in drafts.standing(draft.number) if s.path == path), None)
    return {
        "number": draft.number,
        "heading": draft.title,
        "path": path,
        "text": text or "",
        "new": text is None,
        "seen": text_digest(text),
        "clash": found is not None and found.state == "clash",
        "live": (found.live or "") if found is not None and found.state == "clash" else "",
    }


def _files(draft: Draft, standing: dict[str, Standing]) -> list[dict[str, Any]]:
    out = []
    for path, file in draft.files.items():
        before, after = file.base or "", file.text or ""
        differs = list(
            unified_diff(before.splitlines(), after.splitlines(), "live", "draft", lineterm="", n=3)
        )
        small = len(before) + len(after) <= _LARGE
        found = standing.get(path)
        out.append(
            {
                "path": path,
                "kind": "new" if file.base is None else "gone" if file.text is None else "changed",
                "standing": found.state if found is not None else "",
                "who": file.who,
                "at": file.at,
                "diff": differs[:_LINES],
                "cut": max(0, len(differs) - _LINES),
                "before": before if small else None,
                "after": after if small else None,
                "clashes": [
                    {"mine": x.mine, "theirs": x.theirs, "line": x.theirs_line}
                    for x in (found.clashes if found is not None else ())
                ],
            }
        )
    return out


def _events(visit: Visit, draft: Draft) -> list[dict[str, Any]]:
    """Return what was done and said, newest first; what people wrote may be about a patient."""
    readable = visit.may("see.bodies")
    hidden = "" if readable else "(a text that you may not see)"
    if readable and any(e.text and e.what not in _OF_FILES for e in draft.events):
        visit.saw("change-texts", f"draft/{draft.number}")
    return [
        {"at": e.at, "who": e.who, "what": e.what}
        | {"text": e.text if e.what in _OF_FILES or not e.text else hidden or e.text}
        for e in reversed(draft.events)
    ]


def _impact(visit: Visit, draft: Draft, at: int, beside: str, found: Any, live: str) -> dict[str, Any]:
    shown = found.as_json(values=False)
    seen = False
    for group, said in zip(found.groups, shown["groups"], strict=True):
        seen = _values(visit, group, said) or seen
    if seen:
        visit.saw("change-values", f"draft/{draft.number}")
    return {**shown, "at": at, "old": draft.state in OPEN and beside != live}


def _values(visit: Visit, group: Group, said: dict[str, Any]) -> bool:
    """Put values of messages in where the person may see them; returns whether any is there."""
    some = False
    for came, row in zip(group.effects, said["effects"], strict=True):
        row["values"] = []
        if came.values and all(visit.may("see.bodies", channel) for channel in came.channels):
            row["values"] = [{"was": was, "becomes": becomes, "count": n} for was, becomes, n in came.values]
            some = True
    return some


def _plan(drafts: Drafts, draft: Draft) -> dict[str, Any] | None:
    if draft.state != "approved":
        return None
    made = plan(drafts, draft.number)
    return {"problems": made.problems, "restarts": made.restarts, "by_hand": made.by_hand}


def _in_force(visit: Visit) -> list[dict[str, Any]]:
    """Return what each worker has in force: the newest change, or why not."""
    announced = announced_project(visit.hub.config)
    return [
        {
            "process": n["process"],
            "at": n["at"],
            "newest": n["digest"] == announced,
            "trouble": n["trouble"],
        }
        for n in in_force(visit.hub.config)
        if str(n["process"]).startswith("worker") or n["trouble"]
    ]
