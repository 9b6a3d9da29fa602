"""Templates of names, addresses and headers: words in braces stand for what is known of a parcel.

In: text such as `{type}/{received:%Y%m%d}/{control_id}.hl7`, and a parcel. Out: the text filled in, each
value made safe by who asks. A word that no parcel has is found when the settings are read, not when a message
waits. Who sees the result decides which words it may have: what only the sender vouches for may be patient
data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime

from engine.kernel.delivery import Parcel
from engine.kernel.errors import HubError

__all__ = ["FACTS", "PLAIN_FACTS", "Template", "file_safe"]

FACTS = ("key", "entry", "channel", "type", "event", "happened", "sender", "received", "control_id")
"""Every word a template may name. `happened` is the word of an event, such as `result.final`."""

PLAIN_FACTS = frozenset(FACTS) - {"control_id"}
"""The words that are no patient data. A sender may build its control ids from anything."""

_WORD = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_KEPT = re.compile(r"[^A-Za-z0-9_.-]")


class Template:
    """A text with words in braces; `{{` and `}}` stand for braces. Raises ValueError."""

    def __init__(self, text: str, allowed: Iterable[str] = FACTS) -> None:
        self.text = text
        self._parts: list[tuple[str, str, str]] = []  # (literal, fact, format)
        allowed = frozenset(allowed)
        end = 0
        for found in _WORD.finditer(text):
            self._literal(text[end : found.start()])
            end = found.end()
            if found[0] in ("{{", "}}"):
                self._literal(found[0][0])
                continue
            if found[1] is None:
                raise ValueError(f"`{found[0]}` stands alone; write `{found[0] * 2}` for the sign itself")
            name, _, form = found[1].partition(":")
            if name not in FACTS:
                raise ValueError(f"`{{{name}}}` is not known; there are {', '.join(FACTS)}")
            if name not in allowed:
                raise ValueError(f"`{{{name}}}` may be patient data and must not stand here")
            if form and name != "received":
                raise ValueError(f"`{{{found[1]}}}`: only `received` takes a format, such as %Y%m%d")
            self._parts.append(("", name, form))
        self._literal(text[end:])

    @property
    def facts(self) -> frozenset[str]:
        """The words it names."""
        return frozenset(fact for _, fact, _ in self._parts if fact)

    @property
    def head(self) -> str:
        """What stands before the first word in braces."""
        return self._parts[0][0] if self._parts and not self._parts[0][1] else ""

    @property
    def tail(self) -> str:
        """What stands from the first word in braces on, each word as one letter: the shape of it."""
        rest = self._parts[1:] if self.head else self._parts
        return "".join(literal or "x" for literal, _, _ in rest)

    def fill(self, parcel: Parcel, safe: Callable[[str], str]) -> str:
        """Fill it in; `safe` is given each value. Raises HubError where the parcel has no such value."""
        return "".join(
            literal if not fact else safe(self._value(parcel, fact, form))
            for literal, fact, form in self._parts
        )

    def _literal(self, text: str) -> None:
        if not text:
            return
        if self._parts and not self._parts[-1][1]:
            text = self._parts.pop()[0] + text
        self._parts.append((text, "", ""))

    def _value(self, parcel: Parcel, fact: str, form: str) -> str:
        own = {"key": parcel.key, "entry": str(parcel.entry), "channel": parcel.channel}
        value = own.get(fact) or parcel.facts.get(fact, "")
        if not value.strip():
            raise HubError(
                f"it has no {fact.replace('_', ' ')}", where=self.text, remedy="name {key} in the template"
            )
        if not form:
            return value
        try:
            return datetime.fromisoformat(value).strftime(form)
        except ValueError:
            raise HubError("the time it was received cannot be written so", where=self.text) from None


def file_safe(value: str) -> str:
    """Make a value part of a file name: letters, digits, `_.-`; no dot in front; at most 80 characters."""
    return _KEPT.sub("_", value).lstrip(".")[:80] or "_"
