"""A hub whose results go into a notebook, the queue that takes them there, and the clock of both."""

from __future__ import annotations

from hub_project import Hub
from notebook import Notebook

from engine.channels.delivering.parcels import Parcels
from engine.channels.delivering.places import destinations_of
from engine.channels.delivering.sending import Sending

__all__ = ["PLACE", "Bench"]

PLACE = "lab_oru.book"


class Bench:
    """A hub whose results go into a notebook, and the clock by which they do."""

    def __init__(self, hub: Hub, book: Notebook) -> None:
        self.hub, self.book, self.now = hub, book, 1_000_000
        self.outbox = hub.store.deliveries
        self.again()

    def again(self, outbox: object = None) -> Sending:
        """Start the queue as after a crash."""
        places = destinations_of(self.hub.config, self.hub.channels)
        place = places["lab_oru.book"]
        parcels = Parcels(self.hub.root, "urn:hub:own", self.hub.keyring, self.hub.journal, self.hub.store)
        self.sending = Sending(
            *(place, [self.book], outbox or self.outbox, parcels.make, lambda: self.now, lambda: 0.0)  # type: ignore[arg-type]
        )
        return self.sending

    def take(self, control: str, patient: str = "100234") -> int:
        mine = {"ORD1^": f"ORD{patient}^", "LAB1^": f"LAB{patient}^", "V7001^": f"V{patient}^"}
        return self.hub.take("lab_oru", "lab/oru_potassium", {"LAB0001": control, "100234": patient, **mine})

    def states(self) -> list[tuple[str, int, str]]:
        got = [one for entry in range(1, self.hub.journal.head() + 1) for one in self.outbox.of_entry(entry)]
        return [(one.status, one.tries, one.why) for one in {o.id: o for o in got}.values()]
