"""What must be so, looked at in every commit and at the end of a run.

1. What was acknowledged is in the journal, and is worked off once.
2. Entries of a lane are worked off in their order; whoever has an outcome stands behind all earlier ones.
3. A mark never passes an entry that has none.
4. Older never overwrites newer, and the end is what the entries say in the order of their positions.
5. Who has lost a lane writes nothing for it.
6. Every delivery reaches its destination under one key, in the order of its patient; under one key always
   comes the same. What a person put back himself may come late, what he skipped may not come at all.
7. What a person decided stays: nobody else lets go what he skipped, or sends it as new.
8. All ends once nothing goes wrong any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.channels.delivering.turn import LEFT
from engine.kernel.delivery import Receipt
from engine.kernel.message import Work
from engine.store.deliveries import Delivery

from .core import Resource
from .schedule import Broken

if TYPE_CHECKING:
    from .world import World


class Judge:
    """Of one run."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._worked: dict[int, int] = {}  # lane -> how many of its entries have an outcome
        self._said: dict[int, str] = {}  # position -> the maps under which it was worked off last
        self.acknowledged: set[str] = set()
        self._turn: dict[str, tuple[int, str]] = {}  # destination -> since when, whose
        self._under_way: dict[str, dict[str, int]] = {}  # destination -> who may still send, until when
        self.stopped: dict[str, int] = {}  # destination -> since when
        self.hears: list[tuple[int, str]] = []  # (delivery, why): what was told later, and written down
        self.loose: set[int] = set()  # deliveries that a person put back, whose order nobody promises

    # -- while it runs ------------------------------------------------------

    def answered(self, control_id: str, body: bytes) -> None:
        """A sender was told that its message is safe."""
        if not any(e.body == body for e in self._world.journal.by_control_id(control_id)):
            raise Broken(f"{control_id} is acknowledged and not in the journal")
        self.acknowledged.add(control_id)

    def worked(self, work: Work, owner: str, lanes: Collection[int], again: bool) -> None:
        """A transaction writes down what became of an entry."""
        world = self._world
        self._said[work.position] = work.revision
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

    def turned(self, before: Delivery | None, now: Delivery | None) -> None:
        """A delivery was changed."""
        if before is None:
            return
        what = f"{before.destination}: {before.id >> 12}"
        if now is None:
            raise Broken(f"{what} is gone")
        by_hand = self._world.schedule.running and self._world.schedule.me.name == "ben"
        if now.round < before.round or now.anew < before.anew:
            raise Broken(f"{what} goes back to round {now.round} from {before.round}")
        if before.status == "skipped" and now.status != "skipped" and not by_hand:
            raise Broken(f"{what} was skipped, and is {now.status} again")
        if now.status == "skipped" and before.status != "skipped" and not by_hand:
            raise Broken(f"{what} is skipped by nobody")
        if now.anew != before.anew and not by_hand:
            raise Broken(f"{what} is sent as new, and nobody asked for it")
        if now.status == "refused" or (by_hand and before.status in ("sent", "skipped")) or now.anew:
            self.loose.add(now.id)

    def state(self, name: str, before: str, now: str) -> None:
        """A destination was stopped, opened, or found to be down."""
        s = self._world.schedule
        if before == "stopped" and now != "stopped" and s.me.name != "ben":
            raise Broken(f"{name} was stopped by a person, and is {now} now")
        if now == "stopped" and before != "stopped":
            self.stopped[name] = s.now
        elif now != "stopped":
            self.stopped.pop(name, None)

    def tried(self, name: str) -> None:
        """A parcel is about to reach a destination."""
        s = self._world.schedule
        if self.stopped.get(name, s.now) < s.me.began:
            raise Broken(f"{name} gets something in a round that began after it was stopped")
        since, holder = self._turn.get(name, (0, s.me.name))
        if holder != s.me.name and s.me.looked.get(name, 0) > since:
            raise Broken(f"{name} gets something from {s.me.name}, which saw that {holder} has the turn")
        for other, until in self._under_way.get(name, {}).items():
            if other != s.me.name and s.now < until and not self._world.skew:
                raise Broken(f"{name}: {s.me.name} does not wait for what {other} may have under way")

    def handed(self, name: str, before: str, holder: str) -> None:
        """A turn at a destination was taken or given back."""
        s = self._world.schedule
        had = before.partition("/")[0]
        s.note(f"the turn at {name} goes from {before or 'nobody'} to {holder or 'nobody'}")
        under_way = self._under_way.setdefault(name, {})
        if holder:
            self._turn[name] = s.now, holder.partition("/")[0]
            if had and had != s.me.name:
                under_way[had] = s.me.began + LEFT
        elif had != s.me.name:
            raise Broken(f"{name}: {s.me.name} gives back the turn of {had}")
        else:
            under_way.pop(had, None)

    def told(self, before: Delivery, receipt: Receipt) -> None:
        """What another system told of a delivery was written down."""
        self.hears.append((before.id, receipt.why))
        now = self._world.core.rows[before.id]
        same = now.round == before.round and now.status == before.status
        if receipt.verdict == "refuse" and same and now.status == "sent":
            raise Broken(f"{now.destination}: {now.id >> 12} was refused later, and nobody sees it")

    # -- at the end ---------------------------------------------------------

    def finish(self) -> None:
        """Look at what is there when all has ended."""
        world = self._world
        for control_id in world.people.sent:
            if control_id not in self.acknowledged:
                raise Broken(f"{control_id} was never acknowledged")
            if len(world.journal.by_control_id(control_id)) != 1:
                raise Broken(f"{control_id} stands in the journal more than once")
        for entry in world.journal.entries:
            if world.core.outcomes[entry.id].status != "done":
                raise Broken(f"entry {entry.id} is {world.core.outcomes[entry.id].status}")
        resources = world.core.resources
        self._resources(resources)
        self._deliveries()
        self._copies(resources)
        self._evidence(world.core.tries)

    def _resources(self, resources: Mapping[tuple[str, str], Resource]) -> None:
        world = self._world
        said: dict[tuple[str, str], tuple[int, str]] = {}
        for entry in world.journal.entries:
            for draft in world.maps.drafts(entry, self._said[entry.position]):
                name = draft.type, draft.id
                if entry.position >= said.get(name, (-1, ""))[0]:
                    said[name] = entry.position, draft.body["value"]
        there = {name: (one.position, one.value) for name, one in resources.items()}
        for name in said.keys() | there.keys():
            if said.get(name) != there.get(name):
                raise Broken(f"{'/'.join(name)} says {there.get(name)} and should say {said.get(name)}")
        for name, one in resources.items():
            entries = [entry for entry, _ in one.versions if entry not in world.reruns]
            if len(entries) != len(set(entries)):
                raise Broken(f"{'/'.join(name)} was written twice by one entry")

    def _deliveries(self) -> None:
        world = self._world
        written = world.core.written
        for name, peer in world.peers.items():
            rows = {world.key_of(d): d for d in world.core.rows.values() if d.destination == name}
            positions = {e.position for e in world.journal.entries}
            if {d.id >> 12 for d in rows.values() if name != "copy"} - positions:
                raise Broken(f"{name}: there are deliveries of no entry")
            if name != "copy" and len(rows) != len(positions):
                raise Broken(f"{name}: there are not deliveries of all entries, each once")
            for key, delivery in rows.items():
                empty = name != "archive" and delivery.entry not in written
                taken = key in peer.taken or delivery.status == "skipped" or empty
                if delivery.status not in ("sent", "skipped") or not taken:
                    raise Broken(f"{name}: {key} is {delivery.status} and was{' not' * (not taken)} taken")
            known = {key for d in rows.values() for key in self._keys(d)}
            if strange := set(peer.taken) - known:
                raise Broken(f"{name}: took {sorted(strange)[0]}, which is no delivery's key")
            if name != "copy":
                self._order(name, peer.order, rows)

    def _copies(self, resources: Mapping[tuple[str, str], Resource]) -> None:
        world = self._world
        skipped = {d.entry for d in world.core.rows.values() if d.status == "skipped"}
        for name, value in world.peers["copy"].says.items():
            one = resources[name]
            if value != one.value and not skipped & {entry for entry, _ in one.versions}:
                raise Broken(f"the copy of {'/'.join(name)} says {value}, the core store something newer")

    def _evidence(self, tries: Mapping[int, Sequence[tuple[str, str]]] | None) -> None:
        """Of everything that was sent stands there that it was, and of what was told later what, once."""
        if tries is None:
            return
        for number, delivery in self._world.core.rows.items():
            what = f"{delivery.destination}: {number >> 12}"
            if delivery.status == "sent" and "sent" not in [verdict for verdict, _ in tries[number]]:
                raise Broken(f"{what} is sent, and no try says so")
            told = [one for one in tries[number] if one[0] == "told"]
            if len(told) != len(set(told)):
                raise Broken(f"{what}: what was told later stands there twice")
        for number, why in self.hears:
            if ("told", why) not in tries[number]:
                raise Broken(f"{number >> 12}: nobody sees what was told of it later: {why}")

    def _keys(self, delivery: Delivery) -> list[str]:
        """Return the keys that a delivery had, one after the other."""
        return [self._world.key_of(replace(delivery, anew=n)) for n in range(delivery.anew + 1)]

    def _order(self, name: str, order: list[str], rows: dict[str, Delivery]) -> None:
        last: dict[int, int] = {}
        for key in order:
            row = rows.get(key)
            if row is None or row.id in self.loose or row.status == "skipped":
                continue
            for patient in row.keys:
                if row.id < last.get(patient, 0):
                    raise Broken(f"{name}: took {key} after a later message of the same patient")
                last[patient] = row.id
