"""Nothing that a message says becomes markup; nothing of it is shown to who may not see it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from console_people import Console, console_of
from hub_project import Hub, make_project, shipped_maps
from message_attacks import (
    ATTACK,
    Tags,
    attacked_cda,
    attacked_dicom,
    attacked_script,
    attacked_v2,
    attacked_x12,
)

TABS = ("", "/fhir", "/lineage", "/timeline", "/compare?with=1", "/replay", "/edit")


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    project = Hub.open(make_project(tmp_path_factory.mktemp("attacked") / "project"), shipped_maps())
    project.receive("lab_oru", attacked_v2(), reason=f"{ATTACK}")
    for body in (attacked_cda(), attacked_script(), attacked_x12(), attacked_dicom()):
        project.receive("lab_oru", body)
    project.receive("lab_oru", f"GET /{ATTACK} HTTP/1.1\r\n".encode(), "garbage", ATTACK)
    project.receive("lab_oru", attacked_v2().replace(b"2823-3", b"2951-2"), "refused", ATTACK)
    project.work()
    made = console_of(project)
    yield made
    made.close()
    project.close()


def test_the_reader_notices() -> None:
    assert Tags(f"<p>{ATTACK}</p>").found
    assert Tags('<a href="javascript:x()">x</a>').found
    assert not Tags(
        '<script type="module" src="/static/hub.js?v=1"></script><a href="?at=OBX%5B1%5D">x</a>'
    ).found


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("entry", [1, 2, 3, 4, 5, 6, 7])
def test_no_field_of_any_format_becomes_markup(attacked: Console, entry: int, tab: str) -> None:
    page = attacked.as_("analyst").client.get(f"/message/{entry}{tab}", follow_redirects=False)
    assert page.status_code in (200, 409)
    assert Tags(page.text).found == []
    if tab == "":
        assert "&lt;script&gt;" in page.text  # it is shown, as what it is


def test_every_place_of_a_message_is_there_and_escaped(attacked: Console) -> None:
    page = attacked.as_("analyst").get("/message/1").text
    assert page.count("&lt;script&gt;alert(2)&lt;/script&gt;") > 40


@pytest.mark.parametrize(
    "query", ["?at=", "?of=", "?from=1&at=", "/fhir?of=", "/lineage?state=", "/compare?with=", "?from="]
)
def test_no_word_of_an_address_becomes_markup(attacked: Console, query: str) -> None:
    someone = attacked.as_("analyst")
    for headers in ({}, {"HX-Request": "true"}):
        page = someone.client.get(f"/message/1{query}{ATTACK}", headers=headers, follow_redirects=False)
        assert page.status_code in (200, 400)
        assert Tags(page.text).found == []


def test_a_file_can_do_nothing(attacked: Console) -> None:
    someone = attacked.as_("analyst")
    text = someone.get("/message/1/content/1")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    assert text.text == ATTACK
    page = someone.get("/message/2/content/1")
    assert page.headers["content-type"].startswith("text/html") and Tags(page.text).found == ["<style>"]
    for answer in (text, page, someone.get("/message/1/download")):
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert ATTACK not in answer.headers["content-disposition"]
    assert someone.get("/message/1/download").headers["content-disposition"].startswith("attachment")
    assert someone.get("/message/1/download").content == attacked_v2()


@pytest.mark.parametrize("role", ["viewer", "admin"])
@pytest.mark.parametrize("entry", [1, 2, 5, 6, 7])
def test_who_may_not_see_bodies_sees_no_value(attacked: Console, role: str, entry: int) -> None:
    someone = attacked.as_(role)
    before = attacked.project.store.audit.head()[0]
    for tab in TABS[:5]:
        path, _, query = f"/message/{entry}{tab}".partition("?")
        for address in (f"{path}?{query}&at=PID[1]&of=Patient", f"{path}.json?{query}&at=PID[1]"):
            for headers in ({}, {"HX-Request": "true"}):
                page = someone.client.get(address, headers=headers, follow_redirects=False)
                assert page.status_code == 200, (address, page.text[:500])
                shown = page.text.replace(attacked_control(), "").replace(attacked_sender(), "")
                for one in ("667788", "19800101", "V9", "O9", "2823-3", "GET /"):
                    assert one not in shown, (address, one)
    for tab in ("/replay", "/edit", "/download", "/content/1", "/thumbnail"):
        someone.get(f"/message/{entry}{tab}", 403)
    rows = attacked.project.store.audit.rows(before, 100)
    assert {row.action for row in rows} == {"console:refused"}  # nothing was opened


def attacked_control() -> str:
    return "X" + ATTACK


def attacked_sender() -> str:
    return "LIS" + ATTACK


def test_a_reason_may_quote_a_message(attacked: Console) -> None:
    assert attacked.as_("operator").json("/message/6.json")["reason"] == ATTACK
    assert attacked.as_("viewer").json("/message/6.json")["reason"] == ""


def test_another_channel_is_closed(attacked: Console) -> None:
    elsewhere = attacked.as_("analyst", channels=("adt*",))
    for tab in (*TABS, "/download", "/content/1"):
        elsewhere.get(f"/message/1{tab}", 403)
    for path in ("/replay", "/edit", "/edit/send"):
        elsewhere.post(f"/message/1{path}", {"why": "because", "text": "x"}, status=403)


def test_a_broken_glass_opens_and_says_so(attacked: Console) -> None:
    someone = attacked.as_("viewer", glass=("lab_*",))
    assert "667788" in someone.get("/message/1").text
    assert attacked.audit()[-1][1:3] == ("console:message:open:glass", "entry/1")
    someone.get("/message/1/download", 403)
    someone.get("/message/1/replay", 403)
    operator = attacked.as_("admin").get("/message/1").text
    assert "/glass?channel=lab_oru" in operator


def test_a_header_that_holds_anything_is_shown_to_nobody_who_may_not_open(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    project = Hub.open(make_project(tmp_path_factory.mktemp("header") / "project"))
    sound = project.sample("lab/oru_potassium")
    project.receive("lab_oru", sound)
    project.receive("lab_oru", sound.replace(b"|LAB0001|", b"|DOE^JANE|"))
    project.receive("lab_oru", sound.replace(b"|ORU^R01^ORU_R01|", b"|DOE^JANE|"))
    project.receive("lab_oru", sound.replace(b"|LAB0001|", b"|DOE19800101|"), "refused", "DOE")
    project.work()
    console = console_of(project)
    viewer, operator = console.as_("viewer"), console.as_("operator")
    for entry in (1, 2, 3, 4):
        for tab in TABS[:5]:
            page = viewer.get(f"/message/{entry}{tab}").text
            path, _, query = f"/message/{entry}{tab}".partition("?")
            page += viewer.get(f"{path}.json?{query}").text
            assert "DOE" not in page, (entry, tab)
            assert entry != 1 or "LAB0001" in page
    assert "DOE^JANE" in operator.get("/message/2").text
    console.close()
    project.close()
