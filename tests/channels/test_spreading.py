"""A change that one machine brings live arrives on the others, by way of the staff database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub_project import make_project

from engine.channels.opening import open_keyring, open_staff
from engine.channels.renewal import announced_project, project_digest
from engine.channels.restarts import asked, asked_file
from engine.channels.spreading import catch_up, follow, spread
from engine.kernel.config import Config, load_config
from engine.staff.staff import Staff

TABLE = "terminology/maps/AdministrativeSex.csv"


@pytest.fixture
def machines(tmp_path: Path, postgres_database: str) -> list[Config]:
    """Two machines with the same project and one database."""
    one, two = make_project(tmp_path / "one"), tmp_path / "two"
    shared = "".join(f"{word}: '{postgres_database}'\n" for word in ("journal", "core", "imaging", "staff"))
    with (one / "config.yaml").open("a") as file:
        file.write(f"{shared}queue: nats://127.0.0.1:1\nkey: {'k' * 43}=\n")
    shutil.copytree(one, two)
    configs = [load_config(root) for root in (one, two)]
    for config in configs:
        config.data_dir.mkdir()
    return configs


@pytest.fixture
def staff(machines: list[Config]) -> Iterator[Staff]:
    found = open_staff(machines[1], open_keyring(machines[1]))
    yield found
    found.close()


def change(config: Config, path: str, after: bytes | None) -> None:
    """Write a file on one machine as a change does, and tell the others."""
    target = config.root / path
    before = target.read_bytes() if target.exists() else None
    if after is None:
        target.unlink()
    else:
        target.write_bytes(after)
    spread(config, {path: (before, after)})


def test_files_arrive_and_are_announced(machines: list[Config], staff: Staff) -> None:
    one, two = machines
    lines = (one.root / TABLE).read_bytes()
    change(one, TABLE, lines.replace(b"\r\n", b"\n") + b"\n")
    change(one, "mappings/sites/new_site.yaml", b"# nothing yet\n")
    assert follow(two, staff) == [TABLE, "mappings/sites/new_site.yaml"]
    assert (two.root / TABLE).read_bytes() == (one.root / TABLE).read_bytes()
    assert announced_project(two) == project_digest(two.root) == project_digest(one.root)
    change(one, "mappings/sites/new_site.yaml", None)
    assert follow(two, staff) == ["mappings/sites/new_site.yaml"]
    assert not (two.root / "mappings/sites/new_site.yaml").exists()
    assert follow(two, staff) == [] and follow(one, staff) == [], "a machine follows nobody twice, nor itself"


def test_a_file_edited_by_hand_stays(
    machines: list[Config], staff: Staff, caplog: pytest.LogCaptureFixture
) -> None:
    one, two = machines
    mine = (two.root / TABLE).read_bytes() + b"\n\n"
    (two.root / TABLE).write_bytes(mine)
    change(one, TABLE, (one.root / TABLE).read_bytes() + b"\n")
    assert follow(two, staff) == []
    assert (two.root / TABLE).read_bytes() == mine and "by hand here: it stays" in caplog.text


def test_a_machine_that_was_away_follows_all_steps_at_its_start(machines: list[Config]) -> None:
    one, two = machines
    for _ in range(3):
        change(one, TABLE, (one.root / TABLE).read_bytes() + b"\n")
    catch_up(two)
    assert (two.root / TABLE).read_bytes() == (one.root / TABLE).read_bytes()


def test_listeners_start_again_where_their_channel_changed(machines: list[Config], staff: Staff) -> None:
    one, two = machines
    path = "channels/lab_oru.yaml"
    text = (one.root / path).read_text()
    changed = text.replace("mllp: {port:", "mllp: {max_connections: 7, port:")
    assert changed != text
    change(one, path, changed.encode())
    assert follow(two, staff) == [path]
    assert asked(asked_file(two)) == ["listeners"]
