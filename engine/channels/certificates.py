"""Every certificate that the settings name, and when it expires: web side, listeners, notices, destinations.

In: the settings, the channels and their destinations, which hold paths of PEM files. Out: one line a
certificate, the earliest end first; a file that cannot be read is a line, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID
from pydantic import BaseModel

from engine.channels.definition import Channel
from engine.kernel.config import Config

__all__ = ["Certificate", "certificates"]

_NAMES = ("certificate", "client_ca", "ca", "ca_file", "client_certificate", "anchors")
"""Words of settings that name a file of certificates."""
_FOLDERS = ("certificates",)
"""Words that name a folder of them."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """One certificate. `expires`: ms since the epoch, None where the file cannot be read."""

    used_by: str
    file: str
    subject: str
    issuer: str
    expires: int | None
    trouble: str = ""

    def days(self, now: int) -> int | None:
        """Return the whole days that are left; negative once it has expired."""
        return None if self.expires is None else (self.expires - now) // 86_400_000


def certificates(config: Config, channels: Iterable[Channel]) -> list[Certificate]:
    """Return every certificate of every file that is named, the earliest end first."""
    found: list[Certificate] = []
    seen: set[tuple[str, Path]] = set()
    for used_by, path in _named(config, list(channels)):
        full = config.below_root(path)
        if (used_by, full) not in seen:
            seen.add((used_by, full))
            found += _read(used_by, full)
    return sorted(found, key=lambda one: (one.expires is not None, one.expires or 0, one.used_by))


def _named(config: Config, channels: Sequence[Channel]) -> Iterator[tuple[str, Path]]:
    yield from _paths(config.console, "web side")
    yield from _paths(config.alerts, "notices")
    for channel in channels:
        if channel.receives is not None:
            yield from _paths(channel.receives, f"channel {channel.name}")
    for name, words in config.destinations.items():
        yield from _words(words, f"destination {name}", config)
    for channel in channels:
        for rule in channel.deliver:
            if rule.place is not None:
                yield from _words(rule.place, f"destination {rule.to}", config)


def _words(value: Any, used_by: str, config: Config) -> Iterator[tuple[str, Path]]:
    """Give the files of certificates that words of a destination name."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name in _NAMES and isinstance(inner, str) and inner:
                yield used_by, Path(inner)
            elif name in _FOLDERS and isinstance(inner, str) and inner:
                for path in sorted(config.below_root(Path(inner)).glob("*.pem")):
                    yield used_by, path
            else:
                yield from _words(inner, used_by, config)
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _words(one, used_by, config)


def _paths(value: Any, used_by: str) -> Iterator[tuple[str, Path]]:
    """Give the files of certificates that a settings model names, however deep."""
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            inner = getattr(value, name)
            if name in _NAMES and isinstance(inner, (Path, str)) and str(inner):
                yield used_by, Path(inner)
            else:
                yield from _paths(inner, used_by)
    elif isinstance(value, (tuple, list)):
        for one in value:
            yield from _paths(one, used_by)


def _read(used_by: str, path: Path) -> list[Certificate]:
    try:
        held = x509.load_pem_x509_certificates(path.read_bytes())
    except OSError as e:
        return [Certificate(used_by, str(path), "", "", None, (e.strerror or "cannot be read").lower())]
    except ValueError:
        return [Certificate(used_by, str(path), "", "", None, "holds no certificate")]
    return [
        Certificate(
            used_by,
            str(path),
            _name(one.subject),
            _name(one.issuer),
            int(one.not_valid_after_utc.timestamp() * 1000),
        )
        for one in held
    ]


def _name(name: x509.Name) -> str:
    common = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else name.rfc4514_string()
