"""What a load was asked for, and what it says at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.codes.loaders.files import Files
from engine.codes.writing import Load
from engine.terminology.concepts import Release

__all__ = ["Asked", "Loader", "Summary"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the person who loads says about the release; empty: what the files say themselves."""

    system: str = ""
    version: str = ""
    effective: str = ""
    language: str = ""  # SNOMED CT: the language refset whose preferred terms are the displays
    columns: dict[str, str] = field(default_factory=dict)  # a list: our names -> names of its columns


@dataclass(slots=True)
class Summary:
    """What was read and what was made of it. `skipped`: why -> how many rows."""

    loader: str
    source: str = ""
    rows: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    releases: list[tuple[Release, bool]] = field(default_factory=list)
    links: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Loader:
    """One kind of release: its name, how it is recognised, how it is read."""

    name: str
    about: str
    fits: Callable[[Files], bool]
    load: Callable[[Files, Load, Asked, Summary], None]
