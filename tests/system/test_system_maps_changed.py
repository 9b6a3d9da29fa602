"""Maps and a site's override really change, and a replay carries the change through to the store.

Journal, worker, map files, `hub msg replay`, store; and a site's time zone through the whole chain, where
clocks are set.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hub_process import ROOT, Hub, send

from engine.store.sql import SqlStore

SITE = """\
site: sys
over: standard
match: {{MSH-3: SYSLAB}}
timezone: America/Chicago
change:
  OBX_Observation:
    {change}
"""


def lab(
    control: str,
    value: str,
    status: str,
    at: str = "20260115084500-0500",
    told: str = "",
    patient: str = "77",
) -> bytes:
    """Make a result whose body site stands in OBX-17, where the standard has the method."""
    return (
        f"MSH|^~\\&|SYSLAB|EAST|HUB|HOSP|{told or '20260115093000-0500'}||ORU^R01^ORU_R01|{control}|P|2.5.1\r"
        f"PID|1||{patient}^^^SYSTEST^MR||Doe^Ada||19800214|F\r"
        f"ORC|RE|P{patient}^EHR|F{patient}^SYSLAB\r"
        f"OBR|1|P{patient}^EHR|F{patient}^SYSLAB|2823-3^Potassium^LN|||{at}||||||||||||||||||{status}\r"
        f"OBX|1|NM|2823-3^Potassium^LN||{value}|mmol/L^^UCUM|||||{status}|||{at}|||ARM^Arm^L\r"
    ).encode()


def site(hub: Hub, change: str) -> None:
    (hub.root / "mappings/sites/sys.yaml").write_text(SITE.format(change=change))


def only(store: SqlStore, kind: str) -> dict[str, Any]:
    (found,) = store.search(kind, []).resources
    return found


def command(hub: Hub, *words: str) -> None:
    """Run `hub` in the project as an operator would."""
    done = subprocess.run(
        [sys.executable, "-m", "engine.cli.main", *words],
        cwd=hub.root,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_replay_under_changed_maps_and_a_changed_site(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    site(hub, "effectiveDateTime: skip")
    hub.start()
    for control, value, status in (("C1", "4.0", "P"), ("C2", "4.1", "F")):
        assert send(hub.ports["lab_oru"], lab(control, value, status)) == ["AA"]
    hub.drained()
    assert hub.stop() == 0
    with hub.inside() as (_, store):
        old = only(store, "Observation")
        assert old["method"]["coding"][0]["code"] == "ARM"
        assert "effectiveDateTime" not in old
        first = store.read("Provenance", "entry-1")

    map_file = hub.root / "mappings/hl7v2/segments/OBX_Observation.yaml"
    text = map_file.read_text()
    for before, after in (
        ("bodySite:          OBX-20(1)\n", "bodySite:          OBX-17(1)\n"),
        ("  method:            OBX-17(1)\n", ""),
    ):
        assert before in text
        text = text.replace(before, after)
    map_file.write_text(text)
    site(hub, "interpretation: skip")

    hub.start()
    command(hub, "msg", "replay", "1", "--why", "OBX-17 is the body site")
    hub.drained()
    assert hub.stop() == 0
    with hub.inside() as (_, store):
        new = only(store, "Observation")
        assert (str(new["valueQuantity"]["value"]), new["status"]) == ("4.1", "final")
        assert new["bodySite"]["coding"][0]["code"] == "ARM"
        assert "method" not in new
        assert new["effectiveDateTime"] == "2026-01-15T08:45:00-05:00"
        versions = store.history("Observation", new["id"])
        assert len(versions) == 3
        kept = versions[1].resource
        assert kept is not None
        assert {k: v for k, v in kept.items() if k != "meta"} == {k: v for k, v in old.items() if k != "meta"}
        newest = store.read("Provenance", f"entry-{versions[0].entry}")
        asked = store.read("Provenance", "entry-3") or newest
        assert first is not None
        assert newest is not None
        assert asked is not None
        assert newest["policy"] != first["policy"]
        assert newest["policy"] == [f"urn:hub:revision:{store.outcome(3).revision}"]  # type: ignore[union-attr]
        assert {r["text"] for r in newest["reason"]} == {"OBX-17 is the body site"}


@pytest.fixture(scope="module")
def chicago(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A running hub whose sender lives by the clocks of Chicago."""
    hub = Hub(tmp_path_factory.mktemp("chicago"))
    site(hub, "interpretation: skip")
    hub.start()
    yield hub
    hub.kill()


def of(hub: Hub, entry: int, kind: str = "Observation") -> dict[str, Any]:
    """Return the resource of a type that an entry wrote."""
    with hub.inside() as (_, store):
        (name,) = {id_ for type_, id_, *_ in store.written_by(entry) if type_ == kind}
        found = store.read(kind, name)
        assert found is not None
        return found


@pytest.mark.parametrize(
    ("patient", "at", "kept", "flag"),
    [
        ("81", "20261101013000", "2026-11-01", "dst-ambiguous"),
        ("82", "20260308023000", "2026-03-08", "dst-gap"),
        ("83", "20260308033000", "2026-03-08T03:30:00-05:00", ""),
        ("84", "20261101013000-0600", "2026-11-01T01:30:00-06:00", ""),
    ],
)
def test_a_sites_local_time_where_clocks_are_set(
    chicago: Hub, patient: str, at: str, kept: str, flag: str
) -> None:
    assert send(chicago.ports["lab_oru"], lab(f"Z{patient}", "4.1", "F", at, patient=patient)) == ["AA"]
    chicago.drained()
    with chicago.inside() as (journal, store):
        entry = journal.head()
        outcome = store.outcome(entry)
        assert outcome is not None
        assert [f.code for f in outcome.flags if f.code.startswith("dst")] == ([flag] if flag else [])
    assert of(chicago, entry)["effectiveDateTime"] == kept


def test_an_hour_that_comes_twice_is_no_time_to_compare_by(chicago: Hub) -> None:
    port = chicago.ports["lab_oru"]
    first = 0
    for control, value, told in (
        ("Y1", "4.1", "20261101014500"),
        ("Y2", "4.2", "20261101013000"),  # perhaps half an hour later
        ("Y3", "4.3", "20261101030000"),
        ("Y4", "4.4", "20261101023000"),  # surely earlier
    ):
        assert send(port, lab(control, value, "F", told=told, patient="90")) == ["AA"]
        chicago.drained()
        with chicago.inside() as (journal, _):
            first = first or journal.head()
        value_now = str(of(chicago, first)["valueQuantity"]["value"])
        assert value_now == ("4.3" if control == "Y4" else value)
