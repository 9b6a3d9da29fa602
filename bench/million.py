"""A journal and a core store of as many messages as wanted, written by the hub's own code, fast.

In: a project's databases, a number of messages. Out: those messages in them, worked off: 8 channels, 200,000
patients, 90 days, results and registrations in the mix of a hospital; 3 % parked, 4 % flagged, some answers
and refusals. Every message goes through `journal.append` and `store.apply`; what a worker would make of it is
made here from the same numbers instead of by the maps (one Patient, and what was told of him), and
`tests/channels/test_million.py` holds the search words to be those of the real pipeline.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.journal.sql import SqlJournal
from engine.kernel.clock import now_ms
from engine.kernel.message import Draft, Flag, NewEntry, Work
from engine.store.sql import SqlStore

__all__ = ["CODES", "DAYS", "PATIENTS", "Made", "family", "fill", "message"]

PATIENTS, DAYS, BATCH = 200_000, 90, 1000
LANES = 64
MRN = "urn:oid:2.16.840.1.113883.19.5"
CHANNELS = (
    ("lab_oru", 45, ("ORU^R01",), ("ACMELIS|ACMELAB", "NORTHLIS|NORTHLAB", "LAKELIS|LAKESIDE")),
    ("adt", 30, ("ADT^A08", "ADT^A04", "ADT^A01", "ADT^A03", "ADT^A02"), ("EHR|MERCY", "EHR|NORTH")),
    ("orders", 9, ("ORM^O01", "OML^O21"), ("EHR|MERCY", "EHR|NORTH")),
    ("pharmacy", 6, ("RDE^O11", "RAS^O17"), ("PHARM|MERCY",)),
    ("care", 4, ("SIU^S12", "MDM^T02"), ("SCHED|MERCY", "DICT|MERCY")),
    ("business", 3, ("DFT^P03",), ("BILL|MERCY",)),
    ("immunization", 2, ("VXU^V04",), ("IZ|COUNTY",)),
    ("rare_feed", 1, ("ORU^R01", "ADT^A40"), ("OLD|CLINIC",)),
)
CAUSES = (
    ("ambiguous-patient", 30),
    ("unmapped-code", 30),
    ("no-map", 15),
    ("invalid", 15),
    ("patient-mismatch", 8),
    ("merge-conflict", 2),
)
CODES = [f"{20000 + n}-{n % 10}" for n in range(400)]
_SYLLABLES = ("ba", "ke", "lo", "mi", "nu", "ra", "so", "ti", "ve", "wa", "den", "ford", "ham", "ley", "son")


@dataclass(frozen=True, slots=True)
class Made:
    """One message: as a listener hands it over, and as a worker hands it on."""

    entry: NewEntry
    channel: str
    patient: int
    control: str
    order: str
    codes: tuple[str, ...]
    words: tuple[tuple[str, str], ...]


def family(number: int) -> str:
    """Return one of 3,000 family names; a few are had by many."""
    dice = random.Random(number % 3000 if number % 5 else number % 20)
    return "".join(dice.choice(_SYLLABLES) for _ in range(3)).upper()


def given(number: int) -> str:
    """Return one of 300 given names."""
    dice = random.Random(900_000 + number % 300)
    return "".join(dice.choice(_SYLLABLES) for _ in range(2)).upper()


def message(number: int, count: int, now: int) -> Made:
    """Make message `number` of `count`, the last of them received now."""
    dice = random.Random(number)
    name, _, types, senders = dice.choices(CHANNELS, [weight for _, weight, *_ in CHANNELS])[0]
    who = min(int(dice.paretovariate(0.6)), PATIENTS - 1) if dice.random() < 0.3 else dice.randrange(PATIENTS)
    type_, sender = dice.choices(types, [100, *(10,) * (len(types) - 1)])[0], dice.choice(senders)
    mrn, born = f"MRN{who:07d}", f"{1930 + who % 90}{who % 12 + 1:02d}{who % 28 + 1:02d}"
    control, order, visit = f"C{number:09d}", f"ORD{number // 3:08d}", f"V{who}-{number // 5000}"
    received = now - int((count - number) / count * DAYS * 86_400_000)
    app, facility = sender.split("|")
    lines = [
        f"MSH|^~\\&|{app}|{facility}|HUB|MERCY|20260501141000||{type_}|{control}|P|2.5.1",
        f"PID|1||{mrn}^^^MERCY^MR||{family(who)}^{given(who)}||{born}|F",
        f"PV1|1|I|2N||||||||||||||||{visit}",
    ]
    codes: tuple[str, ...] = ()
    if type_[:3] in ("ORU", "ORM", "OML"):
        first = int(dice.triangular(0, 399, 0))
        codes = (CODES[first], *(CODES[(first + n) % 400] for n in range(1, 7))) if type_[:3] == "ORU" else ()
        lines += [f"ORC|RE|{order}|F{order}", f"OBR|1|{order}|F{order}|{CODES[first]}^Panel^LN"]
        lines += [
            f"OBX|{n}|NM|{code}^Analyte {code}^LN||{dice.randrange(900) / 10}|mmol/L|1-9|N|||F"
            for n, code in enumerate(codes, 1)
        ]
        codes = codes or (CODES[first],)
    words = [("control", control), ("patient", mrn)]
    words += [("name", word.lower()) for word in (family(who), given(who))]
    words += [("birth", born), ("visit", visit)]
    if codes:
        words += [
            ("order", order),
            ("order", f"F{order}"),
            *(("code", code) for code in dict.fromkeys(codes)),
        ]
    entry = NewEntry(
        name,
        "\r".join(lines).encode(),
        received,
        sender,
        "10.1.2.3",
        control,
        type_,
        kind="refused" if number % 397 == 0 else "answer" if number % 211 == 0 else "message",
        order_keys=(f"MERCY|{mrn}",),
    )
    return Made(entry, name, who, control, order, codes, tuple(words))


def _work(number: int, made: Made, store: SqlStore, lanes: tuple[int, ...]) -> Work:
    """Make what a worker hands to the store."""
    dice = random.Random(-number)
    work = Work(number, number, made.channel, made.entry.sender, lanes, "r" * 16, search=made.words)
    if made.entry.kind == "answer":
        work.note = "acknowledgement"
        return work
    if made.entry.kind == "refused":
        work.parked = Flag("refused", "MSH", "the channel refused it and told the sender", True)
        return work
    if dice.random() < 0.03:
        cause = dice.choices([c for c, _ in CAUSES], [w for _, w in CAUSES])[0]
        work.parked = Flag(cause, "PID-3", "it waits for a person", True)
        return work
    if dice.random() < 0.04:
        work.flags.append(Flag("unmapped-code", "OBX[1]-3", "no table has this code", True))
    who, mrn = made.patient, f"MRN{made.patient:07d}"
    patient = store.identify("Patient", MRN, mrn)
    body = {
        "resourceType": "Patient",
        "identifier": [{"system": MRN, "value": mrn}],
        "name": [{"family": family(who), "given": [given(who)]}],
    }
    work.drafts.append(Draft("patient", "Patient", patient, body, ((MRN, mrn),), map="PID_Patient"))
    key = f"result-{number}"
    about: dict[str, Any] = {"reference": f"urn:uuid:{patient}"}
    code = {"coding": [{"system": "http://loinc.org", "code": made.codes[0] if made.codes else "00000-0"}]}
    if made.codes:
        told = {"resourceType": "Observation", "status": "final", "code": code, "subject": about}
        kind, name = "Observation", "OBX_Observation"
    else:
        told = {"resourceType": "Encounter", "status": "in-progress", "subject": about}
        kind, name = "Encounter", "PV1_Encounter"
    draft = Draft(name, kind, store.identify(kind, "urn:hub:bench", key), told, (("urn:hub:bench", key),))
    work.drafts.append(draft)
    return work


def fill(journal: SqlJournal, store: SqlStore, count: int, *, quiet: bool = False) -> None:
    """Append and work off messages until there are `count`."""
    now, begun = now_ms(), time.perf_counter()
    first = journal.head() + 1
    for start in range(first, count + 1, BATCH):
        made = [message(n, count, now) for n in range(start, min(start + BATCH, count + 1))]
        accepted = journal.append([one.entry for one in made])
        lanes = dict(journal.heads(start - 1, BATCH))
        works = [_work(a.id, one, store, lanes[a.id]) for a, one in zip(accepted, made, strict=True)]
        for part in _portions(works, 250):
            store.apply(part)
        if not quiet and (start // BATCH) % 20 == 0:
            rate = (start + BATCH - first) / (time.perf_counter() - begun)
            print(f"{start + BATCH - 1:,} messages, {rate:.0f}/s", file=sys.stderr, flush=True)


def _portions(works: list[Work], size: int) -> Iterator[list[Work]]:
    for at in range(0, len(works), size):
        yield works[at : at + size]
