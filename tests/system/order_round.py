"""A round of orders: placed by a CPOE, sent on to a laboratory, acknowledged, lost, refused and unanswered,
and the results back, until every order is complete in the core store.

The laboratory is python-hl7's MLLP server and client: nobody here wrote them. It keeps an order once, by its
control id, as receivers do, and does to each what its script says.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hl7
import hl7.mllp
from hub_process import ROOT, Hub, free_ports, wait_for

__all__ = ["Laboratory", "OrderRound", "Step"]

Step = str  # accept | ack | lose | refuse | silent | unable
WHO = "PID|1||{mrn}^^^SYSTEST^MR||Family{mrn}^Ada||19800214|F"
ANSWER_SECONDS = 0.7


class Laboratory:
    """A filler. `got`: (connection, placer number, message) as they came; `placed`: what it made its own."""

    def __init__(self, scripts: dict[str, list[Step]]) -> None:
        self.scripts = scripts
        self.got: list[tuple[int, str, str]] = []
        self.placed: dict[str, str] = {}  # control id -> placer number
        self.connections = 0
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._server = self._do(hl7.mllp.start_hl7_server(self._serve, "127.0.0.1", 0, encoding="utf-8"))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def _do(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(60)

    def close(self) -> None:
        """Stop."""
        self._server.close()
        self._loop.call_soon_threadsafe(self._loop.stop)

    async def _serve(self, reader: Any, writer: Any) -> None:
        self.connections += 1
        number = self.connections
        try:
            while not writer.is_closing():
                message = await reader.readmessage()
                answer = self._answer(number, message)
                if answer is None:
                    writer.close()
                    return
                if answer:
                    writer.writemessage(hl7.parse(answer))
                    await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, connection: int, message: Any) -> str | None:
        """Return what is answered; empty: nothing; None: it hangs up."""
        control, placer = str(message["MSH.10"]), str(message["ORC.2.1.1"])
        self.got.append((connection, placer, str(message)))
        steps = self.scripts.get(placer, [])
        step = steps.pop(0) if steps else "accept"
        if control in self.placed:
            step = "accept" if step == "lose" else step
        if step not in ("refuse", "silent"):
            self.placed.setdefault(control, placer)
        head = f"MSH|^~\\&|LIS|NORTH|HUB|MERCY|20260501||{{kind}}|L{len(self.got)}|P|2.5.1\r"
        if step == "lose":
            return None
        if step == "silent":
            return ""
        if step == "ack":
            return head.format(kind="ACK^O21^ACK") + f"MSA|AA|{control}\r"
        if step == "refuse":
            why = "ERR||OBR^1^4|103^Table value not found^HL70357|E||||we do not know this test\r"
            return head.format(kind="ACK^O21^ACK") + f"MSA|AE|{control}\r{why}"
        said = {"accept": "OK", "unable": "UA"}[step]
        obr = str(message.segment("OBR")[4])
        return (
            head.format(kind="ORL^O22^ORL_O22")
            + f"MSA|AA|{control}\r{message.segment('PID')}\r"
            + f"ORC|{said}|{placer}^EHR|F{placer}^LIS\rOBR|1|{placer}^EHR|F{placer}^LIS|{obr}\r"
        )

    def report(self, port: int, placer: str, mrn: str, *, order: str = "CM", result: str = "F") -> str:
        """Send the result of an order to the hub; return MSA-1."""
        at = "20260502083000-0500"
        text = (
            f"MSH|^~\\&|LIS|NORTH|HUB|MERCY|20260502110000-0500||ORU^R01^ORU_R01|R{placer}{result}|P|2.5.1\r"
            f"{WHO.format(mrn=mrn)}\rORC|RE|{placer}^EHR|F{placer}^LIS||{order}\r"
            f"OBR|1|{placer}^EHR|F{placer}^LIS|58410-2^CBC^LN|||{at}|||||||||||||||{at}||LAB|{result}\r"
            f"OBX|1|NM|718-7^Hemoglobin^LN||12.1|g/dL^^UCUM|12-16|N|||{result}|||{at}\r"
        )
        return str(self._do(self._send(port, text)))

    async def _send(self, port: int, text: str) -> str:
        reader, writer = await hl7.mllp.open_hl7_connection("127.0.0.1", port, encoding="utf-8")
        writer.writemessage(hl7.parse(text))
        await writer.drain()
        answer = await reader.readmessage()
        writer.close()
        return str(answer["MSA.1"])


class OrderRound:
    """A hub between a CPOE and a laboratory. `orders`: placer number -> medical record number."""

    def __init__(self, hub: Hub, orders: dict[str, str], scripts: dict[str, list[Step]]) -> None:
        self.hub, self.orders = hub, orders
        self.laboratory = Laboratory(scripts)
        self._stack = contextlib.ExitStack()
        self._inside: Any = None
        self._placers: dict[int, str] = {}  # entry -> placer number
        (port,) = free_ports(1)
        self.ports = {**hub.ports, "orders": port}
        text = (ROOT / "channels/orders.yaml").read_text()
        given = "{sender: HUB, facility: MERCY, receiver: LIS, receiverFacility: NORTH}"
        wanted = "types: [ORM, OML], when: ORC-1 = NW|XO|CA"
        hub.channel("orders", f"{text}\ndeliver:\n  lis: {{{wanted}, body: oml, set: {given}}}\n", port)
        mllp = f"{{url: 'mllp://127.0.0.1:{self.laboratory.port}', answer_seconds: {ANSWER_SECONDS}"
        with (hub.root / "config.yaml").open("a") as config:
            config.write(f"destinations:\n  lis: {{mllp: {mllp}, answers_to: orders}}}}\n")

    def place(self, control: str = "NW", only: str = "") -> None:
        """Send the orders to the hub, as the CPOE does."""
        for number, (placer, mrn) in enumerate(self.orders.items()):
            if only in ("", placer):
                text = (
                    f"MSH|^~\\&|CPOE|MERCY|HUB|MERCY|20260501090000-0500||ORM^O01^ORM_O01|{control}{placer}|P|2.5.1\r"
                    f"{WHO.format(mrn=mrn)}\r"
                    f"ORC|{control}|{placer}^EHR|||||||2026050109{number:02d}00-0500|||77^Welby^Marcus\r"
                    f"OBR|1|{placer}^EHR||58410-2^CBC^LN\r"
                )
                code = self.laboratory._do(self.laboratory._send(self.ports["orders"], text))
                assert code == "AA"

    def told(self, *more: str) -> list[dict[str, Any]]:
        """Return what `hub orders --json` says."""
        done = self.command("orders", "--json", *more)
        found: list[dict[str, Any]] = json.loads(done)
        return found

    def command(self, *words: str) -> str:
        """Run a command of the hub and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "engine.cli.main", *words],
            cwd=self.hub.root,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def statuses(self) -> dict[str, tuple[str, str]]:
        """Return how each delivery stands by placer number: status, why."""
        if self._inside is None:
            self._inside = self._stack.enter_context(self.hub.inside())
        journal, store = self._inside
        out = {}
        for status in ("pending", "sent", "refused", "parked", "skipped"):
            for one in store.deliveries.listed("lis", status, None, 1000):
                if one.entry not in self._placers:
                    entry = journal.get(one.entry)
                    assert entry is not None
                    self._placers[one.entry] = entry.control_id[2:]
                out[self._placers[one.entry]] = (status, one.why)
        return out

    def stored(self) -> dict[str, tuple[str, list[str]]]:
        """Return what the core store has, by placer number: status of the order, and of its reports."""
        with self.hub.inside() as (_, store):
            reports = store.search("DiagnosticReport", [], 1000, None).resources
            out = {}
            for order in store.search("ServiceRequest", [], 1000, None).resources:
                name = f"ServiceRequest/{order['id']}"
                mine = [r["status"] for r in reports if {"reference": name} in r.get("basedOn", [])]
                out[order["identifier"][0]["value"]] = (order["status"], mine)
            return out

    def until(self, what: Callable[[], object], text: str) -> None:
        """Wait until something holds; it is asked for seldom, as it reads the databases."""
        wait_for(lambda: what() or time.sleep(0.2), text)

    def close(self) -> None:
        """Stop the laboratory."""
        self._stack.close()
        self.laboratory.close()


def log_of(hub: Hub) -> str:
    """Return what the hub logged."""
    return Path(hub.log).read_text()
