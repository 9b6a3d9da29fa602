"""The ids of one message's resources: by key, by place where there is no key, and what a second one of a key
becomes.

In: keys as the maps gave them, the group a resource stands in, the sender's name space. Out: ids that a
repeat of the message gives again: a keyless resource is the n-th of its map below its parent, a second result
of one key is the n-th of that key; neither counts over the whole message, so a line put in elsewhere changes
nobody's name.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from engine.kernel.message import Draft, Identity
from engine.mapping.links import Node
from engine.mapping.run import Run
from engine.mapping.scope import Scope
from engine.mapping.traced import absorb, plain

__all__ = ["Names", "said_again"]

SHARED = frozenset({"Patient", "Encounter", "Organization", "Practitioner", "Location", "Account"})
"""Types of which a message may speak several times; a result or an order of one key twice is two things."""
EVENTS = frozenset(
    {
        "ChargeItem",
        "Claim",
        "ExplanationOfBenefit",
        "Immunization",
        "MedicationAdministration",
        "MedicationDispense",
        "Observation",
        "Procedure",
    }
)
"""Types of which two with the same words are two: measured, given, done or charged twice."""


class Names:
    """The ids given so far in one message."""

    def __init__(self, x: Run, entry_key: str) -> None:
        self.x, self.entry_key = x, entry_key
        self.parents: dict[int, Identity] = {}  # group -> the first resource in it that has a key
        self.taken: dict[str, Node] = {}
        self.gone: dict[str, int] | None = None  # what was written with earlier pieces: id -> what it said
        self._places: Counter[str] = Counter()
        self._again: Counter[str] = Counter()

    def keyless(self, kind: str, map_: str, scope: Scope | None) -> str:
        """Name a resource without a key by its place below its parent: the first keyed resource of its group,
        else of a group around it. Nothing around it has one, or `scope` is None: by its place in the
        entry."""
        above = None
        while scope is not None and (above := self.parents.get(id(scope))) is None:
            scope = scope.parent
        parent = (self.entry_key,) if above is None else above
        place = _text(self.x.sender.authority, *parent, map_)
        self._places[place] += 1
        return self.x.identify(kind, "urn:hub:position", f"{place}|{self._places[place]}")

    def forget(self, kept: dict[int, Identity]) -> None:
        """Remember of the resources so far only what they said: they are written."""
        gone = self.gone if self.gone is not None else {}
        for draft_id, node in self.taken.items():
            gone[draft_id] = _said(node.draft)
        self.gone, self.parents = gone, dict(kept)
        self.taken.clear()

    def written_before(self, draft: Draft) -> bool:
        """Say whether a draft is one of an earlier piece said again; another of its key gets a name of its
        own."""
        assert self.gone is not None
        said = self.gone.get(draft.id)
        if said is None:
            return False
        if said == _said(draft):
            return True
        self.x.flag(
            "duplicate-key",
            f" {draft.type}",
            "two of one message have the same key; both are kept, told apart by their order",
        )
        self.next_of_key(draft.type, draft)
        return False

    def next_of_key(self, kind: str, draft: Draft) -> None:
        """Give a draft whose key is taken the next name of that key."""
        system, value = draft.keys[0] if draft.keys else ("urn:hub:position", draft.id)
        self._again[draft.id] += 1
        nth = f"urn:hub:nth:{self._again[draft.id] + 1}|{system}"  # no sender names a system so
        draft.keys = ((nth, value),)
        draft.id = self.x.identify(kind, nth, value)


def _said(draft: Draft) -> int:
    return hash(json.dumps(plain(draft.body), sort_keys=True, default=str))


def _text(*parts: str) -> str:
    """Join parts so that two different lists never give one text."""
    return "|".join(p.replace("\\", "\\\\").replace("|", "\\|") for p in parts)


def said_again(before: Node, draft: Draft, names: Names, x: Run) -> bool:
    """Deal with a second resource of the same key in one message: never overwrite, never lose. True: it is
    the first one said again, which took what it lacked; False: it is another, and has a name of its own
    now."""
    first = before.draft
    if draft.type in SHARED or (
        draft.type not in EVENTS and (draft.write == "create" or _agree(first.body, draft.body))
    ):
        if first.body.get("status") != draft.body.get("status"):
            first.tells = ()  # one part of it is done, and another is not: nobody says that all is
        _fill(first, draft, x)
        return True
    x.flag(
        "duplicate-key",
        f" {draft.type}",
        "two of one message have the same key; both are kept, told apart by their order",
    )
    names.next_of_key(draft.type, draft)
    return False


def _agree(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(one.get(k, v) == v for k, v in other.items() if not isinstance(v, list))


def _fill(first: Draft, draft: Draft, x: Run) -> None:
    for k, v in draft.body.items():
        if k not in first.body:
            first.body[k] = v
        elif first.body[k] == v:
            if x.tracing:
                first.body[k] = absorb(first.body[k], v)
        elif isinstance(v, list) and isinstance(first.body[k], list):
            first.body[k] += [e for e in v if e not in first.body[k]]
        elif k in draft.weak:
            continue  # what is only said for want of better
        elif k in first.weak:
            first.body[k] = v
            first.weak = tuple(w for w in first.weak if w != k)
        elif isinstance(v, dict) and isinstance(first.body[k], dict) and _agree(first.body[k], v):
            first.body[k] = {**v, **first.body[k]}
        else:
            x.flag(
                "said-twice",
                f" {draft.type}.{k}",
                "the message says this twice and differently; the first stands",
            )
    for k, names in draft.labels.items():
        n = len(first.body.get(k, ()))
        first.labels[k] = (first.labels.get(k, ()) + names)[:n]
    for k, acts in draft.acts.items():
        first.acts[k] = first.acts.get(k, {}) | acts
    first.cleared = tuple(dict.fromkeys(first.cleared + draft.cleared))
