"""Everything that is wrong with a transaction set or an interchange, SNIP types 1 to 5, in order of input,
and type 7 where partners have rules of their own.

In: a `Transaction` and its tree, or an `Interchange`. Out: complaints; the input is mapped all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.formats.x12.addresses import address
from engine.formats.x12.balance import check_balance
from engine.formats.x12.codesets import check_codes
from engine.formats.x12.context import with_units
from engine.formats.x12.elements import check_elements, is_date, is_time
from engine.formats.x12.envelope import Interchange, Transaction
from engine.formats.x12.levels import check_levels
from engine.formats.x12.partner import check_partners
from engine.formats.x12.partner_rules import Partner
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import Segment
from engine.formats.x12.separators import Guessed
from engine.formats.x12.situations import check_situations
from engine.formats.x12.usage import check_usage
from engine.formats.x12.walk import Loop

__all__ = ["check_interchange", "check_transaction"]


def check_transaction(
    transaction: Transaction, tree: Loop | None, partners: Iterable[Partner] = ()
) -> list[Problem]:
    """Give the complaints about a transaction set; its tree is that of `Transaction.tree`."""
    out = list(transaction.problems)
    st = transaction.segments[0]
    found, exact = transaction.table()
    if found is None or tree is None:
        text = "there is no table for this transaction set"
        out.append(
            Problem("E", 1, "IK502", "1", address(st, 1), text, 1, segment="ST", element=1, offset=st.offset)
        )
        return out
    if not exact:
        text = f"the guide is not known: read as {found.name}"
        out.append(
            Problem("W", 1, "IK502", "I6", address(st, 3), text, 1, segment="ST", element=3, offset=st.offset)
        )
    position = _positions(transaction)
    out += check_usage(tree, position)
    out += check_levels(tree, position)
    for loop in tree.walk():
        for segment, rule in zip(loop.segments, loop.rules, strict=True):
            if isinstance(segment.separators, Guessed):
                out.append(_guessed(segment, loop, position(segment)))
            if rule is not None:
                out += check_elements(segment, rule, position(segment))
    out += check_situations(transaction.set_id, tree, position)
    out += check_balance(transaction.set_id, tree, position)
    out += check_codes(tree, position)
    out += check_partners(partners, transaction, tree, found.name, position)
    out.sort(key=lambda p: p.position)
    return with_units(transaction.set_id, tree, out)


def _guessed(segment: Segment, loop: Loop, position: int) -> Problem:
    text = f"the components are parted by {segment.separators.component}, not by the mark of ISA16: read so"
    return Problem(
        "W", 1, "IK403", "6", address(segment), text, position, loop.id, segment.name, offset=segment.offset
    )


def check_interchange(interchange: Interchange) -> list[Problem]:
    """Give the complaints about an interchange and its groups, without those of its transaction sets."""
    out = [*interchange.problems, *(p for group in interchange.groups for p in group.problems)]
    isa = interchange.header
    if isa.name == "ISA":
        out += _check_isa(isa)
    for group in interchange.groups:
        gs = group.header
        if gs is not None:
            if not gs.get(6).isdecimal() or len(gs.get(6)) > 9:
                out.append(_fault("AK905", "6", "GS-06", "the group control number is not 1 to 9 digits", gs))
            if not is_date(gs.get(4)) or not is_time(gs.get(5)):
                out.append(_fault("TA105", "024", "GS-04", "the date or time of the group is not valid", gs))
    return sorted(out, key=lambda p: p.offset)


def _check_isa(isa: Segment) -> list[Problem]:
    out = []
    qualifiers = ["01", "14", "20", "27", "28", "29", "30", "33", "ZZ"]
    for element, allowed, code, text in (
        (1, ("00", "03"), "010", "the authorization qualifier is not known"),
        (3, ("00", "01"), "012", "the security qualifier is not known"),
        (5, qualifiers, "005", "the sender's qualifier is not known"),
        (7, qualifiers, "007", "the receiver's qualifier is not known"),
        (12, ("00501", "00401"), "017", "the version of the interchange is not 00501"),
        (14, ("0", "1"), "019", "the acknowledgement requested is not 0 or 1"),
        (15, ("P", "T"), "020", "the usage indicator is not P or T"),
    ):
        if isa.get(element) not in allowed:
            out.append(_fault("TA105", code, f"ISA-{element:02d}", text, isa))
    if len(isa.get(9)) != 6 or not is_date(isa.get(9)):
        out.append(_fault("TA105", "014", "ISA-09", "the date of the interchange is not valid", isa))
    if len(isa.get(10)) != 4 or not is_time(isa.get(10)):
        out.append(_fault("TA105", "015", "ISA-10", "the time of the interchange is not valid", isa))
    if len(isa.get(13)) != 9 or not isa.get(13).isdecimal():
        out.append(_fault("TA105", "018", "ISA-13", "the control number is not nine digits", isa))
    return out


def _fault(kind: str, code: str, where: str, text: str, segment: Segment) -> Problem:
    return Problem("E", 1, kind, code, where, text, segment=segment.name, offset=segment.offset)


def _positions(transaction: Transaction) -> Callable[[Segment], int]:
    numbers = {id(segment): n for n, segment in enumerate(transaction.segments, 1)}
    return lambda segment: numbers[id(segment)]
