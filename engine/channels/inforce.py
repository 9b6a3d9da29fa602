"""The settings in force: every one with its value, where it was written, and no secret.

In: the settings. Out: one line a setting, nested ones by their full name. A value that is secret is shown as
`set`; passwords in addresses of databases are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from sqlalchemy.engine import make_url

from engine.kernel.config import Config

__all__ = ["Setting", "in_force", "shown"]

_OURS = {"root", "lines", "literal_key"}
_DATABASES = ("journal", "core", "imaging", "staff")


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `origin`: `config.yaml:line`, or `default`."""

    name: str
    value: str
    origin: str
    description: str


def in_force(config: Config) -> list[Setting]:
    """Return every setting in the order of the documentation."""
    found: list[Setting] = []
    for name, field in Config.model_fields.items():
        if name in _OURS:
            continue
        value: Any = getattr(config, name)
        if name in _DATABASES:
            value = make_url(getattr(config, f"{name}_url")).render_as_string(hide_password=True)
        if name == "key":
            value = "supplied" if config.key else f"file {config.key_file}"
        origin = config.at(name) if name in config.model_fields_set else "default"
        found += _lines(config, name, value, origin, field.description or "")
    return found


def shown(value: Any) -> str:
    """Write a value without its secrets: those of nested settings are `set`."""
    if isinstance(value, BaseModel):
        words = (f"{name}: {text}" for name, text in _inner(value))
        return "{" + ", ".join(words) + "}"
    if isinstance(value, (tuple, list)):
        return ", ".join(shown(one) for one in value)
    if isinstance(value, dict):
        return ", ".join(f"{k}: {shown(v)}" for k, v in value.items())
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _inner(model: BaseModel) -> Iterator[tuple[str, str]]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        yield name, shown(value) if field.repr else "set" if value else ""


def _lines(config: Config, name: str, value: Any, origin: str, description: str) -> Iterator[Setting]:
    if not isinstance(value, BaseModel):
        yield Setting(name, shown(value), origin, description)
        return
    for inner, field in type(value).model_fields.items():
        held = getattr(value, inner)
        set_here = origin != "default" and inner in value.model_fields_set
        where = config.at(f"{name}.{inner}") if set_here else "default"
        if field.repr:
            yield from _lines(config, f"{name}.{inner}", held, where, field.description or "")
        else:
            yield Setting(f"{name}.{inner}", "set" if held else "", where, field.description or "")
