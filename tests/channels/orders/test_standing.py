"""How far orders are: by their deliveries, by what fillers said, by their reports; and what is overdue."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hub_project import HERE, Hub, make_project

from engine.channels.delivering.places import Destined, destinations_of
from engine.channels.orders.hearing import hearing
from engine.channels.orders.standing import WAITED_FOR, Standing, after, carries_orders, counted, standing
from engine.kernel.config import load_config
from engine.kernel.delivery import Receipt
from engine.kernel.errors import ConfigError
from engine.mapping.outbound.library import OutMaps
from engine.store.deliveries import Result

WHO = "PID|1||{mrn}^^^SYSTEST^MR||HALE^JUNE||19600606|F\r"
DELIVER = """
deliver:
  lis: {types: [ORM, OML], when: ORC-1 = NW|XO|CA, body: oml, set: {sender: HUB, receiver: LIS}}
  copy: {file: {path: '/tmp/{entry}'}, body: original}
  fhir_copy: {http: {url: 'https://x.example/f'}, body: fhir}
"""
CONFIG = "destinations:\n  lis: {mllp: {url: 'mllp://127.0.0.1:1', answers_to: orders}}\n"
HOUR = 3_600_000


@dataclass
class Site:
    hub: Hub
    places: dict[str, Destined]
    maps: OutMaps
    count: int = 0
    made: int = 0  # tests so far: each has patients and orders of its own
    mine: set[int] = field(default_factory=set)

    def named(self, text: str) -> str:
        """Give `P1`, `F1` and `A1` of this test."""
        return re.sub(r"\b([PFA])(\d)\b", rf"\g<1>{self.made}n\g<2>", text)

    def say(self, kind: str, rest: str, app: str = "EHR", mrn: str = "A1") -> int:
        self.count += 1
        head = f"MSH|^~\\&|{app}|NORTH|HUB|CDR|20260501{self.count:06d}-0500||{kind}|M{self.count}|P|2.5.1\r"
        body = head + self.named(WHO.format(mrn=mrn) + rest)
        entry = self.hub.receive("orders", body.encode())
        self.hub.work()
        outcome = self.hub.store.outcome(entry)
        assert outcome is not None and outcome.status == "done", outcome
        self.mine.add(entry)
        return entry

    def place(self, number: str = "P1", control: str = "NW", mrn: str = "A1") -> int:
        obr = f"OBR|1|{number}^EHR||58410-2^CBC^LN\r"
        return self.say("ORM^O01^ORM_O01", f"ORC|{control}|{number}^EHR|||||||20260501\r{obr}", mrn=mrn)

    def came(self, status: str, entry: int, why: str = "") -> None:
        """Let the delivery of an entry to the laboratory end so."""
        (one,) = [d for d in self.hub.store.deliveries.of_entry(entry) if d.destination == "lis"]
        receipt = Receipt("sent" if status == "sent" else "retry", why)
        self.hub.store.deliveries.record([Result(one, receipt, status, 0, one.at, 1)])

    def told(self, hours: float = 0, name: str = "lis", **more: Any) -> list[Standing]:
        now = max((d.at for d in self._all()), default=0) + int(hours * HOUR)
        settings = {"now": now, "since": 0, "late": after(24 * HOUR), **more}
        store = self.hub.store
        found = standing(
            [self.places[name]], self.maps, store.deliveries, store, self.hub.journal, **settings
        )
        return [one for one in found if one.entry in self.mine]

    def _all(self) -> list[Any]:
        every = ("pending", "sent", "refused", "parked", "skipped")
        return [d for s in every for d in self.hub.store.deliveries.listed("lis", s, None, 1000)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    root = make_project(tmp_path_factory.mktemp("orders") / "project")
    (root / "channels/orders.yaml").write_text((HERE / "channels/orders.yaml").read_text() + DELIVER)
    with (root / "config.yaml").open("a") as config:
        config.write(CONFIG)
    hub = Hub.open(root)
    yield Site(hub, destinations_of(hub.config, hub.channels), OutMaps.open(HERE))
    hub.close()


@pytest.fixture
def site(shared: Site) -> Site:
    shared.made += 1
    shared.mine.clear()
    return shared


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("pending", "waiting"),
        ("sent", "acknowledged"),
        ("refused", "refused"),
        ("parked", "parked"),
        ("skipped", "skipped"),
    ],
)
def test_where_its_delivery_is(site: Site, status: str, state: str) -> None:
    entry = site.place()
    site.came(status, entry, "answered AE")
    (one,) = site.told()
    assert (one.state, one.entry, one.destination, one.overdue) == (state, entry, "lis", False)
    assert site.hub.store.read("ServiceRequest", one.order) is not None and one.why == "answered AE"
    (one,) = site.told(hours=25)
    assert one.overdue == (state in WAITED_FOR)


@pytest.mark.parametrize(
    ("rest", "kind", "state"),
    [
        ("ORC|OK|P1^EHR|F1^LIS\rOBR|1|P1^EHR|F1^LIS|58410-2^CBC^LN\r", "ORR^O02^ORR_O02", "accepted"),
        ("ORC|UA|P1^EHR\rOBR|1|P1^EHR||58410-2^CBC^LN\r", "ORR^O02^ORR_O02", "unable"),
        ("ORC|CR|P1^EHR|F1^LIS\rOBR|1|P1^EHR|F1^LIS|58410-2^CBC^LN\r", "ORR^O02^ORR_O02", "called off"),
        ("ORC|SC|P1^EHR|F1^LIS||IP\rOBR|1|P1^EHR|F1^LIS|58410-2^CBC^LN\r", "ORM^O01^ORM_O01", "accepted"),
        ("ORC|SC|P1^EHR|F1^LIS||CM\rOBR|1|P1^EHR|F1^LIS|58410-2^CBC^LN\r", "ORM^O01^ORM_O01", "complete"),
    ],
)
def test_what_its_filler_said(site: Site, rest: str, kind: str, state: str) -> None:
    site.came("sent", site.place())
    site.say(kind, ("MSA|AA|M1\r" if "ORR" in kind else "") + rest, app="LIS")
    assert [one.state for one in site.told()] == [state]


@pytest.mark.parametrize(
    ("result", "order", "state"),
    [("P", "IP", "preliminary"), ("F", "", "resulted"), ("C", "", "resulted"), ("F", "CM", "complete")],
)
def test_what_came_back(site: Site, result: str, order: str, state: str) -> None:
    site.came("sent", site.place())
    body = site.named(
        f"MSH|^~\\&|LIS|NORTH|HUB|CDR|20260502||ORU^R01^ORU_R01|R{site.made}|P|2.5.1\r{WHO.format(mrn='A1')}"
        f"ORC|RE|P1^EHR|F1^LIS||{order}\r"
        f"OBR|1|P1^EHR|F1^LIS|58410-2^CBC^LN|||20260502|||||||||||||||20260502||LAB|{result}\r"
        f"OBX|1|NM|718-7^Hemoglobin^LN||12.1|g/dL^^UCUM|||||{result}|||20260502\r"
    )
    site.hub.receive("lab_oru", body.encode())
    site.hub.work()
    (one,) = site.told(hours=100)
    assert (one.state, one.overdue) == (state, state == "preliminary")


def test_the_newest_word_about_an_order_counts_once(site: Site) -> None:
    first, other = site.place(), site.place("P2", mrn="A2")
    second = site.place(control="CA")
    for entry in (first, other):
        site.came("sent", entry)
    found = site.told()
    assert [(one.entry, one.state) for one in found] == [(second, "waiting"), (other, "acknowledged")]
    assert counted(found) == {"lis": {"waiting": 1, "acknowledged": 1}}
    assert counted(site.told(hours=30)) == {"lis": {"waiting": 1, "acknowledged": 1, "overdue": 2}}
    assert [one.entry for one in site.told(most=1)] == [second]
    assert site.told(since=1 << 60) == []


def test_which_destinations_take_orders(site: Site) -> None:
    takes = {name: carries_orders(place, site.maps) for name, place in site.places.items()}
    assert takes == {"lis": {"orders"}, "orders.copy": {"orders"}, "orders.fhir_copy": set()}
    entry = site.place()
    site.say("ORR^O02^ORR_O02", "MSA|AA|M1\rORC|OK|P1^EHR|F1^LIS\rOBR|1|P1^EHR|F1^LIS|X^Y^L\r", app="LIS")
    found = site.told(name="orders.copy")
    assert [one.entry for one in found] == [entry]  # the answer went there too, and is no order


def test_answers_become_messages_of_their_channel(site: Site) -> None:
    class Line:
        heard: Any = None

    line, deaf = Line(), object()
    let = hearing(site.hub.channels, site.hub.journal, lambda: 77)
    let(site.places["lis"], line)
    let(site.places["orders.copy"], deaf)
    head = "MSH|^~\\&|LIS|NORTH|HUB|CDR|20260501||{}|A1|P|2.5.1\rMSA|AA|M1\r"
    assert line.heard(head.format("ORL^O22^ORL_O22").encode())
    assert line.heard(head.format("ACK^O21^ACK").encode())
    assert not line.heard(b"nonsense")
    entries = [e for e in site.hub.journal.read(0, 1000) if e.received == 77]
    assert [(e.channel, e.kind, e.message_type, e.peer, e.received) for e in entries] == [
        ("orders", "message", "ORL^O22", "answer of lis", 77),
        ("orders", "answer", "ACK^O21", "answer of lis", 77),
    ]


def test_a_channel_that_is_not_there(site: Site, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"hub: Test\n{CONFIG.replace('to: orders', 'to: nobody')}")
    with pytest.raises(ConfigError, match="no channel nobody"):
        destinations_of(load_config(tmp_path), site.hub.channels[:1])
