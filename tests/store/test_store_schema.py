"""Tables come from migrations, are those the code speaks of, and Alembic stays out when nothing is to do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from store_messages import patient, work

from engine.kernel.errors import ConfigError, StoreUnavailable
from engine.security.keys import Keyring
from engine.store.migrations import HEAD, VERSION_TABLE
from engine.store.sql import SqlStore
from engine.store.tables import METADATA


@pytest.mark.filterwarnings("ignore:.*expression-based index")
def test_migrated_tables_are_the_tables(store: SqlStore) -> None:
    with store._database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        differences = compare_metadata(context, METADATA)
        indexes = {i["name"] for t in METADATA.tables for i in sa.inspect(connection).get_indexes(t)}
    # the index over an expression is compared by name only: reflection cannot read it
    assert [d for d in differences if getattr(d[1], "name", "") != "resource_by_code"] == []
    assert {i.name for t in METADATA.tables.values() for i in t.indexes} - indexes <= {"resource_by_code"}


def test_head_is_the_newest_migration() -> None:
    folder = Path(sys.modules["engine.store.migrations"].__file__ or "").parent / "versions"
    assert sorted(path.name[1:5] for path in folder.glob("m*.py"))[-1] == HEAD


def test_opening_again_needs_no_alembic(tmp_path: Path, keyring: Keyring) -> None:
    url = f"sqlite:///{tmp_path}/core.db"
    SqlStore.open(url, keyring).close()
    code = (
        "import sys; from engine.store.sql import SqlStore; from engine.security.keys import Keyring; "
        f"SqlStore.open({url!r}, Keyring.supplied(b'x' * 32)).close(); print('alembic' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_two_processes_may_make_one_store(open_store: Callable[[], SqlStore]) -> None:
    with ThreadPoolExecutor(4) as pool:
        stores = list(pool.map(lambda _: open_store(), range(4)))
    for n, store in enumerate(stores):
        assert store.apply([work(n + 1, patient(str(n)))])[0].written == 1
    assert [c.seq for c in stores[0].feed()] == [1, 2, 3, 4]


def test_a_newer_store_is_refused(store: SqlStore, open_store: Callable[[], SqlStore]) -> None:
    with store._database.write() as session:
        session.run(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(ConfigError):
        open_store()


def test_a_store_out_of_reach(tmp_path: Path, keyring: Keyring) -> None:
    with pytest.raises(StoreUnavailable):
        SqlStore.open(f"sqlite:///{tmp_path}/no/such/folder/core.db", keyring)
