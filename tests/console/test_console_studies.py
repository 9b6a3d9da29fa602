"""The pages about studies: found by what is sealed in the address, shown, bound by hand, all recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from console_imaging import ROOT, keep
from console_people import Console, console_of, received, text_of
from hub_project import Hub, make_project

from engine.channels.node.opening import open_imaging
from engine.kernel.imaging import Linked

BOUND, OTHER = f"{ROOT}.1", f"{ROOT}.2"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """A hub with two studies: one of the patient of the registration, one of nobody."""
    project = received(Hub.open(make_project(tmp_path_factory.mktemp("studies") / "project")))
    console = console_of(project)
    console.hub.images = imaging = open_imaging(project.config, project.keyring)
    number, name = NUMBER, "THISTLEDOWN^IMOGEN"
    keep(imaging, BOUND, 1, PatientID=number, PatientName=name, PatientBirthDate="", PatientSex="")
    keep(imaging, OTHER, 2, PatientID="NOBODY", PatientName="<script>^Quill", PatientBirthDate="19600101")
    for n, study in enumerate((BOUND, OTHER), 1):
        imaging.index.tell(study, 1, n, Linked("unmatched", "no-order"))
    yield console
    imaging.close()
    console.close()
    project.close()


NUMBER = "1004217"


def at(console: Console, study: str = BOUND) -> str:
    assert console.hub.images is not None
    return f"/studies/{console.hub.images.index.holding.name_of(study)}"


def test_the_list_has_every_study_and_is_recorded(made: Console) -> None:
    told = made.as_("operator").json("/studies.json")
    assert {s["uid"] for s in told["studies"]} == {BOUND, OTHER}
    assert told["to_reconcile"] == 2
    assert made.audit() == [("operator", "console:studies", "studies", "")]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ({"patient": "NOBODY"}, [OTHER]),
        ({"accession": "ACC1"}, [BOUND]),
        ({"name": "thistledown"}, [BOUND]),
        ({"name": "Thistledown, Imogen"}, [BOUND]),
        ({"uid": OTHER}, [OTHER]),
        ({"modality": "ct", "since": "2026-05-01", "until": "2026-05-02"}, [BOUND, OTHER]),
        ({"modality": "MR"}, []),
        ({"since": "2026-06-01"}, []),
    ],
)
def test_a_search_is_sealed_in_the_address(made: Console, words: dict[str, str], found: list[str]) -> None:
    someone = made.as_("operator")
    where = someone.post("/studies", words).headers["location"]
    for value in words.values():
        assert value not in where
    shown = someone.json(where.replace("/studies?", "/studies.json?"))["studies"]
    assert sorted(s["uid"] for s in shown) == sorted(found)
    who, action, what, detail = made.audit()[0]
    assert (who, action, what) == ("operator", "console:studies", "studies")
    assert all(value in detail for value in words.values())


def test_what_is_no_date_is_said(made: Console) -> None:
    someone = made.as_("operator")
    where = someone.post("/studies", {"since": "yesterday"}).headers["location"]
    assert "no date" in text_of(someone.get(where).text)


def test_one_study_says_whose_it_may_be(made: Console) -> None:
    told = made.as_("analyst").json(f"{at(made)}.json")
    assert told["study"]["uid"] == BOUND and told["unsettled"]
    assert told["study"]["why"] == [
        "nobody ordered it, or its order has not come; or its Patient ID has no issuer"
    ]
    assert [s["instances"] for s in told["series"]] == [1]
    assert [(c["why"], c["against"]) for c in told["candidates"]] == [("has the Patient ID", "")]
    assert made.audit()[0][:3] == (
        "analyst",
        "console:study",
        at(made).strip("/").replace("studies", "study"),
    )
    other = made.as_("analyst").get(at(made, OTHER)).text
    assert "Nobody here has its numbers" in other and "<script>" not in other


def test_a_series_has_a_picture_and_no_other_studys(made: Console) -> None:
    someone = made.as_("operator")
    number = someone.json(f"{at(made)}.json")["series"][0]["number"]
    picture = someone.get(f"{at(made)}/picture/{number}")
    assert picture.headers["content-type"] == "image/jpeg" and picture.content[:2] == b"\xff\xd8"
    assert "sandbox" in picture.headers["content-security-policy"]
    for wrong in (number + 1, 999, "x", "../1"):
        assert someone.client.get(f"{at(made)}/picture/{wrong}").status_code == 404


def test_who_may_not_see_studies_sees_none(made: Console) -> None:
    for role in ("viewer", "auditor", "admin"):
        for path in ("/studies", at(made), f"{at(made)}/picture/1"):
            assert made.as_(role).client.get(path).status_code == 403
    elsewhere = made.as_("operator", channels=("lab_oru",))
    assert elsewhere.json("/studies.json")["studies"] == []
    elsewhere.get(at(made), 403)
    made.as_("operator").get("/studies/" + "0" * 32, 404)
    made.as_("operator").get("/studies/nothing", 404)


def test_binding_asks_for_a_reason_and_holds(made: Console) -> None:
    analyst, operator = made.as_("analyst"), made.as_("operator")
    (one,) = analyst.json(f"{at(made)}.json")["candidates"]
    operator.post(f"{at(made)}/bind", {"choice": one["patient"], "why": "armband"}, 403)
    analyst.post(f"{at(made)}/bind", {"choice": one["patient"], "why": " "}, 409)
    analyst.post(f"{at(made)}/bind", {"why": "armband"}, 409)
    assert made.hub.images is not None and made.hub.images.index.bound(BOUND) is None
    analyst.post(f"{at(made)}/bind", {"choice": one["patient"], "why": "armband checked"})
    told = operator.json(f"{at(made)}.json")
    assert told["bound"] == [one["patient"], "", "analyst", "armband checked"]
    assert told["study"]["bound_by"] == "analyst" and not told["unsettled"]
    waiting = operator.json("/studies.json?list=waiting")["studies"]
    assert [s["uid"] for s in waiting] == [OTHER]
    analyst.post(f"{at(made)}/unbind", {"why": "wrong armband"})
    assert made.hub.images.index.bound(BOUND) is None
    actions = [row[1] for row in made.audit(2)]
    assert actions == ["imaging:unbind", "console:study unbound"]


def test_a_hub_without_a_node_says_so(console: Console) -> None:
    assert "keeps no images" in text_of(console.as_("operator").get("/studies").text)


def test_a_study_of_an_order_shows_order_patient_and_messages(fresh_console: Callable[[], Console]) -> None:
    console = fresh_console()
    project = console.project
    project.take("lab_oru", "orders/orm_o01_imaging_new_v2.4")
    (order,) = project.store.search("ServiceRequest", [], 10).resources
    patient = order["subject"]["reference"].removeprefix("Patient/")
    number = next(i["value"] for i in order["identifier"] if i.get("value"))
    console.hub.images = imaging = open_imaging(project.config, project.keyring)
    keep(imaging, BOUND, 1, PatientID="", PatientName="", AccessionNumber=number, PatientSex="")
    imaging.index.tell(BOUND, 1, 1, Linked("mismatch", "name-differs", "accession", order_id=order["id"]))
    analyst = console.as_("analyst")
    where = f"/studies/{imaging.index.holding.name_of(BOUND)}"
    found = analyst.json(f"{where}.json")["candidates"]
    assert (patient, order["id"]) in [(c["patient"], c["order"]) for c in found]
    analyst.post(f"{where}/bind", {"choice": f"{patient} {order['id']}", "why": "log book"})
    imaging.index.tell(BOUND, 2, 2, Linked("linked", "", "hand", None, patient, None, order["id"]))
    told = analyst.json(f"{where}.json")
    assert told["belongs"]["order"]["id"] == order["id"] and told["belongs"]["entries"] == [1]
    assert told["belongs"]["patient"]["patient"] == patient
    page = analyst.get(where).text
    assert f"ServiceRequest/{order['id']}" in page and 'href="/message/1"' in page
    imaging.close()
