"""What a release says of a concept, read when somebody asks for it: most look-ups want the display only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import orjson

__all__ = ["Said"]


class Said(Mapping[str, str]):
    """The properties of one concept, kept as the text they are stored as."""

    __slots__ = ("_read", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._read: dict[str, str] | None = None

    def _all(self) -> dict[str, str]:
        read = self._read
        if read is None:
            read = self._read = orjson.loads(self._text)
        return read

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())

    def __deepcopy__(self, memo: object) -> dict[str, str]:
        """Return a dict: `dataclasses.asdict` copies so, and its result is for JSON."""
        return dict(self._all())
