"""kill -9 in mid-study: what was acknowledged is there, nothing half-written is seen, a retry completes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import pytest
from ingest_samples import Parts, bring, encoded, image, uid

from engine.channels.node.recovery import catch_up, sweep
from engine.formats.dicom.header import object_of, read_header

LATER = 1 << 60
HERE = Path(__file__).parent
ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])}
STORER = [sys.executable, str(HERE / "ingest_storer.py")]

Number = tuple[int, int]


def acknowledged(output: bytes) -> set[Number]:
    """Return (series, number) of the whole `ack` lines."""
    lines = output[: output.rfind(b"\n") + 1].decode().splitlines()
    return {(int(w[1]), int(w[2])) for line in lines if (w := line.split())[0] == "ack"}


def check(folder: Path, acks: set[Number]) -> set[Number]:
    """After a restart all that was acknowledged is there, and whole; return what is visible."""
    parts = Parts(folder)
    catch_up(parts.index, parts.objects, parts.journal.read)
    assert not list((parts.objects.root / "incoming").iterdir())
    held = parts.index.instances(study=uid(1))
    seen = {tuple(map(int, h.sop_instance.rsplit(".", 2)[1:])) for h in held}
    assert acks <= seen  # type: ignore[comparison-overlap]
    for one in held:
        series, number = map(int, one.sop_instance.rsplit(".", 2)[1:])
        with parts.objects.open(one.address) as opened:
            assert opened.read().endswith(encoded(image(series=series, number=number, pixels=40_000)))
    after, entries = 0, set()
    while found := parts.journal.read(after, 200):
        entries |= {object_of(read_header(BytesIO(e.body))) for e in found}
        after = found[-1].id
    assert {(h.address, h.size) for h in held} == entries
    sweep(parts.index, parts.objects, parts.journal.read, LATER)
    assert sorted(parts.objects.addresses(LATER)) == sorted(h.address for h in held)
    parts.close()
    return seen  # type: ignore[return-value]


def test_killed_between_any_two_steps(tmp_path: Path) -> None:
    done = subprocess.run(
        [*STORER, str(tmp_path), "steps"], env=ENVIRONMENT, stdout=subprocess.PIPE, check=True, timeout=300
    )
    acks = acknowledged(done.stdout)
    last = int(done.stdout.split(b"end ")[1])
    assert last > 12 and acks == {(1, last)}  # it died at every step but came through with the last
    seen = check(tmp_path, acks)
    assert {n for _, n in seen} < set(range(1, last + 1)) and len(seen) > 1
    parts = Parts(tmp_path)
    for number in range(1, last + 1):  # the sender's retry completes the study
        assert bring(parts.ingest, image(number=number, pixels=40_000)) == 0
    assert parts.index.counts()["instances"] == last
    parts.close()
    check(tmp_path, {(1, n) for n in range(1, last + 1)})


def rounds(folder: Path, count: int, seed: int) -> None:
    rng, acks = random.Random(seed), set[Number]()
    for _ in range(count):
        first = max((n for _, n in acks), default=0) + 1
        process = subprocess.Popen(
            [*STORER, str(folder), "run", "3", str(max(1, first - 3))],
            stdout=subprocess.PIPE,
            env=ENVIRONMENT,
        )
        assert process.stdout is not None
        early = process.stdout.readline()  # it runs
        time.sleep(rng.uniform(0.01, 0.4))
        process.send_signal(signal.SIGKILL)
        new = acknowledged(early + process.stdout.read())
        process.wait()
        assert new
        acks |= new
        check(folder, acks)


def test_killed_at_any_moment(tmp_path: Path) -> None:
    rounds(tmp_path, 3, 2026)


@pytest.mark.soak
def test_killed_many_times(tmp_path: Path) -> None:
    rounds(tmp_path, 40, 2027)


@pytest.mark.parametrize("megabytes", [256, pytest.param(1024, marks=pytest.mark.soak)])
def test_memory_does_not_grow_with_an_object(tmp_path: Path, megabytes: int) -> None:
    done = subprocess.run(
        [*STORER, str(tmp_path), "large", str(megabytes)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        check=True,
        timeout=300,
    )
    assert int(done.stdout) < 48 << 20
