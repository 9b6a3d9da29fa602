"""An invented laboratory that sends: a journal, a staff database, messages that vary as a test says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from engine.channels.profiling.contract import drift_of
from engine.channels.profiling.drift import Drift
from engine.channels.profiling.reading import Reading
from engine.journal.sql import SqlJournal
from engine.kernel.message import NewEntry
from engine.security.keys import Keyring
from engine.staff.staff import Staff

MINUTE = 60_000
BEGIN = 1_780_000_000_000
ORU = (
    "MSH|^~\\&|GLASSLAB|BROOK|HUB|CDR|20260504101500-0500||ORU^R01^ORU_R01|C{n}|P|2.5.1\r"
    "PID|1||MRN{n}^^^BROOK^MR||Quillfeather^Ada||19800102|F\r"
    "PV1|1|O||||||||||||||||||||||||||||||||||||||||||20260504090000-0500\r"
    "OBR|1||A{n}^GLASSLAB|CMP^Panel^L|||20260504083000-0500\r"
    "OBX|1|NM|K^Potassium^L||4.{n}|mmol/L^^UCUM|||||F\r"
)


@dataclass
class Lab:
    """A sender, what is journalled of it and what is known of it."""

    journal: SqlJournal
    staff: Staff
    count: int = 0
    channel: str = "lab_oru"
    sender: str = "glasslab"
    readings: list[int] = field(default_factory=list)

    @classmethod
    def open(cls, folder: Path) -> Lab:
        keyring = Keyring.supplied(b"a secret of the sender tests, and of nothing else")
        return cls(
            SqlJournal.open(f"sqlite:///{folder}/journal.db", keyring),
            Staff.open(f"sqlite:///{folder}/staff.db", keyring),
        )

    def close(self) -> None:
        self.journal.close()
        self.staff.close()

    @property
    def id(self) -> str:
        return self.staff.senders.id_of(self.channel, self.sender)

    def send(self, count: int = 1, edit: Callable[[str], str] = str, kind: str = "message") -> None:
        """Put messages into the journal, a minute apart."""
        entries = []
        for _ in range(count):
            self.count += 1
            body = edit(ORU.format(n=self.count)).encode()
            code = (body.split(b"|") + [b""] * 9)[8].decode().split("^")
            entries.append(
                NewEntry(
                    self.channel,
                    body,
                    BEGIN + self.count * MINUTE,
                    self.sender,
                    "10.0.0.1",
                    f"C{self.count}",
                    "^".join(code[:2]),
                    kind=kind,
                )
            )
        self.journal.append(entries)

    def read(self) -> None:
        """Count what is new."""
        reading = Reading(self.journal, self.staff.senders)
        while reading.step():
            pass

    def drift(self) -> list[Drift]:
        self.read()
        return drift_of(self.staff.senders, self.id)
