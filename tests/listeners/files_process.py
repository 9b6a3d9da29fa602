"""A files process for tests: `files_process.py FOLDER` watches FOLDER/in, which keeps duplicates."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from engine.journal.sql import SqlJournal
from engine.listeners.file_settings import FolderChannel, FolderSettings
from engine.listeners.polling import PollSettings, run
from engine.security.keys import Keyring


def main(folder: Path) -> None:
    """Take files until SIGTERM; prints the addresses as one JSON line."""
    database = folder / "journal.db"
    keyring = Keyring.open(folder / "keys", existing_data=database.exists())
    settings = FolderSettings(path=Path("in"), stable_for=0, poll=0.01).below(folder)
    run(
        PollSettings(markers=folder / "markers", metrics=folder / "metrics"),
        [FolderChannel(channel="lab", folder=settings, duplicates="flag")],
        lambda: SqlJournal.open(f"sqlite:///{database}", keyring),
        ready=lambda addresses: print(json.dumps(addresses), flush=True),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
