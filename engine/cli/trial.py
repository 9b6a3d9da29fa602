"""`hub try`: messages of a file through a channel's pipeline, nothing stored.

In: a file, the name of a channel. Out: a `Trial` a message (engine/channels/trial.py).
"""

from __future__ import annotations

from pathlib import Path

from engine.channels.arriving import bodies_of
from engine.channels.definition import channel_named, load_channels
from engine.channels.trial import Trial, try_body
from engine.codes.store import CodeStore
from engine.kernel.config import load_config
from engine.kernel.errors import ConfigError, FormatError
from engine.mapping.project import Maps

__all__ = ["try_file"]


def try_file(root: Path, path: Path, channel: str) -> list[Trial]:
    """Try every message of a file. Raises ConfigError, FormatError."""
    config = load_config(root)
    named = channel_named(load_channels(root), channel)
    try:
        data = path.read_bytes()
    except OSError as e:
        raise ConfigError("cannot read this file", where=str(path), why=e.strerror or "") from None
    maps = Maps.open(root, config.identity_base)
    maps.codes = CodeStore(config.data_dir / "codes.db")
    bodies = bodies_of(data)
    trials = [try_body(n, body, format, maps, named) for n, (format, body) in enumerate(bodies, 1)]
    if not trials:
        raise FormatError(
            "there is no HL7 message in this file",
            where=str(path),
            why="no line begins with MSH, and it is neither CDA nor X12 nor SCRIPT nor DICOM",
        )
    return trials
