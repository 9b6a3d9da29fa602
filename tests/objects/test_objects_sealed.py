"""The sealed form of an object: any bytes in any pieces, read at any place; nothing changed is given out."""

from __future__ import annotations

import io
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.objects import sealed
from engine.objects.sealed import CHUNK, HEAD, DamagedObject, ObjectSealer, open_sealed
from engine.security.keys import Keyring

KEYRING = Keyring.supplied(b"x" * 40)


def seal(pieces: list[bytes], keyring: Keyring = KEYRING) -> tuple[str, bytes]:
    out: list[bytes] = []
    sealer = ObjectSealer(keyring, lambda data: out.append(bytes(data)))
    for piece in pieces:
        sealer.write(piece)
    address = sealer.finish()
    assert sealer.size == sum(map(len, pieces))
    return address, b"".join(out)


def reader(address: str, file: bytes, keyring: Keyring = KEYRING) -> io.BufferedIOBase:
    return open_sealed(keyring, address, len(file), lambda offset, size: file[offset : offset + size])  # type: ignore[return-value]


@pytest.fixture(autouse=True, scope="module")
def small_chunks() -> object:
    """Chunks of 64 bytes, so that small objects have many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "CHUNK", 64)
        yield


@given(st.lists(st.binary(max_size=200), max_size=12), st.data())
@settings(max_examples=150, deadline=None)
def test_whatever_pieces_come_any_place_can_be_read(pieces: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(pieces)
    address, file = seal(pieces)
    assert seal([whole])[0] == address  # the address is of the bytes, not of the pieces
    with reader(address, file) as opened:
        twin = io.BytesIO(whole)
        for _ in range(data.draw(st.integers(1, 8))):
            whence = data.draw(st.sampled_from([io.SEEK_SET, io.SEEK_CUR, io.SEEK_END]))
            base = {io.SEEK_SET: 0, io.SEEK_CUR: twin.tell(), io.SEEK_END: len(whole)}[whence]
            offset = data.draw(st.integers(-base, len(whole) + 70 - base))
            assert opened.seek(offset, whence) == twin.seek(offset, whence)
            size = data.draw(st.integers(-1, 300))
            assert opened.read(size) == twin.read(size)
            assert opened.tell() == twin.tell()


@given(st.binary(max_size=200), st.data())
@settings(max_examples=150, deadline=None)
def test_nothing_that_was_changed_is_given_out(whole: bytes, data: st.DataObject) -> None:
    address, file = seal([whole])
    spoiled = bytearray(file)
    kind = data.draw(st.sampled_from(["flip", "cut", "add", "swap"]))
    if kind == "flip":
        spoiled[data.draw(st.integers(0, len(file) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif kind == "cut":
        del spoiled[data.draw(st.integers(0, len(file) - 1)) :]
    elif kind == "add":
        spoiled += data.draw(st.binary(min_size=1, max_size=200))
    else:
        first, second = spoiled[HEAD : HEAD + 80], spoiled[HEAD + 80 : HEAD + 160]
        if len(second) < 80:
            return
        spoiled[HEAD : HEAD + 160] = second + first
    with pytest.raises(DamagedObject) as told:
        reader(address, bytes(spoiled)).read()
    assert address in str(told.value)


def test_a_whole_chunk_cut_off_or_left_out_is_noticed() -> None:
    whole = random.Random(1).randbytes(64 * 3)
    address, file = seal([whole])
    assert len(file) == HEAD + 3 * 80
    for spoiled in (file[: HEAD + 160], file[: HEAD + 80], file[:HEAD] + file[HEAD + 80 :], file[:HEAD]):
        with pytest.raises(DamagedObject):
            reader(address, spoiled).read()


def test_a_file_under_anothers_name_does_not_open() -> None:
    address, _ = seal([b"one"])
    other, file = seal([b"two"])
    assert reader(other, file).read() == b"two"
    with pytest.raises(DamagedObject):
        reader(address, file)


def test_another_keyring_neither_opens_nor_guesses_the_address() -> None:
    stranger = Keyring.supplied(b"y" * 40)
    address, file = seal([b"secret"])
    assert seal([b"secret"], stranger)[0] != address
    with pytest.raises(DamagedObject):
        reader(address, file, stranger)


def test_the_same_bytes_are_never_sealed_alike_and_never_readable() -> None:
    address, first = seal([b"SMITH^JOHN" * 20])
    again, second = seal([b"SMITH^JOHN" * 20])
    assert address == again
    assert first != second and first[HEAD:] != second[HEAD:]
    assert b"SMITH" not in first


def test_chunks_have_a_mebibyte_outside_of_tests() -> None:
    assert CHUNK == 1 << 20
