"""The pages of docs/ taken apart: fenced blocks with their info string and line, links, words in code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


@dataclass(frozen=True)
class Block:
    """One fenced block. `info` is what stands behind the fence, e.g. `yaml site`."""

    page: Path
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path, info: str = "") -> Iterator[Block]:
    """Yield the fenced blocks of a page whose info string begins with these words."""
    begun, kind, inside = 0, "", []
    for number, line in enumerate(page.read_text("utf-8").splitlines(), 1):
        if line.startswith("```"):
            if begun:
                if f"{kind} ".startswith(f"{info} ") or not info:
                    yield Block(page, begun, kind, "\n".join(inside) + "\n")
                begun, inside = 0, []
            else:
                begun, kind = number, line[3:].strip()
        elif begun:
            inside.append(line)
    assert not begun, f"{page}:{begun}: a block without an end"


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.S | re.M)


def all_blocks(info: str) -> list[Block]:
    """Return the blocks of every page."""
    return [block for page in PAGES for block in blocks(page, info)]
