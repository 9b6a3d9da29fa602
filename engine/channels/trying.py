"""The bench's back end: a message through the live maps and through changed ones, side by side, while
somebody types.

In: a message (an entry of the journal, a sample file, pasted text), the live maps, the texts of a draft and
perhaps one that is not saved. Out: `Tried`: rows with their values, resources, flags, what differs from what
is live, and errors with line and column. What is compiled is kept: a keystroke costs one map.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.channels.arriving import bodies_of
from engine.channels.definition import Channel
from engine.channels.liverows import LiveMap, live_maps
from engine.channels.trial import Trial, try_body
from engine.fhir.diff import Difference, diff
from engine.formats.hl7v2.charset import declared_codec
from engine.formats.hl7v2.parse import parse
from engine.kernel.errors import ConfigError, FormatError, HubError
from engine.kernel.message import Flag
from engine.kernel.uncollected import uncollected
from engine.mapping.check import check_file
from engine.mapping.derived import derived
from engine.mapping.project import Maps
from engine.mapping.readings import forget
from engine.mapping.rules import Finding

__all__ = [
    "ALONE",
    "Changed",
    "Desk",
    "Fault",
    "Tried",
    "body_of_text",
    "fault_of",
    "names_in",
    "sample_body",
    "samples",
    "text_of_body",
]

Texts = Mapping[str, str | None]
_KEPT = 8  # changed maps that stay compiled: one a person who types
_COMMON = frozenset({"is", "no", "of", "the", "has", "not", "there", "map", "row", "code", "table", "site"})
_MAPS = re.compile(r"(?:mappings/(?!outbound/)|terminology/).+")


@dataclass(frozen=True, slots=True)
class Changed:
    """What shall be otherwise than live: the files of a draft (`root`: a folder with all of them), and one
    that nobody has saved."""

    texts: Texts = field(default_factory=dict)
    root: Path | None = None
    unsaved: tuple[str, str] | None = None

    @property
    def every(self) -> dict[str, str | None]:
        """All of them that maps and tables are made of."""
        texts = dict(self.texts)
        if self.unsaved is not None:
            texts[self.unsaved[0]] = self.unsaved[1]
        return {path: text for path, text in sorted(texts.items()) if _MAPS.fullmatch(path)}


@dataclass(frozen=True, slots=True)
class Fault:
    """An error for the editor: where, what, why and what to do. `file` is empty where it is the message's."""

    file: str
    line: int
    column: int
    text: str
    remedy: str = ""


@dataclass(slots=True)
class Tried:
    """One message, tried with what is changed; `live` is what it becomes today."""

    trial: Trial
    maps: list[LiveMap] = field(default_factory=list)
    fault: Fault | None = None
    live: Trial | None = None
    differences: list[Difference] = field(default_factory=list)
    flags_new: list[Flag] = field(default_factory=list)
    flags_gone: list[Flag] = field(default_factory=list)


ALONE = threading.RLock()
"""Held while maps are tried or checked: compiling writes into maps that all desks share."""


class Desk:
    """Keeps the changed maps that people are working on compiled. May be used by several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[Any, ...], tuple[Maps, Maps]] = OrderedDict()
        self._lives: OrderedDict[tuple[Any, ...], tuple[Maps, Trial]] = OrderedDict()

    def maps(self, live: Maps, changed: Changed) -> Maps:
        """Return the maps with what is changed. Raises MapError or ConfigError with file:line."""
        texts = changed.every
        if not texts:
            return live
        key = (id(live), tuple(texts.items()))
        with ALONE:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key][1]
            made = derived(live, texts, changed.root)
            self._kept[key] = (live, made)
            while len(self._kept) > _KEPT:
                _, (_, old) = self._kept.popitem(last=False)
                _forget(old, live)
            return made

    def checked(self, maps: Maps, path: str) -> list[Finding]:
        """Return what the linter says of one file."""
        with ALONE:
            return check_file(maps, path)

    def tried(
        self,
        body: bytes,
        format: str,
        channel: Channel,
        live: Maps,
        changed: Changed,
        *,
        charset: str = "",
        at: Mapping[str, str] | None = None,
        first: Iterable[str] = (),
    ) -> Tried:
        """Try a message; `first` names maps whose rows are to stand first, `at` where each is looked at."""
        with ALONE, uncollected():  # a collection of all maps would take longer than the trial
            try:
                maps = self.maps(live, changed)
            except HubError as e:
                return Tried(Trial(1, refused=str(e), error=e), fault=fault_of(e, changed))
            trial = try_body(1, body, format, maps, channel, charset=charset, watch=True)
            out = Tried(trial)
            if trial.error is not None:
                out.fault = fault_of(trial.error, changed)
            if trial.seen is not None:
                program = maps.of(format).program(trial.site, watch=True)
                out.maps = live_maps(trial.seen, program.resolved, first, at)
            if maps is not live:
                out.live = self._today(body, format, channel, live, charset)
                _compared(out, out.live)
        return out

    def _today(self, body: bytes, format: str, channel: Channel, live: Maps, charset: str) -> Trial:
        """Return what a message becomes today: the same at every keystroke."""
        key = (id(live), channel.name, charset, hashlib.sha256(body).digest())
        if key not in self._lives:
            trial = try_body(1, body, format, live, channel, charset=charset, watch=True)
            self._lives[key] = (live, trial)
            while len(self._lives) > _KEPT:
                self._lives.popitem(last=False)
        return self._lives[key][1]


def _forget(old: Maps, live: Maps) -> None:
    """Let go of what reports remember of maps that nobody works on any more."""
    kept = {id(one) for one in live.opened}
    for maps in old.opened:
        if id(maps) not in kept:
            for program in maps.opened_programs():
                forget(program.resolved)


def _compared(out: Tried, live: Trial) -> None:
    if live.bundle is not None and out.trial.bundle is not None:
        out.differences = diff(live.bundle, out.trial.bundle)
    before, after = live.flags, out.trial.flags
    out.flags_new = [f for f in after if f not in before]
    out.flags_gone = [f for f in before if f not in after]


def fault_of(e: HubError, changed: Changed) -> Fault:
    """Return an error as an editor shows it; one of the message itself has no file."""
    file, _, line = e.where.rpartition(":")
    text = e.what + (f": {e.why}" if e.why else "")
    texts = changed.every
    if file in texts and line.isdigit():
        return Fault(file, int(line), column_in(texts[file] or "", int(line), e.what), text, e.remedy)
    if e.where in texts:
        return Fault(e.where, 1, 1, text, e.remedy)
    if line.isdigit() and file.endswith((".yaml", ".csv")):
        return Fault(file, int(line), 1, text, e.remedy)
    return Fault("", 0, 0, f"{e.where}: {text}" if e.where else text, e.remedy)


def column_in(text: str, line: int, what: str) -> int:
    """Return where on a line the thing stands that a finding names, else where the line begins."""
    lines = text.splitlines()
    if not 1 <= line <= len(lines):
        return 1
    shown = lines[line - 1]
    start = len(shown) - len(shown.lstrip())
    words = sorted(re.findall(r"[\w.()\[\]=#-]{2,}", what), key=len, reverse=True)
    for word in words:
        at = shown.find(word, start)
        if at >= 0 and word not in _COMMON:
            return at + 1
    return start + 1


def names_in(path: str, text: str, maps: Maps) -> list[str]:
    """Return the maps whose rows a file holds: its own, or those that a site changes."""
    found = re.match(r"\s*(?:#[^\n]*\n\s*)*map:\s*(\S+)", text)
    if found is not None and not path.startswith("mappings/sites/"):
        return [found[1]]
    site = next((s for s in maps.all_sites.values() if s.file == path), None)
    return list(site.change or ()) if site is not None else []


# -- messages ----------------------------------------------------------------------------------------------


def body_of_text(text: str) -> tuple[str, bytes]:
    """Return (format, bytes) of pasted text: lines of HL7 v2 end as its segments do, its characters are
    written as MSH-18 says. Raises FormatError."""
    text = text.strip("\n\r\x0b\x1c ").replace("\r\n", "\n")
    if text.startswith("MSH"):
        data = text.replace("\n", "\r").encode(_codec_of(text), "xmlcharrefreplace")
    else:
        data = text.encode()
    found = bodies_of(data)
    if not found or (found[0][0] == "hl7v2" and not text.startswith("MSH")):
        raise FormatError(
            "this is no message",
            why="it does not begin with MSH, and it is neither CDA nor X12 nor SCRIPT",
            remedy="paste one message, whole, from its header on",
        )
    return found[0]


def _codec_of(text: str) -> str:
    """Return how a header says that its message is written."""
    fields = text.splitlines()[0].split(text[3:4] or "|")
    declared = fields[17] if len(fields) > 17 else ""
    return (declared_codec(declared, text[5:6]) if declared.strip() else "") or "utf-8"


def text_of_body(body: bytes, format: str, charset: str = "") -> str:
    """Return a body as people read and edit it: one segment a line. Raises FormatError."""
    if format == "hl7v2":
        message = parse(body, charset=charset)
        text = body.decode(message.charset, "replace")
        return "\n".join(line for line in text.replace("\r\n", "\r").replace("\n", "\r").split("\r") if line)
    if format in ("dicom", "xdm"):
        raise FormatError("this is not text", why=f"it is {format}", remedy="look at it on its message page")
    return body.decode("utf-8", "replace")


def samples(root: Path) -> list[str]:
    """Return the sample messages of a project by their names below `sample_messages/`."""
    base = root / "sample_messages"
    return sorted(
        p.relative_to(base).as_posix()
        for p in base.rglob("*")
        if p.is_file() and p.suffix.lower() in (".hl7", ".xml", ".x12", ".edi", ".json", ".txt")
    )


def sample_body(root: Path, name: str) -> tuple[str, bytes]:
    """Return (format, bytes) of a sample message. Raises ConfigError where there is none of that name."""
    if name not in samples(root):
        raise ConfigError(f"there is no sample message {name}", remedy="choose one of the list")
    found = bodies_of((root / "sample_messages" / name).read_bytes())
    if not found:
        raise FormatError("there is no message in this sample", where=name)
    return found[0]
