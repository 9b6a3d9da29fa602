"""`hub critical` at the command line."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
from hub_project import Hub, make_project, shipped_maps

from engine.channels.critical.watch import CriticalWatch
from engine.channels.opening import open_staff
from engine.cli.critical import list_critical, take_over, try_rules
from engine.cli.opened import who
from engine.kernel.errors import HubError
from engine.mapping.derived import derived

RULES = "not_older_than: 9 years\nrules:\n  - {name: Potassium, loinc: 2823-3, above: 4 mmol/L}\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    root = make_project(tmp_path_factory.mktemp("critical") / "project")
    (root / "mappings" / "critical.yaml").write_text(RULES)
    hub = Hub.open(root, derived(shipped_maps(), {}, root))
    hub.take("lab_oru", "lab/oru_potassium")
    staff = open_staff(hub.config, hub.keyring)
    CriticalWatch(hub.config, hub.keyring, hub.journal, hub.store, staff).step()
    yield hub
    staff.close()
    hub.close()


def test_list_try_and_take_over(project: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    list_critical(project.root, False, False)
    said = capsys.readouterr().out
    assert "Potassium: critical result" in said and "Doe" not in said
    try_rules(project.root, 1000, True)
    assert orjson.loads(capsys.readouterr().out) == {
        "looked": 1,
        "critical": {"Potassium": 1},
        "not_compared": [],
    }
    take_over(project.root, 1, "read back")
    assert capsys.readouterr().out == "1: you have taken it over\n"
    rows = project.store.audit.rows(project.store.audit.head()[0] - 1, 1)
    assert (rows[0].who, rows[0].action, rows[0].what) == (who(), "critical:take", "critical/1")
    list_critical(project.root, False, False)
    assert capsys.readouterr().out == "nothing waits for anybody\n"
    list_critical(project.root, True, True)
    (row,) = orjson.loads(capsys.readouterr().out)
    assert row["acknowledged_by"] == who() and row["rules"] == ["Potassium"]


def test_a_number_that_is_none(project: Hub) -> None:
    with pytest.raises(HubError, match="there is no critical result 99"):
        take_over(project.root, 99, "")
