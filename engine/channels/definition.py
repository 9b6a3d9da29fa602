"""channels/*.yaml -> channels: what is listened to, what is accepted, how it is mapped and what is done about
trouble.

One file a channel, read with places, checked whole. A word either does something or is refused, in one line
with the file and the remedy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.channels.alerts import AlertRule, duration_ms, read_alert
from engine.formats.hl7v2.profile import Profile, read_profile
from engine.kernel.config import one_line
from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import Map, line_of, load, plain
from engine.listeners.ack_rules import AckSettings
from engine.listeners.mllp_settings import MllpChannel, MllpSettings
from engine.listeners.senders import BY_PATIENT, BY_SENDER, KnownSender, order_place
from engine.mapping.project import Maps, Sites, authority_of_site, read_sites

__all__ = ["WORDS", "Channel", "agree", "known_senders", "load_channels"]

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
    "alert",
    "park",
    "plain",
    "processing_id",
    "profile",
    "strict",
    "message_header",
    "note",
}
STORE = "core store"
"""The one destination there is."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel as the listener and the worker need it."""

    name: str
    mllp: MllpChannel | None
    site: str = ""  # "" = chosen by MSH-3 and MSH-4
    demographics: bool = False  # may change patients that are already known
    map: str = ""  # "" = by message type
    on_error: str = "hold"  # hold | flag: what an invalid resource does
    park_key: bool = False  # a parked message makes later ones of its key wait
    keeps_header: bool = False  # a MessageHeader of every message goes into the store
    alerts: tuple[AlertRule, ...] = ()
    plain: str = ""  # why messages may come in without TLS
    purpose: str = ""
    file: str = ""
    lines: dict[str, int] = field(default_factory=dict, compare=False)  # word -> its line in the file

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
    for path in sorted((root / "channels").glob("*.yaml")):
        if path.name.endswith(".test.yaml"):
            continue
        shown = path.relative_to(root).as_posix()
        channel = _read(load(path, name=shown), shown, host, root, sites)
        if any(c.name == channel.name for c in out):
            raise ConfigError(f"channel {channel.name} exists twice", where=channel.at("channel"))
        port = channel.mllp.mllp.port if channel.mllp else 0
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


def agree(channels: Iterable[Channel], maps: Maps) -> None:
    """Refuse a channel whose `sender:` or `map:` names nothing that exists. Raises ConfigError."""
    for c in channels:
        if c.site and c.site not in maps.sites:
            known = ", ".join(sorted(maps.sites)) or "none"
            raise ConfigError(
                f"sender: there is no site {c.site}", where=c.at("sender"), remedy=f"sites are: {known}"
            )
        if c.map and c.map not in maps.messages:
            known = ", ".join(sorted(maps.messages))
            raise ConfigError(
                f"map: there is no message map {c.map}",
                where=c.at("steps"),
                remedy=f"write `map: by type`, or one of: {known}",
            )


def known_senders(sites: Sites, site: str) -> tuple[KnownSender, ...]:
    """Return what listeners know of senders: one site's, or of all sites that have a `match`."""
    if site:
        return (KnownSender(authority=authority_of_site(sites, site)),)
    return tuple(
        KnownSender(match=s.match, authority=authority_of_site(sites, s.name))
        for s in sites.values()
        if s.match
    )


class _File:
    """One channel's file while it is read."""

    def __init__(self, m: Map, file: str) -> None:
        self.m, self.file = m, file

    def at(self, key: str) -> str:
        return f"{self.file}:{self.m.key_lines.get(key, self.m.line)}"

    def text(self, key: str, default: str = "") -> str:
        value = self.m.get(key)
        if isinstance(value, (Map, list, bool)):
            raise ConfigError(f"{key}: takes a text", where=self.at(key))
        return default if value is None else str(value)

    def one_of(self, key: str, known: tuple[str, ...], default: str) -> str:
        value = self.text(key, default)
        if value not in known:
            raise ConfigError(
                f"{key}: {value!r} is not known", where=self.at(key), remedy=f"write {' or '.join(known)}"
            )
        return value

    def map_of(self, key: str, known: tuple[str, ...]) -> dict[str, Any]:
        """Return the words below a word as ordinary values; a word that is not known is refused."""
        value = self.m.get(key)
        if value is None:
            return {}
        if not isinstance(value, Map):
            raise ConfigError(f"{key}: takes {{{', '.join(known)}}}", where=self.at(key))
        for word in value:
            if word not in known:
                raise ConfigError(
                    f"{key}: does not know {word!r}",
                    where=f"{self.file}:{value.key_lines[word]}",
                    remedy=f"use {', '.join(known)}",
                )
        return {str(k): plain(v) for k, v in value.items()}

    def list_of(self, key: str) -> list[Any]:
        value = self.m.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise ConfigError(f"{key}: takes a list", where=self.at(key), remedy="begin each line with `- `")
        return value


def _read(m: Any, file: str, host: str | None, root: Path, sites: Sites) -> Channel:
    if not isinstance(m, Map) or "channel" not in m:
        raise ConfigError("is not a channel", where=file, remedy="start the file with channel: NAME")
    for k in m:
        if k not in WORDS:
            raise ConfigError(
                f"does not know the word {k!r}",
                where=f"{file}:{m.key_lines[k]}",
                remedy=f"known here: {', '.join(sorted(WORDS))}",
            )
    f = _File(m, file)
    name = f.text("channel")
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise ConfigError(f"channel {name!r}: use small letters, digits and _", where=f.at("channel"))
    sender = f.text("sender", "any")
    site = "" if sender == "any" else sender
    map_name, on_error = _steps(f)
    _deliver(f)
    return Channel(
        name=name,
        mllp=_listener(f, name, site, host, root, sites),
        site=site,
        demographics=f.one_of("authority", ("demographics",), "") == "demographics"
        if m.get("authority")
        else False,
        map=map_name,
        on_error=on_error,
        park_key=f.one_of("park", ("message", "key"), "message") == "key",
        keeps_header=f.one_of("message_header", ("keep", "leave out"), "leave out") == "keep",
        alerts=_alerts(f),
        plain=_plain(f),
        purpose=f.text("purpose"),
        file=file,
        lines=dict(m.key_lines),
    )


def _steps(f: _File) -> tuple[str, str]:
    """Return the map's name, empty for `by type`, and what an invalid resource does."""
    map_name, on_error = "", "hold"
    for step in f.list_of("steps"):
        where = f"{f.file}:{line_of(step, f.m.key_lines['steps'])}"
        if not isinstance(step, Map):
            raise ConfigError(f"steps: {step!r} is no step", where=where, remedy="write e.g. - map: by type")
        for word, value in step.items():
            if word not in ("decode", "map", "check"):
                raise ConfigError(
                    f"step {word} is not known", where=where, remedy="steps are decode, map, check"
                )
            if word == "decode" and value != "hl7v2":
                raise ConfigError(f"decode: {value} is not known", where=where, remedy="use hl7v2")
            if word == "map":
                map_name = "" if value in (None, "by type") else str(value)
            if word == "check":
                on_error = _check(value, where)
    return map_name, on_error


def _check(value: Any, where: str) -> str:
    given = plain(value) if isinstance(value, Map) else {}
    if not isinstance(value, Map) or set(given) - {"on_error"}:
        raise ConfigError("check: takes {on_error: hold}", where=where)
    on_error = str(given.get("on_error", "hold"))
    if on_error not in ("hold", "flag"):
        raise ConfigError(f"on_error: {on_error!r} is not known", where=where, remedy="write hold or flag")
    return on_error


def _deliver(f: _File) -> None:
    """Accept the one destination there is, and refuse others: nothing would be sent to them."""
    value = f.m.get("deliver")
    for one in value if isinstance(value, list) else [value] if value is not None else []:
        if one != STORE:
            raise ConfigError(
                f"deliver: {plain(one)}: destinations come with a later version",
                where=f.at("deliver"),
                remedy=f"remove the line, or write deliver: {STORE}, where everything goes",
            )


def _alerts(f: _File) -> tuple[AlertRule, ...]:
    rules = []
    for line in f.list_of("alert"):
        where = f"{f.file}:{line_of(line, f.m.key_lines['alert'])}"
        if not isinstance(line, Map):
            raise ConfigError("alert: a line takes {when, say, at_most}", where=where)
        rules.append(read_alert(plain(line), where))
    return tuple(rules)


def _plain(f: _File) -> str:
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


def _order(f: _File) -> str:
    text = " ".join(f.text("order", f"by {BY_PATIENT}").split())
    order = text.removeprefix("by ")
    if text == order or (order not in (BY_PATIENT, BY_SENDER) and order_place(order) is None):
        raise ConfigError(
            f"order: {text!r} is not known",
            where=f.at("order"),
            remedy="write by PID-3, by sender, or by a place of the message such as by PV1-19",
        )
    return order


def _profile(f: _File, name: str, root: Path) -> Profile | None:
    """Read the conformance profile that a channel names. Raises ConfigError."""
    if not name:
        return None
    shown = f"mappings/profiles/{name}.yaml"
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name) or not (root / shown).is_file():
        raise ConfigError(
            f"profile: there is no profile {name}", where=f.at("profile"), remedy=f"write {shown}"
        )
    return read_profile(root / shown, shown)


def _duplicates(f: _File) -> dict[str, Any]:
    given = f.map_of("duplicates", ("same", "within", "then"))
    if given.get("same", "MSH-10 and bytes") != "MSH-10 and bytes":
        raise ConfigError(
            f"duplicates: same: {given['same']!r} is not known",
            where=f.at("duplicates"),
            remedy="write same: MSH-10 and bytes; same id with other bytes is never a duplicate",
        )
    if given.get("then", "skip") not in ("skip", "flag"):
        raise ConfigError(
            f"duplicates: then: {given['then']!r} is not known",
            where=f.at("duplicates"),
            remedy="write skip or flag",
        )
    out: dict[str, Any] = {"duplicates": given.get("then", "skip")}
    if given.get("within", "ever") != "ever":
        out["duplicate_window_ms"] = duration_ms(str(given["within"]), f.at("duplicates"))
    return out


def _listener(
    f: _File, name: str, site: str, host: str | None, root: Path, sites: Sites
) -> MllpChannel | None:
    receive = f.map_of("receive", ("mllp", "answer"))
    order, duplicates = _order(f), _duplicates(f)
    if receive.get("answer", "after journal") != "after journal":
        raise ConfigError(
            "answer: only `after journal` is safe", where=f.at("receive"), remedy="remove the line"
        )
    if "mllp" not in receive:
        return None
    settings = receive["mllp"]
    if not isinstance(settings, dict):
        raise ConfigError("mllp: takes {port: 2575}", where=f.at("receive"))
    if host is not None:
        settings = {**settings, "host": host}
    rules: dict[str, Any] = {"accept": [plain(a) for a in f.list_of("accept")]}
    for word in ("processing_id", "strict", "profile", "acknowledge"):
        if f.m.get(word) is not None:
            rules[word] = plain(f.m[word])
    try:
        mllp = MllpSettings(**settings)
        if mllp.tls is not None:
            mllp = mllp.model_copy(update={"tls": mllp.tls.below(root)})
    except ValidationError as e:
        raise one_line(e, f.at("receive")) from None
    try:
        made = AckSettings(**rules)
    except ValidationError as e:
        raise one_line(e, f.at(str(e.errors()[0]["loc"][0]))) from None
    return MllpChannel(
        channel=name,
        mllp=mllp,
        rules=made,
        profile=_profile(f, made.profile, root),
        sender=site,
        senders=known_senders(sites, site),
        order=order,
        **duplicates,
    )
