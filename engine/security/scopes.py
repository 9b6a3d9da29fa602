"""What a program may do: scopes as SMART App Launch 2 writes them, and three of the hub's own.

In: `system/Observation.rs`, `user/*.r`, `patient/Patient.read` (version 1), `feed`, `dicomweb.read`,
`dicomweb.store`. Out: whether a type may be read or searched, for everybody or for one patient. A scope that
is not understood gives nothing: one with a query (`?category=...`) would otherwise give more than it says.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["OWN", "READING", "Scope", "Scopes"]

OWN = ("feed", "dicomweb.read", "dicomweb.store")
READING = ("system/*.rs", "feed", "dicomweb.read")
"""What a token has of which nobody said more."""

_SMART = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]+)\.(?:(read|write|\*)|(c?r?u?d?s?))").fullmatch
_FIRST = {"read": "rs", "write": "cud", "*": "cruds"}


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope of SMART: whose (`system`, `user`, `patient`), which type, which interactions of `cruds`."""

    context: str
    kind: str
    may: frozenset[str]

    def covers(self, kind: str, interaction: str) -> bool:
        """Say whether it speaks of an interaction (`r`, `s`) with a type."""
        return interaction in self.may and self.kind in ("*", kind)


@dataclass(frozen=True, slots=True)
class Scopes:
    """All scopes of one caller."""

    smart: tuple[Scope, ...] = ()
    own: frozenset[str] = frozenset()

    @classmethod
    def read(cls, words: Iterable[str]) -> Scopes:
        """Read scopes; what is not understood is left out."""
        smart, own = [], set()
        for word in words:
            match = _SMART(word)
            if match:
                letters = _FIRST[match[3]] if match[3] else match[4]
                smart.append(Scope(match[1], match[2], frozenset(letters)))
            elif word in OWN:
                own.add(word)
        return cls(tuple(smart), frozenset(own))

    def contexts(self, kind: str, interaction: str) -> frozenset[str]:
        """Return in whose name (`system`, `user`, `patient`) the caller may do this."""
        return frozenset(one.context for one in self.smart if one.covers(kind, interaction))

    def within(self, most: Scopes) -> Scopes:
        """Return what both give."""
        smart = [
            Scope(one.context, one.kind if other.kind == "*" else other.kind, one.may & other.may)
            for one in self.smart
            for other in most.smart
            if one.context == other.context and (one.kind == other.kind or "*" in (one.kind, other.kind))
        ]
        return Scopes(tuple(s for s in smart if s.may), self.own & most.own)

    @staticmethod
    def unknown(words: Iterable[str]) -> list[str]:
        """Return the words that are no scopes of this hub."""
        return [word for word in words if word not in OWN and (not (m := _SMART(word)) or not (m[3] or m[4]))]
