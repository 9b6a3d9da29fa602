"""An alternative of a search as runs: what narrows it down by index, what is left to look at.

In: a list of conditions, which channels there are and what of them the person may see, since when which words
are kept. Out: `Run`s, each a walk from the newest entry down. A run never mixes what a person may open with
what they may only see in lists: on the latter no condition on what a message holds is ever evaluated, only a
bare word as a control id.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from engine.channels.alternatives import Keys, filter_keys, is_private, keys_of, place_keys
from engine.channels.asked import Asked, Held, Is, Named, Not, Received
from engine.journal.briefs import Where
from engine.journal.tables import KINDS
from engine.store.finding import Standing

__all__ = ["LEFT", "Known", "Run", "runs_of"]

LEFT = frozenset(("parked", "skipped", "closed"))
STATUSES = LEFT | {"waiting", "done"}


@dataclass(frozen=True, slots=True)
class Known:
    """What a search is planned with. Sources are numbers of (channel, sender)."""

    sources: Mapping[int, tuple[str, str]]
    types: Mapping[int, str]
    sees: Callable[[str], bool]
    opens: Callable[[str], bool]
    searched: Mapping[tuple[str, str], int]
    worked: int  # up to this entry all have been worked on
    span: Callable[[int | None, int | None], tuple[int, int]]  # ids between which a time lies

    @property
    def others(self) -> bool:
        """Say whether anything came that is not HL7 v2."""
        return any(" " in name or name.islower() for name in self.types.values())


@dataclass(frozen=True, slots=True)
class Run:
    """One walk. `kept`: by source, from which entry on the words are there; `rest`: what is before that, or
    waits, instead; `look`: bodies are opened only when a person says so.
    """

    where: Where
    above: int = 0
    below: int = 1 << 62
    keys: tuple[Keys, ...] = ()
    unkeys: tuple[Keys, ...] = ()
    entries: frozenset[int] | None = None
    without: frozenset[int] = frozenset()
    statuses: frozenset[str] = STATUSES
    flagged: bool | None = None
    whys: tuple[tuple[tuple[str, ...], bool], ...] = ()
    flags: tuple[tuple[tuple[str, ...], bool], ...] = ()
    held: tuple[tuple[Held, bool], ...] = ()
    look: bool = False
    kept: Mapping[int, int] | None = None
    rest: bool = False
    tame: bool = False  # only hits whose control id is shown to everybody
    private: bool = False
    channels: tuple[str, ...] | None = None

    @property
    def asks_standing(self) -> bool:
        """Say whether what became of an entry matters."""
        return self.statuses != STATUSES or self.flagged is not None or bool(self.whys) or bool(self.flags)

    def stands(self, standing: Standing | None) -> bool:
        """Say whether what became of an entry fits."""
        status = standing.status if standing else "waiting"
        if status not in self.statuses:
            return False
        flagged = standing is not None and status == "done" and standing.work
        if self.flagged is not None and flagged != self.flagged:
            return False
        cause = standing.cause if standing and status in LEFT else ""
        for patterns, no in self.whys:
            if bool(cause and _fits(cause, patterns)) == no:
                return False
        for patterns, no in self.flags:
            said = standing.codes() if standing is not None and flagged else ()
            if any(_fits(code, patterns) for code in said) == no:
                return False
        return True

    def stands_for(self, status: str, cause: str) -> bool:
        """Say whether what is parked or skipped for a cause fits."""
        return status in self.statuses and all(_fits(cause, patterns) != no for patterns, no in self.whys)

    def covers(self, entry: int, source: int, worked: int) -> bool:
        """Say whether the words of an entry are kept (or, for the rest, are not)."""
        if self.kept is None:
            return True
        kept = source in self.kept and entry >= self.kept[source]
        return (not kept or entry > worked) if self.rest else kept


def runs_of(conditions: Collection[Asked], known: Known) -> list[Run]:
    """Return the runs of one alternative."""
    seen = {n: name for n, name in known.sources.items() if known.sees(name[0])}
    private = [one for one in conditions if is_private(one)]
    if not private:
        base = _base(conditions, known, seen)
        return [base] if base is not None else []
    mine = {n: name for n, name in seen.items() if known.opens(name[0])}
    found = _private_runs(conditions, known, mine)
    rest = {n: name for n, name in seen.items() if n not in mine}
    keys = [keys_of(one.part if isinstance(one, Not) else one, private=False) for one in private]
    if rest and all(key is not None for key in keys):
        base = _base(conditions, known, rest)
        if base is not None:
            plain = [(key, isinstance(one, Not)) for key, one in zip(keys, private, strict=True) if key]
            found.append(
                replace(
                    base,
                    keys=tuple(key for key, no in plain if not no),
                    unkeys=tuple(key for key, no in plain if no),
                    tame=True,
                )
            )
    return found


def _private_runs(
    conditions: Collection[Asked], known: Known, mine: Mapping[int, tuple[str, str]]
) -> list[Run]:
    base = _base(conditions, known, mine)
    if base is None:
        return []
    base = replace(base, private=True)
    keys: list[Keys] = []
    unkeys: list[Keys] = []
    indexed: list[tuple[Held, Keys, bool]] = []
    looked: list[tuple[Held, bool]] = []
    declared = frozenset(place for channel, place in known.searched if channel)
    for one in conditions:
        part, no = (one.part, True) if isinstance(one, Not) else (one, False)
        if isinstance(part, Held):
            found = None if no else place_keys(part, declared)
            if found is not None:
                indexed.append((part, *found))
            else:
                looked.append((part, no))
        elif (key := keys_of(part, others=known.others)) is not None:
            (unkeys if no else keys).append(key)
    base = replace(base, keys=tuple(keys), unkeys=tuple(unkeys))
    if not indexed and not looked:
        return [base]
    kept = _kept([key for _, key, _ in indexed], known, base)
    by_index = (*base.keys, *(key for _, key, _ in indexed))
    inexact = [(held, False) for held, _, exact in indexed if not exact]
    narrowing = [key for held, no in looked if not no for key in filter_keys(held)]
    runs = []
    if indexed and kept:
        runs.append(replace(base, keys=by_index, held=(*inexact, *looked), look=bool(looked), kept=kept))
    everything = (*((held, False) for held, _, _ in indexed), *looked)
    if not indexed:
        since = _kept(narrowing, known, base)
        if narrowing and since:
            runs.append(replace(base, keys=(*keys, *narrowing), held=everything, look=True, kept=since))
            kept = since
        elif not narrowing:
            return [replace(base, held=everything, look=True)]
    chosen = base.where.sources if base.where.sources is not None else mine
    first = max((kept.get(n, 1 << 62) for n in chosen), default=0) if kept else 1 << 62
    above = max(base.above, known.worked) if first <= 1 else base.above
    runs.append(replace(base, held=everything, look=True, kept=kept, rest=True, above=above))
    return runs


def _kept(keys: list[Keys], known: Known, base: Run) -> dict[int, int]:
    """Return from which entry on each source's messages have all of these words."""
    found: dict[int, int] = {}
    for n in base.where.sources if base.where.sources is not None else known.sources:
        firsts = [
            1 if not key.kept else known.searched.get((channel, key.kept), known.searched.get(("", key.kept)))
            for key in keys
            for channel in (known.sources[n][0],)
        ]
        if all(first is not None for first in firsts):
            found[n] = max((first for first in firsts if first is not None), default=1)
    return found


def _base(conditions: Collection[Asked], known: Known, sources: Mapping[int, tuple[str, str]]) -> Run | None:
    """Return what the conditions on lists alone say, of these sources; None where nothing can fit."""
    chosen = dict(sources)
    types: frozenset[int] | None = None
    kinds: frozenset[int] | None = None
    statuses = STATUSES
    run = Run(Where())
    since: int | None = None
    until: int | None = None
    for one in conditions:
        part, no = (one.part, True) if isinstance(one, Not) else (one, False)
        if isinstance(part, Received):
            if part.since is not None:
                since = max(int(part.since.timestamp() * 1000), since or 0)
            if part.until is not None:
                until = min(int(part.until.timestamp() * 1000), until or 1 << 62)
        elif isinstance(part, Named) and part.kind == "entry":
            number = frozenset((int(part.value),))
            if no:
                run = replace(run, without=run.without | number)
            else:
                run = replace(run, entries=number & run.entries if run.entries is not None else number)
        elif isinstance(part, Is):
            if part.what in ("channel", "sender"):
                place = 0 if part.what == "channel" else 1
                chosen = {n: name for n, name in chosen.items() if _fits(name[place], part.values) != no}
            elif part.what == "type":
                fitting = frozenset(n for n, name in known.types.items() if _fits(name, part.values) != no)
                types = fitting if types is None else types & fitting
            elif part.what == "kind":
                numbers = frozenset(n for n, kind in enumerate(KINDS) if (kind in part.values) != no)
                kinds = numbers if kinds is None else kinds & numbers
            elif part.what == "why":
                run = replace(run, whys=(*run.whys, (part.values, no)))
                statuses = statuses if no else statuses & LEFT
            elif part.what == "flag":
                run = replace(run, flags=(*run.flags, (part.values, no)))
                run = run if no else replace(run, flagged=True)
            elif part.value == "flagged":
                run = replace(run, flagged=not no)
            else:
                statuses = statuses - {part.value} if no else statuses & {part.value}
    if run.flagged:
        statuses = statuses & {"done"}
    everywhere = len(chosen) == len(known.sources)
    where = Where(None if everywhere else frozenset(chosen), types, kinds, since, until)
    if where.nothing or not chosen or not statuses:
        return None
    above, below = known.span(since, until)
    channels = None if everywhere else tuple(sorted({channel for channel, _ in chosen.values()}))
    return replace(run, where=where, above=above, below=below, statuses=statuses, channels=channels)


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    """Say whether a name fits a pattern: whole, without case, `*` for anything."""
    folded = name.casefold()
    return any(
        fnmatchcase(folded, pattern.casefold().replace("[", "[[]").replace("?", "[?]"))
        for pattern in patterns
    )
