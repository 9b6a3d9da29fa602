"""Which lanes this process may write for: taken in the core store, and looked at in every transaction.

In: lanes won or given out by a queue. Out: `LanesLost` where another process has taken one of them since; the
transaction then leaves nothing behind. A worker that was stopped in the middle of a batch, cut off or long in
the collector, and still believes lanes to be its own, is so refused by the store itself (a fencing token: the
number of the hand-over). It costs no statement of its own: the row of `core_clock`, which every transaction
locks and reads anyway, holds the number of the newest hand-over, and only when that has moved are the lanes
looked at again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from engine.kernel.errors import StoreUnavailable
from engine.store.database import Session

__all__ = ["LanesLost", "Owning"]


class LanesLost(StoreUnavailable):
    """Another process works on these lanes now: nothing was written, and nothing is to be parked."""

    def __init__(self, lanes: Collection[int], by: str = "") -> None:
        super().__init__(
            f"{len(lanes)} lanes have been taken over",
            where="core store",
            why=f"by {by}" if by else "",
            remedy="one hub that is not `queue: nats://...` may run on a core store; see "
            "docs/operators/scale.md",
        )
        self.lanes = frozenset(lanes)


class Owning:
    """The lanes of one process, and the hand-over at which it took each."""

    def __init__(self) -> None:
        self.lanes: dict[int, int] = {}
        self._seen = -1  # the newest hand-over that was looked at

    def take(self, session: Session, lanes: Iterable[int], owner: str) -> dict[int, int]:
        """Write down lanes as this process's and return the number of the hand-over for each; `taken` it is
        told once that is committed. Whoever had them is refused from then on.
        """
        session.run("UPDATE core_clock SET handed = handed + 1 WHERE id = 1")
        ((number,),) = session.all("SELECT handed FROM core_clock WHERE id = 1")
        session.insert(
            "lane_owner",
            "lane bigint, handed bigint, owner text",
            [(lane, number, owner) for lane in sorted(lanes)],
            "ON CONFLICT (lane) DO UPDATE SET handed = excluded.handed, owner = excluded.owner",
        )
        return dict.fromkeys(lanes, int(number))

    def taken(self, lanes: dict[int, int]) -> None:
        """Hear that a hand-over is committed."""
        self.lanes |= lanes
        self._seen = -1

    def leave(self, lanes: Iterable[int]) -> None:
        """Write for these lanes no more."""
        for lane in lanes:
            self.lanes.pop(lane, None)

    def check(self, session: Session, handed: int) -> None:
        """Refuse the transaction where a lane is not this process's any more; the write lock is held."""
        if handed == self._seen or not self.lanes:
            return
        found = {
            lane: (number, owner)
            for lane, number, owner in session.all("SELECT lane, handed, owner FROM lane_owner")
        }
        lost = [lane for lane, number in self.lanes.items() if found.get(lane, (0, ""))[0] != number]
        self.leave(lost)
        if lost:
            raise LanesLost(lost, found.get(lost[0], (0, "nobody"))[1])
        self._seen = handed
