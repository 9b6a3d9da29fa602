"""`hub check`, `hub test`, `hub schema` and `hub map`: what they print, what they write, how they end."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from engine.cli.check import check
from engine.cli.mapdiff import map_diff
from engine.cli.maps import map_python, map_show, run_tests
from engine.cli.mapwhy import map_why
from engine.cli.schema import write_schemas
from engine.kernel.errors import HubError, MapError
from engine.mapping.rules import RULES

ROOT = Path(__file__).parents[2]
Out = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name in ("mappings", "terminology", "channels", "sample_messages"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "config.yaml", tmp_path)
    return tmp_path


def spoil(project: Path, name: str, old: str, new: str) -> None:
    path = project / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


PID = "mappings/hl7v2/segments/PID_Patient.yaml"


def test_check_of_a_good_project(capsys: Out) -> None:
    assert check(ROOT) == 0
    assert capsys.readouterr().out.startswith("0 errors, 0 warnings")


def test_check_names_file_line_rule_and_what_to_try(project: Path, capsys: Out) -> None:
    spoil(project, PID, "  birthDate:              PID-7", "  birthDat:              PID-7")
    assert check(project) == 1
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith(f"{PID}:") and "error M01: birthDat" in first and "Try: birthDate" in first


def test_warnings_do_not_fail_and_json_says_the_same(project: Path, capsys: Out) -> None:
    spoil(project, PID, "ignore: [", "ignore: [PID-5, ")
    assert check(project, as_json=True) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found[0]) == {"rule", "level", "place", "what", "why", "try"}
    assert [f["rule"] for f in found if f["level"] != "info"] == ["M10"]


def test_tests_pass_and_say_how_many(capsys: Out) -> None:
    assert run_tests(ROOT, "XPN_HumanName") == 0
    assert capsys.readouterr().out == "4 of 4 tests pass\n"
    assert run_tests(ROOT, "lab_oru") == 0
    assert run_tests(ROOT, "acme_lab") == 0


def test_a_failing_test_says_what_differs(project: Path, capsys: Out) -> None:
    spoil(project, "mappings/hl7v2/datatypes/XPN_HumanName.yaml", "out: {family: DOE,", "out: {family: ROE,")
    assert run_tests(project, "XPN_HumanName") == 1
    out = capsys.readouterr().out
    assert "family: expected ROE, found DOE" in out and "3 of 4 tests pass" in out
    assert run_tests(project, "XPN_HumanName", as_json=True) == 1
    rows = json.loads(capsys.readouterr().out)
    assert rows[0]["differences"] == ["family: expected ROE, found DOE"]


def test_a_name_that_nothing_has(capsys: Out) -> None:
    with pytest.raises(MapError, match="Did you mean XPN_HumanName"):
        run_tests(ROOT, "XPN_HumanNam")
    with pytest.raises(MapError, match="Did you mean PID_Patient"):
        map_show(ROOT, "PID_Patien")
    with pytest.raises(MapError, match="Sites are: acme_lab"):
        map_show(ROOT, "PID_Patient", "nowhere")


def test_show_tells_who_set_a_row(capsys: Out) -> None:
    assert map_show(ROOT, "PID_Patient", "acme_lab") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("PID_Patient: PID -> Patient   as acme_lab, revision ")
    set_by = {line.split()[0]: line.split()[-2] for line in lines[3:] if line and not line.startswith(" ")}
    assert set_by["name(legal)"] == "standard"
    assert set_by["name(legal).use"] == "acme_lab"
    assert set_by["gender"] == "us_core" and "acme_lab.yaml:" in next(x for x in lines if "(legal).use" in x)
    assert map_show(ROOT, "PID_Patient", as_json=True) == 0
    assert {"element", "source", "set_by", "place"} <= set(json.loads(capsys.readouterr().out)[0])


def test_show_of_a_message_map_lists_its_resources(capsys: Out) -> None:
    assert map_show(ROOT, "ORU_R01") == 0
    out = capsys.readouterr().out
    assert "ORU^R01" in out and "PATIENT_RESULT/ORDER_OBSERVATION" in out and "mend: " in out


def test_show_fits_the_terminal(capsys: Out, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert map_show(ROOT, "XPN_HumanName") == 0
    out = re.sub(r"\x1b\[\d+m", "", capsys.readouterr().out)
    table = out.split("\nnote:")[0].splitlines()[1:]
    assert len(table) > 20 and max(map(len, table)) <= 70


def test_why_names_the_layers(capsys: Out) -> None:
    assert map_why(ROOT, "Patient.name.use", None, "acme_lab") == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(x.startswith("mappings/sites/acme_lab.yaml:") and "=official" in x for x in lines)
    assert any(x.startswith(PID) and "PID-5" in x and "through its datatype map" in x for x in lines)
    with pytest.raises(MapError, match="no row sets"):
        map_why(ROOT, "Patient.photo", None)


def test_why_of_a_field_names_rows_conditions_and_who_ignores_it(capsys: Out) -> None:
    assert map_why(ROOT, "PID-30", None) == 0
    assert "deceasedBoolean: PID-30; when PID-29 not valued" in capsys.readouterr().out
    assert map_why(ROOT, "PID-1", None, as_json=True) == 0
    assert "ignored on purpose" in {x["why"] for x in json.loads(capsys.readouterr().out)}


def test_why_in_a_message_says_what_became_of_it(tmp_path: Path, capsys: Out) -> None:
    message = tmp_path / "one.hl7"
    pid = "PID|1||77^^^NORTH^MR||DOE^JO^^^^^^^A||19800101|F|||||||||||||||||||||20260101|Y"
    message.write_text(f"MSH|^~\\&|L|N|H|C|20260501120000-0500||ADT^A08|1|P|2.5.1\r{pid}\r")
    said = {}
    for what in ("PID-8", "PID-30", "PID-1", "PID-5[1].9", "Patient.gender", "Patient.name.family"):
        assert map_why(ROOT, what, message) == 0
        said[what] = capsys.readouterr().out
    assert said["PID-8"].startswith("PID[1]-8[1].1 -> Patient.gender: set by row PID_Patient/gender")
    assert "PID_Patient.yaml:" in said["PID-8"]
    assert "-> excluded: excluded: row PID_Patient/deceasedBoolean" in said["PID-30"].replace("\n", " ")
    assert "-> ignored: ignored on purpose by PID_Patient" in said["PID-1"]
    assert "-> not mapped: not mapped: XPN_HumanName has no row for PID-5.9" in said["PID-5[1].9"]
    assert said["Patient.gender"] == said["PID-8"]
    assert "XPN_HumanName/family" in said["Patient.name.family"]
    assert map_why(ROOT, "PID-12", message) == 1


def test_diff_of_a_site_a_folder_and_nothing(project: Path, capsys: Out) -> None:
    assert map_diff(ROOT, "acme_lab", name="PID_Patient") == 1
    out = capsys.readouterr().out
    assert "+ PID_Patient  name(legal).use" in out and "~ PID_Patient  identifier(external)" in out
    assert "(standard mappings/hl7v2/segments/PID_Patient.yaml:" in out
    assert "(acme_lab mappings/sites/acme_lab.yaml:" in out
    spoil(project, PID, "  birthDate:              PID-7", "  birthDate:              [PID-7, PID-29]")
    assert map_diff(ROOT, str(project), "standard", "PID_Patient", as_json=True) == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["element"], row["old"], row["new"]) == ("birthDate", "[PID-7, PID-29]", "PID-7")
    assert map_diff(ROOT, "standard", "standard", "PID_Patient") == 0
    assert capsys.readouterr().out == "no row differs\n"


def test_diff_of_two_revisions(project: Path, capsys: Out) -> None:
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(project)]
    for command in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *command], check=True)
    spoil(project, PID, "  birthDate:              PID-7", "  birthDate:              [PID-7, PID-29]")
    assert map_diff(project, "HEAD", name="PID_Patient") == 1
    assert "was  PID-7 " in capsys.readouterr().out
    with pytest.raises(HubError, match="no site, no folder and no git revision"):
        map_diff(project, "no-such-thing")


def test_python_is_what_runs(capsys: Out) -> None:
    assert map_python(ROOT, "PID_Patient") == 0
    text = capsys.readouterr().out
    compile(text, "shown", "exec")
    assert "def M_PID_Patient(" in text
    assert map_python(ROOT, "XPN_HumanName", traced=True) == 0
    assert "x.row = " in capsys.readouterr().out


def test_schemas_offer_elements_fields_tables_and_what_a_site_may_change(tmp_path: Path, capsys: Out) -> None:
    assert write_schemas(ROOT, tmp_path) == 0
    assert "# yaml-language-server: $schema=file://" in capsys.readouterr().out
    schema = json.loads((tmp_path / "PID_Patient.json").read_text())
    elements = schema["properties"]["rows"]["properties"]
    assert elements["birthDate"]["description"].startswith("The date of birth")
    assert {"name.family", "deceasedBoolean", "deceased[x]"} <= set(elements)
    fields = {f["const"]: f["description"] for f in schema["definitions"]["source"]["anyOf"] if "const" in f}
    assert fields["PID-8"].endswith("table 0001")
    words = schema["definitions"]["row"]["anyOf"][1]["properties"]
    assert "AdministrativeSex" in words["code"]["enum"]
    site = json.loads((tmp_path / "site_acme_lab.json").read_text())
    rows = site["properties"]["change"]["properties"]["PID_Patient"]["properties"]
    assert "name(legal)" in rows and rows["gender"]["description"].startswith("us_core")


def test_the_page_of_the_rules_is_the_table() -> None:
    text = (ROOT / "docs/analysts/lint.md").read_text()
    rows = [f"| {r.number} | {r.level} | {r.title} | {r.why} |" for r in RULES.values()]
    assert re.findall(r"^\| M\d+ .*$", text, re.M) == rows


def test_every_rule_that_the_code_gives_is_in_the_table_and_given_somewhere() -> None:
    code = "\n".join(p.read_text() for p in (ROOT / "engine").rglob("*.py") if p.name != "rules.py")
    assert set(re.findall(r"\"(M\d\d)\"", code)) == set(RULES)
