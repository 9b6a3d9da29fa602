"""Objects become rows of the index: in batches, each entry once, nothing of two patients mixed in silence.

In: objects that are on disk and in the journal, with their headers. Out: studies, series and instances, with
what they are found by. What a study says first stays; what it left empty is filled in by later objects. Other
bytes under a SOP Instance UID that is held are written down, never served, and mark its study. A study whose
objects name two patients, or that shares a series with another study, keeps all its objects and is marked for
a person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from engine.formats.dicom.attributes import levels
from engine.formats.dicom.jsonmodel import to_model
from engine.imaging.database import Session
from engine.imaging.keys import (
    BIRTH_DATE,
    ISSUER,
    NAME,
    PATIENT_ID,
    STUDY_DATE,
    Keys,
    Model,
    day_of,
    first,
    letters,
)
from engine.kernel.errors import FormatError
from engine.kernel.imaging import Added, NewInstance

__all__ = ["OTHER_BYTES", "PATIENT_DIFFERS", "SERIES_SHARED", "Prepared", "add", "prepare", "sealed_json"]

PATIENT_DIFFERS = "patient-differs-inside-study"
SERIES_SHARED = "series-in-two-studies"
OTHER_BYTES = "other-bytes"
"""Marks of a study; the last one gives way to the others: what the study holds may still be one patient's."""
_MODALITY, _CLASS, _SERIES_NUMBER, _NUMBER = "00080060", "00080016", "00200011", "00200013"
_STUDY, _SERIES, _INSTANCE = "0020000D", "0020000E", "00080018"
_INTEGER = 1 << 31


@dataclass(slots=True)
class Prepared:
    """One object, ready for the transaction."""

    new: NewInstance
    uid: str  # of the study
    study: bytes
    series: bytes
    instance: bytes
    models: tuple[Model, Model]  # of the study, of the series
    sealed: bytes  # of the instance
    sop_class: str
    number: int


@dataclass(slots=True)
class _Study:
    id: int
    model: Model
    modalities: list[str]
    classes: list[str]
    series: int
    instances: int
    mark: str
    changed: int = 0
    resealed: bool = False


@dataclass(slots=True)
class _Batch:
    studies: dict[bytes, _Study] = field(default_factory=dict)
    series: dict[tuple[bytes, int], list[int]] = field(default_factory=dict)  # -> id, new instances
    instances: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)  # -> address, study
    rows: list[tuple[Any, ...]] = field(default_factory=list)
    others: list[tuple[Any, ...]] = field(default_factory=list)
    terms: set[tuple[int, int]] = field(default_factory=set)
    disputed: set[int] = field(default_factory=set)  # studies with other bytes under a UID


def prepare(keys: Keys, batch: Sequence[NewInstance]) -> list[Prepared]:
    """Do what needs no transaction. Raises FormatError for an object without its UIDs."""
    return [_prepared(keys, new) for new in batch]


def _prepared(keys: Keys, new: NewInstance) -> Prepared:
    study, series, instance = (to_model(level) for level in levels(new.header))
    uid, series_uid, sop = first(study, _STUDY), first(series, _SERIES), first(instance, _INSTANCE)
    if not (uid and series_uid and sop):
        raise FormatError("this object has no study, series or SOP instance UID", where=f"entry {new.entry}")
    key = keys.uid("instance", sop)
    syntax = str(getattr(new.header, "file_meta", {}).get("TransferSyntaxUID", ""))
    held = {"t": syntax, "p": [new.peer.channel, new.peer.aet, new.peer.address], "a": instance}
    return Prepared(
        new,
        uid,
        keys.uid("study", uid),
        keys.uid("series", series_uid),
        key,
        (study, series),
        sealed_json(keys, held, b"imaging instance " + key),
        first(instance, _CLASS),
        _number(instance, _NUMBER),
    )


def sealed_json(keys: Keys, held: Any, place: bytes) -> bytes:
    """Seal a record for its row."""
    return keys.seal(orjson.dumps(held), place)


def add(session: Session, keys: Keys, prepared: Sequence[Prepared]) -> list[Added]:
    """Write objects down; the same entry twice changes nothing."""
    batch = _known(session, keys, prepared)
    said = [_take(session, keys, batch, one) for one in prepared]
    session.many(
        "INSERT INTO instance (series, uid, sealed, number, address, size, entry, received) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        batch.rows,
    )
    session.many(
        "INSERT INTO other_bytes (entry, instance, study, address, size, received) VALUES (?, ?, ?, ?, ?, ?) "
        "ON CONFLICT DO NOTHING",
        batch.others,
    )
    session.many("INSERT INTO term (mac, study) VALUES (?, ?) ON CONFLICT DO NOTHING", sorted(batch.terms))
    session.many(
        "UPDATE series SET instances = instances + ? WHERE id = ?",
        [(count, number) for number, count in batch.series.values() if count],
    )
    for key, study in batch.studies.items():
        if study.changed:
            _update(session, keys, key, study)
    session.many(
        "UPDATE study SET mark = ? WHERE id = ? AND mark = ''",
        [(OTHER_BYTES, number) for number in sorted(batch.disputed)],
    )
    return said


def _known(session: Session, keys: Keys, prepared: Sequence[Prepared]) -> _Batch:
    batch = _Batch()
    for uid, address, study in session.among(
        "SELECT i.uid, i.address, x.study FROM instance i JOIN series x ON x.id = i.series "
        "WHERE i.uid IN (...)",
        list(dict.fromkeys(p.instance for p in prepared)),
    ):
        batch.instances[bytes(uid)] = (bytes(address), study)
    for number, uid, sealed, series, instances, mark in session.among(
        "SELECT id, uid, sealed, series, instances, mark FROM study WHERE uid IN (...)",
        list(dict.fromkeys(p.study for p in prepared)),
    ):
        held = orjson.loads(keys.unseal(bytes(sealed), b"imaging study " + bytes(uid)))
        batch.studies[bytes(uid)] = _Study(number, held["a"], held["m"], held["c"], series, instances, mark)
    for number, study, uid in session.among(
        "SELECT id, study, uid FROM series WHERE uid IN (...)",
        list(dict.fromkeys(p.series for p in prepared)),
    ):
        batch.series[bytes(uid), study] = [number, 0]
    return batch


def _take(session: Session, keys: Keys, batch: _Batch, one: Prepared) -> Added:
    new, address = one.new, bytes.fromhex(one.new.stored.address)
    study = batch.studies.get(one.study)
    known = batch.instances.get(one.instance)
    if known is not None and known[0] == address:
        return Added("same", one.uid)
    if known is not None or new.other:  # `other`: it does not take the place of what was held and is lost
        under = study.id if study is not None else 0
        batch.others.append((new.entry, one.instance, under, address, new.stored.size, new.received))
        batch.disputed.add(known[1] if known is not None else under)
        return Added("other", one.uid)
    if study is None:
        study = batch.studies[one.study] = _new_study(session, keys, one)
        batch.terms |= {(mac, study.id) for mac in keys.terms(one.models[0])}
    else:
        _compare(keys, batch, study, one.models[0])
    series = batch.series.get((one.series, study.id))
    if series is None:
        series = batch.series[one.series, study.id] = [_new_series(session, keys, one, study), 0]
        _shared(session, batch, one.series, study)
    batch.instances[one.instance] = (address, study.id)
    batch.rows.append(
        (
            series[0],
            one.instance,
            one.sealed,
            one.number,
            address,
            new.stored.size,
            new.entry,
            new.received,
        )
    )
    series[1] += 1
    study.instances += 1
    study.changed = max(study.changed, new.received)
    if one.sop_class not in study.classes:
        study.classes.append(one.sop_class)
        study.resealed = True
    return Added("new", one.uid)


def _new_study(session: Session, keys: Keys, one: Prepared) -> _Study:
    model = one.models[0]
    row = (one.study, b"", one.new.peer.channel, day_of(first(model, STUDY_DATE)), keys.patient(model))
    ((number,),) = session.all(
        "INSERT INTO study (uid, sealed, channel, day, patient, received, series, instances, changed, "
        "version, told, entry, link, reason, mark) "
        "VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0, 0, 0, 0, '', '', '') RETURNING id",
        (*row, one.new.received),
    )
    return _Study(number, dict(model), [], [], 0, 0, "", resealed=True)


def _new_series(session: Session, keys: Keys, one: Prepared, study: _Study) -> int:
    model = one.models[1]
    ((number,),) = session.all(
        "INSERT INTO series (study, uid, sealed, number, instances) VALUES (?, ?, ?, ?, 0) RETURNING id",
        (
            study.id,
            one.series,
            sealed_json(keys, model, b"imaging series " + one.series),
            _number(model, _SERIES_NUMBER),
        ),
    )
    study.series += 1
    modality = first(model, _MODALITY)
    if modality and modality not in study.modalities:
        study.modalities.append(modality)
        study.resealed = True
    return int(number)


def _shared(session: Session, batch: _Batch, series: bytes, study: _Study) -> None:
    """Mark two studies that say they own one series: UIDs are unique (PS3.5 9), somebody is wrong."""
    others = [number for (uid, number) in batch.series if uid == series and number != study.id]
    if not others:
        return
    _share(study)
    for number in others:
        inside = next((s for s in batch.studies.values() if s.id == number), None)
        if inside is not None:
            _share(inside)
            inside.changed = inside.changed or study.changed or 1
        session.run(
            "UPDATE study SET mark = ?, version = version + 1 WHERE id = ? AND mark IN ('', ?)",
            (SERIES_SHARED, number, OTHER_BYTES),
        )


def _share(study: _Study) -> None:
    if study.mark in ("", OTHER_BYTES):
        study.mark = SERIES_SHARED


def _compare(keys: Keys, batch: _Batch, study: _Study, model: Model) -> None:
    """Compare what a further object says of its study with what is known, and fill in what was empty."""
    if model == study.model:
        return
    if _another_patient(study.model, model):
        study.mark = PATIENT_DIFFERS
        return  # nothing of another patient's is filled in
    fresh = {
        tag: attribute
        for tag, attribute in model.items()
        if _valued(attribute) and not _valued(study.model.get(tag))
    }
    if fresh:
        study.model |= fresh
        study.resealed = True
        batch.terms |= {(mac, study.id) for mac in keys.terms(fresh)}


def _another_patient(known: Model, said: Model) -> bool:
    for tag in (PATIENT_ID, ISSUER, BIRTH_DATE, NAME):
        one, two = first(known, tag), first(said, tag)
        if tag == NAME:
            one, two = letters(one), letters(two)
        if one and two and one != two:
            return True
    return False


def _valued(attribute: Model | None) -> bool:
    return attribute is not None and bool(attribute.get("Value") or attribute.get("InlineBinary"))


def _update(session: Session, keys: Keys, key: bytes, study: _Study) -> None:
    columns = "series = ?, instances = ?, mark = ?, version = version + 1, changed = CASE WHEN changed > ? "
    columns += "THEN changed ELSE ? END"
    values: list[Any] = [study.series, study.instances, study.mark, study.changed, study.changed]
    if study.resealed:
        held = {"a": study.model, "m": study.modalities, "c": study.classes}
        columns += ", sealed = ?, day = ?, patient = ?"
        values.append(sealed_json(keys, held, b"imaging study " + key))
        values += [day_of(first(study.model, STUDY_DATE)), keys.patient(study.model)]
    session.run(f"UPDATE study SET {columns} WHERE id = ?", (*values, study.id))


def _number(model: Model, tag: str) -> int:
    text = first(model, tag)
    try:
        number = int(float(text)) if text else 0
    except (ValueError, OverflowError):
        return 0
    return number if -_INTEGER <= number < _INTEGER else 0
