"""Files of the project without the secrets that somebody wrote into them.

In: a YAML file of the project. Out: its bytes, comments and all; in the place of every literal secret stands
`${secret:NAME}`, and in that of a password in an address too, so that the file still loads once whoever
restores it supplies the name. What cannot be taken out is refused, with its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import Map, Text, load

__all__ = ["SECRET_WORDS", "named_in", "without_secrets"]

SECRET_WORDS = (
    "password",
    "passphrase",
    "secret",
    "client_secret",
    "token",
    "access_key",
    "secret_key",
    "api_key",
)
"""Words whose values are secrets, at any depth; `key` is one at the top alone, below it is a file."""

_NAME = re.compile(r"\$\{secret:([A-Z][A-Z0-9_]*)\}")
_IN_ADDRESS = re.compile(r"^([a-z][a-z0-9+.-]*://[^/@\s:]*):([^/@\s]+)@")


def named_in(text: str) -> set[str]:
    """Return the names of the secrets that a file asks for."""
    return set(_NAME.findall(text))


def without_secrets(path: Path) -> bytes:
    """Return the file with a name in the place of every secret. Raises ConfigError."""
    content = path.read_text("utf-8")
    lines = content.splitlines(keepends=True)
    found = list(_secrets(load(path, name=path.name), ()))
    for value, secret, name in sorted(found, key=lambda one: (one[0].line, one[0].column), reverse=True):
        stands = f"${{secret:{name}}}"
        old, new = (secret, stands) if value.quoted else (str(value), f'"{value.replace(secret, stands)}"')
        line = lines[value.line - 1]
        start = line.find(old, value.column - 1)
        if start < 0:
            raise ConfigError(
                "a secret stands here in a form that a backup cannot leave out",
                where=f"{path.name}:{value.line}",
                remedy=f"write {stands}, and put it where secrets: says",
            )
        lines[value.line - 1] = line[:start] + new + line[start + len(old) :]
    return "".join(lines).encode()


def _secrets(value: Any, place: tuple[str, ...]) -> Iterator[tuple[Text, str, str]]:
    """Give every literal secret: the scalar it stands in, the secret, and a name for it."""
    if isinstance(value, Map):
        for word, inner in value.items():
            yield from _secrets(inner, (*place, str(word)))
    elif isinstance(value, list):
        for number, inner in enumerate(value, 1):
            yield from _secrets(inner, (*place, str(number)))
    elif isinstance(value, Text):
        name = re.sub(r"[^A-Z0-9]+", "_", "_".join(place).upper()).strip("_")
        address = _IN_ADDRESS.match(value)
        if address is not None and not _NAME.search(address[2]):
            yield value, address[2], f"{name}_PASSWORD"
        elif _is_secret(place) and value and not _NAME.search(value):
            yield value, str(value), name


def _is_secret(place: tuple[str, ...]) -> bool:
    if place == ("key",):
        return True
    word = place[-1] if place else ""
    if "auth" in place[:-1] and word in ("token", "basic"):
        return False  # http: auth: names files
    return word in SECRET_WORDS or word.endswith(("_password", "_secret", "_token"))
