"""What is configured of a way in that takes files: a watched folder, a folder of an SFTP server.

In: the words of a channel file, checked. Out: frozen settings that the files process is started with.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.kernel.sftp import SftpServer
from engine.listeners.receiving import ReceivingChannel

__all__ = ["FolderChannel", "FolderSettings", "SftpChannel", "SftpSettings"]


class _Files(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    pattern: str = Field(
        default="*.hl7",
        description="Names of the files that are taken; `*` and `?` stand for anything. "
        "Names that begin with a dot never are.",
        examples=["*.hl7", "ORU_*.txt"],
    )
    max_message_bytes: int = Field(
        default=64 << 20,
        ge=1024,
        description="A file with a longer message goes to `error`. Files may be of any length.",
        examples=[67_108_864],
    )

    @field_validator("pattern")
    @classmethod
    def _one_name(cls, pattern: str) -> str:
        if not pattern or "/" in pattern:
            raise ValueError(f"{pattern!r} is not a pattern of file names such as *.hl7")
        return pattern


class FolderSettings(_Files):
    """A folder that files are put into."""

    path: Path = Field(
        description="The folder that is watched; folders in it are not.", examples=["/srv/in/lakeside"]
    )
    done: Path = Field(
        default=Path("done"),
        description="Where files go that were taken; on the same disk. Starts at `path`.",
        examples=["../lakeside-done"],
    )
    error: Path = Field(
        default=Path("error"),
        description="Where files go in which nothing could be read; on the same disk. Starts at `path`.",
        examples=["../lakeside-error"],
    )
    stable_for: float = Field(
        default=5,
        ge=0,
        description="Seconds in which a file must not change before it is taken. "
        "0: only for senders that rename a finished file into the folder.",
        examples=[30],
    )
    poll: float = Field(
        default=2, gt=0, description="Seconds between two looks at the folder.", examples=[10]
    )

    @property
    def in_progress(self) -> Path:
        """The folder of files that are being taken."""
        return self.path / ".in-progress"

    def below(self, root: Path) -> FolderSettings:
        """Return the same with full names: `path` starts at the project's root, the others at `path`."""
        path = root.resolve() / self.path
        return self.model_copy(update={"path": path, "done": path / self.done, "error": path / self.error})


class SftpSettings(_Files, SftpServer):
    """A folder of an SFTP server that is looked into now and then."""

    path: str = Field(
        default=".", description="The folder on the server; folders in it are not read.", examples=["out"]
    )
    after: Literal["move", "delete"] = Field(
        default="move",
        description="What becomes of a file that was taken: moved to `done`, or deleted. "
        "One in which nothing could be read is moved to `error` always.",
        examples=["delete"],
    )
    done: str = Field(
        default="done", description="Folder for files that were taken. Starts at `path`.", examples=["taken"]
    )
    error: str = Field(
        default="error",
        description="Folder for files in which nothing could be read. Starts at `path`.",
        examples=["bad"],
    )
    stable_for: float = Field(
        default=10,
        ge=0,
        description="Seconds in which a file must not change before it is taken.",
        examples=[60],
    )
    poll: float = Field(default=60, gt=0, description="Seconds between two looks.", examples=[300])
    max_file_bytes: int = Field(
        default=2 << 30,
        ge=1024,
        description="A longer file is left where it is, and said.",
        examples=[2_147_483_648],
    )

    @property
    def folders(self) -> tuple[str, str, str]:
        """The folder, where taken files go, where unreadable ones go; on the server."""
        path = PurePosixPath(self.path)
        return str(path), str(path / self.done), str(path / self.error)


class FolderChannel(ReceivingChannel):
    """Everything the files process must know of one watched folder."""

    folder: FolderSettings = Field(description="What is watched.", examples=[{"path": "/srv/in"}])


class SftpChannel(ReceivingChannel):
    """Everything the files process must know of one SFTP folder."""

    sftp: SftpSettings = Field(
        description="Where it looks.",
        examples=[{"host": "sftp.lab.example", "user": "mercy", "key": "k", "host_key": "ssh-ed25519 AAAA"}],
    )
