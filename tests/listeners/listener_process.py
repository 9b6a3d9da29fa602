"""A listener process for tests: `listener_process.py FOLDER CHANNELS-JSON` with a journal in FOLDER."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from pydantic import TypeAdapter

from engine.journal.sql import SqlJournal
from engine.kernel.errors import HubError
from engine.listeners.http_settings import HttpChannel
from engine.listeners.listen import ListenSettings, run
from engine.listeners.mllp_settings import MllpChannel
from engine.security.keys import Keyring


def main(folder: Path, channels: str) -> None:
    """Listen until SIGTERM; prints the addresses as one JSON line."""
    logging.basicConfig(level=logging.WARNING)

    def open_journal() -> SqlJournal:
        database = folder / "journal.db"
        keyring = Keyring.open(folder / "keys", existing_data=database.exists())
        return SqlJournal.open(f"sqlite:///{database}", keyring)

    settings = ListenSettings(
        metrics=folder / "metrics", metrics_seconds=0.1, journal_disk=folder, stop_seconds=3
    )
    try:
        run(
            settings,
            TypeAdapter(list[HttpChannel | MllpChannel]).validate_json(channels),
            open_journal,
            ready=lambda addresses: print(json.dumps(addresses), flush=True),
        )
    except HubError as e:
        print(json.dumps(str(e)), flush=True)
        sys.exit(3)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
