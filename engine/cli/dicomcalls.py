"""`hub dicom echo|send|find`: this machine as the side that asks.

In: whom to call, files, keys. Out: what the other side answered. A peer's title stands for what a channel's
file says of it; nothing stands for this project's own node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

from engine.channels.definition import load_channels
from engine.channels.node.opening import nodes_of
from engine.channels.node.targets import target_of
from engine.cli.printing import print_json
from engine.destinations.dicom import Outgoing, Target, store
from engine.destinations.dicom import echo as c_echo
from engine.destinations.dicom import find as c_find
from engine.destinations.dicom import worklist as c_worklist
from engine.formats.dicom.attributes import to_json
from engine.formats.dicom.header import read_header
from engine.kernel.errors import ConfigError, FormatError

__all__ = ["echo", "find", "query_of", "send", "target"]

_ADDRESS = re.compile(r"dicom://([ -~]{1,16})@(\[[0-9A-Fa-f:.]+\]|[^\s:/@]+):(\d{1,5})")
_SHOWN = {
    "PATIENT": ("PatientID", "PatientName"),
    "STUDY": ("StudyInstanceUID", "StudyDate", "AccessionNumber", "PatientID", "ModalitiesInStudy"),
    "SERIES": ("SeriesInstanceUID", "Modality", "SeriesNumber", "SeriesDescription"),
    "IMAGE": ("SOPInstanceUID", "SOPClassUID", "InstanceNumber"),
}
_STEP = (
    "ScheduledStationAETitle",
    "ScheduledProcedureStepStartDate",
    "ScheduledProcedureStepStartTime",
    "Modality",
)


def target(root: Path, to: str, title: str) -> Target:
    """Say whom `--to` means. Raises ConfigError."""
    m = _ADDRESS.fullmatch(to)
    if m is not None:
        return Target(m[2].strip("[]"), int(m[3]), m[1], title)
    nodes = nodes_of(load_channels(root))
    if not to:
        for node in nodes.values():
            host = "127.0.0.1" if node.host in ("0.0.0.0", "::") else node.host
            return Target(host, node.port, node.ae_title, title)
        raise ConfigError("this project has no DICOM node", where="--to", remedy="name a system")
    for node in nodes.values():
        peer = node.peer(to)
        if peer is not None and peer.host:
            return target_of(node, peer)
    raise ConfigError(
        f"nobody knows where {to} is",
        where="--to",
        remedy="write dicom://TITLE@HOST:PORT, or a peer with a host",
    )


def echo(root: Path, to: str, title: str) -> int:
    """C-ECHO."""
    called = target(root, to, title)
    c_echo(called)
    print(f"{called.called} answers at {called}")
    return 0


def send(root: Path, paths: Sequence[Path], to: str, title: str) -> int:
    """C-STORE of files; returns 1 where one was not taken."""
    called = target(root, to, title)
    files: dict[str, Path] = {}
    outgoing = []
    wrong = 0
    for path in _files(paths):
        try:
            with path.open("rb") as stream:
                header = read_header(stream)
            one = Outgoing(
                str(header.SOPClassUID),
                str(header.SOPInstanceUID),
                str(header.file_meta.TransferSyntaxUID),
                lambda path=path: path.open("rb"),  # type: ignore[misc]
            )
        except (FormatError, AttributeError) as e:
            print(
                f"{path}: not sent: {e.what if isinstance(e, FormatError) else 'it has no SOP class or UID'}"
            )
            wrong += 1
            continue
        files[one.sop_instance] = path
        outgoing.append(one)
    taken = 0
    for outcome in store(called, outgoing) if outgoing else ():
        if outcome.kind == "sent":
            taken += 1
            continue
        wrong += 1
        status = f" (0x{outcome.status:04X})" if outcome.status is not None else ""
        print(f"{files[outcome.sop_instance]}: not taken{status}: {outcome.why}")
    print(f"{called.called} took {taken} of {taken + wrong}")
    return 1 if wrong else 0


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(p for p in path.rglob("*") if p.is_file() and p.name != "DICOMDIR")
        else:
            yield path


def query_of(keys: Sequence[str], wanted: Sequence[str]) -> Any:
    """Make a query of KEYWORD=VALUE words; `wanted` is asked for besides. Raises ConfigError."""
    query = Dataset()
    for keyword in wanted:
        setattr(query, keyword, "")
    for word in keys:
        keyword, eq, value = word.partition("=")
        if not eq or tag_for_keyword(keyword) is None:
            raise ConfigError(
                f"{keyword!r} is no attribute of DICOM",
                where="KEYWORD=VALUE",
                remedy="write e.g. PatientID=77",
            )
        setattr(query, keyword, value)
    return query


def find(
    root: Path, keys: Sequence[str], to: str, level: str, worklist: bool, title: str, as_json: bool
) -> int:
    """C-FIND; returns 1 where nothing is found."""
    called = target(root, to, title)
    where = level.upper()
    if where not in _SHOWN:
        raise ConfigError(
            f"there is no level {level}", where="--level", remedy="patient, study, series or image"
        )
    if worklist:
        step = Dataset()
        asked = query_of(
            [], ("AccessionNumber", "PatientID", "PatientName", "StudyInstanceUID", "RequestedProcedureID")
        )
        for word in keys:
            into = step if word.partition("=")[0] in _STEP else asked
            into.update(query_of([word], ()))
        for keyword in _STEP:
            if keyword not in step:
                setattr(step, keyword, "")
        asked.ScheduledProcedureStepSequence = [step]
        found = list(c_worklist(called, asked))
    else:
        found = list(c_find(called, where, query_of(keys, _SHOWN[where])))
    if as_json:
        import json

        print_json([json.loads(to_json(one)) for one in found])
    else:
        for one in found:
            print("  ".join(_words(one, worklist, where)))
        print(f"{len(found)} found")
    return 0 if found else 1


def _words(one: Any, worklist: bool, level: str) -> list[str]:
    if not worklist:
        return [_word(one, keyword) for keyword in _SHOWN[level]]
    step = (one.get("ScheduledProcedureStepSequence") or [Dataset()])[0]
    said = [_word(step, keyword) for keyword in _STEP]
    return [*said, *(_word(one, k) for k in ("AccessionNumber", "PatientID", "PatientName"))]


def _word(one: Any, keyword: str) -> str:
    value = one.get(keyword)
    if value is None or str(value) == "":
        return "-"
    return (
        "\\".join(map(str, value))
        if not isinstance(value, str) and hasattr(value, "__iter__")
        else str(value)
    )
