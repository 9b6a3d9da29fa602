"""What a restored hub still needs: secrets, keys, certificates, whatever was left out of the backup.

In: the settings as restored, the list of the backup. Out: one line for each, with where it belongs. A backup
holds no secret, so there is always something; better said by name than found out by a sender.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from engine.channels.definition import load_channels
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.security.keys import Keyring

__all__ = ["missing"]

_FILES = (
    "certificate",
    "key",
    "client_ca",
    "ca",
    "ca_file",
    "client_certificate",
    "client_key",
    "password_file",
    "token",
    "basic",
)
"""Words of settings that name a file outside the project."""


def missing(config: Config, said: dict[str, Any], absent: list[str], keyring: Keyring | None) -> list[str]:
    """Return what the restored hub needs and has not."""
    found = [f"secret {name}: put it where `secrets: {config.secrets}` says" for name in absent]
    if keyring is None:
        found.append(f"the data key: hub restore with --keys, or put it at {config.key_file}, mode 600")
    if not config.token_file.exists():
        found.append(f"{config.token_file}: the tokens of programs; in development a start makes one")
    found += [
        f"{path}: {used_by}" for used_by, path in _named(config) if not config.below_root(path).exists()
    ]
    left_out = said["left out"]
    if "codes" in left_out:
        found.append("releases of code systems: hub terms load --shipped, and what was loaded by hand")
    if "objects" in left_out and not config.objects.s3:
        found.append(f"the DICOM objects: copy them to {config.objects_dir}")
    bucket = said["objects"].get("kept in")
    if bucket:
        found.append(f"the DICOM objects are in {bucket}: see that this bucket is there")
    return found


def _named(config: Config) -> Iterator[tuple[str, Path]]:
    """Give every file outside the project that the settings name."""
    yield from _paths(config.console, "console: in config.yaml")
    yield from _paths(config.alerts, "alerts: in config.yaml")
    try:
        channels = load_channels(config.root)
    except HubError:
        return  # what is wrong with a channel is said by `hub check`
    for channel in channels:
        if channel.receives is not None:
            yield from _paths(channel.receives, f"channel {channel.name}")


def _paths(value: Any, used_by: str) -> Iterator[tuple[str, Path]]:
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            inner = getattr(value, name)
            if name in _FILES and isinstance(inner, Path):
                yield used_by, inner
            else:
                yield from _paths(inner, used_by)
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _paths(one, used_by)
