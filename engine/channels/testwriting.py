"""A test of a channel from a message on the bench: the message about nobody, and what is expected of it.

In: a message, what it became, a test file. Out: expectations to begin with, and the text of the test file
with the test at its end. `hub test` runs it like any other.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

from engine.channels.trial import Trial
from engine.fhir import jsonio
from engine.fhir.diff import Difference
from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import Map, loads
from engine.mapping.entries import scalar

__all__ = ["suggested", "with_test"]

_INDEX = re.compile(r"\[\d+\]")


def suggested(trial: Trial, differences: Iterable[Difference] = ()) -> str:
    """Return expectations, one a line: how many of each resource, and what the draft changes."""
    found = [e["resource"] for e in (trial.bundle or {}).get("entry", ())]
    count = Counter(str(r.get("resourceType")) for r in found)
    lines = [f"{kind}.count(): {n}" for kind, n in sorted(count.items()) if kind != "MessageHeader"]
    for d in differences:
        path = _INDEX.sub("", d.path)
        single = count[path.split(".")[0]] == 1 and "(" not in path
        if not single or d.kind == "removed" or isinstance(d.right, dict | list):
            continue
        value = d.right if isinstance(d.right, str) else jsonio.dumps(d.right).decode()
        lines.append(f"{path}: {scalar(value)}")
    return "\n".join(dict.fromkeys(lines))


def with_test(
    old: str | None, file: str, channel: str, name: str, expect: str, *, message: str = "", send: str = ""
) -> str:
    """Return the text of a channel's test file with one more test. Raises ConfigError.

    `message` is the text of the message itself, `send` the name of a file that holds it.
    """
    name = " ".join(name.split())
    if not 3 <= len(name) <= 120:
        raise ConfigError("a test needs a name", remedy="say in 3 to 120 characters what must come of it")
    lines = [f"  - name: {scalar(name)}"]
    if send:
        lines.append(f"    send: {scalar(send)}")
    else:
        lines.append("    message: |")
        lines += [f"      {line}" for line in message.replace("\r", "\n").split("\n") if line.strip()]
    lines.append("    expect:")
    lines += [f"      {line.strip()}" for line in expect.replace("\r", "\n").split("\n") if line.strip()]
    before = old.rstrip("\n") if old else f"channel: {channel}\n\ntests:"
    made = f"{before}\n\n" + "\n".join(lines) + "\n"
    _checked(made, old, file)
    return made


def _checked(made: str, old: str | None, file: str) -> None:
    """Refuse what is not the old file with one test more."""
    was = loads(old, file) if old else None
    now = loads(made, file)
    tests = list(now.get("tests") or ()) if isinstance(now, Map) else []
    before = len(was.get("tests") or ()) if isinstance(was, Map) else 0
    last = tests[-1] if tests else None
    if len(tests) != before + 1 or not isinstance(last, Map) or not isinstance(last.get("expect"), Map):
        raise ConfigError(
            "the test cannot be written at the end of this file",
            where=file,
            why="its tests are not the last thing in it, or an expectation is not `path: value`",
            remedy="write each expectation on a line like Patient.gender: male",
        )
