"""A Direct message that nobody told of raises an alarm, until the notice that was asked for is there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hub_project import Hub, make_project

from engine.channels.alarms.untold import UntoldMessages
from engine.channels.definition import load_channels
from engine.kernel.delivery import Receipt
from engine.store.deliveries import Result

HOUR = 3_600_000
DIRECT = """
destinations:
  {name}:
    direct: {{host: h.example, sender: hub@d.example, to: r@d.example, certificate: c.pem, anchors: a.pem,
             certificates: r, attach: document, notices: {notices}, ask: {ask}, notice_within: {within}}}
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    root = make_project(tmp_path_factory.mktemp("untold") / "p")
    lines = "".join(
        DIRECT.format(name=name, notices=notices, ask=ask, within=within).replace("\ndestinations:", "")
        for name, notices, ask, within in (
            ("reached", "in", "dispatched", "1 hour"),
            ("taken", "in", "processed", "1 hour"),
            ("unwatched", "in", "processed", "''"),
        )
    )
    with (root / "config.yaml").open("a") as config:
        config.write("destinations:" + lines)
    path = root / "channels/lab_oru.yaml"
    path.write_text(path.read_text() + "\ndeliver: {reached: , taken: , unwatched: }\n")
    made = Hub.open(root)
    yield made
    made.close()


def test_what_was_asked_for_must_be_told(hub: Hub) -> None:
    entry = hub.take("lab_oru", "lab/oru_potassium")
    store = hub.store.deliveries
    channels = load_channels(hub.root)
    watch = UntoldMessages(hub.config, hub.store, lambda: channels)
    assert watch.found is None
    of = {d.destination: d for d in store.of_entry(entry)}
    at = max(d.at for d in of.values())

    def late(hours: float) -> list[str]:
        watch.look(at + int(hours * HOUR))
        return [one.key.partition("|")[2] for one in watch.found or ()]

    assert late(5) == []  # they wait here: nobody can have told
    for one in of.values():
        store.record([Result(one, Receipt("sent", reference=f"<{entry}.{'0' * 32}@d>"), "sent", 0, at, 1)])
    assert late(0.9) == [] and late(1) == ["reached", "taken"]
    assert (watch.found or ())[0].value == 1
    for name in ("reached", "taken"):
        store.told(of[name].id, Receipt("sent", "told: processed"), at)
    assert late(2) == ["reached"]  # its HISP took it; that it arrived, nobody told
    store.told(of["reached"].id, Receipt("sent", "told: dispatched"), at)
    assert late(3) == []
    store.send_again([of["reached"].id], as_new=True)
    assert late(4) == []
    (again,) = [d for d in store.of_entry(entry) if d.destination == "reached"]
    store.record([Result(again, Receipt("sent", reference="<2@d>"), "sent", 0, at + HOUR, 1)])
    watch = UntoldMessages(hub.config, hub.store, lambda: channels)
    assert late(2) == ["reached"]  # what was told of the first is not told of the second


def test_one_that_failed_is_somebody_elses_alarm(hub: Hub) -> None:
    body = hub.sample("lab/oru_potassium").replace(b"|LAB0001|", b"|LAB9001|", 1)
    entry = hub.receive("lab_oru", body)
    hub.work()
    store = hub.store.deliveries
    (one,) = [d for d in store.of_entry(entry) if d.destination == "reached"]
    store.record([Result(one, Receipt("sent", reference="<1@d>"), "sent", 0, one.at, 1)])
    store.told(one.id, Receipt("refuse", "told: failed"), one.at)
    channels = load_channels(hub.root)
    watch = UntoldMessages(hub.config, hub.store, lambda: channels)
    watch.look(one.at + 5 * HOUR)
    assert all(found.value != 0 for found in watch.found or ())
    assert one.id not in watch._open["reached"]
