"""One complaint about X12 input: which level of checking found it, where, and the code a 999 or TA1 gives it.

`level` is the SNIP type (1 syntax and envelope, 2 guide, 3 balance, 4 situation, 5 code sets). `code` belongs
to the table that `kind` names: `TA105`, `AK905`, `IK502`, `IK304` or `IK403`. `text` never holds a value;
`value` and `unit` are for the acknowledgement to the sender alone, who sent them. Level 7 is a partner's own
rule: `kind` is `PARTNER`, `code` the file and line of the rule; a 999 does not speak of it.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Problem", "Trigger"]


class Trigger(NamedTuple):
    """What made something required or forbidden: a value elsewhere in the same transaction set."""

    segment: str
    position: int
    loop: str
    element: str  # `5`, or `5:3` with the component
    reference: str  # its data element number, `C023:1325` with the composite


class Problem(NamedTuple):
    """One complaint; `position` counts segments from ST = 1, 0 = not inside a transaction set."""

    severity: str  # E or W
    level: int
    kind: str
    code: str
    where: str  # an address such as CLM[2]-05.1, or a segment name
    text: str
    position: int = 0
    loop: str = ""
    segment: str = ""
    element: int = 0
    component: int = 0
    repetition: int = 0
    reference: str = ""  # data element number
    value: str = ""
    offset: int = -1
    unit: tuple[str, str] = ("", "")  # what it is about: ("CLM01", the number of the claim)
    trigger: Trigger | None = None
