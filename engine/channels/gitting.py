"""Changes as commits, where the project folder is a git repository.

In: the project's folder, files, a person and a message. Out: the commit's id, or words that say why there is
none: a hook that refuses, a repository that cannot be written. Nothing here stops a change from going live.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Commit", "commit", "history"]

_TIME = 30.0  # seconds that git and its hooks have
_UNIT = "\x1f"


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of the project's folder."""

    id: str
    who: str
    at: int
    subject: str


def commit(root: Path, files: Iterable[str], who: str, message: str) -> tuple[str, str]:
    """Commit these files and nothing else; returns the commit's id and, where there is none, why."""
    if not is_repository(root):
        return "", ""
    paths = sorted(files)
    name = re.sub(r"[<>\n\r\x00]", "", who) or "unknown"
    known = [
        p for p in paths if (root / p).exists() or _git(root, "ls-files", "--error-unmatch", "--", p)[0] == 0
    ]
    if not known:
        return "", ""
    code, said = _git(root, "add", "--", *known)
    if code == 0:
        address = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-") or "unknown"
        author = f"{name} <{address}@hub.invalid>"
        code, said = _git(
            root, "commit", "--quiet", "--message", message, "--author", author, "--only", "--", *known
        )
    if code:
        last = next((line for line in reversed(said.splitlines()) if line.strip()), "git gave no reason")
        return "", f"the change is live and was not committed to git: {last.strip()[:300]}"
    return _git(root, "rev-parse", "HEAD")[1].strip(), ""


def history(root: Path, limit: int = 30) -> list[Commit]:
    """Return the newest commits of channels, maps and tables; nothing where there is no repository."""
    if not is_repository(root):
        return []
    form = f"--format=%H{_UNIT}%an{_UNIT}%at{_UNIT}%s"
    code, said = _git(root, "log", f"-{limit}", form, "--", "channels", "mappings", "terminology")
    if code:
        return []
    rows = (line.split(_UNIT) for line in said.splitlines() if line.count(_UNIT) == 3)
    return [Commit(id_, who, int(at) * 1000, subject) for id_, who, at, subject in rows]


def is_repository(root: Path) -> bool:
    """Say whether the project's folder lies in a work tree of git."""
    code, said = _git(root, "rev-parse", "--is-inside-work-tree")
    return code == 0 and said.strip() == "true"


def _git(root: Path, *words: str) -> tuple[int, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    own = ("-c", "user.name=hub", "-c", "user.email=hub@hub.invalid", "-c", "commit.gpgsign=false")
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *own, *words],
            capture_output=True,
            timeout=_TIME,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        return 127, "git is not installed"
    except subprocess.TimeoutExpired:
        return 124, f"git took longer than {_TIME:.0f} s"
    return done.returncode, (done.stdout if not done.returncode else done.stdout + done.stderr).decode(
        "utf-8", "replace"
    )
