"""A hub with rules of critical results, the watch over them, and results to send to it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from hub_project import Hub, make_project, shipped_maps

from engine.channels.critical.watch import CriticalWatch
from engine.channels.opening import open_staff
from engine.kernel.clock import now_ms
from engine.mapping.derived import derived
from engine.staff.criticals import CriticalRow
from engine.staff.staff import Staff

RULES = """
escalate_after: 15 minutes
rules:
  - name: Potassium
    loinc: 2823-3
    above: 6.2 mmol/L
    below: 2.8 mmol/L
    say: Call the ward
  - name: Flagged
    interpretation: [HH, LL, AA]
    escalate_after: 5 minutes
"""


def result(
    value: str = "6.9",
    status: str = "F",
    flag: str = "",
    control: str = "C1",
    patient: str = "100234",
    unit: str = "mmol/L^^UCUM",
    on: str = "",
    order: str = "LAB1",
) -> bytes:
    """Write a potassium result, of today."""
    at = on or time.strftime("%Y%m%d%H%M%S")
    lines = (
        f"MSH|^~\\&|NORTHLIS|NORTHLAB|HUB|MERCY|{time.strftime('%Y%m%d%H%M%S')}||ORU^R01^ORU_R01|{control}|P|2.5.1",
        f"PID|1||{patient}^^^NORTH&2.16.840.1.113883.19.5&ISO^MR||Doe^Jane||19800101|F",
        f"ORC|RE|{order}^EHR|{order}^NORTHLIS",
        f"OBR|1|{order}^EHR|{order}^NORTHLIS|24320-4^Panel^LN|||{at}|||||||||||||||{at}||LAB|F",
        f"OBX|1|NM|2823-3^Potassium^LN||{value}|{unit}|3.5-5.1|{flag}|||{status}|||{at}",
    )
    return "\r".join(lines).encode() + b"\r"


@dataclass
class Critical:
    """What a test works with."""

    hub: Hub
    staff: Staff
    watch: CriticalWatch
    ms: int = 0

    @classmethod
    def open(cls, root: Path, rules: str = RULES, settings: str = "", more: str = "") -> Critical:
        make_project(root)
        (root / "mappings" / "critical.yaml").write_text(rules)
        with (root / "config.yaml").open("a") as config:
            config.write(f"{more}\ncritical: {{{settings}}}\n")
        hub = Hub.open(root, derived(shipped_maps(), {}, root))  # the rules are no map
        staff = open_staff(hub.config, hub.keyring)
        made = cls(hub, staff, None)  # type: ignore[arg-type]
        made.ms = now_ms()
        made.staff.now = lambda: made.ms
        made.watch = made.another()
        made.watch.step()
        return made

    def another(self) -> CriticalWatch:
        """Return a watch as another process, or the next start, has it."""
        return CriticalWatch(
            self.hub.config, self.hub.keyring, self.hub.journal, self.hub.store, self.staff, lambda: self.ms
        )

    def take(self, body: bytes) -> list[CriticalRow]:
        """Receive a message, work it off and look; returns what the watch made of it."""
        self.hub.receive("lab_oru", body)
        self.hub.work()
        return self.look()

    def look(self) -> list[CriticalRow]:
        """Look once at what was written; returns the rows that were made."""
        self.ms = max(self.ms, now_ms())
        before = {row.id for row in self.rows()}
        while self.watch.step():
            pass
        return [row for row in self.rows() if row.id not in before]

    def rows(self) -> list[CriticalRow]:
        """Return every row, oldest first."""
        return sorted((*self.staff.criticals.open(), *self.staff.criticals.past()), key=lambda row: row.id)

    def close(self) -> None:
        self.staff.close()
        self.hub.close()
