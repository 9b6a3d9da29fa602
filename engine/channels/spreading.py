"""Changes of channels, maps and code tables brought to the other machines of a hub.

In: what one machine has written into its project's files. Out: the same files on every other machine, by way
of the staff database, and then the announcement that its own processes hear (`renewal.py`). A file that says
something here that no machine ever wrote stays as it is, and the log says so: somebody has edited it by hand.
A machine that was away, or is new, follows when it starts, before anything reads the files.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import PurePosixPath

from engine.channels.definition import load_channels
from engine.channels.opening import open_keyring, open_staff, prepare_folder
from engine.channels.renewal import FOLDERS, alone, announce, announce_project, write_whole
from engine.channels.restarts import ask_restart, needs_restart
from engine.channels.sharedkeys import OtherKeys, follow_keys
from engine.channels.sharing import shared
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError, HubError
from engine.staff.livefiles import LiveFile, digest_of
from engine.staff.staff import Staff
from engine.terminology.translate import Terminology

__all__ = ["catch_up", "follow", "spread"]

log = logging.getLogger("hub.changes")


def spread(config: Config, files: Mapping[str, tuple[bytes | None, bytes | None]]) -> None:
    """Tell other machines what files said before and say now. Raises HubError."""
    files = {path: texts for path, texts in files.items() if texts[0] != texts[1]}
    if not shared(config) or not files:
        return
    staff = open_staff(config, open_keyring(config))
    try:
        staff.live_files.add(config.node_name, files)
    finally:
        staff.close()


def catch_up(config: Config) -> None:
    """Follow what was written while this machine was away, before its files are read. Raises HubError."""
    if not shared(config):
        return
    prepare_folder(config)
    staff = open_staff(config, open_keyring(config))
    try:
        follow(config, staff)
        try:
            follow_keys(config, staff)
        except OtherKeys as e:
            log.error("%s", e)  # the start of a hub does not wait for that
    finally:
        staff.close()


def follow(config: Config, staff: Staff) -> list[str]:
    """Take over what other machines wrote since the last time; returns the paths. Raises HubError."""
    mark = config.data_dir / "live-files.followed"
    try:
        number = int(mark.read_text())
    except (OSError, ValueError):  # never here: a new machine
        number = 0
    rows = staff.live_files.after(number)
    if not rows:
        return []
    with alone(config):
        try:
            before = load_channels(config.root)
        except HubError:
            before = []  # what is here cannot be read: whatever comes, everything starts anew
        taken = [path for path, steps in _by_path(rows).items() if _take(config, path, steps)]
        write_whole(mark, b"%d\n" % rows[-1].number)
        if not taken:
            return []
        announce_project(config)
        if any(path.startswith("terminology/") for path in taken):
            announce(config, Terminology.open(config.root / "terminology").digest)
        try:
            again, whole = needs_restart(
                (config.root, before), (config.root, load_channels(config.root)), taken
            )
        except HubError as e:
            log.error("channels of another machine cannot be used here: %s", e)
            return taken
    ask_restart(config, again)
    for line in whole:
        log.warning("a change of another machine: %s", line)
    log.info("%d files of %s taken over: %s", len(taken), rows[-1].node, ", ".join(taken)[:500])
    return taken


def _by_path(rows: list[LiveFile]) -> dict[str, list[LiveFile]]:
    found: dict[str, list[LiveFile]] = {}
    for row in rows:
        found.setdefault(row.path, []).append(row)
    return found


def _take(config: Config, path: str, steps: list[LiveFile]) -> bool:
    """Bring one file to what it was last; returns whether it changed. Raises ConfigError."""
    parts = PurePosixPath(path).parts
    if not parts or parts[0] not in FOLDERS or ".." in parts:
        raise ConfigError("a change of another machine names a file outside the project", where=path)
    target, last = config.root / path, steps[-1]
    here = digest_of(target.read_bytes() if target.is_file() else None)
    if here == last.after:
        return False
    if here not in {digest for step in steps for digest in (step.before, step.after)}:
        log.error("%s was changed on %s, and by hand here: it stays as it is", path, last.node)
        return False
    if last.data is None:
        target.unlink()
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, last.data)
    return True
