"""What `hub draft`, `hub impact` and `hub deploy` do.

In: the project and words of the command line. Out: text or JSON; the audit knows who typed, as far as this
machine does. Nothing here prints what a message holds unless it was asked to.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from difflib import unified_diff
from pathlib import Path
from typing import Any

from rich.progress import Progress

from engine.channels.changejobs import impact_now
from engine.channels.deciding import ask, check
from engine.channels.definition import load_channels
from engine.channels.drafts import OPEN, Drafts
from engine.channels.golive import apply, back, plan
from engine.channels.impact import Impact, Side, impact_of
from engine.channels.opening import open_journal, open_keyring, open_staff, open_store, prepare_folder
from engine.cli.opened import who
from engine.cli.printing import print_json
from engine.kernel.clock import iso, now_ms
from engine.kernel.config import load_config
from engine.kernel.errors import HubError
from engine.mapping.project import Maps
from engine.security.keys import Keyring
from engine.staff.changes import Change
from engine.store.audit import Access

__all__ = [
    "apply_draft",
    "ask_for",
    "check_draft",
    "impact_of_draft",
    "list_changes",
    "list_drafts",
    "new_draft",
    "plan_draft",
    "put_file",
    "show_draft",
    "take_back",
]

_HOUR = 3_600_000


@dataclass(frozen=True, slots=True)
class _At:
    drafts: Drafts
    keyring: Keyring

    def note(self, action: str, what: str, detail: str = "") -> None:
        """Write into the audit who did what."""
        store = open_store(self.drafts.config, self.keyring)
        try:
            store.audit.record(Access(who(), action, what, detail))
        finally:
            store.close()


@contextmanager
def _opened(root: Path) -> Iterator[_At]:
    config = load_config(root)
    prepare_folder(config)
    keyring = open_keyring(config)
    staff = open_staff(config, keyring)
    try:
        yield _At(Drafts(config, staff), keyring)
    finally:
        staff.close()


def list_drafts(root: Path, everything: bool, as_json: bool) -> int:
    """Print drafts, newest first."""
    with _opened(root) as at:
        found = at.drafts.all(limit=200, states=() if everything else OPEN)
    if as_json:
        print_json([asdict(d) for d in found])
    for d in found if not as_json else ():
        print(f"{d.number:>5}  {d.state:<12} {iso(d.changed)[:16]}  {d.author:<16} {d.title}")
    if not found and not as_json:
        print("no draft is open")
    return 0


def new_draft(root: Path, title: str, as_json: bool) -> int:
    """Begin a draft."""
    with _opened(root) as at:
        draft = at.drafts.begin(title, who())
        at.note("draft-begun", f"draft/{draft.number}")
    print_json({"number": draft.number}) if as_json else print(draft.number)
    return 0


def show_draft(root: Path, number: int, as_json: bool) -> int:
    """Print one draft."""
    with _opened(root) as at:
        draft = at.drafts.get(number)
        standing = {s.path: s.state for s in at.drafts.standing(number)} if draft.state in OPEN else {}
    words = ("number", "title", "author", "state", "digest", "begun", "changed")
    files = []
    for path, f in draft.files.items():
        a, b = (f.base or "").splitlines(), (f.text or "").splitlines()
        lines = [*unified_diff(a, b, f"live/{path}", f"draft/{path}", lineterm="")]
        files.append({"path": path, "standing": standing.get(path, ""), "diff": lines})
    events = [{"at": e.at, "who": e.who, "what": e.what, "text": e.text} for e in draft.events]
    if as_json:
        print_json({**{w: getattr(draft, w) for w in words}, "files": files, "events": events})
        return 0
    print(f"draft {number}: {draft.title} ({draft.state}, begun by {draft.author})")
    for file in files:
        if file["standing"] not in ("", "same"):
            print(f"{file['path']}: the live file has changed since ({file['standing']})")
        print("\n".join(file["diff"]))
    for e in events:
        print(f"{iso(int(str(e['at'])))[:16]}  {e['who']}: {e['what']}{': ' if e['text'] else ''}{e['text']}")
    return 0


def put_file(root: Path, number: int, path: str, file: Path | None, remove: bool, as_json: bool) -> int:
    """Write a file of a draft."""
    if remove == (file is not None):
        raise HubError("what shall the file say?", remedy="name a file with its new text, or say --remove")
    text = None
    if file is not None:
        try:
            text = sys.stdin.read() if str(file) == "-" else file.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise HubError("cannot be read", where=str(file), why=type(e).__name__) from None
    with _opened(root) as at:
        draft = at.drafts.put(number, path, text, who())
        at.note("draft-write", f"draft/{number}", path)
    print_json(
        {"number": number, "digest": draft.digest, "files": sorted(draft.files)}
    ) if as_json else print(f"draft {number} changes {', '.join(sorted(draft.files)) or 'nothing'}")
    return 0


def check_draft(root: Path, number: int, as_json: bool) -> int:
    """Run linter and tests on a draft."""
    with _opened(root) as at:
        said = check(at.drafts, number, who())
        at.note("change-checks", f"draft/{number}")
    if as_json:
        print_json({**asdict(said), "errors": said.errors})
        return 0 if said.well else 1
    for f in said.findings:
        live = " (live has it, too)" if f["before"] else ""
        print(f"{f['place']}: {f['level']} {f['rule']}: {f['what']}: {f['why']}{live}")
    for t in said.failed:
        print(f"{t['place']}: test {t['name']} of {t['of']}: {'; '.join(t['differences'])}")
    if said.trouble:
        print(said.trouble)
    print(f"{said.errors} things stop it; {said.passed} tests pass")
    return 0 if said.well else 1


def ask_for(root: Path, number: int, text: str) -> int:
    """Ask for approval."""
    with _opened(root) as at:
        ask(at.drafts, number, who(), text)
        at.note("change-ask", f"draft/{number}")
    print(f"draft {number} waits for somebody else's approval: /changes/{number} in the console")
    return 0


def impact_of_draft(
    root: Path,
    number: int | None,
    folder: Path | None,
    since: str,
    last: int,
    show_phi: bool,
    as_json: bool,
) -> int:
    """Print the impact of a draft or of a folder."""
    if (number is None) == (folder is None):
        raise HubError("the impact of what?", remedy="name a draft, or a folder with --dir")
    back_to = _hours(since)
    with _opened(root) as at, Progress(transient=True, disable=as_json or not sys.stderr.isatty()) as bar:
        task = bar.add_task("messages", total=last)

        def progress(done: int, _: int) -> None:
            bar.update(task, completed=done)

        if folder is None:
            found = impact_now(at.drafts, number or 0, last, 0, since=back_to, progress=progress)
        else:
            found = _folder(at, folder, last, back_to, progress)
        what = f"draft/{number}" if number else "folder"
        at.note("change-impact", what)
        if show_phi:
            at.note("change-values", what)
    print_json(found.as_json(show_phi)) if as_json else _print_impact(found, show_phi)
    return 1 if found.changed else 0


def plan_draft(root: Path, number: int, as_json: bool) -> int:
    """Print what going live would do."""
    with _opened(root) as at:
        made = plan(at.drafts, number)
    said = {
        "draft": number,
        "files": sorted(made.draft.files),
        "problems": made.problems,
        "restarts": made.restarts,
        "by_hand": made.by_hand,
    }
    if as_json:
        print_json(said)
        return 1 if made.problems else 0
    for path in sorted(made.draft.files):
        print(f"writes {path}")
    for process in made.restarts:
        print(f"starts the {process} again, which answer first what they have accepted")
    for line in (*made.by_hand, *(f"it cannot go live: {p}" for p in made.problems)):
        print(line)
    return 1 if made.problems else 0


def apply_draft(root: Path, number: int, as_json: bool) -> int:
    """Bring a draft live."""
    with _opened(root) as at:
        done = apply(at.drafts, number, who())
        at.note("change-live", f"draft/{number}", done.digest)
    return _print_change(done, as_json)


def take_back(root: Path, change: int, as_json: bool) -> int:
    """Take a change back."""
    with _opened(root) as at:
        done = back(at.drafts, change, who())
        at.note("change-back", f"draft/{done.draft}", str(change))
    return _print_change(done, as_json)


def list_changes(root: Path, as_json: bool) -> int:
    """Print what went live."""
    with _opened(root) as at, at.drafts.staff.database.read() as c:
        found = at.drafts.staff.changes.page(c, limit=200)
    if as_json:
        print_json([_words(x) for x in found])
    for x in found if not as_json else ():
        by = f", approved by {x.approved_by}" if x.approved_by else ""
        print(f"{x.number:>5}  {x.kind:<5} {iso(x.at)[:16]}  draft {x.draft}: {x.title} ({x.who}{by})")
    return 0


def _print_change(done: Change, as_json: bool) -> int:
    if as_json:
        print_json(_words(done))
        return 0
    print(f"change {done.number}: {', '.join(sorted(done.files))}")
    if done.commit:
        print(f"commit {done.commit}")
    for line in done.said:
        print(line)
    return 0


def _words(x: Change) -> dict[str, Any]:
    return {**{w: v for w, v in asdict(x).items() if w != "files"}, "files": sorted(x.files)}


def _hours(since: str) -> int | None:
    """Return the time of `7d` or `12h` ago, in ms."""
    if not since:
        return None
    m = re.fullmatch(r"(\d{1,4})([dh])", since.strip())
    if m is None:
        raise HubError(f"{since!r} is no time", remedy="write e.g. 7d or 12h")
    return now_ms() - int(m[1]) * (24 * _HOUR if m[2] == "d" else _HOUR)


def _folder(at: _At, folder: Path, last: int, since: int | None, progress: Any) -> Impact:
    config = at.drafts.config
    live = Side(Maps.open(config.root, config.identity_base), load_channels(config.root))
    draft = Side(Maps.open(folder, config.identity_base), load_channels(folder))
    journal = open_journal(config, at.keyring)
    try:
        return impact_of(journal, live, draft, at.keyring.mac16, last, since, progress)
    finally:
        journal.close()


def _print_impact(found: Impact, show_phi: bool) -> None:
    print(
        f"{found.changed} of {found.replayed} messages come out otherwise; {found.skipped} cannot be reached"
        f" ({found.seconds} s)"
    )
    for g in found.groups:
        fails = f"; {g.fails} would now be parked" if g.fails else ""
        print(f"{g.label}  {g.place}: {g.messages} messages{fails}")
        for e in g.effects:
            print(f"    {e.what}: {e.messages}, e.g. entry {', '.join(map(str, e.samples))}")
            for was, becomes, n in e.values if show_phi else ():
                print(f"        {was or '-'} -> {becomes or '-'} ({n})")
    if found.stopped:
        print(found.stopped)
