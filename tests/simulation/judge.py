"""What must be so, looked at in every commit and at the end of a run.

1. What was acknowledged is in the journal, and is worked off once.
2. Entries of a lane are worked off in their order; whoever has an outcome stands behind all earlier ones.
3. A mark never passes an entry that has none.
4. Older never overwrites newer, and the end is what the entries say in the order of their positions.
5. Who has lost a lane writes nothing for it.
6. Every delivery reaches its destination under one key, in the order of its patient.
7. All ends once nothing goes wrong any more.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from engine.kernel.message import Work

from .schedule import Broken

if TYPE_CHECKING:
    from .world import World


class Judge:
    """Of one run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._worked: dict[int, int] = {}  # lane -> how many of its entries have an outcome
        self.acknowledged: set[str] = set()

    # -- while it runs ------------------------------------------------------

    def answered(self, control_id: str, body: bytes) -> None:
        """A sender was told that its message is safe."""
        if not any(e.body == body for e in self._world.journal.by_control_id(control_id)):
            raise Broken(f"{control_id} is acknowledged and not in the journal")
        self.acknowledged.add(control_id)

    def worked(self, work: Work, owner: str, lanes: Collection[int], again: bool) -> None:
        """A transaction writes down what became of an entry."""
        world = self._world
        if work.entry in world.core.outcomes:
            if not again:
                raise Broken(f"entry {work.entry} is worked off twice")
            world.reruns.add(work.entry)
            return
        for lane in work.lanes:
            at = self._worked.get(lane, 0)
            first = world.journal.lanes_in[lane][at] if at < len(world.journal.lanes_in[lane]) else 0
            if first != work.entry:
                raise Broken(f"entry {work.entry} is worked off before {first}, which shares lane {lane}")
            self._worked[lane] = at + 1
        home = min(work.lanes)
        holder = world.core.owners.get(home, (0, "nobody"))[1]
        if holder != owner or home not in lanes:
            raise Broken(f"entry {work.entry} is written by {owner or 'nobody'}; {holder} has lane {home}")

    def marked(self, lane: int, mark: int) -> None:
        """A lane's mark was moved."""
        entries = self._world.journal.lanes_in[lane]
        at = self._worked.get(lane, 0)
        if at < len(entries) and entries[at] <= mark:
            raise Broken(f"the mark of lane {lane} goes to {mark} and passes {entries[at]}")

    def wrote(self, name: tuple[str, str], work: Work, before: int) -> None:
        """A resource was written."""
        if work.position < before:
            raise Broken(f"{'/'.join(name)}: position {work.position} overwrites {before}")

    # -- at the end ---------------------------------------------------------

    def finish(self) -> None:
        """Look at what is there when all has ended."""
        world = self._world
        for control_id in world.sent:
            if control_id not in self.acknowledged:
                raise Broken(f"{control_id} was never acknowledged")
            if len(world.journal.by_control_id(control_id)) != 1:
                raise Broken(f"{control_id} stands in the journal more than once")
        for entry in world.journal.entries:
            if world.core.outcomes[entry.id].status != "done":
                raise Broken(f"entry {entry.id} is {world.core.outcomes[entry.id].status}")
        self._resources()
        self._deliveries()

    def _resources(self) -> None:
        world = self._world
        said: dict[tuple[str, str], tuple[int, str]] = {}
        for entry in world.journal.entries:
            for draft in world.maps.drafts(entry):
                name = draft.type, draft.id
                if entry.position >= said.get(name, (-1, ""))[0]:
                    said[name] = entry.position, draft.body["value"]
        there = {name: (one.position, one.value) for name, one in world.core.resources.items()}
        for name in said.keys() | there.keys():
            if said.get(name) != there.get(name):
                raise Broken(f"{'/'.join(name)} says {there.get(name)} and should say {said.get(name)}")
        for name, one in world.core.resources.items():
            entries = [entry for entry, _ in one.versions if entry not in world.reruns]
            if len(entries) != len(set(entries)):
                raise Broken(f"{'/'.join(name)} was written twice by one entry")

    def _deliveries(self) -> None:
        world = self._world
        for name, peer in world.peers.items():
            rows = {world.key_of(d): d for d in world.core.outbox.rows.values() if d.destination == name}
            wanted = {e.position for e in world.journal.entries} if name == "archive" else None
            if wanted is not None and {d.id >> 12 for d in rows.values()} != wanted:
                raise Broken(f"{name}: there are not deliveries of all entries, each once")
            for key, delivery in rows.items():
                empty = name == "copy" and not world.core.written.get(delivery.entry)
                if delivery.status != "sent" or (key not in peer.taken and not empty):
                    raise Broken(
                        f"{name}: {key} is {delivery.status} and was{' not' * (key not in peer.taken)} taken"
                    )
            if strange := set(peer.taken) - set(rows):
                raise Broken(f"{name}: took {sorted(strange)[0]}, which is no delivery's key")
            last: dict[int, int] = {}
            for key in peer.order if name == "archive" else ():
                for patient in rows[key].keys:
                    if rows[key].id < last.get(patient, 0):
                        raise Broken(f"{name}: took {key} after a later message of the same patient")
                    last[patient] = rows[key].id
        for name, value in world.peers["copy"].says.items():
            if value != world.core.resources[name].value:
                raise Broken(f"the copy of {'/'.join(name)} says {value}, the core store something newer")
