"""The contract of FHIR destinations, held against real servers that nobody here wrote, and our own endpoint.

    FHIR_PEER_URL=https://hapi.example/fhir pytest tests/contract

asks any other server instead (docs/operators/fhir-servers.md). What a server is known to do otherwise
stands in quirks.yaml and must go on failing, so that the list stays true.
"""

from __future__ import annotations

import inspect
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import contract_peers as peers
import pytest
from contract_checks import CHECKS, Seed, name, observation, only, patient, sent
from contract_peers import Peer, known, parcel, rotated, smart_clients
from hub_project import free_ports

from engine.fhir import jsonio
from engine.kernel.delivery import Parcel, Receipt

NAMED = "FHIR_PEER_URL" in os.environ
NAMES = ["named"] if NAMED else ["sekmet", "medplum", "hapi", "hub"]


def skip_where_absent(which: str) -> None:
    """Skip, and say loudly what nobody looked at."""
    if which == "sekmet" and not peers.sekmet_command():
        pytest.skip("sekmet-fhir is not installed: NO CONTRACT WITH IT. Type bash tests/contract/install")
    if which == "medplum" and not peers.medplum_there():
        pytest.skip("Medplum's router is not installed: NO CONTRACT WITH IT. Type npm ci --prefix tests/node")
    if which == "hapi" and not peers.hapi_there():
        pytest.skip("HAPI FHIR is not installed: NO CONTRACT WITH IT. Type bash tests/contract/install hapi")


@contextmanager
def started(which: str, folder: Path) -> Iterator[tuple[Peer, Seed]]:
    """A server, and a Patient and an Observation that are there."""
    if which == "hub":
        with peers.own_hub(folder) as (peer, hub):
            entry = hub.take("lab_oru", "lab/oru_final", {"|12.1|": "|4.10|"})
            kinds = ("Patient", "Observation")
            first, second = (f"{kind}/{hub.written(entry, kind)}" for kind in kinds)
            yield peer, (first, second)
        return
    with nullcontext(peers.named(folder)) if which == "named" else getattr(peers, which)(folder) as peer:
        p = patient()
        o = observation(p, valueQuantity=jsonio.loads('{"value": 4.10, "unit": "mmol/L"}'))
        sent(peer, "theirs", o, p)
        yield peer, (name(only(peer.ours("Patient", p["id"]))), name(only(peer.ours("Observation", o["id"]))))


@pytest.mark.parametrize("which", NAMES)
def test_contract(which: str, tmp_path: Path) -> None:
    """One server a test, however many processes run tests: starting it costs more than asking it."""
    skip_where_absent(which)
    wrong: list[str] = []
    with started(which, tmp_path) as (peer, seed):
        for word, (needs, run) in CHECKS.items():
            if needs not in peer.offers:
                continue
            more: dict[str, Any] = {"seed": seed} if "seed" in inspect.signature(run).parameters else {}
            quirk = peer.quirks.get(word)
            try:
                run(peer, **more)
            except Exception as e:
                print(f"{'quirk' if quirk else 'FAILED':7} {word}: {quirk or first_line(e)}")
                wrong += [] if quirk else [f"{word}: {first_line(e)}"]
            else:
                print(f"{'ok' if not quirk else 'MENDED':7} {word}")
                wrong += [f"{word}: it does this now: take it out of quirks.yaml"] if quirk else []
    assert not wrong, "\n".join([f"{which} does not hold:", *wrong])


def first_line(e: Exception) -> str:
    """Return what went wrong, shortly."""
    return f"{type(e).__name__} {str(e).splitlines()[0] if str(e) else ''}".strip()


def test_quirks_name_checks_that_are_there() -> None:
    for which in ("sekmet", "medplum", "hapi", "hub"):
        assert known(which)["quirks"].keys() <= CHECKS.keys()


@pytest.mark.skipif(NAMED, reason="another server is asked")
def test_our_own_endpoint_takes_nothing_and_says_so(tmp_path: Path) -> None:
    with peers.own_hub(tmp_path) as (peer, _):
        receipt = peer.destination("ours").deliver(parcel(patient()))
    assert (receipt.verdict, receipt.down) == ("refuse", False) and "405" in receipt.why


@pytest.mark.skipif(NAMED, reason="another server is asked")
def test_a_real_token_server_believes_the_keys_we_serve(tmp_path: Path) -> None:
    skip_where_absent("sekmet")
    with ExitStack() as stack:
        own, _ = stack.enter_context(peers.own_hub(tmp_path))
        keys = rotated(own.folder / "project")
        jwks = own.url.removesuffix("/fhir") + "/.well-known/jwks.json"
        clients = smart_clients(own.folder / "project", jwks)
        (tmp_path / "sekmet").mkdir()
        peer = stack.enter_context(peers.sekmet(tmp_path / "sekmet", **clients))

        def deliver(**smart: Any) -> Receipt:
            words = {"client_id": "mercy-hub", "keys": str(keys), **smart}
            return peer.destination("ours", smart=words).deliver(parcel(patient()))

        for smart in ({}, {"algorithm": "RS384"}, {"algorithm": "ES384", "client_id": "mercy-hub-es"}):
            receipt = deliver(**smart)
            assert receipt.verdict == "sent", receipt.why
        stranger = deliver(client_id="somebody-else")
        assert (stranger.verdict, stranger.down) == ("retry", True) and "invalid_client" in stranger.why
        unproven = peer.destination("ours").deliver(parcel(patient()))
        assert (unproven.verdict, unproven.down) == ("retry", True) and "401" in unproven.why
        reading = deliver(scope="system/*.rs")
        assert (reading.verdict, reading.down) == ("retry", True) and "403" in reading.why


@pytest.mark.skipif(NAMED, reason="another server is asked")
def test_a_server_that_is_killed_while_it_takes_has_everything_once(tmp_path: Path) -> None:
    """The short form of bench/fhir_delivery.py: kill -9 in the middle; all is sent until it is taken."""
    skip_where_absent("sekmet")
    (port,) = free_ports(1)
    same = {"port": port, "base_url": f"http://127.0.0.1:{port}/fhir"}
    people = [patient() for _ in range(6)]
    parcels = [parcel(observation(p), p, mentioned=(name(p),)) for p in people * 4]
    tries = 0
    half = threading.Event()

    def keep_on(to: Any, mine: list[Parcel]) -> None:
        nonlocal tries
        for i, one in enumerate(mine):
            if i == len(mine) // 2:
                half.set()
            while to.deliver(one).verdict == "retry":
                tries += 1
                time.sleep(0.1)

    with ExitStack() as first:
        peer = first.enter_context(peers.sekmet(tmp_path, **same))
        ways = [peer.destination("theirs", fresh=False) for _ in range(2)]
        threads = [threading.Thread(target=keep_on, args=(to, parcels[i::2])) for i, to in enumerate(ways)]
        for t in threads:
            t.start()
        half.wait(60)  # and now it dies, with -9
    with peers.sekmet(tmp_path, **same) as peer:
        for t in threads:
            t.join(300)
        assert tries, "it was never away"
        for one in people:
            only(peer.ours("Patient", one["id"]))
        for one in parcels:
            result = jsonio.loads(one.body)["entry"][0]["resource"]
            held = only(peer.ours("Observation", result["id"]))
            whose = only(peer.ours("Patient", result["subject"]["reference"].partition("/")[2]))
            assert held["subject"]["reference"].endswith(name(whose))
