"""Who wrote a line of a map, where the project's folder is a git repository: cheap, and never necessary.

In: the project's root, a file below it and a line. Out: a `Change` (who, when, which commit, what for), or
nothing where there is no repository, no git, or no answer within a second. What is not committed says so.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

__all__ = ["Change", "who_wrote"]

_PATIENCE = 1.0  # seconds


@dataclass(frozen=True, slots=True)
class Change:
    """The commit that a line comes from."""

    who: str
    at: int  # ms since the epoch
    commit: str  # empty: not committed yet
    summary: str


def who_wrote(root: Path, file: str, line: int) -> Change | None:
    """Say who wrote a line; None where nobody can tell."""
    if not (root / ".git").exists() or line < 1:
        return None
    path = (root / file).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        return None
    found = path.stat()
    return _blame(str(root), str(path.relative_to(root.resolve())), line, found.st_mtime_ns, _head(root))


def _head(root: Path) -> str:
    """Return what tells one state of the repository from another."""
    try:
        head = (root / ".git" / "HEAD").read_text().strip()
        logs = (root / ".git" / "logs" / "HEAD").stat()
        return f"{head} {logs.st_mtime_ns}"
    except OSError:
        return ""


@lru_cache(maxsize=2048)
def _blame(root: str, file: str, line: int, changed: int, head: str) -> Change | None:
    command = ["git", "-C", root, "blame", "--porcelain", "-L", f"{line},{line}", "--", file]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return None
    lines = done.stdout.splitlines()
    said = {key: value for key, _, value in (one.partition(" ") for one in lines[1:] if one[:1] != "\t")}
    commit = lines[0].split(" ")[0] if lines else ""
    at = said.get("author-time", "0")
    if not commit.strip("0"):
        return Change("", 0, "", "not committed")
    return Change(said.get("author", ""), int(at) * 1000, commit[:12], said.get("summary", ""))
