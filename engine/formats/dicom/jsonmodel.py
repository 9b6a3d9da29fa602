"""The DICOM JSON model: a dataset as JSON text, and back.

In: a pydicom `Dataset`, or text. Out: the other. Texts are Unicode whatever their character set was; values
that are not what their VR says are kept as strings; long binary values are left out. Follows PS3.18 F.2.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset as _Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import IS, DSfloat, PersonName

from engine.formats.dicom.values import BINARY, elements_of, unknown
from engine.kernel.errors import FormatError

__all__ = ["from_json", "from_model", "to_json", "to_model"]

Dataset = Any
Model = dict[str, Any]
Bulk = Callable[[str, int], str]  # (path of the element, its length) -> URI

_INTEGERS = frozenset(("IS", "SL", "SS", "SV", "UL", "US", "UV", "US or SS"))
_NUMBERS = frozenset(("DS", "FD", "FL"))
_NAME_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")
_DEEPEST = 48


def to_json(dataset: Dataset, *, binary: int = 1024) -> str:
    """Write a dataset as JSON text; binary values longer than `binary` bytes are left out."""
    return orjson.dumps(to_model(dataset, binary=binary)).decode()


def to_model(dataset: Dataset, *, binary: int = 1024, bulk: Bulk | None = None, path: str = "") -> Model:
    """Return a dataset as objects of the JSON model; with `bulk`, long binary values become its URIs."""
    return _model(dataset, binary, bulk, path, 0)


def _model(dataset: Dataset, binary: int, bulk: Bulk | None, path: str, depth: int) -> Model:
    model: Model = {}
    if depth > _DEEPEST:
        raise FormatError("the dataset is refused", where=path, why="sequences are nested too deep")
    for element in elements_of(dataset):
        tag = int(element.tag)
        if not tag & 0xFFFF:
            continue  # group lengths (retired) are of bytes, not of the model
        model[f"{tag:08X}"] = _attribute(element, binary, bulk, f"{path}{tag:08X}", depth)
    return model


def _attribute(element: Any, binary: int, bulk: Bulk | None, path: str, depth: int) -> Model:
    vr, value = str(element.VR), element.value
    if vr == "SQ":
        if not value:
            return {"vr": "SQ"}
        items = [_model(item, binary, bulk, f"{path}/{n}/", depth + 1) for n, item in enumerate(value)]
        return {"vr": "SQ", "Value": items}
    if vr in BINARY:
        return _binary(vr, value, binary, bulk, path)
    if value is None or value == "" or value == b"":
        return {"vr": vr}
    if vr == "US or SS":
        vr = "US"
    many = value if isinstance(value, (list, MultiValue, tuple)) else (value,)
    values = [_one(vr, v) for v in many]
    return {"vr": vr, "Value": values} if any(v is not None for v in values) else {"vr": vr}


def _binary(vr: str, value: Any, binary: int, bulk: Bulk | None, path: str) -> Model:
    vr = "UN" if vr == "UN" else vr[:2] if not vr.startswith("US") else "OW"
    if not isinstance(value, (bytes, bytearray)) or not value:
        return {"vr": vr}
    if len(value) > binary:
        return {"vr": vr, "BulkDataURI": bulk(path, len(value))} if bulk else {"vr": vr}
    return {"vr": vr, "InlineBinary": base64.b64encode(value).decode()}


def _one(vr: str, value: Any) -> Any:
    if value is None or value == "":
        return None
    if vr == "PN":
        return _name(value)
    if vr == "AT":
        return f"{int(value):08X}" if isinstance(value, int) else str(value)
    if type(value) is str and (vr in _INTEGERS or vr in _NUMBERS):
        value = _number(vr, value)
    if vr in _INTEGERS and isinstance(value, int):
        return int(value) if -(1 << 63) <= value < 1 << 63 else str(int(value))
    if vr in _NUMBERS and isinstance(value, (int, float)):
        number = float(value)
        # neither infinity nor NaN is a number of JSON: PS3.18 F.2.5 has them as strings
        return number if math.isfinite(number) else "NaN" if math.isnan(number) else f"{number}"
    return _clean(str(value))


def _clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode() if not text.isascii() else text


def _name(value: Any) -> Model | None:
    components = value.components if hasattr(value, "components") else str(value).split("=")
    groups = {key: _clean(str(text)) for key, text in zip(_NAME_GROUPS, components, strict=False) if text}
    return groups or None


def from_json(text: str | bytes) -> Dataset:
    """Read one dataset of the JSON model. Raises FormatError where it is not one."""
    try:
        model = orjson.loads(text)
    except orjson.JSONDecodeError as cause:
        raise FormatError("this is not JSON", where=f"line {cause.lineno}", why=cause.msg) from cause
    return from_model(model)


def from_model(model: Any, depth: int = 0) -> Dataset:
    """Make a dataset of the JSON model's objects."""
    if not isinstance(model, Mapping) or depth > _DEEPEST:
        raise FormatError("this is not a dataset of the DICOM JSON model", why="an object is expected")
    dataset = _Dataset()
    held = dataset._dict
    for key, attribute in model.items():
        try:
            tag = BaseTag(int(key, 16))
        except ValueError as cause:
            raise FormatError("an attribute has no tag", where=str(key)[:20]) from cause
        if len(key) != 8 or not isinstance(attribute, Mapping) or not isinstance(attribute.get("vr"), str):
            raise FormatError("an attribute has no vr", where=str(key)[:20])
        held[tag] = _element(tag, attribute["vr"], attribute, depth)
    return dataset


def _element(tag: Any, vr: str, attribute: Mapping[str, Any], depth: int) -> Any:
    where = f"{tag:08X}"
    if vr in BINARY:
        try:
            inline = base64.b64decode(attribute.get("InlineBinary") or "", validate=True)
        except (binascii.Error, TypeError, ValueError) as cause:
            raise FormatError("an InlineBinary is not base64", where=where) from cause
        if vr == "UN":
            return unknown(tag, inline or None)
        return DataElement(tag, vr, inline or None, already_converted=True)
    values = attribute.get("Value") or []
    if not isinstance(values, list):
        raise FormatError("a Value is not an array", where=where)
    if vr == "SQ":
        items = [from_model(item or {}, depth + 1) for item in values]
        return DataElement(tag, vr, Sequence(items), already_converted=True)
    read = [_value(vr, value, where) for value in values]
    if not read:
        return DataElement(tag, vr, _empty(vr), already_converted=True)
    value = read[0] if len(read) == 1 else MultiValue(_same, read)
    return DataElement(tag, vr, value, already_converted=True)


def _same(value: Any) -> Any:
    return value


def _empty(vr: str) -> Any:
    if vr == "PN":
        return PersonName("")
    return "" if vr not in _NUMBERS and vr not in _INTEGERS and vr != "AT" else None


def _value(vr: str, value: Any, where: str) -> Any:
    if value is None:
        return _empty(vr)
    if vr == "PN":
        groups = value if isinstance(value, Mapping) else {"Alphabetic": value}
        return PersonName("=".join(str(groups.get(key) or "") for key in _NAME_GROUPS))
    if isinstance(value, (Mapping, list)):
        raise FormatError("a value of an attribute is neither text nor number", where=where)
    if vr in _INTEGERS or vr in _NUMBERS or vr == "AT":
        return _number(vr, value)
    return str(value)


def _number(vr: str, value: Any) -> Any:
    """Return a number as pydicom has it; what is none stays text, as it was sent."""
    try:
        if vr == "IS":
            return IS(value)
        if vr == "DS":
            return DSfloat(value)
        if vr == "AT":
            return BaseTag(int(value, 16) if isinstance(value, str) else int(value))
        return int(value) if vr in _INTEGERS else float(value)
    except (ArithmeticError, TypeError, ValueError):
        return str(value)
