"""channels/*.yaml -> channels: what is listened to, what is accepted, how it is mapped and what is done about
trouble.

One file a channel, read with places, checked whole, so that a wrong word is one line with the file and the
remedy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine.kernel.config import one_line
from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import Map, load, plain
from engine.listeners.ack_rules import AckSettings
from engine.listeners.mllp import MllpChannel, MllpSettings

__all__ = ["Channel", "load_channels"]

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
    "processing_id",
    "strict",
    "note",
}
TIME = {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800, "year": 31557600}


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
    duplicate_window_ms: int | None = None
    purpose: str = ""
    file: str = ""


def _time(text: str, where: str) -> int:
    m = re.fullmatch(r"(\d+)\s*(second|minute|hour|day|week|year)s?", text.strip())
    if not m:
        raise ConfigError(f"{text!r} is not a time", where=where, remedy="write e.g. 30 minutes or 7 days")
    return int(m[1]) * TIME[m[2]] * 1000


def load_channels(root: Path, host: str | None = None) -> list[Channel]:
    """Read every channel below `root`; `host` replaces the address of all listeners. Raises ConfigError."""
    out: list[Channel] = []
    ports: dict[int, str] = {}
    for path in sorted((root / "channels").glob("*.yaml")):
        if path.name.endswith(".test.yaml"):
            continue
        shown = path.relative_to(root).as_posix()
        channel = _read(load(path, name=shown), shown, host)
        if any(c.name == channel.name for c in out):
            raise ConfigError(f"channel {channel.name} exists twice", where=shown)
        port = channel.mllp.mllp.port if channel.mllp else 0
        if port and port in ports:
            raise ConfigError(
                f"port {port} is taken by channel {ports[port]}",
                where=shown,
                remedy="give each channel a port of its own",
            )
        if port:
            ports[port] = channel.name
        out.append(channel)
    return out


def _read(m: Any, file: str, host: str | None) -> Channel:
    if not isinstance(m, Map) or "channel" not in m:
        raise ConfigError("is not a channel", where=file, remedy="start the file with channel: NAME")
    for k in m:
        if k not in WORDS:
            raise ConfigError(
                f"does not know the word {k!r}",
                where=f"{file}:{m.key_lines[k]}",
                remedy=f"known here: {', '.join(sorted(WORDS))}",
            )

    def at(key: str) -> str:
        return f"{file}:{m.key_lines.get(key, m.line)}"

    name = str(m["channel"])
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise ConfigError(f"channel {name!r}: use small letters, digits and _", where=at("channel"))
    receive = plain(m.get("receive") or {})
    known = set(receive) - {"mllp", "answer"}
    if known:
        raise ConfigError(
            f"receive: does not know {', '.join(sorted(known))}", where=at("receive"), remedy="use mllp"
        )
    if receive.get("answer", "after journal") != "after journal":
        raise ConfigError(
            "answer: only `after journal` is safe", where=at("receive"), remedy="remove the line"
        )
    sender = str(m.get("sender") or "any")
    map_name, on_error = "", "hold"
    for step in m.get("steps") or ():
        for word, value in step.items():
            if word == "decode" and value != "hl7v2":
                raise ConfigError(f"decode: {value} is not known", where=at("steps"), remedy="use hl7v2")
            if word == "map":
                map_name = "" if value == "by type" else str(value)
            if word == "check" and isinstance(value, Map):
                on_error = str(value.get("on_error", "hold"))
            if word not in ("decode", "map", "check"):
                raise ConfigError(
                    f"step {word} is not known", where=at("steps"), remedy="steps are decode, map, check"
                )
    park = str(m.get("park") or "message")
    if park not in ("message", "key"):
        raise ConfigError(f"park: {park}", where=at("park"), remedy="use message or key")
    duplicates = m.get("duplicates")
    window = (
        _time(str(duplicates["within"]), at("duplicates"))
        if isinstance(duplicates, Map) and "within" in duplicates
        else None
    )
    mllp = None
    try:
        if "mllp" in receive:
            settings = receive["mllp"]
            if host is not None:
                settings = {**settings, "host": host}
            rules: dict[str, Any] = {"accept": [plain(a) for a in m.get("accept") or ()]}
            if "processing_id" in m:
                rules["processing_id"] = plain(m["processing_id"])
            if m.get("strict") is True:
                rules["strict"] = True
            if "acknowledge" in m:
                rules["acknowledge"] = str(m["acknowledge"])
            mllp = MllpChannel(
                channel=name,
                mllp=MllpSettings(**settings),
                rules=AckSettings(**rules),
                sender="" if sender == "any" else sender,
            )
    except ValidationError as e:
        raise one_line(e, at("receive")) from None
    return Channel(
        name=name,
        mllp=mllp,
        site="" if sender == "any" else sender,
        demographics=str(m.get("authority") or "") == "demographics",
        map=map_name,
        on_error=on_error,
        park_key=park == "key",
        duplicate_window_ms=window,
        purpose=str(m.get("purpose") or ""),
        file=file,
    )
