"""The one way this engine says that something is wrong: what, where, why, and what to do about it.

Texts never hold patient data: an error names a field (`PID-5.1`) or a place (`file:line`), not its content.
"""

from __future__ import annotations

import traceback

__all__ = ["ConfigError", "FormatError", "HubError", "MapError", "StoreUnavailable", "place_of", "trace_of"]


class HubError(Exception):
    """An error meant for a person. `where` is `file:line` or a location such as `PID-5.1`."""

    def __init__(self, what: str, *, where: str = "", why: str = "", remedy: str = "") -> None:
        self.what = what
        self.where = where
        self.why = why
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.why:
            text += f": {self.why}"
        if self.remedy:
            text += f". {self.remedy[:1].upper()}{self.remedy[1:]}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.where, self.why, self.remedy))


def _rebuild(kind: type[HubError], what: str, where: str, why: str, remedy: str) -> HubError:
    return kind(what, where=where, why=why, remedy=remedy)


class ConfigError(HubError):
    """A file of the project (config, channel) says something that cannot be followed."""


class FormatError(HubError):
    """Bytes that are not what the format says they are."""


class MapError(HubError):
    """A map that cannot be read, checked or compiled."""


class StoreUnavailable(HubError):
    """The database cannot be reached or written; the work is tried again, nothing is parked for it."""


def place_of(error: BaseException) -> str:
    """Return the kind of an error and where it arose, without its text, which may quote patient data."""
    tb = error.__traceback__
    while tb is not None and tb.tb_next is not None:
        tb = tb.tb_next
    at = f" at {tb.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{tb.tb_lineno}" if tb else ""
    return f"{type(error).__name__}{at}"


def trace_of(error: BaseException) -> str:
    """Return the kinds of an error and of what caused it, each with its calls, innermost first; no text."""
    told: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(told) < 5:
        frames = [
            f"{frame.f_code.co_filename.rsplit('/', 1)[-1]}:{line} {frame.f_code.co_name}"
            for frame, line in traceback.walk_tb(seen.__traceback__)
        ]
        told.append(f"{type(seen).__name__} at {' < '.join(frames[:-13:-1]) or 'no place'}")
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "; because of ".join(told)
