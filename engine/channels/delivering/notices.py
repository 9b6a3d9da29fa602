"""What is told of deliveries after they were sent: mail about Direct messages, from folders.

In: the destinations, the folders that their settings name, where deliveries are kept. Out: a line in the
evidence of the delivery that a mail tells of; one that failed after all is refused, and a person must look.
A mail that has been read lies in `done` below its folder; one that tells of nothing we sent, or does not
count, in `unknown`, for a person. Nothing is deleted.
"""

from __future__ import annotations

import hashlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from engine.channels.delivering.places import Destined
from engine.destinations.direct import Direct
from engine.destinations.direct_notices import Notice, entry_of
from engine.destinations.direct_settings import DirectSettings
from engine.kernel.delivery import Around, Receipt
from engine.kernel.errors import FormatError, HubError, StoreUnavailable, place_of
from engine.store.deliveries import Delivery

__all__ = ["Notices", "Told", "notices_of"]

log = logging.getLogger("hub.deliveries")

SETTLED = 2.0  # seconds without a change after which a file is whole
PATIENCE = 3600.0  # seconds that a notice may be ahead of its delivery
EVERY = 5.0  # seconds between looks
_MOST = 8 << 20  # bytes of a mail
_AT_ONCE = 100


class Told(Protocol):
    """Where deliveries are kept (`engine.store.deliveries`)."""

    def of_entry(self, *entries: int) -> Sequence[Delivery]: ...
    def told(self, number: int, receipt: Receipt, at: int) -> None: ...


class Notices:
    """One folder, and the destinations whose mail comes there."""

    def __init__(
        self,
        folder: Path,
        places: Mapping[str, Callable[[], Direct]],
        outbox: Told,
        clock: Callable[[], int],
        since: Callable[[], float] = time.time,
    ) -> None:
        self._folder, self._places, self._outbox = folder, places, outbox
        self._clock, self._since = clock, since
        self._made: dict[str, Direct] = {}
        self._next = 0.0
        self._missing, self._waits = False, ""

    def step(self) -> bool:
        """Read what has come; return whether anything was read. Raises StoreUnavailable."""
        now = self._since()
        if now < self._next:
            return False
        self._next = now + EVERY
        return sum(self._one(path, age) for path, age in self._mails(now)) > 0

    def _mails(self, now: float) -> list[tuple[Path, float]]:
        """Return whole files, oldest first, with their ages."""
        found = []
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    if entry.name.startswith(".") or not entry.is_file(follow_symlinks=False):
                        continue
                    age = now - entry.stat(follow_symlinks=False).st_mtime
                    if age >= SETTLED:
                        found.append((Path(entry.path), age))
        except OSError as e:
            if not self._missing:
                log.error("%s: notices cannot be read: %s", self._folder, e.strerror or type(e).__name__)
            self._missing = True
            return []
        self._missing = False
        return sorted(found, key=lambda one: -one[1])[:_AT_ONCE]

    def _one(self, path: Path, age: float) -> bool:
        """Read one mail, and put it away unless it may be ahead of its delivery."""
        try:
            with path.open("rb") as file:
                data = file.read(_MOST + 1)
            if len(data) > _MOST:
                raise FormatError("no notice", why="it is larger than 8 MiB")
            read = self._read(data)
        except FormatError as e:
            log.warning("%s: a mail that no delivery is told by: %s", self._folder, e.why or e.what)
            return self._away(path, "unknown")
        except OSError as e:
            log.error("%s: a mail cannot be read: %s", self._folder, e.strerror or type(e).__name__)
            return False
        except StoreUnavailable:
            raise
        except Exception as e:  # a fault of ours: this mail waits for a person, the others are read
            log.error("%s: a mail cannot be read: internal error at %s", self._folder, place_of(e))
            return self._away(path, "unknown")
        if read is None:
            return False
        name, notice = read
        delivery = self._delivery(name, notice)
        if delivery is None:
            return age > PATIENCE and self._away(path, "unknown")
        verdict = "refuse" if notice.kind == "failed" else "sent"
        receipt = Receipt(verdict, notice.why, answer=data, reference=notice.of)  # type: ignore[arg-type]
        self._outbox.told(delivery.id, receipt, self._clock())
        return self._away(path, "done")

    def _read(self, data: bytes) -> tuple[str, Notice] | None:
        """Let the destinations read a mail, until it counts for one; None: not now. Raises FormatError."""
        first, later = None, ""
        for name, make in self._places.items():
            try:
                self._made[name] = self._made.get(name) or make()
                return name, self._made[name].notice(data)
            except FormatError as e:
                first = first or e
            except HubError as e:  # a list that cannot be had, a certificate of ours that cannot be read
                later = str(e)
        if later:
            if later != self._waits:
                log.warning("%s: notices wait: %s", self._folder, later)
            self._waits = later
            return None
        raise first or FormatError("no notice", why="no destination reads mail from here")

    def _delivery(self, name: str, notice: Notice) -> Delivery | None:
        entry = entry_of(notice.of)
        found = self._outbox.of_entry(entry) if entry is not None else ()
        mine = [d for d in found if d.reference == notice.of and d.destination in self._places]
        # a success counts for the recipient who signed it; a failure is told by any of them
        return next((d for d in mine if d.destination == name or notice.kind == "failed"), None)

    def _away(self, path: Path, where: str) -> bool:
        try:
            (self._folder / where).mkdir(exist_ok=True)
            path.replace(self._folder / where / path.name)
        except OSError as e:
            log.error("%s: a mail cannot be put away: %s", self._folder, place_of(e))
            return False
        return True


def notices_of(
    places: Mapping[str, Destined], around: Around, outbox: Told, clock: Callable[[], int]
) -> dict[str, Callable[[], bool]]:
    """Return a step for each folder that destinations name, under a name that a queue can hold."""
    folders: dict[Path, dict[str, Callable[[], Direct]]] = {}
    for place in places.values():
        if isinstance(place.settings, DirectSettings) and place.settings.notices is not None:
            folder = around.root.resolve() / place.settings.notices
            folders.setdefault(folder, {})[place.name] = _maker(place, around)
    steps = {}
    for folder, by in folders.items():
        name = "notices-" + hashlib.sha256(str(folder).encode()).hexdigest()[:12]
        steps[name] = Notices(folder, by, outbox, clock).step
    return steps


def _maker(place: Destined, around: Around) -> Callable[[], Direct]:
    settings = place.settings
    assert isinstance(settings, DirectSettings)
    return lambda: Direct(settings, place.name, around)
