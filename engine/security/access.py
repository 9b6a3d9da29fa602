"""Who may do what: permissions, the roles that bundle them, and people with roles on some channels.

In: a person's grants, what is asked for, the channel it is about. Out: yes or no, and a sentence that says
why not. Data only, no clock and no database: what a session or a broken glass adds is in the `Person` given.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

__all__ = ["OPEN", "PERMISSIONS", "PHI", "ROLES", "SELF", "Grant", "Person"]

OPEN, SELF = "open", "self"
"""What needs nobody to be signed in, and what anybody signed in may do."""

PERMISSIONS: dict[str, str] = {
    OPEN: "anybody, without signing in",
    SELF: "anybody who is signed in",
    "see.status": "see how channels and the hub are doing",
    "see.messages": "see lists of messages, without patient data",
    "see.bodies": "see messages and records, with patient data",
    "replay": "run messages again",
    "edit.message": "edit a message and send it in as a new one",
    "work": "assign, snooze and comment work",
    "see.maps": "see maps, code tables and changes",
    "draft": "write drafts of channels, maps and tables",
    "codes.propose": "say what a code means",
    "codes.approve": "approve what a code means",
    "changes.approve": "approve a change, bring it live, take it back",
    "see.senders": "see what senders send, without patient data",
    "see.studies": "see imaging studies, with patient data",
    "bind.studies": "say whose study it is",
    "critical.take": "take over critical results, with one's name",
    "alerts.edit": "acknowledge and silence alarms, try notices",
    "see.audit": "see who saw or did what",
    "export": "take lists and messages out as files",
    "admin.users": "manage people and their roles",
    "admin.keys": "manage the keys of programs",
    "admin.settings": "see settings, back up, verify",
    "break.glass": "open patient data for a while in an emergency",
    "fhir.read": "read records as a program",
    "dicomweb.read": "read images as a program",
    "dicomweb.store": "store images as a program",
}

PHI = frozenset(
    {"see.bodies", "see.studies", "edit.message", "see.audit", "export", "fhir.read", "dicomweb.read"}
)
"""Permissions whose use shows patient data: every use is in the audit."""

_VIEWER = frozenset({"see.status", "see.messages", "see.maps", "see.senders"})
_OPERATOR = _VIEWER | {
    *("see.bodies", "replay", "work", "see.studies", "export", "alerts.edit", "critical.take", "break.glass"),
}
_ANALYST = _OPERATOR | {"edit.message", "draft", "codes.propose", "bind.studies"}
_APPROVER = _VIEWER | {
    *("see.bodies", "see.studies", "work", "codes.approve", "changes.approve", "break.glass"),
}

ROLES: dict[str, frozenset[str]] = {
    "viewer": _VIEWER,
    "operator": _OPERATOR,
    "analyst": _ANALYST,
    "approver": _APPROVER,
    "auditor": frozenset({"see.status", "see.audit", "export"}),
    "admin": _VIEWER
    | {"alerts.edit", "see.audit", "admin.users", "admin.keys", "admin.settings", "break.glass"},
}
"""What each role may do. Nobody sees a body by managing the hub: that is a role of its own."""


@dataclass(frozen=True, slots=True)
class Grant:
    """A role on channels; `*`, `lab_*`."""

    role: str
    channels: tuple[str, ...] = ("*",)

    def covers(self, channel: str) -> bool:
        """Say whether the grant holds for a channel."""
        return any(fnmatchcase(channel, pattern) for pattern in self.channels)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who is signed in. `glass` holds the channels whose patient data a broken glass has opened."""

    name: str
    display: str = ""
    grants: tuple[Grant, ...] = ()
    glass: tuple[str, ...] = ()

    def may(self, permission: str, channel: str | None = None) -> bool:
        """Say whether the person may do something on a channel; without one: on any channel at all."""
        if permission in (OPEN, SELF):
            return True
        return self.by_role(permission, channel) or self.by_glass(permission, channel)

    def by_role(self, permission: str, channel: str | None = None) -> bool:
        """Say whether a role gives it."""
        return any(
            permission in ROLES.get(grant.role, frozenset()) and (channel is None or grant.covers(channel))
            for grant in self.grants
        )

    def by_glass(self, permission: str, channel: str | None = None) -> bool:
        """Say whether a broken glass gives it: to look, nothing else."""
        if permission != "see.bodies":
            return False
        return bool(self.glass) if channel is None else any(fnmatchcase(channel, g) for g in self.glass)

    def everywhere(self, permission: str) -> bool:
        """Say whether it holds for every channel, those to come and those that are gone included."""
        return any(
            permission in ROLES.get(grant.role, frozenset()) and "*" in grant.channels
            for grant in self.grants
        )

    def channels(self, permission: str, known: Iterable[str]) -> list[str]:
        """Return those of the channels on which the person may do it."""
        return [channel for channel in known if self.may(permission, channel)]
