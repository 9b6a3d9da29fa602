"""The examples of the pages do what the text says: channels, settings, rows, maps, sites, the new sender, the
backup."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml
from docs_pages import DOCS, ROOT, Block, all_blocks, blocks, prose

from engine.channels.definition import load_channels
from engine.channels.delivering.places import destinations_of
from engine.channels.opening import check_pair
from engine.channels.test_files import run_channel_tests
from engine.cli.check import check_project
from engine.cli.convert import convert_paths
from engine.cli.schemafiles import config_schema
from engine.destinations.kinds import KINDS
from engine.journal.sql import SqlJournal
from engine.kernel.config import load_config
from engine.kernel.errors import ConfigError
from engine.kernel.message import NewEntry, Work
from engine.mapping.project import Maps
from engine.mapping.tests_inline import run_all
from engine.security.keys import Keyring
from engine.store.sql import SqlStore

SENDER = DOCS / "analysts/sender.md"
WALK = DOCS / "analysts/new-lab.md"
UNITS = DOCS / "analysts/units.md"  # typed by test_docs_units.py


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with the shipped maps and tables, and nothing else; copy it before you change it."""
    root = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "mappings", root / "mappings")
    shutil.copytree(ROOT / "terminology", root / "terminology")
    (root / "config.yaml").write_text("hub: Docs\n")
    return root


@pytest.fixture
def project(bare: Path, tmp_path: Path) -> Path:
    """A project of the test's own."""
    return Path(shutil.copytree(bare, tmp_path / "project"))


# -- single blocks ---------------------------------------------------------------------------------


@pytest.mark.parametrize("block", all_blocks("yaml channel"), ids=str)
def test_channels_load(block: Block, tmp_path: Path) -> None:
    (tmp_path / "channels").mkdir()
    (tmp_path / "channels/example.yaml").write_text(block.text)
    (channel,) = load_channels(tmp_path)
    assert channel.receives is not None


@pytest.mark.parametrize("block", all_blocks("yaml channel-test"), ids=str)
def test_tests_of_channels_pass(block: Block, project: Path) -> None:
    (project / "channels").mkdir()
    shutil.copytree(ROOT / "sample_messages", project / "sample_messages")
    (tested,) = re.findall(r"^channel: (\w+)", block.text, re.M)
    for n, other in enumerate(blocks(block.page, "yaml channel")):
        (project / f"channels/{n}.yaml").write_text(other.text)
    (project / f"channels/{tested}.test.yaml").write_text(block.text)
    results = list(run_channel_tests(project, Maps.open(project), load_channels(project)))
    assert results and not [d for r in results for d in r.differences]


@pytest.mark.parametrize("block", all_blocks("yaml destinations"), ids=str)
def test_destinations_load(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "config.yaml").write_text(block.text)
    for name in re.findall(r"\$\{secret:(\w+)\}", block.text):
        monkeypatch.setenv(f"HUB_SECRET_{name}", "a-secret-of-this-test")
    assert destinations_of(load_config(tmp_path), load_channels(ROOT))
    written, editor = yaml.safe_load(block.text), jsonschema_rs.validator_for(config_schema())
    editor.validate(written)
    written["destinations"]["x"] = {"no_such_kind": {}}
    with pytest.raises(jsonschema_rs.ValidationError, match="no_such_kind"):
        editor.validate(written)


def test_every_kind_of_destination_has_an_example() -> None:
    shown = [yaml.safe_load(b.text)["destinations"].values() for b in all_blocks("yaml destinations")]
    assert {word for some in shown for words in some for word in words} >= set(KINDS)


@pytest.mark.parametrize("block", [b for b in all_blocks("yaml") if b.info == "yaml"], ids=str)
def test_other_yaml_can_be_read(block: Block) -> None:
    assert yaml.safe_load(block.text)


@pytest.mark.parametrize("block", all_blocks("yaml config"), ids=str)
def test_settings_load(block: Block, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in re.findall(r"\$\{secret:(\w+)\}", block.text):
        monkeypatch.setenv(f"HUB_SECRET_{name}", "s" * 44)
    (tmp_path / "config.yaml").write_text(block.text)
    load_config(tmp_path)


@pytest.mark.parametrize("block", all_blocks("yaml rows"), ids=str)
def test_rows_compile(block: Block, project: Path) -> None:
    kind = block.info.split()[2]
    segment = re.findall(r"\b([A-Z][A-Z0-9]{2})-\d", block.text)[0]
    name = f"{segment}_{kind}Example"
    rows = "".join(f"  {line}" for line in block.text.splitlines(keepends=True))
    text = f"map: {name}\nfrom: {segment}\nto: {kind}\nrows:\n{rows}"
    (project / f"mappings/hl7v2/segments/{name}.yaml").write_text(text)
    Maps.open(project).program().program.segment(name)


@pytest.mark.parametrize("block", all_blocks("yaml map"), ids=str)
def test_maps_pass_their_own_tests(block: Block, project: Path) -> None:
    name = re.findall(r"^map: +(\w+)", block.text, re.M)[0]
    (project / f"mappings/hl7v2/segments/{name}.yaml").write_text(block.text)
    results = list(run_all(Maps.open(project), name))
    assert results and not [d for r in results for d in r.differences]


@pytest.mark.parametrize("block", all_blocks("yaml message"), ids=str)
def test_message_maps_compile(block: Block, project: Path) -> None:
    name = re.findall(r"^map: +(\w+)", block.text, re.M)[0]
    (project / f"mappings/hl7v2/messages/{name}.yaml").write_text(block.text)
    Maps.open(project).program().plan(name)


@pytest.mark.parametrize(
    "block", [b for b in all_blocks("yaml site") if b.page not in (SENDER, WALK, UNITS)], ids=str
)
def test_sites_compile_and_pass_their_own_tests(block: Block, project: Path) -> None:
    name = re.findall(r"^site: +(\w+)", block.text, re.M)[0]
    (project / f"mappings/sites/{name}.yaml").write_text(block.text)
    every = Maps.open(project)
    maps = every.of(every.all_sites[name].format)
    program = maps.program(name)
    for changed in maps.sites[name].change or {}:
        program.program.segment(changed)
    assert not [d for r in run_all(maps, name) for d in r.differences]


# -- the new sender --------------------------------------------------------------------------------


def _only(info: str) -> str:
    (block,) = blocks(SENDER, info)
    return block.text


def _converted(project: Path, out: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    message = project / "lakeside.hl7"
    message.write_text(_only("hl7"))
    assert convert_paths([message], project / out, project) == 0
    report = json.loads((project / out / "lakeside.report.json").read_text())
    bundle = json.loads((project / out / "lakeside.json").read_text())
    return report, [entry["resource"] for entry in bundle["entry"]]


def _of(resources: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [r for r in resources if r["resourceType"] == kind]


def test_new_sender_first_report_says_what_the_page_shows(project: Path) -> None:
    report, resources = _converted(project, "look")
    assert len(_of(resources, "Observation")) == 2 and len(_of(resources, "Patient")) == 1
    said = {u["source"]: u for u in report["unmapped"]}
    shown = re.findall(r"^\| `([A-Z]{3}\[\d\]-\S+) (\S+): (.*?)` \|", prose(SENDER), re.M)
    assert len(shown) == 2
    kept = {m["source"]: m["target"] for m in report["mapped"]}
    assert ".coding[0].extension" in kept["OBX[1]-3[1].3"]
    for source, value, why in shown:
        assert said[source]["value"] == value and said[source]["why"].startswith(why)
    (warning,) = re.findall(r"^\| `(OBX\[1\]\S+) ([a-z-]+): (.*?)` \|", prose(SENDER), re.M)
    assert any(
        w["source"] == warning[0] and w["code"] == warning[1] and w["text"].startswith(warning[2])
        for w in report["warnings"]
    )
    for words in re.findall(r"`((?:ignored|chose)[a-z ]+) \.\.\.`", prose(SENDER)):
        assert any(u["why"].startswith(words) for u in report["unmapped"]), words


def test_new_sender_site_file_does_what_the_page_says(project: Path) -> None:
    (project / "mappings/sites/lakeside.yaml").write_text(_only("yaml site"))
    (project / "terminology/maps/lakeside_to_loinc.csv").write_text(_only("csv"))
    results = list(run_all(Maps.open(project), "lakeside"))
    assert len(results) == 3 and not [d for r in results for d in r.differences]
    report, resources = _converted(project, "look")
    assert report["site"] == "lakeside" and not report["errors"]
    glucose, clotted = _of(resources, "Observation")
    assert (glucose["valueQuantity"]["value"], glucose["valueQuantity"]["code"]) == (5.4, "mmol/L")
    assert [c["code"] for c in glucose["code"]["coding"]] == ["14749-6", "GLU"]
    assert glucose["effectiveDateTime"] == "2026-05-04T08:30:00-05:00"
    assert clotted["valueString"] == "clotted" and "valueQuantity" not in clotted
    assert [c["code"] for c in clotted["code"]["coding"]] == ["HBA"]  # its row is a draft
    assert any(w["code"] == "unmapped-code" and "OBX[2]" in w["source"] for w in report["warnings"])
    (diagnostic,) = _of(resources, "DiagnosticReport")
    assert "L-77" in [i["value"] for i in diagnostic["identifier"]]
    left = [
        u for u in report["unmapped"] if not u["why"].startswith(("ignored on purpose", "chose the case"))
    ]
    assert [(u["source"], u["value"]) for u in left] == [("OBX[2]-6[1].1", "%"), ("ZLK[1]-2[1].1", "rerun")]
    found = [f for f in check_project(project) if f.level != "info"]
    assert not [str(f) for f in found if "lakeside" in str(f) or f.level == "error"]


# -- backup ----------------------------------------------------------------------------------------


class _Hub:
    """The two databases of a data folder, and a way to receive and work off a message."""

    def __init__(self, data: Path) -> None:
        keyring = Keyring.open(data / "hub.key", existing_data=(data / "journal.db").exists())
        self.journal = SqlJournal.open(f"sqlite:///{data / 'journal.db'}", keyring)
        self.store = SqlStore.open(f"sqlite:///{data / 'core.db'}", keyring)

    def receive(self, number: int) -> None:
        body = f"MSH|^~\\&|A|B|||20260504||ADT^A01|{number}|P|2.5.1\r".encode()
        (accepted,) = self.journal.append([NewEntry("adt", body, 1_000 + number, control_id=str(number))])
        self.store.apply([Work(accepted.id, accepted.id, "adt", "A|B", (0,))])

    def close(self) -> None:
        self.store.close()
        self.journal.close()


def _backup(data: Path, to: Path, script: str) -> None:
    to.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", script, str(data), str(to)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_backup_shown_fits_together_and_the_other_order_is_refused(tmp_path: Path) -> None:
    (block,) = blocks(DOCS / "operators/backup.md", "python backup")
    data, right, wrong = (tmp_path / name for name in ("data", "right", "wrong"))
    data.mkdir()
    hub = _Hub(data)
    hub.receive(1)
    core, journal = (
        block.text.replace('("staff", "core", "imaging", "journal")', f'("{one}",)')
        for one in ("core", "journal")
    )
    assert core != block.text
    _backup(data, right, core)
    _backup(data, wrong, journal)
    hub.receive(2)  # between the two halves of a backup
    _backup(data, right, journal)
    _backup(data, wrong, core)
    hub.close()
    for folder in (right, wrong):
        shutil.copy2(data / "hub.key", folder)
    restored = _Hub(right)
    check_pair(restored.journal, restored.store)
    assert restored.journal.head() == 2 and max(restored.store.watermarks().values()) == 1
    restored.close()
    restored = _Hub(wrong)
    with pytest.raises(ConfigError, match="the journal is older than the core store"):
        check_pair(restored.journal, restored.store)
    restored.close()


def test_the_backup_shown_takes_both_at_once(tmp_path: Path) -> None:
    (block,) = blocks(DOCS / "operators/backup.md", "python backup")
    data = tmp_path / "data"
    data.mkdir()
    hub = _Hub(data)
    hub.receive(1)
    _backup(data, tmp_path / "to", block.text)
    hub.close()
    assert sorted(p.name for p in (tmp_path / "to").iterdir()) == ["core.db", "journal.db"]
    with pytest.raises(ConfigError, match="the journal was made with another key"):
        (tmp_path / "to/hub.key").unlink(missing_ok=True)
        Keyring.open(tmp_path / "to/hub.key", existing_data=False)
        _Hub(tmp_path / "to")
