"""The pages about senders: what each sends, drift, coverage, the printed specification; codes for few."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from console_people import Console, console_of, received, text_of
from hub_project import Hub, make_project

from engine.channels.profiling.reading import Reading
from engine.channels.profiling.watch import cover_sender

ORU = (
    "MSH|^~\\&|QUILLFEATHER LAB|NORTH|HUB|CDR|202605041015||ORU^R01^ORU_R01|QC{n}|P|2.5.1\r"
    "PID|1||MRN{n}^^^NORTH^MR||Quillfeather^Ada||19800102|F\r"
    "OBR|1||A{n}^NORTH|CMP^Panel^L|||20260504083000-0500\r"
    "OBX|1|NM|ZTOP^Zinc of Ada^L||4.1|mmol/L|||||F\r"
    "ZLK|<script>alert(1)</script>\r"
)


def counted(console: Console) -> str:
    """Count what came, trace the laboratory's messages, return its address."""
    senders = console.hub.staff.senders
    reading = Reading(console.hub.journal, senders)
    while reading.step():
        pass
    line = next(one for one in senders.lines() if one.channel == "lab_oru" and one.looked)
    channel = next(c for c in console.hub.channels() if c.name == "lab_oru")
    cover_sender(console.hub.journal, senders, console.hub.maps(), channel, line)
    return f"/senders/{line.id}"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, str]]:
    """A hub whose laboratory's messages were counted, and the laboratory's address. Tests only read it."""
    project = received(Hub.open(make_project(tmp_path_factory.mktemp("senders") / "project")))
    for n in range(20):
        project.receive("lab_oru", ORU.format(n=n).encode(), sender="quill")
    console = console_of(project)
    senders = console.hub.staff.senders
    reading = Reading(console.hub.journal, senders)
    while reading.step():
        pass
    line = next(one for one in senders.lines() if one.sender == "quill")
    channel = next(c for c in console.hub.channels() if c.name == "lab_oru")
    cover_sender(console.hub.journal, senders, console.hub.maps(), channel, line)
    yield console, f"/senders/{line.id}"
    console.close()
    project.close()


PARTS = ("", "/fields", "/drift", "/coverage", "/specification")


def test_the_list_names_senders_and_what_is_new(made: tuple[Console, str]) -> None:
    console, at = made
    told = console.as_("viewer").json("/senders.json")
    quill = next(s for s in told["senders"] if s["sender"] == "quill")
    assert (quill["channel"], quill["messages"], quill["looked"], quill["signed"]) == (
        "lab_oru",
        20,
        20,
        None,
    )
    assert told["behind"] == 0
    assert f'href="{at}"' in console.as_("viewer").get("/senders").text


@pytest.mark.parametrize("part", PARTS)
def test_who_may_not_see_bodies_is_shown_no_code_and_no_value(made: tuple[Console, str], part: str) -> None:
    console, at = made
    for page in (at + part, f"{at}{part}.json"):
        seen = console.as_("viewer").get(page).text
        for value in ("Quillfeather", "QUILLFEATHER", "ZTOP", "Zinc", "MRN1", "QC1", "19800102", "alert(1)"):
            assert value not in seen, (page, value)


@pytest.mark.parametrize("part", ["/fields", "/specification"])
def test_who_may_see_bodies_sees_codes_and_that_is_recorded(made: tuple[Console, str], part: str) -> None:
    console, at = made
    assert "ZTOP" in console.as_("operator").get(at + part).text
    assert console.audit() == [
        ("operator", "console:sender codes", at.strip("/").replace("senders", "sender"), "")
    ]


def test_nothing_that_was_sent_becomes_markup(made: tuple[Console, str]) -> None:
    console, at = made
    for part in PARTS:
        page = console.as_("analyst").get(at + part).text
        assert "<script>alert" not in page and "style=" not in page


def test_who_has_other_channels_is_told_nothing(made: tuple[Console, str]) -> None:
    console, at = made
    stranger = console.as_("viewer", channels=("adt",))
    assert {s["channel"] for s in stranger.json("/senders.json")["senders"]} == {"adt"}
    for part in PARTS:
        stranger.get(at + part, 403)
    console.as_("viewer").get("/senders/" + "0" * 20, 404)


def test_fields_say_how_often_how_long_and_of_what_kind(made: tuple[Console, str]) -> None:
    console, at = made
    told = console.as_("viewer").json(f"{at}/fields.json?type=ORU^R01")
    fields = {f["place"]: f for s in told["segments"] for f in s["fields"]}
    assert (fields["PID-5.1"]["name"], fields["PID-5.1"]["share"], fields["PID-5.1"]["longest"]) == (
        "Family Name",
        1.0,
        12,
    )
    assert fields["OBX-3.1"]["coded"] == 1 and fields["OBX-3.1"]["codes"] == []
    assert fields["OBX-5"]["kinds"] == [["decimal number", 20]]
    entry = fields["OBX-5"]["last_entry"]
    assert f'href="/message/{entry}"' in console.as_("viewer").get(f"{at}/fields?type=ORU^R01").text
    console.as_("viewer").get(f"{at}/fields?type=XYZ", 404)


def test_coverage_has_a_word_for_every_state(made: tuple[Console, str]) -> None:
    console, at = made
    told = console.as_("viewer").json(f"{at}/coverage.json")
    states = {r["place"]: r["state"] for r in told["rows"]}
    assert states["PID-5.1"] == "mapped" and states["ZLK-1"] == "unmapped"
    assert states["MSH-5"] == "ignored" and states["OBX-3.1"] == "code unknown"
    assert sum(n for _, n in told["totals"]) == len(told["rows"])
    words = text_of(console.as_("viewer").get(f"{at}/coverage?state=code unknown").text)
    assert "OBX-3.1" in words and "PID-5.1" not in words


def test_the_specification_has_everything_to_print(made: tuple[Console, str]) -> None:
    console, at = made
    words = text_of(console.as_("operator").get(f"{at}/specification").text)
    for text in (
        "Transport",
        "MLLP on",
        "ORU^R01",
        "Family Name",
        "Patient.name.family",
        "Code sets",
        "ZTOP",
    ):
        assert text in words, text
    spec = console.as_("viewer").json(f"{at}/specification.json")["spec"]
    sample = spec["types"][0]["sample"]
    assert sample.splitlines()[1] == "PID|0||ID NUMBER^^^CODE^CODE||FAMILY NAME^GIVEN NAME||20000101|CODE"


def test_signing_makes_a_version_and_drift_begins(
    fresh_console: Callable[[], Console],
) -> None:
    console = fresh_console()
    project = console.project
    for n in range(30):
        project.receive("lab_oru", ORU.format(n=n).encode(), sender="quill")
    at = counted(console)
    analyst = console.as_("analyst")
    console.as_("viewer").client.post(f"{at}/sign", data={"csrf": "csrf-viewer"})
    assert console.hub.staff.senders.lines()[0].signed is None
    analyst.post(f"{at}/sign", {"note": "agreed with Ada"})
    assert console.audit()[0][:3] == ("analyst", "console:sender signed", at[1:].replace("senders", "sender"))
    for n in range(30, 50):
        project.receive("lab_oru", ORU.format(n=n).replace("ZTOP^Z", "ZNEW^Z").encode(), sender="quill")
    counted(console)
    told = analyst.json(f"{at}/drift.json")
    assert [(d["kind"], d["place"]) for d in told["drift"]] == [("new codes", "OBX-3.1")]
    assert told["drift"][0]["values"] == ["ZNEW^Zinc of Ada^L"]
    viewer = console.as_("viewer").get(f"{at}/drift").text
    assert "1 new code in OBX-3.1" in viewer and "ZNEW" not in viewer and "with Ada" not in viewer
    assert "1 difference" in text_of(console.as_("viewer").get("/senders").text)
    profile = analyst.get(f"{at}/profile.yaml")
    assert "profile: quill" in profile.text
    console.as_("viewer").get(f"{at}/profile.yaml", 403)


def test_where_something_is_used_and_codes_for_few(made: tuple[Console, str]) -> None:
    console, at = made
    viewer, operator = console.as_("viewer"), console.as_("operator")
    where = viewer.post("/where", {"what": "PID-5"}).headers["location"]
    assert "PID" not in where
    told = viewer.json(where.replace("/where?", "/where.json?"))
    assert at.rpartition("/")[2] in {use["sender"] for use in told["found"] if use["kind"] == "sender"}
    assert any(use["name"].startswith("PID_Patient/") for use in told["found"])
    code = viewer.post("/where", {"what": "ZTOP"}).headers["location"]
    assert "Nothing here uses it" in text_of(viewer.get(code).text)
    assert "20 times in OBX-3.1" in text_of(operator.get(code).text)
    assert console.audit()[0][:3] == ("operator", "console:where", "senders")
    scoped = console.as_("viewer", channels=("adt",)).json(where.replace("/where?", "/where.json?"))
    assert not any(use["sender"] for use in scoped["found"] if use["name"] == "quill")
