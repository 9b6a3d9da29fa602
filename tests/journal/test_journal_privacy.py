"""No patient data is readable in anything the journal writes, whichever field a message carried it in."""

from __future__ import annotations

import base64
import hashlib
import stat
from pathlib import Path

import sqlalchemy as sa
from journal_samples import NOW, oru

from engine.journal import tables
from engine.journal.sql import SqlJournal
from engine.kernel.message import NewEntry
from engine.security.keys import Keyring

WORDS = (
    "TESTERMANN",
    "QUIRINA",
    "MRN000001",
    "19610704",
    "ORDER1",
    "FILL1",
    "a.nurse",
    "LAB|NORTH",
    "10.1.2.3",
)


def messages() -> list[NewEntry]:
    """A good message, a replay with a reason, and damaged ones with patient data in every field."""
    shifted = NewEntry(
        channel="lab",
        body=b"PID|1||MRN000001||TESTERMANN^QUIRINA||19610704",
        received=NOW,
        kind="garbage",
        sender="TESTERMANN^QUIRINA",
        control_id="MRN000001",
        message_type="TESTERMANN^QUIRINA^19610704",
        charset="QUIRINA",
        order_keys=("TESTERMANN|19610704",),
    )
    return [
        oru(1, control_id="ORDER1"),
        oru(2, kind="replay", parent=1, reason="a.nurse: QUIRINA asked"),
        shifted,
    ]


def traces(word: str) -> set[bytes]:
    """Return the ways in which a word would still be readable, or recognisable to one with a word list."""
    plain = word.encode()
    shapes = {plain, plain.lower(), plain[::-1], plain.hex().encode(), word.encode("utf-16-le")}
    shapes |= {base64.b64encode(b"x" * shift + plain)[4:-4] for shift in range(3) if len(plain) > 7}
    for algorithm in ("md5", "sha1", "sha256", "blake2b"):
        digest = hashlib.new(algorithm, plain).digest()
        shapes |= {digest[:8], digest[-8:], digest.hex()[:12].encode()}
    return shapes - {b""}


def found(content: bytes) -> list[str]:
    """Return the words that `content` betrays."""
    return [word for word in WORDS if any(shape in content for shape in traces(word))]


def test_the_search_itself_finds_what_is_there() -> None:
    assert found(b"..." + hashlib.sha256(b"MRN000001").digest()) == ["MRN000001"]
    assert found(base64.b64encode(b"NAME=TESTERMANN;")) == ["TESTERMANN"]


def test_no_file_of_a_journal_betrays_a_patient(tmp_path: Path, keyring: Keyring) -> None:
    journal = SqlJournal.open(f"sqlite:///{tmp_path / 'journal.db'}", keyring)
    journal.append(messages())
    for _ in range(2):  # with everything in the log, then with everything in the file
        files = sorted(p for p in tmp_path.iterdir() if p.name != "hub.key")
        assert {p.name for p in files} >= {"journal.db"}
        for path in files:
            assert found(path.read_bytes()) == [], path.name
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
        journal.close()
    again = SqlJournal.open(f"sqlite:///{tmp_path / 'journal.db'}", keyring)
    assert again.read(0, 9)[2].sender == "TESTERMANN^QUIRINA"
    again.close()


def test_no_column_of_a_journal_betrays_a_patient(journal: SqlJournal) -> None:
    journal.append(messages())
    with journal.engine.connect() as connection:
        for table in tables.metadata.sorted_tables:
            for row in connection.execute(sa.select(table)):
                for column, value in row._mapping.items():
                    content = value if isinstance(value, bytes) else str(value).encode()
                    assert found(content) == [], f"{table.name}.{column}"


def test_equal_bodies_look_different(journal: SqlJournal) -> None:
    body = oru(1).body
    journal.append([oru(n, body=body, control_id="") for n in range(5)])
    with journal.engine.connect() as connection:
        sealed = connection.execute(sa.select(tables.body.c.sealed)).scalars().all()
    assert len({bytes(s) for s in sealed}) == 5


def test_the_hashes_of_two_hubs_have_nothing_in_common(tmp_path: Path) -> None:
    seen = []
    for name in ("one", "two"):
        ring = Keyring.open(tmp_path / f"{name}.key", existing_data=False)
        journal = SqlJournal.open(f"sqlite:///{tmp_path / name}.db", ring)
        journal.append(messages())
        with journal.engine.connect() as connection:
            rows = connection.execute(sa.select(tables.entry.c.control, tables.entry.c.hash)).all()
            macs = connection.execute(sa.select(tables.name.c.mac)).scalars().all()
        seen.append({r.control for r in rows} | {bytes(r.hash) for r in rows} | {bytes(m) for m in macs})
        journal.close()
    assert len(seen[0]) > 6
    assert seen[0].isdisjoint(seen[1])
