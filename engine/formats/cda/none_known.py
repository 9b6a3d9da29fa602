"""Whether a denied allergy says that none is known at all, or that one thing is not an allergy.

In: an allergy observation that is denied, and the texts its words may point to. Out: true only where nothing
in particular is named, in codes or in words: "no peanut allergy" must never be read as "no food allergies".
Follows C-CDA R2.1 (Allergy Intolerance Observation, no known allergies) and C-CDA on FHIR, Allergies.
"""

from __future__ import annotations

import re

from engine.formats.cda.elements import Element, attr, child, children, null_flavor, own_text
from engine.formats.cda.texts import Texts

__all__ = ["none_known"]

_KINDS = {"419199007", "416098002", "414285001", "420134006"}
"""SNOMED CT: allergy to substance, drug allergy, food allergy, propensity to adverse reactions."""
_ANYTHING = {"105590001", "410942007", "260787004", "373873005"}
"""SNOMED CT: substance, drug or medicament, physical object, pharmaceutical or biological product."""
_NONE = re.compile(r"(?:no|none|nil|nka|nkda|nkma|nkfa|denies|denied)\b", re.I)


def none_known(element: Element, texts: Texts) -> bool:
    """Say whether a denied allergy denies all of its kind."""
    if attr(child(element, "value"), "code") not in _KINDS:
        return False
    for participant in children(element, "participant"):
        entity = child(participant, "participantRole", "playingEntity")
        code = child(entity, "code")
        coded = (code, *children(code, "translation"))
        if any(
            attr(e, "code") and not null_flavor(e) and attr(e, "code") not in _ANYTHING
            for e in coded
            if e is not None
        ):
            return False
        original = child(code, "originalText")
        words = [own_text(name) for name in children(entity, "name")]
        words.append(texts.read(original).text if original is not None else "")
        if any(w and not _NONE.match(w) for w in words):
            return False
    return True
