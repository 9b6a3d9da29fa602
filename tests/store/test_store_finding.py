"""Finding entries by words, states and causes: the same as looking at every one, on both databases."""

from __future__ import annotations

import random

import pytest

from engine.kernel.message import Flag, Work
from engine.store.sql import SqlStore
from engine.store.tables import ENTRY_ERA

CHANNELS = ("adt", "lab", "rad_100%")
CAUSES = ("no-map", "ambiguous-patient", "refused")


def _fill(store: SqlStore, numbers: list[int], seed: int) -> dict[int, Work]:
    dice = random.Random(seed)
    made: dict[int, Work] = {}
    for n in numbers:
        search = tuple({("name", dice.choice("abc")), ("order", f"O{n % 7}"), ("patient", f"P{n}")})
        one = Work(n, n, dice.choice(CHANNELS), "S", (n % 64,), search=search)
        turn = dice.random()
        if turn < 0.3:
            one.parked = Flag(dice.choice(CAUSES), "PID-3", "why", True)
        elif turn < 0.5:
            one.note = "acknowledgement"
        elif turn < 0.8:
            one.flags = [
                Flag(dice.choice(("unmapped-code", "unmapped_codes", "late")), "OBX-3", "x", turn < 0.7)
            ]
        made[n] = one
    store.apply(list(made.values()))
    return made


@pytest.fixture
def filled(store: SqlStore) -> dict[int, Work]:
    dice = random.Random(5)
    eras = [n << ENTRY_ERA for n in (0, 1, 9, 70, 300, 1100)]
    return _fill(
        store, sorted({start + dice.randrange(1, 1 << ENTRY_ERA) for start in eras for _ in range(40)}), 6
    )


@pytest.mark.parametrize("few", [4, 500])
def test_words_newest_first_between_two_ids(
    store: SqlStore, filled: dict[int, Work], few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.store.finding._FEW", few)
    dice = random.Random(7)
    for _ in range(60):
        pairs = [("name", dice.choice("abcd"))] + [("order", f"O{dice.randrange(8)}")] * dice.randrange(2)
        above, below = sorted(dice.choices([0, 1 << 62, *filled], k=2))
        limit = dice.choice((1, 5, 1000))
        fitting = [n for n, w in filled.items() if above < n < below and set(pairs) & set(w.search)]
        found = store.finding.known([pairs], above=above, below=below, limit=limit)
        assert found == sorted(fitting, reverse=True)[:limit]
        both = [n for n in fitting if ("name", "b") in filled[n].search]
        found = store.finding.known([pairs, [("name", "b")]], above=above, below=below, limit=limit)
        assert found == sorted(both, reverse=True)[:limit]
        some = dice.sample(sorted(filled), 30)
        assert store.finding.among(pairs, some) == {n for n in some if set(pairs) & set(filled[n].search)}


def test_what_is_left_by_state_channel_and_cause(store: SqlStore, filled: dict[int, Work]) -> None:
    def fits(w: Work, status: str, channel: str, cause: str) -> bool:
        now = ("parked", w.parked.code) if w.parked else ("skipped", w.note) if w.note else ("done", "")
        return now == (status, cause) and w.channel == channel

    dice = random.Random(8)
    for _ in range(40):
        status = dice.choice(("parked", "skipped"))
        channel, cause = dice.choice(CHANNELS), dice.choice((*CAUSES, "acknowledgement"))
        above, below = sorted(dice.choices([0, 1 << 62, *filled], k=2))
        found = store.finding.left(
            lambda s, c, w, one=(status, channel, cause): (s, c, w) == one, above=above, below=below, limit=9
        )
        fitting = [n for n, w in filled.items() if above < n < below and fits(w, status, channel, cause)]
        assert found == sorted(fitting, reverse=True)[:9]
    every = [n for n, w in filled.items() if w.parked or w.note]
    assert store.finding.left(lambda *_: True, above=0, below=1 << 62, limit=999) == sorted(
        every, reverse=True
    )


def test_flags_for_somebody_to_look_at(store: SqlStore, filled: dict[int, Work]) -> None:
    def fits(w: Work, codes: tuple[str, ...]) -> bool:
        worked = [f.code for f in w.flags if f.work] if not w.parked and not w.note else []
        return bool(worked) and (not codes or bool(set(codes) & {f.code for f in w.flags}))

    for codes in ((), ("unmapped-code",), ("unmapped_codes",), ("late", "unmapped-code"), ("nothing",)):
        for channels in (None, ["lab"], ["rad_100%", "adt"], ["radX100%"]):
            fitting = [
                n for n, w in filled.items() if fits(w, codes) and (channels is None or w.channel in channels)
            ]
            found = store.finding.flagged(codes, channels, above=0, below=1 << 62, limit=999)
            assert found == sorted(fitting, reverse=True), (codes, channels)
    every = [n for n, w in filled.items() if fits(w, ()) and any("unmapped" in f.code for f in w.flags)]
    assert set(store.finding.flagged(["unmapped*"], None, above=0, below=1 << 62, limit=999)) == set(every)


def test_standing_and_words_kept_since(store: SqlStore, filled: dict[int, Work]) -> None:
    for n, standing in store.finding.standing([*filled, 5], flags=True).items():
        work = filled[n]
        assert standing.status == ("parked" if work.parked else "skipped" if work.note else "done")
        assert bool(standing.flags) == bool(work.flags)
    assert 5 not in store.finding.standing([5])
    finding = store.finding
    assert finding.ready(64)[0] == {("", "code"): 1}
    finding.note_searched([("lab", "OBR-3"), ("adt", "PV1-19")], 100)
    finding.note_searched([("lab", "OBR-3"), ("lab", "OBX-4")], 200)
    assert finding.ready(64)[0] == {("", "code"): 1, ("lab", "OBR-3"): 101, ("lab", "OBX-4"): 201}
