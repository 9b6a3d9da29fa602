"""What is logged of a failure: kinds and places, never the text, which may quote a message."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import engine
from engine.kernel.errors import trace_of

CODE = Path(engine.__file__).parent


def test_a_trace_has_places_and_no_text() -> None:
    def inner() -> None:
        raise KeyError("Doe^Jane")

    def outer() -> None:
        try:
            inner()
        except KeyError as e:
            raise ValueError("PID|1||100234") from e

    try:
        outer()
    except ValueError as e:
        told = trace_of(e)
    assert told.startswith("ValueError at test_safety_logs.py:") and "because of KeyError at" in told
    assert "inner" in told and "outer" in told
    assert "Doe" not in told and "100234" not in told


def test_no_code_logs_the_text_of_any_exception() -> None:
    for path in CODE.rglob("*.py"):
        text = path.read_text("utf-8")
        for word in ("log.exception(", "exc_info", "traceback.format_exc", "traceback.print_exc"):
            assert word not in text, f"{path}: {word} writes what an exception quotes; use trace_of"


LEVELS = {"debug", "info", "warning", "error", "critical", "log"}
PHI = {
    "body", "bodies", "content", "control_id", "data", "dataset", "detail", "document", "drafts",
    "fields", "frame", "header", "identifier", "identifiers", "line", "lines", "message",
    "messages", "mrn", "obx", "order_keys", "parcel", "parcels", "patient", "payload", "pid",
    "query", "raw", "resource", "resources", "search", "segment", "segments", "subject", "value",
    "values",
}  # fmt: skip
"""Words for what patients' data is in, here: nothing that is logged shows them, but for their counts."""
MAY = {f"engine/{at}: line" for at in ("cli/keeper.py", "cli/beforehand.py", "channels/spreading.py")}
"""Lines the hub has written itself: how many messages retention deleted, which change was finished."""


def _logged(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in LEVELS:
            if isinstance(node.func.value, ast.Name) and node.func.value.id in ("log", "logger", "logging"):
                yield node


def _words(node: ast.AST) -> Iterator[str]:
    """Give the names an expression shows the value of; what is only counted is not shown."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "len":
        return
    if isinstance(node, ast.Attribute):
        yield node.attr
        return  # `entry.id` shows the id, not the entry
    if isinstance(node, ast.Name):
        yield node.id
    for inner in ast.iter_child_nodes(node):
        yield from _words(inner)


def test_what_is_logged_names_nobody() -> None:
    """Texts are fixed, so that what varies is an argument; and no argument is what patients' data is in."""
    calls = 0
    for path in CODE.rglob("*.py"):
        at = path.relative_to(CODE.parent).as_posix()
        for call in _logged(path):
            calls += 1
            text = call.args[0]
            fixed = isinstance(text, ast.Constant) and isinstance(text.value, str)
            assert fixed, f"{at}:{call.lineno}: the text is made up: write log.info('... %s', what)"
            shown = {word for arg in call.args[1:] for word in _words(arg)} & PHI
            shown = {word for word in shown if f"{at}: {word}" not in MAY}
            assert not shown, f"{at}:{call.lineno}: logs {', '.join(sorted(shown))}"
    assert calls > 100
