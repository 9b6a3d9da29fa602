"""`hub dicom studies|bind|copy|queue`: what this project holds of imaging.

In: filters, a study, whose it is. Out: lists, bindings, files. Who looks at patient data is in the audit
table before it is shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.channels.node.opening import Imaging, open_imaging
from engine.channels.node.reconcile import bind as bind_study
from engine.channels.node.reconcile import reports_of, unbind
from engine.cli.dicomcalls import query_of
from engine.cli.opened import Opened, opened, who
from engine.cli.printing import print_json
from engine.formats.dicom.deidentify import deidentified
from engine.formats.dicom.uids import study_uid_of
from engine.kernel.clock import iso, now_ms
from engine.kernel.errors import FormatError, HubError
from engine.kernel.imaging import HeldStudy
from engine.store.audit import Access

__all__ = ["bind", "copy", "queue", "studies"]

_PIECE = 1 << 20
_MOST = 100_000


@contextmanager
def _held(root: Path) -> Iterator[tuple[Opened, Imaging]]:
    with opened(root) as hub:
        imaging = open_imaging(hub.config, hub.keyring)
        try:
            yield hub, imaging
        finally:
            imaging.close()


def studies(root: Path, keys: Sequence[str], reconcile: bool, limit: int, as_json: bool) -> int:
    """List studies; returns 1 where there is none."""
    with _held(root) as (hub, imaging):
        hub.store.audit.record(Access(who(), "imaging:list", "study", " ".join(keys)))
        if reconcile:
            found: list[HeldStudy] = imaging.index.reconcile(limit)
        else:
            query = query_of(keys, ("StudyInstanceUID",))
            uids = [str(one.StudyInstanceUID) for one in imaging.index.search("STUDY", query, limit)]
            found = [study for uid in uids if (study := imaging.index.study(uid)) is not None]
        rows = [_row(one) for one in found]
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            print("  ".join(str(row[name] or "-") for name in row))
        print(f"{len(rows)} studies")
    return 0 if rows else 1


def _row(study: HeldStudy) -> dict[str, Any]:
    said = study.dataset
    return {
        "study": study.uid,
        "date": str(said.get("StudyDate") or ""),
        "patient": str(said.get("PatientID") or ""),
        "name": str(said.get("PatientName") or ""),
        "accession": str(said.get("AccessionNumber") or ""),
        "series": study.series,
        "instances": study.instances,
        "link": study.link or "not looked for yet",
        "reason": study.reason,
        "bound_by": study.bound_by,
        "changed": iso(study.changed),
    }


def bind(root: Path, uid: str, patient: str, order: str, why: str, undo: bool) -> int:
    """Bind a study, or take the binding back."""
    with _held(root) as (hub, imaging):
        if undo:
            unbind(hub.store, imaging.index, uid, who=who(), why=why)
            print(f"{uid}: the binding is taken back; the rules decide again")
            return 0
        person, request = bind_study(
            hub.store, imaging.index, uid, patient=patient, order=order, who=who(), why=why, at=now_ms()
        )
        reports = reports_of(imaging.index, uid)
    print(f"{uid}: bound to Patient/{person}" + (f" and ServiceRequest/{request}" if request else ""))
    if reports:
        shown = ", ".join(map(str, reports[:20])) + (" ..." if len(reports) > 20 else "")
        print(f"look at its reports, too: each is filed by the number it carries itself (entries {shown})")
    return 0


def copy(root: Path, uid: str, out: Path, why: str, deidentify: bool, others: bool = False) -> int:
    """Write a study's objects into a folder; returns 1 where one could not be written.

    `others`: what came under the UIDs of its objects with other bytes, in their place.
    """
    if not why.strip():
        raise HubError("a copy needs a reason", where="--why", remedy="say what it is for")
    refused = 0
    with _held(root) as (hub, imaging):
        if others:
            rest = imaging.index.others(_MOST, study=uid)
            held = [(f"entry{entry}", address) for entry, address, _ in rest]
        else:
            found = imaging.index.instances(study=uid, attributes=False)
            held = [(f"{n:06}", one.address) for n, one in enumerate(found, 1)]
        if not held:
            what = "nothing came with other bytes for this study" if others else "no such study is held"
            raise HubError(what, where=uid, remedy="hub dicom studies lists them")
        action = "imaging:copy-deidentified" if deidentify else "imaging:copy"
        hub.store.audit.record(Access(who(), action, "study", f"{uid} {why}"))
        out.mkdir(parents=True, exist_ok=True)

        def another(given: str) -> str:
            return study_uid_of(hub.keyring.mac16("deidentified uid", given))

        for name, address in held:
            path = out / f"{name}.dcm"
            with imaging.objects.open(address) as stream, path.open("wb") as to:
                try:
                    pieces = (
                        deidentified(stream, another)
                        if deidentify
                        else iter(lambda: stream.read(_PIECE), b"")
                    )
                    for piece in pieces:
                        to.write(piece)
                except FormatError as e:
                    print(f"{path.name}: {e}")
                    refused += 1
                    path.unlink()
    print(f"{len(held) - refused} of {len(held)} objects in {out}")
    return 1 if refused else 0


def queue(root: Path, again: str, as_json: bool) -> int:
    """Show what waits to be forwarded."""
    with _held(root) as (hub, imaging):
        if again:
            hub.store.audit.record(Access(who(), "imaging:send-again", "objects", again))
            print(f"{again}: {imaging.index.send_again(again)} objects are tried again")
        found = imaging.index.backlog()
    if as_json:
        print_json({to: {"waiting": b.waiting, "parked": b.parked} for to, b in found.items()})
    else:
        for to, b in sorted(found.items()):
            print(f"{to}: {b.waiting} waiting, {b.parked} parked")
        if not found:
            print("nothing waits")
    return 0
