"""Who placed an order is told of its steps, each state once, in order, and later where nobody answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from imaging_orders import Ward
from test_node_statusout import performed

from engine.channels.node.telling import StatusOut
from engine.formats.hl7v2.parse import parse
from engine.imaging.index import SqlIndex
from engine.kernel.errors import HubError
from engine.mapping.outbound.library import OutMaps
from engine.security.keys import Keyring


class Orders:
    """Who is told."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.away = False
        self.code = "AA"

    def __call__(self, url: str, message: bytes) -> str:
        assert url == "mllp://127.0.0.1:1"
        if self.away:
            raise HubError("cannot connect")
        self.got.append(message)
        return self.code

    def said(self) -> list[str]:
        return [parse(m).segment("ORC").fields[5] for m in self.got]


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    ward = Ward(tmp_path / "hub")
    ward.take("orders/orm_o01_imaging_new_v2.4")
    return ward


@pytest.fixture
def index(tmp_path: Path) -> Iterator[SqlIndex]:
    keyring = Keyring.open(tmp_path / "index.key", existing_data=False)
    opened = SqlIndex.open(f"sqlite:///{tmp_path / 'imaging.db'}", keyring)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def maps() -> OutMaps:
    return OutMaps.open(Path(__file__).parents[2])


def told(ward: Ward, index: SqlIndex, maps: OutMaps, orders: Orders, channel: str = "imaging") -> StatusOut:
    given = {"sender": "HUB", "receiver": "EHR"}
    return StatusOut(
        channel,
        "mllp://127.0.0.1:1",
        ward.store,
        index,
        lambda entry: "imaging",
        maps,
        orders,
        lambda: 1_777_900_000_000,
        given,
    )


def test_each_state_is_told_once_also_by_the_next_process(ward: Ward, index: SqlIndex, maps: OutMaps) -> None:
    orders = Orders()
    one = told(ward, index, maps, orders)
    assert one.tick() == 0  # what was before nobody waits for
    performed(ward, "in-progress")
    assert one.tick() == 1 and one.tick() == 0
    performed(ward, "completed")
    assert told(ward, index, maps, orders).tick() == 1
    assert orders.said() == ["IP", "CM"]


def test_who_was_away_is_told_later_as_it_then_is(ward: Ward, index: SqlIndex, maps: OutMaps) -> None:
    orders = Orders()
    one = told(ward, index, maps, orders)
    one.tick()
    orders.away = True
    performed(ward, "in-progress")
    with pytest.raises(HubError):
        one.tick()
    performed(ward, "failed")
    orders.away = False
    assert one.tick() == 1 and orders.said() == ["DC"]


def test_a_refused_message_holds_up_no_other(ward: Ward, index: SqlIndex, maps: OutMaps) -> None:
    orders = Orders()
    one = told(ward, index, maps, orders)
    one.tick()
    orders.code = "AR"
    performed(ward, "in-progress")
    assert one.tick() == 0
    orders.code = "AA"
    performed(ward, "completed")
    assert one.tick() == 1 and orders.said() == ["IP", "CM"]


def test_steps_of_another_node_are_not_told(ward: Ward, index: SqlIndex, maps: OutMaps) -> None:
    orders = Orders()
    one = told(ward, index, maps, orders, channel="other")
    one.tick()
    performed(ward, "in-progress")
    assert one.tick() == 0 and not orders.got
