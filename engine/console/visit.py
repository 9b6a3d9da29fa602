"""One request of a person at the console: who asks, what was given, what they may do, what they were shown.

In: the person, the way they came, path, query and form. Out: rights, and rows for the audit that the door
writes before the answer leaves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.console.answers import Refused
from engine.security.access import OPEN, PERMISSIONS, Person
from engine.store.audit import Access

if TYPE_CHECKING:
    from engine.console.hub import Hub

__all__ = ["Seat", "Upload", "Visit"]


@dataclass(frozen=True, slots=True)
class Seat:
    """A person's session: `csrf` is what every form of theirs carries, `at` when they last proved who they
    are (ms)."""

    person: Person
    csrf: str
    session: str = ""
    at: int = 0
    account: int = 0
    must: str = ""  # what they have to do before anything else


@dataclass(frozen=True, slots=True)
class Upload:
    """A file given with a form."""

    name: str
    body: bytes


@dataclass(slots=True)
class Visit:
    """What a page function is given."""

    hub: Hub
    seat: Seat | None
    method: str = "GET"
    url: str = "/"  # path and query, as asked
    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] = field(default_factory=dict)
    forms: Mapping[str, list[str]] = field(default_factory=dict)
    files: Mapping[str, Upload] = field(default_factory=dict)
    cookies: Mapping[str, str] = field(default_factory=dict)
    peer: str = ""
    agent: str = ""
    htmx: bool = False
    json: bool = False
    base: str = ""  # e.g. http://127.0.0.1:8080
    accesses: list[Access] = field(default_factory=list)
    glass: bool = False  # whether something was seen by a broken glass only

    @property
    def person(self) -> Person:
        """Who asks; a page open to anybody looks at `seat` instead."""
        if self.seat is None:
            raise Refused(401, "Nobody is signed in.")
        return self.seat.person

    def may(self, permission: str, channel: str | None = None) -> bool:
        """Say whether the person may do something (on a channel)."""
        if self.seat is None:
            return permission == OPEN
        person = self.seat.person
        if person.by_role(permission, channel):
            return True
        by_glass = person.by_glass(permission, channel)
        self.glass = self.glass or by_glass
        return by_glass or person.may(permission, channel)

    def require(self, permission: str, channel: str | None = None) -> None:
        """Refuse whoever may not; the refusal is in the audit."""
        if not self.may(permission, channel):
            self.saw("refused", permission if channel is None else f"{permission} channel/{channel}")
            where = f" on channel {channel}" if channel is not None else ""
            raise Refused(
                403,
                f"Your roles do not let you {PERMISSIONS[permission]}{where}.",
                "Somebody with the role admin can give you one that does.",
            )

    def saw(self, action: str, what: str, detail: str = "") -> None:
        """Note for the audit what was seen or done; `what` never holds patient data, `detail` is sealed."""
        who = self.seat.person.name if self.seat is not None else "-"
        self.accesses.append(Access(who, f"console:{action}", what, detail))

    def audit_rows(self) -> list[Access]:
        """Return what was noted; what only a broken glass let see says so."""
        if not self.glass:
            return self.accesses
        return [Access(a.who, f"{a.action}:glass", a.what, a.detail) for a in self.accesses]
