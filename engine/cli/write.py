"""`hub write`: FHIR resources out as X12, a C-CDA document or a prescription, from a file or the core store.

In: what to write (`837P`, `ccd`), a Bundle in a file or a patient's id, and what is not in FHIR as
`name=value` (sender, receiver, control number, who signs). Out: the message in a file, and a report of what
was written from what and what was not written. Control numbers are the caller's: none is made up here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from engine.channels.writing import about, behind
from engine.fhir import jsonio
from engine.kernel.clock import iso, now_ms
from engine.kernel.config import load_config
from engine.kernel.errors import ConfigError
from engine.mapping.outbound.library import OutMaps
from engine.mapping.outbound.write import Report, write_any

__all__ = ["read_given", "write_file"]


def write_file(
    root: Path,
    format: str,
    file: Path | None,
    patient: str,
    out: Path,
    given: list[str],
    report: Path | None,
    of: list[str] | None = None,
) -> int:
    """Write one message and print what became of it; 0 where it was written. Raises HubError."""
    maps = OutMaps.open(root, identity_base=load_config(root).identity_base)
    maps.entry(format)
    if sum((file is not None, bool(patient), bool(of))) != 1:
        raise ConfigError(
            "say a file, --patient or --resource, one of them", remedy="hub write ccd --patient ID --out FILE"
        )
    source = (
        jsonio.loads(file.read_bytes())
        if file is not None
        else _stored(root, maps, format, patient, of or [])
    )
    data, told = write_any(maps, format, source, {**_clock(), **read_given(given)})
    out.write_bytes(data)
    if report is not None:
        report.write_bytes(jsonio.dumps_pretty(told.to_json()))
    for line in _lines(told, out):
        print(line)
    return 0


def read_given(words: list[str]) -> dict[str, str]:
    """Read `name=value` words."""
    out = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign or not name.isalpha():
            raise ConfigError(f"--set {name} is not name=value", remedy="e.g. --set control=101")
        out[name] = value
    return out


def _clock() -> dict[str, str]:
    """Give the time of writing, and a number for a document that nobody has numbered."""
    said = iso(now_ms())
    return {
        "now": said,
        "day": said[:10].replace("-", ""),
        "time": said[11:16].replace(":", ""),
        "document": str(uuid4()),
        "message": uuid4().hex,
    }


def _lines(told: Report, out: Path) -> Iterator[str]:
    yield f"{out}: {len(told.written)} values written, {len(told.not_written)} elements not written"
    for place in told.not_written:
        yield f"  not written: {place}"
    for flag in told.flags:
        yield f"  {flag.code}: {flag.where}: {flag.text} ({flag.row})"


def _stored(root: Path, maps: OutMaps, format: str, patient: str, of: list[str]) -> list[Mapping[str, Any]]:
    from engine.cli.opened import opened

    with opened(root) as hub:
        return about(hub.store, patient) if patient else behind(maps, format, of, hub.store)
