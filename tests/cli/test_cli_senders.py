"""`hub profile` and `hub where`, as people and programs see them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_project import Hub, make_project
from typer.testing import CliRunner

from engine.cli.main import app
from engine.formats.hl7v2.profile import read_profile
from engine.kernel.errors import HubError

RUN = CliRunner()
ORU = (
    "MSH|^~\\&|GLASSLAB|BROOK|HUB|CDR|20260504101500-0500||ORU^R01^ORU_R01|C{n}|P|2.5.1\r"
    "PID|1||MRN{n}^^^BROOK^MR||Quillfeather^Ada||19800102|F\r"
    "OBR|1||A{n}^GLASSLAB|CMP^Panel^L|||20260504083000-0500\r"
    "OBX|1|NM|{code}^Potassium^L||4.1|mmol/L^^UCUM|||||F\r"
)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    made = Hub.open(make_project(tmp_path / "project"))
    for n in range(30):
        made.receive("lab_oru", ORU.format(n=n, code="K").encode(), sender="glasslab")
    monkeypatch.chdir(made.root)
    yield made
    made.close()


def hub(*words: str, code: int = 0) -> str:
    result = RUN.invoke(app, list(words))
    if isinstance(result.exception, HubError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_a_contract_is_looked_at_signed_and_watched(project: Hub) -> None:
    listed = json.loads(hub("profile", "--json"))
    assert [(s["channel"], s["sender"], s["messages"]) for s in listed] == [("lab_oru", "glasslab", 30)]
    shown = hub("profile", "glasslab")
    assert "PID-5.1" in shown and "Family Name" in shown and "Quillfeather" not in shown
    assert "K^Potassium" not in shown
    assert "K^Potassium^L" in hub("profile", "lab_oru/glasslab", "--show-phi")
    last = project.store.audit.rows(project.store.audit.head()[0] - 1, 1)[0]
    assert last.action == "senders:codes" and last.what == f"sender/{listed[0]['id']}"
    with pytest.raises(HubError, match="nobody has signed"):
        hub("profile", "glasslab", "--drift")
    assert "contract 1 is signed" in hub("profile", "glasslab", "--freeze", "--note", "agreed")
    assert "0 differences" in hub("profile", "glasslab", "--drift")
    for n in range(30, 60):
        project.receive("lab_oru", ORU.format(n=n, code="ZTOP").encode(), sender="glasslab")
    told = hub("profile", "glasslab", "--drift", code=1)
    assert "1 new code in OBX-3.1" in told and "ZTOP" not in told
    found = json.loads(hub("profile", "glasslab", "--drift", "--show-phi", "--json", code=1))
    assert [d["values"] for d in found if d["kind"] == "new codes"] == [["ZTOP^Potassium^L"]]


def test_coverage_and_profile_of_a_sender(project: Hub) -> None:
    rows = json.loads(hub("profile", "glasslab", "--coverage", "--json"))
    states = {row["place"]: row["state"] for row in rows}
    assert states["PID-5.1"] == "mapped" and states["OBX-3.1"] == "code unknown"
    assert "glasslab.yaml" in hub("profile", "glasslab", "--out", "glasslab.yaml")
    assert read_profile(Path("glasslab.yaml")).name == "glasslab"


def test_a_name_must_be_one_senders(project: Hub) -> None:
    with pytest.raises(HubError, match="no sender has this name"):
        hub("profile", "nobody")
    project.receive("adt", ORU.format(n=1, code="K").encode(), sender="glasslab")
    with pytest.raises(HubError, match="several senders have this name"):
        hub("profile", "glasslab")
    assert "glasslab on adt" in hub("profile", "adt/glasslab")


def test_where_answers_for_fields_codes_ports_and_names(project: Hub) -> None:
    uses = {(u["kind"], u["name"]): u for u in json.loads(hub("where", "PID-5", "--json"))}
    assert ("sender", "glasslab") in uses and "100% of ORU^R01" in uses["sender", "glasslab"]["text"]
    assert any(kind == "map" and name.startswith("PID_Patient/") for kind, name in uses)
    assert "30 times in OBX-3.1" in hub("where", "K")
    port = next(c for c in project.channels if c.name == "lab_oru").mllp.mllp.port  # type: ignore[union-attr]
    assert f"listens on port {port}" in hub("where", str(port))
    assert "is this sender's file" in hub("where", "acme_lab")
    assert "nothing uses QQQ" in hub("where", "QQQ", code=1)
    of_one = json.loads(hub("where", "PID-1", "--json"))  # and not of PID-18
    assert {u["text"] for u in of_one if u["kind"] == "map"} == {"ignores PID-1 on purpose"}
