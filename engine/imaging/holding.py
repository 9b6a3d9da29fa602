"""Rows of the index as records: what is held of studies, series and instances, opened.

In: sealed rows. Out: `HeldStudy`, `HeldInstance`, `StudyTree`, and the attributes of each level in the DICOM
JSON model with what the index counts itself (PS3.4 C.6.1.1, C.6.2.1: modalities, related series and
instances).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import orjson

from engine.formats.dicom.jsonmodel import from_model
from engine.imaging.adding import OTHER_BYTES
from engine.imaging.database import Database, Session
from engine.imaging.keys import Keys, Model, first
from engine.kernel.imaging import HeldInstance, HeldStudy, StudyTree

__all__ = ["Holding", "series_model", "study_model"]

STUDY_COLUMNS = (
    "s.id, s.uid, s.sealed, s.channel, s.series, s.instances, s.changed, s.told, s.version, s.link, "
    "s.reason, s.mark, s.bound"
)
_INSTANCES = (
    "SELECT i.id, i.uid, i.sealed, i.address, i.size, i.entry, i.received, x.id, x.uid, x.sealed, s.id, "
    "s.uid, s.sealed, s.channel FROM instance i "
    "JOIN series x ON x.id = i.series JOIN study s ON s.id = x.study "
)
_IN_ORDER = " ORDER BY s.id, x.number, x.id, i.number, i.id"
_STUDY, _SERIES, _CLASS, _INSTANCE = "0020000D", "0020000E", "00080016", "00080018"


def study_model(held: Model, series: int, instances: int) -> Model:
    """Return the attributes of a study, with those the index counts."""
    own: Model = held["a"]
    return own | {
        "00080061": _values("CS", held["m"]),
        "00080062": _values("UI", held["c"]),
        "00201206": _values("IS", [series]),
        "00201208": _values("IS", [instances]),
    }


def series_model(held: Model, instances: int) -> Model:
    """Return the attributes of a series, with the one the index counts."""
    return held | {"00201209": _values("IS", [instances])}


def _values(vr: str, values: Sequence[Any]) -> Model:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


class Holding:
    """Reads what is held."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database, self._keys = database, keys

    def open(self, kind: str, uid: bytes, sealed: bytes) -> Any:
        """Open the record of one row."""
        return orjson.loads(self._keys.unseal(bytes(sealed), f"imaging {kind} ".encode() + bytes(uid)))

    def look(self, sop_instance: str) -> HeldInstance | None:
        """Return one instance by its UID."""
        return next(iter(self.instances(sop=(sop_instance,))), None)

    def instances(
        self, study: str = "", series: str = "", sop: Sequence[str] = (), attributes: bool = True
    ) -> list[HeldInstance]:
        """Return the instances of a study, a series, or with these UIDs, in series and instance number order.

        Without `attributes` their datasets are empty, which is quicker where only the objects are wanted.
        """
        where, values = [], []
        for kind, column, uid in (("study", "s.uid", study), ("series", "x.uid", series)):
            if uid:
                where.append(f"{column} = ?")
                values.append(self._keys.uid(kind, uid))
        found: list[tuple[Any, ...]] = []
        with self._database.read() as session:
            if not sop:
                if not where:
                    return []
                found = session.all(f"{_INSTANCES}WHERE {' AND '.join(where)}{_IN_ORDER}", values)
            else:
                found = session.among(
                    f"{_INSTANCES}WHERE i.uid IN (...){_IN_ORDER}",
                    [self._keys.uid("instance", uid) for uid in dict.fromkeys(sop)],
                )
        wanted = dict(
            zip((kind for kind, uid in (("study", study), ("series", series)) if uid), values, strict=True)
        )
        return [
            held
            for row, held in self._held(found, attributes)
            if wanted.get("study", row[11]) == bytes(row[11])
            and wanted.get("series", row[8]) == bytes(row[8])
        ]

    def after(self, number: int, limit: int) -> list[tuple[int, str, str, HeldInstance]]:
        """Return instances after one of the index's own numbers: (number, channel, sender, instance)."""
        with self._database.read() as session:
            rows = session.all(f"{_INSTANCES}WHERE i.id > ? ORDER BY i.id LIMIT ?", (number, limit))
        said = []
        for row, held in self._held(rows, True):
            channel, sender, _ = self.open("instance", row[1], row[2])["p"]
            said.append((row[0], channel, sender, held))
        return said

    def _held(
        self, rows: Iterable[tuple[Any, ...]], attributes: bool, own: bool = False
    ) -> Iterator[tuple[tuple[Any, ...], HeldInstance]]:
        opened: dict[tuple[str, int], Any] = {}
        for row in rows:
            (
                _,
                uid,
                sealed,
                address,
                size,
                entry,
                received,
                x,
                series_uid,
                series_sealed,
                s,
                study_uid,
                held,
                _,
            ) = row
            mine = self.open("instance", uid, sealed)
            series = opened.get(("series", x)) or opened.setdefault(
                ("series", x), self.open("series", series_uid, series_sealed)
            )
            study = opened.get(("study", s)) or opened.setdefault(
                ("study", s), self.open("study", study_uid, held)["a"]
            )
            model = mine["a"] if own else study | series | mine["a"]
            yield (
                row,
                HeldInstance(
                    first(study, _STUDY),
                    first(series, _SERIES),
                    first(mine["a"], _CLASS),
                    first(mine["a"], _INSTANCE),
                    mine["t"],
                    bytes(address).hex(),
                    size,
                    entry,
                    received,
                    from_model(model if attributes else {}),
                ),
            )

    def study(self, uid: str) -> HeldStudy | None:
        """Return one study."""
        return next(iter(self.studies("WHERE s.uid = ?", (self._keys.uid("study", uid),))), None)

    def studies(self, rest: str, values: Sequence[Any] = ()) -> list[HeldStudy]:
        """Return the studies that a condition on `study s` names."""
        with self._database.read() as session:
            rows = session.all(f"SELECT {STUDY_COLUMNS} FROM study s {rest}", values)
        return [self._study(row) for row in rows]

    def _study(self, row: tuple[Any, ...]) -> HeldStudy:
        _, uid, sealed, channel, series, instances, changed, told, version, link, reason, mark, bound = row
        held = self.open("study", uid, sealed)
        by = "" if bound is None else self.open("bound", uid, bound)["who"]
        if mark == OTHER_BYTES and not by:
            reason = ", ".join(
                filter(None, (reason, mark))
            )  # it belongs where it belongs; somebody must look
        elif mark and not by:
            link, reason = "mismatch", mark
        return HeldStudy(
            first(held["a"], _STUDY),
            channel,
            from_model(study_model(held, series, instances)),
            series,
            instances,
            changed,
            told,
            version,
            link,
            reason,
            by,
        )

    def name_of(self, uid: str) -> str:
        """Return what stands for a study in addresses: a keyed hash of its UID."""
        return self._keys.uid("study", uid).hex()

    def named(self, name: str) -> HeldStudy | None:
        """Return the study that `name_of` gives this name."""
        try:
            key = bytes.fromhex(name)
        except ValueError:
            return None
        return next(iter(self.studies("WHERE s.uid = ?", (key,))), None)

    def series_of(self, uid: str) -> list[tuple[int, Any]]:
        """Return the series of a study, without instances: (number of the index, dataset)."""
        with self._database.read() as session:
            found = session.one("SELECT id FROM study WHERE uid = ?", (self._keys.uid("study", uid),))
            rows = self._series(session, found[0]) if found is not None else []
        return [(x, from_model(model)) for x, model in rows]

    def few(self, series: int, limit: int) -> list[HeldInstance]:
        """Return the first instances of a series, by the index's own number of it, without attributes."""
        with self._database.read() as session:
            sql = f"{_INSTANCES}WHERE i.series = ? ORDER BY i.number, i.id LIMIT ?"
            rows = session.all(sql, (series, limit))
        return [held for _, held in self._held(rows, False)]

    def tree(self, uid: str) -> StudyTree | None:
        """Return all of one study, each dataset with the attributes of its own level alone."""
        key = self._keys.uid("study", uid)
        with self._database.read() as session:
            found = session.all(f"SELECT {STUDY_COLUMNS} FROM study s WHERE s.uid = ?", (key,))
            if not found:
                return None
            number = found[0][0]
            series = self._series(session, number)
            rows = session.all(f"{_INSTANCES}WHERE x.study = ?{_IN_ORDER}", (number,))
        inside: dict[int, list[HeldInstance]] = {}
        for row, held in self._held(rows, True, own=True):
            inside.setdefault(row[7], []).append(held)
        return StudyTree(
            self._study(found[0]),
            tuple((from_model(model), tuple(inside.get(x, ()))) for x, model in series),
        )

    def _series(self, session: Session, study: int) -> list[tuple[int, Model]]:
        rows = session.all(
            "SELECT id, uid, sealed, instances FROM series WHERE study = ? ORDER BY number, id", (study,)
        )
        return [(x, series_model(self.open("series", uid, sealed), count)) for x, uid, sealed, count in rows]
