"""A destination for tests: it writes down what it is given and answers what it was told to answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pydantic import BaseModel, ConfigDict, Field

from engine.destinations.kinds import KINDS
from engine.kernel.delivery import Around, DestinationKind, Parcel, Receipt


class NotebookSettings(BaseModel):
    """Where it writes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    page: str = Field(default="", description="Its name.", examples=["a"])


class Notebook:
    """Answers `sent` unless its answers say otherwise, by key or for whatever comes next."""

    def __init__(self) -> None:
        self.got: list[Parcel] = []
        self.answers: list[Receipt | Exception] = []
        self.by_key: dict[str, Receipt] = {}

    def deliver(self, parcel: Parcel) -> Receipt:
        self.got.append(parcel)
        if parcel.key in self.by_key:
            return self.by_key[parcel.key]
        answer = self.answers.pop(0) if self.answers else Receipt("sent", request=b"asked", answer=b"said")
        if isinstance(answer, Exception):
            raise answer
        return answer

    def check(self) -> str:
        return "here"

    def close(self) -> None: ...


@contextmanager
def known(patch: pytest.MonkeyPatch) -> Iterator[Notebook]:
    """Make `notebook` a kind of destination."""
    book = Notebook()

    def make(settings: NotebookSettings, name: str, around: Around) -> Notebook:
        return book

    kind = DestinationKind("notebook", NotebookSettings, make, ("original", "fhir", "event", "any"))
    patch.setitem(KINDS, "notebook", kind)
    yield book
