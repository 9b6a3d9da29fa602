"""`hub check`: one look at everything in a project that people write, before it meets a message.

In: the project's folder. Out: findings on stdout, `file:line: level rule: what, why, try`; exit 1 when one
is an error.
"""

from __future__ import annotations

from pathlib import Path

import orjson

from engine.channels.checking import check_project

__all__ = ["check", "check_project"]


def check(root: Path, as_json: bool = False, everything: bool = False) -> int:
    """Print the findings of a project; returns the exit code."""
    found = check_project(root)
    errors = sum(f.level == "error" for f in found)
    if as_json:
        keys = ("rule", "level", "place", "what", "why")
        rows = [{**{k: getattr(f, k) for k in keys}, "try": f.try_} for f in found]
        print(orjson.dumps(rows, option=orjson.OPT_INDENT_2).decode())
        return 1 if errors else 0
    shown = [f for f in found if everything or f.level != "info"]
    for f in shown:
        print(f)
    hidden = len(found) - len(shown)
    warnings = sum(f.level == "warning" for f in found)
    more = f"; {hidden} notes, see them with --all" if hidden else ""
    print(f"{errors} errors, {warnings} warnings{more}")
    return 1 if errors else 0
