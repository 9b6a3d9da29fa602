"""Queries of DICOM over what is held: keyed hashes narrow, the opened attributes decide.

In: a level and the identifier of a C-FIND, or the same made of a QIDO-RS URL. Out: candidates that match,
newest study first, each with the attributes of its level and those above. Follows PS3.4 C.4.1 and C.6. What
is opened for one query has a limit; a query that meets it ends with `TooBroad` after what was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.formats.dicom.attributes import level_of
from engine.formats.dicom.jsonmodel import from_model
from engine.formats.dicom.matching import LEVELS, matches
from engine.formats.dicom.values import texts_of
from engine.imaging.database import Database
from engine.imaging.holding import Holding, series_model, study_model
from engine.imaging.keys import Keys, Model, day_of
from engine.kernel.errors import FormatError, HubError

__all__ = ["MOST", "Search", "TooBroad"]

Dataset = Any

MOST = 20_000
"""Rows that are opened for one query."""

_A_TIME = 100
_EXACT = (("PatientID", "patient"), ("AccessionNumber", "accession"), ("StudyID", "study id"))
_UNIQUE = (
    ("StudyInstanceUID", "s.uid", "study", 0),
    ("SeriesInstanceUID", "x.uid", "series", 1),
    ("SOPInstanceUID", "i.uid", "instance", 2),
)
_DEPTH = {"PATIENT": 0, "STUDY": 0, "SERIES": 1, "IMAGE": 2}
_FROM = (
    "study s",
    "series x JOIN study s ON s.id = x.study",
    "instance i JOIN series x ON x.id = i.series JOIN study s ON s.id = x.study",
)
_ID = ("s.id", "x.id", "i.id")
_ROWS = (
    "SELECT s.id, s.id, s.uid, s.sealed, s.series, s.instances, s.patient",
    "SELECT x.id, s.id, s.uid, s.sealed, s.series, s.instances, s.patient, x.uid, x.sealed, x.instances",
    "SELECT i.id, s.id, s.uid, s.sealed, s.series, s.instances, s.patient, x.uid, x.sealed, x.instances, "
    "i.uid, i.sealed",
)


class TooBroad(HubError):
    """A query that asks for more than is opened for one."""


class Search:
    """Answers queries."""

    def __init__(self, database: Database, keys: Keys, holding: Holding) -> None:
        self._database, self._keys, self._holding = database, keys, holding

    def search(
        self, level: str, query: Dataset, limit: int = 0, offset: int = 0, most: int = MOST
    ) -> Iterator[Dataset]:
        """Yield what matches; `limit` 0 is all. Raises TooBroad after `most` rows."""
        if level not in LEVELS:
            raise FormatError(
                "this is no level of a query", where="(0008,0052)", remedy=f"say {', '.join(LEVELS)}"
            )
        depth = _DEPTH[level]
        where, values, few = self._narrowed(query, depth)
        order = "s.day DESC, s.id DESC"
        if depth and few:
            order += ", x.number, x.id" + (", i.number, i.id" if depth == 2 else "")
        elif depth:
            order = f"{_ID[depth]} DESC"
        sql = f"SELECT {_ID[depth]} FROM {_FROM[depth]}{where} ORDER BY {order} LIMIT {most + 1}"
        with self._database.read() as session:
            numbers = [row[0] for row in session.all(sql, values)]
        found = 0
        patients: set[int] = set()
        for start in range(0, min(len(numbers), most), _A_TIME):
            part = numbers[start : min(start + _A_TIME, most)]
            for row, model in self._opened(depth, part):
                if level == "PATIENT" and row[6] in patients:
                    continue
                candidate = from_model(model)
                if not matches(query, candidate, level=level):
                    continue
                patients.add(row[6])
                found += 1
                if found <= offset:
                    continue
                yield self._patient(model, row[6]) if level == "PATIENT" else candidate
                if limit and found >= offset + limit:
                    return
        if len(numbers) > most:
            raise TooBroad(
                "the query is too broad",
                why=f"more than {most} rows would have to be opened for it",
                remedy="ask for a study date, a patient ID or the beginning of a name",
            )

    def _narrowed(self, query: Dataset, depth: int) -> tuple[str, list[Any], bool]:
        """Return the condition that hashes can decide, its values, and whether it leaves a few studies."""
        where: list[str] = []
        values: list[Any] = []
        few = False
        for keyword, column, kind, at in _UNIQUE:
            asked = texts_of(query, keyword)
            if asked and at <= depth:
                where.append(f"{column} IN ({','.join('?' * len(asked))})")
                values += [self._keys.uid(kind, uid) for uid in asked]
                few = True
        terms = []
        for keyword, kind in _EXACT:
            asked = texts_of(query, keyword)
            if asked and not any(set(value) & set("*?") for value in asked):
                terms.append([self._keys.term(kind, value) for value in asked])
                few = True
        names = [self._keys.name(value) for value in texts_of(query, "PatientName")]
        if names and None not in names:
            terms.append([name for name in names if name is not None])
        for macs in terms:
            where.append(f"s.id IN (SELECT study FROM term WHERE mac IN ({','.join('?' * len(macs))}))")
            values += macs
        days = [] if texts_of(query, "TimezoneOffsetFromUTC") else texts_of(query, "StudyDate")
        if len(days) == 1:
            begin, dash, end = days[0].partition("-")
            lowest, highest = day_of(begin), day_of(end if dash else begin)
            if lowest or highest:
                where.append("s.day BETWEEN ? AND ?")
                values += [lowest or 1, highest or 99_999_999]
        return (f" WHERE {' AND '.join(where)}" if where else ""), values, few

    def _opened(self, depth: int, numbers: list[int]) -> Iterator[tuple[tuple[Any, ...], Model]]:
        """Open rows in the order of their numbers; each with all that its level has."""
        sql = f"{_ROWS[depth]} FROM {_FROM[depth]} WHERE {_ID[depth]} IN (...)"
        with self._database.read() as session:
            rows = {row[0]: row for row in session.among(sql, numbers)}
        studies: dict[int, Model] = {}
        opened: dict[bytes, Model] = {}
        for number in numbers:
            row = rows.get(number)
            if row is None:
                continue  # forgotten meanwhile
            if row[1] not in studies:
                studies[row[1]] = study_model(self._holding.open("study", row[2], row[3]), row[4], row[5])
            model = studies[row[1]]
            if depth:
                series = bytes(row[7])
                if series not in opened:
                    opened[series] = series_model(self._holding.open("series", row[7], row[8]), row[9])
                model = model | opened[series]
            if depth == 2:
                model = model | self._holding.open("instance", row[10], row[11])["a"]
            yield row, model

    def _patient(self, model: Model, patient: int) -> Dataset:
        """Return what is known of a patient by one of the studies, and how much is held."""
        with self._database.read() as session:
            ((studies, series, instances),) = session.all(
                "SELECT COUNT(*), SUM(series), SUM(instances) FROM study WHERE patient = ?", (patient,)
            )
        own = {tag: attribute for tag, attribute in model.items() if level_of(int(tag, 16)) == "PATIENT"}
        counts = (("00201200", studies), ("00201202", series), ("00201204", instances))
        return from_model(own | {tag: {"vr": "IS", "Value": [int(n or 0)]} for tag, n in counts})
