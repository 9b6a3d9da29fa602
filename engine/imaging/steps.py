"""Performed procedure steps (PS3.4 F.7): their state, and the studies they belong to.

In: the state after each change, which is in the journal already. Out: one step, or those of a study.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from engine.formats.dicom.jsonmodel import from_model, to_model
from engine.formats.dicom.values import items_of, text_of
from engine.imaging.adding import sealed_json
from engine.imaging.database import Database
from engine.imaging.keys import Keys
from engine.kernel.imaging import Step

__all__ = ["Steps"]


class Steps:
    """The steps of one index."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database, self._keys = database, keys

    def step(self, uid: str) -> Step | None:
        """Return one step."""
        found = self._read("WHERE uid = ?", self._keys.uid("step", uid))
        return found[0] if found else None

    def steps_of(self, study: str) -> list[Step]:
        """Return the steps of a study, oldest first."""
        return self._read(
            "WHERE id IN (SELECT step FROM step_study WHERE study = ?) ORDER BY id",
            self._keys.uid("study", study),
        )

    def put_step(self, step: Step, studies: Iterable[str] = ()) -> None:
        """Write the state of a step down; an older state than the one that is known changes nothing."""
        key = self._keys.uid("step", step.uid)
        scheduled = items_of(step.dataset, "ScheduledStepAttributesSequence")
        named = {text_of(item, "StudyInstanceUID") for item in scheduled}
        held = {"u": step.uid, "a": to_model(step.dataset)}
        sealed = sealed_json(self._keys, held, b"imaging step " + key)
        with self._database.write(durable=True) as session:
            session.run(
                "INSERT INTO step (uid, sealed, status, entry) VALUES (?, ?, ?, ?) ON CONFLICT (uid) "
                "DO UPDATE SET sealed = excluded.sealed, status = excluded.status, entry = excluded.entry "
                "WHERE step.entry <= excluded.entry",
                (key, sealed, step.status, step.entry),
            )
            ((number,),) = session.all("SELECT id FROM step WHERE uid = ?", (key,))
            session.many(
                "INSERT INTO step_study (study, step) VALUES (?, ?) ON CONFLICT DO NOTHING",
                [(self._keys.uid("study", uid), number) for uid in sorted({*named, *studies} - {""})],
            )

    def _read(self, rest: str, value: Any) -> list[Step]:
        with self._database.read() as session:
            rows = session.all(f"SELECT uid, sealed, status, entry FROM step {rest}", (value,))
        steps = []
        for uid, sealed, status, entry in rows:
            held = orjson.loads(self._keys.unseal(bytes(sealed), b"imaging step " + bytes(uid)))
            steps.append(Step(held["u"], status, from_model(held["a"]), entry))
        return steps
