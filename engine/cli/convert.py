"""`hub convert` and `hub parse`: files in, a transaction Bundle and an honest report a message out, nothing
stored.

A message that cannot be converted is named on stderr as `file, message number, location, reason`; its
neighbours go on. Both cores work on many files. A file is read in pieces and a message forgotten once it is
written: memory is that of the maps, one piece (1 MiB) and twice the longest message with what it became,
however long the file.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import orjson

from engine.cli.collecting import Collecting
from engine.cli.converted import READERS, Result, convert_others, empty_report, fill, internal_error
from engine.cli.convertlong import LONG, Refused, convert_long
from engine.cli.convertsets import convert_sets
from engine.cli.convertstudies import Files, convert_study, together
from engine.fhir import jsonio
from engine.formats.content import HEAD, recognise
from engine.formats.hl7v2.parse import Message, parse
from engine.formats.hl7v2.split import iter_messages
from engine.formats.hl7v2.structures import structure_for
from engine.kernel.errors import FormatError, HubError
from engine.kernel.message import Identity
from engine.mapping.convert import headers, trace_message
from engine.mapping.project import Maps

if TYPE_CHECKING:
    from engine.channels.definition import Channel

__all__ = ["Result", "convert_bytes", "convert_file", "convert_paths", "convert_with_bar", "expand", "stems"]

_maps: Maps | None = None
_channel: Channel | None = None
_collecting: Collecting | None = None


def expand(paths: Iterable[Path], also: Callable[[Path], bool] = lambda _: False) -> list[Path]:
    """Return the files that the paths name; a folder stands for the files in it whose content is of a
    format we read (and those `also` takes), in name order."""
    out: list[Path] = []
    for p in paths:
        out += (
            sorted(
                f
                for f in p.rglob("*")
                if f.is_file() and not f.name.startswith(".") and (_looks_like_ours(f) or also(f))
            )
            if p.is_dir()
            else [p]
        )
    return out


def _looks_like_ours(path: Path) -> bool:
    """Say whether a file found in a folder is of a format we read; a file that was named is always taken."""
    try:
        with path.open("rb") as f:
            return recognise(f.read(HEAD)) != ""
    except OSError:
        return True


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
    """Convert every message in bytes."""
    return convert_file(BytesIO(data), maps, site)


def convert_file(
    file: BinaryIO, maps: Maps, site: str = "", channel: Channel | None = None
) -> Iterator[Result]:
    """Convert every message, document or transaction set of one file; HL7 v2 is read in pieces.

    `channel`: HL7 v2 is read by the map that it names, and its rules say what of devices is left out.
    """
    head = file.read(HEAD)
    file.seek(0)
    format = recognise(head)
    if format in READERS:
        yield from convert_others(format, file, maps, site)
        return
    number = 0
    taken: dict[Identity, str] = {}
    try:
        for record in iter_messages(file):
            number = record.number
            result = _convert_one(number, bytes(record.data), maps, site, channel, taken)
            result.size = len(record.data)
            yield result
    except HubError as e:  # a message too long to be one: what came before it is converted
        number += 1
        report = empty_report("")
        report["errors"].append({"source": e.where, "text": str(e)})
        yield Result(number, None, report, (e.where, str(e)))
    if not number:
        yield Result(1, None, empty_report(""), ("-", "no HL7 v2, X12, CDA, SCRIPT or DICOM found in it"))


def _convert_one(
    number: int, data: bytes, maps: Maps, site: str, channel: Channel | None, taken: dict[Identity, str]
) -> Result:
    out = empty_report("")
    try:
        message = parse(data)
        if len(message.segments) < 2 and _wants_patient(message):
            raise FormatError(
                "the message ends behind its header",
                where="MSH",
                why="its type demands a PID, and no other segment follows",
                remedy="send the message whole",
            )
        out["message_type"] = f"{message.code}^{message.event}" if message.event else message.code
        site = site or (channel.site if channel is not None else "")
        name = site or maps.site_for(headers(message)).name
        charset = next((s.charset for s in reversed(maps.chain(name)) if s.charset), "")
        if charset:
            message = parse(data, charset=charset)
        origin = hashlib.sha256(data).hexdigest()[:32]
        if channel is None:
            done = trace_message(message, maps, name, origin, general=True)
        else:
            from engine.cli.convert_as import convert_as

            done = convert_as(channel, message, maps, name, origin, taken)
    except HubError as e:
        out["errors"].append({"source": e.where, "text": str(e)})
        return Result(number, None, out, (e.where, str(e)))
    except Exception as e:  # a fault of ours: this message is named, its neighbours go on
        why = internal_error(e)
        out["errors"].append({"source": "", "text": why})
        return Result(number, None, out, ("-", why))
    return Result(number, fill(out, done, message.repairs, maps.identity_base), out)


def _wants_patient(message: Message) -> bool:
    """Say whether the structure of a message demands a patient: an admission is one's."""
    structure = structure_for(message)
    return structure is not None and any(c.name == "PID" and c.min for c in structure.children)


def _start(root: str, identity_base: str, channel: str = "") -> None:
    global _maps, _channel, _collecting
    _maps = Maps.open(Path(root), identity_base)
    if channel:
        from engine.channels.definition import channel_named, load_channels

        _channel = channel_named(load_channels(Path(root)), channel)
    _collecting = Collecting()


Job = tuple[Files, str, str, str]  # file (with those that belong to it), stem, folder, site


def _one_file(job: Job, say: Callable[[str], None], moved: Callable[[int], None]) -> None:
    """Convert one file and write what it gives; `say` hears what is wrong, `moved` of bytes done."""
    files, stem, out_dir, site = job
    assert _maps is not None
    path = files.first
    out, left = Path(out_dir), sum(map(_size, (path, *files.others)))
    try:
        with path.open("rb") as file:
            long = recognise(file.read(HEAD)) if left > LONG else ""
            if long == "x12":
                file.seek(0)
                convert_sets(
                    file, _maps, site, out, stem, lambda n, at, why: say(f"{path}, {n}, {at}, {why}")
                )
                moved(left)
                return
            if long == "cda":
                file.seek(0)
                convert_long(file.read(), _maps, site, out / f"{stem}.json", out / f"{stem}.report.json")
                moved(left)
                return
            file.seek(0)
            some = (
                convert_study(files, _maps, site)
                if files.others
                else convert_file(file, _maps, site, _channel)
            )
            results = iter(some)
            first = next(results)
            second = next(results, None)
            # only now it is known whether the file holds one message, and so what the first is called
            rest = () if second is None else chain((second,), results)
            for r in chain((first,), rest):
                name = stem if second is None else f"{stem}.{r.number}"
                if r.bundle is None:
                    where, why = r.error or ("", "")
                    say(f"{path}, {r.number}, {where or '-'}, {why}")
                _write(out / f"{name}.report.json", orjson.dumps(r.report, option=orjson.OPT_INDENT_2))
                if r.bundle is not None:
                    _write(out / f"{name}.json", jsonio.dumps_pretty(r.bundle))
                moved(r.size)
                left -= r.size
                del r
                if _collecting is not None:
                    _collecting.spare()
            moved(left)  # what belongs to no message: batch headers, blank lines
    except Refused as e:
        say(f"{path}, 1, {e.where or '-'}, {e.why}")
    except OSError as e:
        say(f"{path}, 0, -, cannot be read: {e.strerror}")


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as e:
        raise _unwritable(path, e) from None


def _unwritable(path: Path, e: OSError) -> HubError:
    return HubError(
        "the result cannot be written", where=str(path), why=e.strerror or "", remedy="name another --out"
    )


def _cores() -> int:
    """Return how many cores this process may use, which can be fewer than the machine has."""
    allowed = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def _file(job: Job) -> tuple[int, list[str]]:
    """Convert one file in a process of the pool; returns (bytes of the file, lines for stderr)."""
    problems: list[str] = []
    _one_file(job, problems.append, lambda size: None)
    return sum(map(_size, (job[0].first, *job[0].others))), problems


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def convert_paths(
    paths: list[Path],
    out: Path,
    root: Path,
    identity_base: str = "urn:hub:own",
    site: str = "",
    moved: Callable[[int], None] = lambda size: None,
    channel: str = "",
) -> int:
    """Convert files and folders into `out`; returns the exit code (0 all converted, 1 otherwise).

    `moved` hears of bytes converted; `channel`: as this one reads HL7 v2. Raises HubError when `out` cannot
    be written.
    """
    if channel:
        from engine.channels.definition import channel_named, load_channels

        channel_named(load_channels(root), channel)  # raises where there is none, before anything is written
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise _unwritable(out, e) from None
    files = together(expand(paths))
    named = stems([one.first for one in files])
    jobs = [(one, stem, str(out), site) for one, stem in zip(files, named, strict=True)]
    if not jobs:
        print("nothing to convert: no file at these paths", file=sys.stderr)
        return 1
    bad = False

    def say(line: str) -> None:
        nonlocal bad
        bad = True
        print(line, file=sys.stderr)

    workers = min(_cores(), len(jobs))
    if workers > 1 and len(jobs) > 8:
        with ProcessPoolExecutor(
            workers, initializer=_start, initargs=(str(root), identity_base, channel)
        ) as pool:
            chunk = max(1, min(16, len(jobs) // (workers * 4)))
            for size, problems in pool.map(_file, jobs, chunksize=chunk):
                for line in problems:
                    say(line)
                moved(size)
    else:
        _start(str(root), identity_base, channel)
        try:
            for job in jobs:
                _one_file(job, say, moved)
        finally:
            if _collecting is not None:
                _collecting.end()
    return 1 if bad else 0


def convert_with_bar(
    paths: list[Path], out: Path, root: Path, identity_base: str, site: str = "", channel: str = ""
) -> int:
    """Convert as `convert_paths` does, with a bar of the bytes done where stderr is a terminal."""
    if not sys.stderr.isatty():
        return convert_paths(paths, out, root, identity_base, site, channel=channel)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("converting"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=sum(map(_size, expand(paths))))
        return convert_paths(
            paths,
            out,
            root,
            identity_base,
            site,
            moved=lambda size: bar.advance(task, size),
            channel=channel,
        )
