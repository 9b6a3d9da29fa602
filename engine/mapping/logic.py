"""Can a condition be true at all? A small, careful answer for the linter: "no" is certain, "yes" means
"perhaps".

In: conditions (conditions.py). Out: `possible(c)`, False only where the parts contradict each other
whatever the message holds. Conditions become sums of products; each product is held against what one
location can be at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.mapping.conditions import (
    And,
    Cleared,
    Compare,
    Condition,
    GroupThere,
    Looks,
    Not,
    Or,
    TargetSet,
    Valued,
)
from engine.mapping.locate import locate
from engine.mapping.model import Case, First, Join, Locate, Row, Source

__all__ = ["ALWAYS", "exclusive", "gives", "possible"]

ALWAYS = And(())
NEVER = Or(())
_MOST = 400  # products; beyond that nothing is claimed

Literal = tuple[Condition, bool]


def possible(c: Condition) -> bool:
    """Say whether some message could make the condition true."""
    products = _products(c, True)
    return products is None or any(map(_consistent, products))


def exclusive(a: Row, b: Row) -> bool:
    """Say whether two rows never both give a value for one message."""
    return not possible(And((gives(a), gives(b))))


def gives(row: Row) -> Condition:
    """Return the condition without which a row gives nothing."""
    own = row.when or ALWAYS
    if row.skip:
        return NEVER
    if row.default and any(not r.target for r in row.default):
        return own
    if row.by is not None:
        return And((own, _cases(row)))
    if row.source is not None and not row.children and not row.each:
        return And((own, _sent(row.source)))
    return own


def _sent(source: Source) -> Condition:
    if isinstance(source, Locate):
        return Valued(source.text) if locate(source.text) else ALWAYS
    if isinstance(source, First):
        return Or(tuple(_sent(s) for s in source.options))
    if isinstance(source, Join):
        return Or(tuple(_sent(s) for s in source.parts if not _fixed(s)))
    return ALWAYS


def _fixed(source: Source) -> bool:
    return not isinstance(source, Locate | First | Join)


def _cases(row: Row) -> Condition:
    if not isinstance(row.by, Locate):
        return ALWAYS
    named = tuple(v for c in row.cases for v in c.values if v != "else")
    return Or(tuple(And((_chosen(row.by.text, c, named), _any_of(c))) for c in row.cases))


def _any_of(case: Case) -> Condition:
    return Or(tuple(gives(r) for r in case.rows))


def _chosen(location: str, case: Case, named: tuple[str, ...]) -> Condition:
    if "else" in case.values:
        return Compare("", location, "!=", named) if named else ALWAYS
    return Compare("", location, "=", case.values)


def chosen(row: Row, case: Case) -> Condition:
    """Return the condition under which a `by` table takes a case."""
    if not isinstance(row.by, Locate):
        return ALWAYS
    return _chosen(row.by.text, case, tuple(v for c in row.cases for v in c.values if v != "else"))


def _products(c: Condition, positive: bool) -> list[tuple[Literal, ...]] | None:
    """Return the condition as a sum of products; None where it grows too long."""
    if isinstance(c, Not):
        return _products(c.inner, not positive)
    if isinstance(c, And | Or):
        parts = [_products(p, positive) for p in c.parts]
        if isinstance(c, Or) is positive:
            total: list[tuple[Literal, ...]] = []
            for p in parts:
                if p is None:
                    return None
                total += p
            return total if len(total) <= _MOST else None
        out: list[tuple[Literal, ...]] = [()]
        for p in parts:
            if p is None or len(out) * len(p) > _MOST:
                return None
            out = [a + b for a in out for b in p]
        return out
    return [((c, positive),)]


@dataclass(slots=True)
class _Known:
    """What the literals of one product say of one location."""

    allowed: set[str] | None = None
    excluded: set[str] = field(default_factory=set)
    low: tuple[float, bool] = (float("-inf"), True)  # (bound, bound itself allowed)
    high: tuple[float, bool] = (float("inf"), True)
    valued: set[bool] = field(default_factory=set)
    others: dict[object, bool] = field(default_factory=dict)
    clash: bool = False
    sent: bool = False  # something must be there

    def only(self, values: set[str]) -> None:
        self.allowed = values if self.allowed is None else self.allowed & values


def _consistent(product: tuple[Literal, ...]) -> bool:
    known: dict[tuple[str, str], _Known] = {}
    for c, positive in product:
        if isinstance(c, TargetSet):
            _flag(known.setdefault(("target", c.element), _Known()), c.element, positive)
            continue
        if isinstance(c, GroupThere):
            _flag(known.setdefault(("group", c.group), _Known()), c.group, positive)
            continue
        assert isinstance(c, Valued | Cleared | Compare | Looks)
        function = c.function if isinstance(c, Compare) else ""
        _learn(known.setdefault((function, c.location), _Known()), c, positive)
    return not any(_broken(k) for k in known.values()) and not _above(known)


def _flag(k: _Known, key: object, positive: bool) -> None:
    if k.others.setdefault(key, positive) is not positive:
        k.clash = True


def _learn(k: _Known, c: Valued | Cleared | Compare | Looks, positive: bool) -> None:
    if isinstance(c, Valued):
        k.valued.add(positive)
        k.sent = k.sent or positive
        if not positive:
            k.only({""})
        elif _whole_text(c.location):
            k.excluded.add("")
        return
    if isinstance(c, Cleared):
        _flag(k, "cleared", positive)
        if positive:
            k.valued.add(False)
            k.only({""})
        return
    if isinstance(c, Looks):
        _flag(k, c.like, positive)
        k.sent = k.sent or positive
        return
    values = {"" if v == '""' else v for v in c.values}
    if c.op in ("=", "!="):
        if (c.op == "=") is positive:
            k.only(values)
            k.sent = k.sent or (not c.function and "" not in values)
        else:
            k.excluded |= values
        return
    if not positive and not c.function:
        return  # "not < 5" is also true of words
    _bound(k, c, positive)
    k.sent = k.sent or not c.function


def _bound(k: _Known, c: Compare, positive: bool) -> None:
    n = float(c.values[0])
    op = c.op if positive else {"<": ">=", ">": "<=", "<=": ">", ">=": "<"}[c.op]
    if op in ("<", "<="):
        k.high = min(k.high, (n, op == "<="))
    else:
        low, closed = k.low
        if n > low or (n == low and op == ">"):
            k.low = (n, op == ">=")
        else:
            k.low = (low, closed)


def _whole_text(location: str) -> bool:
    """Say whether "valued" means that the text compared is not empty: of a field with parts it does not."""
    loc = locate(location)
    return loc is not None and bool(loc.component)


def _broken(k: _Known) -> bool:
    if k.clash or k.valued == {True, False} or (k.sent and False in k.valued):
        return True
    if k.low[0] > k.high[0] or (k.low[0] == k.high[0] and not (k.low[1] and k.high[1])):
        return True
    if k.allowed is None:
        return False
    left = {v for v in k.allowed - k.excluded if _inside(v, k)}
    return not left


def _inside(value: str, k: _Known) -> bool:
    if k.low[0] == float("-inf") and k.high[0] == float("inf"):
        return True
    try:
        n = float(value)
    except ValueError:
        return False
    above = n > k.low[0] or (n == k.low[0] and k.low[1])
    return above and (n < k.high[0] or (n == k.high[0] and k.high[1]))


def _above(known: dict[tuple[str, str], _Known]) -> bool:
    """Say whether a part must be there while the whole it belongs to is not."""
    for (function, location), k in known.items():
        loc = locate(location) if function == "" else None
        if loc is None or not k.sent or "(" in location:
            continue
        wholes = [loc.name] if loc.field else []
        if loc.component:
            wholes.append(f"{loc.name}-{loc.field}")
            wholes.append(f"{loc.name}.{loc.field}")
        if loc.sub:
            wholes += [f"{loc.name}-{loc.field}.{loc.component}", f"{loc.name}.{loc.field}.{loc.component}"]
        for w in wholes:
            whole = known.get(("", w))
            if whole is not None and False in whole.valued:
                return True
    return False
