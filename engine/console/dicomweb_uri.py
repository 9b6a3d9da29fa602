"""WADO-URI: one object or one picture, asked for by query parameters alone (PS3.18 9).

In: an `Ask` for `/dicomweb/wado`. Out: the `Ask` of WADO-RS that says the same.
"""

from __future__ import annotations

from dataclasses import replace

from engine.console.dicomweb_answer import uid
from engine.console.exchange import Ask
from engine.console.refusals import Refusal

__all__ = ["as_rest"]

_DICOM = "application/dicom"


def as_rest(ask: Ask) -> Ask:
    """Return the same request as WADO-RS has it."""
    given = {name.lower(): value for name, value in ask.query}
    if given.get("requesttype") != "WADO":
        raise Refusal(400, "requestType takes WADO")
    for name in ("studyUID", "seriesUID", "objectUID"):
        if not given.get(name.lower()):
            raise Refusal(400, f"{name} is needed")
    path = tuple(uid(given[name]) for name in ("studyuid", "seriesuid", "objectuid"))
    place: tuple[str, ...] = ("studies", path[0], "series", path[1], "instances", path[2])
    kinds = given.get("contenttype") or ask.headers.get("accept") or "*/*"
    wanted = kinds.replace(" ", "+")
    if _DICOM in wanted and "+json" not in wanted:
        syntax = given.get("transfersyntax", "")
        accept = f"{_DICOM}; transfer-syntax={uid(syntax)}" if syntax else _DICOM
        return replace(ask, path=place, query=(), headers={**ask.headers, "accept": accept})
    frame = given.get("framenumber")
    place += ("frames", frame, "rendered") if frame else ("rendered",)
    return replace(ask, path=place, query=tuple(_picture(given)), headers={**ask.headers, "accept": wanted})


def _picture(given: dict[str, str]) -> list[tuple[str, str]]:
    out = []
    if "windowcenter" in given or "windowwidth" in given:
        out.append(("window", f"{given.get('windowcenter', '')},{given.get('windowwidth', '')},linear"))
    rows, columns = given.get("rows", ""), given.get("columns", "")
    if rows or columns:
        out.append(("viewport", f"{columns or '16384'},{rows or '16384'}"))
    if "imagequality" in given:
        out.append(("quality", given["imagequality"]))
    return out
