"""The name of a parcel's file: what stands before the first word in braces is the folder that must be there,
the rest is made for each parcel and cannot lead out of it.

In: the template of a path, a parcel. Out: names with `/` between folders, whatever wrote them. The name is
what makes a parcel's file one file: the same key gives the same name on every try.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.kernel.delivery import Parcel
from engine.kernel.template import PLAIN_FACTS, Template, file_safe

__all__ = ["Filed", "Names"]


class Filed(BaseModel):
    """Settings of every destination that writes files."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str = Field(
        description="The file of each parcel. Words in braces stand for what is known of it: `{channel}`, "
        "`{type}`, `{event}`, `{sender}`, `{entry}`, `{key}`, `{received:%Y%m%d}`, `{control_id}`; anything "
        "in them but letters, digits, `_`, `.` and `-` becomes `_`. The folder before the first of them must "
        "be there; folders after it are made.",
        examples=["/archive/{type}/{control_id}.hl7"],
    )
    exists: Literal["hold", "wait", "both", "replace"] = Field(
        default="hold",
        description="What is done where a file of that name is there with other content: a person looks, "
        "it is tried again until somebody has taken the file away, the key is added to the name, or the file "
        "is replaced.",
        examples=["wait"],
    )

    @field_validator("path")
    @classmethod
    def _leads_somewhere(cls, path: str) -> str:
        _Path(path)
        return path


class Names:
    """Names of files that one template gives."""

    def __init__(self, path: str) -> None:
        made = _Path(path)
        self.folder = made.folder  # must be there
        self._below = made.below
        self.plain = made.below.facts <= PLAIN_FACTS  # whether names may be shown to everybody

    def of(self, parcel: Parcel) -> PurePosixPath:
        """Return the name below the folder. Raises HubError where the parcel lacks a word."""
        return PurePosixPath(self._below.fill(parcel, file_safe))

    @staticmethod
    def both(name: PurePosixPath, key: str) -> PurePosixPath:
        """Return a name of its own for a parcel whose name another one has."""
        return name.with_name(f"{name.stem}.{file_safe(key)}{name.suffix}")

    @staticmethod
    def unfinished(name: PurePosixPath, key: str) -> PurePosixPath:
        """Return the name under which it is written first: begins with a dot, the same on every try."""
        return name.with_name(f".{hashlib.sha256(key.encode()).hexdigest()[:32]}.part")


class _Path:
    """A path cut before the first word in braces. Raises ValueError."""

    def __init__(self, path: str) -> None:
        if not path.isprintable() or "{{" in path or "}}" in path:
            raise ValueError(f"{path!r} is no path")
        whole = Template(path)
        cut = whole.head.rfind("/") + 1
        self.folder = path[:cut].rstrip("/") or ("/" if cut else ".")
        self.below = Template(path[cut:])
        shape = (whole.head[cut:] + whole.tail).split("/")
        if ".." in shape or "." in shape:
            raise ValueError(f"{path!r} leads out of its folder; write the folder in full before the braces")
        if "" in shape:
            raise ValueError(f"{path!r} does not end with the name of a file")
