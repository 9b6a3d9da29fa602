"""How far the taking of a file came, over a crash: one small file each, on disk before what it says happens.

In: a file's tag (a digest of its name and bytes; the name itself may be a patient's). Out: from which journal
entry on its messages can stand, and whether all of them do. The journal is the truth of which ones stand: a
file that was begun is compared with it (`files.py`), so nothing is taken twice, whatever the channel says
about duplicates.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from engine.kernel.disk import sync_folder

__all__ = ["Marker", "Markers"]


@dataclass(frozen=True, slots=True)
class Marker:
    """What is known of one file."""

    after: int  # the newest journal entry when it was begun
    finished: bool = False  # every message of it is in the journal
    sound: bool = True  # it goes where taken files go


class Markers:
    """The markers of one channel."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def get(self, tag: str) -> Marker | None:
        """Return a file's marker; None where it was never begun."""
        try:
            return Marker(**json.loads(self._path(tag).read_text("ascii")))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):  # never written so; damaged: compare with the whole journal
            return Marker(0)

    def put(self, tag: str, marker: Marker) -> None:
        """Write a marker; it is on disk when this returns."""
        fresh = self._folder / f"{tag}.new"
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(json.dumps(asdict(marker)))
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, self._path(tag))
        sync_folder(self._folder)

    def clear(self, tag: str) -> None:
        """Forget a file: it has left for good."""
        self._path(tag).unlink(missing_ok=True)

    def clear_all(self) -> None:
        """Forget every file."""
        for path in self._folder.glob("*.json"):
            path.unlink(missing_ok=True)

    def _path(self, tag: str) -> Path:
        return self._folder / f"{tag}.json"
