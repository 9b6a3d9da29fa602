"""Transaction sets of any length, one business object at a time: a claim, a payment, a member.

In: the segments of a `Reader`. Out: loops, each with its transaction set, once they are whole; what encloses
a loop (payer, provider, subscriber) is read by its `parent`. Memory is that of one such loop and of what lies
outside them: a 2 GB 835 in a single ST..SE is read like a small one. What enclosed such loops follows them
without them; the last loop of a transaction set is its root, with the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from engine.formats.x12.envelope import Body, Interchange, Transaction, opened
from engine.formats.x12.segments import Segment
from engine.formats.x12.tables import table_for
from engine.formats.x12.walk import Loop, parts

__all__ = ["OBJECTS", "stream"]

OBJECTS = {"837": ("2300",), "835": ("2100",), "834": ("2000",), "820": ("2000A", "2000B")}


def stream(segments: Iterable[Segment]) -> Iterator[tuple[Transaction, Loop] | Interchange]:
    """Give the loops of `OBJECTS`, what enclosed them, and each root; a set without a table gives none."""
    source = opened(segments)
    item = next(source, None)
    while item is not None:
        if isinstance(item, Transaction):
            body = Body(item, source)
            found, _ = table_for(item.set_id, item.guide)
            if found is None:
                for _ in body:
                    pass
            else:
                for loop in parts(body, found, *OBJECTS.get(item.set_id, ())):
                    yield item, loop
            item = body.next
            continue
        if isinstance(item, Interchange):
            yield item
        item = next(source, None)
