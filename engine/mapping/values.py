"""Parsers of text inside one HL7 v2 value: NM, SN, NR, NA, ED, RP, CQ and reference ranges -> FHIR datatypes.

They split text where the mapping language does not (a comparator, a separator, an interval), so they are
written here and not as rows. Each takes the raw (still escaped) parts of one value and the run `x`; it
returns the FHIR value, or None after `x.fail(...)` when there was text that the type cannot hold. HL7 v2.8.2
§2A.3; FHIR R4 §2.24.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from engine.mapping.x12values import X12_VALUES

if TYPE_CHECKING:
    from engine.mapping.run import Run

__all__ = ["BUILTIN", "BULKY", "decimal_of"]

_NUMBER = re.compile(r"[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})", re.ASCII)
_COMPARATORS = {"<": "<", ">": ">", "<=": "<=", ">=": ">=", "=<": "<=", "=>": ">=", "≤": "<=", "≥": ">="}
_RANGE = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s*-\s*([+-]?\d+(?:\.\d+)?)\s*", re.ASCII)


def decimal_of(text: str) -> Decimal | int | None:
    """Read a v2 number keeping its digits: `4.10` stays 4.10, `140` is an int; None if it is not one."""
    if text.isdigit() and text.isascii() and text[0] != "0" and len(text) < 16:
        return int(text)
    if not _NUMBER.fullmatch(text):
        return None
    text = text.removeprefix("+")
    return Decimal(text[:-1] if text.endswith(".") else text)


def _quantity(text: str, x: Run, raw: str) -> dict[str, Any] | None:
    m = re.match(r"(<=|>=|=<|=>|<|>|≤|≥|=)?\s*(.*)", text, re.S)
    assert m is not None
    number = decimal_of(m[2].strip())
    if number is None:
        x.fail("not-a-number", raw)
        return None
    out: dict[str, Any] = {"value": x.keep(number, raw)}
    if m[1] and m[1] != "=":
        out["comparator"] = x.keep(_COMPARATORS[m[1]], raw)
    return out


def nm_quantity(parts: list[str], x: Run) -> dict[str, Any] | None:
    """NM -> Quantity; a leading `<` or `>` becomes the comparator (HL7 v2.8.2 §2A.3.46)."""
    text = x.text(parts[0])
    if not text:
        return None
    if len(parts) > 1 and any(p.strip() for p in parts[1:]):
        x.fail("not-a-number", parts[0])
        return None
    return _quantity(text, x, parts[0])


def sn_quantity(parts: list[str], x: Run) -> dict[str, Any] | None:
    """SN -> Quantity: comparator ^ number (HL7 v2.8.2 §2A.3.68)."""
    p = parts + [""] * 4
    sign, number = x.text(p[0]), x.text(p[1])
    if not number or x.text(p[2]) or x.text(p[3]):
        if any(q.strip() for q in parts):
            x.fail("sn-not-readable", parts[0] or p[1])
        return None
    value = decimal_of(number)
    if value is None or (sign and sign != "=" and sign not in _COMPARATORS):
        x.fail("sn-not-readable", p[1])
        return None
    out: dict[str, Any] = {"value": x.keep(value, p[1])}
    if sign and sign != "=":
        out["comparator"] = x.keep(_COMPARATORS[sign], p[0])
    return out


def _pair(parts: list[str], x: Run) -> tuple[Decimal | int, Decimal | int] | None:
    p = parts + [""] * 4
    a, b = decimal_of(x.text(p[1])), decimal_of(x.text(p[3]))
    sign = x.text(p[0])
    if a is None or b is None or sign not in ("", "="):
        x.fail("sn-not-readable", p[1] or p[3])
        return None
    return x.keep(a, p[1]), x.keep(b, p[3])


def sn_range(parts: list[str], x: Run) -> dict[str, Any] | None:
    """SN `^1^-^10` -> Range; a bound never gets a comparator."""
    pair = _pair(parts, x)
    return {"low": {"value": pair[0]}, "high": {"value": pair[1]}} if pair else None


def sn_ratio(parts: list[str], x: Run) -> dict[str, Any] | None:
    """SN `^1^:^128` -> Ratio."""
    pair = _pair(parts, x)
    return {"numerator": {"value": pair[0]}, "denominator": {"value": pair[1]}} if pair else None


def nr_range(parts: list[str], x: Run) -> dict[str, Any] | None:
    """NR `low^high` -> Range (HL7 v2.8.2 §2A.3.48)."""
    out: dict[str, Any] = {}
    for name, raw in zip(("low", "high"), parts, strict=False):
        text = x.text(raw)
        if not text:
            continue
        number = decimal_of(text)
        if number is None:
            x.fail("not-a-number", raw)
            return None
        out[name] = {"value": x.keep(number, raw)}
    return out or None


def st_reference_range(parts: list[str], x: Run) -> dict[str, Any] | None:
    """`3.5-5.1` -> low and high; anything else stays text alone (never a failure)."""
    m = _RANGE.fullmatch(x.text(parts[0]))
    if not m:
        return None
    low, high = decimal_of(m[1]), decimal_of(m[2])
    if low is None or high is None or low > high:
        return None
    return {"low": {"value": x.keep(low, parts[0])}, "high": {"value": x.keep(high, parts[0])}}


def na_sampled_data(reps: list[str], x: Run) -> dict[str, Any] | None:
    """NA needs an origin and a period that OBX does not carry: kept as text by the caller."""
    if any(x.text(r) for r in reps):
        x.fail("na-needs-origin-and-period", reps[0])
    return None


def cq_quantity(parts: list[str], x: Run) -> dict[str, Any] | None:
    """CQ (quantity ^ units) -> Quantity; UCUM where CQ.2 says so, or the tables know it (§2A.3.12)."""
    p = parts + [""] * 2
    text = x.text(p[0])
    out = _quantity(text, x, p[0]) if text else None
    if out is None:
        return None
    unit = p[1].split(x.ss) + [""] * 3
    code, display = x.text(unit[0]), x.text(unit[1])
    if code or display:
        out["unit"] = display or code
        ucum, system = "http://unitsofmeasure.org", x.system(unit[2])
        table = "ucum" if system == ucum else "" if system else "units"
        if table and (found := x.code(table, unit[0], "CQ.2", "drop", False)):
            out["system"], out["code"] = ucum, found
    return out


def dr_period(parts: list[str], x: Run) -> dict[str, Any] | None:
    """DR (start ^ end) -> Period (§2A.3.20); a bound that lost its clock keeps its day."""
    out: dict[str, Any] = {}
    for name, raw in zip(("start", "end"), parts, strict=False):
        value = x.date_time(raw.split(x.ss)[0])
        if value is not None:
            out[name] = value
            if x.lost:
                x.keep_original(out, name, raw, "")
    return out or None


def ed_attachment(parts: list[str], x: Run) -> dict[str, Any] | None:
    """ED (source ^ type ^ subtype ^ encoding ^ data) -> Attachment; Base64 checked, A and Hex re-encoded
    (§2A.3.24)."""
    p = parts + [""] * 5
    kind, subtype, encoding, raw = x.text(p[1]), x.text(p[2]), x.text(p[3]).upper(), p[4]
    out: dict[str, Any] = {}
    if raw:
        data: bytes | None
        try:
            if encoding in ("BASE64", "B64", ""):
                compact = (
                    "".join(raw.split()) if not x.es or x.es not in raw else "".join(x.text(raw).split())
                )
                data = base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True)
            elif encoding == "HEX":
                data = bytes.fromhex(x.text(raw))
            elif encoding == "A":
                data = x.text(raw).encode("utf-8")
            else:
                data = None
        except (binascii.Error, ValueError):
            data = None
        if data is None:
            x.fail("attachment-not-readable", raw)
            return None
        out["data"] = x.keep(base64.b64encode(data).decode("ascii"), raw)
    mime = _mime(kind, subtype)
    if mime:
        out["contentType"] = x.keep(mime, p[2] or p[1], p[1], p[2])
    return out or None


_MAIN = {"application", "audio", "image", "text", "video", "multipart", "model", "font"}
_HL7_MAIN = {
    "ap": "application",
    "au": "audio",
    "im": "image",
    "ft": "text",
    "tx": "text",
    "si": "image",
    "sd": "image",
    "ns": "image",
    "tex": "text",
}
_HL7_SUB = {"jpg": "jpeg", "tif": "tiff", "txt": "plain", "rtf": "rtf", "octet-stream": "octet-stream"}


def _mime(kind: str, subtype: str) -> str:
    if "/" in kind and not subtype:
        return kind.lower()
    if "/" in subtype:
        return subtype.lower()
    main = kind.lower()
    main = main if main in _MAIN else _HL7_MAIN.get(main, "")
    sub = _HL7_SUB.get(subtype.lower(), subtype.lower())
    if sub == "pdf":
        main = "application"
    return f"{main}/{sub}" if main and sub and re.fullmatch(r"[a-z0-9.+-]+", sub) else ""


def rp_attachment(parts: list[str], x: Run) -> dict[str, Any] | None:
    """RP (pointer ^ application ^ type ^ subtype) -> Attachment.url, never a string (§2A.3.61)."""
    p = parts + [""] * 4
    pointer, app = x.text(p[0]), x.text(p[1].split(x.ss)[0])
    if not pointer or " " in pointer:
        if pointer:
            x.fail("pointer-not-readable", p[0])
        return None
    out: dict[str, Any] = {"url": x.keep(pointer, p[0])}
    if app and "://" not in pointer and re.fullmatch(r"https?://\S+", app):
        out["url"] = x.keep(app.rstrip("/") + "/" + pointer.lstrip("/"), p[0], p[1])
    mime = _mime(x.text(p[2]), x.text(p[3]))
    if mime:
        out["contentType"] = x.keep(mime, p[3] or p[2], p[2], p[3])
    return out


BUILTIN: dict[str, Callable[[list[str], Any], dict[str, Any] | None]] = {
    "NM_Quantity": nm_quantity,
    "SI_Quantity": nm_quantity,
    "ST_Quantity": nm_quantity,
    "SN_Quantity": sn_quantity,
    "SN_Range": sn_range,
    "SN_Ratio": sn_ratio,
    "NR_Range": nr_range,
    "ST_ReferenceRange": st_reference_range,
    "CQ_Quantity": cq_quantity,
    "DR_Period": dr_period,
    "NA_SampledData": na_sampled_data,
    "ED_Attachment": ed_attachment,
    "RP_Attachment": rp_attachment,
    **X12_VALUES,
}
BULKY = frozenset({"ED_Attachment", "RP_Attachment", "NA_SampledData"})
"""Values that are large or never sent twice: not worth remembering."""
