"""Every cause of parking that the code can raise has words on the status page and a row for analysts."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from hub_project import HERE

from engine.channels.causes import CAUSES

NOT_CAUSES = {
    "late": "a note on what was written or left out; its function gives it back to the caller's flags",
}
_RAISES = {"Park", "_park", "park", "hold"}


def _causes(tree: ast.Module) -> Iterator[str]:
    """Give the codes of a module that park a message: `Park`, `hold`, and a `Flag` that is no mere note."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not call.args:
            continue
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in _RAISES or (name == "Flag" and not _noted(call, parents)):
            yield from _texts(call.args[0], call, parents)


def _noted(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> bool:
    """Say whether a Flag goes straight into a list of flags."""
    while not isinstance(node, ast.stmt):
        node = parents[node]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            if node.func.attr in ("append", "extend"):
                return True
        elif isinstance(node, (ast.ListComp, ast.List, ast.GeneratorExp)):
            return True
    return False


def _texts(value: ast.expr, call: ast.AST, parents: dict[ast.AST, ast.AST]) -> Iterator[str]:
    """Give every constant that an expression can be; a name is looked up in its function."""
    if isinstance(value, ast.Constant) and isinstance(value.value, str):
        yield value.value
    elif isinstance(value, ast.IfExp):
        yield from _texts(value.body, call, parents)
        yield from _texts(value.orelse, call, parents)
    elif isinstance(value, ast.Name):
        scope = call
        while not isinstance(scope, (ast.FunctionDef, ast.Module)):
            scope = parents[scope]
        for node in ast.walk(scope):
            if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == value.id for t in node.targets):
                yield from _texts(node.value, call, parents)


def _raised() -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted((HERE / "engine").rglob("*.py")):
        if path.parts[len(HERE.parts) + 1] in ("channels", "store", "mapping", "listeners", "journal"):
            for code in _causes(ast.parse(path.read_text("utf-8"))):
                found.setdefault(code, path.relative_to(HERE).as_posix())
    return {code: file for code, file in found.items() if code not in NOT_CAUSES}


def _documented() -> set[str]:
    page = (HERE / "docs/analysts/parked.md").read_text("utf-8")
    section = page.partition("## Why parked")[2].partition("\n## ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {code for cell in cells for code in re.findall(r"`([a-z-]+)`", cell)}


def test_the_search_finds_what_is_known_to_be_raised() -> None:
    """One of each way in which the code parks; if this fails, the search above has gone blind."""
    assert {"garbage", "invalid", "unreadable", "replay-stopped", "duplicate-key", "merge-unclear"} <= set(
        _raised()
    )
    assert {"unmapped-code", "required-missing", "no-patient-key", "ambiguous-patient-key"} <= set(_raised())


def test_a_made_up_cause_is_found(tmp_path: Path) -> None:
    text = (
        'def f(x):\n    code = "b" if x else "c"\n'
        '    x.hold(code, "", "")\n    x.flags.append(Flag("n", "", ""))\n'
    )
    assert sorted(_causes(ast.parse(text))) == ["b", "c"]


def test_every_cause_has_words_on_the_status_page() -> None:
    assert {code: file for code, file in _raised().items() if code not in CAUSES} == {}


def test_every_cause_has_a_row_for_analysts() -> None:
    assert {code: file for code, file in _raised().items() if code not in _documented()} == {}
    assert set(CAUSES) - _documented() == set()
