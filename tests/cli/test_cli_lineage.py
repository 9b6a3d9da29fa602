"""`hub msg show --lineage`: both directions, on record, and without patient data unless asked for."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hub_project import HERE, Hub, make_project

from engine.cli.msglineage import print_lineage, show_lineage
from engine.cli.opened import Opened, opened
from engine.kernel.errors import HubError

ME = "cli:tester"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    hub = Hub.open(make_project(tmp_path_factory.mktemp("lineage") / "project"))
    hub.take("lab_oru", "lab/oru_potassium")
    hub.receive("lab_oru", b"GET / HTTP/1.1", "garbage")
    hub.work()
    with opened(hub.root) as made:
        yield made
    hub.close()


def test_every_element_names_its_location_row_and_resource(here: Opened) -> None:
    outcome = here.store.outcome(1)
    assert outcome is not None
    made = show_lineage(here, 1, ME, outcome.revision)
    assert made["same_revision"]
    (value,) = made["elements"]["Observation.valueQuantity.value"]
    assert value["location"] == "OBX[1]-5[1].1"
    file, line = value["row"]["file"], value["row"]["line"]
    text = (HERE / file).read_text().splitlines()[line - 1]
    assert text.strip()
    written = {f"{kind}/{id_}" for kind, id_, *_ in here.store.written_by(1)}
    assert set(made["resources"].values()) == written
    back = made["locations"]["OBX[1]-5[1].1"]
    assert back["state"] == "mapped"
    assert "Observation.valueQuantity.value" in [one["element"] for one in back["elements"]]


def test_what_went_nowhere_says_why(here: Opened) -> None:
    made = show_lineage(here, 1, ME, "another revision")
    assert not made["same_revision"]
    nowhere = [at for at in made["locations"].values() if at["state"] != "mapped"]
    assert nowhere and all(at["why"] for at in nowhere)
    assert "keeps no MessageHeader" in made["locations"]["MSH[1]-3[1].1"]["why"]


def test_values_are_shown_only_when_asked_and_every_look_is_on_record(
    here: Opened, capsys: pytest.CaptureFixture[str]
) -> None:
    before = here.store.audit.head()[0]
    made = show_lineage(here, 1, ME, "")
    print_lineage(made)
    plain = capsys.readouterr().out
    assert "OBX[1]-5" in plain and ".yaml:" in plain and "not the revision" in plain
    for word in ("Doe", "Jane", "100234", "19800101"):
        assert word not in str(made) and word not in plain
    print_lineage(show_lineage(here, 1, ME, "", phi=True))
    assert "Doe" in capsys.readouterr().out
    rows = here.store.audit.rows(before)
    assert [(r.who, r.action, r.what, r.detail) for r in rows] == [
        (ME, "msg:open", "entry/1", "lineage"),
        (ME, "msg:open", "entry/1", "lineage"),
    ]


def test_what_was_never_mapped_has_none(here: Opened) -> None:
    with pytest.raises(HubError, match="not HL7"):
        show_lineage(here, 2, ME, "")
    with pytest.raises(HubError, match="no entry 99"):
        show_lineage(here, 99, ME, "")
