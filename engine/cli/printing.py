"""What commands print for people: tables, messages, findings. `--json` prints the same facts for programs.

In: records of the other files of this folder. Out: text on standard output, in colour where that is a
terminal.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from engine.fhir import jsonio
from engine.kernel.message import Flag

if TYPE_CHECKING:  # a command pays for what it uses only
    from engine.channels.finding import Hits
    from engine.channels.trial import Trial
    from engine.cli.doctor import Finding
    from engine.cli.follow import Became
    from engine.cli.msg import Found
    from engine.destinations.mllp import Answer

__all__ = [
    "print_ack",
    "print_became",
    "print_changes",
    "print_findings",
    "print_found",
    "print_json",
    "print_left",
    "print_message",
    "print_trial",
]

_COLOURS = {"done": "green", "parked": "yellow", "waiting": "cyan", "skipped": "dim", "closed": "dim"}
_MARKS = {"ok": "[green]ok   [/]", "look": "[yellow]look [/]", "wrong": "[red]wrong[/]"}


def _out() -> Console:
    return Console(highlight=False, soft_wrap=True, emoji=False)  # `urn:x:own` is no picture


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def _state(status: str) -> str:
    return f"[{_COLOURS.get(status, 'default')}]{status}[/]"


def print_left(rest: Hits) -> None:
    """Say on standard error what the search did not look at."""
    out = Console(highlight=False, soft_wrap=True, emoji=False, stderr=True)
    if rest.to_look:
        more = "more than " if rest.more_to_look else ""
        out.print(
            f"{more}{rest.to_look:,} messages would have to be opened for the rest: add --look {rest.to_look}"
        )
    if rest.opened and rest.next is not None:
        out.print(f"opened {rest.opened:,} messages, down to entry {rest.next}")


def print_found(found: Sequence[Found]) -> None:
    """Print a list of messages, newest first."""
    out = _out()
    if not found:
        out.print("no message found")
        return
    rows = [(str(f.entry), f"{f.received[:19]}Z", f.channel, f.type, f.sender) for f in found]
    heads = ("entry", "received", "channel", "type", "sender")
    wide = [max(len(row[n]) for row in (heads, *rows)) for n in range(len(heads))]
    out.print("  ".join(h.ljust(w) for h, w in zip(heads, wide, strict=True)) + "  status", style="bold")
    for one, row in zip(found, rows, strict=True):
        text = "  ".join(cell.ljust(w) for cell, w in zip(row, wide, strict=True))
        why = f" {one.cause}{f' at {one.where}' if one.where else ''}" if one.status == "parked" else ""
        out.print(f"{escape(text)}  {_state(one.status)}{escape(why)}")


def print_message(made: dict[str, Any]) -> None:
    """Print one message as `show` gives it."""
    out = _out()
    out.print(f"entry {made['entry']}  {_state(made['status'])}  {escape(made['type'])}", style="bold")
    for name in (
        "channel",
        "sender",
        "peer",
        "control_id",
        "kind",
        "received",
        "bytes",
        "replay_of",
        "reason",
    ):
        if made.get(name) not in (None, ""):
            out.print(f"  {name.replace('_', ' '):<12} {escape(str(made[name]))}")
    if made.get("deleted"):
        out.print("  body         removed by the retention policy")
    if made["cause"]:
        about = f"{made['where']}: {made['text']}" if made["where"] else made["text"]
        out.print(f"  cause        [yellow]{escape(made['cause'])}[/] {escape(about)}")
    if "revision" in made:
        counts = f"{made['written']} written, {made['unchanged']} unchanged, {made['superseded']} superseded"
        out.print(f"  outcome      {counts}; map revision {made['revision'][:12] or '-'}")
    for flag in made.get("flags", ()):
        _flag(out, Flag(**flag))
    for one in made["resources"]:
        out.print(f"  {one['op']:<12} {one['type']}/{one['id']} version {one['version']}")
    if "body" in made:
        out.print()
        out.print(escape(made["body"]))
    elif not made.get("deleted"):
        out.print("  (--show-phi shows the message; that is recorded)", style="dim")


def _flag(out: Console, flag: Flag) -> None:
    colour = "yellow" if flag.work else "dim"
    out.print(f"  [{colour}]flag         {escape(flag.code)} {escape(flag.where)}: {escape(flag.text)}[/]")


def print_ack(answer: Answer, many: bool) -> None:
    """Print an answer: its code, what is wrong, and its segments where there is one message only."""
    out = _out()
    name = f"{answer.number}. " if many else ""
    colour = "green" if answer.good else "red"
    code = answer.code or "no answer asked for"
    said = f"{escape(answer.message_type)} {escape(answer.control_id)}"
    out.print(f"{name}[{colour} bold]{escape(code)}[/] {said} in {answer.seconds * 1000:.0f} ms")
    for error in answer.errors:
        out.print(f"   [red]{escape(error)}[/]")
    if not many:
        for line in answer.ack.decode("utf-8", "replace").replace("\n", "\r").split("\r"):
            if line.strip():
                out.print(f"   {escape(''.join(c for c in line if c.isprintable()))}", style="dim")


def print_became(became: Became | None, entry_known: bool) -> None:
    """Print what a message became."""
    out = _out()
    if became is None:
        if entry_known:
            out.print(
                "   kept, not worked on yet: is a worker running? hub msg find shows it later", style="dim"
            )
        return
    o = became.outcome
    counts = f"{o.written} written, {o.unchanged} unchanged, {o.superseded} superseded"
    out.print(f"   entry {became.entry} {_state(o.status)}: {counts}")
    if o.status == "parked":
        out.print(f"   [yellow]{escape(o.cause)}[/] {escape(o.where)}: {escape(o.text)}")
    for kind, id_, version, op in became.resources:
        out.print(f"   {op:<7} {kind}/{id_}" + (f" version {version}" if version > 1 else ""))


def print_changes(rows: Sequence[dict[str, Any]], next_: str) -> None:
    """Print changes of the feed."""
    for row in rows:
        address = f"{row['type']}/{row['id']}"
        version = f"version {row['version']}"
        print(f"{row['position']:>9}  {row['at']}  {row['op']:<7} {address} {version}, entry {row['entry']}")
    print(f"go on with: hub feed --since {next_}")


def print_findings(found: Sequence[Finding]) -> None:
    """Print findings, by topic."""
    out = _out()
    topic = ""
    for one in found:
        if one.topic != topic:
            topic = one.topic
            out.print(f"\n{topic}", style="bold")
        out.print(f"  {_MARKS[one.state]} {one.name:<16} {escape(one.value)}")
        if one.remedy and one.state != "ok":
            out.print(f"                        -> {escape(one.remedy)}", style="dim")


def print_trial(trial: Trial, trace: bool) -> None:
    """Print a message tried: its resources, flags, and with `trace` every leaf and where it went."""
    out = _out()
    if trial.refused:
        out.print(f"message {trial.number}: [red]{escape(trial.refused)}[/]")
        return
    revision = f"map revision {trial.revision[:12]}"
    out.print(
        f"message {trial.number}: {escape(trial.type)}, site {trial.site}, {revision}",
        style="bold",
    )
    if trial.parked is not None:
        p = trial.parked
        out.print(f"  [yellow]would be parked: {escape(p.code)} {escape(p.where)}: {escape(p.text)}[/]")
    for flag in trial.flags:
        _flag(out, flag)
    if not trace:
        print(jsonio.dumps_pretty(trial.bundle).decode(), end="")
        return
    for entry in (trial.bundle or {}).get("entry", ()):
        out.print(f"  {entry['resource']['resourceType']:<18} {entry.get('fullUrl', '')}")
    wide = max((len(m.target) for m in trial.report.mapped), default=0)
    for m in trial.report.mapped:
        out.print(f"  {escape(f'{m.source:<18} {m.target:<{wide}}')} [dim]{escape(m.row)}[/]")
    for u in trial.report.unmapped:
        out.print(f"  {escape(f'{u.source:<18} -')} [dim]{escape(u.why)}[/]")
