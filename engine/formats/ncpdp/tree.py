"""A SCRIPT message as plain data, for `hub parse` and the console.

In: a `Script`. Out: a dict that JSON can hold: transaction, header, parties, medications, and every populated
leaf with its XPath and line.
"""

from __future__ import annotations

from typing import Any

from engine.formats.ncpdp.message import Script
from engine.formats.ncpdp.parties import parties
from engine.formats.ncpdp.prescription import fill_status, prescriptions

__all__ = ["to_json"]


def to_json(script: Script) -> dict[str, Any]:
    """Give the tree of a message."""
    answer = script.answer
    return {
        "format": "script",
        "document_type": script.transaction,
        "version": script.version,
        "id": script.id,
        "relates_to": script.relates_to,
        "from": script.sender.code,
        "to": script.receiver.code,
        "sent": script.sent,
        "order_number": script.order_number,
        "reference_number": script.reference_number,
        "test": script.test,
        "answer": {"kind": answer.kind, "codes": [c.code for c in answer.codes]} if answer else None,
        "fill": fill_status(script)[0],
        "charset": script.charset,
        "bytes": len(script.raw),
        "repairs": [repair._asdict() for repair in script.repairs],
        "parties": [{"role": p.role, "place": p.place, "numbers": dict(p.numbers)} for p in parties(script)],
        "medications": [
            {
                "role": m.role,
                "place": m.place,
                "description": m.description,
                "codes": [c._asdict() for c in m.codes],
            }
            for m in prescriptions(script)
        ],
        "leaves": [leaf._asdict() for leaf in script.leaves()],
    }
