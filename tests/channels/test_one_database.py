"""One database of PostgreSQL for everything, as deploy/production has it: nobody's tables are another's."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.channels.node.opening import open_imaging
from engine.channels.opening import open_journal, open_keyring, open_staff, open_store
from engine.kernel.config import load_config
from engine.store.database import engine_for

OPENERS = {"journal": open_journal, "core": open_store, "imaging": open_imaging, "staff": open_staff}


@pytest.mark.parametrize("first", ["journal", "imaging"])
def test_all_four_live_in_one_database(first: str, postgres_database: str, tmp_path: Path) -> None:
    (tmp_path / "channels").mkdir()
    lines = [f"{name}: '{postgres_database}'\n" for name in OPENERS]
    (tmp_path / "config.yaml").write_text("hub: Mercy\nkey: " + "k" * 44 + "\n" + "".join(lines))
    config = load_config(tmp_path)
    keyring = open_keyring(config)
    for name in (first, *OPENERS):
        OPENERS[name](config, keyring).close()  # each finds the tables it made
    engine = engine_for(config.core_url)
    with engine.connect() as connection:
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        tables = {row[0] for row in connection.exec_driver_sql(query)}
    engine.dispose()
    assert {"meta", "imaging_meta", "staff_meta"} <= tables
