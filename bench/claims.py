"""Claims and payments to FHIR: how many a second on one core, and the most memory, as the hub's workers map.

In: the 837P and 835 samples of this checkout, their claims again and again with other numbers and members, in
one transaction set. Out: one JSON object for each: claims a second from bytes to FHIR JSON by the clock and
by CPU time (which neighbours do not touch), and with the report that `hub convert` writes. Maps are compiled
before the clock starts.

    python bench/claims.py                 # 3,000 of each
    python bench/claims.py --claims 20000
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import sys
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.cli.collecting import Collecting
from engine.fhir import jsonio
from engine.fhir.bundle import transaction
from engine.mapping.convert import map_arrived, unkeyed
from engine.mapping.from_x12 import arrivals
from engine.mapping.project import Maps
from engine.mapping.x12pieces import trace_long, transaction_sets

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "sample_messages" / "x12"
WANTED = {"837P": "Claim", "835": "ExplanationOfBenefit"}


def many(name: str, claims: int) -> bytes:
    """Write a transaction set of about so many claims or payments."""
    file, first, last, each = {
        "837P": ("837P_professional_claim", "HL*2*", "SE*", 2),
        "835": ("835_payment", "CLP*", "PLB*", 2),
    }[name]
    text = (SAMPLES / f"{file}.x12").read_text("ascii")
    begin, end = text.index(first), text.index(last)
    body, levels = text[begin:end], len(re.findall("HL[*]", text[begin:end]))
    out = [text[:begin]]
    for n in range(claims // each):
        copy = body.replace("NB-77", f"NB{n:07d}-").replace("BPK", f"BPK{n:07d}")
        if levels:
            copy = re.sub(r"HL\*(\d+)\*(\d+)\*", lambda m, n=n: _level(m, n * levels), copy)
        out.append(copy)
    return "".join([*out, text[end:]]).encode()


def _level(m: re.Match[str], shift: int) -> str:
    above = int(m[2]) + (shift if int(m[2]) > 1 else 0)
    return f"HL*{int(m[1]) + shift}*{above}*"


def fast(data: bytes, maps: Maps) -> Iterator[bytes]:
    """Give the bundle of each transaction set, mapped as the hub's workers map."""
    program = maps.program("standard", trace=False)
    for sent in arrivals(data):
        built = map_arrived(sent, program, unkeyed, "bench")
        yield jsonio.dumps(transaction(built.drafts))
        built.release()


def reported(data: bytes, maps: Maps) -> Iterator[bytes]:
    """Give them as `hub convert` does, whose twin remembers where every value came from."""
    for pieces in transaction_sets(BytesIO(data)):
        for piece in trace_long(pieces, maps, "standard", "bench"):
            yield jsonio.dumps(transaction(piece.built.drafts))


def main() -> None:
    """Measure both kinds."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--claims", type=int, default=3000)
    asked = options.parse_args()
    maps = Maps.open(ROOT).of("x12")
    collecting = Collecting()  # as a worker does
    for name, kind in WANTED.items():
        data = many(name, asked.claims)
        small = many(name, 2)
        line: dict[str, object] = {"set": name, "megabytes": round(len(data) / 1e6, 1)}
        for way in (fast, reported):
            list(way(small, maps))
            collecting.tick()
            clock, cpu = time.perf_counter(), time.process_time()
            made = sum(bundle.count(b'"resourceType":"%s"' % kind.encode()) for bundle in way(data, maps))
            line["claims"] = made
            line[f"{way.__name__}_claims_per_second"] = round(made / (time.perf_counter() - clock))
            line[f"{way.__name__}_claims_per_cpu_second"] = round(made / (time.process_time() - cpu))
        line["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(json.dumps(line))


if __name__ == "__main__":
    main()
