"""`hub convert` and `hub parse` as a user meets them: files, names, exit codes, the report's contract."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cli.convert import convert_paths, expand, stems
from engine.cli.parse import parse_paths
from engine.formats.hl7v2.leaves import leaves
from engine.formats.hl7v2.parse import parse
from engine.kernel.errors import HubError

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "sample_messages/lab/oru_potassium.hl7"
BATCH = ROOT / "sample_messages/lab/batch_two_results.hl7"
ADDRESS = re.compile(r"[A-Z][A-Z0-9]{2}\[\d+\]-\d+\[\d+\]\.\d+(\.\d+)?")


def convert(paths: list[Path], out: Path) -> int:
    return convert_paths(paths, out, ROOT)


def test_one_message_gives_a_bundle_and_a_report(tmp_path: Path) -> None:
    assert convert([SAMPLE], tmp_path) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["oru_potassium.json", "oru_potassium.report.json"]
    bundle = json.loads((tmp_path / "oru_potassium.json").read_text())
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "transaction")
    report = json.loads((tmp_path / "oru_potassium.report.json").read_text())
    assert report["source_format"] == "hl7v2"
    assert report["message_type"] == "ORU^R01"
    assert {"source": "PID[1]-5[1].1", "target": "Patient.name[0].family"}.items() <= next(
        m for m in report["mapped"] if m["source"] == "PID[1]-5[1].1"
    ).items()
    assert report["errors"] == []


def test_every_populated_leaf_is_mapped_or_named(tmp_path: Path) -> None:
    assert convert([SAMPLE], tmp_path) == 0
    report = json.loads((tmp_path / "oru_potassium.report.json").read_text())
    told = {e["source"] for kind in ("mapped", "unmapped") for e in report[kind]}
    assert told == {leaf.address for leaf in leaves(parse(SAMPLE.read_bytes()))}
    assert all(ADDRESS.fullmatch(a) for a in told)
    assert all(u["why"] and u["value"] for u in report["unmapped"])


def test_a_file_of_several_messages_is_numbered_from_one(tmp_path: Path) -> None:
    assert convert([BATCH], tmp_path) == 0
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [f"batch_two_results.{n}{end}" for n in (1, 2) for end in (".json", ".report.json")]


def test_equal_stems_from_different_folders_do_not_overwrite(tmp_path: Path) -> None:
    files = []
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "x.hl7")
        files[-1].write_bytes(SAMPLE.read_bytes())
    assert stems(files) == ["x", "x-2", "x-3"]
    out = tmp_path / "out"
    assert convert(files, out) == 0
    assert {p.name for p in out.iterdir()} == {
        f"{s}{e}" for s in ("x", "x-2", "x-3") for e in (".json", ".report.json")
    }


def test_bad_input_is_named_on_stderr_and_its_neighbours_go_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.hl7"
    bad.write_bytes(b"GET / HTTP/1.1\r\n\r\n")
    out = tmp_path / "out"
    assert convert([bad, SAMPLE], out) == 1
    err = capfd.readouterr().err.strip().splitlines()
    assert len(err) == 1
    file, number, location, reason = (part.strip() for part in err[0].split(",", 3))
    assert (file, number, location) == (str(bad), "1", "-")
    assert reason
    assert (out / "oru_potassium.json").exists()
    assert not (out / "bad.json").exists()


def test_a_header_alone_is_no_admission_and_may_be_a_report(tmp_path: Path) -> None:
    head = b"MSH|^~\\&|A|B|C|D|2020||%s|1|P|2.5\r"
    for name, kind, code in (("adt", b"ADT^A01", 1), ("oru", b"ORU^R01", 0)):
        (tmp_path / f"{name}.hl7").write_bytes(head % kind)
        assert convert([tmp_path / f"{name}.hl7"], tmp_path / "out") == code
        assert (tmp_path / "out" / f"{name}.json").exists() is (code == 0)


def test_both_cores_give_what_one_gives(tmp_path: Path) -> None:
    files = sorted((ROOT / "sample_messages/lab").glob("*.hl7"))[:12]
    assert len(files) > 8  # so that the pool is used
    assert convert(files, tmp_path / "many") == 0
    assert convert(files[:3], tmp_path / "one") == 0
    made = list((tmp_path / "one").iterdir())
    assert len(made) >= 6
    for one in made:
        assert (tmp_path / "many" / one.name).read_bytes() == one.read_bytes()


def test_a_folder_stands_for_its_messages_only() -> None:
    found = expand([ROOT / "sample_messages"])
    assert {f.suffix for f in found} == {".hl7", ".x12", ".xml", ".dcm", ".json"}  # no README, no table


def test_parse_writes_back_what_came_in(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    files = sorted((ROOT / "sample_messages/lab").glob("oru_*.hl7"))
    assert parse_paths(files, tmp_path) == 0
    trees = json.loads(capfd.readouterr().out)
    assert len(trees) == len(files)
    for f, tree in zip(files, trees, strict=True):
        assert (tmp_path / f.name).read_bytes() == f.read_bytes()
        assert tree["identical"] and tree["repairs"] == []
        assert tree["segments"][0]["fields"][0]["address"].startswith("MSH[1]-")


def test_parse_lists_damage(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    damaged = tmp_path / "damaged.hl7"
    damaged.write_bytes(SAMPLE.read_bytes().replace(b"Slight hemolysis", b"Slight\rhemolysis"))
    assert parse_paths([damaged]) == 0
    (tree,) = json.loads(capfd.readouterr().out)
    assert [r["code"] for r in tree["repairs"]]


def test_a_batch_in_pieces_gives_what_each_message_alone_gives(tmp_path: Path) -> None:
    """Messages that lie across the pieces a file is read in are neither cut nor doubled."""
    samples = [f.read_bytes() for f in sorted((ROOT / "sample_messages/lab").glob("oru_*.hl7"))[:4]]
    bodies = [body for n in range(4) for body in samples]
    filler = b"NTE|9|L|" + b"x" * 90_000 + b"\r"  # so that a few messages fill a piece of 1 MiB
    bodies = [body.rstrip(b"\r\n") + b"\r" + filler for body in bodies]
    batch = tmp_path / "batch.hl7"
    batch.write_bytes(b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + b"".join(bodies) + b"BTS|16\rFTS|1\r")
    assert batch.stat().st_size > 1 << 20
    assert convert([batch], tmp_path / "batch") == 0
    assert len(list((tmp_path / "batch").iterdir())) == 2 * len(bodies)
    for n, body in enumerate(bodies[:4], 1):
        (tmp_path / f"{n}.hl7").write_bytes(body)
    assert convert([tmp_path / f"{n}.hl7" for n in range(1, 5)], tmp_path / "alone") == 0
    for n in range(1, 5):
        for end in (".json", ".report.json"):
            once = (tmp_path / f"alone/{n}{end}").read_bytes()
            assert (tmp_path / f"batch/batch.{n}{end}").read_bytes() == once
            assert (tmp_path / f"batch/batch.{n + 12}{end}").read_bytes() == once


MEMORY = """
import resource, sys
from pathlib import Path
from engine.cli.convert import convert_paths
root, warm, batch, out = map(Path, sys.argv[1:])
assert convert_paths([warm], out / "warm", root) == 0
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert convert_paths([batch], out / "batch", root) == 0
print(before // 1024, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


@pytest.mark.parametrize("megabytes", [3, pytest.param(50, marks=pytest.mark.soak)])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, megabytes: int) -> None:
    body = SAMPLE.read_bytes().rstrip(b"\r\n") + b"\r" + (b"NTE|9|L|" + b"x" * 5000 + b"\r") * 20
    warm, batch = tmp_path / "warm.hl7", tmp_path / "batch.hl7"
    warm.write_bytes(body)
    count = (megabytes << 20) // len(body)
    with batch.open("wb") as file:
        for _ in range(count):
            file.write(body)
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, ROOT, warm, batch, tmp_path / "out"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    print(f"{megabytes} MB, {count} messages: {before} MB before, {after} MB at the highest")
    assert len(list((tmp_path / "out/batch").iterdir())) == 2 * count
    assert after - before < 25


def test_a_folder_that_cannot_be_written_is_one_line() -> None:
    with pytest.raises(HubError, match="Name another --out"):
        convert([SAMPLE], Path("/proc/hub"))


def test_a_bar_counts_bytes_on_a_terminal(tmp_path: Path) -> None:
    reading, terminal = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "engine.cli.main", "convert", BATCH, "--out", tmp_path / "out"],
        cwd=ROOT,
        stderr=terminal,
        stdout=subprocess.PIPE,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(terminal)
    said = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while part := os.read(reading, 65536):
            said += part
    os.close(reading)
    assert done.wait(60) == 0 and done.stdout is not None
    assert done.stdout.read() == b""
    done.stdout.close()
    size = f"{BATCH.stat().st_size / 1000:.1f}/{BATCH.stat().st_size / 1000:.1f} kB"
    assert b"converting" in said and size.encode() in said, said
