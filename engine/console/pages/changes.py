"""Changes: drafts of channels, maps and tables; their checks, their impact, who approves, live and back.

In: drafts, forms. Out: the list, what went live, and one change with everything an approver needs: what
differs file by file, what linter and tests say, what it would have changed in the last messages. Values of
messages are shown only to who may see bodies on the channels they came over.
"""

from __future__ import annotations

from typing import Any

from engine.channels import changejobs
from engine.channels.deciding import approve, ask, send_back
from engine.channels.draftpaths import safe_path, text_digest
from engine.channels.drafts import STATES, Draft
from engine.channels.gitting import history
from engine.channels.golive import apply, back
from engine.console.answers import Answer, Fragment, Goto, Page, Refused
from engine.console.changefacts import (
    drafts_of,
    edit_facts,
    facts_of,
    job_facts,
    may_draft,
    number_of,
    reached,
    require_all,
)
from engine.console.door import Door
from engine.console.visit import Visit
from engine.kernel.errors import HubError

__all__ = ["add"]

_PAGE = 50
_TABS = {
    "open": ("draft", "checked", "asked", "approved"),
    "asked": ("asked",),
    "live": ("live",),
    "ended": ("rolled back", "thrown away"),
    "all": STATES,
}


def add(door: Door) -> None:
    """Add the pages."""

    @door.get("/changes", needs="see.maps")
    def changes(visit: Visit) -> Page:
        """List drafts and changes."""
        return Page("changes.html", _list(visit), "Changes")

    @door.post("/changes", needs="draft")
    def begin(visit: Visit) -> Goto:
        """Begin a draft."""
        draft = drafts_of(visit).begin(visit.form.get("title", ""), visit.person.name)
        visit.saw("draft-begun", f"draft/{draft.number}")
        return Goto(f"/changes/{draft.number}", "Draft begun. Choose what it shall change.")

    @door.get("/changes/history", needs="see.maps")
    def past(visit: Visit) -> Page:
        """List what went live and what was taken back."""
        return Page("changes_history.html", _history(visit), "What went live")

    @door.get("/changes/{number}", needs="see.maps")
    def change(visit: Visit) -> Page:
        """Show one change."""
        return Page("change.html", facts_of(visit, _draft(visit)), "Change")

    @door.get("/changes/{number}/jobs", needs="see.maps", twin=False, stirs=False)
    def jobs(visit: Visit) -> Fragment:
        """Show how far checks and impact are."""
        return Fragment("change_jobs.html", job_facts(visit, _draft(visit)))

    @door.get("/changes/{number}/edit", needs="draft", twin=False)
    def edit(visit: Visit) -> Page:
        """Show a file of a draft to be written on."""
        draft = _draft(visit)
        return Page("change_edit.html", edit_facts(visit, draft, visit.query.get("path", "")), "Edit")

    @door.post("/changes/{number}/edit", needs="draft", most=20 << 20)
    def write(visit: Visit) -> Answer:
        """Write a file of a draft, take it away, or leave it as it is live."""
        draft, drafts = _draft(visit), drafts_of(visit)
        path = safe_path(drafts.config, visit.form.get("path", ""))
        may_draft(visit, path)
        what = visit.form.get("do", "write")
        if what == "drop":
            drafts.drop(draft.number, path, visit.person.name)
        elif what == "remove":
            drafts.put(draft.number, path, None, visit.person.name)
        elif what == "resolve":
            drafts.resolve(draft.number, path, visit.form.get("text", ""), visit.person.name)
        else:
            seen = visit.form.get("seen") or text_digest(drafts.text(draft.number, path))
            drafts.put(draft.number, path, visit.form.get("text", ""), visit.person.name, seen)
        visit.saw(f"draft-{what}", f"draft/{draft.number}", path)
        return Goto(f"/changes/{draft.number}", f"{path}: saved in the draft.")

    @door.post("/changes/{number}/do", needs="see.maps")
    def act(visit: Visit) -> Goto:
        """Check, look at the impact, ask, comment, bring in live changes, throw away."""
        draft = _draft(visit)
        return Goto(f"/changes/{draft.number}", _act(visit, draft, visit.form.get("do", "")))

    @door.post("/changes/{number}/decide", needs="changes.approve")
    def decide(visit: Visit) -> Goto:
        """Approve or send back, bring live, take back."""
        draft = _draft(visit)
        require_all(visit, "changes.approve", reached(visit, draft))
        return Goto(f"/changes/{draft.number}", _decide(visit, draft, visit.form.get("do", "")))


def _draft(visit: Visit) -> Draft:
    try:
        return drafts_of(visit).get(number_of(visit))
    except HubError:
        raise Refused(404, "There is no such draft.") from None


def _list(visit: Visit) -> dict[str, Any]:
    tab = visit.query.get("tab", "open")
    tab = tab if tab in _TABS else "open"
    before = visit.query.get("before", "")
    found = drafts_of(visit).all(int(before) if before.isdecimal() else None, _PAGE + 1, _TABS[tab])
    with visit.hub.staff.database.read() as c:
        waiting = len(visit.hub.staff.drafts.heads(c, states=("asked",), limit=100))
    return {
        "tab": tab,
        "tabs": [
            {"key": key, "word": word, "count": waiting if key == "asked" else None}
            for key, word in (
                ("open", "Open"),
                ("asked", "To approve"),
                ("live", "Live"),
                ("ended", "Ended"),
                ("all", "All"),
            )
        ],
        "drafts": found[:_PAGE],
        "next": found[_PAGE - 1].number if len(found) > _PAGE else None,
    }


def _history(visit: Visit) -> dict[str, Any]:
    before = visit.query.get("before", "")
    with visit.hub.staff.database.read() as c:
        rows = visit.hub.staff.changes.page(c, int(before) if before.isdecimal() else None, _PAGE + 1)
    shown = [
        {
            "number": r.number,
            "draft": r.draft,
            "title": r.title,
            "kind": r.kind,
            "at": r.at,
            "who": r.who,
            "approved_by": r.approved_by,
            "commit": r.commit,
            "files": sorted(r.files),
            "said": r.said,
        }
        for r in rows[:_PAGE]
    ]
    return {
        "changes": shown,
        "next": rows[_PAGE - 1].number if len(rows) > _PAGE else None,
        "commits": history(visit.hub.config.root) if not before else [],
    }


def _act(visit: Visit, draft: Draft, what: str) -> str:
    drafts, who, number = drafts_of(visit), visit.person.name, draft.number
    if what == "comment":
        if not (visit.may("draft") or visit.may("changes.approve")):
            visit.require("draft")
        drafts.comment(number, visit.form.get("text", ""), who)
        visit.saw("change-comment", f"draft/{number}")
        return "Comment kept."
    if what in ("checks", "impact", "stop"):
        if not (visit.may("draft") or visit.may("changes.approve")):
            visit.require("draft")
        visit.saw(f"change-{what}", f"draft/{number}")
        return _job(visit, draft, what)
    for path in draft.files or [""]:
        may_draft(visit, path)
    visit.saw(f"change-{what or 'nothing'}", f"draft/{number}")
    if what == "ask":
        ask(drafts, number, who, visit.form.get("text", "").strip()[:2000])
        return "Somebody else can approve it now."
    if what == "rebase":
        drafts.rebase(number, who)
        return "What had changed live is in the draft now. Check it again."
    if what == "throw":
        drafts.throw_away(number, who)
        return "The draft is thrown away; nothing live has changed."
    raise Refused(400, "It is not said what to do.")


def _job(visit: Visit, draft: Draft, what: str) -> str:
    config = visit.hub.config
    if what == "stop":
        for kind in changejobs.KINDS:
            changejobs.stop(config, kind, draft.number)
        return "It ends in a moment."
    last = _whole(visit.form.get("last", "1000"), 1, 100_000)
    days = _whole(visit.form.get("days", "") or "0", 0, 3650)
    changejobs.start(config, what, draft, visit.person.name, last, days)
    return "The checks run." if what == "checks" else "The messages are run through both versions."


def _decide(visit: Visit, draft: Draft, what: str) -> str:
    drafts, who, number = drafts_of(visit), visit.person.name, draft.number
    text = visit.form.get("text", "").strip()[:2000]
    visit.saw(f"change-{what or 'nothing'}", f"draft/{number}", draft.digest)
    if what == "approve":
        approve(drafts, number, who, visit.form.get("digest", ""), text)
        return "Approved, this content and no other."
    if what == "send back":
        send_back(drafts, number, who, text)
        return "Sent back to its authors."
    if what == "live":
        done = apply(drafts, number, who)
        return "; ".join(("It is live: every worker takes it over between two messages", *done.said)) + "."
    if what == "back":
        change = _whole(visit.form.get("change", ""), 1, 1 << 60)
        with drafts.staff.database.read() as c:
            found = drafts.staff.changes.one(c, change)
        if found is None or found.draft != number:
            raise Refused(404, "There is no such change.")
        done = back(drafts, change, who)
        return "; ".join(("Taken back: the files say again what they said before", *done.said)) + "."
    raise Refused(400, "It is not said what to do.")


def _whole(text: str, least: int, most: int) -> int:
    if not text.isascii() or not text.isdecimal() or not least <= int(text) <= most:
        raise Refused(400, f"Write a whole number from {least} to {most}.")
    return int(text)
