"""What one message costs in the core store: CPU and wall time of `apply` in batches, sealing and JSON
included.

python bench/store_apply.py [--messages 6000] [--batch 50] [--patients 2000] [--url sqlite:///...] [--profile]

A message is a synthetic lab result: 1 Patient (rotating, mostly unchanged), 1 Encounter, 1 ServiceRequest, 1
DiagnosticReport, 8 new Observations, 1 Practitioner, 4 Locations. Making the drafts is not counted.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.kernel.message import Draft, Work
from engine.security.keys import Keyring
from engine.store.sql import SqlStore

MRN, ORDER, STAFF, PLACE = "urn:oid:1.2.3.1", "urn:oid:1.2.3.2", "urn:oid:1.2.3.3", "urn:oid:1.2.3.4"
CODES = [f"{20000 + n}-{n % 10}" for n in range(120)]


def work(number: int, patients: int, made: Callable[..., str]) -> Work:
    """Make the work of one synthetic result message."""
    who = number % patients
    visit, order = f"V{who}", f"O{number}"
    drafts: list[Draft] = []

    def draft(name: str, kind: str, system: str, value: str, body: dict[str, Any], **more: Any) -> str:
        id_ = made(kind, system, value)
        drafts.append(
            Draft(name, kind, id_, {"resourceType": kind, **body}, ((system, value),), map=name, **more)
        )
        return f"urn:uuid:{id_}"

    patient = draft(
        "patient",
        "Patient",
        MRN,
        f"MRN{who:06d}",
        {
            "identifier": [{"use": "usual", "system": MRN, "value": f"MRN{who:06d}"}],
            "name": [{"family": f"Family{who}", "given": ["Test", "Q"]}],
            "birthDate": "1970-01-01",
            "gender": "female",
            "telecom": [{"system": "phone", "value": f"555-{who:04d}", "use": "home"}],
            "address": [{"line": [f"{who} Main Street"], "city": "Springfield", "postalCode": "12345"}],
        },
        labels={"telecom": ("home",), "name": ("legal",)},
    )
    parent = None
    for depth, level in enumerate(("facility", "building", "ward", "bed")):
        value = f"H1/{who % 5}/{who % 20}/{who % 100}"[: 2 + 2 * depth]
        body: dict[str, Any] = {"name": f"{level} {value}", "mode": "instance"}
        if parent:
            body["partOf"] = {"reference": parent}
        parent = draft(f"location_{level}", "Location", PLACE, value, body)
    encounter = draft(
        "encounter",
        "Encounter",
        ORDER,
        visit,
        {
            "identifier": [{"system": ORDER, "value": visit}],
            "status": "in-progress",
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "IMP"},
            "subject": {"reference": patient},
            "location": [{"location": {"reference": parent}}],
            "period": {"start": "2026-05-01T08:00:00+02:00"},
        },
    )
    doctor = draft(
        "doctor",
        "Practitioner",
        STAFF,
        f"D{number % 50}",
        {
            "identifier": [{"system": STAFF, "value": f"D{number % 50}"}],
            "name": [{"family": f"Doctor{number % 50}", "given": ["A"]}],
        },
    )
    about = {"subject": {"reference": patient}, "encounter": {"reference": encounter}}
    panel = {"coding": [{"system": "http://loinc.org", "code": "24323-8", "display": "Metabolic panel"}]}
    request = draft(
        "order",
        "ServiceRequest",
        ORDER,
        order,
        {
            "identifier": [{"system": ORDER, "value": order, "type": {"coding": [{"code": "PLAC"}]}}],
            "status": "active",
            "intent": "order",
            "code": panel,
            **about,
            "requester": {"reference": doctor},
            "authoredOn": "2026-05-01T09:00:00+02:00",
        },
    )
    results = []
    at = f"2026-05-01T10:{number % 60:02d}:00+02:00"
    for n in range(8):
        code = CODES[(number * 8 + n) % len(CODES)]
        key = f"4:MRN{who:06d}{len(order)}:{order}{len(code)}:{code}1:{n}"
        results.append(
            draft(
                f"result_{n}",
                "Observation",
                "urn:hub:result",
                key,
                {
                    "status": "final",
                    "category": [{"coding": [{"code": "laboratory"}]}],
                    "code": {
                        "coding": [
                            {"system": "http://loinc.org", "code": code, "display": f"Analyte {code}"},
                            {"system": "urn:local:lab", "code": f"L{code}"},
                        ]
                    },
                    **about,
                    "basedOn": [{"reference": request}],
                    "effectiveDateTime": at,
                    "valueQuantity": {"value": number % 1000 + n, "unit": "mmol/L"},
                    "referenceRange": [{"text": "3.5-5.1"}],
                    "performer": [{"reference": doctor}],
                },
            )
        )
    draft(
        "report",
        "DiagnosticReport",
        ORDER,
        f"F{number}",
        {
            "identifier": [
                {"system": ORDER, "value": f"F{number}", "type": {"coding": [{"code": "FILL"}]}},
                {"system": ORDER, "value": order, "type": {"coding": [{"code": "PLAC"}]}},
            ],
            "status": "final",
            "code": panel,
            **about,
            "basedOn": [{"reference": request}],
            "effectiveDateTime": at,
            "result": [{"reference": reference} for reference in results],
        },
    )
    search = (
        ("identifier", f"MRN{who:06d}"),
        ("order", order),
        ("order", f"F{number}"),
        ("control", f"C{number}"),
    )
    names = (("name", f"family{who}"), ("name", "test"), ("birthdate", "1970-01-01"))
    return Work(number, number, "lab", "ACME", (who % 64,), "r" * 16, drafts, search=search + names)


def main() -> None:
    """Run it and print the figures."""
    ask = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ask.add_argument("--messages", type=int, default=6000)
    ask.add_argument("--batch", type=int, default=50)
    ask.add_argument("--patients", type=int, default=2000)
    ask.add_argument("--url", default="")
    ask.add_argument("--profile", action="store_true")
    given = ask.parse_args()
    with tempfile.TemporaryDirectory(prefix="hub-bench-") as folder:
        url = given.url or f"sqlite:///{folder}/core.db"
        keyring = Keyring.supplied(b"0123456789abcdef0123456789abcdef")
        store = SqlStore.open(url, keyring)
        profile = cProfile.Profile()
        rounds = []
        for start in range(1, given.messages + 1, given.batch):
            batch = [
                work(number, given.patients, store.identify) for number in range(start, start + given.batch)
            ]
            if given.profile and start > given.messages // 2:
                profile.enable()
            wall, cpu = time.perf_counter(), time.process_time()
            outcomes = store.apply(batch)
            rounds.append((time.perf_counter() - wall, time.process_time() - cpu))
            profile.disable()
            assert all(outcome.status == "done" for outcome in outcomes), outcomes
        store.close()
        later = rounds[len(rounds) // 2 :]
        n = len(later) * given.batch
        middle = sorted(cpu for _, cpu in later)[len(later) // 2] / given.batch * 1e6
        print(f"{given.messages} messages in batches of {given.batch}; figures are of the second half")
        print(f"CPU   {sum(cpu for _, cpu in later) / n * 1e6:7.0f} us a message (median batch {middle:.0f})")
        print(f"wall  {sum(wall for wall, _ in later) / n * 1e6:7.0f} us a message")
        print(f"RSS   {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024:7d} MB")
        if not given.url:
            size = sum(os.path.getsize(path) for path in Path(folder).iterdir())
            print(f"disk  {size / given.messages:7.0f} bytes a message")
        if given.profile:
            pstats.Stats(profile).sort_stats("tottime").print_stats(35)


if __name__ == "__main__":
    main()
