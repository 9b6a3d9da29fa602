"""Studies: imaging that was received, whose it is, which wait for a person, and saying whose they are.

In: the index of imaging, the core store. Out: lists by page, one study with its series and small pictures,
the list of those that belong to nobody for certain. What was searched for is sealed in the address; a
study's address is a keyed hash of its UID. Every view is in the audit.
"""

from __future__ import annotations

from typing import Any

from engine.channels.node.opening import Imaging
from engine.channels.node.reconcile import bind, reports_of, unbind
from engine.channels.node.studies import belongs, candidates, find, line_of, series_of
from engine.console.answers import Download, Goto, Page, Refused
from engine.console.dicomweb_rendered import thumbnail
from engine.console.dicomweb_retrieve import Held
from engine.console.door import Door
from engine.console.exchange import Ask
from engine.console.refusals import Refusal
from engine.console.visit import Visit
from engine.imaging.searching import TooBroad
from engine.kernel.clock import now_ms
from engine.kernel.errors import FormatError
from engine.kernel.imaging import HeldStudy

__all__ = ["add"]

_A_PAGE = 50
_DEEPEST = 1000  # studies a list goes back; further the search must be narrower
_SERIES = 200
_LOOKED_IN = 5  # instances of a series that a picture is looked for in
WORDS = ("patient", "name", "accession", "uid", "since", "until", "modality")


def _imaging(visit: Visit) -> Imaging:
    imaging = visit.hub.imaging()
    if imaging is None:
        raise Refused(
            404, "This hub keeps no images.", "A DICOM node is a channel with receive: {dicom: ...}."
        )
    return imaging


def _held(visit: Visit, permission: str = "see.studies") -> tuple[Imaging, HeldStudy]:
    """Return the study of the address, where the person may see it."""
    imaging = _imaging(visit)
    study = imaging.index.holding.named(visit.path["study"])
    if study is None:
        raise Refused(404, "There is no such study.", "It may have been deleted by the retention policy.")
    visit.require(permission, study.channel)
    return imaging, study


def _what(visit: Visit) -> str:
    return f"study/{visit.path['study']}"


def _list(visit: Visit) -> Page:
    if visit.hub.imaging() is None:
        return Page("studies.html", {"held": False}, "Studies")
    index = _imaging(visit).index
    words: dict[str, Any] = visit.hub.unseal(visit.query["q"]) if visit.query.get("q") else {}
    given = {word: str(words.get(word, "")) for word in WORDS}
    at = int(page) if (page := visit.query.get("from", "")).isdigit() and len(page) < 6 else 0
    waiting = visit.query.get("list") == "waiting"
    visit.saw("studies waiting" if waiting else "studies", "studies", " ".join(filter(None, given.values())))
    said, studies = "", []
    try:
        if waiting:
            behind = index.holding.named(visit.query.get("after", ""))
            studies = index.reconcile(_A_PAGE + 1, behind.uid if behind is not None else "")
        else:
            studies = find(index, given, _A_PAGE + 1, min(at, _DEEPEST))
    except FormatError as e:
        said = f"{e.what}: {e.remedy}"
    except TooBroad as e:
        said = f"{e.what}: {e.remedy}"
    more, last = len(studies) > _A_PAGE, studies[_A_PAGE - 1].uid if len(studies) > _A_PAGE else ""
    counts = index.counts()
    facts = {
        "held": True,
        "words": given,
        "q": visit.query.get("q", ""),
        "studies": [line_of(index, s) for s in studies[:_A_PAGE] if visit.may("see.studies", s.channel)],
        "waiting": waiting,
        "to_reconcile": counts["reconcile"],
        "total": counts["studies"],
        "next_from": at + _A_PAGE if more and not waiting and at + _A_PAGE < _DEEPEST else 0,
        "next_after": index.holding.name_of(last) if waiting and last else "",
        "problem": said,
    }
    return Page("studies.html", facts, "Studies")


def _one(visit: Visit) -> Page:
    imaging, study = _held(visit)
    index = imaging.index
    visit.saw("study", _what(visit), study.uid)
    series = series_of(index, study.uid)
    linked = index.linked(study.uid)
    others = index.others(20, study=study.uid)
    unsettled = study.link != "linked" and not study.bound_by
    facts = {
        "study": line_of(index, study),
        "series": series[:_SERIES],
        "more_series": max(0, len(series) - _SERIES),
        "belongs": belongs(visit.hub.store, study.uid, linked),
        "bound": index.bound(study.uid),
        "unsettled": unsettled,
        "candidates": candidates(visit.hub.store, study) if unsettled else [],
        "others": [{"entry": entry, "study": uid} for entry, _, uid in others],
        "may_bind": visit.may("bind.studies", study.channel),
        "told": study.told,
    }
    return Page("study.html", facts, "Study")


def _picture(visit: Visit) -> Download | Refused:
    imaging, study = _held(visit)
    number = visit.path["series"]
    known = {x for x, _ in imaging.index.holding.series_of(study.uid)}
    if not number.isdigit() or len(number) > 15 or int(number) not in known:
        raise Refused(404, "The study has no such series.")
    instances = imaging.index.holding.few(int(number), _LOOKED_IN)
    if not instances:
        raise Refused(404, "The series is empty.")
    visit.saw("study picture", _what(visit), f"{study.uid} {instances[0].series}")
    ask = Ask("GET", headers={"accept": "image/jpeg"})
    try:
        made = thumbnail(
            Held("series", (study.uid, instances[0].series), instances), ask, imaging.objects.open
        )
    except Refusal as refused:
        return Refused(refused.status, "There is no picture of this series.", str(refused))
    body = made.body if isinstance(made.body, bytes) else b"".join(made.body)
    return Download(body, made.media, "series.jpg", inline=True)


def _bind(visit: Visit) -> Goto:
    imaging, study = _held(visit, "bind.studies")
    chosen = visit.form.get("choice", "")
    patient, _, order = chosen.partition(" ")
    patient = visit.form.get("patient", "").strip() or patient
    order = visit.form.get("order", "").strip() or order
    why = visit.form.get("why", "").strip()
    visit.saw("study bound", _what(visit), f"{study.uid} {why}")
    bind(
        visit.hub.store,
        imaging.index,
        study.uid,
        patient=patient,
        order=order,
        who=visit.person.name,
        why=why,
        at=now_ms(),
    )
    reports = reports_of(imaging.index, study.uid)
    look = ""
    if reports:
        shown = ", ".join(map(str, reports[:10])) + (" ..." if len(reports) > 10 else "")
        look = f" Look at its reports, too: each is filed by the number it carries itself (entries {shown})."
    return Goto(f"/studies/{visit.path['study']}", f"The study is bound; it is told again in a moment.{look}")


def _unbind(visit: Visit) -> Goto:
    imaging, study = _held(visit, "bind.studies")
    why = visit.form.get("why", "").strip()
    visit.saw("study unbound", _what(visit), f"{study.uid} {why}")
    unbind(visit.hub.store, imaging.index, study.uid, who=visit.person.name, why=why)
    return Goto(f"/studies/{visit.path['study']}", "The binding is taken back; the rules decide again.")


def add(door: Door) -> None:
    """Add the pages."""

    @door.get("/studies", needs="see.studies")
    def studies(visit: Visit) -> Page:
        """List studies: the newest, those that fit a search, or those that wait for a person."""
        return _list(visit)

    @door.post("/studies", needs="see.studies", records=False)
    def search(visit: Visit) -> Goto:
        """Search: what was typed is sealed in the address of the answer, which is recorded."""
        words = {word: visit.form.get(word, "").strip()[:200] for word in WORDS}
        return Goto(f"/studies?q={visit.hub.seal({k: v for k, v in words.items() if v})}")

    @door.get("/studies/{study}", needs="see.studies")
    def study(visit: Visit) -> Page:
        """Show one study."""
        return _one(visit)

    @door.get("/studies/{study}/picture/{series}", needs="see.studies", twin=False)
    def picture(visit: Visit) -> Download | Refused:
        """Give a small picture of a series."""
        return _picture(visit)

    @door.post("/studies/{study}/bind", needs="bind.studies")
    def bind_(visit: Visit) -> Goto:
        """Say whose study it is."""
        return _bind(visit)

    @door.post("/studies/{study}/unbind", needs="bind.studies")
    def unbind_(visit: Visit) -> Goto:
        """Take it back."""
        return _unbind(visit)
