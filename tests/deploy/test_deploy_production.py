"""The production profile of deploy/: it passes as it stands, and refuses every weak setting put into it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.channels.definition import load_channels
from engine.channels.production import judge
from engine.cli.doctor import examine
from engine.kernel.config import load_config
from engine.kernel.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "deploy/production"
TOKEN = "reader nT3vq8Lw0zRk5YbXc2Hs7PdJm4Gf9Uae\n"

Change = Callable[[str], str]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the image holds: this project with deploy/production over it, secrets where they are mounted."""
    root = tmp_path / "srv"
    shutil.copytree(ROOT / "channels", root / "channels")
    shutil.copytree(SHIPPED, root, dirs_exist_ok=True)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name in ("DATA_KEY", "DB_PASSWORD", "NATS_PASSWORD"):
        (secrets / name).write_text("s" * 44)
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data/token").write_text(TOKEN)
    (tmp_path / "data/token").chmod(0o600)
    path = root / "config.yaml"
    text = (
        path.read_text()
        .replace("/run/secrets/hub", str(secrets))
        .replace("/var/lib/hub", str(tmp_path / "data"))
    )
    path.write_text(text)
    return root


def refused(project: Path) -> str:
    """Return what production refuses of a project."""
    try:
        judge(load_config(project), load_channels(project))
    except ConfigError as e:
        return str(e)
    return ""


def test_it_passes_as_it_stands(project: Path) -> None:
    assert refused(project) == ""
    config = load_config(project)
    assert config.log == "json" and len(config.health.addresses()) == 1
    assert config.queue.servers == ["tls://nats:4222"]


def test_the_doctor_finds_nothing_weak(project: Path) -> None:
    path = project / "config.yaml"
    embedded = re.sub(
        r"^(journal|core|imaging|staff): .*\n", "", path.read_text(), flags=re.M
    )  # no server here
    path.write_text(embedded)
    wrong = [f for f in examine(project) if f.topic == "config" and f.state != "ok"]
    assert wrong == []


def off(pattern: str, new: str = "") -> Change:
    """Put something weak in the place of what is there."""
    return lambda text: re.sub(pattern, new, text, count=1, flags=re.M)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (off(r"\?sslmode=verify-full[^\"]*"), "journal: is at postgres without a proven certificate"),
        (off("sslmode=verify-full", "sslmode=require"), "journal: is at postgres"),
        (off("tls://nats", "nats://nats"), "queue: nats is reached without TLS"),
        (off(r"^  user: +hub\n"), "queue: anybody who reaches the broker"),
        (off(r"\$\{secret:NATS_PASSWORD\}", "hunter2"), "queue: password: stands in config.yaml"),
        (off(r"^  tls:     \{.*\n"), "console: listen: 0.0.0.0 is open to the network without TLS"),
        (off(r"^  tls:        \{.*\n"), "is open to the network without TLS"),
        (off("second_factor: bodies", "second_factor: nobody"), "a password alone"),
        (off("idle_minutes: 15", "idle_minutes: 120"), "lasts 120 minutes"),
        (off(r"\$\{secret:DATA_KEY\}", "s" * 44), "key: stands in config.yaml"),
        (off(r"^key: .*\n"), "key: is empty"),
        (off(r"^identity_base:.*\n"), "identity_base: is the default"),
        (off("audit:    10 years", "audit:    5 years"), "less than 6 years"),
        (lambda text: text + "changes: {two_people: false}\n", "one person alone"),
        (lambda text: text + "objects: {s3: 'http://minio.mercy.example/hub'}\n", "objects: s3:"),
    ],
)
def test_whatever_is_weakened_is_refused(project: Path, change: Change, told: str) -> None:
    path = project / "config.yaml"
    before = path.read_text()
    after = change(before)
    assert after != before
    path.write_text(after)
    said = refused(project)
    assert told in said and "config.yaml:" in said


def test_a_listener_without_tls_is_refused(project: Path) -> None:
    path = project / "channels/lab_oru.yaml"
    text = path.read_text()
    path.write_text(re.sub(r"    tls:.*\n(      .*\n)+", "", text))
    assert "channel lab_oru listens on 0.0.0.0 without TLS" in refused(project)


@pytest.mark.parametrize("name", ["lab_oru", "adt"])
def test_the_channels_are_those_that_ship_but_for_the_way_in(name: str) -> None:
    """Production's channels say what the shipped ones say; only host, port and TLS differ."""
    ours = {c.name: c for c in load_channels(SHIPPED)}[name]
    shipped = {c.name: c for c in load_channels(ROOT)}[name]
    assert ours.network is not None and shipped.network is not None
    assert ours.network.port == shipped.network.port and ours.network.tls is not None
    assert ours.network.tls.require_client
    strip = re.compile(r"^#.*\n|  mllp:.*\n(?:    .*\n)*", re.M)
    texts = [strip.sub("", (root / f"channels/{name}.yaml").read_text()) for root in (SHIPPED, ROOT)]
    assert texts[0] == texts[1]
