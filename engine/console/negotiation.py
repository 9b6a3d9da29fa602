"""What the asker wants back: JSON or nothing (406), indented or not, strict or lenient (FHIR R4
http.html#mime-type).

In: the Accept and Prefer headers and the general parameters `_format` and `_pretty`. Out: plain answers.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.console.exchange import Ask
from engine.console.refusals import Refusal

__all__ = ["lenient", "negotiate", "split_general"]

_JSON = ("application/fhir+json", "application/json", "application/*", "*/*", "text/json")
_FORMAT = ("json", "application/json", "application/fhir+json", "application/fhir json", "text/json")
_GENERAL = ("_format", "_pretty")


def negotiate(ask: Ask) -> bool:
    """Refuse what is not JSON of R4; return whether the answer is to be indented."""
    pairs = (*ask.query, *(ask.form or ()))
    formats = [value for name, value in pairs if name == "_format"]
    if formats:
        name, version = _media(formats[-1])
        if name not in _FORMAT or version not in ("", "4.0"):
            raise Refusal(406, "only application/fhir+json of FHIR 4.0 is spoken here")
    elif not _acceptable(ask.headers.get("accept", "*/*")):
        raise Refusal(406, "only application/fhir+json of FHIR 4.0 is spoken here")
    return any(name == "_pretty" and value == "true" for name, value in pairs)


def _acceptable(accept: str) -> bool:
    for one in accept.split(","):
        name, version = _media(one)
        if name in _JSON and version in ("", "4.0") and not _refused(one):
            return True
    return not accept.strip()


def _media(text: str) -> tuple[str, str]:
    """Return the media type and its fhirVersion."""
    name, *rest = [part.strip() for part in text.split(";")]
    version = next((part[12:].strip('"') for part in rest if part.lower().startswith("fhirversion=")), "")
    return name.lower(), version


def _refused(text: str) -> bool:
    """Say whether a media range is marked as unacceptable: `q=0`."""
    for part in text.split(";")[1:]:
        name, _, value = part.strip().partition("=")
        if name.lower() == "q":
            try:
                return float(value) == 0
            except ValueError:
                return False
    return False


def lenient(ask: Ask) -> bool:
    """Say whether unknown parameters may be ignored: `Prefer: handling=lenient`."""
    wishes = ask.headers.get("prefer", "").replace(";", ",").split(",")
    return "handling=lenient" in (wish.strip().lower().replace(" ", "") for wish in wishes)


def split_general(query: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the parameters without those that every request may have."""
    return [(name, value) for name, value in query if name not in _GENERAL]
