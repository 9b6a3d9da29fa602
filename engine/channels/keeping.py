"""How long things stay: the policy of config.yaml applied to the journal, and the keys turned over.

Bodies past their time are deleted for good (crypto-shredded, see journal/retention.py); what is parked stays
whatever its age. The resources they made stay in the core store; what can no longer be explained or replayed
is said.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from engine.journal.retention import Expiry, Policy, expire, plan
from engine.journal.sql import SqlJournal
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError
from engine.security.keys import Keyring
from engine.store.sql import SqlStore

__all__ = ["AUDIT_LEAST", "days_of", "keep", "keep_audit", "keep_deliveries", "rotate"]

DAYS = {"day": 1, "week": 7, "month": 31, "year": 366}
AUDIT_LEAST = 6 * 365
"""Days that the audit stays at the least: 45 CFR 164.316(b)(2)(i) asks for six years."""


def days_of(text: str, where: str) -> int | None:
    """Read `forever` (None) or a time such as `7 years` as days, rounded up. Raises ConfigError."""
    if text.strip() == "forever":
        return None
    m = re.fullmatch(r"(\d+)\s*(day|week|month|year)s?", text.strip())
    if not m or int(m[1]) < 1:
        raise ConfigError(f"{text!r} is not a time", where=where, remedy="write forever, or e.g. 7 years")
    return int(m[1]) * DAYS[m[2]]


def keep(
    config: Config,
    journal: SqlJournal,
    store: SqlStore,
    *,
    dry_run: bool = False,
    now: int | None = None,
    progress: Callable[[int], None] = lambda entries: None,
) -> Expiry:
    """Delete what the policy no longer covers, or say what would be deleted. Raises ConfigError."""
    _audit_days(config)
    policy = Policy(days_of(config.keep.messages, "config.yaml: keep: messages"))
    marks = store.watermarks()
    processed = min((marks.get(n, 0) for n in range(journal.lanes)), default=0)

    def needed(ids: Sequence[int]) -> list[int]:
        parked = [i for i in ids if (o := store.outcome(i)) is None or o.status == "parked"]
        return sorted({*parked, *store.deliveries.waiting_of(ids)} & set(ids))

    if dry_run:
        return plan(journal, policy, processed=processed, needed=needed, now=now)
    return expire(journal, policy, processed=processed, needed=needed, now=now, progress=progress)


def keep_deliveries(config: Config, store: SqlStore, now: int) -> None:
    """Drop what was sent and answered of deliveries that ended before the policy says. Raises ConfigError."""
    days = days_of(config.keep.deliveries, "config.yaml: keep: deliveries")
    after: int | None = 0 if days is not None else None
    while after is not None and days is not None:
        after = store.deliveries.forget(now - days * 86_400_000, after)


def keep_audit(config: Config, store: SqlStore, who: str, now: int) -> int:
    """Take out audit rows that the policy no longer covers; returns how many. The chain stays provable."""
    days = _audit_days(config)
    return 0 if days is None else store.audit.remove_before(now - days * 86_400_000, who)


def _audit_days(config: Config) -> int | None:
    days = days_of(config.keep.audit, "config.yaml: keep: audit")
    if days is not None and days < AUDIT_LEAST:
        raise ConfigError(
            "the audit must stay 6 years at the least",
            where="config.yaml: keep: audit",
            remedy="write 6 years or more",
        )
    return days


def rotate(keyring: Keyring, journal: SqlJournal) -> tuple[int, int]:
    """Make a new data key current and seal the journal's day keys anew; returns (key number, keys sealed)."""
    number = keyring.rotate()
    return number, journal.keys.seal_anew()
