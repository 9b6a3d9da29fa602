"""What a transaction read of its own rows is forgotten when it is rolled back: its feed positions and type
numbers are given to others afterwards, and nobody may be shown the body of another patient for them."""

from __future__ import annotations

import pytest
from store_messages import MRN, id_of, patient, result, work

from engine.store.apply import apply_one, load_for
from engine.store.plan import prepare
from engine.store.sql import SqlStore
from engine.store.state import load_bodies


class Undone(Exception):
    """The transaction is given up."""


def test_a_rolled_back_body_is_nobodys(store: SqlStore) -> None:
    store.apply([work(1, patient("1", family="First"))])
    head = store.head()
    with pytest.raises(Undone), store._transaction() as (state, writer):
        prepared = prepare(work(2, patient("2", family="Wrong"), result("2", "B")), store._keys)
        load_for([prepared], state)
        apply_one(prepared, state, writer, ())
        writer.flush()  # as a merge or a move does in the middle
        assert load_bodies(state.session, state.keys, state.bodies, range(head + 1, head + 3))
        assert state.types.number(state.session, "Observation") is not None
        raise Undone
    assert store.head() == head
    assert store._types.numbers.keys() == {"Patient"}
    store.apply([work(3, patient("3", family="Right"))])  # takes the positions that were given up
    found = store.read("Patient", id_of("Patient", MRN, "3"))
    assert found is not None and found["name"][0]["family"] == "Right"
    bodies = [change.body or {} for change in store.feed(head, 10, bodies=True)]
    assert [body["name"][0]["family"] for body in bodies] == ["Right"]
    store.apply([work(4, patient("2", family="Later"), result("2", "B"))])
    assert {c.type for c in store.feed(head, 10)} == {"Patient", "Observation"}


def test_what_is_committed_is_at_hand(store: SqlStore) -> None:
    store.apply([work(1, patient("1"), result("1", "A"))])
    assert store._types.numbers.keys() >= {"Patient", "Observation"}
    assert any(store._bodies.get(seq) is not None for seq in range(1, store.head() + 1))
