"""The bench: a message, the rows of the maps with what each does to it, the FHIR with what differs from live.

In: an entry, a sample or pasted text; a file of the maps in a draft, edited as one types. Out: one page that
works as a form with a button and, with the editor, by itself; completion and findings for the editor; drafts
written. Nothing is stored of the message, and nothing is live before a draft is approved.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict
from typing import Any

from engine.channels.drafts import Drafts
from engine.channels.linting import lint
from engine.channels.liverows import STATES
from engine.channels.trial import Trial
from engine.channels.trying import Changed, Desk, Tried, names_in, samples
from engine.console.answers import Answer, Page, Refused
from engine.console.door import Door
from engine.console.pages import bench_keep
from engine.console.pages.bench_scene import Scene, drafts_of, files_of, may_write, scene_of
from engine.console.visit import Visit
from engine.fhir import jsonio
from engine.kernel.errors import HubError
from engine.mapping.lineage import names_of_entries
from engine.mapping.offers import offers

__all__ = ["add"]

_MOST = 8 << 20
_SHOWN = 400  # differences that are listed


class Bench:
    """The pages, around one desk that keeps what is compiled."""

    def __init__(self) -> None:
        self.desk = Desk()

    def show(self, visit: Visit) -> Answer:
        """Show the bench with what its address names."""
        return self.page(visit, scene_of(visit))

    def attempt(self, visit: Visit) -> Answer:
        """Try the message with the text as it is now."""
        return self.page(visit, scene_of(visit))

    def page(self, visit: Visit, scene: Scene, said: str = "", bad: str = "") -> Page:
        """Return the page, or for the editor its results."""
        first = names_in(scene.file, scene.text, visit.hub.maps()) if scene.file else []
        tried = self._tried(visit, scene, first)
        facts = {
            "scene": _scene_facts(scene),
            "channels": [c.name for c in visit.hub.channels() if visit.may("draft", c.name)],
            "drafts": [{"number": d.number, "title": d.title} for d in drafts_of(visit)],
            "samples": samples(visit.hub.config.root),
            "files": files_of(visit),
            "result": _result_facts(tried, bool(visit.form.get("all", "")), first) if tried else None,
            "states": STATES,
            "once": secrets.token_urlsafe(16),
            "said": said,
            "bad": bad,
        }
        return Page("bench.html", facts, "Bench", fragment="bench_result.html")

    def _tried(self, visit: Visit, scene: Scene, first: list[str]) -> Tried | None:
        if not scene.body:
            return None
        live = visit.hub.maps()
        at = dict(
            name.split("@", 1) for name in visit.forms.get("at", []) if "@" in name
        )  # map -> the place whose rows are looked at
        return self.desk.tried(
            scene.body,
            scene.format,
            scene.channel,
            live,
            scene.changed,
            charset=scene.charset,
            at=at,
            first=first,
        )

    def complete(self, visit: Visit) -> Answer:
        """Offer what could be written where the cursor stands."""
        form = visit.form
        live, draft = visit.hub.maps(), _draft_texts(visit)
        try:
            maps = self.desk.maps(live, draft) if draft is not None else live
        except HubError:
            maps = live  # while a draft cannot be read, what is live is offered
        line, column = (int(n) if n.isdigit() else 0 for n in (form.get("line", ""), form.get("column", "")))
        start, found = offers(maps, form.get("path", ""), form.get("text", ""), line, column)
        return Page(
            "",
            {
                "from": start,
                "options": [asdict(o) | {"boost": 99 - min(n, 198)} for n, o in enumerate(found)],
            },
        )

    def lint(self, visit: Visit) -> Answer:
        """Say what is wrong with a text that nobody has saved."""
        form = visit.form
        draft = _draft_texts(visit) or Changed()
        path = form.get("path", "")
        changed = Changed(draft.texts, draft.root, (path, form.get("text", "").replace("\r\n", "\n")))
        found = lint(self.desk, visit.hub.maps(), changed)
        return Page("", {"findings": [asdict(f) for f in found]})

    def save(self, visit: Visit) -> Answer:
        """Write the text into a draft, or into a new one."""
        scene, form = scene_of(visit), visit.form
        if not scene.file:
            raise Refused(400, "Nothing is being edited.", "Open a file first.")
        may_write(visit, scene.file)
        drafts = Drafts(visit.hub.config, visit.hub.staff)
        try:
            if scene.draft is None:
                bench_keep.begin(visit, drafts, scene, form.get("title", ""))
            assert scene.draft is not None
            drafts.put(scene.draft, scene.file, scene.text, visit.person.name, form.get("seen"))
        except HubError as e:
            return self.page(visit, scene, bad=str(e))
        visit.saw("draft-written", f"draft/{scene.draft}", scene.file)
        draft = drafts.get(scene.draft)
        scene.base, scene.draft_title = scene.text, draft.title
        scene.changed = bench_keep.changed_of(drafts, draft)
        return self.page(visit, scene, said=f"Saved in draft {draft.number}: {draft.title}")


def add(door: Door) -> None:
    """Add the pages."""
    bench = Bench()
    door.get("/bench", needs="draft")(bench.show)
    door.post("/bench/try", needs="draft", most=_MOST)(bench.attempt)
    door.post("/bench/complete.json", needs="draft", most=_MOST)(bench.complete)
    door.post("/bench/lint.json", needs="draft", most=_MOST)(bench.lint)
    door.post("/bench/save", needs="draft", most=_MOST)(bench.save)
    bench_keep.add(door, bench.desk)


def _draft_texts(visit: Visit) -> Any:
    number = visit.form.get("context", "")
    if not (number.isascii() and number.isdigit()):
        return None
    drafts = Drafts(visit.hub.config, visit.hub.staff)
    return bench_keep.changed_of(drafts, drafts.get(int(number)))


# -- facts -------------------------------------------------------------------------------------------------


def _scene_facts(scene: Scene) -> dict[str, Any]:
    return {
        "channel": scene.channel.name,
        "entry": scene.entry,
        "sample": scene.sample,
        "message": scene.message,
        "format": scene.format,
        "draft": scene.draft,
        "draft_title": scene.draft_title,
        "file": scene.file,
        "text": scene.text,
        "seen": scene.seen,
        "edited": scene.edited,
        "problem": scene.problem,
        "look": scene.look,
    }


def _result_facts(tried: Tried, all_rows: bool, first: list[str]) -> dict[str, Any]:
    trial, live = tried.trial, tried.live
    touched = {d.path.split(".")[0].split("(")[0] for d in tried.differences}
    return {
        "type": trial.type,
        "site": trial.site,
        "revision": trial.revision,
        "refused": trial.refused,
        "fault": asdict(tried.fault) if tried.fault is not None else None,
        "parked": asdict(trial.parked) if trial.parked is not None else None,
        "maps": [{**asdict(m), "focus": m.map in first} for m in tried.maps],
        "all": all_rows,
        "resources": _resources(trial, touched),
        "compared": live is not None,
        "live_refused": live.refused if live is not None else "",
        "live_parked": live is not None and live.parked is not None,
        "differences": [
            {"path": d.path, "kind": d.kind, "left": _said(d.left), "right": _said(d.right)}
            for d in tried.differences[:_SHOWN]
        ],
        "more": max(0, len(tried.differences) - _SHOWN),
        "flags": [asdict(f) for f in trial.flags],
        "flags_new": [asdict(f) for f in tried.flags_new] if live is not None else [],
        "flags_gone": [asdict(f) for f in tried.flags_gone],
        "unmapped": [
            {"source": u.source, "value": u.value, "why": u.why, "state": u.state}
            for u in trial.report.unmapped
            if u.state in ("not mapped", "unreadable")
        ],
    }


def _said(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else jsonio.dumps(value).decode()


def _resources(trial: Trial, touched: set[str]) -> list[dict[str, Any]]:
    found = [e["resource"] for e in (trial.bundle or {}).get("entry", ())]
    return [
        {"name": name, "json": jsonio.dumps_pretty(body).decode(), "differs": name in touched}
        for name, body in zip(names_of_entries(found), found, strict=True)
    ]
