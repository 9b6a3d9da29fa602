"""Everybody outside: senders, somebody who asks for replays, somebody who looks after what goes out.

In: the world. Out: functions that run in processes of the schedule. A sender sends one message after the
other, each until it is acknowledged. What ann and ben do they do with the calls of the pages and commands.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from engine.channels.replay import ask_replay, ask_replays
from engine.kernel.errors import HubError, StoreUnavailable

from .schedule import CALM, Broken, Process, Schedule

if TYPE_CHECKING:
    from .world import World


class People:
    """Of one run."""

    def __init__(self, world: World, r: random.Random) -> None:
        self._world, self._schedule, self._random = world, world.schedule, r
        self.sent: dict[str, bytes] = {}
        self.busy = 0

    def start(self) -> None:
        """Let everybody come."""
        s, r = self._schedule, self._random
        patients = [f"{n}^^^NORTH^MR" for n in range(1, r.randint(2, 6))]
        merges = r.choice((0.1, 0.3, 0.7))
        senders = r.randint(1, 3)
        self.busy = senders + 1
        for n in range(senders):
            messages = [self._message(f"S{n}", f"S{n}-{k}", patients, merges) for k in range(r.randint(2, 6))]
            s.start(f"sender-{n}", lambda m=messages: self._send(m))
        s.start("ann", self._replay)
        s.start("ben", self._act)

    # -- senders ------------------------------------------------------------

    def _message(self, sender: str, control_id: str, patients: list[str], merges: float) -> bytes:
        r = self._random
        merge = len(patients) > 1 and r.random() < merges
        one, other = r.sample(patients, 2) if len(patients) > 1 else (patients[0], "")
        kind = "ADT^A40" if merge else "ORU^R01"
        rest = f"MRG|{other}" if merge else f"OBX|1|ST|{r.randint(1, 3)}||{control_id}||||||F"
        text = (
            f"MSH|^~\\&|{sender}|NORTH|HUB|CDR|20260101||{kind}|{control_id}|P|2.5.1\rPID|1||{one}\r{rest}\r"
        )
        self.sent[control_id] = text.encode()
        return text.encode()

    def _send(self, messages: list[bytes]) -> None:
        """A sender: one message after the other, each until it is acknowledged."""
        s = self._schedule
        s.sleep(s.random.randint(0, 3000))
        for frame in messages:
            self._until_answered(frame)
            s.sleep(s.random.randint(0, 1500))
        self.busy -= 1

    def _until_answered(self, frame: bytes) -> None:
        s = self._schedule
        control_id = frame.split(b"|")[9].decode()
        line = Line(s, s.me)
        while True:
            line.acks.clear()
            line.open = True
            s.random.choice(self._world.nodes.listening).append((line, frame))
            s.sleep(s.random.choice((400, 3000)))
            line.open = False
            if any(ack.split(b"\rMSA|")[1].startswith(b"AA|" + control_id.encode()) for ack in line.acks):
                break
            line = Line(s, s.me)
            s.note(f"sends {control_id} again")
        s.note(f"has the answer to {control_id}")
        self._world.judge.answered(control_id, frame)

    # -- ann ----------------------------------------------------------------

    def _replay(self) -> None:
        """Somebody who asks for replays while all goes on."""
        s = self._schedule
        journal = self._world.journal.side(s)
        for _ in range(s.random.randint(0, 4)):
            s.sleep(s.random.randint(500, 6000))
            there = len(self._world.journal.entries)
            if not there:
                continue
            try:
                if s.random.random() < 0.5:
                    self._world.maps.revision += 1
                    s.note(f"has mended the map: r{self._world.maps.revision}")
                if s.random.random() < 0.5:
                    ask_replay(journal, s.random.randint(1, there), "ann", "to see")
                else:
                    many = s.random.sample(range(1, there + 1), min(there, 3))
                    ask_replays(journal, many, "ann", "the map was mended")
            except StoreUnavailable:
                s.note("could not ask")
            except HubError as e:
                raise Broken(f"a replay was refused: {e}") from None
        self.busy -= 1

    # -- ben ----------------------------------------------------------------

    def _act(self) -> None:
        """Somebody who stops destinations, skips and sends again; in the end nothing waits for him."""
        s, world = self._schedule, self._world
        desk = world.core.side(s).deliveries
        while s.now < CALM:
            s.sleep(s.random.randint(100, 1500))
            if s.random.random() < s.faults.acts:
                try:
                    self._one_act(desk)
                except StoreUnavailable:
                    s.note("could not do it")
        while True:
            try:
                for name in world.places:
                    desk.set_state(name, "open", "", world.time(), by_hand=True)
                waits = [
                    d.id
                    for name in world.places
                    for w in ("parked", "refused")
                    for d in self._see(desk, name, w)
                ]
                if waits:
                    s.note(f"sends {[n >> 12 for n in waits]} again")
                    desk.send_again(waits)
            except StoreUnavailable:
                s.note("could not do it")
            s.sleep(5000)

    def _see(self, desk: Any, name: str, status: str) -> list[Any]:
        found: list[Any] = desk.listed(name, status, None, 50)
        return found

    def _one_act(self, desk: Any) -> None:
        s, world = self._schedule, self._world
        name = s.random.choice(sorted(world.places))
        what = s.random.choice(("stop", "open", "open", "skip", "again", "again", "as new"))
        if what in ("stop", "open"):
            s.note(f"{what}s {name}")
            state = "stopped" if what == "stop" else "open"
            desk.set_state(name, state, "for a while" if what == "stop" else "", world.time(), by_hand=True)
            if what == "stop" and world.core.states.get(name) != "stopped":
                raise Broken(f"{name} was stopped, and is not")
            return
        status = s.random.choice(
            ("pending", "pending", "parked", "refused") + ("sent", "skipped") * (what != "skip")
        )
        found = self._see(desk, name, status)
        if not found:
            return
        one = s.random.choice(found)
        s.note(f"{what}: {name} {one.id >> 12}, {status}")
        if what == "skip":
            desk.skip([one.id], "skipped by ben")
        else:
            desk.send_again([one.id], what == "as new")


class Line:
    """A sender's connection, as the intake knows it."""

    peer = "10.0.0.1"

    def __init__(self, schedule: Schedule, sender: Process) -> None:
        self._schedule, self._sender = schedule, sender
        self.acks: list[bytes] = []
        self.open = True

    def answer(self, acks: list[bytes], frames: int) -> None:
        if self.open:
            self.acks += acks
            self._schedule.wake(self._sender)

    def abandon(self) -> None:
        if self.open:
            self._schedule.wake(self._sender)

    def hold(self, on: bool) -> None: ...

    def stop(self, reason: str) -> None:
        raise Broken(reason)
