"""Several files written together: all of them or none, whatever dies in between.

In: files with what they say before and after. Out: files on disk. What is about to be written stands in one
small file of the data folder first; a process that is killed between two files leaves it there, and whoever
comes next finishes what was decided or takes back what was not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import orjson

from engine.channels.renewal import write_whole
from engine.kernel.config import Config
from engine.kernel.disk import sync_folder
from engine.kernel.errors import ConfigError

__all__ = ["Pending", "pending", "settle", "swap"]

Texts = Mapping[str, tuple[str | None, str | None]]
Pending = dict[str, object]


def _file(config: Config) -> Path:
    return config.data_dir / "going-live.json"


def swap(config: Config, files: Texts, words: Pending, decided: Callable[[], None]) -> None:
    """Write all files, then let `decided` write down that they are live. Whatever fails before that is taken
    back. Raises what went wrong.
    """
    note = _file(config)
    write_whole(note, orjson.dumps({**words, "files": files}))
    note.chmod(0o600)
    try:
        for path, (_, after) in files.items():
            _put(config.root / path, after)
        decided()
    except BaseException:
        for path, (before, _) in files.items():
            _put(config.root / path, before)
        _remove(note)
        raise
    _remove(note)


def pending(config: Config) -> Pending | None:
    """Return what somebody was about to write when he died; None where all is well. Raises ConfigError."""
    try:
        found: Pending = orjson.loads(_file(config).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, orjson.JSONDecodeError):
        raise ConfigError(
            "cannot be read",
            where=str(_file(config)),
            why="it says which files were about to change when a process died",
            remedy="compare the project with the list of changes, then remove the file",
        ) from None
    return found


def settle(config: Config, found: Pending, live: bool) -> list[str]:
    """Finish (`live`) or take back what a dead process was about to write; returns the files that somebody
    else has changed since, which stay as they are.
    """
    kept = []
    files: Texts = found["files"]  # type: ignore[assignment]
    for path, (before, after) in files.items():
        target = config.root / path
        now = target.read_bytes().decode("utf-8", "replace") if target.is_file() else None
        if now not in (before, after):
            kept.append(path)
        elif now != (after if live else before):
            _put(target, after if live else before)
    _remove(_file(config))
    return kept


def _put(path: Path, text: str | None) -> None:
    if text is not None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise ConfigError("cannot be made", where=str(path.parent), why=e.strerror or "") from None
        if not path.is_file() or path.read_bytes() != text.encode():
            write_whole(path, text.encode())
    elif path.exists():
        _remove(path)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as e:
        raise ConfigError("cannot be removed", where=str(path), why=e.strerror or "") from None
