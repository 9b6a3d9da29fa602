"""Nothing the server wrote names a patient: not plainly, not after inflating or decoding what can be, and the
search keys do not give way to a dictionary without the data key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import io
import re
import socket
import sqlite3
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import zstandard
from hub_process import Hub, send
from system_messages import AUTHORITY, admit, merge, result

FAMILY, GIVEN, MRN, BORN = "Quendelbrooks", "Ada", "7391846250", "19620317"
WORDS = [FAMILY, MRN, BORN, "1962-03-17", "9 Larkspur Way"]
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{12,}={0,2}")


def forms(data: bytes, depth: int = 2) -> Iterator[bytes]:
    """Give the bytes themselves and everything that can be inflated or decoded out of them."""
    yield data
    if not depth:
        return
    for match in re.finditer(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08|\x28\xb5\x2f\xfd", data):
        piece = data[match.start() : match.start() + (1 << 20)]
        made = b""
        try:
            if piece[:1] == b"\x28":
                made = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(piece)).read(1 << 20)
            else:
                made = zlib.decompressobj(47).decompress(piece, 1 << 20)
        except (zlib.error, zstandard.ZstdError):
            continue
        yield from forms(made, depth - 1)
    for match in _BASE64.finditer(data):
        text = match[0].replace(b"-", b"+").replace(b"_", b"/").rstrip(b"=")
        for shift in range(4):  # it may begin anywhere in a longer run of letters
            part = text[shift:]
            try:
                made = base64.b64decode(part[: len(part) // 4 * 4])
            except binascii.Error:
                continue
            yield from forms(made, depth - 1)


def named(data: bytes) -> set[str]:
    """Return which words about the patient are in there, in any of the usual encodings and cases."""
    found = set()
    for form in forms(data):
        small = form.lower()
        for word in WORDS:
            if any(word.lower().encode(e) in small for e in ("utf-8", "utf-16-le", "utf-16-be")):
                found.add(word)
    return found


def test_the_search_itself_finds_what_is_hidden() -> None:
    plain = f"xx {FAMILY.upper()} {MRN}".encode()
    assert named(plain) == {FAMILY, MRN}
    assert named(b"\0" * 99 + zlib.compress(plain) + b"\0" * 9) == {FAMILY, MRN}
    assert named(b"junk" + zstandard.compress(base64.b64encode(plain))) == {FAMILY, MRN}
    assert named(b"words" + base64.b64encode(plain) + b" words") == {FAMILY, MRN}
    assert named(b"nothing here") == set()


def test_no_file_names_the_patient(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    hub.start()
    adt, lab = hub.ports["adt"], hub.ports["lab_oru"]
    person = {"family": FAMILY, "born": BORN}
    here = admit("V1", MRN, FAMILY, street="9 Larkspur Way").replace(b"19800214", BORN.encode())
    assert send(adt, here) == ["AA"]
    assert send(lab, result(f"V{MRN}", MRN, 4, **person)) == ["AA"]  # a control id that gives it away
    parked = result("V3", MRN, 4, family="Somebodyelse", born="19990101")
    assert send(lab, parked) == ["AA"]  # another birth date: parked, with its cause
    unmapped = result("V4", MRN, 4, **person).replace(b"2823-3^Potassium", f"{FAMILY}^{MRN}".encode())
    assert send(lab, unmapped) == ["AA"]
    assert send(adt, merge("V5", "8" + MRN, MRN, FAMILY)) == ["AA"]
    refused = result("V6", MRN, 4, **person).replace(b"ORU^R01^ORU_R01", b"BAR^P01^BAR_P01")
    assert send(lab, refused) != ["AA"]
    assert send(lab, f"{FAMILY} {MRN} is no message".encode()) == ["AR"]
    with socket.create_connection(("127.0.0.1", lab)) as wrong:
        wrong.sendall(f"GET /{FAMILY}?{MRN} HTTP/1.1\r\n\r\n".encode())
    hub.drained()
    with hub.inside() as (_, store):
        assert {o.status for o in store.outcomes()} == {"done", "parked"}
        assert store.find("patient", MRN) and store.find("name", FAMILY.casefold())
    hub.kill()  # the logs of the databases are still there
    files = [p for p in [hub.log, *hub.config.data_dir.rglob("*")] if p.is_file()]
    assert {"core.db", "core.db-wal", "journal.db", "journal.db-wal", "serve.log"} <= {p.name for p in files}
    for path in files:
        assert not named(path.read_bytes()), f"{path.name} names the patient"


def stored(path: Path) -> tuple[set[int], set[bytes]]:
    """Return every number and every short run of bytes that a database holds."""
    numbers: set[int] = set()
    blobs: set[bytes] = set()
    with sqlite3.connect(path) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            for row in db.execute(f'SELECT * FROM "{table}"'):
                numbers.update(v for v in row if isinstance(v, int))
                blobs.update(bytes(v) for v in row if isinstance(v, bytes) and len(v) <= 64)
    db.close()
    return numbers, blobs


def guesses(mrn: str) -> Iterator[bytes]:
    """Give what one would store who thinks that hashing is hiding."""
    texts = [mrn, f"{AUTHORITY}|{mrn}", f"patient|{mrn}", f"patient{mrn}", f"Patient/{mrn}"]
    texts += [
        f"{len(mrn)}:{mrn}",
        f"{len(AUTHORITY)}:{AUTHORITY}{mrn}",
        f"{AUTHORITY}^{mrn}",
        f"{mrn}^{AUTHORITY}",
    ]
    for text in texts:
        data = text.encode()
        for name in ("md5", "sha1", "sha256", "sha512", "blake2b", "blake2s", "sha3_256"):
            yield hashlib.new(name, data).digest()
        yield hashlib.blake2b(data, digest_size=8).digest()
        yield hashlib.blake2b(data, digest_size=16).digest()
        for key in (b"", b"\0" * 32, b"hub", b"patient", b"core"):
            yield hmac.digest(key, data, "sha256")
            yield hashlib.blake2b(data, key=key, digest_size=16).digest()
        yield uuid.uuid5(uuid.NAMESPACE_OID, text).bytes
        yield uuid.uuid5(uuid.NAMESPACE_URL, text).bytes


def test_a_dictionary_of_all_numbers_does_not_match(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    hub.start()
    people = [f"{n:06d}" for n in range(0, 1000, 50)]
    assert set(send(hub.ports["lab_oru"], *(result(f"G{m}", m, 1) for m in people))) == {"AA"}
    hub.drained()
    assert hub.stop() == 0
    numbers, blobs = set(), set()
    for name in ("core.db", "journal.db"):
        more, short = stored(hub.config.data_dir / name)
        numbers |= more
        blobs |= short
    numbers = {n for n in numbers if abs(n) > 1 << 40}  # keyed hashes, not counts and times
    starts = {b[:8] for b in blobs} | {b[:16] for b in blobs}
    for number in range(1000):  # every number there is
        for guess in guesses(f"{number:06d}"):
            for eight in (guess[:8], guess[-8:]):
                for order in ("big", "little"):
                    assert int.from_bytes(eight, order, signed=True) not in numbers
                    assert int.from_bytes(eight, order) not in numbers
                    assert int.from_bytes(eight, order) >> 1 not in numbers
            assert guess[:16] not in starts and guess[:8] not in starts
    with hub.inside() as (_, store):  # with the key each of them is found, and only they
        found = {m for m in (f"{n:06d}" for n in range(1000)) if store.find("patient", m)}
    assert found == set(people)
