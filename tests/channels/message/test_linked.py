"""What belongs to a message, and what happened to it: by keys, and nobody else's."""

from __future__ import annotations

from hub_project import Hub

from engine.channels.message.envelope import envelope, line_of
from engine.channels.message.linked import Link, linked, words_of
from engine.channels.message.timeline import timeline
from engine.channels.replay import ask_replay


def links(hub: Hub, entry: int, words: bool = True) -> dict[int, Link]:
    found = hub.journal.get(entry)
    assert found is not None
    said = words_of(found) if words else ()
    return {one.entry: one for one in linked(line_of(hub.journal, entry), hub.journal, hub.store, said)}


def order(number: str, patient: str, control: str) -> bytes:
    return (
        f"MSH|^~\\&|LIS|NORTH|||20260501120000-0500||ORU^R01^ORU_R01|{control}|P|2.5.1\r"
        f"PID|1||{patient}^^^NORTH^MR||DOE^JO||19800101|F\r"
        f"ORC|RE|{number}^EHR|F{number}^LIS\rOBR|1|{number}^EHR|F{number}^LIS|24320-4^P^LN|||20260501083000-0500\r"
        "OBX|1|NM|2823-3^Potassium^LN||4.1|mmol/L|||||F\r"
    ).encode()


def test_replays_and_edits_know_their_origin_and_it_knows_them(used: Hub) -> None:
    first = used.receive("lab_oru", order("P1", "77", "A"))
    used.work()
    again = ask_replay(used.journal, first, "ann", "to see").id
    body = order("P1", "77", "A").replace(b"4.1", b"4.2")
    mended = ask_replay(used.journal, first, "bob", "typing error", body, used.channels).id
    used.work()
    found = links(used, first, words=False)
    assert {n: one.why for n, one in found.items()} == {
        again: "a replay of this one",
        mended: "an edited one of this one",
    }
    assert found[again].asked_by == "ann" and found[again].state == "done"
    assert links(used, again)[first].why == "the one that was run again"
    assert links(used, mended)[first].why == "edited from this one"
    happened = timeline(envelope(used.journal, used.store, first), found.values())
    assert [e.what for e in happened][:2] == ["received", "answered"]
    assert [(e.what, e.who, e.entry) for e in happened if e.entry] == [
        ("run again", "ann", again),
        ("edited and sent again", "bob", mended),
    ]
    assert "mapped and written" in [e.what for e in happened]
    (asked,) = [e for e in timeline(envelope(used.journal, used.store, again), []) if e.what == "asked for"]
    assert (asked.who, asked.entry) == ("ann", first)


def test_an_order_links_only_within_the_patient(used: Hub) -> None:
    one = used.receive("lab_oru", order("P1", "77", "A"))
    same = used.receive("lab_oru", order("P1", "77", "B"))
    other = used.receive("lab_oru", order("P1", "88", "C"))
    used.work()
    found = links(used, one)
    assert found[same].why == "the same order" and other not in found
    assert links(used, one, words=False) == {}  # who may not see the body learns nothing of its patient


def test_the_same_control_id_and_other_content(used: Hub) -> None:
    one = used.receive("lab_oru", order("P1", "77", "A"))
    two = used.receive("lab_oru", order("P2", "99", "A"))
    used.work()
    assert links(used, two, words=False)[one].why == "came first with the same control id"
    assert links(used, one, words=False)[two].why == "the same control id"


def test_a_merge_is_linked_to_the_patients_messages(used: Hub) -> None:
    used.take("adt", "adt/adt_a01_admit")
    number = next(v for k, v in words_of(used.journal.get(1)) if k == "patient")  # type: ignore[arg-type]
    merge = (
        "MSH|^~\\&|ADT|NORTH|||20260601120000-0500||ADT^A40^ADT_A39|M1|P|2.5.1\rEVN||20260601120000-0500\r"
        f"PID|1||{number}^^^NORTH^MR||THISTLE^X\rMRG|OLD9^^^NORTH^MR\r"
    ).encode()
    merged = used.receive("adt", merge)
    used.work()
    assert links(used, 1)[merged].why.startswith("moves, merges")


def test_a_parked_one_says_so_in_its_timeline(seen: Hub) -> None:
    happened = timeline(envelope(seen.journal, seen.store, seen.entries["refused"]), [])
    assert [(e.what, e.text) for e in happened if e.what == "parked"] == [("parked", "refused at MSH")]
