"""What of a change the running processes take over by themselves, and which of them must be started again.

In: the channels in force and as changed. Out: names of processes: workers take over maps, tables and what
channels say about mapping; whoever listens read its channels when it started. The supervisor starts again
what is named in one small file of the data folder, gracefully: it answers what it has accepted first.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from engine.channels.definition import Channel
from engine.channels.renewal import write_whole
from engine.kernel.clock import now_ms
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError

__all__ = ["ask_restart", "asked_file", "needs_restart"]

_PARTS = (("listeners", ("mllp", "http")), ("files", ("folder", "sftp")), ("dicom", ("dicom",)))
_NODE_READS = ("mappings/dicom/", "mappings/outbound/", "mappings/sites/", "terminology/")


def needs_restart(
    live: Sequence[Channel], draft: Sequence[Channel], files: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Return the processes that must start again, and what only a new start of the whole hub brings about."""
    again: list[str] = []
    whole: list[str] = []
    for process, ways in _PARTS:
        before, after = ({c.name: way for c in side if (way := _way(c, ways))} for side in (live, draft))
        changed = before != after
        if process == "dicom" and before and after and not changed:
            changed = any(path.startswith(_NODE_READS) for path in files)
        if not changed:
            continue
        if process != "listeners" and not (before and after):
            new = "the first channel" if after else "no channel any more"
            whole.append(f"{process}: {new} of this kind; start the hub again with `hub serve`")
        else:
            again.append(process)
    return again, whole


def _way(c: Channel, ways: Iterable[str]) -> object:
    return next((found for way in ways if (found := getattr(c, way)) is not None), None)


def asked_file(config: Config) -> Path:
    """Return the file in which a restart is asked for."""
    return config.data_dir / "restart.json"


def ask_restart(config: Config, processes: Sequence[str]) -> None:
    """Ask the supervisor to start processes again. Raises ConfigError."""
    if processes:
        write_whole(asked_file(config), orjson.dumps({"at": now_ms(), "processes": list(processes)}))


def asked(path: Path) -> list[str]:
    """Return the processes that a restart was asked for."""
    try:
        return [str(p) for p in orjson.loads(path.read_bytes())["processes"]]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        raise ConfigError("cannot be read", where=str(path)) from None
