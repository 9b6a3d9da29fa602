"""All pages of the console, in one list.

In: the door, what the pages work with. Out: routes. A new page is a module with `add(door)` and its
line here.
"""

from __future__ import annotations

from collections.abc import Callable

from engine.console.door import Door
from engine.console.pages import (
    account,
    admin,
    admin_audit,
    admin_backup,
    admin_keys,
    admin_users,
    alerts,
    bench,
    changes,
    codes,
    codes_lists,
    codes_tables,
    critical,
    deliveries,
    elsewhere,
    find,
    find_keep,
    glass,
    maps,
    message,
    message_edit,
    message_files,
    now,
    orders,
    replay,
    replay_many,
    senders,
    signin,
    studies,
    where,
    work,
    work_release,
)

__all__ = ["PAGES", "add_pages"]

PAGES = (
    admin,
    admin_audit,
    admin_backup,
    admin_keys,
    admin_users,
    changes,
    now,
    alerts,
    critical,
    glass,
    find,
    find_keep,
    work_release,
    work,
    orders,
    deliveries,
    bench,
    maps,
    senders,
    signin,
    elsewhere,
    account,
    message,
    message_edit,
    message_files,
    replay,
    replay_many,
    studies,
    where,
    codes_tables,
    codes_lists,
    codes,
)


def add_pages(door: Door, stopping: Callable[[], bool] = lambda: False) -> None:
    """Add every page."""
    door.stopping = stopping
    for page in PAGES:
        page.add(door)
