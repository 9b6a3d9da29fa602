"""What of a change the running processes take over by themselves, and which of them must be started again.

In: the channels in force and as changed. Out: names of processes: workers take over maps, tables and what
channels say about mapping; whoever listens read its channels when it started. The supervisor starts again
what is named in one small file of the data folder, gracefully: it answers what it has accepted first.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from engine.channels.definition import Channel
from engine.channels.renewal import write_whole
from engine.kernel.clock import now_ms
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError, HubError

__all__ = ["ask_restart", "asked_file", "bind", "cannot_listen", "check_way", "needs_restart"]

_PARTS = (("listeners", ("mllp", "http")), ("files", ("folder", "sftp")), ("dicom", ("dicom",)))
_NODE_READS = ("mappings/dicom/", "mappings/outbound/", "mappings/sites/", "terminology/")


def needs_restart(
    live: tuple[Path, Sequence[Channel]], draft: tuple[Path, Sequence[Channel]], files: Iterable[str]
) -> tuple[list[str], list[str]]:
    """Return the processes that must start again, and what only a new start of the whole hub brings about.

    Both sides come with the folder of their project: paths below it are the same.
    """
    again: list[str] = []
    whole: list[str] = []
    for process, ways in _PARTS:
        before, after = (
            {c.name: _said(way, root) for c in channels if (way := _way(c, ways))}
            for root, channels in (live, draft)
        )
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
    if [(c.name, c.deliver) for c in live[1]] != [(c.name, c.deliver) for c in draft[1]]:
        again.append("deliveries")
    return again, whole


def _way(c: Channel, ways: Iterable[str]) -> object:
    return next((found for way in ways if (found := getattr(c, way)) is not None), None)


def _said(way: object, root: Path) -> str:
    return repr(way).replace(str(root.resolve()), "").replace(str(root.absolute()), "")


def cannot_listen(live: Sequence[Channel], draft: Sequence[Channel]) -> list[str]:
    """Return why ways in that are new or moved could not be opened once they are live."""
    known = {(c.network.host, c.network.port) for c in live if c.network is not None}
    mine = {port for _, port in known}
    out = []
    for c in draft:
        try:
            check_way(c)
        except HubError as e:
            out.append(str(e))
            continue
        at = c.network
        if at is None or not at.port or (at.host, at.port) in known or at.port in mine:
            continue
        try:
            bind(at.host, at.port).close()
        except OSError as e:
            out.append(f"channel {c.name}: port {at.port} on {at.host} cannot be opened: {e.strerror or e}")
    return out


def bind(host: str, port: int) -> socket.socket:
    """Take a port as a listener would. Raises OSError."""
    s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((host, port))
    except OSError:
        s.close()
        raise
    return s


def check_way(channel: Channel) -> None:
    """Refuse files, folders and keys that a channel could not use once it runs. Raises ConfigError."""
    if channel.http is not None and channel.http.http.auth is not None:
        from engine.listeners.http_auth import Admission

        Admission(channel.http.http.auth)
    if channel.receives is not None and (schemas := channel.receives.rules.script.schemas) is not None:
        from engine.listeners.mail import schemas_in

        schemas_in(schemas)
    if channel.folder is not None:
        from engine.listeners.folder import check_folder

        check_folder(channel.folder.folder, channel.at("receive"))
    if channel.sftp is not None:
        from engine.kernel.sftp import check_sftp

        check_sftp(channel.sftp.sftp, channel.at("receive"))


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
