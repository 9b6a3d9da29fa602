"""One complaint about X12 input: which level of checking found it, where, and the code a 999 or TA1 gives it.

`level` is the SNIP type (1 syntax and envelope, 2 guide, 3 balance, 4 situation, 5 code sets). `code` belongs
to the table that `kind` names: `TA105`, `AK905`, `IK502`, `IK304` or `IK403`. `text` never holds a value;
`value` is for the acknowledgement to the sender alone, who sent it.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Problem"]


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
