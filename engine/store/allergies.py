"""One allergy told in two ways: by its allergen (AL1), and by a number of its own (IAM-7).

In: what a message says of an allergy, the one on file with its ownership. Out: whether writing it would put
another allergen in the place of one that is known. HL7 v2.8.2 §3.4.6 and §3.4.7.
"""

from __future__ import annotations

from typing import Any

from engine.kernel.message import Draft
from engine.store.columns import identifiers
from engine.store.merge import claims_of
from engine.store.state import Row

__all__ = ["another_allergen", "no_longer"]

BY_ALLERGEN = "/id/al1"
"""The name space of the hub's own numbers that are made of patient and allergen ends so (`=own:al1`)."""


def another_allergen(draft: Draft, body: dict[str, Any], old: dict[str, Any], own: Any) -> bool:
    """Say whether a draft names another allergen than another map did of the same entry."""
    told = _allergens(body)
    entries = old.get("identifier") or []
    claimed = claims_of(own, "identifier", len(entries))
    return bool(told) and any(
        one["value"] not in told and any(claim[1] != draft.map for claim in claims)
        for one, claims in zip(entries, claimed, strict=True)
        if _by_allergen(one)
    )


def no_longer(draft: Draft, row: Row) -> bool:
    """Say whether an entry that was known by one of the draft's identifiers carries none of them now."""
    return row.body is not None and set(identifiers(draft.body)).isdisjoint(identifiers(row.body.value))


def _allergens(body: dict[str, Any]) -> set[str]:
    return {one["value"] for one in body.get("identifier") or () if _by_allergen(one)}


def _by_allergen(identifier: dict[str, Any]) -> bool:
    return str(identifier.get("system", "")).endswith(BY_ALLERGEN) and "value" in identifier
