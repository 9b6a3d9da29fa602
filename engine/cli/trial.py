"""`hub try`: messages of a file through a channel's pipeline, nothing stored: what would come out, and why.

In: a file, the name of a channel. Out: a `Trial` a message with resources, flags, what is wrong with them,
and every leaf of the message with the element it reached and the row (file:line) that took it there, or why
it went nowhere.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.channels.arriving import bodies_of
from engine.channels.definition import Channel, load_channels
from engine.channels.tracing import trace_body
from engine.codes.store import CodeStore
from engine.fhir.bundle import transaction
from engine.fhir.validate import validate
from engine.formats.facts import facts_of
from engine.formats.hl7v2.parse import parse
from engine.kernel.config import load_config
from engine.kernel.errors import ConfigError, FormatError, HubError
from engine.kernel.message import Flag
from engine.mapping.lineage import Report
from engine.mapping.project import Maps

__all__ = ["Trial", "try_file"]


@dataclass(slots=True)
class Trial:
    """One message tried. `parked` says why a hub would not store it; `refused` why it cannot be tried."""

    number: int
    type: str = ""
    site: str = ""
    revision: str = ""
    bundle: dict[str, Any] | None = None
    flags: list[Flag] = field(default_factory=list)
    parked: Flag | None = None
    report: Report = field(default_factory=Report)
    refused: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, for programs."""
        found = self.report
        ways = {
            "mapped": [{**m._asdict(), "place": asdict(m.place)} for m in found.mapped],
            "unmapped": [{**u._asdict(), "place": asdict(u.place)} for u in found.unmapped],
        }
        return {**asdict(replace(self, report=Report())), "report": ways}


def try_file(root: Path, path: Path, channel: str) -> list[Trial]:
    """Try every message of a file. Raises ConfigError, FormatError."""
    config = load_config(root)
    channels = {c.name: c for c in load_channels(root)}
    if channel not in channels:
        raise ConfigError(f"there is no channel {channel!r}", remedy=f"channels are: {', '.join(channels)}")
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ConfigError("cannot read this file", where=str(path), why=e.strerror or "") from None
    maps = Maps.open(root, config.identity_base)
    maps.codes = CodeStore(config.data_dir / "codes.db")
    bodies = bodies_of(data)
    trials = [_try(n, body, format, maps, channels[channel]) for n, (format, body) in enumerate(bodies, 1)]
    if not trials:
        raise FormatError(
            "there is no HL7 message in this file",
            where=str(path),
            why="no line begins with MSH, and it is neither CDA nor X12 nor SCRIPT nor DICOM",
        )
    return trials


def _try(number: int, data: bytes, format: str, maps: Maps, channel: Channel) -> Trial:
    """Try one message the way a worker would, with the traced twin of the maps."""
    trial = Trial(number)
    try:
        if format == "hl7v2":
            message = parse(data)
            trial.type = f"{message.code}^{message.event}" if message.event else message.code
        elif format == "xdm":
            trial.type, trial.refused = "xdm", "a package: its documents follow, the rest is not tried"
            return trial
        else:
            trial.type = facts_of(data, format).message_type
        done, trial.site = trace_body(data, maps, channel, "urn:hub:entry|0", plain=True)
    except HubError as e:
        trial.refused = str(e)
        return trial
    trial.revision, trial.report, trial.parked = done.revision, done.report, done.built.held
    trial.flags = list(done.built.flags)
    for draft in done.built.drafts:
        for p in validate(draft.body) if draft.write != "known" else ():
            flag = Flag("invalid", p.path, f"{p.text} ({draft.map})", True)
            if channel.on_error == "hold" and trial.parked is None:
                trial.parked = flag
            trial.flags.append(flag)
    trial.bundle = transaction(done.built.drafts)
    return trial
