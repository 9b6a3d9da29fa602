"""What messages become, delivered to a real FHIR server that is killed while it takes it: nothing lost,
nothing doubled.

    python bench/fhir_delivery.py [--messages 2000] [--kills 5] [--ids ours theirs] [--at-once 4]
                                  [--patients 500] [--rate 20] [--kill-hub] [--server sekmet]

A hub (listeners, workers, deliveries) takes results over MLLP and delivers every one to sekmet-fhir (PyPI,
`bash tests/contract/install`) or HAPI FHIR (`bash tests/contract/install hapi`), which is killed with -9 and
started again, evenly over the run; so are, with `--kill-hub`, the hub's deliveries. One message of ten
corrects an earlier result. In the end every resource of the hub's core store must be there with the same
content and refer to what it refers to here, and nothing else may be there. Reports messages a second
delivered, transactions sent, and what is missing, other or too much. `--messages 100000` is the figure of the
manual; it takes hours.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from fhir_servers import SERVERS, Server
from hub_under_test import HubUnderTest, report
from senders import drive

from engine.channels.opening import open_keyring, open_store
from engine.kernel.config import load_config

BASE = "https://hub.bench.example"
SYSTEM = f"{BASE}/id/resource"
MESSAGE = (
    "MSH|^~\\&|BENCHLAB|EAST|HUB|HOSP|20260301101500-0600||ORU^R01^ORU_R01|{id}|P|2.5.1\r"
    "PID|1||B{patient}^^^BENCH^MR||Sample{patient}^Quinn||19750612|F\r"
    "ORC|RE|BO{order}^EHR|BF{order}^BENCHLAB\r"
    "OBR|1|BO{order}^EHR|BF{order}^BENCHLAB|24323-8^Panel^LN|||20260301093000-0600|||||||||||||||"
    "2026030110{minute}00-0600||CH|{status}\r"
    "OBX|1|NM|2345-7^Glucose^LN||{a}|mg/dL^^UCUM|70-99|N|||{status}|||20260301100500-0600\r"
    "OBX|2|NM|2823-3^Potassium^LN||{b}|mmol/L^^UCUM|3.5-5.1|N|||{status}|||20260301100500-0600\r"
)


class Messages:
    """Results of some patients; every tenth corrects one that came before, perhaps long before."""

    def __init__(self, patients: int) -> None:
        self._n, self._patients, self._random = 0, patients, random.Random(2026)

    def message(self) -> tuple[bytes, bytes]:
        """Return a control id and its message."""
        self._n += 1
        corrects = self._n % 10 == 0
        order = self._random.randrange(1, 10) if corrects else self._n
        if corrects and self._n > 10:  # numbers that end in 0 are no orders
            order += self._random.randrange(self._n // 10) * 10
        text = MESSAGE.format(
            id=f"{self._n:012}",
            order=f"{order:012}",
            patient=f"{order % self._patients:06}",
            status="C" if corrects else "F",
            minute=59 if corrects else 10,
            a=self._random.randrange(60, 200),
            b=f"{self._random.randrange(30, 60) / 10:.1f}",
        )
        return f"{self._n:012}".encode(), text.encode()


def ours(root: Path) -> dict[str, dict[str, Any]]:
    """Return the hub's core store."""
    config = load_config(root)
    keyring = open_keyring(config)
    store = open_store(config, keyring)
    db = sqlite3.connect(config.data_dir / "core.db")
    found = {}
    for kind, raw in db.execute(
        "SELECT t.name, r.id FROM resource r JOIN rtype t ON t.id = r.type WHERE r.deleted = 0"
    ):
        h = raw.hex()
        id = raw[1:].decode() if len(raw) != 16 else "-".join((h[:8], h[8:12], h[12:16], h[16:20], h[20:]))
        held = store.read(kind, id)
        assert held is not None
        found[f"{kind}/{id}"] = json.loads(json.dumps(held, default=float))
    db.close()
    store.close()
    return found


def plain(resource: dict[str, Any], names: dict[str, str]) -> Any:
    """Return a resource without what belongs to a server: id, version, our identifier; references as here."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            made = {k: walk(v) for k, v in value.items() if not (k == "reference" and isinstance(v, str))}
            if isinstance(said := value.get("reference"), str):
                made["reference"] = names.get(said, said)
            return made
        if isinstance(value, list):
            return [walk(v) for v in value]
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    kept = {k: v for k, v in resource.items() if k not in ("id", "meta")}
    if "identifier" in kept:
        kept["identifier"] = [i for i in kept["identifier"] if i.get("system") != SYSTEM]
    meta = {k: v for k, v in (resource.get("meta") or {}).items() if k not in ("versionId", "lastUpdated")}
    if "source" in meta:
        meta["source"] = meta["source"].partition("#")[0]  # HAPI adds the request's number
    if "tag" in meta:
        meta["tag"] = [t for t in meta["tag"] if t.get("system") != SYSTEM]
    return walk(
        {
            k: v
            for k, v in {**kept, "meta": {k: v for k, v in meta.items() if v}}.items()
            if v not in ([], {}, "")
        }
    )


def named(there: dict[str, dict[str, Any]], ids: str) -> tuple[dict[str, str], list[str]]:
    """Return their name -> ours, and what carries no identifier of ours, or one that another has, too."""
    if ids == "ours":
        return {name: name for name in there}, []
    names: dict[str, str] = {}
    odd = []
    for name, body in there.items():
        kind = name.partition("/")[0]
        own = [i["value"] for i in body.get("identifier") or () if i.get("system") == SYSTEM]
        own += [t["code"] for t in (body.get("meta") or {}).get("tag") or () if t.get("system") == SYSTEM]
        if len(own) != 1 or f"{kind}/{own[0]}" in names.values():
            odd.append(name)
        else:
            names[name] = f"{kind}/{own[0]}"
    return names, odd


def waiting(root: Path) -> Counter[str]:
    """Count deliveries by status."""
    with sqlite3.connect(f"file:{root / 'var/core.db'}?mode=ro", uri=True) as db:
        return Counter(dict(db.execute("SELECT status, count(*) FROM delivery GROUP BY status").fetchall()))


def outcomes(root: Path) -> int:
    """Count messages that are worked off."""
    with sqlite3.connect(f"file:{root / 'var/core.db'}?mode=ro", uri=True) as db:
        return int(db.execute("SELECT count(*) FROM outcome").fetchone()[0])


def run(
    which: type[Server],
    ids: str,
    messages: int,
    kills: int,
    at_once: int,
    patients: int,
    kill_hub: bool,
    rate: float,
) -> bool:
    """Send, deliver, kill, compare; return whether all is as it must be."""
    with tempfile.TemporaryDirectory(prefix="hub-fhir-") as name:
        server = which(Path(name))
        place = f"{{repository: {{fhir: {{url: '{server.url}', ids: {ids}}}, at_once: {at_once}}}}}"
        settings = {"destinations": place, "identity_base": BASE}
        try:
            with HubUnderTest(
                parts="listeners,workers,deliveries", settings=settings, deliver="{repository: {body: fhir}}"
            ) as hub:
                begun = time.perf_counter()
                loads: list[Any] = []

                def send(port: int, loads: list[Any] = loads) -> None:
                    loads.append(drive(port, 4, count=messages, rate=rate, template=Messages(patients)))

                sending = threading.Thread(target=send, args=(hub.port,))
                sending.start()
                at = [messages * (n + 1) // (kills + 1) for n in range(kills)]
                done, shown = Counter[str](), 0.0
                while outcomes(hub.root) < messages or (done := waiting(hub.root))["pending"]:
                    done = waiting(hub.root)
                    if at and done["sent"] >= at[0]:
                        at.pop(0)
                        server.kill()
                        if kill_hub:
                            kill_deliveries(hub)
                        time.sleep(2)
                        server.start()
                    elif time.perf_counter() - shown > 30:
                        shown = time.perf_counter()
                        print(
                            f"  {ids}: {dict(done)} after {shown - begun:.0f} s", file=sys.stderr, flush=True
                        )
                    time.sleep(0.2)
                seconds = time.perf_counter() - begun
                used = {k: round(v.cpu, 1) for k, v in hub.usage().items()}
                hub.process.send_signal(signal.SIGTERM)
                hub.process.wait(60)
                done = waiting(hub.root)
                tries = (
                    sqlite3.connect(hub.root / "var/core.db")
                    .execute("SELECT verdict, sum(times) FROM delivery_try GROUP BY verdict")
                    .fetchall()
                )
                here = ours(hub.root)
            there, versions = server.held()
        finally:
            server.kill()
        for name in server.own:
            del there[name]
        names, odd = named(there, ids)
        back = {name: their for their, name in names.items()}
        missing = [one for one in here if one not in back]
        extra = [their for their, name in names.items() if name not in here]
        other = [
            one
            for one, body in here.items()
            if one in back and plain(body, {}) != plain(there[back[one]], names)
        ]
    report(
        "fhir_delivery",
        server=which.__name__.lower(),
        ids=ids,
        messages=messages,
        kills=kills,
        hub_killed=kills if kill_hub else 0,
        accepted=loads[0].good,
        sent_in=loads[0].seconds,
        seconds=seconds,
        a_second=messages / seconds,
        deliveries=dict(done),
        tries=dict(tries),
        resources_here=len(here),
        resources_there=len(there),
        versions_there=versions,
        missing=len(missing),
        doubled_or_unknown=len(odd) + len(extra),
        other_content=len(other),
        cpu=used,
    )
    return not (missing or odd or extra or other) and loads[0].good == messages and done == {"sent": messages}


def kill_deliveries(hub: HubUnderTest) -> None:
    """Kill the process that delivers; its supervisor starts it again."""
    children = Path(f"/proc/{hub.process.pid}/task/{hub.process.pid}/children").read_text().split()
    for pid in children:
        if "deliveries" in Path(f"/proc/{pid}/comm").read_text():
            os.kill(int(pid), signal.SIGKILL)


def main() -> int:
    """Run every kind of ids in turn."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--ids", nargs="+", default=["ours", "theirs"], choices=["ours", "theirs"])
    parser.add_argument("--at-once", type=int, default=4)
    parser.add_argument("--patients", type=int, default=500)
    parser.add_argument("--rate", type=float, default=20, help="messages a second to the hub")
    parser.add_argument("--kill-hub", action="store_true")
    parser.add_argument("--server", default="sekmet", choices=list(SERVERS))
    args = parser.parse_args()
    which = SERVERS[args.server]
    if not which.program.exists():
        print(f"{which.__name__} is not installed: {which.__doc__}", file=sys.stderr)
        return 2
    good = [
        run(which, ids, args.messages, args.kills, args.at_once, args.patients, args.kill_hub, args.rate)
        for ids in args.ids
    ]
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
