"""The text is what prometheus-client itself can read."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from engine.listeners.metrics import Metrics


def made() -> Metrics:
    metrics = Metrics()
    metrics.counter("hub_things_total", "Things.")
    metrics.gauge("hub_open", "Open things.")
    times = metrics.histogram("hub_seconds", "Times.", (0.1, 1.0))
    metrics.add("hub_things_total", (("channel", 'a "b"\\\n'),), 2)
    metrics.add("hub_things_total", (("channel", "c"),))
    metrics.set("hub_open", 4)
    for value in (0.05, 0.1, 0.5, 7):
        times.observe(value)
    return metrics


def test_the_text_is_read_back() -> None:
    families = {family.name: family for family in text_string_to_metric_families(made().text())}
    things = {(s.labels["channel"], s.value) for s in families["hub_things"].samples}
    assert things == {
        ('a "b"\\\n', 2),
        ("c", 1),
    }
    assert [s.value for s in families["hub_open"].samples] == [4]
    samples = [(s.name, s.labels.get("le"), s.value) for s in families["hub_seconds"].samples]
    assert samples == [
        ("hub_seconds_bucket", "0.1", 2),
        ("hub_seconds_bucket", "1.0", 3),
        ("hub_seconds_bucket", "+Inf", 4),
        ("hub_seconds_sum", None, 7.65),
        ("hub_seconds_count", None, 4),
    ]


def test_the_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "metrics" / "listeners.prom"
    metrics = made()
    metrics.write(path)
    metrics.set("hub_open", 5)
    metrics.write(path)
    assert path.read_text() == metrics.text()
    assert [p.name for p in path.parent.iterdir()] == ["listeners.prom"]
