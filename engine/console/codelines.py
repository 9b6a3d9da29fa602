"""Codes that no table knows, as pages show them: their values for those only who may see bodies.

In: sightings, the visit. Out: rows. A sender belongs to the channels it has sent on; a code, its text and
what stood beside it are shown where the person may see bodies on all of them, and whoever may not sees field,
sender and counts. A code of an imported list, which nobody has sent, needs the right to see bodies anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.console.answers import Refused
from engine.console.visit import Visit
from engine.store.gaps import Proposal, Sighting

__all__ = ["CodeRow", "Senders", "code_rows", "one_code"]


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody said a code means."""

    state: str
    who: str
    at: int
    table: str
    system: str
    code: str
    display: str
    equivalence: str
    comment: str


@dataclass(frozen=True, slots=True)
class CodeRow:
    """One code. Empty `code` with `hidden`: the person may not see it. Times are ms since the epoch."""

    id: int
    hidden: bool
    sender: str
    field: str
    table: str
    rule: str
    system: str
    code: str
    text: str
    units: tuple[str, ...]
    specimens: tuple[str, ...]
    panels: tuple[str, ...]
    texts: tuple[str, ...]
    samples: tuple[tuple[int, str], ...]
    count: int
    parked: int
    flagged: int
    first: int
    last: int
    state: str
    proposal: Said | None
    history: tuple[Said, ...]

    @property
    def waiting(self) -> int:
        """How many messages wait for it."""
        return self.parked + self.flagged


class Senders:
    """Which channels each sender has sent on, and what the person may do with its codes."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self._channels: dict[str, set[str]] = {}
        for channel, sender in visit.hub.journal.names.sources().values():
            self._channels.setdefault(sender, set()).add(channel)

    def may(self, permission: str, sender: str) -> bool:
        """Say whether the person may do something with the codes of a sender: on all of its channels."""
        channels = self._channels.get(sender)
        if not channels:
            return self._visit.may(permission)
        return all(self._visit.may(permission, channel) for channel in sorted(channels))

    def listed(self, sender: str) -> bool:
        """Say whether the person sees that the sender has codes: one of its channels is enough."""
        channels = self._channels.get(sender)
        return not channels or any(self._visit.may("see.maps", channel) for channel in sorted(channels))

    def require(self, permission: str, sightings: Sequence[Sighting]) -> None:
        """Refuse whoever may not do something with these codes."""
        for s in sightings:
            for channel in sorted(self._channels.get(s.sender, ())):
                self._visit.require(permission, channel)


def code_rows(visit: Visit, sightings: Sequence[Sighting], senders: Senders) -> list[CodeRow]:
    """Return rows for codes; those whose values are shown are noted for the audit."""
    made = [_row(s, senders.may("see.bodies", s.sender)) for s in sightings]
    shown = [row.id for row in made if not row.hidden]
    if shown:
        visit.saw("codes:values", "codes", " ".join(map(str, shown)))
    return made


def _row(s: Sighting, readable: bool) -> CodeRow:
    history = tuple(_said(p, readable) for p in s.proposals)
    return CodeRow(
        s.id,
        not readable,
        s.sender,
        s.field,
        s.table,
        s.rule,
        s.system if readable else "",
        s.code if readable else "",
        s.text if readable else "",
        s.units if readable else (),
        s.specimens if readable else (),
        s.panels if readable else (),
        s.texts if readable else (),
        s.samples,
        s.count,
        s.parked,
        s.flagged,
        s.first,
        s.last,
        s.state,
        _said(s.proposal, readable) if s.proposal is not None else None,
        history,
    )


def _said(p: Proposal, readable: bool) -> Said:
    """Return a proposal; the comment may quote the message."""
    comment = p.comment if readable else ""
    target = (p.target_system, p.target_code, p.target_display)
    return Said(p.state, p.who, p.at, p.table, *target, p.equivalence, comment)


def one_code(visit: Visit, senders: Senders) -> Sighting:
    """Return the code that the path names. Raises Refused."""
    number = visit.path["number"]
    found = visit.hub.store.gaps.get(int(number)) if number.isdecimal() and len(number) < 10 else None
    if found is None or not senders.listed(found.sender):
        raise Refused(404, "There is no such code on the list.", "What there is: /codes.")
    return found
