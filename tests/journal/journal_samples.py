"""Messages of invented patients for the journal's tests."""

from __future__ import annotations

from engine.kernel.message import NewEntry

NOW = 1_790_000_000_000  # 2026-09-21
DAY = 86_400_000


def oru(n: int, *, value: str = "4.1", **more: object) -> NewEntry:
    """Return a small result message of an invented patient; `n` is its control id."""
    body = (
        f"MSH|^~\\&|LAB|NORTH|EHR|HOSP|20260921101500||ORU^R01^ORU_R01|C{n}|P|2.5.1\r"
        f"PID|1||MRN{n:06}^^^NORTH^MR||TESTERMANN^QUIRINA||19610704|F\r"
        f"OBR|1|ORDER{n}|FILL{n}|2823-3^Potassium^LN\r"
        f"OBX|1|NM|2823-3^Potassium^LN||{value}|mmol/L|3.5-5.1|N|||F\r"
    )
    fields: dict[str, object] = {
        "channel": "lab",
        "body": body.encode(),
        "received": NOW + n,
        "sender": "LAB|NORTH",
        "peer": "10.1.2.3:40000",
        "control_id": f"C{n}",
        "message_type": "ORU^R01^ORU_R01",
        "charset": "UNICODE UTF-8",
        "order_keys": (f"NORTH|MRN{n:06}",),
    }
    return NewEntry(**(fields | more))  # type: ignore[arg-type]
