"""Which patients a message is about, from its raw bytes: the keys that keep one patient's messages in order.

In: the bytes of one message and the name of the sender's own assigning authority. Out: `authority|value` for
every identifier in PID-3 and MRG-1 (CX: HL7 v2.5.1 ch. 2A.14, 3.4.2.3, 3.4.10.1), each once, in the order of
the message. Where a segment marks medical record numbers (CX-5 = MR) only those count. Nothing is parsed and
nothing raised: a listener does this before it answers. Wrong here means only that two messages run side by
side or one after the other without need; identity itself is decided by the maps.
"""

from __future__ import annotations

__all__ = ["field_keys", "order_keys"]

_LINE_ENDS = (10, 13)
_FIELDS = {b"PID": 3, b"MRG": 1}
_LONGEST = 250  # an identifier longer than this is a damaged segment


def order_keys(data: bytes, authority: str = "") -> tuple[str, ...]:
    """Return the ordering keys of one message; empty where it names no patient.

    `authority` stands in where CX-4 is empty; without it the numbers are private to MSH-3 and MSH-4.
    """
    start = data.find(b"MSH", 0, 4096)
    if start < 0 or len(data) < start + 8:
        return _wide(data, authority)
    fs, cs, rs = data[start + 3 : start + 4], data[start + 4 : start + 5], data[start + 5 : start + 6]
    keys: dict[str, None] = {}
    own = b""
    for name, number in _FIELDS.items():
        mark = name + fs
        at = data.find(mark)
        while at >= 0:
            if at and data[at - 1] in _LINE_ENDS:
                fields = data[at : _line_end(data, at)].split(fs, number + 1)
                if len(fields) > number and fields[number]:
                    own = own or authority.encode() or _private(data, start, fs)
                    for key in _identifiers(fields[number], cs, rs, data[start + 7 : start + 8], own):
                        keys[key] = None
            at = data.find(mark, at + 4)
    return tuple(keys)


def field_keys(data: bytes, segment: str, field: int, component: int = 1) -> tuple[str, ...]:
    """Return `SEG-F.C|value` for every value of one field, over all repetitions of its segment, each once.

    Nothing is raised and nothing unescaped; the header (MSH) has no such fields.
    """
    start = data.find(b"MSH", 0, 4096)
    if start < 0 or len(data) < start + 8:
        narrow = data.replace(b"\0", b"")
        wide = len(narrow) < len(data) and b"MSH" in narrow[:2048]
        return field_keys(narrow, segment, field, component) if wide else ()
    fs, cs, rs, ss = (data[start + n : start + n + 1] for n in (3, 4, 5, 7))
    mark = segment.encode() + fs
    keys: dict[str, None] = {}
    at = data.find(mark, start)
    while at >= 0:
        if at and data[at - 1] in _LINE_ENDS:
            fields = data[at : _line_end(data, at)].split(fs, field + 1)
            for repetition in fields[field].split(rs) if len(fields) > field else ():
                parts = repetition.split(cs)
                value = parts[component - 1].partition(ss)[0].strip() if len(parts) >= component else b""
                if value and value != b'""' and len(value) <= _LONGEST:
                    keys[f"{segment}-{field}.{component}|{value.decode('latin-1')}"] = None
        at = data.find(mark, at + 4)
    return tuple(keys)


def _line_end(data: bytes, at: int) -> int:
    end = data.find(b"\r", at)
    if end < 0:
        end = len(data)
    feed = data.find(b"\n", at, end)
    return feed if feed >= 0 else end


def _identifiers(field: bytes, cs: bytes, rs: bytes, ss: bytes, own: bytes) -> list[str]:
    """Return the keys of one PID-3 or MRG-1."""
    records: list[str] = []
    others: list[str] = []
    for repetition in field.split(rs):
        parts = repetition.split(cs, 5)
        value = parts[0].strip()
        if not value or value == b'""' or len(value) > _LONGEST:
            continue
        place = own
        if len(parts) > 3 and parts[3]:
            namespace, _, rest = parts[3].partition(ss)
            place = namespace.strip() or rest.partition(ss)[0].strip() or own
            if place == b'""':
                place = own
        key = (place + b"|" + value).decode("latin-1")  # any byte; only sameness counts
        if len(parts) > 4 and parts[4].strip() == b"MR":
            records.append(key)
        else:
            others.append(key)
    return records or others


def _private(data: bytes, start: int, fs: bytes) -> bytes:
    """Name a namespace that only this sender has."""
    fields = data[start : _line_end(data, start)].split(fs, 4)
    return b"private:" + b"|".join(fields[2:4])


def _wide(data: bytes, authority: str) -> tuple[str, ...]:
    """Read a message in UTF-16, where every second byte is NUL, as far as it is ASCII."""
    narrow = data.replace(b"\0", b"")
    return order_keys(narrow, authority) if len(narrow) < len(data) and b"MSH" in narrow[:2048] else ()
