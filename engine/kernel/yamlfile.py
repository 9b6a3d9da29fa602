"""Strict YAML for files that people own: every scalar stays text, every value knows its `file:line`.

Plain YAML reads `NO` as false, `012` as 10, `12:30` as 750 and `2.10` as 2.1, each a plausible code, time or
version of ours. Here `true` and `false` are the only words that are not text, duplicate keys are refused, and
anchors, tags and merge keys do not exist. Types come from the thing being described, not from YAML.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from engine.kernel.errors import ConfigError

__all__ = ["Map", "Seq", "Text", "Value", "line_of", "load", "loads", "place_of", "plain", "text_of"]


class Text(str):
    """A scalar with its place. `quoted` tells `""` (written on purpose) from an empty value."""

    __slots__ = ("column", "file", "line", "quoted")
    file: str
    line: int
    column: int
    quoted: bool


class Map(dict[str, Any]):
    """A mapping with its place; `key_lines` has the line of every key, `key_columns` its column."""

    __slots__ = ("file", "key_columns", "key_lines", "line")
    file: str
    line: int
    key_lines: dict[str, int]
    key_columns: dict[str, int]


class Seq(list[Any]):
    """A sequence with its place."""

    __slots__ = ("file", "line")
    file: str
    line: int


Value = Text | bool | Map | Seq | None
_LOADER: Any = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # the same grammar, read in C where libyaml is built in


def load(path: Path, *, name: str | None = None) -> Any:
    """Read one YAML file; errors and places name it as `name` (default: its path). Raises ConfigError."""
    shown = name or str(path)
    return loads(text_of(path, shown), shown)


def text_of(path: Path, shown: str) -> str:
    """Return a file's text; errors name it as `shown`. Raises ConfigError."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as e:
        raise ConfigError("cannot be read", where=shown, why=e.strerror or type(e).__name__) from None
    except UnicodeDecodeError:
        raise ConfigError("is not UTF-8", where=shown, remedy="save the file as UTF-8") from None


def loads(text: str, name: str) -> Any:
    """Read YAML text; see `load`."""
    try:
        node = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        where = f"{name}:{mark.line + 1}" if mark else name
        raise ConfigError(
            "is not readable YAML",
            where=where,
            why=e.problem or e.context or "",
            remedy="check indentation, quotes and brackets",
        ) from None
    except yaml.YAMLError as e:
        raise ConfigError("is not readable YAML", where=name, why=type(e).__name__) from None
    return None if node is None else _build(node, name, set())


def _build(node: Node, name: str, open_nodes: set[int]) -> Any:
    line = node.start_mark.line + 1
    if id(node) in open_nodes:
        raise ConfigError(
            "refers to itself", where=f"{name}:{line}", remedy="anchors (&, *) are not used here"
        )
    if node.tag and not node.tag.startswith("tag:yaml.org,2002:"):
        raise ConfigError(f"has a tag {node.tag}", where=f"{name}:{line}", remedy="remove the !tag")
    if isinstance(node, ScalarNode):
        if not node.style and node.value in ("true", "false"):
            return node.value == "true"
        if not node.style and node.value in ("", "~", "null"):
            return None
        return _text(node, name)
    inside = open_nodes | {id(node)}
    if isinstance(node, SequenceNode):
        seq = Seq(_build(item, name, inside) for item in node.value)
        seq.file, seq.line = name, line
        return seq
    assert isinstance(node, MappingNode)
    out = Map()
    out.file, out.line, out.key_lines, out.key_columns = name, line, {}, {}
    for key_node, value_node in node.value:
        key_line = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode):
            raise ConfigError("has a key that is not text", where=f"{name}:{key_line}")
        key = _text(key_node, name)
        if key == "<<" and not key_node.style:
            raise ConfigError("uses a merge key <<", where=f"{name}:{key_line}", remedy="write the rows out")
        if key in out:
            raise ConfigError(
                f"says {key!r} twice",
                where=f"{name}:{key_line}",
                why=f"first at line {out.key_lines[key]}",
                remedy="keep one of them",
            )
        out[key] = _build(value_node, name, inside)
        out.key_lines[key], out.key_columns[key] = key_line, key.column
    return out


def _text(node: ScalarNode, name: str) -> Text:
    text = Text(node.value)
    text.file, text.line, text.column = name, node.start_mark.line + 1, node.start_mark.column + 1
    text.quoted = node.style in ("'", '"')
    return text


def line_of(value: Any, default: int = 0) -> int:
    """Return the line of a loaded value, or `default` where it has none (true, false, nothing)."""
    return getattr(value, "line", default)


def place_of(value: Any, name: str = "") -> str:
    """Return `file:line` of a loaded value."""
    return f"{getattr(value, 'file', name)}:{getattr(value, 'line', 0)}"


def plain(value: Any) -> Any:
    """Return the value as ordinary dicts, lists and strs."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return str(value) if isinstance(value, str) else value
