"""Sealing: what was sealed opens again at its place only, damaged bytes never do, sizes stay bounded."""

from __future__ import annotations

import hashlib
import hmac
import os
import threading

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from engine.security import crypto
from engine.security.crypto import OVERHEAD, Sealer, SealError, SearchKeys, key_id_of

KEY = bytes(range(32))
ORU = (
    b"MSH|^~\\&|LAB|SITE|EHR|HOSP|20260501141000||ORU^R01|Q1|P|2.5.1\r"
    + b"OBX|1|NM|2823-3^K^LN||4.1|mmol/L|3.5-5.1|N|||F\r" * 20
)


def sealer(key_id: int = 7, keys: dict[int, bytes] | None = None) -> Sealer:
    known = keys or {7: KEY}
    return Sealer(lambda: key_id, known.__getitem__)


@given(st.binary(max_size=3000), st.binary(max_size=40))
def test_what_is_sealed_opens_again(body: bytes, aad: bytes) -> None:
    s = sealer()
    assert s.open(s.seal(body, aad), aad) == body


def test_large_and_repetitive_bodies_open_again() -> None:
    s = sealer()
    for body in (os.urandom(3_000_000), b"A" * 3_000_000, b""):
        assert s.open(s.seal(body, b"x"), b"x") == body


def test_a_message_gets_smaller_and_is_not_readable() -> None:
    sealed = sealer().seal(ORU, b"journal:1")
    assert len(sealed) < len(ORU) / 2
    assert b"OBX" not in sealed and b"LAB" not in sealed


def test_incompressible_bytes_cost_only_the_overhead() -> None:
    body = os.urandom(500)
    assert len(sealer().seal(body, b"x")) == 500 + OVERHEAD


def test_the_same_body_never_seals_the_same_twice() -> None:
    s = sealer()
    assert len({s.seal(ORU, b"journal:1") for _ in range(500)}) == 500
    assert len({s.seal(ORU, b"journal:1")[5:17] for _ in range(500)}) == 500  # the nonces


def test_a_body_moved_to_another_place_does_not_open() -> None:
    s = sealer()
    sealed = s.seal(ORU, b"journal:1")
    with pytest.raises(SealError, match="journal:2"):
        s.open(sealed, b"journal:2")


@pytest.mark.parametrize("body", [ORU, b"short"])
def test_every_changed_byte_is_noticed(body: bytes) -> None:
    s = sealer(
        keys={7: KEY, 6: os.urandom(32), 5: KEY}
        | {7 ^ (1 << b) | n << 8: KEY for b in range(8) for n in range(2)}
    )
    sealed = s.seal(body, b"a")
    for i in range(len(sealed)):
        damaged = bytearray(sealed)
        damaged[i] ^= 1
        with pytest.raises((SealError, KeyError)):  # KeyError: the key id was changed to one nobody has
            s.open(bytes(damaged), b"a")


def test_format_and_key_id_are_authenticated() -> None:
    s = sealer(keys={7: KEY, 8: KEY})  # the same key under two ids
    sealed = s.seal(b"short", b"a")
    assert key_id_of(sealed) == 7
    with pytest.raises(SealError):
        s.open(sealed[:1] + (8).to_bytes(4, "big") + sealed[5:], b"a")
    with pytest.raises(SealError):
        s.open(b"\x01" + sealed[1:], b"a")


@pytest.mark.parametrize("n", [0, 1, 16, OVERHEAD - 1])
def test_too_few_bytes_are_refused(n: int) -> None:
    with pytest.raises(SealError, match="too few"):
        sealer().open(b"\0" * n, b"a")


def test_an_unknown_format_is_named() -> None:
    s = sealer()
    with pytest.raises(SealError, match="format 09"):
        s.open(s.close((b"\x09", b"data"), b"a"), b"a")


def test_a_bomb_is_refused_before_it_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    s = sealer()
    bomb = s.seal(b"\0" * 2_000_000, b"a")
    assert len(bomb) < 1000
    monkeypatch.setattr(crypto, "MAX_BODY", 1_000_000)
    with pytest.raises(SealError, match="limit"):
        s.open(bomb, b"a")


def test_a_frame_that_hides_its_size_is_refused() -> None:
    s = sealer()
    hidden = zstandard.ZstdCompressor(write_content_size=False).compress(b"\0" * 5000)
    with pytest.raises(SealError):
        s.open(s.close((b"\x01", hidden), b"a"), b"a")


def test_sealed_garbage_that_is_no_frame_is_refused() -> None:
    s = sealer()
    with pytest.raises(SealError, match="decompressed"):
        s.open(s.close((b"\x01", os.urandom(100)), b"a"), b"a")


def test_threads_share_a_sealer() -> None:
    s, wrong = sealer(), []

    def work(n: int) -> None:
        for i in range(200):
            body, aad = ORU + b"%d" % (n * 1000 + i), b"%d" % i
            if s.open(s.seal(body, aad), aad) != body:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert wrong == []


def test_a_search_key_is_the_hmac_of_the_standard() -> None:
    keys = SearchKeys(KEY)
    kind, value = b"identifier", "Müller".encode()
    text = len(kind).to_bytes(8, "big") + kind + len(value).to_bytes(8, "big") + value
    digest = hmac.new(KEY, text, hashlib.sha256).digest()
    assert keys.mac16("identifier", "Müller") == digest[:16]
    assert keys.mac16("identifier", value) == digest[:16]
    assert keys.mac8("identifier", "Müller") == int.from_bytes(digest[:8], "big", signed=True)


@given(
    st.tuples(st.text(max_size=5), st.text(max_size=5)), st.tuples(st.text(max_size=5), st.text(max_size=5))
)
def test_no_two_pairs_of_kind_and_value_share_a_key(a: tuple[str, str], b: tuple[str, str]) -> None:
    keys = SearchKeys(KEY)
    assert (keys.mac16(*a) == keys.mac16(*b)) == (a == b)


def test_kind_and_value_cannot_slide_into_each_other() -> None:
    keys = SearchKeys(KEY)
    assert keys.mac16("ab", "c") != keys.mac16("a", "bc")
    assert SearchKeys(os.urandom(32)).mac16("ab", "c") != keys.mac16("ab", "c")


def test_lone_surrogates_of_a_damaged_charset_still_hash() -> None:
    assert len(SearchKeys(KEY).mac16("name", "\udcff")) == 16
