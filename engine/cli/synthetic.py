"""Invented patients and their messages, for demonstrations and load: nobody here exists.

In: numbers and a time. Out: HL7 v2.5.1 ADT^A04 and ORU^R01 as bytes (ch. 3.3.4 and 7.3.1). Patient `n` is
always the same person, so that a second run finds the patients of the first.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

__all__ = ["Patient", "admission", "patient", "result"]

_FAMILY = [
    "Amberly",
    "Briarcote",
    "Candlewick",
    "Dunmarrow",
    "Elderfen",
    "Fennimoor",
    "Gorsefield",
    "Hartlebrae",
    "Inglewisp",
    "Juniperly",
    "Kestrelow",
    "Larkmere",
    "Mossgrave",
    "Nettlesby",
    "Oakhollow",
    "Pebblecroft",
    "Quillbarn",
    "Rushmeadow",
    "Silverbeck",
    "Thornwhistle",
]
_GIVEN = {
    "F": [
        "Aveline",
        "Brisa",
        "Corliss",
        "Delphie",
        "Elowen",
        "Fennel",
        "Ginevra",
        "Hesper",
        "Isolda",
        "Junia",
    ],
    "M": ["Alaric", "Bram", "Corwin", "Dorian", "Evander", "Florian", "Gareth", "Hollis", "Ivo", "Jasper"],
}
_STREETS = ["Lantern Row", "Mill Lane", "Heron Street", "Orchard Way", "Kiln Road", "Ferry Close"]
_TOWNS = (("Fairhollow", "60999"), ("Springholm", "62999"), ("Westmere", "61998"))
_TESTS = (
    ("2823-3", "Potassium [Moles/volume] in Serum or Plasma", "mmol/L", 3.5, 5.1, 1),
    ("2951-2", "Sodium [Moles/volume] in Serum or Plasma", "mmol/L", 135, 145, 0),
    ("2075-0", "Chloride [Moles/volume] in Serum or Plasma", "mmol/L", 98, 107, 0),
    ("2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", 0.6, 1.2, 2),
    ("2345-7", "Glucose [Mass/volume] in Serum or Plasma", "mg/dL", 70, 99, 0),
    ("718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", 12.0, 16.0, 1),
)
_AUTHORITY = "DEMO&2.16.840.1.113883.19.77&ISO"


@dataclass(frozen=True, slots=True)
class Patient:
    """One invented person."""

    number: int
    family: str
    given: str
    sex: str
    born: date
    street: str
    town: str
    postcode: str

    @property
    def pid(self) -> str:
        """Return the PID segment."""
        return (
            f"PID|1||D{self.number:06}^^^{_AUTHORITY}^MR||{self.family}^{self.given}^^^^^L||{self.born:%Y%m%d}|"
            f"{self.sex}|||{self.street}^^{self.town}^IL^{self.postcode}^USA^H"
        )

    @property
    def pv1(self) -> str:
        """Return the PV1 segment of the patient's one visit."""
        return f"PV1|1|O|DEMO^1^^DEMOCLINIC{'|' * 16}V{self.number:06}^^^{_AUTHORITY}^VN"


def patient(number: int) -> Patient:
    """Return patient `number`, always the same."""
    r = random.Random(number)
    sex = r.choice("FM")
    town, postcode = r.choice(_TOWNS)
    return Patient(
        number,
        r.choice(_FAMILY),
        r.choice(_GIVEN[sex]),
        sex,
        date(1935, 1, 1) + timedelta(days=r.randrange(31_000)),
        f"{r.randrange(1, 180)} {r.choice(_STREETS)}",
        town,
        postcode,
    )


def admission(who: Patient, control_id: str, at: datetime) -> bytes:
    """Return an ADT^A04 that registers the patient's visit."""
    when = _time(at)
    head = f"MSH|^~\\&|DEMOADT|DEMO|HUB|DEMO|{when}||ADT^A04^ADT_A01|{control_id}|P|2.5.1"
    return _message(head, f"EVN|A04|{when}", who.pid, who.pv1)


def result(who: Patient, control_id: str, at: datetime, r: random.Random) -> bytes:
    """Return an ORU^R01 with one to six new results of the patient."""
    when, order = _time(at), f"L{control_id}"
    tests = r.sample(_TESTS, r.randint(1, len(_TESTS)))
    lines = [
        f"MSH|^~\\&|DEMOLIS|DEMO|HUB|DEMO|{when}||ORU^R01^ORU_R01|{control_id}|P|2.5.1",
        who.pid,
        who.pv1,
        f"ORC|RE|P{control_id}^DEMOEHR|{order}^DEMOLIS",
        f"OBR|1|P{control_id}^DEMOEHR|{order}^DEMOLIS|24323-8^Comprehensive metabolic panel^LN|||{when}"
        + "|" * 15
        + f"{when}||LAB|F",
    ]
    for n, (code, name, unit, low, high, digits) in enumerate(tests, 1):
        value = r.gauss((low + high) / 2, (high - low) / 3)
        value = max(value, 10.0**-digits)
        flag = "L" if value < low else "H" if value > high else "N"
        lines.append(
            f"OBX|{n}|NM|{code}^{name}^LN||{value:.{digits}f}|{unit}^{unit}^UCUM|{low:g}-{high:g}|{flag}|||F|||{when}"
        )
    return _message(*lines)


def _time(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%d%H%M%S}+0000"


def _message(*segments: str) -> bytes:
    return "".join(f"{segment}\r" for segment in segments).encode()
