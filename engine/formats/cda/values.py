"""The value of an observation, read as the type it says: `xsi:type`, else what it looks like.

In: a `value` element. Out: one of the records of this room, or `Other` for a type that this room does not
read, with what it said. Follows CDA R2 (Observation.value, type ANY) and HL7 v3 Data Types R1.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.formats.cda.attachments import Attachment, read_attachment
from engine.formats.cda.codes import Coded, read_code
from engine.formats.cda.elements import Element, attr, child, flag, null_flavor, own_text, type_of
from engine.formats.cda.parties import Identifier, read_identifier
from engine.formats.cda.quantities import Quantity, Ratio, Span, read_quantity, read_ratio, read_span
from engine.formats.cda.texts import Texts
from engine.formats.cda.times import Timing, read_timing

__all__ = ["Other", "Truth", "Value", "Words", "read_value"]


class Words(NamedTuple):
    """Text; `id` is where in the narrative it stands, `dangling` that nothing stands there."""

    text: str
    id: str = ""
    dangling: bool = False
    null: str = ""


class Truth(NamedTuple):
    """A BL; `value` is None where it is null or neither true nor false."""

    value: bool | None
    null: str = ""


class Other(NamedTuple):
    """A value of a type this room does not read."""

    type: str
    text: str
    null: str = ""


Value = Coded | Quantity | Span | Ratio | Words | Truth | Attachment | Identifier | tuple[Timing, ...] | Other

_CODED = {"CD", "CE", "CV", "CS", "CO", "CR", "PQR"}
_TIMES = {"TS", "IVL_TS", "PIVL_TS", "EIVL_TS", "SXPR_TS", "SXCM_TS"}


def read_value(element: Element | None, texts: Texts | None = None) -> Value | None:
    """Read a value; None where it is missing or says nothing."""
    if element is None:
        return None
    kind = type_of(element) or _looks_like(element)
    if kind in _CODED:
        return read_code(element, texts)
    if kind in ("PQ", "MO", "INT", "REAL"):
        return read_quantity(element)
    if kind in ("IVL_PQ", "IVL_INT", "IVL_REAL", "IVL_MO"):
        return read_span(element)
    if kind.startswith("RTO"):
        return read_ratio(element)
    if kind in _TIMES:
        return read_timing(element) or None
    if kind == "BL":
        return Truth(
            None if attr(element, "value") not in ("true", "false") else flag(element, "value"),
            null_flavor(element),
        )
    if kind == "II":
        return read_identifier(element)
    if kind in ("ST", "SC") or (
        kind == "ED" and not attr(element, "representation") and not attr(element, "mediaType")
    ):
        said = texts.read(element) if texts is not None else None
        null = null_flavor(element)
        words = (
            Words(said.text, said.id, said.dangling, null) if said else Words(own_text(element), null=null)
        )
        return words if words.text or words.null or words.dangling else None
    if kind == "ED":
        return read_attachment(element)
    null, text = null_flavor(element), own_text(element)
    return Other(kind, text or attr(element, "value") or attr(element, "code"), null)


def _looks_like(element: Element) -> str:
    if (
        attr(element, "code")
        or child(element, "translation") is not None
        or child(element, "originalText") is not None
    ):
        return "CD"
    if child(element, "numerator") is not None:
        return "RTO"
    if attr(element, "unit"):
        return "PQ"
    if child(element, "low") is not None or child(element, "high") is not None:
        bound = child(element, "low") if child(element, "low") is not None else child(element, "high")
        return "IVL_PQ" if attr(bound, "unit") else ""
    return "" if attr(element, "value") or attr(element, "nullFlavor") else "ST"
