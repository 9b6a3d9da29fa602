"""Editor completion, asked of a real YAML language server (tests/node) over its own protocol."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from engine.channels.definition import WORDS
from engine.cli.schema import map_schema, site_schema
from engine.cli.schemafiles import channel_schema, config_schema
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
NODE = ROOT / "tests/node"


@cache
def maps() -> Maps:
    return Maps.open(ROOT)


def test_every_row_of_every_map_is_allowed_by_its_schema() -> None:
    for m in maps().maps.values():
        rows = map_schema(maps(), m)["properties"]["rows"]
        patterns = [re.compile(p) for p in rows["patternProperties"]]
        strange = [
            r.name
            for r in m.rows
            if r.name not in rows["properties"] and not any(p.match(r.name) for p in patterns)
        ]
        assert not strange, m.name


def test_channels_and_config_offer_every_word_they_know() -> None:
    words = channel_schema(maps())["properties"]
    assert set(words) == WORDS and all(words.values()), [w for w, s in words.items() if not s]
    settings = config_schema()["properties"]
    assert "workers" in settings and settings["workers"]["description"] and "lines" not in settings
    assert "$ref" not in json.dumps([words, settings])


def asked(tmp_path: Path, schema: dict[str, Any], text: str) -> dict[str, Any]:
    """Ask the language server about a text; a `~` in it marks where the cursor stands."""
    if shutil.which("node") is None or not (NODE / "node_modules/yaml-language-server").is_dir():
        if os.environ.get("HUB_NODE_TOOLS"):
            pytest.fail("the YAML language server is missing: npm ci --prefix tests/node")
        pytest.skip("the YAML language server was NOT ASKED: it is not here; npm ci --prefix tests/node")
    file = tmp_path / "schema.json"
    file.write_text(json.dumps(schema))
    text = f"# yaml-language-server: $schema={file.as_uri()}\n{text}"
    positions = []
    while "~" in text:
        before = text[: text.index("~")]
        positions.append({"line": before.count("\n"), "character": len(before) - before.rfind("\n") - 1})
        text = text.replace("~", "", 1)
    job = json.dumps({"schemas": {}, "text": text, "positions": positions})
    done = subprocess.run(
        ["node", str(NODE / "lsp.mjs")], input=job, capture_output=True, text=True, timeout=90, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    answer["offered"] = [{i["label"]: i["about"] for i in found} for found in answer["completions"]]
    return answer


def test_a_map_is_completed(tmp_path: Path) -> None:
    text = (
        "map: X\nfrom: PID\nto: Patient\nrows:\n"
        "  gender: ~\n  birthDate:\n    from: PID-7\n    ~\n  maritalStatus: {from: PID-16, code: ~}\n  ~\n"
    )
    said = asked(tmp_path, map_schema(maps(), maps().maps["PID_Patient"]), text)
    fields, words, tables, elements = said["offered"]
    assert "PID-8" in fields and "table 0001" in fields["PID-8"]
    assert {"when", "code", "default"} <= words.keys()
    assert "MaritalStatus" in tables
    assert elements["deceasedBoolean"].startswith("Indicates if the individual is deceased")


def test_a_slip_in_a_map_is_underlined(tmp_path: Path) -> None:
    schema = map_schema(maps(), maps().maps["PID_Patient"])
    head = "map: X\nfrom: PID\nto: Patient\nrows:\n"
    assert asked(tmp_path, schema, f"{head}  birthDate: PID-7\n")["diagnostics"] == []
    (slip,) = asked(tmp_path, schema, f"{head}  birthDay: PID-7\n")["diagnostics"]
    assert "birthDay" in slip


@pytest.mark.parametrize("name", ["PID_Patient", "OBX_Observation"])
def test_shipped_maps_have_no_complaint(tmp_path: Path, name: str) -> None:
    m = maps().maps[name]
    said = asked(tmp_path, map_schema(maps(), m), (ROOT / m.place.file).read_text().replace("~", ""))
    assert said["diagnostics"] == []


def test_a_site_a_channel_and_the_config_are_completed(tmp_path: Path) -> None:
    site = maps().sites["acme_lab"]
    said = asked(tmp_path, site_schema(maps(), site), "site: acme_lab\nchange:\n  PID_Patient:\n    ~\n")
    assert said["offered"][0]["name(legal)"].startswith("standard: mappings/")
    text = "channel: x\nsender: ~\nreceive:\n  mllp:\n    port: 2575\n    ~\nnonsense: 1\n"
    said = asked(tmp_path, channel_schema(maps()), text)
    assert "acme_lab" in said["offered"][0] and "max_connections" in said["offered"][1]
    assert any("nonsense" in d for d in said["diagnostics"])
    said = asked(tmp_path, config_schema(), "hub: X\n~\n")
    assert "workers" in said["offered"][0]
