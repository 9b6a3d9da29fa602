"""`hub demo`: invented patients come and go: registrations and results over MLLP to a running hub, at a
chosen rate.

In: addresses, a rate, an end. Out: a tally of what was answered. It waits for each answer, as a sender must;
a hub that answers slower than the rate makes the stream slower, never lossy.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from engine.channels.definition import load_channels
from engine.cli.synthetic import admission, patient, result
from engine.destinations.mllp import Answer, send
from engine.kernel.errors import ConfigError

__all__ = ["Tally", "addresses", "stream"]

_PATIENTS = 200
_RESULTS = 3  # results for each registration, on average


@dataclass(slots=True)
class Tally:
    """What was sent and answered."""

    sent: int = 0
    good: int = 0
    seconds: float = 0.0
    answers: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)

    def add(self, answer: Answer) -> None:
        """Count one answer."""
        self.sent += 1
        self.good += answer.good
        self.answers.append(answer.seconds)
        if not answer.good:
            text = answer.errors[0] if answer.errors else answer.code or "no answer asked for"
            self.errors[text] = self.errors.get(text, 0) + 1

    def slowest(self, share: float) -> float:
        """Return the time within which this share of the answers came, in seconds."""
        ordered = sorted(self.answers)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def addresses(root: Path) -> tuple[str, str]:
    """Return where this project's registrations and results are listened for. Raises ConfigError."""
    urls: dict[str, str] = {}
    for channel in load_channels(root):
        if channel.mllp is None or channel.mllp.mllp.tls is not None:
            continue
        mllp = channel.mllp.mllp
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(mllp.host, mllp.host)
        url = f"mllp://{f'[{host}]' if ':' in host else host}:{mllp.port}"
        for accepted in channel.mllp.rules.accept:
            kind = accepted.type.split("^")[0]
            if kind == "ORU" or (kind == "ADT" and (channel.demographics or kind not in urls)):
                urls[kind] = url
    if "ORU" not in urls:
        raise ConfigError(
            "no channel takes results (ORU^R01) without TLS", where="channels", remedy="name one with --to"
        )
    return urls.get("ADT", urls["ORU"]), urls["ORU"]


def stream(
    adt: str,
    oru: str,
    *,
    rate: float,
    count: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    progress: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Send until `count` messages or `seconds` are over (neither: until interrupted). Raises NotAnswered,
    ConfigError.
    """
    r = random.Random(seed)
    run = f"{time.time_ns() // 1_000_000:X}"  # control ids are never used twice
    boxes: dict[str, deque[bytes]] = {url: deque() for url in (adt, oru)}
    lines = {url: send(_poured(box), url) for url, box in boxes.items()}
    tally = Tally()
    began = time.monotonic()
    registered: list[int] = []
    while (count is None or tally.sent < count) and (seconds is None or time.monotonic() - began < seconds):
        late = began + tally.sent / rate - time.monotonic()
        if late > 0:
            time.sleep(late)
        again = bool(registered) and r.random() < _RESULTS / (_RESULTS + 1)
        who = patient(r.choice(registered) if again else r.randrange(_PATIENTS))
        control, now = f"D{run}{tally.sent:05}", datetime.now(UTC)
        if not again:
            registered.append(who.number)
            url, message = adt, admission(who, control, now)
        else:
            url, message = oru, result(who, control, now, r)
        boxes[url].append(message)
        tally.add(next(lines[url]))
        tally.seconds = time.monotonic() - began
        progress(tally)
    for line in lines.values():
        if isinstance(line, Generator):
            line.close()  # and with it the connection
    return tally


def _poured(box: deque[bytes]) -> Iterator[bytes]:
    while box:
        yield box.popleft()
