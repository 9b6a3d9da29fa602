"""What the pages name exists: commands and options, other pages, metrics, settings, causes, layers."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import typer
from docs_pages import DOCS, PAGES, ROOT, Block, all_blocks, blocks, prose

from engine.channels.causes import CAUSES
from engine.channels.definition import WORDS
from engine.cli.main import app

README = ROOT / "README.md"
EVERYWHERE = [*PAGES, README]
LONGEST = 150
ids = str


def _shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _headings(page: Path) -> set[str]:
    found = re.findall(r"^#+ (.*)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in found}


def _code_of(folder: str) -> str:
    return "\n".join(p.read_text("utf-8") for p in sorted((ROOT / folder).rglob("*.py")))


# -- commands --------------------------------------------------------------------------------------


def _commands() -> list[tuple[str, str]]:
    found = []
    for page in EVERYWHERE:
        for block in blocks(page, "sh"):
            for offset, line in enumerate(block.text.splitlines(), 1):
                words = line.strip().removeprefix(".venv/bin/")
                if words.startswith("hub "):
                    found.append((f"{_shown(page)}:{block.line + offset}", words))
    return found


def _alone(command: Any) -> bool:
    """Say whether a group of commands does something by itself, as `hub backup` does."""
    return bool(command.invoke_without_command)


def _parse(words: list[str]) -> None:
    """Parse a command line as `hub` does, without running it. Raises LookupError, or click's UsageError."""
    command: Any = typer.main.get_command(app)
    rest = list(words)
    while hasattr(command, "commands") and not (_alone(command) and (rest or ["-"])[0][:1] == "-"):
        command = command.commands[rest.pop(0)]
    command.make_context("hub", rest)


@pytest.mark.parametrize(("where", "line"), _commands())
def test_every_command_shown_can_be_typed(where: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    if "PATH..." in words:
        words[words.index("PATH...")] = "PATH"
    _parse(words)


def test_commands_named_in_the_text_exist() -> None:
    known: Any = typer.main.get_command(app)
    for page in EVERYWHERE:
        for name in re.findall(r"`hub ([a-z]+)", prose(page)):
            assert name in known.commands, f"{_shown(page)}: hub {name}"


def test_a_command_that_does_not_exist_is_found_out() -> None:
    for wrong in (["no-such-thing"], ["serve", "--no-such-option"], ["msg", "replay", "17"]):
        with pytest.raises(Exception, match=r"(?i)no.such|missing"):
            _parse(wrong)


# -- links and length ------------------------------------------------------------------------------


@pytest.mark.parametrize("page", EVERYWHERE, ids=_shown)
def test_links_lead_somewhere(page: Path) -> None:
    for text, target in re.findall(r"\[([^\]]+)\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), f"[{text}]({target})"
        if anchor:
            assert anchor in _headings(to), f"[{text}]({target})"


@pytest.mark.parametrize("page", PAGES, ids=_shown)
def test_pages_are_short(page: Path) -> None:
    most = {"maps.md": 230, "configuration.md": 800}.get(page.name, LONGEST)  # to be searched, in one place
    assert len(page.read_text("utf-8").splitlines()) <= most


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "README.md"], ids=_shown)
def test_the_index_names_every_page(page: Path) -> None:
    assert f"({page.relative_to(DOCS)})" in (DOCS / "README.md").read_text("utf-8")


# -- names of the code -----------------------------------------------------------------------------


def _metrics_in_code() -> set[str]:
    return set(re.findall(r'"(hub_[a-z0-9_]+)"', _code_of("engine")))


def test_metrics_are_those_of_the_code() -> None:
    page = DOCS / "operators/monitoring.md"
    table = set(re.findall(r"^\| `(hub_[a-z_]+)`", prose(page), re.M))
    assert table == {n for n in _metrics_in_code() if not n.endswith(("_bucket", "_sum", "_count"))}
    for other in EVERYWHERE:
        named = set(re.findall(r"\bhub_[a-z_]+\b", other.read_text("utf-8")))
        assert named <= table, _shown(other)


def _config_docs() -> ModuleType:
    spec = importlib.util.spec_from_file_location("config_docs", ROOT / "tools/config_docs.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_settings_is_current() -> None:
    assert _config_docs().current(), "run python tools/config_docs.py --write"


def test_the_page_of_settings_has_every_setting() -> None:
    docs = _config_docs()
    text = docs.PAGE.read_text("utf-8")
    for _, prefix, model in docs.SECTIONS:
        for name in model.model_fields:
            if (model, name) not in docs.SET_BY_US:
                assert f"| `{prefix}{name}` |" in text
    assert docs.renewed(text.replace("| `disk_reserve_mb` |", "| `disk` |")) == docs.renewed(text)


def test_every_word_of_a_channel_is_explained() -> None:
    rows = re.findall(r"^\| (`.*?) \|", prose(DOCS / "analysts/channels.md"), re.M)
    assert {word for row in rows for word in re.findall(r"`(\w+)`", row)} == WORDS


def _causes_in_code() -> set[str]:
    code = _code_of("engine/channels") + _code_of("engine/store") + _code_of("engine/mapping")
    found = set(re.findall(r'(?:parked = |why = |cause = |return )Flag\(\s*"([a-z-]+)"', code))
    found |= set(re.findall(r'\b(?:raise Park|hold)\("([a-z-]+)"', code))
    for line in re.findall(r'^ +(?:cause|code) = (".*" if .*)$', code, re.M):
        found |= set(re.findall(r'"([a-z]+-[a-z-]+)"', line))
    return found | set(CAUSES)


def test_every_cause_of_parking_is_explained() -> None:
    rows = re.findall(r"^\| (`.*?) \|", prose(DOCS / "analysts/parked.md"), re.M)
    explained = {cause for row in rows for cause in re.findall(r"`([a-z-]+)`", row)}
    assert _causes_in_code() - {"late"} - explained == set()  # a flag: tests/console/test_console_causes.py


def test_the_import_rule_is_the_one_that_is_checked() -> None:
    rules = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    layers = [{n.strip().removeprefix("engine.") for n in layer.split("|")} for layer in rules[0]["layers"]]
    (block,) = blocks(DOCS / "developers/architecture.md", "layers")
    assert [set(line.split(", ")) for line in block.text.splitlines()] == layers


def test_markers_are_those_of_pytest() -> None:
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
    names = [m.partition(":")[0] for m in options["markers"]]
    assert f"Markers: {', '.join(f'`{n}`' for n in names)}." in prose(DOCS / "developers/testing.md")


@pytest.mark.parametrize("page", PAGES, ids=_shown)
def test_files_named_exist(page: Path) -> None:
    for name in re.findall(r"`((?:engine|tests|tools|bench|sample_messages)/[\w/.]+\.\w+)`", prose(page)):
        assert (ROOT / name).exists(), name
    if page.parent.name == "developers":  # rooms are named without `engine/` there
        for name in re.findall(r"`([a-z]+/[\w/]+\.py)`", prose(page)):
            assert (ROOT / name).exists() or (ROOT / "engine" / name).exists(), name
    for block in all_blocks("sh"):
        for name in re.findall(r"\b(?:sample_messages|tools|bench)/[\w/.]+\.\w+", block.text):
            assert (ROOT / name).exists(), f"{block}: {name}"


def test_blocks_of_yaml_say_what_they_are() -> None:
    known = {
        "yaml",
        "yaml channel",
        "yaml channel-test",
        "yaml config",
        "yaml destinations",
        "yaml fhir-rules",
        "yaml map",
        "yaml message",
        "yaml partner",
        "yaml profile",
        "yaml site",
    }
    for block in all_blocks("yaml"):
        assert block.info in known or block.info.startswith("yaml rows "), str(block)
    assert all(isinstance(b, Block) for b in all_blocks("sh"))
