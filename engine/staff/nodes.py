"""What the machines of one hub tell each other of themselves, and the keys they sign with together.

In: the name of a machine with digests and versions of what all must have alike; the file of signing keys.
Out: the same of the others. Digests are keyed, keys are sealed. Whoever writes the keys says which ones he
had seen: of two who make new ones at one moment one is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson
import sqlalchemy as sa

from engine.kernel.errors import HubError
from engine.staff.database import Part
from engine.staff.tables import METADATA

__all__ = ["NodeRows", "SharedKeys", "SharedKeysRow"]

NODES = sa.Table(
    "staff_node",
    METADATA,
    sa.Column("node", sa.Text, primary_key=True),
    sa.Column("facts", sa.Text, nullable=False),  # JSON, by topic
    sa.Column("at", sa.BigInteger, nullable=False),  # when it last told
)

SIGNING = sa.Table(
    "staff_signing",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),  # there is one
    sa.Column("version", sa.BigInteger, nullable=False),
    sa.Column("body", sa.LargeBinary, nullable=False),  # the file, sealed
    sa.Column("node", sa.Text, nullable=False),  # who wrote it
    sa.Column("at", sa.BigInteger, nullable=False),
)
_PLACE = b"signing keys of all nodes"


@dataclass(frozen=True, slots=True)
class SharedKeysRow:
    """The signing keys as all machines have them."""

    version: int
    body: bytes
    node: str


class NodeRows(Part):
    """What machines tell of themselves."""

    def tell(self, node: str, facts: dict[str, list[str]]) -> None:
        """Put down what a machine has."""
        values = {"facts": orjson.dumps(facts).decode(), "at": self.now()}
        with self.database.write() as c:
            if not c.execute(sa.update(NODES).where(NODES.c.node == node).values(**values)).rowcount:
                c.execute(sa.insert(NODES).values(node=node, **values))

    def others(self, node: str, since: int) -> dict[str, dict[str, list[str]]]:
        """Return what the other machines have that told of themselves since then (ms)."""
        query = sa.select(NODES).where(NODES.c.node != node, NODES.c.at >= since).order_by(NODES.c.node)
        with self.database.read() as c:
            return {row.node: orjson.loads(row.facts) for row in c.execute(query)}


class SharedKeys(Part):
    """The signing keys of all machines together."""

    def now_held(self) -> SharedKeysRow | None:
        """Return the keys; None where nobody has made any."""
        with self.database.read() as c:
            row = c.execute(sa.select(SIGNING)).first()
        if row is None:
            return None
        return SharedKeysRow(row.version, self.keyring.unseal(bytes(row.body), _PLACE), row.node)

    def put(self, body: bytes, node: str, seen: int) -> None:
        """Write the keys over those of version `seen` (0: there were none). Raises HubError."""
        values = {"version": seen + 1, "node": node, "at": self.now()}
        sealed = self.keyring.seal(body, _PLACE)
        with self.database.write() as c:
            known = c.execute(sa.select(SIGNING.c.version)).scalar() or 0
            if known != seen:
                raise HubError(
                    "another machine has just written the signing keys", remedy="type the command again"
                )
            if seen:
                c.execute(sa.update(SIGNING).values(body=sealed, **values))
            else:
                c.execute(sa.insert(SIGNING).values(id=1, body=sealed, **values))
