"""One allergy told in two ways: by its allergen (AL1), and by a number of its own (IAM-7).

In: what a message says of an allergy, the one on file with its ownership. Out: whether they are one, and
whether writing it would put another allergen in the place of one that is known. Two entries of one allergen
with a number each are two: taking one off the list leaves the other. HL7 v2.8.2 §3.4.6 and §3.4.7.
"""

from __future__ import annotations

from typing import Any

from engine.kernel.message import Draft
from engine.store.columns import identifiers
from engine.store.merge import claims_of
from engine.store.state import Row

__all__ = ["another_allergen", "another_entry"]

BY_ALLERGEN, BY_NUMBER = "/id/al1", "/id/iam"
"""The name spaces of the hub's own numbers that are made of patient and allergen, of patient and the entry's
own number, end so (`=own:al1`, `=own:iam`)."""


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


def another_entry(draft: Draft, row: Row, key: bytes) -> bool:
    """Say whether what a draft finds by its second key, the allergen, is another entry than its own: one with
    another number, or one that has another allergen by now.
    """
    if row.body is None:
        return not row.exists and row.key != key  # another number of this very message
    known, told = set(identifiers(row.body.value)), set(identifiers(draft.body))
    if told.isdisjoint(known):
        return True
    numbers = _numbers(known)
    return bool(numbers) and numbers.isdisjoint(_numbers(told))


def _numbers(found: set[tuple[str, str]]) -> set[tuple[str, str]]:
    return {one for one in found if one[0].endswith(BY_NUMBER)}


def _allergens(body: dict[str, Any]) -> set[str]:
    return {one["value"] for one in body.get("identifier") or () if _by_allergen(one)}


def _by_allergen(identifier: dict[str, Any]) -> bool:
    return str(identifier.get("system", "")).endswith(BY_ALLERGEN) and "value" in identifier
