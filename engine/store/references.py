"""References inside resource bodies: who retires whom, and what to write instead of an id that lost.

In: resource bodies. Out: the same bodies, or copies where a reference changed; nothing given is changed in
place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["logical", "named_here", "references", "renamed", "retired_by"]


def retired_by(body: Mapping[str, Any]) -> str | None:
    """Return the reference of the Patient that replaces this one, if it is retired."""
    for link in body.get("link") or ():
        if link.get("type") == "replaced-by":
            reference = (link.get("other") or {}).get("reference")
            return reference if isinstance(reference, str) else ""
    return None


def renamed(value: Any, names: Mapping[str, str]) -> Any:
    """Return `value` with every `{"reference": old}` of `names` rewritten, or itself if there is none."""
    if isinstance(value, dict):
        changed = None
        for key, held in value.items():
            if key == "reference" and isinstance(held, str):
                new = names.get(held, held)
            elif isinstance(held, (dict, list)):
                new = renamed(held, names)
            else:
                continue
            if new is not held:
                changed = changed or dict(value)
                changed[key] = new
        return changed or value
    if isinstance(value, list):
        items = [renamed(item, names) if isinstance(item, (dict, list)) else item for item in value]
        return items if any(new is not old for new, old in zip(items, value, strict=True)) else value
    return value


def references(value: Any) -> Iterator[str]:
    """Yield every reference in a body, as written."""
    if isinstance(value, dict):
        for key, held in value.items():
            if key == "reference" and isinstance(held, str):
                yield held
            elif isinstance(held, (dict, list)):
                yield from references(held)
    elif isinstance(value, list):
        for held in value:
            yield from references(held)


def logical(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every reference that names its target by type and identifier only."""
    if isinstance(value, dict):
        identifier = value.get("identifier")
        if isinstance(identifier, dict) and "reference" not in value and isinstance(value.get("type"), str):
            yield value
        for held in value.values():
            if isinstance(held, (dict, list)):
                yield from logical(held)
    elif isinstance(value, list):
        for held in value:
            if isinstance(held, (dict, list)):
                yield from logical(held)


def named_here(value: Any) -> Iterator[str]:
    """Give every `Type/id` among the references of a body: what the core store itself may hold."""
    for name in references(value):
        if name.count("/") == 1 and not name.startswith(("#", "urn:")):
            yield name
