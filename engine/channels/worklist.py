"""Work on codes that no table knows: what is proposed, reviewed, approved; and the messages that waited.

In: the core store's sightings, the tables of the project, people's words. Out: rows in the tables that the
senders' maps ask; replays, in the order of their origins, of exactly the messages that waited: those parked
for a code (`unmapped: hold`), once nothing else of them is unknown, and those written with a work flag for it
(`unmapped: flag`). What a row keeps or drops waits for nobody and is not run again. A code goes draft,
reviewed, approved; with `two_people: true` in config.yaml nobody approves what he wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.channels.renewal import announce
from engine.channels.replay import ask_replays, due_replays
from engine.channels.tablerows import usual, write_rows_of
from engine.journal.sql import SqlJournal
from engine.kernel.clock import now_ms
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError, HubError
from engine.store.audit import Access
from engine.store.gaps import Proposal, Sighting
from engine.store.sql import SqlStore
from engine.terminology.concepts import CodeService
from engine.terminology.folder import TerminologyFolder
from engine.terminology.tables import EQUIVALENCES, TRANSLATING
from engine.terminology.translate import Hit, Terminology

__all__ = ["Approved", "Waiting", "Worklist"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What an approval would run again. Entries are those of the messages as they came."""

    parked: tuple[int, ...]  # parked for these codes, and for nothing else that is still unknown
    flagged: tuple[int, ...]  # written, with a work flag because of these codes
    held_back: tuple[int, ...]  # parked for these codes and others: they go on waiting

    @property
    def entries(self) -> list[int]:
        """What runs again, in order."""
        return sorted({*self.parked, *self.flagged})

    def __str__(self) -> str:
        one = len(self.entries)
        text = f"{one} message{'s' if one != 1 else ''} will run again"
        if one:
            text += f" ({len(self.parked)} parked, {len(self.flagged)} written with a flag)"
        if self.held_back:
            text += f"; {len(self.held_back)} go on waiting for other codes"
        return text


@dataclass(frozen=True, slots=True)
class Approved:
    """What an approval did: the tables with their new versions, and the replays (origin -> entry)."""

    tables: dict[str, str]
    replays: dict[int, int]
    unreadable: tuple[int, ...]  # waited, and their bodies are gone
    held_back: tuple[int, ...]


class Worklist:
    """The codes of one project that wait for people."""

    def __init__(
        self, config: Config, journal: SqlJournal, store: SqlStore, codes: CodeService | None = None
    ) -> None:
        self.config, self.journal, self.store, self.codes = config, journal, store, codes
        self._folder = TerminologyFolder(config.root / "terminology")

    # -- looking ---------------------------------------------------------------------------------------------

    def sightings(self, states: Sequence[str] = ("open", "draft", "reviewed")) -> list[Sighting]:
        """Return the codes in these states, those that most waits for first.

        Approved ones for which messages wait (worked on while the table changed, say) are open again in that.
        """
        found = self.store.gaps.all()
        return [s for s in found if s.state in states or ("open" in states and s.parked + s.flagged)]

    def one(self, number: int) -> Sighting:
        """Return one code. Raises HubError."""
        found = self.store.gaps.get(number)
        if found is None:
            raise HubError(
                f"there is no code {number} on the list", remedy="hub terms gaps shows what there is"
            )
        return found

    def terms(self) -> Terminology:
        """Return the tables as they are on disk now. Raises ConfigError."""
        return self._folder.now()

    def tables(self) -> list[str]:
        """Return the names of the tables."""
        return list(self._folder.now().tables)

    def in_table(self, gap: Sighting) -> Hit | None:
        """Return what the table of a code says of it today."""
        table = self._folder.now().tables.get(gap.table)
        return table.translate(gap.code, gap.system, gap.uri) if table is not None else None

    def waiting(self, numbers: Sequence[int]) -> Waiting:
        """Say what would run again if these codes were approved now."""
        known = {s.id for s in self.store.gaps.all(("approved",))} | set(numbers)
        parked: list[int] = []
        flagged: list[int] = []
        back: list[int] = []
        due = due_replays(self.journal, self.store)
        for entry, held in self.store.gaps.waiting(numbers).items():
            if entry in due:
                continue
            (flagged if not held else parked if held <= known else back).append(entry)
        return Waiting(tuple(parked), tuple(flagged), tuple(back))

    # -- proposing -------------------------------------------------------------------------------------------

    def propose(
        self,
        number: int,
        who: str,
        code: str,
        *,
        system: str = "",
        equivalence: str = "equivalent",
        table: str = "",
        display: str = "",
        comment: str = "",
    ) -> Proposal:
        """Say what a code means; `unmatched` without a target says that it means nothing on the other side.

        Raises ConfigError.
        """
        gap = self.one(number)
        made = self._checked(
            gap, Proposal("draft", who, now_ms(), table, system, code, display, equivalence, comment)
        )
        self._say(gap, made, gap.proposal)
        return made

    def review(self, number: int, who: str, comment: str = "") -> Proposal:
        """Agree to a draft. With `two_people: true` that is somebody else's to do."""
        gap = self.one(number)
        draft = self._standing(gap, "draft")
        self._another(gap, who)
        made = replace(draft, state="reviewed", who=who, at=now_ms(), comment=comment or draft.comment)
        self._say(gap, made, draft)
        return made

    def withdraw(self, number: int, who: str, comment: str = "") -> None:
        """Take a draft back. What is approved stands in its table and is changed by another approval."""
        gap = self.one(number)
        draft = self._standing(gap, "draft", "reviewed")
        self._say(gap, Proposal("withdrawn", who, now_ms(), comment=comment), draft)

    # -- approving -------------------------------------------------------------------------------------------

    def approve(
        self, numbers: Sequence[int], who: str, comment: str = "", *, change: bool = False
    ) -> Approved:
        """Write the drafts into their tables, let the workers take them over, and run again what waited.

        All or none of the rows are written. The same code of other senders whose maps ask the same table is
        settled with it. `change`: also where the table says something else today. Raises ConfigError; then
        nothing has changed.
        """
        gaps = [self.one(number) for number in dict.fromkeys(numbers)]
        done: list[tuple[Sighting, Proposal]] = []
        for gap in gaps:
            draft = self._standing(gap, "draft", "reviewed", "approved")
            if draft.state != "approved":
                self._another(gap, who)
            checked = self._checked(gap, draft)
            if checked.equivalence not in TRANSLATING | {"unmatched"}:
                raise ConfigError(
                    f"code {gap.id}: {checked.equivalence} does not translate",
                    why="a narrower or inexact code would say more than the sender did",
                    remedy="choose equal, equivalent, wider or unmatched",
                )
            done.append((gap, replace(checked, state="approved", who=who, at=now_ms())))
        done = [(gap, replace(made, comment=comment or made.comment)) for gap, made in done]
        tables = write_rows_of(self.config, done, change)
        done += self._twins(done)
        for gap, made in done:
            if gap.proposal is None or gap.proposal.state != "approved":
                self._say(gap, made, gap.proposal)
            said = f"{gap.code} -> {made.target_code or made.equivalence} in {made.table}"
            self.store.audit.record(Access(who, "terms:approve", f"gap/{gap.id}", said))
        return self._release(done, tables, who)

    def twins(self, gaps: Sequence[Sighting]) -> list[Sighting]:
        """Return the same codes of other senders, which an approval of these drafts settles as well."""
        made = [(gap, gap.proposal) for gap in gaps if gap.proposal is not None]
        return [s for s, _ in self._twins(made)]

    def _twins(self, done: Sequence[tuple[Sighting, Proposal]]) -> list[tuple[Sighting, Proposal]]:
        """Return the same codes of other senders that the rows settle as well."""
        said = {(made.table, gap.system, gap.uri, gap.code): made for gap, made in done}
        own = {gap.id for gap, _ in done}
        return [
            (s, said[key])
            for s in self.sightings()
            if s.id not in own
            and s.state != "approved"
            and (key := (s.table, s.system, s.uri, s.code)) in said
        ]

    def release(self, numbers: Sequence[int], who: str) -> Approved:
        """Run again what still waits for codes that their tables have by now."""
        now = self._folder.now()
        done = []
        for number in dict.fromkeys(numbers):
            gap = self.one(number)
            hit = now.table(gap.table).translate(gap.code, gap.system, gap.uri) if gap.table else None
            if hit is None:
                raise HubError(
                    f"code {gap.id} is in no table yet",
                    why=f"{gap.field} of {gap.sender}",
                    remedy="approve it",
                )
            made = Proposal("approved", who, now_ms(), gap.table, hit.system, hit.code, hit.display)
            made = replace(made, equivalence=hit.equivalence)
            if gap.state != "approved":
                self._say(gap, replace(made, comment="the table has it"), gap.proposal)
            done.append((gap, made))
        announce(self.config, now.digest)
        return self._release(done, {made.table: now.table(made.table).version for _, made in done}, who)

    def settled(self) -> list[Sighting]:
        """Return codes that their tables have by now, and that are open or still waited for: written there by
        hand, or seen while an approval was on its way to the workers."""
        now = self._folder.now()
        return [
            s
            for s in self.sightings()
            if s.table in now.tables
            and now.tables[s.table].translate(s.code, s.system, s.uri) is not None
            and (s.state != "approved" or self.waiting([s.id]).entries)
        ]

    def _release(
        self, done: Sequence[tuple[Sighting, Proposal]], tables: dict[str, str], who: str
    ) -> Approved:
        waiting = self.waiting([gap.id for gap, _ in done])
        told = "; ".join(
            f"{gap.code} -> {made.target_code or made.equivalence} in {made.table}@{tables[made.table]}"
            for gap, made in done[:3]
        )
        why = f"codes approved: {told}" + (f" and {len(done) - 3} more" if len(done) > 3 else "")
        entries = waiting.entries
        if entries:
            numbers = " ".join(str(e) for e in entries[:1000])
            self.store.audit.record(Access(who, "terms:release", "messages", f"{len(entries)}: {numbers}"))
        replays = ask_replays(self.journal, entries, who, why)
        gone = tuple(e for e in entries if e not in replays)
        if gone:
            self.store.gaps.forget(gone)
        return Approved(tables, replays, gone, waiting.held_back)

    # -- rules -----------------------------------------------------------------------------------------------

    def _standing(self, gap: Sighting, *states: str) -> Proposal:
        found = gap.proposal
        if found is None or found.state not in states:
            is_ = f"is {found.state}" if found else "has no draft"
            raise HubError(
                f"code {gap.id} {is_}",
                why=f"{gap.field} of {gap.sender}",
                remedy="propose what it means first: hub terms propose" if found is None else "",
            )
        return found

    def _another(self, gap: Sighting, who: str) -> None:
        """Refuse whoever wrote what stands, where two people are asked for."""
        if not self.config.terminology.two_people:
            return
        draft = gap.proposal
        drafts = (p for p in gap.proposals if p.state == "draft" and draft and p.same_meaning(draft))
        if _name(who) in {_name(p.who) for p in drafts}:  # `cli:ann` and ann at the console are one person
            raise HubError(
                f"code {gap.id} needs a second person",
                why=f"{who} wrote the draft, and config.yaml says terminology: two_people",
            )

    def _checked(self, gap: Sighting, proposal: Proposal) -> Proposal:
        """Fill in table and display, and refuse what cannot be right. Raises ConfigError."""
        name = proposal.table or gap.table
        if not name:
            raise ConfigError(
                f"no table is asked about {gap.field} of {gap.sender}",
                why="the sender's maps give this field no `code:`",
                remedy="docs/analysts/codes.md: a table for a sender",
            )
        table = self._folder.now().table(name)
        if proposal.equivalence not in EQUIVALENCES:
            raise ConfigError(
                f"equivalence {proposal.equivalence!r}",
                remedy=f"use one of {', '.join(sorted(EQUIVALENCES))}",
            )
        if proposal.equivalence == "unmatched":
            return replace(proposal, table=name, target_system="", target_code="", target_display="")
        if not proposal.target_code:
            raise ConfigError("there is no target code", remedy="name it, or say unmatched")
        system = proposal.target_system or usual(
            [r.target_system for r in table.rows if r.translates], "http://loinc.org"
        )
        return replace(
            proposal,
            table=name,
            target_system=system,
            target_display=self._display(system, proposal.target_code, proposal.target_display),
        )

    def _display(self, system: str, code: str, said: str) -> str:
        """Return the name of a target code. Raises ConfigError where its system is loaded and has no such
        code.
        """
        if self.codes is None or not any(r.system == system for r in self.codes.releases()):
            return said
        found = self.codes.lookup(system, code)
        if found is None or not found.active:
            release = next(r for r in self.codes.releases() if r.system == system)
            raise ConfigError(
                f"{code} is {'not in' if found is None else 'no longer active in'} {system}",
                why=f"looked up in release {release.version}",
                remedy="hub terms search finds what there is",
            )
        return said or found.display

    def _say(self, gap: Sighting, made: Proposal, expected: Proposal | None) -> None:
        if not self.store.gaps.propose(gap.id, made, expected):
            raise HubError(
                f"code {gap.id} was changed by somebody else meanwhile",
                remedy="look at it again: hub terms gaps",
            )


def _name(who: str) -> str:
    return who.rpartition(":")[2].casefold()
