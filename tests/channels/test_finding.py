"""Find gives what looking at every message gives; and to those who may not open messages, nothing of them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from fnmatch import fnmatchcase

import pytest
from hub_project import Hub, make_project

from engine.channels.asked import All, Asked, Either, Held, Named, Not, Received, Word
from engine.channels.asking import read_query
from engine.channels.finding import Finder, Hits, Look
from engine.channels.replay import ask_replay
from engine.channels.searchwords import search_words, values_at
from engine.formats.hl7v2.parse import parse
from engine.kernel.errors import FormatError

ALWAYS = Look(100_000)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    root = make_project(tmp_path_factory.mktemp("finding") / "project")
    path = root / "channels/lab_oru.yaml"
    path.write_text(path.read_text() + "search: [OBX-8, PV1-2]\n")
    made = Hub.open(root)
    for name in ("potassium", "final", "cmp"):
        made.take("lab_oru", f"lab/oru_{name}")
    declared = [(c.name, place) for c in made.channels for place in c.search]
    made.store.finding.note_searched(declared, made.journal.head())
    made.take("adt", "adt/adt_a01_admit")
    made.take("adt", "lab/oru_final", {"LAB0012": "ADT77"})
    for n in range(6):
        made.take("lab_oru", "lab/oru_potassium", {"LAB0001": f"POT{n}", "||4.1|": f"||{n + 2}.5|"})
    made.receive("lab_oru", made.sample("lab/oru_rp"), "refused", "not accepted")
    made.receive("lab_oru", b"MSH|^~\\&|A|B|C|D|20260101||ORU^R01|DOE JANE|P|2.5.1\rPID|1||", "garbage")
    made.work()
    ask_replay(made.journal, 1, "tester", "because")
    made.work()
    made.receive("lab_oru", made.sample("lab/oru_sn"))  # waits
    yield made
    made.close()


def everything(finder: Finder, asked: Asked, look: Look | None, limit: int = 3) -> tuple[list[int], Hits]:
    """Return what all pages show, and the first page."""
    found: list[int] = []
    first, below = None, None
    for _ in range(100):
        page = finder.find(asked, below=below, limit=limit, look=look)
        first = first or page
        found += [hit.entry for hit in page.hits]
        if page.next is None:
            assert first is not None
            return found, first
        assert below is None or page.next < below or page.opened
        below = page.next
    raise AssertionError("the pages do not end")


def fits(asked: Asked, hub: Hub, entry: int) -> bool:
    """Decide by looking at the message, in the plainest way."""
    if isinstance(asked, All):
        return all(fits(part, hub, entry) for part in asked.parts)
    if isinstance(asked, Either):
        return any(fits(part, hub, entry) for part in asked.parts)
    if isinstance(asked, Not):
        return not fits(asked.part, hub, entry)
    body = hub.journal.get(entry)
    outcome = hub.store.outcome(entry)
    assert body is not None
    status = outcome.status if outcome else "waiting"
    try:
        message = parse(body.body)
        words = set(search_words(message)) if outcome and body.kind not in ("garbage",) else set()
    except FormatError:
        message, words = None, set()
    if isinstance(asked, Word):
        if asked.text == "1/1/1980":
            return ("birth", "19800101") in words
        named = ("name", asked.text.casefold())
        return asked.text == body.control_id or named in words or any(v == asked.text for _, v in words)
    if isinstance(asked, Named):
        if asked.kind == "entry":
            return entry == int(asked.value)
        value = asked.value.casefold() if asked.kind == "name" else asked.value.replace("-", "")
        value = asked.value if asked.kind == "code" else value
        return (asked.kind, value) in words or (asked.kind == "control" and value == body.control_id)
    if isinstance(asked, Held):
        values = list(values_at(message, asked.place)) if message else []
        if asked.op == ">":
            return any(v[0].isdigit() and Decimal(v) > Decimal(asked.value) for v in values)
        wanted = asked.value
        return any(
            {"=": v == wanted, "!=": v != wanted, "~": wanted.lower() in v.lower()}[asked.op] for v in values
        )
    if isinstance(asked, Received):
        at = datetime.fromtimestamp(body.received / 1000)
        return (asked.since is None or at >= asked.since) and (asked.until is None or at < asked.until)
    flagged = bool(outcome and status == "done" and any(f.work for f in outcome.flags))
    cause = [outcome.cause] if outcome and status != "done" else []
    said = {
        "state": [status, "flagged" if flagged else status],
        "kind": [body.kind],
        "channel": [body.channel],
        "type": [body.message_type],
        "sender": [body.sender],
        "cause": cause + ([f.code for f in outcome.flags] if outcome and flagged else []),
    }[asked.what]
    return any(fnmatchcase(one.lower(), p.lower()) for one in said if one for p in asked.values)


ATOMS = (
    *("DOE", "jane", "Thistledown", "100234", "POT3", "LAB0001", "1/1/1980", "nobody", '"DOE JANE"'),
    *("2823-3", "name:doe", "mrn:100234", "born:1980-01-01", "code:2823-3", "control:POT1", "entry:3"),
    *("order:ORD1", "PID-3.1=100234", "PID-5.1=DOE", "PID-5.1=Doe", "OBX-3.1=2823-3", "OBX-3.1!=2823-3"),
    *("OBX-5>4", "OBX(3.1=2823-3)-5>5", "OBX-5~.5", "OBX-8=N", "OBX-8=H", "PV1-2=O", "PID-7=19800101"),
    *("OBX(1)-5=4.1", "parked", "done", "waiting", "skipped", "flagged", "replays", "garbage", "refused"),
    *("kind:message", "channel:lab_*", "channel:adt", "type:ORU^R01", "type:adt*", "cause:*-*"),
    *("sender:*NORTH*", "cause:refused", "today", "yesterday", "since 0:00", "last 2 hours", "2031-01-01"),
    "state:parked|done",
)  # fmt: skip


def queries(count: int) -> Iterator[str]:
    dice = random.Random(11)
    yield from ("", *ATOMS)
    for _ in range(count):
        size = dice.choice((2, 2, 3))
        parts = [("not " if dice.random() < 0.2 else "") + dice.choice(ATOMS) for _ in range(size)]
        text = parts[0]
        for part in parts[1:]:
            text += dice.choice((" ", ", ", " and ", " or ")) + part
        yield f"not ({text})" if dice.random() < 0.1 else text


def test_the_same_as_looking_at_every_message(hub: Hub) -> None:
    finder, now = Finder(hub.journal, hub.store), datetime.now()
    entries = range(hub.journal.head(), 0, -1)
    some = 0
    for text in queries(150):
        asked = read_query(text, now)
        expected = [n for n in entries if fits(asked, hub, n)]
        found, _ = everything(finder, asked, ALWAYS)
        assert found == expected, text
        unasked, first = everything(finder, asked, None)
        assert set(unasked) <= set(expected), text
        assert set(unasked) == set(expected) or first.to_look, text
        some += bool(expected)
    assert some > 60


def test_nothing_is_opened_unasked(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    finder, now = Finder(hub.journal, hub.store), datetime.now()
    opened: list[int] = []
    readable = hub.journal.readable
    monkeypatch.setattr(
        hub.journal, "readable", lambda entries: (opened.extend(entries), readable(entries))[1]
    )
    for text in ("OBX-5>4 and channel:lab_oru", "not PID-3.1=100234", "OBX-5~4", "DOE", "parked", "OBX-8!=N"):
        page = finder.find(read_query(text, now))
        assert not opened, text
        assert bool(page.to_look) == ("-" in text), text
    page = finder.find(read_query("PID-3.1=100234 and OBX-3.1=2823-3", now))
    assert page.hits and len(opened) <= len(page.hits) + 5  # the few that the index names
    counted = finder.find(read_query("OBX-5>4 channel:adt", now))
    assert counted.to_look == 2
    looked = finder.find(read_query("OBX-5>4 channel:adt", now), look=Look(1))
    assert looked.opened == 1 and looked.next is not None


def test_words_that_a_channel_names_are_known_from_then_on(hub: Hub) -> None:
    finder, now = Finder(hub.journal, hub.store), datetime.now()
    page = finder.find(read_query("PV1-2=O and channel:lab_oru", now), limit=50)
    assert page.to_look == 4  # three from before the file named the place, and one that waits
    inside = [hit.entry for hit in page.hits]
    assert inside and min(inside) > 3
    looked, _ = everything(finder, read_query("PV1-2=O and channel:lab_oru", now), ALWAYS)
    assert set(looked) > set(inside)


def test_who_may_not_open_messages_learns_nothing_of_them(hub: Hub) -> None:
    now = datetime.now()
    viewer = Finder(hub.journal, hub.store, opens=lambda channel: False)
    half = Finder(hub.journal, hub.store, opens=lambda channel: channel == "adt")
    lab_only = Finder(hub.journal, hub.store, sees=lambda channel: channel == "lab_oru")
    channels = {n: (hub.journal.get(n)).channel for n in range(1, hub.journal.head() + 1)}  # type: ignore[union-attr]
    for text in queries(60):
        asked = read_query(text, now)
        every, _ = everything(Finder(hub.journal, hub.store), asked, ALWAYS)
        scoped, _ = everything(lab_only, asked, ALWAYS)
        assert scoped == [n for n in every if channels[n] == "lab_oru"], text
    for text in (
        "DOE",
        "100234",
        "name:doe",
        "mrn:100234",
        "PID-3.1=100234",
        "OBX-5>1",
        "2823-3",
        "code:2823-3",
    ):
        for query in (text, f"not {text}", f"{text} or OBX-8=N", f"not ({text} and not jane)"):
            found, first = everything(viewer, read_query(query, now), ALWAYS)
            if query.startswith("not") and text in ("DOE", "100234", "2823-3"):
                assert len(found) == hub.journal.head()  # a bare word is a control id, which nobody has
            else:
                assert found == [] and not first.to_look, query
        found, _ = everything(half, read_query(text, now), ALWAYS)
        assert {channels[n] for n in found} <= {"adt"}
    assert everything(viewer, read_query("POT3", now), ALWAYS)[0] == [9]
    assert everything(viewer, read_query('"DOE JANE"', now), ALWAYS)[0] == []  # of a damaged message
    assert everything(Finder(hub.journal, hub.store), read_query('"DOE JANE"', now), ALWAYS)[0] == [
        13 - 1 + 1
    ]


def test_hits_hold_patients_for_those_who_may_open_them_alone(hub: Hub) -> None:
    everyone = read_query("", datetime.now())
    viewer = Finder(hub.journal, hub.store, opens=lambda channel: False)
    page = viewer.find(everyone, patients=True)
    for hit in page.hits:
        assert not (hit.patient or hit.number or hit.opens)
        assert "DOE" not in str(hit)
    operator = Finder(hub.journal, hub.store).find(everyone, patients=True)
    by_entry = {hit.entry: hit for hit in operator.hits}
    assert (by_entry[1].patient, by_entry[1].number) == ("Doe, Jane", "100234")
    assert by_entry[1].control_id == "LAB0001" == {h.entry: h for h in page.hits}[1].control_id


def test_pages_do_not_move_while_messages_arrive(hub: Hub) -> None:
    finder, asked = Finder(hub.journal, hub.store), read_query("channel:lab_oru", datetime.now())
    first = finder.find(asked, limit=4)
    second = finder.find(asked, below=first.next, limit=4)
    hub.receive("lab_oru", hub.sample("lab/oru_sn").replace(b"LAB", b"NEW"))
    assert [h.entry for h in finder.find(asked, below=first.next, limit=4).hits] == [
        h.entry for h in second.hits
    ]
    assert first.hits[-1].entry > second.hits[0].entry


def test_a_number_may_be_an_entry(hub: Hub) -> None:
    finder = Finder(hub.journal, hub.store)
    assert finder.find(read_query("3", datetime.now())).jump == 3
    assert finder.find(read_query("99999", datetime.now())).jump is None
