"""What a user agent of DICOMweb wants back: media types, one part or many, transfer syntaxes (PS3.18 8.7).

In: the `accept` query parameter and the Accept header. Out: wishes, best first; those of the parameter stand
before those of the header (PS3.18 8.7.8). Ranges that cannot be read are passed over.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.console.exchange import Ask
from engine.console.refusals import Refusal

__all__ = ["Wish", "json_wanted", "wishes"]

_MOST = 8192  # characters of Accept that are looked at
_TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_RANGE = re.compile(rf"\s*({_TOKEN}/{_TOKEN})\s*")
_PARAMETER = re.compile(rf';\s*(?:({_TOKEN})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*)))?\s*')
_QUALITY = re.compile(r"(0(\.[0-9]{0,3})?|1(\.0{0,3})?)\Z").match
_REST = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,"]|")*?(?=,|\Z)')
_JSON = ("application/dicom+json", "application/json", "application/*", "*/*")


@dataclass(frozen=True, slots=True)
class Wish:
    """One media range. `media` is that of a part where parts are asked for; `parts` None: either will do."""

    media: str
    parts: bool | None
    syntax: str = ""  # transfer syntax: a UID, `*`, or empty: not said
    quality: float = 1.0

    def takes(self, media: str, *, parts: bool) -> bool:
        """Say whether this media type would do, in a multipart answer or alone."""
        kind = media.partition("/")[0]
        return self.media in (media, f"{kind}/*", "*/*") and self.parts in (None, parts)


def wishes(ask: Ask) -> list[Wish]:
    """Return what is wanted, best first. Nothing said: anything."""
    asked = [value.replace(" ", "+") for name, value in ask.query if name == "accept"]  # `+` in a query
    header = ask.headers.get("accept", "")
    if not asked and not header.strip():
        return [Wish("*/*", None)]
    return [*_ranked(",".join(asked)), *_ranked(header)]


def json_wanted(ask: Ask) -> None:
    """Refuse what cannot be answered with the DICOM JSON model."""
    if not any(wish.media in _JSON and not wish.parts for wish in wishes(ask)):
        raise Refusal(406, "only application/dicom+json is spoken here")


def _ranked(text: str) -> list[Wish]:
    found = []
    for media, parameters in _ranges(text[:_MOST]):
        quality = parameters.get("q", "1")
        rank = float(quality) if _QUALITY(quality) else 0.0
        if rank:
            found.append(_wish(media, parameters, rank))
    return sorted(found, key=lambda wish: -wish.quality)


def _wish(media: str, parameters: dict[str, str], rank: float) -> Wish:
    syntax = parameters.get("transfer-syntax", "")
    if media == "*/*":
        return Wish(media, None, syntax, rank)
    if media in ("multipart/related", "multipart/*"):
        return Wish(parameters.get("type", "*/*").lower() or "*/*", True, syntax, rank)
    return Wish(media, False, syntax, rank)


def _ranges(text: str) -> list[tuple[str, dict[str, str]]]:
    """Split a list of media ranges; commas within quotes do not part them."""
    out = []
    at = 0
    while at < len(text):
        found = _RANGE.match(text, at)
        if found:
            media = found[1].lower()
            parameters: dict[str, str] = {}
            at = found.end()
            while more := _PARAMETER.match(text, at):
                if more[1]:
                    value = more[3] if more[2] is None else re.sub(r"\\(.)", r"\1", more[2])
                    parameters.setdefault(more[1].lower(), value)
                at = more.end()
            if at == len(text) or text[at] == ",":
                out.append((media, parameters))
        rest = _REST.match(text, at)
        at = (rest.end() if rest else len(text)) + 1
    return out
