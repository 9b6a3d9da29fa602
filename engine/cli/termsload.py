"""What `hub terms load|releases|lookup|search|current|remove` do, and how they say it.

In: the project's root and words of the command line. Out: the code store of the project (`codes.db` in the
data folder) changed or asked; text or JSON on standard output, a bar of the bytes read on a terminal.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from engine.cli.printing import print_json
from engine.cli.project import shipped
from engine.codes.loaders.summary import Asked, Summary
from engine.codes.loading import load_release, make_current, remove_release
from engine.codes.shipped import LISTING, listed, load_shipped
from engine.codes.store import CodeStore
from engine.codes.systems import SHORT, full
from engine.kernel.config import load_config
from engine.kernel.errors import ConfigError, HubError
from engine.terminology.concepts import Concept, Release

__all__ = [
    "asked_of",
    "codes_file",
    "load_all",
    "load_what_ships",
    "print_releases",
    "print_search",
    "remove",
    "show_code",
    "switch",
]

Job = tuple[Path, str, Asked]
_FEW = 8  # releases of one load that are listed one by one
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


def codes_file(root: Path) -> Path:
    """Return the file of the project's code store."""
    return load_config(root).data_dir / "codes.db"


def asked_of(system: str, release: str, effective: str, language: str, columns: Sequence[str]) -> Asked:
    """Read what the options say. Raises ConfigError."""
    named: dict[str, str] = {}
    for one in columns:
        ours, equals, theirs = one.partition("=")
        if not equals or ours not in ("code", "display", "active", "parent"):
            raise ConfigError(
                f"--column {one} is not understood",
                remedy="write code=..., display=..., active=..., parent=...",
            )
        named[ours] = theirs
    if effective and not _DAY.fullmatch(effective):
        raise ConfigError(f"--effective {effective} is no day", remedy="write it as 2026-10-01")
    uri = full(system)
    if uri and ":" not in uri:
        raise ConfigError(
            f"--system {system} is neither a URI nor a short name",
            remedy=f"short names are {', '.join(SHORT)}",
        )
    return Asked(uri, release, effective, language, named)


def load_what_ships(root: Path, as_json: bool) -> None:
    """Load what ships with the project, or with the hub where the project has none. Raises HubError."""
    store = codes_file(root)
    own = root if (root / LISTING).is_file() else shipped()
    done = []
    for row in listed(own):
        with _bar(row.path.name) as tell:
            (summary,) = load_shipped([row], store, tell)
        done.append(_told(summary))
        if not as_json:
            print_summary(summary)
    if as_json:
        print_json(done)


def load_all(
    root: Path, jobs: Sequence[Job], current: bool | None, accept_smaller: bool, as_json: bool
) -> None:
    """Load releases in order and say what came of each. Raises HubError at the first that fails."""
    store = codes_file(root)
    done: list[dict[str, Any]] = []
    for path, loader, asked in jobs:
        with _bar(path.name) as tell:
            try:
                summary = load_release(
                    store,
                    path,
                    asked,
                    loader=loader,
                    current=current,
                    accept_smaller=accept_smaller,
                    tell=tell,
                )
            except BaseException:
                if as_json and done:
                    print_json(done)  # what was loaded before stays loaded
                raise
        done.append(_told(summary))
        if not as_json:
            print_summary(summary)
    if as_json:
        print_json(done)


@contextmanager
def _bar(name: str) -> Iterator[Callable[[str, int, int], None] | None]:
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(escape(name), total=None)
        yield lambda stage, at, total: bar.update(task, description=escape(stage), completed=at, total=total)


def _told(summary: Summary) -> dict[str, Any]:
    return {
        "source": summary.source,
        "loader": summary.loader,
        "releases": [{**asdict(release), "current": leads} for release, leads in summary.releases],
        "rows": dict(summary.rows),
        "links": summary.links,
        "skipped": dict(summary.skipped),
        "notes": summary.notes,
        "seconds": round(summary.seconds, 2),
    }


def print_summary(summary: Summary) -> None:
    """Print what was loaded, what was left out and why."""
    out = Console(highlight=False, soft_wrap=True, emoji=False)
    out.print(f"{escape(summary.source)}: loaded in {summary.seconds:.1f} s", style="bold")
    for release, leads in summary.releases[:_FEW]:
        state = "[green]current[/]" if leads else f"[yellow]beside[/] {_beside(release)}"
        since = f", in effect from {release.effective}" if release.effective else ""
        name = f"{release.system} {release.version}"
        out.print(f"  release   {escape(name)}{since}: {release.concepts:,} concepts, {state}")
    if len(summary.releases) > _FEW:
        more = summary.releases[_FEW:]
        out.print(f"  release   {len(more)} others, {sum(r.concepts for r, _ in more):,} concepts")
    if summary.links:
        out.print(f"  links     {summary.links:,} to other codes")
    for name, count in summary.rows.most_common(_FEW):
        out.print(f"  read      {count:,} {escape(name)}", style="dim")
    for why, count in summary.skipped.most_common(_FEW):
        out.print(f"  left out  {count:,} {escape(why)}", style="dim")
    for note in summary.notes:
        out.print(f"  note      {escape(note)}")


def _beside(release: Release) -> str:
    return escape(f"(hub terms current {release.system} {release.version} makes it current)")


def print_releases(root: Path, system: str, as_json: bool) -> None:
    """Print what is loaded."""
    store = CodeStore(codes_file(root))
    wanted = full(system)
    rows = [(r, store.in_force(r.system) == r) for r in store.releases() if wanted in ("", r.system)]
    store.close()
    if as_json:
        print_json([{**asdict(release), "current": leads} for release, leads in rows])
        return
    out = Console(highlight=False, soft_wrap=True, emoji=False)
    if not rows:
        out.print("no release is loaded: hub terms load PATH, or hub terms load --shipped")
    for release, leads in rows:
        mark = "[green]*[/]" if leads else " "
        said = f"{release.system} {release.version}"
        since = release.effective or "-"
        out.print(f"{mark} {escape(said)}  {since}  {release.concepts:,} concepts  {escape(release.source)}")


def show_code(root: Path, system: str, code: str, version: str, to: str, as_json: bool) -> int:
    """Print a code; returns 1 where it is not known."""
    store = CodeStore(codes_file(root))
    system, to = full(system), full(to)
    try:
        found = store.lookup(system, code, version)
        names = store.names(system, code, version) if found else []
        matches = store.translate(system, code, to, version) if to else []
        if as_json:
            said = _concept(found) if found else None
            print_json(
                {
                    "concept": said,
                    "names": [{"name": n, "language": lang, "use": use} for n, lang, use in names],
                    "matches": [asdict(m) for m in matches],
                }
            )
            return 0 if found or matches else 1
        out = Console(highlight=False, soft_wrap=True, emoji=False)
        if found is None:
            out.print(escape(store.validate(system, code, version=version)[1]))
        else:
            state = "" if found.active else "  [yellow]no longer active[/]"
            out.print(f"[bold]{escape(found.code)}[/]  {escape(found.display)}{state}")
            out.print(f"  {escape(found.system)} {escape(found.version)}", style="dim")
            for parent in found.parents:
                above = store.lookup(system, parent, version)
                out.print(f"  is a  {escape(parent)}  {escape(above.display if above else '')}")
            for name, value in found.properties.items():
                out.print(f"  {escape(name)}: {escape(value)}".replace("\n", ", "))
            for other, language, use in names:
                out.print(f"  also  {escape(other)}  [dim]{escape(f'{use} {language}'.strip())}[/]")
        for match in matches:
            said_of = f"{match.equivalence}  ({match.source})"
            out.print(f"  ->  {escape(f'{match.code}  {match.display}')}  {escape(said_of)}")
        if to and not matches:
            out.print(f"  ->  no loaded crosswalk says what it is in {escape(to)}")
        return 0 if found or matches else 1
    finally:
        store.close()


def _concept(found: Concept) -> dict[str, Any]:
    return {**asdict(found), "properties": dict(found.properties)}


def print_search(root: Path, system: str, text: str, limit: int, as_json: bool) -> None:
    """Print the codes that words find."""
    store = CodeStore(codes_file(root))
    system = full(system)
    try:
        if store.in_force(system) is None:
            raise HubError(f"no release of {system} is loaded", remedy="load one: hub terms load PATH")
        found = store.search(system, text, limit)
    finally:
        store.close()
    if as_json:
        print_json([_concept(one) for one in found])
        return
    for one in found:
        print(f"{one.code}  {one.display}{'' if one.active else '  (no longer active)'}")


def switch(root: Path, system: str, version: str, as_json: bool) -> None:
    """Make a release current, and say so."""
    make_current(codes_file(root), full(system), version)
    if as_json:
        print_json({"system": full(system), "current": version})
    else:
        print(f"{full(system)} {version} is current")


def remove(root: Path, system: str, version: str, even_current: bool, as_json: bool) -> None:
    """Remove a release, and say so."""
    remove_release(codes_file(root), full(system), version, even_current=even_current)
    if as_json:
        print_json({"system": full(system), "removed": version})
    else:
        print(f"{full(system)} {version} is removed")
