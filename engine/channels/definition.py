"""channels/*.yaml -> channels: what is listened to, what is accepted, how it is mapped and what is done about
trouble.

One file a channel, read with places, checked whole. A word either does something or is refused, in one line
with the file and the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.channels.alerts import AlertRule, read_alert
from engine.channels.delivering.rules import Rule, kind_of, read_rules
from engine.channels.downsampling import Downsampling, read_downsampling
from engine.channels.filewords import FileWords
from engine.channels.mapchoice import MapChoice, read_map
from engine.channels.receiving import receiving
from engine.channels.searchwords import MOST_PLACES, named_place
from engine.formats.hl7v2.dictionary import segment_names
from engine.kernel.errors import ConfigError, FormatError
from engine.kernel.yamlfile import Map, line_of, load, loads, plain
from engine.listeners.dicom_settings import DicomChannel, DicomSettings
from engine.listeners.file_settings import FolderChannel, SftpChannel
from engine.listeners.http_settings import HttpChannel, HttpSettings
from engine.listeners.mllp_settings import MllpChannel, MllpSettings
from engine.listeners.receiving import ReceivingChannel
from engine.mapping.project import Maps
from engine.mapping.sites import Sites, read_sites

__all__ = ["WORDS", "Channel", "agree", "channel_named", "load_channels", "read_channel"]

WORDS = {
    "channel",
    "owner",
    "purpose",
    "receive",
    "sender",
    "authority",
    "accept",
    "acknowledge",
    "order",
    "duplicates",
    "steps",
    "deliver",
    "downsample",
    "alert",
    "park",
    "plain",
    "processing_id",
    "profile",
    "search",
    "strict",
    "message_header",
    "fhir",
    "note",
}
DECODED = ("by content", "hl7v2")
"""What `decode:` may say; the content decides all the same."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel as the listener and the worker need it."""

    name: str
    mllp: MllpChannel | None
    site: str = ""  # "" = chosen by MSH-3 and MSH-4
    demographics: bool = False  # may change patients that are already known
    map: str = ""  # "" = by message type
    choice: MapChoice | None = None  # instead of `map`: by what MSH-21 says
    downsample: Downsampling = field(default_factory=Downsampling)  # what of devices is not all kept
    on_error: str = "hold"  # hold | flag: what an invalid resource does
    park_key: bool = False  # a parked message makes later ones of its key wait
    search: tuple[str, ...] = ()  # places whose values messages are found by, besides the usual ones
    deliver: tuple[Rule, ...] = ()  # where messages go besides the core store
    keeps_header: bool = False  # a MessageHeader of every message goes into the store
    alerts: tuple[AlertRule, ...] = ()
    plain: str = ""  # why messages may come in without TLS
    purpose: str = ""
    file: str = ""
    lines: dict[str, int] = field(default_factory=dict, compare=False)  # word -> its line in the file
    http: HttpChannel | None = None
    folder: FolderChannel | None = None
    sftp: SftpChannel | None = None
    dicom: DicomChannel | None = None

    @property
    def receives(self) -> ReceivingChannel | None:
        """The way in; None where nothing comes in from outside."""
        return self.mllp or self.http or self.folder or self.sftp or self.dicom

    @property
    def network(self) -> MllpSettings | HttpSettings | DicomSettings | None:
        """Where it listens; None where it does not."""
        if self.dicom is not None:
            return self.dicom.dicom
        return self.mllp.mllp if self.mllp else self.http.http if self.http else None

    def map_of(self, fields: Sequence[str], encoding: str) -> str:
        """Return the map of a message of HL7 v2, of which these are the raw fields of MSH; "" = by type."""
        return self.map if self.choice is None else self.choice.of(fields, encoding)

    @property
    def maps(self) -> tuple[str, ...]:
        """The maps that the file names."""
        return self.choice.maps if self.choice is not None else (self.map,) if self.map else ()

    def at(self, word: str) -> str:
        """Return `file:line` of a word."""
        return f"{self.file}:{self.lines.get(word, 1)}"


def load_channels(root: Path, host: str | None = None, sites: Sites | None = None) -> list[Channel]:
    """Read every channel below `root`; `host` replaces the address of all listeners. Raises ConfigError.

    `sites` are the project's where they were read already.
    """
    out: list[Channel] = []
    ports: dict[int, str] = {}
    sites = read_sites(root) if sites is None else sites
    shared = _shared(root)
    for path in sorted((root / "channels").glob("*.yaml")):
        if path.name.endswith(".test.yaml"):
            continue
        shown = path.relative_to(root).as_posix()
        channel = _read(load(path, name=shown), shown, host, root, sites, shared)
        if any(c.name == channel.name for c in out):
            raise ConfigError(f"channel {channel.name} exists twice", where=channel.at("channel"))
        _apart(channel, out)
        port = channel.network.port if channel.network else 0
        if port and port in ports:
            raise ConfigError(
                f"port {port} is taken by channel {ports[port]}",
                where=channel.at("receive"),
                remedy="give each channel a port of its own",
            )
        if port:
            ports[port] = channel.name
        out.append(channel)
    return out


def channel_named(channels: Iterable[Channel], name: str) -> Channel:
    """Return the channel of a name. Raises ConfigError."""
    known = {channel.name: channel for channel in channels}
    if name not in known:
        raise ConfigError(
            f"there is no channel {name!r}", remedy=f"channels are: {', '.join(sorted(known)) or 'none'}"
        )
    return known[name]


def read_channel(text: str, shown: str, root: Path, sites: Sites) -> Channel:
    """Read one channel from a text that stands in no file yet. Raises ConfigError."""
    return _read(loads(text, shown), shown, None, root, sites, _shared(root))


def _apart(channel: Channel, others: Iterable[Channel]) -> None:
    """Refuse a folder that another channel takes files from, or puts them into. Raises ConfigError."""
    if channel.folder is None:
        return
    mine = channel.folder.folder
    for other in others:
        if other.folder is None:
            continue
        theirs = other.folder.folder
        if mine.path in (theirs.path, theirs.done, theirs.error) or theirs.path in (mine.done, mine.error):
            raise ConfigError(
                f"folder: {mine.path} is used by channel {other.name}",
                where=channel.at("receive"),
                remedy="give each channel a folder of its own",
            )


def agree(channels: Iterable[Channel], maps: Maps) -> None:
    """Refuse a channel whose `sender:` or `map:` names nothing that exists. Raises ConfigError, MapError."""
    for c in channels:
        if c.site and c.site not in maps.all_sites:
            known = ", ".join(sorted(maps.all_sites)) or "none"
            raise ConfigError(
                f"sender: there is no site {c.site}", where=c.at("sender"), remedy=f"sites are: {known}"
            )
        formats = {t.format for t in c.receives.rules.others} if c.receives else set()
        if "xdm" in formats:
            formats = formats - {"xdm"} | {"cda"}
        every = [maps, *(maps.of(f) for f in sorted(formats))]  # read at the start: what is wrong stops it
        for name in c.maps:
            if any(name in one.messages for one in every):
                continue
            known = ", ".join(sorted({name for one in every for name in one.messages}))
            raise ConfigError(
                f"map: there is no message map {name}",
                where=c.at("steps"),
                remedy=f"write `map: by type`, or one of: {known}",
            )


def _read(
    m: Any, file: str, host: str | None, root: Path, sites: Sites, shared: Mapping[str, str]
) -> Channel:
    if not isinstance(m, Map) or "channel" not in m:
        raise ConfigError("is not a channel", where=file, remedy="start the file with channel: NAME")
    for k in m:
        if k not in WORDS:
            raise ConfigError(
                f"does not know the word {k!r}",
                where=f"{file}:{m.key_lines[k]}",
                remedy=f"known here: {', '.join(sorted(WORDS))}",
            )
    f = FileWords(m, file)
    name = f.text("channel")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise ConfigError(f"channel {name!r}: use small letters, digits and _", where=f.at("channel"))
    sender = f.text("sender", "any")
    site = "" if sender == "any" else sender
    chosen, on_error = _steps(f)
    way = receiving(f, name, site, host, root, sites)
    return Channel(
        name=name,
        mllp=way if isinstance(way, MllpChannel) else None,
        http=way if isinstance(way, HttpChannel) else None,
        folder=way if isinstance(way, FolderChannel) else None,
        sftp=way if isinstance(way, SftpChannel) else None,
        dicom=way if isinstance(way, DicomChannel) else None,
        site=site,
        demographics=f.one_of("authority", ("demographics",), "") == "demographics"
        if m.get("authority")
        else False,
        map=chosen if isinstance(chosen, str) else "",
        choice=None if isinstance(chosen, str) else chosen,
        downsample=read_downsampling(f, root),
        on_error=on_error,
        park_key=f.one_of("park", ("message", "key"), "message") == "key",
        keeps_header=f.one_of("message_header", ("keep", "leave out"), "leave out") == "keep",
        search=_search(f),
        deliver=read_rules(f, name, shared),
        alerts=_alerts(f),
        plain=_plain(f),
        purpose=f.text("purpose"),
        file=file,
        lines=dict(m.key_lines),
    )


def _steps(f: FileWords) -> tuple[str | MapChoice, str]:
    """Return the map's name, empty for `by type`, or what chooses it, and what an invalid resource does."""
    chosen: str | MapChoice = ""
    on_error = "hold"
    for step in f.list_of("steps"):
        where = f"{f.file}:{line_of(step, f.m.key_lines['steps'])}"
        if not isinstance(step, Map):
            raise ConfigError(f"steps: {step!r} is no step", where=where, remedy="write e.g. - map: by type")
        for word, value in step.items():
            if word not in ("decode", "map", "check"):
                raise ConfigError(
                    f"step {word} is not known", where=where, remedy="steps are decode, map, check"
                )
            if word == "decode" and value not in DECODED:
                raise ConfigError(
                    f"decode: {value} is not known", where=where, remedy=f"use {', '.join(DECODED)}"
                )
            if word == "map":
                chosen = read_map(value, where)
            if word == "check":
                on_error = _check(value, where)
    return chosen, on_error


def _check(value: Any, where: str) -> str:
    given = plain(value) if isinstance(value, Map) else {}
    if not isinstance(value, Map) or set(given) - {"on_error"}:
        raise ConfigError("check: takes {on_error: hold}", where=where)
    on_error = str(given.get("on_error", "hold"))
    if on_error not in ("hold", "flag"):
        raise ConfigError(f"on_error: {on_error!r} is not known", where=where, remedy="write hold or flag")
    return on_error


def _shared(root: Path) -> dict[str, str]:
    """Return the destinations of config.yaml and the word of each one's kind; what is wrong there is told
    where they are made."""
    path = root / "config.yaml"
    words = load(path, name="config.yaml") if path.is_file() else None
    places = words.get("destinations") if isinstance(words, Map) else None
    if not isinstance(places, Map):
        return {}
    return {
        str(name): kind_of(place, f"config.yaml:{places.key_lines[name]}: destinations: {name}")
        for name, place in places.items()
        if isinstance(place, Map)
    }


def _search(f: FileWords) -> tuple[str, ...]:
    """Return the places that messages are found by."""
    places: dict[str, None] = {}
    for line in f.list_of("search"):
        where = f"{f.file}:{line_of(line, f.m.key_lines['search'])}"
        try:
            place = named_place(str(line)) if isinstance(line, str) else ""
        except FormatError as e:
            raise ConfigError(
                f"search: {line} is no place in a message", where=where, remedy=e.remedy
            ) from None
        if not place:
            raise ConfigError(
                "search: takes places of HL7 messages",
                where=where,
                remedy="write e.g. search: [OBR-20, ZPD-3.1]",
            )
        if place[:3] not in segment_names() and place[0] != "Z":
            raise ConfigError(
                f"search: HL7 has no segment {place[:3]}",
                where=where,
                remedy="segments of one's own begin with Z",
            )
        places[place] = None
    if len(places) > MOST_PLACES:
        raise ConfigError(
            f"search: names {len(places)} places, {MOST_PLACES} are the most",
            where=f.at("search"),
            why="every value of every message costs a row",
            remedy="keep those that people look for; a search can look into messages for others",
        )
    return tuple(places)


def _alerts(f: FileWords) -> tuple[AlertRule, ...]:
    rules = []
    for line in f.list_of("alert"):
        where = f"{f.file}:{line_of(line, f.m.key_lines['alert'])}"
        if not isinstance(line, Map):
            raise ConfigError("alert: a line takes {when, say, at_most}", where=where)
        rules.append(read_alert(plain(line), where))
    return tuple(rules)


def _plain(f: FileWords) -> str:
    """Return why this channel does without TLS."""
    text = f.text("plain")
    if not text:
        return ""
    because = re.fullmatch(r"accepted because (\S.{9,})", text.strip())
    if because is None:
        raise ConfigError(
            f"plain: {text!r} gives no reason",
            where=f.at("plain"),
            remedy="write e.g. plain: accepted because the line is a private VPN to one laboratory",
        )
    return because[1]
