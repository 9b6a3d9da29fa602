"""What a node is sent by mistake or malice: nothing of it stays, and nobody else notices."""

from __future__ import annotations

import gc
import os
import random
import socket
import struct
import threading
import time

import pytest
from dicom_node import (
    ABORT,
    CT,
    RELEASE,
    VERIFICATION,
    Memory,
    Raw,
    associated,
    c_store,
    command,
    echoes,
    open_files,
    pdata,
    proposal,
    serving,
    until,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SECONDS = 20


def quiet(node, threads: int) -> bool:
    """Say whether nothing of earlier associations is left."""
    return until(lambda: node.associations == 0 and threading.active_count() <= threads, SECONDS)


@pytest.fixture(scope="module")
def long_lived():
    with serving(Memory(keeps=False), idle_seconds=60) as (node, services):
        assert echoes(node)
        yield node, services


WRONG = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "tls": bytes.fromhex("1603010200010001fc0303") + b"\x11" * 200,
    "mllp": b"\x0bMSH|^~\\&|A\r\x1c\r",
    "zeros": bytes(64),
    "unknown pdu": struct.pack(">BxL", 9, 4) + bytes(4),
    "a length of 4 GB": struct.pack(">BxL", 1, 0xFFFFFFFF) + b"x" * 1000,
    "too short": struct.pack(">BxL", 1, 10) + bytes(10),
    "data first": pdata((1, 3, c_store())),
    "release first": RELEASE,
    "abort first": ABORT,
    "items that are longer than the pdu": proposal()[:74] + b"\x20\0\xff\xff" + proposal()[78:],
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_no_association_is_ended_at_once(long_lived, what: str):
    node, _ = long_lived
    threads = threading.active_count()
    with Raw(node) as raw:
        raw.send(WRONG[what])
        raw.says_no_more()
        assert raw.ends()
    assert quiet(node, threads)
    assert echoes(node)


WITHIN = {
    "a length of 4 GB": struct.pack(">BxL", 4, 0xFFFFFFFF) + bytes(1000),
    "longer than was agreed": struct.pack(">BxL", 4, 2 << 20) + bytes(2 << 20),
    "no value": struct.pack(">BxL", 4, 0),
    "a value longer than its pdu": struct.pack(">BxL", 4, 12) + struct.pack(">LBB", 5000, 1, 3) + b"abcdef",
    "a value of no length": struct.pack(">BxL", 4, 4) + struct.pack(">L", 0),
    "another proposal": proposal(),
    "an answer nobody asked for": struct.pack(">BxL", 2, 68) + bytes(68),
    "a context that was not accepted": pdata((77, 3, c_store())),
    "data before a command": pdata((1, 2, b"abcd")),
    "a command that is none": pdata((1, 3, b"\xff" * 40)),
    "a command without a field": pdata((1, 3, command(MessageID=1, CommandDataSetType=0x0101))),
    "an unknown command": pdata((1, 3, command(CommandField=0x7777, MessageID=1, CommandDataSetType=0x0101))),
    "rubbish": b"\xff" * 1000,
}


@pytest.mark.parametrize("what", WITHIN)
def test_what_does_not_belong_in_an_association_ends_it(long_lived, what: str):
    node, services = long_lived
    threads = threading.active_count()
    stored = len(services.stored)
    with associated(node, VERIFICATION, calling="OTHER") as neighbour:
        with Raw(node) as raw:
            raw.associate()
            raw.send(WITHIN[what])
            raw.says_no_more()
            assert raw.ends()
        assert neighbour.send_c_echo().Status == 0
    assert quiet(node, threads)
    assert len(services.stored) == stored


def accepted(raw: Raw, piece: bytes, most: int) -> int:
    """Send the same again and again until the node ends the association; return how many bytes that were."""
    sent = 0
    while sent < most:
        try:
            raw.socket.sendall(piece)
        except OSError:
            break
        sent += len(piece)
    return sent


ENDLESS = {
    "a dataset of a C-ECHO": (
        command(AffectedSOPClassUID=VERIFICATION, CommandField=0x30, MessageID=1, CommandDataSetType=1),
        pdata((1, 0, bytes(60_000))),
    ),
    "a command": (b"", pdata((1, 1, bytes(10_000)))),
    "a dataset without a command": (b"", pdata((1, 0, bytes(60_000)))),
    "commands within an object": (c_store(), pdata((1, 1, bytes(10_000)))),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_a_message_without_end_is_not_gathered_in_memory(long_lived, what: str):
    node, services = long_lived
    begin, piece = ENDLESS[what]
    stored, begun, threads = len(services.stored), len(services.begun), threading.active_count()
    with Raw(node) as raw:
        raw.associate()
        if begin:
            raw.send(pdata((1, 3, begin)))
        # what is accepted beyond the limit of 4 MiB is in the buffers of the connection
        assert accepted(raw, piece, 64 << 20) < 32 << 20
    assert quiet(node, threads)
    assert len(services.stored) == stored and all(c.abandoned for c in services.begun[begun:])
    assert echoes(node)


def test_half_a_pdu_is_given_up():
    with serving(idle_seconds=1) as (node, services):
        threads = threading.active_count()
        with Raw(node) as opened, Raw(node) as begun, Raw(node) as within:
            begun.send(proposal()[:50])
            within.associate()
            within.send(pdata((1, 3, c_store())), pdata((1, 0, b"\0" * 500))[:300])
            for raw in (opened, begun, within):
                assert raw.ends()
        assert quiet(node, threads)
        assert services.stored == []


def test_who_drips_is_given_up():
    """Bytes keep coming, but a PDU does not become whole."""
    with serving(idle_seconds=1) as (node, _), Raw(node) as raw:
        raw.associate()
        raw.send(struct.pack(">BxL", 4, 60_000))
        begun = time.monotonic()
        while time.monotonic() - begun < SECONDS:
            try:
                raw.socket.send(b"\0")
            except OSError:
                break
            time.sleep(0.05)
        else:
            pytest.fail("the node went on listening")
        assert echoes(node)


def test_an_idle_association_is_ended():
    with serving(idle_seconds=0.5) as (node, _), Raw(node) as raw:
        raw.associate()
        assert raw.ends()
        assert until(lambda: node.associations == 0)


def test_connections_that_say_nothing_keep_nobody_out():
    with serving(max_associations=5) as (node, _):
        silent = [Raw(node) for _ in range(12)]
        try:
            assert until(lambda: node.associations >= 12)
            assert echoes(node)
        finally:
            for raw in silent:
                raw.socket.close()


def test_a_health_check_that_opens_and_closes_keeps_nobody_out():
    with serving(max_associations=5) as (node, _):
        threads = threading.active_count()
        for _ in range(300):
            Raw(node).socket.close()
        assert echoes(node)
        assert quiet(node, threads)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400), st.booleans())
def test_random_bytes(long_lived, data: bytes, within: bool):
    node, _ = long_lived
    with Raw(node) as raw:
        if within:
            raw.associate()
        raw.send(data)
        raw.says_no_more()
        assert raw.ends()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_mutated_pdus(long_lived, data):
    """A whole conversation with some bytes changed, left out or repeated."""
    node, _ = long_lived
    said = bytearray(proposal() + pdata((1, 3, c_store())) + pdata((1, 2, b"\x08\0\x05\0CS\0\0")) + RELEASE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(said) - 1))
        how = data.draw(st.sampled_from(("set", "cut", "twice")))
        if how == "set":
            said[at] = data.draw(st.integers(0, 255))
        elif how == "cut":
            del said[at : at + data.draw(st.integers(1, 8))]
        else:
            said[at:at] = said[at : at + data.draw(st.integers(1, 8))]
        if not said:
            return
    with Raw(node) as raw:
        raw.send(bytes(said))
        raw.says_no_more()
        assert raw.ends()


def test_after_all_that_nothing_is_left(long_lived):
    node, _ = long_lived
    assert until(lambda: node.associations == 0)
    assert echoes(node)


def _resident() -> int:
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _endure(node, connects: int, associations: int, seed: int) -> None:
    chance = random.Random(seed)
    for n in range(connects):
        with Raw(node) as raw:
            if n % 3 == 1:
                raw.send(chance.randbytes(chance.randrange(1, 200)))
            elif n % 3 == 2:
                raw.send(proposal()[: chance.randrange(1, 200)])
    for n in range(associations):
        with Raw(node) as raw:
            raw.associate()
            raw.send(pdata((1, 3, c_store(f"1.2.{n}"))), pdata((1, 2, b"\0" * 3000)))
            assert raw.status() == 0
            if n % 4:
                raw.send(RELEASE)
                assert raw.pdu()[0] == 6
            elif n % 8:
                raw.send(ABORT)


@pytest.mark.parametrize(
    ("connects", "associations"),
    [(150, 60), pytest.param(5000, 1000, marks=pytest.mark.soak)],
)
def test_connects_and_associations_without_number_leave_nothing(connects: int, associations: int):
    services = Memory(keeps=False)
    with serving(services, max_associations=50) as (node, _):
        _endure(node, 60, 20, 1)  # caches fill, threads' stacks are mapped
        threads = threading.active_count()
        assert quiet(node, threads)
        gc.collect()
        threads, files, memory = threading.active_count(), open_files(), _resident()
        services.stored.clear(), services.begun.clear()
        _endure(node, connects, associations, 2)
        assert quiet(node, threads)
        services.stored.clear(), services.begun.clear()
        gc.collect()
        assert until(lambda: open_files() <= files)
        assert _resident() - memory < 24 << 20
        assert echoes(node)


def test_stopping_frees_the_port_and_all_threads():
    threads = threading.active_count()
    with serving() as (node, _):
        port = node.port
        with Raw(node) as raw, Raw(node) as silent:
            raw.associate()
            node.stop(0.2)
            assert raw.ends() and silent.ends()
    assert until(lambda: threading.active_count() <= threads)
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_stopping_lets_an_object_that_is_nearly_there_be_kept():
    services = Memory(may_store=threading.Event())
    with serving(services) as (node, _), Raw(node) as raw:
        raw.associate(abstract=CT)
        raw.send(pdata((1, 3, c_store())), pdata((1, 2, b"\0" * 8)))
        assert services.written.wait(SECONDS)
        stopping = threading.Thread(target=node.stop, args=(SECONDS,))
        stopping.start()
        assert services.may_store is not None
        services.may_store.set()
        assert raw.status() == 0
        raw.send(RELEASE)
        stopping.join(SECONDS)
        assert not stopping.is_alive()
    assert len(services.stored) == 1
