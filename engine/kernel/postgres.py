"""Connections to PostgreSQL that notice when the other side is gone, whatever cut them off.

In: a database URL. Out: libpq's words for its sockets, where the URL does not say them itself, and the
same for the server's side of a connection that holds locks: a machine that is cut off, or stands still in
the middle of a transaction, must not keep everybody else from writing (libpq, "Parameter Key Words";
PostgreSQL, "Client Connection Defaults").
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import URL

__all__ = ["NOBODY_WAITS", "release_when_gone", "socket_words"]

NOBODY_WAITS = "set_config('idle_in_transaction_session_timeout', '6s', true)"
"""What a transaction selects before it takes a lock: nobody waits for it longer once its process is gone."""

_WORDS = {
    "connect_timeout": 3,  # seconds for each host
    "tcp_user_timeout": 5000,  # ms in which nobody says that our bytes have arrived
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
}
_SETTINGS = (
    "SET idle_in_transaction_session_timeout = '6s'; SET tcp_keepalives_idle = 2; "
    "SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 2; SET tcp_user_timeout = 4000"
)


def socket_words(url: URL) -> dict[str, Any]:
    """Return the words that a URL does not say itself."""
    return {word: value for word, value in _WORDS.items() if word not in url.query}


def release_when_gone(connection: Any) -> None:
    """Have the server end a transaction of this connection, with its locks, once nobody goes on with it."""
    connection.execute(_SETTINGS)
    connection.commit()
