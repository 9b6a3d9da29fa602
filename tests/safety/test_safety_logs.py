"""What is logged of a failure: kinds and places, never the text, which may quote a message."""

from __future__ import annotations

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
