"""Fuzz the HL7 v2 room: `python tools/fuzz_hl7v2.py --seconds 60`.

Guided by coverage with atheris where it is installed (Linux, CPython), else by random mutation of the
seeds. Whatever the bytes are: nothing but `FormatError` is raised, no segment is lost or doubled, offsets
lie inside the input, an undamaged message is written back byte for byte, and a mended one reads the same
when it is read again. The first input that breaks this is written to the folder of `--keep` and the run
ends with 1.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import io
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

atheris: Any = None
guide: Any = contextlib.nullcontext()
if __name__ == "__main__" and "--no-atheris" not in sys.argv and importlib.util.find_spec("atheris"):
    import atheris

    guide = atheris.instrument_imports(include=["engine.formats.hl7v2"])
with guide:
    from engine.formats.hl7v2.ack import AckError, acknowledge, fast_ack
    from engine.formats.hl7v2.groups import arrange_message
    from engine.formats.hl7v2.header import peek
    from engine.formats.hl7v2.parse import iter_messages, leaves, parse, split_messages
    from engine.formats.hl7v2.write import emit
    from engine.kernel.errors import FormatError

SEEDS = (
    b"MSH|^~\\&|A|B|C|D|2026||ORU^R01^ORU_R01|1|P|2.5.1||||||8859/1\rPID|1||7^^^H&1.2&ISO^MR~8\rOBR|1\r"
    b"OBX|1|TX|1^a^L||x\\.br\\y\\T\\\\XC3A9\\||||||F\rNTE|1||n\rSPM|1\r",
    b"FHS|^~\\&|x\rBHS|^~\\&|y\rMSH|^~\\&#|A\nPID|1||7\nbroken line\n\nzz1|1\r\nBTS|1\rFTS|1\r",
    b"\x0b\xef\xbb\xbfMSH#@*!$#A#######ADT@A40#1#P#2.3###"
    b"##~ISO IR87\rPID#1##7##\x1b$B;3ED\x1b(B\rMRG#8\r\x1c\r",
    "MSH|^~\\&|A|||||||||2.5||||||UNICODE UTF-16\rPID|1||7||Ж\r".encode("utf-16"),
)


def check(data: bytes) -> None:
    """Put bytes through the whole room; an AssertionError or a strange exception is a defect."""
    header = peek(data)
    fast_ack(header, "AA", "1", "2026")
    acknowledge(header, "AE", errors=[AckError("E", "207", "PID[1]-3", "text")], control_id="1", at_ms=0)
    pieces = split_messages(data)
    for piece in pieces:
        assert data[piece.offset : piece.offset + len(piece.data)] == piece.data, (
            "a slice is not of the input"
        )
        check_message(piece.data)
    streamed = [piece[:3] for piece in iter_messages(io.BytesIO(data), piece=37)]
    assert streamed == [piece[:3] for piece in pieces], "streaming finds other messages"
    check_message(data)


def check_message(data: bytes) -> None:
    """Read, look at, arrange and write one message."""
    try:
        message = parse(data)
    except FormatError:
        return
    undamaged = not message.repairs
    found = list(leaves(message))
    for leaf in found[:40]:
        start, end = message.span(leaf.segment, leaf.field, leaf.rep, leaf.comp, leaf.sub)
        assert 0 <= start <= end <= len(data), "an offset lies outside the input"
    arranged = [id(segment) for _, segment in arrange_message(message).walk()]
    assert sorted(arranged) == sorted(id(segment) for segment in message.segments), (
        "a segment was lost or doubled"
    )
    written = emit(message)
    if undamaged:
        assert written == data[slice(*message.body_range)], "an undamaged message changed"
    if any(mark in written for mark in (b"\x0b", b"\x1c")):
        return  # frame bytes inside a message may be taken for its frame when it is read again
    if any(repair.where.startswith("MSH") and repair.code != "charset" for repair in message.repairs):
        return  # delimiters that had to be guessed may be guessed otherwise
    if any("\n" in segment.text and message.delims.escape in segment.text for segment in message.segments):
        return  # a line broken inside an escape sequence has no one meaning
    again = parse(written, charset=message.charset)
    assert [leaf[0::6] for leaf in leaves(again)] == [leaf[0::6] for leaf in found], (
        "a mended message reads otherwise"
    )


def random_bytes(chance: random.Random) -> bytes:
    """Mutate a seed a few times."""
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(len(data) + 1)
        kind = chance.randrange(5)
        if kind == 0:
            data[at:at] = bytes(
                chance.choice(b"|^~\\&\r\n\x0b\x1c\x1b\x00MSHPIDXZ09#.") for _ in range(chance.randint(1, 4))
            )
        elif kind == 1:
            del data[at : at + chance.randint(1, 9)]
        elif kind == 2 and at < len(data):
            data[at] = chance.randrange(256)
        elif kind == 3:
            start = chance.randrange(len(data) + 1)
            data[at:at] = data[start : start + chance.randint(1, 60)]
        else:
            other = chance.choice(SEEDS)
            start = chance.randrange(len(other))
            data[at:at] = other[start : start + chance.randint(1, 30)]
        if not data:
            data = bytearray(b"M")
    return bytes(data)


def main() -> int:
    """Run until the time is over or something breaks."""
    options = argparse.ArgumentParser(description="Fuzz the HL7 v2 room.")
    options.add_argument("--seconds", type=int, default=60)
    options.add_argument("--seed", type=int, default=0, help="0: from the clock")
    options.add_argument(
        "--keep", type=Path, default=Path("fuzz-found"), help="folder for an input that breaks"
    )
    options.add_argument("--no-atheris", action="store_true")
    chosen = options.parse_args()
    if atheris is not None:
        guided(chosen.seconds, chosen.keep)
        return 0
    chance = random.Random(chosen.seed or time.time_ns())
    end = time.monotonic() + chosen.seconds
    count = 0
    while time.monotonic() < end:
        guarded(random_bytes(chance), chosen.keep)
        count += 1
    print(f"{count} inputs, nothing broke")
    return 0


def guarded(data: bytes, keep: Path) -> None:
    """Run the check and keep the input that breaks it."""
    try:
        check(data)
    except BaseException:
        keep.mkdir(parents=True, exist_ok=True)
        path = keep / f"{time.time_ns()}.hl7"
        path.write_bytes(data)
        print(f"this broke it: {path}", file=sys.stderr)
        raise


def guided(seconds: int, keep: Path) -> None:
    """Let libFuzzer look for inputs that reach new code; it ends the process itself."""
    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS):
            (Path(corpus) / f"seed{number}").write_bytes(seed)
        atheris.Setup(
            [
                sys.argv[0],
                corpus,
                f"-max_total_time={seconds}",
                "-max_len=2000",
                f"-artifact_prefix={corpus}/",
            ],
            lambda data: guarded(data, keep),
        )
        atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
