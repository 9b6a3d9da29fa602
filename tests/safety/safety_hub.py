"""A whole hub in one process, without sockets: intake, journal, worker, pipeline, core store; and short ways
to write synthetic messages.

In: bytes as a sender frames them. Out: what became of them (`Outcome`), and the FHIR that is in the store.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.channels.definition import Channel, load_channels
from engine.channels.pipeline import Pipeline
from engine.channels.replay import ask_replay
from engine.channels.worker import Worker
from engine.journal.sql import SqlJournal
from engine.kernel.message import Outcome
from engine.listeners.ack_rules import AckRules
from engine.listeners.intake import Intake, Source
from engine.listeners.metrics import Metrics
from engine.listeners.senders import Senders
from engine.mapping.project import Maps
from engine.security.keys import Keyring
from engine.store.sql import SqlStore

ROOT = Path(__file__).parents[2]
_numbers = itertools.count(1)


class _Line:
    """A connection that remembers its answers."""

    peer = "test"

    def __init__(self) -> None:
        self.answers: list[bytes] = []

    def answer(self, acks: list[bytes], frames: int) -> None:
        self.answers += acks

    def abandon(self) -> None:
        raise AssertionError("the connection was given up")

    def stop(self, reason: str) -> None:
        raise AssertionError(reason)


class Hub:
    """A hub on a fresh folder with the project's own maps and channels."""

    def __init__(self, folder: Path, maps: Maps) -> None:
        self.folder = folder
        keyring = Keyring.supplied(b"a secret of the safety suite, and of nothing else")
        self.journal = SqlJournal.open(f"sqlite:///{folder}/journal.db", keyring)
        self.store = SqlStore.open(f"sqlite:///{folder}/core.db", keyring)
        channels: list[Channel] = load_channels(ROOT)
        self.channels = {c.name: c for c in channels}
        self.pipeline = Pipeline(maps, channels, keyring.mac16)
        self.worker = Worker(self.journal, self.store, self.pipeline)
        self._turns: list[Any] = []
        self.intake = Intake(self.journal, self._turns.append, Metrics(), lambda: 0.0)
        self.answers: list[bytes] = []

    def close(self) -> None:
        self.journal.close()
        self.store.close()

    def send_all(self, message: str | bytes, channel: str) -> list[Outcome]:
        """Send one frame, work everything off, and return what became of each message in it."""
        before = self.journal.head()
        self.take(message, channel)
        self.work()
        return [self._outcome(n) for n in range(before + 1, self.journal.head() + 1)]

    def take(self, message: str | bytes, channel: str) -> None:
        """Send one frame, and leave it in the journal."""
        line = _Line()
        mllp = self.channels[channel].mllp
        assert mllp is not None
        data = message if isinstance(message, bytes) else message.replace("\n", "\r").encode()
        senders = Senders(channel, mllp.sender, mllp.senders, mllp.order)
        self.intake.accept(line, Source(channel, AckRules(mllp.rules), senders, mllp.sender), data)
        for turn in self._turns:
            turn()
        self._turns.clear()
        self.answers = line.answers

    def send(self, message: str | bytes, channel: str) -> Outcome:
        """Send one message and return what became of it."""
        (outcome,) = self.send_all(message, channel)
        return outcome

    def lab(self, message: str | bytes) -> Outcome:
        return self.send(message, "lab_oru")

    def adt(self, message: str | bytes) -> Outcome:
        return self.send(message, "adt")

    def any(self, message: str | bytes) -> Outcome:
        """Send a message of whatever type on the channel of registration, which takes every type then."""
        channel = self.channels["adt"]
        assert channel.mllp is not None
        rules = channel.mllp.rules.model_copy(update={"accept": ()})
        self.channels["adt"] = replace(channel, mllp=channel.mllp.model_copy(update={"rules": rules}))
        return self.adt(message)

    def work(self) -> None:
        for _ in range(100):
            if not self.worker.step():
                return
        raise AssertionError("the worker does not come to an end")

    def replay(self, entry: int) -> Outcome:
        """Run an entry again and return the outcome of the replay."""
        asked = ask_replay(self.journal, entry, "a tester", "to see it again")
        self.work()
        return self._outcome(asked.id)

    def _outcome(self, entry: int) -> Outcome:
        found = self.store.outcome(entry)
        assert found is not None, f"nothing became of entry {entry}"
        return found

    def all(self, kind: str) -> list[dict[str, Any]]:
        """Return the current resources of a type, oldest first."""
        ids = dict.fromkeys(c.id for c in self.store.feed(0, 100_000) if c.type == kind)
        bodies = (self.store.read(kind, one) for one in ids)
        return [body for body in bodies if body is not None]

    def one(self, kind: str) -> dict[str, Any]:
        (found,) = self.all(kind)
        return found

    def patient(self, number: str) -> dict[str, Any]:
        """Return the Patient that has this number."""
        (found,) = [
            p for p in self.all("Patient") if number in [i.get("value") for i in p.get("identifier", ())]
        ]
        return found

    def of(self, number: str, kind: str) -> list[dict[str, Any]]:
        """Return the resources of a type about the patient with this number."""
        name = f"Patient/{self.patient(number)['id']}"
        return [r for r in self.all(kind) if (r.get("subject") or r.get("patient"))["reference"] == name]


def header(type_: str, app: str = "LIS", facility: str = "NORTH", control: str = "", at: str = "") -> str:
    return (
        f"MSH|^~\\&|{app}|{facility}|HUB|CDR|{at or '20260501120000-0500'}||{type_}"
        f"|{control or f'S{next(_numbers)}'}|P|2.5.1"
    )


def who(number: str = "77", name: str = "DOE^JO", born: str = "19800101", rest: str = "") -> str:
    """A PID; `number` alone is a record number of NORTH, `rest` is what follows PID-8."""
    full = number if "^" in number or not number else f"{number}^^^NORTH^MR"
    return f"PID|1||{full}||{name}||{born}|F{rest}"


def obx(
    value: object = "4.1",
    status: str = "F",
    code: str = "2823-3^Potassium^LN",
    *,
    kind: str = "NM",
    sub: str = "",
    flag: str = "",
    span: str = "",
    unit: str = "mmol/L",
) -> str:
    return f"OBX|1|{kind}|{code}|{sub}|{value}|{unit}|{span}|{flag}|||{status}"


def group(
    pid: str,
    *lines: str,
    filler: str = "F1^LIS",
    placer: str = "P1^EHR",
    status: str = "F",
    visit: str = "",
    reported: str = "20260501115900-0500",
) -> str:
    """One PATIENT_RESULT with one order."""
    parts = [pid, visit, f"ORC|RE|{placer}|{filler}"]
    parts.append(
        f"OBR|1|{placer}|{filler}|24320-4^Panel^LN|||20260501083000-0500"
        f"|||||||||||||||{reported}||LAB|{status}"
    )
    return "\n".join(filter(None, [*parts, *(lines or (obx(),))]))


def oru(pid: str = "", *lines: str, app: str = "LIS", facility: str = "NORTH", **more: Any) -> str:
    head = header("ORU^R01^ORU_R01", app, facility, more.pop("control", ""), more.pop("at", ""))
    return head + "\n" + group(pid or who(), *lines, **more)


def orm(control: str, pid: str = "", placer: str = "P1^EHR", state: str = "") -> str:
    return "\n".join(
        [
            header("ORM^O01", "EHR"),
            pid or who(),
            f"ORC|{control}|{placer}|||{state}",
            f"OBR|1|{placer}||58410-2^CBC^LN",
        ]
    )


def adt(event: str, pid: str = "", *segments: str, app: str = "ADTSYS", at: str = "") -> str:
    moment = at or "20260501120000-0500"
    return "\n".join(
        [header(f"ADT^{event}", app, at=moment), f"EVN|{event}|{moment}", pid or who(), *segments]
    )


def stay(number: str = "V100", kind: str = "I", since: str = "20260501114500-0500", until: str = "") -> str:
    """A PV1 in bed ICU^2^B of NORTH."""
    return f"PV1|1|{kind}|ICU^2^B^NORTH{'|' * 16}{number}^^^NORTH^VN{'|' * 25}{since}|{until}"


def merge(survivor: str, retired: str, *segments: str, name: str = "DOE^JO") -> str:
    pid = who(survivor, name)
    return adt("A40", pid, f"MRG|{retired}^^^NORTH^MR", *segments)
