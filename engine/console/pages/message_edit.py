"""Edit a message and send it in as a new entry: what changed byte for byte, tried first, asked with a reason.

In: the number of an entry, the text of a form or a file. Out: the difference and a dry run, then the new
entry, which names the one it was made from and counts as new. What is sent is what was tried: the form's
sealed token holds the digest of its bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Any

from engine.channels.message.editing import Editable, byte_diff, editable, edited_bytes
from engine.channels.message.wrote import tried
from engine.channels.replay import ask_replay
from engine.console.answers import Answer, Goto, Page, Refused
from engine.console.door import Door
from engine.console.pages.message import Opened, opened, page_of
from engine.console.pages.message_desk import Desk
from engine.console.pages.replay import once, reason_of, sealed_run, told, unsealed_run
from engine.console.visit import Visit
from engine.kernel.errors import HubError
from engine.kernel.message import Entry

__all__ = ["add"]

_MOST = 24 << 20  # bytes of a form


def _open(visit: Visit) -> tuple[Opened, Entry]:
    one = opened(visit, "message:edit")
    for permission in ("see.bodies", "edit.message"):
        visit.require(permission, one.about.channel)
    if one.body is None:
        raise Refused(409, one.problem or "There is no body to edit.")
    return one, one.body


def _given(visit: Visit, body: Entry, way: Editable | None) -> bytes:
    """Return the edited bytes that a form gives: a file, or its text. Raises Refused."""
    file = visit.files.get("file")
    if file is not None and file.body:
        return file.body
    if way is None:
        raise Refused(
            400, "This message can only be edited as a file.", "Download it, mend it, choose it here."
        )
    try:
        made = edited_bytes(visit.form.get("text", ""), way)
    except HubError as e:
        raise Refused(400, str(e)) from None
    if not made.strip():
        raise Refused(400, "The message is empty.")
    return made


def add(door: Door) -> None:
    """Add the pages."""
    desk = Desk.of(door)

    @door.get("/message/{entry:int}/edit", needs="edit.message")
    def edit(visit: Visit) -> Page:
        """Show a message as text that can be edited."""
        one, body = _open(visit)
        way = editable(body)
        return page_of(visit, one, "edit", **_facts(text=way.text if way else None))

    @door.post("/message/{entry:int}/edit", needs="edit.message", most=_MOST)
    def try_it(visit: Visit) -> Page:
        """Try an edited message, and show what it would do."""
        one, body = _open(visit)
        way = editable(body)
        made = _given(visit, body, way)
        if made == body.body:
            raise Refused(400, "Nothing was changed.", "A replay runs the message as it is.")
        return page_of(visit, one, "edit", **_tried(visit, desk, one, body, made, way))

    @door.post("/message/{entry:int}/edit/send", needs="edit.message", most=_MOST)
    def send(visit: Visit) -> Answer:
        """Send an edited message in as a new entry."""
        one, body = _open(visit)
        words, why = unsealed_run(visit, one.about.entry), reason_of(visit)
        made = _bytes_of(visit.form.get("bytes", ""))
        if hashlib.sha256(made).hexdigest() != words.get("body"):
            raise Refused(400, "These are not the bytes that were tried.", "Try the message again.")
        run = desk.try_live(visit.hub, body.id, made)
        if run.digest != words["digest"]:
            facts = _tried(visit, desk, one, body, made, editable(body))
            page = page_of(visit, one, "edit", **(facts | {"changed": True}))
            page.status = 409
            return page
        token = str(words["once"])
        if first := once(visit, token):
            return first
        return _sent(visit, body, made, token, why)


def _bytes_of(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _facts(**given: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {
        "text": None,
        "pieces": [],
        "run": None,
        "versions": [],
        "token": "",
        "bytes": "",
        "changed": False,
    }
    return empty | given


def _tried(
    visit: Visit, desk: Desk, one: Opened, body: Entry, made: bytes, way: Editable | None
) -> dict[str, Any]:
    run = desk.try_live(visit.hub, body.id, made)
    return _facts(
        text=visit.form.get("text", "") if way is not None and "text" in visit.form else None,
        pieces=byte_diff(body.body, made),
        run=told(run),
        versions=tried(run.changes),
        token=sealed_run(visit, run, body=hashlib.sha256(made).hexdigest()),
        bytes=base64.b64encode(made).decode(),
    )


def _sent(visit: Visit, body: Entry, made: bytes, token: str, why: str) -> Goto:
    hub = visit.hub
    try:
        new = ask_replay(hub.journal, body.id, visit.person.name, why, made, hub.channels())
    except HubError:
        hub.staff.once.undo(token)
        raise
    hub.staff.once.end(token, f"/message/{new.id}")
    visit.saw("message:resend", f"entry/{body.id}", f"{new.id}: {why}")
    return Goto(f"/message/{new.id}", f"Entry {new.id} is made from {body.id}.")
