"""How a run turns raw text into FHIR primitives, codes and glued text.

In: raw (still escaped) text. Out: a FHIR value, or None after `fail(...)` where the type cannot hold what was
sent. Codes go through the tables of the terminology room; a code that none knows is kept, flagged, dropped or
parks the message, as the row says. HL7 v2.8.2 §2A; FHIR R4 §2.24.0.1.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

from engine.mapping import dates
from engine.mapping.runstate import Literal, State
from engine.mapping.traced import absorb
from engine.mapping.values import decimal_of
from engine.terminology.translate import WELL_KNOWN

__all__ = ["RunValues"]

ORIGINAL_TEXT = "http://hl7.org/fhir/StructureDefinition/originalText"
DAY_ONLY = "only the day is kept; the time as sent is in the message"
DAY_AND_TEXT = DAY_ONLY + " and in the originalText extension"


class RunValues(State):
    """Primitives, codes, glued text and the smallest shapes."""

    def date(self, v: str) -> str | None:
        t = self.text(v)
        if not t:
            return None
        out = dates.read_date(t)
        if out is None:
            self.fail("not-a-date", v)
        return out

    def date_time(self, v: str) -> str | None:
        t = self.text(v)
        if not t:
            return None
        when = dates.read_datetime(t, self.sender.zone)
        if when is None:
            self.fail("not-a-time", v)
            return None
        if when.lost:
            self.lost = when.lost
            self.marks += 1
        return when.value

    def keep_original(self, o: dict[str, Any] | None, name: str, v: str, where: str) -> None:
        """Keep the text of a time that lost its clock beside the day that is left, and flag it.

        The value of an extension has no room for another extension; there the flag alone tells.
        """
        self.flag(self.lost, where, DAY_ONLY if o is None else DAY_AND_TEXT)
        self.lost = ""
        if o is not None and name in o:
            o["_" + name] = {"extension": [{"url": ORIGINAL_TEXT, "valueString": self.keep(self.text(v), v)}]}

    def instant(self, v: str) -> str | None:
        t = self.text(v)
        if not t:
            return None
        when = dates.read_instant(t, self.sender.zone)
        if when is None or when.lost:
            self.fail("not-a-time" if when is None else f"instant-{when.lost}", v)
            return None
        return when.value

    def time(self, v: str) -> str | None:
        t = self.text(v)
        if not t:
            return None
        when = dates.read_time(t)
        if when is None or not when.value:
            self.fail("not-a-time", v)
            return None
        if when.lost:
            self.flag(when.lost, "")
        return when.value

    def decimal(self, v: str) -> Any:
        t = self.text(v)
        if not t:
            return None
        out = decimal_of(t)
        if out is None:
            self.fail("not-a-number", v)
        return out

    def integer(self, v: str) -> int | None:
        t = self.text(v)
        if not t:
            return None
        if not t.lstrip("+-").isdigit() or not t.isascii() or len(t) > 10:
            self.fail("not-a-whole-number", v)
            return None
        return int(t)

    def positive(self, v: str) -> int | None:
        n = self.integer(v)
        if n is not None and n < 1:
            self.fail("not-a-whole-number", v)
            return None
        return n

    def boolean(self, v: str) -> bool | None:
        t = self.text(v)
        if not t:
            return None
        if t.upper() in ("Y", "YES", "TRUE", "T"):
            return True
        if t.upper() in ("N", "NO", "FALSE", "F"):
            return False
        self.fail("not-yes-or-no", v)
        return None

    def token(self, v: str) -> str | None:
        """A FHIR code, uri or id: no white space but single spaces inside."""
        t = " ".join(self.text(v).split())
        return t or None

    def uri(self, v: str) -> str | None:
        t = self.text(v)
        if not t:
            return None
        if any(c.isspace() for c in t):
            self.fail("not-a-uri", v)
            return None
        return t

    def string(self, v: str) -> str | None:
        return self.text(v) or None

    def base64(self, v: str) -> str | None:
        """Text as FHIR keeps bytes: UTF-8 in Base64."""
        t = self.text(v)
        return self.encoded(t) if t else None

    def encoded(self, text: str | None) -> str | None:
        """The same for text that is already decoded (joined lines)."""
        if not text:
            return None
        out: str = self.keep(b64encode(text.encode("utf-8")).decode("ascii"), text)
        return out

    # -- codes -----------------------------------------------------------------------------------------------

    def system(self, v: str) -> str | None:
        """The URI of a coding system as this sender names it; None when nobody says."""
        t = self.text(v)
        return (self.sender.system(t) or None) if t else None

    def authority(self, v: str) -> str | None:
        """The URI of an assigning authority as this sender names it; None when nobody says."""
        t = self.text(v)
        return (self.sender.authority_uri(t) or None) if t else None

    def code(self, table: str, v: str, where: str, unmapped: str, required: bool) -> str | None:
        """Translate into a FHIR code. No hit: required bindings drop (or hold), others keep the text."""
        t = self.text(v)
        if not t:
            return None
        found = self.tables[table].translate(t)
        if found is not None:
            return None if found.drop else found.code
        return self._no_code(t, v, table, where, unmapped or ("drop" if required else "keep"), required)

    def _no_code(self, t: str, v: str, table: str, where: str, unmapped: str, required: bool) -> str | None:
        if unmapped in ("hold", "flag") or self.tables[table].rows:
            self._missed(table, where, unmapped, t)
        return None if required or unmapped in ("drop", "hold") else " ".join(t.split())

    def _missed(
        self,
        table: str,
        where: str,
        unmapped: str,
        code: str,
        system: str = "",
        uri: str = "",
        text: str = "",
    ) -> None:
        """Take the note that the row asks for, and put the code on the worklist."""
        self.missed(table, where, unmapped, code, system, uri, text)
        said = f"the code is not in table {table}"
        if unmapped == "hold":
            self.hold("unmapped-code", where, said)
        else:
            self.flag("unmapped-code", where, said, unmapped == "flag")

    def _look(self, table: str, c: dict[str, Any], parts: Sequence[str], any_system: bool) -> Any:
        """Look a coding up by the system as the sender wrote it and as it resolves."""
        name = self._named_as(c, parts)
        return self.tables[table].translate(c["code"], name, c.get("system", ""), any_system=any_system)

    def _named_as(self, c: dict[str, Any], parts: Sequence[str]) -> str:
        """Return the coding system of a coding as the sender wrote it."""
        for code_at, system_at in ((0, 2), (3, 5), (9, 11)):
            if len(parts) > system_at and self.text(parts[code_at]) == c["code"]:
                return self.text(parts[system_at])
        return ""

    def coding(
        self,
        table: str,
        local: dict[str, Any] | None,
        parts: Sequence[str],
        where: str,
        unmapped: str,
        any_system: bool,
    ) -> dict[str, Any] | None:
        """Translate into a Coding; no hit keeps the local one."""
        if not local or "code" not in local:
            return local
        found = self._look(table, local, parts, any_system)
        if found is None:
            return self._missing(local, table, where, unmapped, parts)
        return None if found.drop else self._translated(found, local["code"])

    def _translated(self, found: Any, code: str) -> dict[str, Any]:
        """The coding that a table gives; a clinical one that says less than what was sent says so."""
        out = {"system": found.system, "code": self.keep(found.code, code), "display": found.display}
        made = {k: v for k, v in out.items() if v}
        if found.equivalence == "wider" and found.system in WELL_KNOWN:
            made["extension"] = [{"url": self.sender.own + "equivalence", "valueCode": "wider"}]
        return made

    def _missing(
        self, local: dict[str, Any], table: str, where: str, unmapped: str, parts: Sequence[str]
    ) -> dict[str, Any] | None:
        """Do with a coding that nothing translates what the row says. One in the system that the table leads
        to needs no translation."""
        codings = [c for c in local.get("coding") or [local] if "code" in c]
        known = self.tables[table]
        if any(c.get("system") in known.target_systems for c in codings):
            return local
        standard = unmapped == "keep" and any("system" in c for c in codings)  # a standard code as sent
        # a table without rows is one that only a site can fill: told where its row asks for it
        if unmapped in ("hold", "flag") or (known.rows and not standard):
            c = codings[0]
            text = c.get("display") or local.get("text", "")
            self._missed(
                table, where, unmapped, c["code"], self._named_as(c, parts), c.get("system", ""), text
            )
        return None if unmapped in ("drop", "hold") else local

    def concept(
        self,
        table: str,
        local: dict[str, Any] | None,
        parts: Sequence[str],
        where: str,
        unmapped: str,
        any_system: bool,
    ) -> dict[str, Any] | None:
        """Put the standard coding first and keep what was sent; no hit keeps the local coding, flagged."""
        if not local:
            return None
        codings = local.get("coding") or []
        hits: list[dict[str, Any]] = []
        missing = False
        for c in codings:
            if "code" not in c:
                continue
            found = self._look(table, c, parts, any_system)
            if found is None:
                missing = True
            elif found.drop:
                return None
            else:
                hits.append(self._translated(found, c["code"]))
                if "system" not in c and found.source.startswith(("http", "urn:")):
                    c["system"] = found.source
        if missing and not hits:
            return self._missing(local, table, where, unmapped, parts)
        merged: list[dict[str, Any]] = []
        for c in codings + hits if self.sender.translated == "second" else hits + codings:
            for i, m in enumerate(merged):
                if m.get("system") == c.get("system") and m.get("code") == c.get("code"):
                    merged[i] = {**c, **m}
                    if self.tracing:
                        merged[i] = absorb(merged[i], c)
                    break
            else:
                merged.append(c)
        return {"coding": merged, **{k: v for k, v in local.items() if k != "coding"}} if merged else local

    def local_concept(self, system: str, v: str) -> dict[str, Any] | None:
        """ID or IS -> CodeableConcept in the HL7 table of the field; without a table, text alone."""
        t = self.text(v)
        if not t:
            return None
        code = self.keep(" ".join(t.split()), v)
        if not system:
            return {"text": code}
        return {
            "coding": [
                {"system": system, "code": code} if self.sender.has_code(system, code) else {"code": code}
            ]
        }

    def local_coding(self, system: str, v: str) -> dict[str, Any] | None:
        t = self.text(v)
        if not t:
            return None
        code = self.keep(" ".join(t.split()), v)
        return (
            {"system": system, "code": code}
            if system and self.sender.has_code(system, code)
            else {"code": code}
        )

    # -- text made of several --------------------------------------------------------------------------------

    def join(self, raws: Sequence[str], glue: str) -> str | None:
        """Glue decoded texts; empty ones vanish."""
        said = False
        out: list[str] = []
        for r in raws:
            if type(r) is Literal:
                out.append(r)
                continue
            t = self.text(r)
            if t:
                said = True
                out.append(t)
        return glue.join(out) if said else None

    def join_key(self, raws: Sequence[str]) -> str | None:
        """Glue for a key: the separator is escaped, empty places stay, trailing ones go."""
        plain = "|".join(raws)
        if (
            plain.isascii()
            and "\\" not in plain
            and '"' not in plain
            and (not self.es or self.es not in plain)
            and plain.count("|") == len(raws) - 1
            and len(plain.split(None, 1)) == 1
            and plain.isprintable()
            and " " not in plain
        ):
            return plain.rstrip("|") or None
        parts = [
            (r if type(r) is Literal else self.text(r)).replace("\\", "\\\\").replace("|", "\\|")
            for r in raws
        ]
        while parts and not parts[-1]:
            parts.pop()
        return "|".join(parts) or None

    # -- small shapes ----------------------------------------------------------------------------------------

    def pieces(self, v: str, sep: str) -> list[str]:
        """Split one text into several."""
        t = self.text(v)
        return [self.keep(p, v) for p in str(t).split(sep) if p] if t else []

    def text_concept(self, v: str) -> dict[str, Any] | None:
        """`{text}` for a CodeableConcept or Annotation."""
        t = self.text(v)
        return {"text": t} if t else None

    def value_identifier(self, v: str) -> dict[str, Any] | None:
        """An Identifier that has nothing but a value."""
        t = self.text(v)
        return {"value": t} if t else None

    def display(self, v: str) -> dict[str, Any] | None:
        """A Reference that has nothing but a display."""
        t = self.text(v)
        return {"display": t} if t else None
