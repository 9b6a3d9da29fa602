"""A process that appends until it is killed, and says each id only after the journal did: run by the crash
tests.

Arguments: URL, key file, first number, how many (0: until killed), batch size, log limit. One line an answer.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

from journal_samples import oru

from engine.journal.sql import SqlJournal
from engine.kernel.errors import StoreUnavailable
from engine.security.keys import Keyring


def main(url: str, key: str, first: int, count: int, batch: int, log_limit: int) -> None:
    """Append entries `first`, `first` + 1 ... and write `ack ID NUMBER` for each."""
    journal = SqlJournal.open(url, Keyring.open(Path(key), existing_data=True), log_limit=log_limit)
    number, end = first, first + count if count else 1 << 60
    while number < end:
        entries = [oru(n) for n in range(number, min(number + batch, end))]
        try:
            accepted = journal.append(entries)
        except StoreUnavailable as e:
            os.write(1, f"refused {number} {e.why}\n".encode())
            if os.environ.get("DIE_WHEN_REFUSED"):
                os.kill(os.getpid(), signal.SIGKILL)
            time.sleep(0.01)
            continue
        lines = [f"ack {a.id} {n}\n" for n, a in enumerate(accepted, number)]
        os.write(1, "".join(lines).encode())
        number += len(entries)
    journal.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:7]))
