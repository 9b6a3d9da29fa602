"""Whether a draft may go live: its checks, the question, and the answer of another person.

In: a draft and who acts. Out: the draft in its next state, or a refusal that says why. Everything found or
decided is about one content digest: whoever writes on the draft afterwards voids it. Authors never approve
what they wrote; a development project may say `changes: {two_people: false}`, and then the record says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from engine.channels.checking import Tested, check_project, project_tests
from engine.channels.definition import Channel
from engine.channels.drafts import Draft, Drafts
from engine.channels.renewal import project_digest
from engine.kernel.errors import HubError, place_of
from engine.kernel.yamlfile import Map, loads
from engine.mapping.rules import Finding

__all__ = ["Checks", "approve", "ask", "channels_reached", "check", "checks_of", "lone_allowed", "send_back"]


@dataclass(frozen=True, slots=True)
class Checks:
    """What linter and tests say of the project with a draft. `before`: the live project has it, too."""

    at: int
    live: str  # digest of the live project they were made beside
    findings: tuple[dict[str, str], ...]
    failed: tuple[dict[str, Any], ...]
    passed: int
    trouble: str = ""  # tests could not be run at all

    @property
    def errors(self) -> int:
        """How many things stop the draft: errors and failed tests that the live project does not have."""
        new = sum(f["level"] == "error" and not f["before"] for f in self.findings)
        return new + sum(not t["before"] for t in self.failed) + bool(self.trouble)

    @property
    def well(self) -> bool:
        """Whether nothing stops the draft."""
        return not self.errors


def check(drafts: Drafts, number: int, who: str) -> Checks:
    """Run the linter and all tests on the project with a draft, and keep what they say."""
    draft = drafts.get(number)
    root, config = drafts.root(number), drafts.config
    live = project_digest(config.root)
    found, tests, trouble = _looked(root, config.identity_base)
    findings = [{**asdict(f), "before": ""} for f in found if f.level != "info"]
    failed = [{**asdict(t), "before": ""} for t in tests if t.differences]
    if trouble or failed or any(f["level"] == "error" for f in findings):
        old, old_tests, old_trouble = _looked(config.root, config.identity_base)
        known = {(f.rule, f.place.rpartition(":")[0], f.what) for f in old}
        known_tests = {(t.of, t.name) for t in old_tests if t.differences}
        for f in findings:
            f["before"] = "yes" * ((f["rule"], f["place"].rpartition(":")[0], f["what"]) in known)
        for t in failed:
            t["before"] = "yes" * ((t["of"], t["name"]) in known_tests)
        trouble = "" if trouble and trouble == old_trouble else trouble
    said = Checks(drafts.rows.now(), live, tuple(findings), tuple(failed), len(tests) - len(failed), trouble)
    with drafts.staff.database.write() as c:
        drafts.rows.keep_report(c, "checks", draft.digest, orjson.dumps(asdict(said)))
        now = drafts.locked(c, number)
        if now.digest == draft.digest and now.state == ("draft" if said.well else "checked"):
            drafts.move(c, now, "checked" if said.well else "draft", who)
    return said


def checks_of(drafts: Drafts, draft: Draft) -> Checks | None:
    """Return what the checks said of exactly this content; None where they did not run."""
    with drafts.staff.database.read() as c:
        found = drafts.rows.report(c, "checks", draft.digest)
    if found is None:
        return None
    words = orjson.loads(found[1])
    return Checks(**{**words, "findings": tuple(words["findings"]), "failed": tuple(words["failed"])})


def ask(drafts: Drafts, number: int, who: str, text: str = "") -> Draft:
    """Ask for approval. Raises HubError where the draft is empty, not checked, or begun from old files."""
    draft = drafts.get(number)
    if not draft.files:
        raise HubError(f"draft {number} changes nothing")
    if draft.state != "checked":
        why = {"draft": "its checks did not run, or found errors"}.get(draft.state, f"it is {draft.state}")
        raise HubError(
            f"draft {number} cannot be asked for",
            why=why,
            remedy="run the checks, and put right what they say",
        )
    moved = [s.path for s in drafts.standing(number) if s.state != "same"]
    if moved:
        raise HubError(
            f"{', '.join(moved)}: the live file has changed since draft {number} began",
            remedy="bring the live changes in first, then check again",
        )
    return _move(drafts, draft, ("checked",), "asked", who, text)


def approve(drafts: Drafts, number: int, who: str, digest: str, text: str = "") -> Draft:
    """Approve exactly the content with this digest. Raises HubError."""
    draft = drafts.get(number)
    if draft.state != "asked":
        raise HubError(f"nobody asks for approval of draft {number}", why=f"it is {draft.state}")
    if draft.digest != digest:
        raise HubError(f"draft {number} has changed since you looked at it", remedy="look at it as it is now")
    if _person(who) in {_person(author) for author in draft.authors}:
        if not lone_allowed(drafts):
            raise HubError(
                f"draft {number} needs somebody else's approval",
                why=f"{who} wrote on it",
                remedy="ask a colleague who may approve changes",
            )
        text = f"approved by its own author; config.yaml says changes: two_people: false. {text}".strip()
    return _move(drafts, draft, ("asked",), "approved", who, text)


def send_back(drafts: Drafts, number: int, who: str, text: str) -> Draft:
    """Give a draft back to its authors, with a reason."""
    if not text.strip():
        raise HubError("a draft is sent back with a reason", remedy="say what its authors shall change")
    return _move(drafts, drafts.get(number), ("asked", "approved"), "draft", who, text.strip())


def lone_allowed(drafts: Drafts) -> bool:
    """Say whether an author may approve alone: in a development project that says so, never in production."""
    return not drafts.config.changes.two_people and drafts.config.profile != "production"


def channels_reached(draft: Draft, channels: Iterable[Channel]) -> list[str]:
    """Return the channels whose people have a say in a draft: those of its channel files and sites, and all
    of them for a standard map or a code table.
    """
    every = {c.name: c for c in channels}
    out: set[str] = set()
    for path, file in draft.files.items():
        top, _, rest = path.partition("/")
        if top == "channels":
            names = {n for text in (file.base, file.text) if (n := _channel_of(text))}
            names |= {c.name for c in every.values() if c.file == path}
            out |= names or {rest.partition(".")[0]}
        elif path.startswith("mappings/sites/"):
            site = rest.rpartition("/")[2].removesuffix(".yaml")
            out |= {name for name, c in every.items() if c.site in ("", site)}
        else:
            return sorted(every)
    return sorted(out)


def _person(who: str) -> str:
    """Return who it is, whether at the console or (`cli:ana`) at the command line."""
    return who.partition(":")[2] or who


def _channel_of(text: str | None) -> str:
    if text is None:
        return ""
    try:
        found = loads(text, "channel")
    except HubError:
        return ""
    return str(found.get("channel", "")) if isinstance(found, Map) else ""


def _looked(root: Path, identity_base: str) -> tuple[list[Finding], list[Tested], str]:
    found = check_project(root, identity_base)
    try:
        return found, list(project_tests(root, identity_base)), ""
    except HubError as e:
        return found, [], f"the tests cannot be run: {e}"
    except Exception as e:  # rows that the linter refuses may not even run
        return found, [], f"the tests stopped ({place_of(e)}); put right what the linter finds first"


def _move(drafts: Drafts, draft: Draft, states: tuple[str, ...], state: str, who: str, text: str) -> Draft:
    """Put a draft into another state if it is still what was looked at."""
    with drafts.staff.database.write() as c:
        now = drafts.locked(c, draft.number)
        if now.digest != draft.digest or now.state not in states:
            raise HubError(
                f"draft {draft.number} is {now.state} by now"
                if now.state not in states
                else f"draft {draft.number} has changed meanwhile",
                remedy="look at it as it is now",
            )
        drafts.move(c, now, state, who, text)
    return drafts.get(draft.number)
