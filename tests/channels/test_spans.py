"""Spans follow one message through every process that touches it, join by themselves, and name nobody."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_project import Hub, make_project
from trace_collector import Collector, Span

from engine.channels.spans import (
    Spans,
    TracedJournal,
    TracedPipeline,
    TracedStore,
    ids_of,
    open_spans,
    traced_journal,
    type_of,
    watch,
)
from engine.channels.worker import Worker
from engine.kernel.config import Config
from engine.kernel.delivery import Parcel, Receipt
from engine.kernel.message import NewEntry
from engine.kernel.trace_settings import TraceSettings

KNOWN = {
    "hub.entry", "hub.channel", "hub.type", "hub.kind", "hub.outcome", "hub.cause", "hub.batch", "hub.drafts",
    "hub.flags", "hub.written", "hub.unchanged", "hub.superseded", "hub.destination", "hub.destination.kind",
    "hub.try",
}  # fmt: skip


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub.open(make_project(tmp_path / "hub"))
    yield made
    made.close()


class Line:
    """A destination that takes everything but one kind of body."""

    def deliver(self, parcel: Parcel) -> Receipt:
        return Receipt("refuse", why="no") if parcel.body == b"no" else Receipt("sent")

    def check(self) -> str:
        return "fine"

    def close(self) -> None: ...


def spans_of(config: Config, collector: Collector, process: str, **traces: object) -> Spans:
    """Open the spans of one process."""
    said = TraceSettings(otlp=collector.address, **traces)  # type: ignore[arg-type]
    made = open_spans(config.model_copy(update={"traces": said}), process)
    assert made is not None
    return made


def received(hub: Hub, spans: Spans, body: bytes, kind: str = "ORU^R01^ORU_R01") -> int:
    """Receive a message in a process that is traced."""
    new = NewEntry("lab_oru", body, 1_790_000_000_000, sender="A|B", control_id="77", message_type=kind)
    return TracedJournal(hub.journal, spans).append([new])[0].id


def test_one_message_through_four_processes(hub: Hub, collector: Collector) -> None:
    config = hub.config
    listener, worker, out = (
        spans_of(config, collector, name) for name in ("listeners", "worker-0", "deliveries")
    )
    entry = received(hub, listener, hub.sample("lab/oru_final"))
    bad = received(hub, listener, b"MSH|^~\\&|DOE^JANE|100234", "DOE^JANE")
    store, pipeline = TracedStore(hub.store, worker), TracedPipeline(hub.worker.pipeline, worker)
    working = Worker(hub.journal, store, pipeline)  # type: ignore[arg-type]
    while working.step():
        pass
    line = Line()
    watch(line, "archive", "file", out)
    line.deliver(Parcel("k1", entry, "lab_oru", b"yes", "text/plain", {"sender": "DOE"}))
    line.deliver(Parcel("k2", entry, "lab_oru", b"no", "text/plain", tries=2))
    for one in (listener, worker, out):
        one.close()

    trace, root = ids_of(config.identity_base, config.hub, entry)
    mine = [s for s in collector.spans if s.trace == trace]
    names = {s.name: s for s in mine}
    assert [s.name for s in mine if s.id == root] == ["listener.receive"] and not names[
        "listener.receive"
    ].parent
    assert all(s.parent == root for s in mine if s.id != root)
    assert {s.name: s.process for s in mine} == {
        "listener.receive": "listeners",
        "journal.append": "listeners",
        "worker.work": "worker-0",
        "store.apply": "worker-0",
        "delivery": "deliveries",
    }
    assert names["worker.work"].said["hub.type"] == "ORU^R01" and names["store.apply"].said["hub.written"] > 3
    tries = [s for s in mine if s.name == "delivery"]
    assert [(s.said["hub.outcome"], s.said["hub.try"], s.error) for s in tries] == [
        ("sent", 1, False),
        ("refuse", 3, True),
    ]
    assert all(s.began <= s.ended for s in collector.spans)
    other = [s for s in collector.spans if s.trace == ids_of(config.identity_base, config.hub, bad)[0]]
    assert {s.said.get("hub.type", "other") for s in other} == {"other"}
    assert any(s.error and s.said["hub.outcome"] == "parked" for s in other)
    nobody(collector.spans)
    sent = b"".join(collector.raw).lower()
    for word in (
        b"doe",
        b"jane",
        b"100234",
        *hub.sample("lab/oru_final").lower().split(b"\r")[1].split(b"|")[3:9],
    ):
        assert not word or len(word) < 3 or word not in sent, word


def nobody(spans: list[Span]) -> None:
    """Every attribute is one of those the page names."""
    assert spans and set().union(*(s.said for s in spans)) <= KNOWN


def test_a_replay_is_linked_to_what_it_came_of(hub: Hub, collector: Collector) -> None:
    spans = spans_of(hub.config, collector, "worker-0")
    entry = hub.take("lab_oru", "lab/oru_final")
    found = hub.journal.get(entry)
    assert found is not None
    from dataclasses import replace

    TracedPipeline(hub.worker.pipeline, spans).work(replace(found, id=entry + 100, parent=entry))
    spans.close()
    (one,) = collector.spans
    assert one.links == [ids_of(hub.config.identity_base, hub.config.hub, entry)[0]]


def test_every_process_samples_the_same_messages(hub: Hub, collector: Collector) -> None:
    some, same, none = (spans_of(hub.config, collector, "x", sample=share) for share in (0.25, 0.25, 0))
    chosen = [n for n in range(1, 4001) if some.wanted(n)]
    assert chosen == [n for n in range(1, 4001) if same.wanted(n)]
    assert 800 < len(chosen) < 1200
    assert not any(none.wanted(n) for n in range(1, 4001))
    for one in (some, same, none):
        one.close()


def test_without_a_collector_nothing_is_wrapped(hub: Hub) -> None:
    assert open_spans(hub.config, "listeners") is None
    assert traced_journal(hub.config, "listeners", hub.journal) is hub.journal


def test_a_collector_that_is_gone_stops_nobody(hub: Hub, collector: Collector) -> None:
    collector.close()
    spans = spans_of(hub.config, collector, "listeners")
    assert received(hub, spans, hub.sample("lab/oru_final")) == 1
    spans.close()


def test_the_token_is_shown(hub: Hub, collector: Collector) -> None:
    spans = spans_of(hub.config, collector, "listeners", token="t0ken")
    received(hub, spans, hub.sample("lab/oru_final"))
    spans.close()
    assert collector.tokens == {"Bearer t0ken"}


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("ADT^A01^ADT_A01", "ADT^A01"),
        ("ORU^R01", "ORU^R01"),
        ("DOE^JANE", "other"),
        ("", "other"),
        ("DOE", "other"),
    ],
)
def test_of_a_type_only_code_and_event_are_shown(said: str, shown: str) -> None:
    assert type_of(said) == shown


def test_ids_are_those_that_the_page_says() -> None:
    import hashlib

    digest = hashlib.sha256(b"trace|https://hub.mercy.example|Mercy|4711").digest()
    trace, root = ids_of("https://hub.mercy.example", "Mercy", 4711)
    assert trace.to_bytes(16, "big") == digest[:16] and root.to_bytes(8, "big") == digest[16:24]
