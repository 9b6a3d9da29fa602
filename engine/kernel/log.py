"""How the hub's processes log: one line an event on standard error, as text or as JSON.

In: `log:` of config.yaml, the name of the process. Out: lines. As JSON every line is one object with `at`,
`level`, `process`, `logger` and `event`, for collectors that need no pattern. What is said is the same in
both; no line quotes a message, an address with a query, or the text of an exception.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import orjson
import structlog

__all__ = ["call_process", "set_up"]

_NOISY = ("alembic", "sqlalchemy", "uvicorn", "httpx", "httpcore", "opentelemetry")
_process = {"name": "hub"}


def set_up(form: Literal["text", "json"]) -> None:
    """Log in this form from now on, in this process and those it forks."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_json() if form == "json" else _text())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)


def call_process(name: str) -> None:
    """Name this process in its lines."""
    _process["name"] = name


def _text() -> logging.Formatter:
    return logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")


def _json() -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        processors=[
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            _plain,
            structlog.processors.JSONRenderer(serializer=_dumps),
        ]
    )


def _plain(_logger: Any, _method: str, event: Any) -> Any:
    """Keep what a line has, in its order; a trace would quote what a program stumbled over."""
    return {
        "at": event["at"],
        "level": event["level"],
        "process": _process["name"],
        "logger": event["logger"],
        "event": event["event"],
    }


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()
