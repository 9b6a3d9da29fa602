"""`${secret:NAME}` in settings: replaced when they are read, from the environment or from files.

In: a value with texts in it, and where secrets are: `env` (HUB_SECRET_NAME) or `file:/folder` (a file of that
name, as Kubernetes, Compose and systemd put them). Out: the value with the secrets in place. A secret that is
not there is named, never guessed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.kernel.errors import ConfigError

__all__ = ["SECRET", "with_secrets"]

SECRET = re.compile(r"\$\{secret:([A-Z][A-Z0-9_]*)\}")


def with_secrets(value: Any, source: str, where: str, given: Mapping[str, str] | None = None) -> Any:
    """Return a value with every `${secret:NAME}` in it replaced; `source` is `secrets:` of config.yaml.

    `given` are secrets that are looked for nowhere else. Raises ConfigError.
    """
    if isinstance(value, dict):
        return {k: with_secrets(v, source, where, given) for k, v in value.items()}
    if isinstance(value, list):
        return [with_secrets(v, source, where, given) for v in value]
    if not isinstance(value, str):
        return value

    def found(m: re.Match[str]) -> str:
        name = m[1]
        if given is not None and name in given:
            return given[name]
        if source.startswith("file:"):
            path = Path(source[5:]) / name
            try:
                return path.read_text(encoding="utf-8").strip()
            except OSError as e:
                raise ConfigError(
                    f"secret {name} cannot be read",
                    where=where,
                    why=e.strerror or "",
                    remedy=f"put it at {path}",
                ) from None
        if f"HUB_SECRET_{name}" not in os.environ:
            raise ConfigError(
                f"secret {name} is not set",
                where=where,
                remedy=f"set the environment variable HUB_SECRET_{name}",
            )
        return os.environ[f"HUB_SECRET_{name}"]

    return SECRET.sub(found, value)
