"""What a listener knows of a sender before anything is mapped: its name, its authority, the order of its
messages.

In: the header and bytes of one message, and what the site files say (`match`, `authority`). Out: the name
that the journal and every list shows, and the ordering keys of the message. A damaged header may hold
anything in MSH-3 and MSH-4 (HL7 v2.5.1 ch. 2.15.9.3, HD), a patient's name too, so they are kept readable
only where a site file knows them or the header is sound and they look like the name of an application; else a
keyed hash stands for them, which is still the same for the same sender.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from engine.formats.hl7v2.header import Header
from engine.formats.hl7v2.order_keys import field_keys, order_keys

if TYPE_CHECKING:
    from engine.formats.facts import Facts

__all__ = ["BY_PATIENT", "BY_SENDER", "KnownSender", "Senders", "concealed_by", "order_place"]

BY_PATIENT, BY_SENDER = "PID-3", "sender"
_PLACE = re.compile(r"([A-Z][A-Z0-9]{2})-(\d{1,3})(?:\.(\d{1,2}))?")
_KNOWN = 1024  # distinct headers remembered
_CODE = re.compile(r"[A-Z][A-Z0-9]{2}").fullmatch
_VERSION = re.compile(r"2\.\d(\.\d)?").fullmatch
_TIME = re.compile(r"(\d{8}[\d.+-]*)?").fullmatch
_NAME = re.compile(r"([A-Za-z0-9][A-Za-z0-9 _.:/@+#()-]{0,59})?").fullmatch
_NUMBER = re.compile(r"[A-Za-z0-9|][A-Za-z0-9 _.:/@+#()&|-]{0,119}").fullmatch
_HD_TYPES = frozenset(
    ("CAP", "CLIA", "CLIP", "DNS", "EUI64", "GUID", "HCD", "HL7", "ISO", "L", "M", "N", "NPI", "Random")
) | frozenset(("URI", "URN", "UUID", "x400", "x500"))


class KnownSender(BaseModel):
    """A sender that a site file describes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    match: tuple[tuple[str, tuple[str, ...]], ...] = Field(
        default=(),
        description="MSH fields and the patterns they must fit, `*` allowed. Empty: every message.",
        examples=[(("MSH-3", ("ACMELIS",)),)],
    )
    authority: str = Field(
        default="", description="Assigning authority of identifiers without CX-4.", examples=["ACME"]
    )

    def fits(self, header: dict[str, str]) -> bool:
        """Say whether a message with these MSH fields comes from this sender."""
        return all(
            any(fnmatch.fnmatchcase(header.get(place, ""), pattern) for pattern in patterns)
            for place, patterns in self.match
        )


def order_place(order: str) -> tuple[str, int, int] | None:
    """Read an order such as `PV1-19` as (segment, field, component); None where it is no such place."""
    m = _PLACE.fullmatch(order)
    return (m[1], int(m[2]), int(m[3] or 1)) if m and m[1] not in ("MSH", "FHS", "BHS") else None


def concealed_by(mac: Callable[[str, str], bytes]) -> Callable[[str], str]:
    """Return what makes the words that stand for an unrecognised sender, from a keyed hash (domain, text)."""
    return lambda text: f"unrecognised sender #{mac('unrecognised sender', text)[:5].hex()}"


def _random() -> Callable[[str], str]:
    key = os.urandom(32)
    return concealed_by(
        lambda domain, text: blake2b(f"{domain}\0{text}".encode("utf-8", "surrogatepass"), key=key).digest()
    )


class Senders:
    """The senders of one channel. `name` is set where the channel is one sender's.

    `conceal` makes the words for a sender who is not recognised; without it they hold for this process only.
    """

    def __init__(
        self,
        channel: str,
        name: str = "",
        known: Sequence[KnownSender] = (),
        order: str = BY_PATIENT,
        conceal: Callable[[str], str] | None = None,
    ) -> None:
        self._channel, self._name, self._list, self._order = channel, name, tuple(known), order
        self._place = order_place(order) if order != BY_PATIENT else None
        self._seen: dict[tuple[str, ...], tuple[str, bool, str]] = {}
        self._conceal = conceal or _random()

    def facts(self, header: Header, message: bytes) -> tuple[str, tuple[str, ...]]:
        """Return the name of the sender and the ordering keys of one message."""
        f = header.fields
        key = (f[2], f[3], f[4], f[5], f[6], f[7][:20] if not _TIME(f[7]) else "", f[9], f[11], f[12])
        found = self._seen.get(key)
        if found is None:
            if len(self._seen) >= _KNOWN:
                self._seen.clear()
            found = self._seen[key] = self._look(header)
        name, sure, authority = found
        if not sure and _names_patient(f, message):
            name = self._conceal(name)
        return name, self._keys(name, authority, message)

    def facts_of(self, facts: Facts) -> tuple[str, tuple[str, ...]]:
        """The same of a document, a claim or a prescription."""
        name = self._name or facts.sender[:200]
        if not self._name and not any(s.match and s.fits(dict(facts.headers)) for s in self._list):
            said = {v.casefold() for kind, v in facts.words if kind in ("name", "patient")}
            words = [w for w in re.split(r"[\W_]+", name.casefold()) if len(w) > 1]
            if not _NUMBER(name) or (words and all(w in said for w in words)):
                name = self._conceal(name)
        if self._order == BY_SENDER:
            return name, (*facts.keys, f"sender:{len(self._channel)}:{self._channel}{name}")
        return name, facts.keys

    def keys(self, header: Header, message: bytes) -> tuple[str, ...]:
        """Return the ordering keys of one message."""
        return self.facts(header, message)[1]

    def _keys(self, name: str, authority: str, message: bytes) -> tuple[str, ...]:
        keys = order_keys(message, authority)
        if self._order == BY_SENDER:  # beside the patient's: one patient's messages keep their order always
            return (*keys, f"sender:{len(self._channel)}:{self._channel}{name}")
        return (*keys, *field_keys(message, *self._place)) if self._place else keys

    def _look(self, header: Header) -> tuple[str, bool, str]:
        """Return (name, whether it may be shown whatever the patient is called, authority)."""
        f = header.fields
        values: dict[str, str] = {}
        for n in (3, 4, 5, 6, 11, 12):
            values[f"MSH-{n}.1"] = first = f[n].split(f[2][:1] or "^", 1)[0]
            values[f"MSH-{n}"] = f[n] if n > 6 else first
        site = next((s for s in self._list if s.fits(values)), None)
        authority = site.authority if site is not None else ""
        if self._name:
            return self._name, True, authority
        name = f"{f[3]}|{f[4]}"[:200]
        if site is not None:
            return name, True, authority
        return (name, False, authority) if _sound(header) else (self._conceal(name), True, authority)


def _sound(header: Header) -> bool:
    """Say whether MSH looks as it should around MSH-3 and MSH-4: nothing has been shifted."""
    f = header.fields
    return bool(
        _CODE(header.code)
        and _VERSION(header.version)
        and header.processing_id in ("P", "D", "T")
        and _TIME(f[7].strip())
        and all(_application(f[n], f[2][:1] or "^") for n in (3, 4))
    )


def _application(text: str, component: str) -> bool:
    """Say whether a text looks like an HD: a name alone, or a name, an id and the type of the id."""
    parts = text.split(component)
    if len(parts) > 3 or not all(_NAME(part) for part in parts):
        return False
    return len([p for p in parts if p]) <= 1 or (len(parts) == 3 and parts[2] in _HD_TYPES)


def _names_patient(fields: list[str], message: bytes) -> bool:
    """Say whether MSH-3 or MSH-4 holds nothing but words of the patient's name (PID-5)."""
    separator = fields[1].encode("latin-1", "replace")
    at = message.find(b"\rPID" + separator)
    at = at if at >= 0 else message.find(b"\nPID" + separator)
    if at < 0:
        return False
    pid = message[at + 1 : at + 2000].split(separator, 6)
    if len(pid) < 6:
        return False
    words = {w for w in re.split(r"\W+", pid[5].decode("latin-1").casefold()) if len(w) > 1}
    for text in fields[3:5]:
        mine = [w for w in re.split(r"\W+", text.casefold()) if len(w) > 1]
        if mine and all(w in words for w in mine):
            return True
    return False
