"""What a page of the console answers with: plain records, turned into HTTP by the door.

In: what a page found. Out: nothing here; `door.py` renders a Page as HTML or, at its `.json` twin, as the
same facts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "Download", "Fragment", "Goto", "Leave", "Page", "Refused"]


@dataclass(slots=True)
class Page:
    """A whole page. `facts` are what it shows and all that its JSON twin says: plain data or dataclasses.

    `fragment`: the template for htmx, where that asks for a part only. `headers` are added to the answer.
    """

    template: str
    facts: dict[str, Any]
    title: str = ""
    status: int = 200
    fragment: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    cookies: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Fragment:
    """A part of a page, for htmx."""

    template: str
    facts: dict[str, Any]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Goto:
    """Go to another page of the console, which shows the notice. `path` starts with one `/`."""

    path: str
    notice: str = ""
    cookies: tuple[tuple[str, str], ...] = ()  # name, value ("" takes it away)


@dataclass(slots=True)
class Leave:
    """Go to another site: where people sign in."""

    url: str
    cookies: tuple[tuple[str, str], ...] = ()


@dataclass(slots=True)
class Download:
    """A file. `inline` files are shown by the browser under a policy that lets them do nothing."""

    body: bytes | Iterator[bytes]
    media: str = "application/octet-stream"
    filename: str = "download"
    inline: bool = False


@dataclass(slots=True)
class Refused(Exception):
    """It cannot be done; `text` is for the person. May be returned or raised."""

    status: int
    text: str
    remedy: str = ""


Answer = Page | Fragment | Goto | Leave | Download | Refused
