"""What is asked of every work, whatever format it came in: may this channel write it, does it mix patients.

In: the drafts and flags of one work. Out: a cause to park it, or drafts whose write says how far the channel
may go.
"""

from __future__ import annotations

from typing import Any

from engine.kernel.message import Draft, Flag
from engine.store.columns import patient_reference
from engine.store.plan import SHARED_BY_MANY
from engine.store.references import references, retired_by

__all__ = ["folded", "mixed", "without_authority"]


def without_authority(drafts: list[Draft], code: str) -> Flag | None:
    """Let a channel without authority make patients and visits, but neither change nor merge known ones."""
    for d in drafts:
        if d.type == "Patient" and retired_by(d.body) is not None:
            text = "this channel may not merge patients: it is not marked `authority: demographics`"
            return Flag("no-authority", "MRG", text, True)
        if d.write != "known" and (d.type == "Patient" or code == "ADT"):
            d.write = "create"
    return None


def mixed(drafts: list[Draft]) -> Flag | None:
    """Park a message of several patients where one's result hangs on another's order or visit."""
    if sum(d.type == "Patient" for d in drafts) < 2:
        return None
    about = {f"{d.type}/{d.id}": patient_reference(d.body) for d in drafts if d.type not in SHARED_BY_MANY}
    for d in drafts:
        whose = about.get(f"{d.type}/{d.id}")
        if whose is None:
            continue
        for name in references(d.body):
            if about.get(name) not in (None, whose):
                text = f"{d.type} of one patient refers to a {name.partition('/')[0]} of another"
                return Flag("mixed-patients", d.name, text, True)
    return None


def folded(flags: list[Flag]) -> list[Flag]:
    """Fold flags of one code and text into the first of them, counted."""
    if len(flags) < 2:
        return flags
    count: dict[tuple[str, str, bool], list[Any]] = {}
    for f in flags:
        count.setdefault((f.code, f.text, f.work), [f.where, 0])[1] += 1
    return [
        Flag(code, where if n == 1 else f"{where} and {n - 1} more", text, work)
        for (code, text, work), (where, n) in count.items()
    ]
