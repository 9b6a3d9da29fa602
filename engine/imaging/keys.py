"""What studies, series and instances are found by: keyed hashes, and days in clear.

In: attributes in the DICOM JSON model, queries. Out: 16 bytes for what is unique, a signed 64-bit number for
what only narrows a search and is decided on the opened attributes. A name is found by the first letters of
each of its groups (PS3.5 6.2.1), without accents, so that `SM*` narrows and `*TH` does not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from engine.security.keys import Keyring

__all__ = ["Keys", "Model", "day_of", "first", "letters", "texts"]

Model = dict[str, Any]

PATIENT_ID, ISSUER, NAME, BIRTH_DATE = "00100020", "00100021", "00100010", "00100030"
ACCESSION, STUDY_ID, STUDY_DATE = "00080050", "00200010", "00080020"
PROCEDURE, REQUEST, REFERENCED_REQUEST = "00401001", "00400275", "0040A370"
OTHER_IDS, OTHER_IDS_SEQUENCE = "00101000", "00101002"
_PREFIX = 8
_DAY = re.compile(r"(\d{4})\.?(\d\d)\.?(\d\d)").fullmatch
_PLACES = {"accession": ACCESSION, "procedure": PROCEDURE}


class Keys:
    """The keyed hashes of one index."""

    def __init__(self, keyring: Keyring) -> None:
        self.seal, self.unseal = keyring.seal, keyring.unseal
        self.mac16, self.mac8 = keyring.mac16, keyring.mac8
        self._uid = lru_cache(maxsize=4096)(lambda kind, uid: keyring.mac16(f"imaging {kind}", uid))

    def uid(self, kind: str, uid: str) -> bytes:
        """Hash the UID of a study, series, instance, step or commitment."""
        return bytes(self._uid(kind, uid))

    def term(self, kind: str, value: str) -> int:
        """Hash what narrows a search: accession, patient, procedure, study id, name."""
        return self.mac8(f"imaging {kind}", value)

    def patient(self, model: Model) -> int:
        """Hash whose study it is, as far as the study says it: number and issuer; else it is its own."""
        number = first(model, PATIENT_ID)
        if not number:
            return self.mac8("imaging patient of study", first(model, "0020000D"))
        return self.mac8("imaging patient key", f"{number}\\{first(model, ISSUER)}")

    def terms(self, model: Model) -> set[int]:
        """Return all that a study with these attributes is found by."""
        found = {self.term("patient", value) for value in texts(model, PATIENT_ID)}
        found |= {self.term("study id", value) for value in texts(model, STUDY_ID)}
        for kind, tag in _PLACES.items():
            found |= {self.term(kind, value) for part in _requests(model) for value in texts(part, tag)}
        for group in _groups(model):
            name = letters(group)[:_PREFIX]
            found |= {self.term("name", name[:n]) for n in range(1, len(name) + 1)}
        return found

    def name(self, pattern: str) -> int | None:
        """Hash the letters a name begins with that is asked for; None where it begins with a wildcard."""
        for group in pattern.split("="):
            known = letters(re.split(r"[*?]", group, maxsplit=1)[0])[:_PREFIX]
            if known:
                return self.term("name", known)
            if group:
                return None
        return None


def _requests(model: Model) -> Iterator[Model]:
    yield model
    for tag in (REQUEST, REFERENCED_REQUEST):
        for item in model.get(tag, {}).get("Value") or ():
            if isinstance(item, dict):
                yield item


def _groups(model: Model) -> Iterator[str]:
    for value in model.get(NAME, {}).get("Value") or ():
        if isinstance(value, Mapping):
            yield from (str(group) for group in value.values())
        elif value is not None:
            yield from str(value).split("=")


def texts(model: Model, tag: str) -> list[str]:
    """Return the values of an attribute that are not empty, as texts without padding."""
    values = model.get(tag, {}).get("Value") or ()
    return [t for v in values if v is not None and not isinstance(v, dict) and (t := str(v).strip(" \0"))]


def first(model: Model, tag: str) -> str:
    """Return the first value of an attribute; "" where it has none. Of a name: its first group."""
    values = model.get(tag, {}).get("Value") or ()
    if values and isinstance(values[0], dict):
        return str(next(iter(values[0].values()), ""))
    return next(iter(texts(model, tag)), "")


@lru_cache(maxsize=4096)
def letters(name: str) -> str:
    """Return the letters and digits of a name, upper case, without accents."""
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).upper())
    return "".join(c for c in plain if c.isalnum())


def day_of(text: str) -> int:
    """Return a DICOM date as the number yyyymmdd; 0 where it is none."""
    found = _DAY(text.strip())
    return int("".join(found.groups())) if found else 0
