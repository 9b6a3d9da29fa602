"""`hub convert` and `hub parse`: files in, a transaction Bundle and an honest report a message out, nothing
stored.

A message that cannot be converted is named on stderr as `file, message number, location, reason`; its
neighbours go on. Both cores work on many files.
"""

from __future__ import annotations

import hashlib
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from engine.fhir import jsonio
from engine.fhir.bundle import transaction
from engine.fhir.validate import validate
from engine.formats.hl7v2.parse import parse
from engine.formats.hl7v2.split import split_messages
from engine.kernel.errors import HubError
from engine.mapping.convert import headers, trace_message
from engine.mapping.project import Maps

__all__ = ["Result", "convert_bytes", "convert_paths", "expand", "stems"]

_maps: Maps | None = None


@dataclass(slots=True)
class Result:
    """One message converted or refused; `error` is (location, reason)."""

    number: int
    bundle: dict[str, Any] | None
    report: dict[str, Any]
    error: tuple[str, str] | None = None


def expand(paths: Iterable[Path]) -> list[Path]:
    """Return the files that the paths name; a folder stands for the files in it, in name order."""
    out: list[Path] = []
    for p in paths:
        out += (
            sorted(
                f for f in p.rglob("*") if f.is_file() and not f.name.startswith(".") and _looks_like_hl7(f)
            )
            if p.is_dir()
            else [p]
        )
    return out


def _looks_like_hl7(path: Path) -> bool:
    """Say whether a file found in a folder begins like HL7 v2; a file that was named is always taken."""
    try:
        with path.open("rb") as f:
            head = f.read(4096).replace(b"\x00", b"").lstrip(b"\xff\xfe\xef\xbb\xbf\x0b \t\r\n")
    except OSError:
        return True
    return head.startswith((b"MSH", b"FHS", b"BHS"))


def stems(files: list[Path]) -> list[str]:
    """Return the output stem of every file; equal ones from different folders get -2, -3."""
    taken: set[str] = set()
    out = []
    for f in files:
        stem, n = f.stem, 1
        while stem in taken:
            n += 1
            stem = f"{f.stem}-{n}"
        taken.add(stem)
        out.append(stem)
    return out


def convert_bytes(data: bytes, maps: Maps, site: str = "") -> Iterator[Result]:
    """Convert every message of one file."""
    found = False
    for number, record in enumerate(split_messages(data), 1):
        found = True
        yield _convert_one(number, bytes(record.data), maps, site)
    if not found:
        yield Result(1, None, _empty_report(""), ("MSH", "no HL7 v2 message found"))


def _empty_report(kind: str) -> dict[str, Any]:
    return {
        "source_format": "hl7v2",
        "message_type": kind,
        "mapped": [],
        "unmapped": [],
        "warnings": [],
        "errors": [],
    }


def _convert_one(number: int, data: bytes, maps: Maps, site: str) -> Result:
    out = _empty_report("")
    try:
        message = parse(data)
        out["message_type"] = f"{message.code}^{message.event}" if message.event else message.code
        name = site or maps.site_for(headers(message)).name
        charset = next((s.charset for s in reversed(maps.chain(name)) if s.charset), "")
        if charset:
            message = parse(data, charset=charset)
        done = trace_message(message, maps, name, hashlib.sha256(data).hexdigest()[:32], general=True)
    except HubError as e:
        out["errors"].append({"source": e.where, "text": str(e)})
        return Result(number, None, out, (e.where, str(e)))
    except (
        Exception
    ) as e:  # a fault of ours: this message is named, its neighbours go on; the text could quote the message
        at = traceback.extract_tb(e.__traceback__)[-1]
        why = (
            f"internal error, {type(e).__name__} at {at.filename.rsplit('/', 1)[-1]}:{at.lineno} in {at.name}"
        )
        out["errors"].append({"source": "", "text": why})
        return Result(number, None, out, ("-", why))
    out["site"], out["revision"] = done.site, done.revision
    out["mapped"] = [{"source": m.source, "target": m.target, "row": m.row} for m in done.report.mapped]
    out["unmapped"] = [{"source": u.source, "value": u.value, "why": u.why} for u in done.report.unmapped]
    out["warnings"] = [{"source": r.where, "text": r.text, "code": r.code} for r in message.repairs]
    out["warnings"] += [
        {"source": f.where, "text": f.text or f.code, "code": f.code} for f in done.built.flags
    ]
    if done.built.held is not None:
        held = done.built.held
        out["warnings"].append(
            {"source": held.where, "text": f"would be parked: {held.text}", "code": held.code}
        )
    bundle = transaction(done.built.drafts)
    for entry in bundle.get("entry", ()):
        for p in validate(entry["resource"]):
            out["errors"].append({"source": p.path, "text": p.text, "code": p.code})
    return Result(number, bundle, out)


def _start(root: str, identity_base: str) -> None:
    global _maps
    _maps = Maps.open(Path(root), identity_base)


def _file(job: tuple[str, str, str, str]) -> tuple[int, list[str]]:
    """Convert one file and write what it gives; returns (messages converted, lines for stderr)."""
    path, stem, out_dir, site = job
    assert _maps is not None
    out = Path(out_dir)
    try:
        data = Path(path).read_bytes()
    except OSError as e:
        return 0, [f"{path}, 0, -, cannot be read: {e.strerror}"]
    results = list(convert_bytes(data, _maps, site))
    problems: list[str] = []
    done = 0
    for r in results:
        name = stem if len(results) == 1 else f"{stem}.{r.number}"
        (out / f"{name}.report.json").write_bytes(orjson.dumps(r.report, option=orjson.OPT_INDENT_2))
        if r.bundle is None:
            where, why = r.error or ("", "")
            problems.append(f"{path}, {r.number}, {where or '-'}, {why}")
            continue
        (out / f"{name}.json").write_bytes(jsonio.dumps_pretty(r.bundle))
        done += 1
    return done, problems


def convert_paths(
    paths: list[Path],
    out: Path,
    root: Path,
    identity_base: str = "urn:hub:own",
    site: str = "",
    progress: Any = None,
) -> int:
    """Convert files and folders into `out`; returns the exit code (0 all converted, 1 otherwise)."""
    out.mkdir(parents=True, exist_ok=True)
    files = expand(paths)
    jobs = [(str(f), stem, str(out), site) for f, stem in zip(files, stems(files), strict=True)]
    if not jobs:
        print("nothing to convert: no file at these paths", file=sys.stderr)
        return 1
    bad = False
    workers = min(os.cpu_count() or 1, len(jobs))
    if workers > 1 and len(jobs) > 8:
        with ProcessPoolExecutor(workers, initializer=_start, initargs=(str(root), identity_base)) as pool:
            results: Iterable[tuple[int, list[str]]] = pool.map(
                _file, jobs, chunksize=max(1, min(16, len(jobs) // (workers * 4)))
            )
            bad = _tell(results, progress)
    else:
        _start(str(root), identity_base)
        bad = _tell(map(_file, jobs), progress)
    return 1 if bad else 0


def _tell(results: Iterable[tuple[int, list[str]]], progress: Any) -> bool:
    bad = False
    for _, problems in results:
        for line in problems:
            bad = True
            print(line, file=sys.stderr)
        if progress is not None:
            progress()
    return bad
