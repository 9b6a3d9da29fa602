"""`hub send` and `hub demo` for people: the answers as they come, and what this project's hub made of the
messages.

In: files, addresses. Out: lines on standard output and an exit code: 0 when every message was taken.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from engine.cli.demo import Tally, addresses, stream
from engine.cli.follow import channel_at, follow
from engine.cli.opened import Opened, opened
from engine.cli.printing import print_ack, print_became
from engine.destinations.mllp import Answer, send_file
from engine.destinations.tls import ClientTls
from engine.formats.hl7v2.split import iter_messages
from engine.kernel.errors import ConfigError, HubError

__all__ = ["demo_and_tell", "send_and_tell"]

_FOLLOWED = 20  # messages of one file whose fate is shown one by one
_WAIT = 3.0  # seconds


def send_and_tell(
    file: Path, url: str, ca: Path | None, certificate: Path | None, key: Path | None, root: Path | None
) -> int:
    """Send the messages of a file; returns 0 when all were taken. Raises HubError."""
    tls = ClientTls(ca=ca, certificate=certificate, key=key) if url.startswith("mllps:") else None
    count = _count(file)
    many, shown = count > 1, count <= _FOLLOWED
    with ExitStack() as stack:
        hub, channel = _local(stack, root, url)
        bad = sent = 0
        for answer in send_file(file, url, tls=tls):
            sent += 1
            bad += not (answer.good or not answer.ack)
            if shown or not answer.good:
                print_ack(answer, many)
            if shown and hub is None and root is not None:
                hub, channel = _local(stack, root, url)  # the first message made its journal
            if shown and hub is not None and channel:
                _tell_fate(hub, channel, answer)
    if not shown:
        print(f"{sent - bad} of {sent} messages taken")
    return 1 if bad else 0


def _tell_fate(hub: Opened, channel: str, answer: Answer) -> None:
    became = follow(hub, channel, answer.control_id, _WAIT)
    print_became(became, answer.good)


def _count(file: Path) -> int:
    try:
        with file.open("rb") as data:
            return sum(1 for _ in iter_messages(data))
    except OSError as e:
        raise ConfigError("cannot read this file", where=str(file), why=e.strerror or str(e)) from None


def _local(stack: ExitStack, root: Path | None, url: str) -> tuple[Opened | None, str]:
    """Open this project's hub if the address is one of its channels."""
    if root is None:
        return None, ""
    try:
        hub = stack.enter_context(opened(root))
        return hub, channel_at(hub, url)
    except HubError:
        return None, ""  # the answer is what was asked for; its fate is shown where it can be


def demo_and_tell(root: Path, rate: float, count: int | None, seconds: float | None, to: str) -> int:
    """Stream invented messages; returns 0 when all were taken. Raises HubError."""
    adt, oru = (to, to) if to else addresses(root)
    print(f"registrations to {adt}, results to {oru}, {rate:g} a second; Ctrl-C stops")
    tally = Tally()

    def keep(now: Tally) -> None:
        nonlocal tally
        tally = now

    try:
        if sys.stderr.isatty():
            _with_bar(adt, oru, rate, count, seconds, keep)
        else:
            stream(adt, oru, rate=rate, count=count, seconds=seconds, progress=keep)
    except KeyboardInterrupt:
        pass  # the usual way to end it
    told = f"{tally.good} of {tally.sent} messages taken in {tally.seconds:.1f} s"
    half, most = tally.slowest(0.5) * 1000, tally.slowest(0.99) * 1000
    print(f"{told}; answers: half within {half:.1f} ms, 99 % within {most:.1f} ms")
    for text, times in tally.errors.items():
        print(f"  {times} x {text}")
    return 0 if tally.good == tally.sent else 1


def _with_bar(
    adt: str, oru: str, rate: float, count: int | None, seconds: float | None, keep: Callable[[Tally], None]
) -> None:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.completed:.0f} sent"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, transient=True) as bar:
        total = count if count is not None else seconds * rate if seconds is not None else None
        task = bar.add_task("", total=total)

        def progress(now: Tally) -> None:
            bar.update(task, completed=now.sent)
            keep(now)

        stream(adt, oru, rate=rate, count=count, seconds=seconds, progress=progress)
