"""Rows as entries, entries as YAML, YAML as rows: nothing is lost on the way round, for every shipped map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.kernel.yamlfile import loads
from engine.mapping import types as T
from engine.mapping.entries import entries, yaml_lines
from engine.mapping.model import MapDef, Place
from engine.mapping.project import Maps
from engine.mapping.read import Reader

ROOT = Path(__file__).parents[2]
MAPS = Maps.open(ROOT)


def bare(value: Any) -> Any:
    """A row without its places."""
    from dataclasses import fields, is_dataclass

    if isinstance(value, Place):
        return None
    if is_dataclass(value) and not isinstance(value, type):
        return (type(value).__name__, *(bare(getattr(value, f.name)) for f in fields(value)))
    return tuple(map(bare, value)) if isinstance(value, tuple) else value


@pytest.mark.parametrize("m", MAPS.maps.values(), ids=lambda m: m.name)
def test_what_is_written_reads_back_as_the_same_rows(m: MapDef) -> None:
    reader = Reader(m.to, "sheet", "standard", T.has_child)
    for e, row in zip([e for e in entries(m) if e.kind == "element"], m.rows, strict=True):
        text = "\n".join(yaml_lines(e))
        (read,) = reader.rows(loads(text, "sheet"))
        assert bare(read) == bare(row), text
