"""What the bench leaves behind: drafts it began, and tests that hold what was found.

In: the form of the bench. Out: a draft; a message without anybody's data, shown before it is kept, that
becomes a test of its channel in the draft, run at once.
"""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import quote

from engine.channels.definition import load_channels
from engine.channels.drafts import Draft, Drafts
from engine.channels.test_files import run_channel_tests
from engine.channels.testwriting import suggested, with_test
from engine.channels.trying import Changed, Desk, body_of_text, sample_body, samples
from engine.console.answers import Answer, Goto, Page, Refused
from engine.console.door import Door
from engine.console.pages.bench_scene import Scene, may_write, scene_of
from engine.console.visit import Visit
from engine.formats.hl7v2.pseudonym import pseudonymised
from engine.kernel.errors import HubError

__all__ = ["add", "begin", "changed_of"]


def changed_of(drafts: Drafts, draft: Draft) -> Changed:
    """Return what a draft changes, as trying wants it."""
    return Changed(draft.texts, drafts.root(draft.number) if draft.texts else None)


def begin(visit: Visit, drafts: Drafts, scene: Scene, title: str) -> None:
    """Begin a draft for what is being edited; the same form begins only one."""
    once = visit.hub.staff.once
    token = f"bench {visit.person.name} {visit.form.get('once', '')}"
    before = once.begin(token)
    if before is not None and before.result:
        scene.draft = int(before.result)
        return
    try:
        scene.draft = drafts.begin(title, visit.person.name).number
    except HubError:
        once.undo(token)
        raise
    once.end(token, str(scene.draft))
    visit.saw("draft-begun", f"draft/{scene.draft}")


class Keep:
    """The two pages of "save as a test"."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def preview(self, visit: Visit) -> Answer:
        """Show the message without anybody's data, and what the test would expect."""
        scene = scene_of(visit)
        if not scene.body:
            raise Refused(400, "There is no message on the bench.", "Choose one first.")
        if scene.edited:
            raise Refused(409, "The text is not saved.", "Save it in a draft first: the test goes there too.")
        facts: dict[str, Any] = {"send": "", "kept": [], "problem": ""}
        message = scene.message
        if scene.sample and scene.body == _sample(visit, scene):
            facts["send"] = f"sample_messages/{scene.sample}"
        else:
            made = pseudonymised(message, secrets.token_bytes(32))
            message, facts["kept"] = made.text, list(made.kept)
        return self._page(visit, scene, message, self._expected(visit, scene, message), facts)

    def _expected(self, visit: Visit, scene: Scene, message: str) -> str:
        format, body = body_of_text(message)
        live = visit.hub.maps()
        tried = self.desk.tried(body, format, scene.channel, live, scene.changed)
        if tried.trial.refused:
            raise Refused(409, tried.trial.refused)
        return suggested(tried.trial, tried.differences)

    def _page(self, visit: Visit, scene: Scene, message: str, expect: str, facts: dict[str, Any]) -> Page:
        known = {
            "channel": scene.channel.name,
            "draft": scene.draft,
            "draft_title": scene.draft_title,
            "file": scene.file,
            "entry": scene.entry,
            "message": message,
            "expect": expect,
            "name": visit.form.get("name", ""),
            "new_title": visit.form.get("title", ""),
            "once": secrets.token_urlsafe(16),
        }
        return Page("bench_test.html", known | facts, "Save as a test")

    def save(self, visit: Visit) -> Answer:
        """Write the test into the draft, and run it."""
        scene, form = scene_of(visit), visit.form
        channel = scene.channel.name
        path = f"channels/{channel}.test.yaml"
        may_write(visit, path)
        message, expect, send = form.get("test", ""), form.get("expect", ""), form.get("send", "")
        facts = {"send": send, "kept": [], "problem": ""}
        if send not in {f"sample_messages/{name}" for name in samples(visit.hub.config.root)}:
            send = ""
            if form.get("nobody") != "yes":
                facts["problem"] = "Read the message, and say that nothing in it is anybody's."
                return self._page(visit, scene, message, expect, facts)
        drafts = Drafts(visit.hub.config, visit.hub.staff)
        try:
            if scene.draft is None:
                begin(visit, drafts, scene, form.get("title", ""))
            assert scene.draft is not None
            old = drafts.text(scene.draft, path)
            text = with_test(old, path, channel, form.get("name", ""), expect, message=message, send=send)
            drafts.put(scene.draft, path, text, visit.person.name)
        except HubError as e:
            facts["problem"] = str(e)
            return self._page(visit, scene, message, expect, facts)
        visit.saw("test-written", f"draft/{scene.draft}", path)
        return Goto(f"/bench?draft={scene.draft}{_rest(scene)}", self._ran(visit, drafts, scene, form))

    def _ran(self, visit: Visit, drafts: Drafts, scene: Scene, form: Any) -> str:
        """Run the test in the draft; says how it went."""
        assert scene.draft is not None
        root = drafts.root(scene.draft)
        name = " ".join(form.get("name", "").split())
        try:
            maps = self.desk.maps(visit.hub.maps(), changed_of(drafts, drafts.get(scene.draft)))
            results = run_channel_tests(root, maps, load_channels(root), scene.channel.name)
            result = next(r for r in [*results][::-1] if r.name == name)
        except HubError as e:
            return f"The test is in draft {scene.draft}; it cannot be run: {e}"
        if result.differences:
            return f"The test is in draft {scene.draft}, and fails: {'; '.join(result.differences)[:500]}"
        return f"The test is in draft {scene.draft}, and passes."


def _rest(scene: Scene) -> str:
    """Return the part of an address that says what else lies on the bench."""
    more = {"entry": scene.entry or "", "sample": scene.sample, "file": scene.file}
    return "".join(f"&{k}={quote(str(v))}" for k, v in more.items() if v)


def _sample(visit: Visit, scene: Scene) -> bytes:
    return sample_body(visit.hub.config.root, scene.sample)[1]


def add(door: Door, desk: Desk) -> None:
    """Add the pages."""
    keep = Keep(desk)
    door.post("/bench/test", needs="draft", most=8 << 20)(keep.preview)
    door.post("/bench/test/save", needs="draft", most=8 << 20)(keep.save)
