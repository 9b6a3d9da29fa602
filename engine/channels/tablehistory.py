"""Who changed a file of the project, and when, where its folder is a git repository.

In: the project's root, a path below it. Out: the newest changes, or none where there is no repository or no
git. Reads only; the repository's own configuration runs nothing.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["FileChange", "changes_of"]

_SECONDS = 5
_FORMAT = "%H%x1f%an%x1f%aI%x1f%s"


@dataclass(frozen=True, slots=True)
class FileChange:
    """One commit that changed the file."""

    commit: str
    who: str
    at: str
    what: str


def changes_of(root: Path, path: str, most: int = 20) -> list[FileChange]:
    """Return the newest changes of a file, newest first."""
    if not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return []
    quiet = ["-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null"]
    command = ["git", *quiet, "-C", str(root), "log", f"-{most}", f"--format={_FORMAT}", "--", path]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = done.stdout.decode("utf-8", "replace").splitlines() if done.returncode == 0 else []
    parts = [line.split("\x1f", 3) for line in lines]
    return [FileChange(p[0][:12], p[1], p[2], p[3]) for p in parts if len(p) == 4]
