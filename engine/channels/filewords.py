"""A channel's file while it is read: its words as texts, lists and maps, each trouble with its place.

In: the parsed YAML of one file. Out: values, or a ConfigError with file, line and remedy.
"""

from __future__ import annotations

from typing import Any

from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import Map, plain

__all__ = ["FileWords"]


class FileWords:
    """One channel's file while it is read."""

    def __init__(self, m: Map, file: str) -> None:
        self.m, self.file = m, file

    def at(self, key: str) -> str:
        return f"{self.file}:{self.m.key_lines.get(key, self.m.line)}"

    def text(self, key: str, default: str = "") -> str:
        value = self.m.get(key)
        if isinstance(value, (Map, list, bool)):
            raise ConfigError(f"{key}: takes a text", where=self.at(key))
        return default if value is None else str(value)

    def one_of(self, key: str, known: tuple[str, ...], default: str) -> str:
        value = self.text(key, default)
        if value not in known:
            raise ConfigError(
                f"{key}: {value!r} is not known", where=self.at(key), remedy=f"write {' or '.join(known)}"
            )
        return value

    def map_of(self, key: str, known: tuple[str, ...]) -> dict[str, Any]:
        """Return the words below a word as ordinary values; a word that is not known is refused."""
        value = self.m.get(key)
        if value is None:
            return {}
        if not isinstance(value, Map):
            raise ConfigError(f"{key}: takes {{{', '.join(known)}}}", where=self.at(key))
        for word in value:
            if word not in known:
                raise ConfigError(
                    f"{key}: does not know {word!r}",
                    where=f"{self.file}:{value.key_lines[word]}",
                    remedy=f"use {', '.join(known)}",
                )
        return {str(k): plain(v) for k, v in value.items()}

    def list_of(self, key: str) -> list[Any]:
        value = self.m.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise ConfigError(f"{key}: takes a list", where=self.at(key), remedy="begin each line with `- `")
        return value
