"""A change goes live while the hub runs: workers take it over, a listener moves its port, nobody loses a
message, and it is taken back with one step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hub_process import Hub, free_ports, send, wait_for
from test_system_maps_changed import lab, only

from engine.channels import deciding
from engine.channels.deciding import Checks, approve, ask
from engine.channels.drafts import Drafts
from engine.channels.golive import apply, back
from engine.channels.opening import open_keyring, open_staff
from engine.channels.renewal import announce_project, in_force, project_digest
from engine.staff.changes import Change

OBX = "mappings/hl7v2/segments/OBX_Observation.yaml"
METHOD = "  method:            OBX-17(1)\n"


class Desk:
    """People at work on drafts of a running hub."""

    def __init__(self, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hub, config = hub, hub.config
        self.staff = open_staff(config, open_keyring(config))
        self.drafts = Drafts(config, self.staff)

        def well(drafts: Drafts, number: int, who: str) -> Checks:
            """The checks themselves are tested elsewhere: of the whole project they take half a minute."""
            said = Checks(1, project_digest(config.root), (), (), 1)
            draft = drafts.get(number)
            with self.staff.database.write() as c:
                if draft.state == "draft":
                    drafts.move(c, draft, "checked", who)
            return said

        monkeypatch.setattr(deciding, "check", well)
        monkeypatch.setattr("engine.channels.golive.check", well)
        monkeypatch.setattr("engine.channels.golive.checks_of", lambda d, draft: well(d, draft.number, "x"))

    def live(self, path: str, change: Callable[[str], str]) -> Change:
        before = (self.hub.root / path).read_text()
        after = change(before)
        assert after != before
        number = self.drafts.begin("A change", "ana").number
        self.drafts.put(number, path, after, "ana")
        deciding.check(self.drafts, number, "ana")
        digest = ask(self.drafts, number, "ana").digest
        approve(self.drafts, number, "ben", digest)
        return apply(self.drafts, number, "ben")

    def close(self) -> None:
        self.staff.close()


def in_force_everywhere(hub: Hub, processes: set[str]) -> bool:
    digest = project_digest(hub.root)
    notes = {n["process"]: n for n in in_force(hub.config)}
    return all(p in notes and notes[p]["digest"] == digest and not notes[p]["trouble"] for p in processes)


def method(hub: Hub) -> Any:
    with hub.inside() as (_, store):
        return only(store, "Observation").get("method", {}).get("text")


def test_live_without_a_restart_and_back(
    make_hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch
) -> None:
    running = make_hub(workers=2)
    running.start()
    before = running.children()
    desk = Desk(running, monkeypatch)
    try:
        send(running.ports["lab_oru"], lab("C1", "4.1", "F"))
        running.drained()
        assert method(running) == "Arm"
        change = desk.live(OBX, lambda t: t.replace(METHOD, ""))
        send(running.ports["lab_oru"], lab("C2", "4.2", "C", told="20260115093100-0500"))
        running.drained()
        wait_for(lambda: in_force_everywhere(running, {"worker-0", "worker-1"}), "workers took it over")
        with running.inside() as (_, store):
            assert only(store, "Observation")["valueQuantity"]["value"]
            revisions = [store.outcome(n).revision for n in (1, 2)]  # type: ignore[union-attr]
        assert revisions[0] != revisions[1]
        back(desk.drafts, change.number, "cleo")
        send(running.ports["lab_oru"], lab("C3", "4.3", "C", told="20260115093200-0500"))
        running.drained()
        assert method(running) == "Arm"
        with running.inside() as (_, store):
            assert store.outcome(1).revision == store.outcome(3).revision == revisions[0]  # type: ignore[union-attr]
        assert running.children() == before  # no process started again

        (running.root / OBX).write_text("map: nonsense\n")  # by hand, past every check
        announce_project(running.config)
        send(running.ports["lab_oru"], lab("C4", "4.4", "C", told="20260115093300-0500"))
        running.drained()
        assert method(running) == "Arm"
        wait_for(lambda: any(n["trouble"] for n in in_force(running.config)), "a worker says what is wrong")
        assert "old ones stay in force" in running.log.read_text()
        (running.root / OBX).write_text((running.root / OBX).read_text())
    finally:
        desk.close()


def test_a_listener_moves_its_port(make_hub: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    running = make_hub()
    running.start()
    desk = Desk(running, monkeypatch)
    try:
        (port,) = free_ports(1)
        old = running.ports["lab_oru"]
        before = running.children()
        change = desk.live(
            "channels/lab_oru.yaml", lambda t: t.replace(f"mllp: {{port: {old}}}", f"mllp: {{port: {port}}}")
        )
        assert any("listeners start again" in line for line in change.said)
        wait_for(lambda: answers(port), "the new port answers")
        send(port, lab("C1", "4.1", "F"))
        running.drained()
        assert method(running) == "Arm"
        after = running.children()
        assert after["listeners"] != before["listeners"]
        assert {n: p for n, p in after.items() if n != "listeners"} == {
            n: p for n, p in before.items() if n != "listeners"
        }
        assert " ended (" not in running.log.read_text()
        back(desk.drafts, change.number, "ben")
        wait_for(lambda: answers(old), "the old port answers again")
    finally:
        desk.close()


def answers(port: int) -> bool:
    import socket

    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        time.sleep(0.05)
        return False
    return True
