"""The tables of the core store, once for SQLite and PostgreSQL.

What is in them: resource bodies (sealed, one pack an entry writes), the version history whose sequence is the
change feed, a narrow row for each current resource, the outcome of every journal entry, and keyed hashes to
search by. What is not in them: any identifier, name or birth date that could be read without the data key.
Layout notes: a body is stored once; whatever is looked up by a random key is kept narrow or grouped by era,
so that a batch of inserts touches few pages however large the store grows.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)

__all__ = [
    "ALIAS",
    "AUDIT",
    "AUDIT_BEGIN",
    "AUDIT_HEAD",
    "AUDIT_NAMED",
    "AUDIT_NAMED_UPTO",
    "CLOCK",
    "CONCEPT",
    "DELIVERY",
    "DELIVERY_TRY",
    "DESTINATION",
    "ENTRY_ERA",
    "GAP",
    "GAP_WAIT",
    "HISTORY",
    "IDENTITY",
    "LANE",
    "LANE_OWNER",
    "METADATA",
    "OPS",
    "OP_CREATE",
    "OP_DELETE",
    "OP_RELINK",
    "OP_UPDATE",
    "OUTCOME",
    "PACK",
    "PACK_SLOTS",
    "PENDING",
    "PROPOSAL",
    "RESOURCE",
    "REVISION",
    "RID_ERA",
    "RTYPE",
    "SEARCHED",
    "SEARCH_KEY",
    "TOKEN",
    "TOUCH",
]

METADATA = MetaData()
BIG = BigInteger().with_variant(Integer(), "sqlite")  # INTEGER PRIMARY KEY is SQLite's own row number


def _partial(name: str, first: str, *more: str, valued: str = "") -> Index:
    """Index only the rows where the first column is set, or the one named."""
    set_ = text(f"{valued or first} IS NOT NULL")
    return Index(name, first, *more, sqlite_where=set_, postgresql_where=set_)


ENTRY_ERA, RID_ERA = 10, 13
"""An era is 1,024 entries or 8,192 resources in a row. An index that starts with the era is written in one
small place while the era lasts, instead of all over; a search asks every era, 5 us each."""

PACK_SLOTS = 1000
"""Most bodies in one pack. A merge may re-point more than this: it takes several packs."""

OP_CREATE, OP_UPDATE, OP_DELETE, OP_RELINK = 1, 2, 3, 4
OPS = {OP_CREATE: "create", OP_UPDATE: "update", OP_DELETE: "delete", OP_RELINK: "relink"}

# `autoincrement=False` everywhere: numbers come from CLOCK, or from the journal.
CLOCK = Table(
    "core_clock",  # one row; on PostgreSQL its lock makes feed positions visible in commit order
    METADATA,
    Column("id", SmallInteger, primary_key=True, autoincrement=False),
    Column("seq", BIG, nullable=False),  # newest feed position
    Column("rid", BIG, nullable=False),  # newest resource number
    Column("at", BIG, nullable=False),  # time of the newest version; never runs backwards
    Column("handed", BIG, nullable=False, server_default="0"),  # newest hand-over of lanes
)

RTYPE = Table(
    "rtype",  # resource types met so far; small numbers keep rows and indexes narrow
    METADATA,
    Column("id", BIG, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
)

PACK = Table(
    "pack",  # all bodies written for one entry, sealed once; id = feed position of its first version
    METADATA,
    Column("id", BIG, primary_key=True, autoincrement=False),
    Column("entry", BIG, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index("pack_by_entry", "entry"),
)

HISTORY = Table(
    "history",  # append-only; seq = feed position; body = slot (seq - pack) of its pack; no pack = tombstone
    METADATA,
    Column("seq", BIG, primary_key=True, autoincrement=False),
    Column("rid", BIG, nullable=False),
    Column("version", BIG, nullable=False),
    Column("entry", BIG, nullable=False),
    Column("position", BIG, nullable=False),
    Column("pack", BIG),
    Column("at", BIG, nullable=False),
    Column("op", SmallInteger, nullable=False),
    Column("prev", BIG),
)

RESOURCE = Table(
    "resource",
    METADATA,
    Column("rid", BIG, primary_key=True, autoincrement=False),
    Column("type", BIG, nullable=False),
    Column("id", LargeBinary, nullable=False),  # public id: a uuid as 16 bytes, else `~` and the text
    Column("seq", BIG, nullable=False),
    Column("version", BIG, nullable=False),
    Column("position", BIG, nullable=False),  # journal position of the newest entry that spoke of it
    Column("patient", BIG),
    Column("code", BIG),  # keyed hash of the whole set of codings; see CONCEPT
    Column("date_from", BIG),  # first and last millisecond of the clinically relevant time
    Column("date_to", BIG),
    Column("deleted", SmallInteger, nullable=False),
    Column("times", Text),  # JSON: senders' own times of what was said again since; else they are in the pack
    _partial("resource_by_patient", "patient", "type", "rid"),
    Index(
        "resource_by_code",
        text("(rid >> 13)"),
        "code",
        sqlite_where=text("code IS NOT NULL"),
        postgresql_where=text("code IS NOT NULL"),
    ),
    _partial("resource_by_date", "date_from", "rid"),
    Index("resource_by_type", "type", "rid"),
)

IDENTITY = Table(
    "identity",  # public ids and business keys -> resource; a binding never changes
    METADATA,
    Column("key", LargeBinary, primary_key=True),
    Column("rid", BIG, nullable=False),
    sqlite_with_rowid=False,
)

TOKEN = Table(
    "token",  # identifiers for search, not unique: keyed hash of `type, system|value` and of `type, value`
    METADATA,
    Column("era", BIG, primary_key=True, autoincrement=False),
    Column("mac", BIG, primary_key=True, autoincrement=False),
    Column("rid", BIG, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

PENDING = Table(
    "pending_reference",  # references by identifier that found nothing yet: set when their target arrives
    METADATA,
    Column("mac", BIG, primary_key=True, autoincrement=False),
    Column("rid", BIG, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

CONCEPT = Table(
    "concept",  # keyed hash of a coding (system|code, or code alone) -> of a whole set of codings it is in
    METADATA,
    Column("mac", BIG, primary_key=True, autoincrement=False),
    Column("concept", BIG, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

ALIAS = Table(
    "alias",  # a Patient retired by a merge -> its survivor (always the last one: chains are shortened)
    METADATA,
    Column("retired", BIG, primary_key=True, autoincrement=False),
    Column("survivor", BIG, nullable=False),
    Column("entry", BIG, nullable=False),
    Column("at", BIG, nullable=False),
    Column("numbers", LargeBinary),  # sealed: (number, authority) of both as the merge wrote them
    Index("alias_by_survivor", "survivor"),
)

TOUCH = Table(
    "touch",  # entries that spoke of a patient's resource and made no version of it (unchanged, superseded)
    METADATA,
    Column("era", BIG, primary_key=True, autoincrement=False),
    Column("rid", BIG, primary_key=True, autoincrement=False),
    Column("position", BIG, primary_key=True, autoincrement=False),
    Column("entry", BIG, primary_key=True, autoincrement=False),
    Column("late", SmallInteger),  # 1: older than what was there, not written
    Column("times", Text),  # as in RESOURCE, once this entry had spoken
    sqlite_with_rowid=False,
)

OUTCOME = Table(
    "outcome",
    METADATA,
    Column("entry", BIG, primary_key=True, autoincrement=False),
    Column("position", BIG, nullable=False),
    Column("status", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("sender", Text, nullable=False),
    Column("revision", Text, nullable=False),
    Column("cause", Text),
    Column("place", Text),
    Column("text", Text),
    Column("written", BIG, nullable=False),
    Column("unchanged", BIG, nullable=False),
    Column("superseded", BIG, nullable=False),
    Column("flags", Text),  # JSON; a flag holds no patient data
    Column("reason", LargeBinary),  # who replayed it and why, sealed
    Column("at", BIG, nullable=False),
    Column("work", BIG),  # of one that is done: how many of its flags are work
    Index(
        "outcome_work",
        "entry",
        sqlite_where=text("work IS NOT NULL"),
        postgresql_where=text("work IS NOT NULL"),
    ),
    Index(
        "outcome_parked",
        "entry",
        sqlite_where=text("status = 'parked'"),
        postgresql_where=text("status = 'parked'"),
    ),
    Index(
        "outcome_why",
        *("status", "channel", "cause", "entry"),
        sqlite_where=text("status <> 'done'"),
        postgresql_where=text("status <> 'done'"),
    ),
    _partial("outcome_flagged", "channel", "entry", valued="work"),
)

LANE = Table(
    "lane",
    METADATA,
    Column("lane", BIG, primary_key=True, autoincrement=False),
    Column("watermark", BIG, nullable=False),
)

LANE_OWNER = Table(
    "lane_owner",  # who works on a lane; see owning.py
    METADATA,
    Column("lane", BIG, primary_key=True, autoincrement=False),
    Column("handed", BIG, nullable=False),  # the hand-over at which it was taken
    Column("owner", Text, nullable=False),
)

SEARCH_KEY = Table(
    "search_key",  # keyed hash of (kind, value) -> entries, for finding messages
    METADATA,
    Column("era", BIG, primary_key=True, autoincrement=False),
    Column("mac", BIG, primary_key=True, autoincrement=False),
    Column("entry", BIG, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

SEARCHED = Table(
    "searched",  # from which entry on a channel's messages ("" = all) have words of a kind or a place
    METADATA,
    Column("channel", Text, primary_key=True),
    Column("place", Text, primary_key=True),
    Column("first", BIG, nullable=False),
    sqlite_with_rowid=False,
)

DESTINATION = Table(
    "destination",  # places that deliveries go to: a number for its name, and how it is doing
    METADATA,
    Column("id", BIG, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),  # open | down | stopped by a person
    Column("since", BIG, nullable=False),
    Column("why", Text, nullable=False),  # without patient data
    Column("handed", BIG, nullable=False, server_default="0"),  # the newest hand-over of its turn
    Column("holder", Text, nullable=False, server_default=""),  # who took it; empty: given back
    Column("before", Text, nullable=False, server_default=""),  # who may have something under way, by line
)

DELIVERY = Table(
    "delivery",
    METADATA,
    Column("id", BIG, primary_key=True, autoincrement=False),  # entry or position << 12 | destination
    Column("entry", BIG, nullable=False),  # what it is made of
    Column("destination", BIG, nullable=False),
    Column("status", Text, nullable=False),  # pending | sent | refused | parked | skipped
    Column("keys", Text, nullable=False),  # JSON: keyed hashes of what keeps its order
    Column("due", BIG, nullable=False),  # not before, ms
    Column("tries", BIG, nullable=False),
    Column("round", BIG, nullable=False),  # how often it was put back; a result of an older round is void
    Column("anew", BIG, nullable=False),  # how often a person sent it as new: part of its key
    Column("at", BIG, nullable=False),  # when it was made
    Column("first", BIG),  # first try since it was put back for which the parcel may be to blame
    Column("done", BIG),
    Column("why", Text, nullable=False),
    Column("reference", Text, nullable=False),
    Column("body", LargeBinary),  # sealed: what was written for it once, so that another try is the same
    Index(
        "delivery_pending",
        "destination",
        "id",
        sqlite_where=text("status = 'pending'"),
        postgresql_where=text("status = 'pending'"),
    ),
    Index(
        "delivery_held",
        "destination",
        "id",
        sqlite_where=text("status IN ('parked', 'refused')"),
        postgresql_where=text("status IN ('parked', 'refused')"),
    ),
    Index("delivery_by_entry", "entry"),
)

DELIVERY_TRY = Table(
    "delivery_try",  # the evidence: what was sent and answered; the same again is one row, counted
    METADATA,
    Column("delivery", BIG, primary_key=True, autoincrement=False),
    Column("n", BIG, primary_key=True, autoincrement=False),
    Column("at", BIG, nullable=False),  # of the last of them
    Column("ms", BIG, nullable=False),
    Column("times", BIG, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("sealed", LargeBinary),  # request and answer
    sqlite_with_rowid=False,
)

GAP = Table(
    "gap",  # a code that no table knew; mac = keyed hash of (sender, field, coding system, code)
    METADATA,
    Column("id", BIG, primary_key=True, autoincrement=False),
    Column("mac", LargeBinary, nullable=False, unique=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("count", BIG, nullable=False),
    Column("oldest", BIG, nullable=False),
    Column("newest", BIG, nullable=False),
    Column("state", Text, nullable=False),  # open | draft | reviewed | approved
)

GAP_WAIT = Table(
    "gap_wait",  # entries that wait for a code; how: 1 parked, 2 written with a work flag
    METADATA,
    Column("gap", BIG, primary_key=True, autoincrement=False),
    Column("entry", BIG, primary_key=True, autoincrement=False),
    Column("how", SmallInteger, nullable=False),
    Index("gap_wait_by_entry", "entry"),
    sqlite_with_rowid=False,
)

PROPOSAL = Table(
    "proposal",  # what people said a code means; append-only
    METADATA,
    Column("id", BIG, primary_key=True, autoincrement=False),
    Column("gap", BIG, nullable=False),
    Column("at", BIG, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Index("proposal_by_gap", "gap", "id"),
)

REVISION = Table(
    "revision",  # which versions of code tables a map revision had
    METADATA,
    Column("name", Text, primary_key=True),
    Column("at", BIG, nullable=False),
    Column("tables", Text, nullable=False),
)

AUDIT = Table(
    "audit",
    METADATA,
    Column("id", BIG, primary_key=True, autoincrement=False),
    Column("at", BIG, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("what", Text, nullable=False),
    Column("detail", LargeBinary),  # sealed: a query may hold patient data
    Column("hash", LargeBinary, nullable=False),
    Index("audit_by_who", "who", "id"),
    Index("audit_by_action", "action", "id"),
)

AUDIT_HEAD = Table(
    "audit_head",  # one row: where the chain ends
    METADATA,
    Column("one", SmallInteger, primary_key=True, autoincrement=False),
    Column("id", BIG, nullable=False),
    Column("hash", LargeBinary, nullable=False),
)

AUDIT_BEGIN = Table(
    "audit_begin",  # at most one row: where the chain begins since old rows were taken out
    METADATA,
    Column("one", SmallInteger, primary_key=True, autoincrement=False),
    Column("row", BIG, nullable=False),  # the last that was taken out
    Column("at", BIG, nullable=False),
    Column("hash", LargeBinary, nullable=False),  # of that row
    Column("seal", LargeBinary, nullable=False),  # keyed hash of all this: nobody without the key makes one
)

AUDIT_NAMED = Table(
    "audit_named",  # what an audit row names, as keyed hashes; see store/auditnames.py
    METADATA,
    Column("mac", BIG, primary_key=True, autoincrement=False),
    Column("row", BIG, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

AUDIT_NAMED_UPTO = Table(
    "audit_named_upto",  # one row: the newest audit row that was read for it
    METADATA,
    Column("one", SmallInteger, primary_key=True, autoincrement=False),
    Column("row", BIG, nullable=False),
)
