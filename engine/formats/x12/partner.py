"""A partner's own rules against a transaction set (SNIP 7).

In: `Partner`s and the tree of a transaction set. Out: complaints of level 7, each with the file and line of
its rule; they reject claims in a 277CA, a 999 does not speak of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from engine.formats.x12.addresses import address
from engine.formats.x12.envelope import Transaction
from engine.formats.x12.partner_rules import Location, Partner, Rule
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import Segment
from engine.formats.x12.walk import Loop

__all__ = ["check_partners", "concerns"]

_Found = tuple[Segment, int, str]  # segment, repetition, value


def concerns(partner: Partner, transaction: Transaction) -> bool:
    """Say whether the rules of a partner are for the interchange of a transaction set."""
    isa = transaction.interchange.header if transaction.interchange is not None else None
    gs = transaction.group.header if transaction.group is not None else None

    def named(codes: frozenset[str], interchange: int, group: int) -> bool:
        own = {s.get(n).strip() for s, n in ((isa, interchange), (gs, group)) if s is not None}
        return not codes or not codes.isdisjoint(own)

    return named(partner.senders, 6, 2) and named(partner.receivers, 8, 3)


def check_partners(
    partners: Iterable[Partner],
    transaction: Transaction,
    root: Loop,
    kind: str,
    position: Callable[[Segment], int],
) -> list[Problem]:
    """Check one transaction set (`kind` 837P, 835 ...) against the rules of the partners it concerns."""
    out: list[Problem] = []
    for partner in partners:
        if not concerns(partner, transaction):
            continue
        for rule in partner.rules:
            if kind in rule.sets:
                for loop in root.find(rule.loop):
                    if loop.segments and _holds(rule, loop):
                        out += (_problem(rule, loop, *each, position) for each in _faults(rule, loop))
    return out


def _holds(rule: Rule, loop: Loop) -> bool:
    if rule.condition is None:
        return True
    location, operator, codes = rule.condition
    values = {value for _, _, value in _values(location, loop)}
    if operator == "=":
        return not values.isdisjoint(codes)
    if operator == "!=":
        return values.isdisjoint(codes)
    return bool(values) == (operator == "valued")


def _faults(rule: Rule, loop: Loop) -> Iterator[tuple[Segment, int, str]]:
    """Give what breaks a rule: the segment, which repetition (0 = something is missing), and why."""
    found = list(_values(rule.location, loop))
    if rule.verb == "need":
        if not found:
            yield loop.segments[-1], 0, f"{rule.location.text} is needed and missing"
    elif rule.verb == "forbid":
        yield from ((segment, n, f"{rule.location.text} is not wanted") for segment, n, _ in found)
    else:
        for segment, n, value in found:
            if rule.among and value not in rule.among:
                yield segment, n, "the code is not one that the partner takes"
            elif rule.like is not None and not rule.like.fullmatch(value):
                yield segment, n, "the value is not of the form that the partner takes"
            elif rule.longest and len(value) > rule.longest:
                yield segment, n, f"the value is longer than {rule.longest}"
            elif len(value) < rule.shortest:
                yield segment, n, f"the value is shorter than {rule.shortest}"


def _values(location: Location, loop: Loop) -> Iterator[_Found]:
    """Give what stands at a location in a loop: values, or segments as such (value = their name)."""
    if location.loop:
        for inner in loop.loops:
            if inner.id == location.loop and inner.segments:
                yield inner.segments[0], 1, inner.id
        return
    for segment in loop.segments:
        if segment.name != location.segment:
            continue
        if location.codes and segment.component(location.at) not in location.codes:
            continue
        if not location.element:
            yield segment, 1, segment.name
            continue
        for n, text in enumerate(segment.repetitions(location.element), 1):
            parts = text.split(segment.separators.component)
            value = text if not location.component else "".join(parts[location.component - 1 :][:1])
            if value.strip():
                yield segment, n, value


def _problem(
    rule: Rule, loop: Loop, segment: Segment, n: int, why: str, position: Callable[[Segment], int]
) -> Problem:
    location = rule.location
    missing = n == 0
    where = location.text if missing else address(segment, location.element, location.component)
    return Problem(
        rule.severity, 7, "PARTNER", rule.place, where, f"{rule.say or why} (rule {rule.place})",
        position(segment) + missing, loop.id, location.segment or segment.name, location.element,
        location.component, 0, rule.status, offset=segment.offset,
    )  # fmt: skip
