"""Changes at the console: from a draft to live and back, who may do what, and who sees values of messages."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from console_people import Console, Someone, text_of

from engine.channels import changejobs, deciding
from engine.channels.changejobs import impact_now, job_of, start, wait
from engine.channels.deciding import check
from engine.channels.drafts import Draft, Drafts
from engine.kernel.config import Config

OBX = "mappings/hl7v2/segments/OBX_Observation.yaml"
ROW = "  interpretation:    {from: OBX-8, code: InterpretationCode}\n"


@pytest.fixture
def console(fresh_console: Callable[[], Console], monkeypatch: pytest.MonkeyPatch) -> Console:
    """A hub with results, whose checks take no time and whose jobs run at once."""
    made = fresh_console()
    for name in ("potassium", "cmp", "final"):
        made.project.take("lab_oru", f"lab/oru_{name}")
    made.project.take("adt", "adt/adt_a01_admit")
    drafts = Drafts(made.hub.config, made.hub.staff)

    def at_once(config: Config, kind: str, draft: Draft, who: str, last: int = 1000, days: int = 0) -> None:
        if kind == "checks":
            check(drafts, draft.number, who)
        else:
            impact_now(drafts, draft.number, last, days)

    monkeypatch.setattr(deciding, "_looked", lambda root, base: ([], [], ""))
    monkeypatch.setattr(changejobs, "start", at_once)
    return made


def drafted(console: Console, who: Someone, change: Callable[[str], str], path: str = OBX) -> str:
    """Begin a draft with one change; returns its address."""
    at = who.post("/changes", {"title": "Interpretation as sent"}).headers["location"]
    text = (console.project.root / path).read_text()
    assert change(text) != text
    who.post(f"{at}/edit", {"path": path, "text": change(text).replace("\n", "\r\n")})
    return str(at)


def plain_row(text: str) -> str:
    return text.replace(ROW, "  interpretation:    OBX-8\n")


def test_from_a_draft_to_live_and_back(console: Console) -> None:
    ana, cleo = console.as_("analyst", name="ana"), console.as_("approver", name="cleo")
    root = console.project.root
    before = (root / OBX).read_text()
    at = drafted(console, ana, plain_row)
    ana.post(f"{at}/do", {"do": "ask"}, status=409)
    ana.post(f"{at}/do", {"do": "checks"})
    ana.post(f"{at}/do", {"do": "impact", "last": "100", "days": "0"})
    facts = ana.json(f"{at}.json")
    assert facts["state"] == "checked" and facts["checks"]["failed"] == []
    (group,) = facts["impact"]["groups"]
    assert (
        group["label"] == "OBX_Observation/interpretation" and facts["impact"]["changed"] == group["messages"]
    )
    assert facts["files"][0]["path"] == OBX and "+  interpretation:    OBX-8" in facts["files"][0]["diff"]
    page_text = ana.get(at).text
    assert "OBX_Observation/interpretation" in text_of(page_text) and "/message/1" in page_text
    ana.post(f"{at}/do", {"do": "ask", "text": "as sent, please"})
    digest = facts["digest"]
    ana.post(f"{at}/decide", {"do": "approve", "digest": digest}, status=403)
    cleo.post(f"{at}/decide", {"do": "approve", "digest": "0" * 64}, status=409)
    cleo.post(f"{at}/decide", {"do": "live"}, status=409)
    cleo.post(f"{at}/decide", {"do": "approve", "digest": digest})
    cleo.post(f"{at}/decide", {"do": "live"})
    assert (root / OBX).read_text() == plain_row(before)
    entry = console.project.take("lab_oru", "lab/oru_cmp", {"OBX|1|": "OBX|91|"})
    assert console.project.worker.pipeline.maps.root == root
    first, second = console.project.store.outcome(1), console.project.store.outcome(entry)
    assert first is not None and second is not None and first.revision != second.revision
    page = cleo.json(f"{at}.json")
    assert page["state"] == "live" and page["changes"][0]["approved_by"] == "cleo"
    cleo.post(f"{at}/decide", {"do": "back", "change": str(page["changes"][0]["number"])})
    assert (root / OBX).read_text() == before
    assert cleo.json(f"{at}.json")["state"] == "rolled back"
    assert [c["kind"] for c in cleo.json("/changes/history.json")["changes"]] == ["back", "live"]
    assert "Interpretation as sent" in text_of(cleo.get("/changes/history").text)
    actions = [action for _, action, _, _ in console.audit(30)]
    for action in ("draft-begun", "draft-write", "change-checks", "change-impact", "change-ask"):
        assert f"console:{action}" in actions
    for action in ("change-approve", "change-live", "change-back"):
        assert actions.count(f"console:{action}") >= 1


def test_values_only_for_who_may_see_bodies(console: Console) -> None:
    ana = console.as_("analyst", name="ana")
    at = drafted(console, ana, lambda t: t.replace("valueQuantity:       OBX-5", "valueString:       OBX-5"))
    ana.post(f"{at}/do", {"do": "impact", "last": "100", "days": "0"})
    values = [
        v for g in ana.json(f"{at}.json")["impact"]["groups"] for e in g["effects"] for v in e["values"]
    ]
    assert values and any("value 4.1" in v["was"] for v in values)
    assert any(action == "console:change-values" for _, action, _, _ in console.audit(3))
    for someone in (
        console.as_("viewer"),
        console.as_("admin"),
        console.as_("operator", channels=("adt",), name="elsewhere"),
    ):
        facts = someone.json(f"{at}.json")
        assert facts["impact"]["groups"][0]["effects"][0]["samples"]
        assert [v for g in facts["impact"]["groups"] for e in g["effects"] for v in e["values"]] == []
        assert "value 4.1" not in someone.get(at).text and "value 4.1" not in someone.get(f"{at}/jobs").text


@pytest.mark.parametrize("role", ["viewer", "operator", "approver", "admin"])
def test_who_may_not_write(console: Console, role: str) -> None:
    ana, other = console.as_("analyst", name="ana"), console.as_(role)
    at = drafted(console, ana, plain_row)
    before = ana.json(f"{at}.json")["digest"]
    other.get(at)
    other.post("/changes", {"title": "Mine"}, status=403)
    other.get(f"{at}/edit?path={OBX}", status=403)
    other.post(f"{at}/edit", {"path": OBX, "text": "x"}, status=403)
    for what in ("ask", "rebase", "throw"):
        other.post(f"{at}/do", {"do": what}, status=403)
    assert ana.json(f"{at}.json")["digest"] == before


def test_approval_is_by_channel(console: Console) -> None:
    ana = console.as_("analyst", name="ana")
    path = "channels/adt.yaml"
    at = drafted(console, ana, lambda t: t + "\n# seen\n", path)
    ana.post(f"{at}/do", {"do": "checks"})
    ana.post(f"{at}/do", {"do": "ask"})
    digest = ana.json(f"{at}.json")["digest"]
    lab = console.as_("approver", channels=("lab_*",), name="lab")
    lab.post(f"{at}/decide", {"do": "approve", "digest": digest}, status=403)
    adt = console.as_("approver", channels=("adt",), name="adt")
    adt.post(f"{at}/decide", {"do": "send back", "text": ""}, status=409)
    adt.post(f"{at}/decide", {"do": "approve", "digest": digest})
    assert adt.json(f"{at}.json")["plan"]["problems"] == []
    other = console.as_("analyst", channels=("lab_*",), name="labanalyst")
    other.post(f"{at}/edit", {"path": path, "text": "x"}, status=403)


@pytest.mark.parametrize(
    "path", ["../config.yaml", "config.yaml", "/etc/passwd", "channels/../config.yaml", ""]
)
def test_no_other_file(console: Console, path: str) -> None:
    ana = console.as_("analyst", name="ana")
    at = ana.post("/changes", {"title": "Elsewhere"}).headers["location"]
    ana.post(f"{at}/edit", {"path": path, "text": "x"}, status=409)
    assert ana.client.get(f"{at}/edit", params={"path": path}).status_code == 409
    assert ana.json(f"{at}.json")["files"] == []


def test_what_others_typed_is_shown_as_text(console: Console) -> None:
    ana = console.as_("analyst", name="ana")
    evil = "<script>alert(1)</script>"
    at = ana.post("/changes", {"title": f"A {evil}"}).headers["location"]
    ana.post(f"{at}/edit", {"path": "channels/new.yaml", "text": f"channel: new\n# {evil}</textarea>\n"})
    ana.post(f"{at}/do", {"do": "comment", "text": evil})
    for page in (at, "/changes", f"{at}/edit?path=channels/new.yaml"):
        assert evil not in ana.get(page).text
    for nothing in ("/changes/999", "/changes/x", "/changes/1.5"):
        ana.get(nothing, status=404)


def test_somebody_elses_text_is_not_written_over(console: Console) -> None:
    ana, ben = console.as_("analyst", name="ana"), console.as_("analyst", name="ben")
    at = drafted(console, ana, plain_row)
    page = ben.get(f"{at}/edit?path={OBX}").text
    seen = page.split('name="seen" value="')[1].split('"')[0]
    ana.post(f"{at}/edit", {"path": OBX, "text": "other\n"})
    ben.post(f"{at}/edit", {"path": OBX, "text": "mine\n", "seen": seen}, status=409)


def test_the_impact_in_a_process_of_its_own(fresh_console: Callable[[], Console]) -> None:
    console = fresh_console()
    console.project.take("lab_oru", "lab/oru_cmp")
    drafts = Drafts(console.hub.config, console.hub.staff)
    draft = drafts.begin("A process", "ana")
    text = drafts.text(draft.number, OBX)
    assert text is not None
    draft = drafts.put(draft.number, OBX, plain_row(text), "ana")
    start(console.hub.config, "impact", draft, "ana", 10)
    done = wait(console.hub.config, "impact", draft.number)
    assert (done.state, done.why, done.done, done.changed) == ("done", "", 1, 1)
    assert job_of(console.hub.config, "impact", draft.number) == done
    assert job_of(console.hub.config, "checks", draft.number) is None
    facts = console.as_("viewer").json(f"/changes/{draft.number}.json")
    assert facts["impact"]["changed"] == 1 and facts["running"] is False


def test_what_people_say_of_a_change_is_for_who_may_see_bodies(console: Console) -> None:
    analyst, viewer = console.as_("analyst"), console.as_("viewer")
    there = analyst.post("/changes", {"title": "a title"}).headers["location"]
    analyst.post(f"{there}/do", {"do": "comment", "text": "wrong for DOE JANE"})
    assert "DOE JANE" in analyst.get(there).text
    assert (
        "analyst",
        "console:change-texts",
        there.strip("/").replace("changes", "draft"),
        "",
    ) in console.audit()
    for path in (there, f"{there}.json"):
        text = viewer.get(path).text
        assert "DOE" not in text and "a text that you may not see" in text
