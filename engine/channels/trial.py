"""One message through a channel's pipeline, nothing stored: what would come out, and why.

In: the bytes of a message, a channel, maps: those in force, a draft's, or with a text that nobody has saved.
Out: a `Trial` with resources, flags, what is wrong with them, and every leaf of the message with the element
it reached and the row (file:line) that took it there, or why it went nowhere; watched, also what happened to
every row of the maps.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from engine.channels.definition import Channel
from engine.channels.intervals import mark_intervals, without_store
from engine.channels.tracing import trace_body
from engine.fhir.bundle import transaction
from engine.fhir.validate import validate
from engine.formats.facts import facts_of
from engine.formats.hl7v2.parse import parse
from engine.kernel.errors import HubError
from engine.kernel.message import Flag
from engine.mapping.lineage import Report
from engine.mapping.project import Maps
from engine.mapping.seen import Seen

__all__ = ["Trial", "try_body"]


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
    seen: Seen | None = None
    error: HubError | None = None  # what `refused` says, with its place

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data, for programs."""
        found = self.report
        ways = {
            "mapped": [{**m._asdict(), "place": asdict(m.place)} for m in found.mapped],
            "unmapped": [{**u._asdict(), "place": asdict(u.place)} for u in found.unmapped],
        }
        bare = asdict(replace(self, report=Report(), seen=None, error=None))
        del bare["seen"], bare["error"]
        return {**bare, "report": ways}


def try_body(
    number: int,
    data: bytes,
    format: str,
    maps: Maps,
    channel: Channel,
    *,
    charset: str = "",
    watch: bool = False,
) -> Trial:
    """Try one message the way a worker would, with the traced twin of the maps."""
    trial = Trial(number)
    try:
        if format == "hl7v2":
            message = parse(data, charset=charset)
            trial.type = f"{message.code}^{message.event}" if message.event else message.code
        elif format == "xdm":
            trial.type, trial.refused = "xdm", "a package: its documents follow, the rest is not tried"
            return trial
        else:
            trial.type = facts_of(data, format).message_type
        done, trial.site = trace_body(
            data, maps, channel, "urn:hub:entry|0", charset=charset, plain=True, watch=watch
        )
    except HubError as e:
        trial.refused, trial.error = str(e), e
        return trial
    trial.revision, trial.report, trial.parked = done.revision, done.report, done.built.held
    trial.flags, trial.seen = list(done.built.flags), done.seen
    for draft in done.built.drafts:
        for p in validate(draft.body) if draft.write != "known" else ():
            flag = Flag("invalid", p.path, f"{p.text} ({draft.map})", True)
            if channel.on_error == "hold" and trial.parked is None:
                trial.parked = flag
            trial.flags.append(flag)
    drafts = done.built.drafts
    if channel.downsample:
        trial.flags += mark_intervals(drafts, channel.downsample, channel.name)
        drafts, told = without_store(drafts)
        trial.flags += told
    trial.bundle = transaction(drafts)
    return trial
