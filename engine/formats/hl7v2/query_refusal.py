"""The refusal of a query in the form that who asked can read: not a bare ACK, but the response with no data.

In: the ACK that rejects a query, and the query. Out: for a query by parameter (QBP, QVR, QSB: QPD, HL7 v2.5.1
ch. 5.4, 5.5.4, 5.5.6) a response message with MSA, ERR, QAK (status AR) and the QPD sent back; for an older
query (QRY and the like: QRD) the ACK as it is, which ch. 2.9.2 allows for a rejection. Nothing is parsed and
nothing raised.
"""

from __future__ import annotations

import re

__all__ = ["query_refusal"]

_QPD = re.compile(rb"[\r\n](QPD[^\r\n]*)")
_TYPE = re.compile(rb"Q(?:BP|VR|SB).Q(\d\d)(?!\w)")
_RESPONSES = {b"13": b"RTB", b"15": b"RDY"}  # tabular and display responses; all others are RSP


def query_refusal(ack: bytes, query: bytes) -> bytes:
    """Return the answer to a query that `ack` (AR or AE in MSA-1) rejects."""
    found = _QPD.search(query)
    separator = ack[3:4]
    header, _, rest = ack.partition(b"\r")
    fields = header.split(separator)
    code = rest.split(separator, 2)[1] if rest.startswith(b"MSA" + separator) else b""
    asked = query.partition(b"\r")[0].split(separator)
    kind = _TYPE.match(asked[8]) if len(asked) > 8 else None
    if found is None or kind is None or code not in (b"AR", b"AE") or len(fields) < 9:
        return ack
    component = ack[4:5]
    name, event = _RESPONSES.get(kind[1], b"RSP"), b"K" + kind[1]
    fields[8] = component.join((name, event, name + b"_" + event))
    qpd = found[1].split(separator)
    tag = qpd[2] if len(qpd) > 2 else b""
    qak = separator.join((b"QAK", tag, code, qpd[1] if len(qpd) > 1 else b"")).rstrip(separator)
    return separator.join(fields) + b"\r" + rest + qak + b"\r" + found[1] + b"\r"
