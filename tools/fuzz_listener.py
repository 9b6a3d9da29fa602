"""Fuzz the listener: `python tools/fuzz_listener.py --seconds 60`.

Any bytes, cut anywhere, go through framing, header peek, order keys, acknowledgement rules and intake, with
a journal in memory. Guided by coverage with atheris where it is installed, else by random mutation of the
seeds. Whatever comes in: nothing is raised but the engine's own errors, every byte of a complete frame is in
the journal, every answer comes after its append, and no frame has two answers. The first input that breaks
this is written to the folder of `--keep` and the run ends with 1.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import logging
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

atheris: Any = None
guide: Any = contextlib.nullcontext()
if __name__ == "__main__" and "--no-atheris" not in sys.argv and importlib.util.find_spec("atheris"):
    import atheris

    guide = atheris.instrument_imports(
        include=[
            "engine.wire",
            "engine.listeners",
            "engine.formats.hl7v2.header",
            "engine.formats.hl7v2.split",
        ]
    )
with guide:
    from engine.formats.hl7v2.order_keys import order_keys
    from engine.kernel.message import Accepted, NewEntry
    from engine.listeners.ack_rules import AckRules, AckSettings
    from engine.listeners.intake import Intake, Source
    from engine.listeners.metrics import Metrics
    from engine.listeners.senders import Senders
    from engine.wire.mllp import Framer

SEEDS = (
    b"\x0bMSH|^~\\&|A|B|C|D|2026||ORU^R01|1|P|2.5.1|||AL|NE\rPID|1||7^^^H&1.2&ISO^MR~8\r\x1c\r",
    b"\x0bFHS|^~\\&|x\rBHS|^~\\&|y||||||||9\rMSH|^~\\&|A||||||ADT^A01|1|P|2.3\rPID|1||7\rMSH|^~\\&|A||||||ADT^A40|2|P|2.3"
    b"\rMRG|8\rBTS|3\rFTS|1\r\x1c\r",
    b"\x0bnot HL7\x1c\r\x0bMSH|\x1c\r\x0bMSH|^~\\&|||||||||\x1c\rGET / HTTP/1.1\r\n\r\n",
    b"\x0b"
    + "MSH|^~\\&|A|||||||7||2.5||||||UNICODE UTF-16\rPID|1||7\r".encode("utf-16")
    + b"\x1c\r\x0bMSH|^~",
)


class _Journal:
    """Keeps entries in memory; a second one with the same control id and bytes is a duplicate."""

    def __init__(self) -> None:
        self.entries: list[NewEntry] = []

    def append(self, entries: Sequence[NewEntry], /) -> list[Accepted]:
        made = []
        for entry in entries:
            twin = next(
                (
                    n
                    for n, e in enumerate(self.entries, 1)
                    if (e.control_id, e.body) == (entry.control_id, entry.body)
                ),
                None,
            )
            if twin is not None and entry.control_id:
                made.append(Accepted(twin, duplicate_of=twin))
                continue
            self.entries.append(entry)
            made.append(Accepted(len(self.entries)))
        return made


class _Connection:
    peer = "10.0.0.1"

    def __init__(self, journal: _Journal) -> None:
        self.journal = journal
        self.taken = self.answered = 0

    def answer(self, acks: list[bytes], frames: int) -> None:
        self.answered += frames
        assert self.answered <= self.taken, "a frame has two answers"
        assert len(acks) <= frames
        for ack in acks:
            assert ack.startswith(b"MSH") and b"\rMSA" in ack, "an answer is no acknowledgement"
            assert not {0x0B, 0x1C} & set(ack), "an answer would break its frame"
        assert self.journal.entries, "an answer came before anything was journaled"

    def hold(self, on: bool) -> None:
        """Nothing more is read here anyway."""

    def abandon(self) -> None:
        raise AssertionError("a connection was given up though the journal works")

    def stop(self, reason: str) -> None:
        """Nothing is held here."""


def check(data: bytes) -> None:
    """Put bytes through the listener; the first byte says how they are cut."""
    cut = data[0] + 1 if data else 1
    rest = data[1:]
    for pieces in ([rest], [rest[n : n + cut] for n in range(0, len(rest), cut)]):
        journal, turns = _Journal(), []
        connection = _Connection(journal)
        intake = Intake(journal, turns.append, Metrics(), time.monotonic)
        source = Source("fuzz", AckRules(AckSettings(), None), Senders("fuzz"))
        framer = Framer(1 << 16)
        frames = []
        for piece in pieces:
            for message in framer.receive(piece):
                frames.append(message)
                connection.taken += 1
                order_keys(message)
                intake.accept(connection, source, message)
            while turns:
                turns.pop()()
            if framer.violation is not None:
                if framer.violation.body:
                    connection.taken += 1
                    intake.keep(connection, source, framer.violation.body, framer.violation.kind)
                break
        while turns:
            turns.pop()()
        framer.close()
        assert connection.answered == connection.taken, "a frame was forgotten"
        kept = b"".join(e.body for e in journal.entries)
        for message in frames:
            if b"msh" not in message[3:].lower() and b"\0" not in message:
                assert message in kept, "the bytes of a frame are not in the journal"


def main() -> int:
    """Fuzz for a while; 0: nothing found, 1: something was, and its input is kept."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--seconds", type=float, default=60)
    ask.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()))
    ask.add_argument("--seed", type=int, default=0)
    ask.add_argument("--no-atheris", action="store_true")
    given = ask.parse_args()
    logging.disable(logging.CRITICAL)
    until = time.monotonic() + given.seconds
    runs = 0

    def one(data: bytes) -> None:
        nonlocal runs
        runs += 1
        try:
            check(data)
        except BaseException:
            path = given.keep / "fuzz_listener.input"
            path.write_bytes(data)
            print(f"broken by {path}", file=sys.stderr)
            raise

    seeds = [b"\x05" + seed for seed in SEEDS]
    for seed in seeds:
        one(seed)
    if atheris is not None:
        with tempfile.TemporaryDirectory() as corpus:
            for n, seed in enumerate(seeds):
                (Path(corpus) / str(n)).write_bytes(seed)
            flags = [
                f"-max_total_time={max(1, int(given.seconds))}",
                "-max_len=4096",
                f"-artifact_prefix={given.keep}/",
            ]
            if given.seed:
                flags.append(f"-seed={given.seed}")
            atheris.Setup([sys.argv[0], *flags, corpus], one)
            atheris.Fuzz()
        return 0
    rng = random.Random(given.seed or None)
    while time.monotonic() < until:
        one(_mutated(rng, seeds))
    print(f"{runs} inputs, nothing found")
    return 0


def _mutated(rng: random.Random, seeds: list[bytes]) -> bytes:
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randrange(1, 12)):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(4)
        if kind == 0:
            data[at:at] = bytes([rng.choice(b"\x0b\x1c\r\n|^~\\&MSH\0\xff")])
        elif kind == 1 and data:
            del data[at : at + rng.randrange(1, 8)]
        elif kind == 2:
            data[at:at] = rng.choice(seeds)[rng.randrange(20) :][: rng.randrange(1, 60)]
        elif data:
            data[min(at, len(data) - 1)] = rng.randrange(256)
    return bytes(data)


if __name__ == "__main__":
    sys.exit(main())
