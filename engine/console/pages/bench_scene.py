"""What lies on the bench: a message, a file that is being edited, the draft it belongs to.

In: a visit (an address with an entry, a sample or a file; or the form of the page). Out: a `Scene`, with
every right asked: the values of an entry only with bodies of its channel, once an hour in the audit while
somebody types.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from engine.channels.definition import Channel
from engine.channels.draftpaths import live_text, safe_path, text_digest
from engine.channels.drafts import OPEN, Drafts
from engine.channels.message.envelope import line_of
from engine.channels.trying import Changed, body_of_text, sample_body, text_of_body
from engine.console.answers import Refused
from engine.console.visit import Visit
from engine.formats.content import recognise
from engine.kernel.errors import HubError
from engine.staff.drafts import DraftHead

__all__ = ["Scene", "drafts_of", "files_of", "may_write", "scene_of"]

_AGAIN = 3600.0  # seconds after which looking at an entry's values is a look of its own
_LONGEST = 512 << 10  # bytes of a message that the bench takes: others wait while it is tried


@dataclass(slots=True)
class Scene:
    """All of it. `body` is empty where nothing is to be tried yet; `problem` says why not."""

    channel: Channel
    entry: int | None = None
    sample: str = ""
    message: str = ""
    body: bytes = b""
    format: str = ""
    charset: str = ""
    draft: int | None = None
    draft_title: str = ""
    file: str = ""
    text: str = ""  # as it is being edited
    base: str | None = None  # as the draft, or what is live, has it; None = there is no such file
    changed: Changed = field(default_factory=Changed)
    problem: str = ""
    look: str = ""  # sealed: this entry was opened by this person, and when

    @property
    def seen(self) -> str:
        """The digest of the text that editing began from."""
        return text_digest(self.base)

    @property
    def edited(self) -> bool:
        """Whether the text is not what the draft has."""
        return bool(self.file) and self.text != (self.base or "")


def drafts_of(visit: Visit) -> list[DraftHead]:
    """Return the drafts that can still change."""
    drafts = Drafts(visit.hub.config, visit.hub.staff)
    return drafts.all(limit=50, states=OPEN)


def files_of(visit: Visit) -> list[str]:
    """Return the files that the bench edits: maps of what comes in, and sites."""
    maps = visit.hub.maps()
    every = {m.place.file for own in maps.opened for m in own.maps.values()}
    every |= {m.place.file for own in maps.opened for m in own.messages.values()}
    return sorted({*every, *(s.file for s in maps.all_sites.values())})


def may_write(visit: Visit, path: str) -> None:
    """Refuse a file that the person may not draft: a channel's file is its channel's matter."""
    if path.startswith("channels/"):
        name = path.split("/")[1].removesuffix(".test.yaml").removesuffix(".yaml")
        visit.require("draft", name)
    else:
        visit.require("draft")


def scene_of(visit: Visit) -> Scene:
    """Read what lies on the bench from the address or the form. Raises Refused."""
    given = visit.form if visit.method == "POST" else visit.query
    scene = Scene(_channel(visit, given.get("channel", "")))
    _drafted(visit, scene, given)
    _written(visit, scene, given)
    try:
        _message(visit, scene, given)
    except HubError as e:
        scene.problem, scene.body = str(e), b""
    return scene


def _number(text: str, what: str) -> int | None:
    if not text.strip():
        return None
    if not (text.strip().isascii() and text.strip().isdigit()):
        raise Refused(400, f"{what} takes a number.")
    return int(text)


def _channel(visit: Visit, name: str) -> Channel:
    channels = [c for c in visit.hub.channels() if visit.may("draft", c.name)]
    if not channels:
        raise Refused(403, "Your roles let you draft on no channel.", "Ask somebody with the role admin.")
    if not name:
        return channels[0]
    found = next((c for c in channels if c.name == name), None)
    if found is None:
        visit.require("draft", name)
        raise Refused(404, f"There is no channel {name}.")
    return found


def _drafted(visit: Visit, scene: Scene, given: Any) -> None:
    """Take the draft that was chosen."""
    scene.draft = _number(given.get("draft", ""), "The draft")
    if scene.draft is None:
        return
    drafts = Drafts(visit.hub.config, visit.hub.staff)
    draft = drafts.get(scene.draft)
    if draft.state not in OPEN:
        raise Refused(409, f"Draft {draft.number} is {draft.state}.", "Choose another, or begin one.")
    scene.draft_title = draft.title
    scene.changed = Changed(draft.texts, drafts.root(draft.number) if draft.texts else None)


def _written(visit: Visit, scene: Scene, given: Any) -> None:
    """Take the file, and its text as it is being edited."""
    wanted = given.get("open", "") or given.get("file", "")
    if not wanted:
        return
    scene.file = safe_path(visit.hub.config, wanted.strip())
    config, texts = visit.hub.config, scene.changed.texts
    scene.base = texts[scene.file] if scene.file in texts else live_text(config, scene.file)
    same = given.get("file", "") == scene.file and given.get("of", "") == str(scene.draft or "")
    given_text = given.get("text") if same else None
    scene.text = scene.base or ""
    if given_text is not None:
        scene.text = given_text.replace("\r\n", "\n")
    if scene.edited:
        unsaved = (scene.file, scene.text)
        scene.changed = Changed(scene.changed.texts, scene.changed.root, unsaved)


def _message(visit: Visit, scene: Scene, given: Any) -> None:
    """Take the message: an entry or a sample as it is, or the text in the form where that says otherwise."""
    text = given.get("message", "").replace("\r\n", "\n")
    take = given.get("take", "")
    take = take if given.get(take, "").strip() else ""  # nothing named: what is there stays
    if len(text) > _LONGEST:
        raise Refused(413, "This message is too long for the bench.")
    scene.entry = _number(given.get("entry", ""), "The entry") if take != "sample" else None
    scene.sample = given.get("sample", "") if scene.entry is None else ""
    if take:
        text = ""
    if scene.entry is not None:
        _entry(visit, scene, given.get("look", ""))
    elif scene.sample:
        scene.format, scene.body = sample_body(visit.hub.config.root, scene.sample)
        scene.message = text_of_body(scene.body, scene.format)
    if text and text.strip("\n") != scene.message.strip("\n"):
        scene.message = text
        scene.format, scene.body = body_of_text(text)
        scene.charset = ""


def _entry(visit: Visit, scene: Scene, look: str) -> None:
    hub, number = visit.hub, scene.entry
    assert number is not None
    try:
        about = line_of(hub.journal, number)
    except HubError:
        raise Refused(404, f"There is no entry {number}.", "Find shows what there is.") from None
    visit.require("see.bodies", about.channel)
    who = visit.person.name
    known = hub.unseal(look) if look else {}
    fresh = known.get("entry") == number and known.get("who") == who
    if not fresh or time.time() - float(known.get("at", 0)) > _AGAIN:
        visit.saw("bench", f"entry/{number}")
        look = hub.seal({"entry": number, "who": who, "at": time.time()})
    scene.look = look
    entry = hub.journal.get(number)
    if entry is None:
        raise Refused(404, f"There is no entry {number}.")
    if len(entry.body) > _LONGEST:
        raise Refused(413, "This message is too long for the bench.", "Its message page shows it.")
    if len(entry.body) > _LONGEST:
        raise Refused(413, "This message is too long for the bench.", "Its message page shows it.")
    scene.body, scene.charset = entry.body, entry.charset
    scene.format = recognise(entry.body) or "hl7v2"
    scene.message = text_of_body(entry.body, scene.format, entry.charset)
    found = next((c for c in hub.channels() if c.name == entry.channel), None)
    if found is not None:
        scene.channel = found
