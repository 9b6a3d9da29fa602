"""RabbitMQ against a real broker: confirmed, persistent, never lost in silence, no patient outside."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from behaviour import MARKS, Behaviour
from broker import PASSWORD, USER, Broker, installed
from cable import Cable

from engine.destinations.kinds import KINDS
from engine.kernel.delivery import Around
from engine.kernel.errors import ConfigError, HubError

pytestmark = [
    pytest.mark.peers,
    pytest.mark.skipif(not installed(), reason="NO RABBITMQ: it is not installed; run tests/peers/install"),
]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, pem: Path) -> Iterator[Broker]:
    made = Broker(tmp_path_factory.mktemp("rabbitmq"), pem)
    yield made
    made.close()


class Queue:
    """A queue bound to an exchange, and a program that reads it and leaves out what came again."""

    def __init__(self, broker: Broker) -> None:
        self.cable = Cable(broker.port)
        self._connection = broker.connect()
        self.channel = self._connection.channel()
        self.channel.exchange_declare("hub", "topic", durable=True)
        self.channel.queue_declare("results", durable=True, arguments={"x-max-length": 1000})
        self.channel.queue_purge("results")
        self.channel.queue_bind("results", "hub", "lab_oru.#")
        self.words: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.cable.port,
            "security": "none",
            "user": USER,
            "password": PASSWORD,
            "exchange": "hub",
            "timeout_seconds": 4,
        }
        self.secrets = (PASSWORD,)
        self.messages: list[tuple[Any, Any, bytes]] = []

    def read(self) -> list[tuple[Any, Any, bytes]]:
        """Return every message there was, with how it was delivered and its properties."""
        while True:
            method, properties, body = self.channel.basic_get("results", auto_ack=True)
            if method is None:
                return self.messages
            self.messages.append((method, properties, body))

    def taken(self) -> list[bytes]:
        return list({properties.message_id: body for _, properties, body in self.read()}.values())

    def away(self) -> None:
        self.cable.pull()

    def back(self) -> None:
        self.cable.plug()

    def lose_answer(self) -> None:
        self.cable.lose_answer()

    def refuse(self) -> None:
        self.channel.queue_unbind("results", "hub", "lab_oru.#")

    def close(self) -> None:
        self.cable.pull()
        self._connection.close()


class TestRabbitMq(Behaviour):
    word = "rabbitmq"

    @pytest.fixture
    def side(self, broker: Broker) -> Iterator[Queue]:
        made = Queue(broker)
        yield made
        made.close()

    def test_what_is_published(self, side: Queue, made: Any) -> None:
        made(routing_key="{channel}.{type}.{event}").deliver(self.parcel())
        ((method, properties, body),) = side.read()
        assert (method.exchange, method.routing_key) == ("hub", "lab_oru.ORU_R01.R01")
        assert (properties.delivery_mode, properties.message_id) == (2, self.parcel().key)
        assert (properties.content_type, body) == ("application/hl7-v2", self.parcel().body)
        assert properties.headers == {"channel": "lab_oru", "entry": 101}
        outside = f"{method} {properties}"
        assert not [word for word in MARKS if word in outside]

    def test_events_are_routed_by_their_word(self, side: Queue, made: Any) -> None:
        facts = {**self.parcel().facts, "happened": "result.final", "type": "O*U#"}
        made(routing_key="{channel}.{happened}.{type}").deliver(replace(self.parcel(), facts=facts))
        ((method, _, _),) = side.read()
        assert method.routing_key == "lab_oru.result.final.O_U_"

    def test_the_default_exchange_is_a_queue(self, side: Queue, made: Any) -> None:
        there = made(exchange="", routing_key="results")
        assert there.deliver(self.parcel()).verdict == "sent" and len(side.taken()) == 1
        assert "lets us in" in there.check()

    @pytest.mark.parametrize(("unroutable", "verdict"), [("refuse", "refuse"), ("wait", "retry")])
    def test_what_no_queue_takes(
        self, side: Queue, made: Any, unroutable: str, verdict: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        there = made(unroutable=unroutable)
        elsewhere = replace(self.parcel(), channel="adt")
        receipt = there.deliver(elsewhere)
        assert (receipt.verdict, receipt.down) == (verdict, False) and "adt.ORU_R01" in receipt.why
        self.shows_nothing(side, receipt)
        assert not [word for word in MARKS if word in caplog.text]  # pika would log what came back
        assert there.deliver(self.parcel()).verdict == "sent" and len(side.taken()) == 1

    def test_a_queue_that_is_full(self, side: Queue, made: Any) -> None:
        full = {"x-max-length": 0, "x-overflow": "reject-publish"}
        side.channel.queue_declare("full", durable=True, arguments=full)
        receipt = made(exchange="", routing_key="full").deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", False) and "nack" in receipt.why

    def test_an_exchange_that_is_not_there(self, side: Queue, made: Any) -> None:
        there = made(exchange="nowhere")
        receipt = there.deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True) and "nowhere" in receipt.why
        with pytest.raises(HubError, match="404"):
            there.check()
        side.channel.exchange_declare("nowhere", "fanout")
        side.channel.queue_bind("results", "nowhere")
        assert there.deliver(self.parcel()).verdict == "sent"
        side.channel.exchange_delete("nowhere")

    def test_a_message_that_is_too_large(self, side: Queue, made: Any) -> None:
        there = made()
        receipt = there.deliver(replace(self.parcel(), body=self.parcel().body * 1000))
        assert (receipt.verdict, receipt.down) == ("refuse", False) and "406" in receipt.why
        assert there.deliver(self.parcel(2)).verdict == "sent" and len(side.taken()) == 1

    def test_credentials_that_are_not_believed(self, side: Queue, made: Any) -> None:
        there = made(password="another-word")
        receipt = there.deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True) and "does not know us" in receipt.why
        with pytest.raises(HubError, match="does not know us"):
            there.check()

    def test_tls(self, side: Queue, made: Any, broker: Broker, pem: Path) -> None:
        sure = {"host": "localhost", "port": broker.tls_port, "security": "tls"}
        assert made(**sure, tls={"ca": pem}).deliver(self.parcel()).verdict == "sent"
        assert len(side.taken()) == 1
        receipt = made(**sure).deliver(self.parcel(2))
        assert (receipt.verdict, receipt.down) == ("retry", True) and "certificate" in receipt.why
        plain = made(port=broker.tls_port).deliver(self.parcel(2))  # a plain word to a port of TLS
        assert (plain.verdict, plain.down) == ("retry", True) and len(side.taken()) == 1

    def test_a_broker_that_says_nothing_any_more(self, side: Queue, made: Any) -> None:
        there = made(timeout_seconds=2)
        assert there.deliver(self.parcel(1)).verdict == "sent"
        side.cable.freeze()
        receipt = there.deliver(self.parcel(2))
        assert (receipt.verdict, receipt.down) == ("retry", True)
        self.shows_nothing(side, receipt)

    def test_a_connection_that_ended_while_nobody_looked(self, side: Queue, made: Any) -> None:
        there = made()
        assert there.deliver(self.parcel(1)).verdict == "sent"
        side.away()
        side.back()
        assert there.deliver(self.parcel(2)).verdict == "sent"  # made again, and nobody heard of it
        assert len(side.taken()) == 2


def test_settings(tmp_path: Path) -> None:
    kind = KINDS["rabbitmq"]
    words = {"host": "rabbit.example", "user": "hub", "password": "x", "exchange": "hub"}
    with pytest.raises(ValueError, match="patient data"):
        kind.settings(**words, routing_key="{control_id}")
    strict = Around(tmp_path, tmp_path, "Mercy", "https://id.example", production=True)
    with pytest.raises(ConfigError, match="in the clear"):
        kind.make(kind.settings(**words, security="none"), "events", strict)
    kind.make(kind.settings(**words), "events", strict).close()
