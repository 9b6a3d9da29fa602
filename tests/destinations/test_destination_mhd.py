"""Documents to an exchange: what is owed, what is posted, whose patient, what an answer hides."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from behaviour import MARKS, Behaviour
from exchange_side import Exchange
from fhir_side import outcome
from sharing_samples import BARE, FULL

from engine.destinations.mhd import Mhd
from engine.destinations.mhd_settings import MhdSettings
from engine.fhir.validate import validate
from engine.kernel.delivery import Around, Parcel, Receipt

SAMPLE = FULL.replace(b"Sample", MARKS[0].encode()).replace(b">Jo<", f">{MARKS[1]}<".encode())
CODES = {
    "document_class": {"code": "34133-9", "system": "http://loinc.org"},
    "content": {"code": "11488-4", "system": "http://loinc.org"},
    "practice": {"code": "394802001", "system": "http://snomed.info/sct"},
}


def parcel_of(data: bytes, n: int = 1) -> Parcel:
    own = data.replace(b'extension="D42"', f'extension="D{n}"'.encode())
    facts = {"received": "2026-05-02T11:45:00+00:00", "control_id": MARKS[2]}
    return Parcel(f"cda_in-{100 + n}-hie-1", 100 + n, "cda_in", own, "text/xml", facts)


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    side = Exchange()
    yield side
    side.away()


@pytest.fixture
def around(tmp_path: Path) -> Around:
    return Around(tmp_path, tmp_path / "data", "Mercy", "https://hub.mercy.example/id")


def provided(exchange: Exchange, around: Around, data: bytes = SAMPLE, **more: Any) -> Receipt:
    sharing = {**exchange.words["sharing"], **more.pop("sharing", {})}
    there = Mhd(MhdSettings(**{**exchange.words, **more, "sharing": sharing}), "hie", around)
    try:
        return there.deliver(parcel_of(data))
    finally:
        there.close()


class TestMhd(Behaviour):
    word = "mhd"

    def parcel(self, n: int = 1) -> Parcel:
        return parcel_of(SAMPLE, n)

    @pytest.fixture
    def side(self, exchange: Exchange) -> Exchange:
        return exchange


# The profiles of MHD 4.2.4 as far as they go beyond R4: (path, least, most); None: any number.
_MINIMAL = [
    ("List.identifier", 2, None), ("List.code", 1, 1), ("List.date", 1, 1), ("List.encounter", 0, 0),
    ("List.orderedBy", 0, 0), ("List.emptyReason", 0, 0), ("List.title", 0, 1),
    ("DocumentReference.modifierExtension", 0, 0), ("DocumentReference.masterIdentifier", 1, 1),
    ("DocumentReference.docStatus", 0, 0), ("DocumentReference.category", 0, 1),
    ("DocumentReference.content", 1, 1), ("DocumentReference.content.attachment.contentType", 1, 1),
    ("DocumentReference.content.attachment.data", 0, 0), ("DocumentReference.content.attachment.url", 1, 1),
]  # fmt: skip
_COMPREHENSIVE = [
    *_MINIMAL, ("List.subject", 1, 1), ("DocumentReference.type", 1, 1), ("DocumentReference.category", 1, 1),
    ("DocumentReference.subject", 1, 1), ("DocumentReference.securityLabel", 1, None),
    ("DocumentReference.content.attachment.language", 1, 1),
    ("DocumentReference.content.attachment.creation", 1, 1), ("DocumentReference.content.format", 1, 1),
    ("DocumentReference.context.facilityType", 1, 1), ("DocumentReference.context.practiceSetting", 1, 1),
    ("DocumentReference.context.sourcePatientInfo", 1, 1),
]  # fmt: skip


def counted(body: Any, path: str) -> int:
    name, _, rest = path.partition(".")
    held = body.get(name) if isinstance(body, dict) else None
    if held is None:
        return 0
    every = held if isinstance(held, list) else [held]
    return sum(counted(one, rest) for one in every) if rest else len(every)


@pytest.mark.parametrize("metadata", ["minimal", "comprehensive"])
def test_the_bundle_keeps_to_the_profile(exchange: Exchange, around: Around, metadata: str) -> None:
    receipt = provided(exchange, around, metadata=metadata, sharing=CODES)
    assert receipt.verdict == "sent" and re.fullmatch(r"List/n\d+", receipt.reference)
    (bundle,) = exchange.bundles
    assert validate(bundle) == []
    assert bundle["meta"]["profile"] == [
        f"https://profiles.ihe.net/ITI/MHD/StructureDefinition/IHE.MHD.{metadata.capitalize()}.ProvideBundle"
    ]
    assert [e["request"] | {"ifNoneExist": ""} for e in bundle["entry"]] == [
        {"method": "POST", "url": kind, "ifNoneExist": ""} for kind in ("List", "DocumentReference", "Binary")
    ]
    for entry in bundle["entry"]:
        kind = entry["request"]["url"]
        for path, least, most in _COMPREHENSIVE if metadata == "comprehensive" else _MINIMAL:
            if path.startswith(f"{kind}."):
                count = counted(entry["resource"], path.removeprefix(f"{kind}."))
                assert least <= count and (most is None or count <= most), path
    listed, reference, binary = (e["resource"] for e in bundle["entry"])
    assert (listed["mode"], listed["code"]["coding"][0]["code"]) == ("working", "submissionset")
    assert {i["use"] for i in listed["identifier"]} == {"usual", "official"}
    urls = [e["url"].rpartition("/")[2] for e in listed["extension"]]
    assert urls == ["ihe-designationType", "ihe-sourceId"]
    for name in ("author", "authenticator"):
        said = reference[name][0] if name == "author" else reference[name]
        assert said["reference"].removeprefix("#") in {c["id"] for c in reference["contained"]}
    attachment = reference["content"][0]["attachment"]
    assert attachment["url"] == bundle["entry"][2]["fullUrl"] and attachment["size"] == len(
        parcel_of(SAMPLE).body
    )
    assert base64.b64decode(binary["data"]) == parcel_of(SAMPLE).body


def test_what_is_provided_can_be_retrieved(exchange: Exchange, around: Around) -> None:
    provided(exchange, around)
    (reference,) = exchange.of("DocumentReference")
    assert reference["masterIdentifier"] == {"use": "usual", "system": "urn:oid:2.999.7.1", "value": "D1"}
    assert reference["subject"] == {"reference": "Patient/p1"}
    assert base64.b64decode(exchange.held[reference["content"][0]["attachment"]["url"]]["data"])
    (listed,) = exchange.of("List")
    assert listed["entry"] == [{"item": {"reference": f"DocumentReference/{reference['id']}"}}]
    assert [n["value"] for n in reference["contained"][-1]["identifier"]] == ["77", "A^9"]


@pytest.mark.parametrize(("data", "names"), [(FULL, "practiceSettingCode"), (BARE, "typeCode")])
def test_what_comprehensive_metadata_lack_is_named(
    exchange: Exchange, around: Around, data: bytes, names: str
) -> None:
    receipt = provided(exchange, around, data, metadata="comprehensive")
    assert receipt.verdict == "refuse" and names in receipt.why and exchange.bundles == []


def test_the_patient_is_never_in_an_address(exchange: Exchange, around: Around) -> None:
    provided(exchange, around)
    assert [a.path.rpartition("fhir")[2] for a in exchange.asked] == ["/List/_search", "/Patient/_search", ""]
    assert all(b"77" in a.body for a in exchange.asked if "Patient" in a.path)


def test_a_patient_who_is_not_the_one_is_never_taken(exchange: Exchange, around: Around) -> None:
    other = [{"system": "urn:hie:patients", "value": "88"}]
    exchange.put("Patient/p1", {"identifier": other})
    assert provided(exchange, around).verdict == "park"
    mine = [{"system": "urn:hie:patients", "value": "77"}]
    for name in ("Patient/p2", "Patient/p3"):
        exchange.put(name, {"identifier": mine})
    receipt = provided(exchange, around)
    assert receipt.verdict == "park" and "several patients" in receipt.why
    everybody = json.dumps({"entry": [{"resource": exchange.held["Patient/p1"]}]}).encode()
    exchange._search = lambda kind, token: (200, {}, everybody)  # type: ignore[method-assign]
    receipt = provided(exchange, around)  # it ignores the question and answers with whom it likes
    assert receipt.verdict == "park" and "nobody there" in receipt.why and exchange.bundles == []


def test_a_patient_goes_along_or_is_named_by_number(exchange: Exchange, around: Around) -> None:
    assert provided(exchange, around, patient="number").verdict == "sent"
    identifier = {"system": "urn:hie:patients", "value": "77"}
    assert exchange.of("DocumentReference")[0]["subject"] == {"type": "Patient", "identifier": identifier}
    other = Exchange()
    assert provided(other, around, patient="include").verdict == "sent"
    made = other.of("Patient")[-1]
    assert made["name"][0]["family"] == MARKS[0] and made["birthDate"] == "1980-02-29"
    assert other.of("DocumentReference")[0]["subject"] == {"reference": f"Patient/{made['id']}"}
    other.held = {"Patient/p1": exchange.held["Patient/p1"]}
    without = FULL.replace(b'root="2.999.3"', b'root="2.999.5"')
    receipt = provided(other, around, without)
    assert receipt.verdict == "refuse" and "no number of 2.999.3" in receipt.why
    other.away()


def test_a_200_that_hides_a_failure_is_no_success(exchange: Exchange, around: Around) -> None:
    exchange.hides = "Binary"
    receipt = provided(exchange, around)
    assert receipt.verdict == "refuse" and "hides a Binary" in receipt.why and "invalid" in receipt.why


def test_an_answer_that_says_nothing_is_checked(exchange: Exchange, around: Around) -> None:
    exchange.quiet = True
    receipt = provided(exchange, around)
    assert receipt.verdict == "sent" and exchange.held[receipt.reference]["resourceType"] == "List"
    exchange.held.pop(receipt.reference)
    exchange._transaction = lambda bundle: {}  # type: ignore[method-assign, assignment]
    receipt = provided(exchange, around)
    assert receipt.verdict == "park" and "0 of 3" in receipt.why


def test_a_second_try_asks_before_it_sends(exchange: Exchange, around: Around) -> None:
    first = provided(exchange, around)
    again = provided(exchange, around)
    assert (again.verdict, again.reference) == ("sent", first.reference) and len(exchange.bundles) == 1


def test_an_exchange_whose_lists_cannot_be_searched(exchange: Exchange, around: Around) -> None:
    searched = exchange._search
    exchange._search = lambda kind, token: (  # type: ignore[method-assign]
        (404, {}, outcome("not-supported")) if kind == "List" else searched(kind, token)
    )
    for _ in range(2):  # it is asked for the document then
        assert provided(exchange, around).verdict == "sent"
    assert len(exchange.bundles) == len(exchange.of("DocumentReference")) == len(exchange.of("List")) == 1
    assert ["ifNoneExist" in e["request"] for e in exchange.bundles[0]["entry"]] == [False, True, False]
    exchange._search = lambda kind, token: (  # type: ignore[method-assign]
        searched(kind, token) if kind == "Patient" else (400, {}, outcome("not-supported"))
    )
    assert provided(exchange, around).verdict == "sent" and len(exchange.bundles) == 2  # nothing else is left


def reference_bundle(**more: Any) -> Parcel:
    patient = {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [{"system": "urn:oid:2.999.3", "value": "77"}],
        "name": [{"family": "Sample"}],
    }
    attachment = {
        "contentType": "application/pdf",
        "data": base64.b64encode(b"%PDF-1.4").decode(),
        "title": "Letter",
    }
    reference = {
        "resourceType": "DocumentReference",
        "id": "d",
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [{"system": "http://loinc.org", "code": "11488-4"}]},
        "subject": {"reference": "Patient/p"},
        "content": [{"attachment": attachment}],
        **more,
    }
    body = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": r} for r in (patient, reference)],
    }
    facts = {"received": "2026-05-02T11:45:00+00:00"}
    return Parcel("mdm-7-hie-1", 7, "mdm", json.dumps(body).encode(), "application/fhir+json", facts)


def test_a_document_of_a_message_is_provided(exchange: Exchange, around: Around) -> None:
    there = Mhd(MhdSettings(**exchange.words), "hie", around)
    assert there.deliver(reference_bundle()).verdict == "sent"
    (made,) = exchange.of("DocumentReference")
    assert made["type"]["coding"][0]["code"] == "11488-4" and "docStatus" not in made
    assert made["masterIdentifier"]["value"].startswith("urn:uuid:")  # it has no number the world knows
    address = made["content"][0]["attachment"]["url"]
    assert exchange.held[address] | {"id": ""} == {
        "resourceType": "Binary", "id": "", "contentType": "application/pdf", "data": "JVBERi0xLjQ=",
    }  # fmt: skip
    there.close()


def test_what_a_document_replaces_is_found_there(exchange: Exchange, around: Around) -> None:
    assert provided(exchange, around, parcel_of(SAMPLE).body).verdict == "sent"
    (old,) = exchange.of("DocumentReference")
    link = (
        '<relatedDocument typeCode="%s"><parentDocument><id root="2.999.7.1" extension="%s"/>'
        "</parentDocument></relatedDocument>"
    )
    there = Mhd(MhdSettings(**exchange.words), "hie", around)
    for n, (word, code, number, target) in enumerate(
        [
            ("RPLC", "replaces", "D1", {"reference": f"DocumentReference/{old['id']}"}),
            ("APND", "appends", "D99", {"type": "DocumentReference", "identifier": {
                "system": "urn:oid:2.999.7.1", "value": "D99"}}),
        ],
        2,
    ):  # fmt: skip
        data = SAMPLE.replace(b"<documentationOf>", (link % (word, number)).encode() + b"<documentationOf>")
        assert there.deliver(parcel_of(data, n)).verdict == "sent"
        made = exchange.of("DocumentReference")[-1]
        assert made["relatesTo"] == [{"code": code, "target": target}] and made["id"] != old["id"]
    assert validate(exchange.bundles[-1]) == []
    there.close()


def test_documents_that_are_only_mentioned_and_other_things_are_not_shared(
    exchange: Exchange, around: Around
) -> None:
    there = Mhd(MhdSettings(**exchange.words), "hie", around)
    for parcel in (
        replace(reference_bundle(), mentioned=("DocumentReference/d", "Patient/p")),
        replace(reference_bundle(), body=b'{"resourceType": "Bundle", "type": "collection"}'),
    ):
        receipt = there.deliver(parcel)
        assert (receipt.verdict, receipt.why) == ("sent", "nothing to deliver: it wrote no document")
    assert exchange.bundles == []
    there.close()


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"status": "entered-in-error"}, "taken back or replaced"),
        ({"content": [{"attachment": {"url": "https://elsewhere.example/1"}}]}, "holds no document"),
        ({"content": [{"attachment": {"data": "QQ=="}}] * 2}, "holds 2 documents"),
        ({"content": [{"attachment": {"data": "?"}}]}, "no base64"),
    ],
)
def test_what_is_no_one_document_is_refused(
    exchange: Exchange, around: Around, more: dict[str, Any], why: str
) -> None:
    there = Mhd(MhdSettings(**exchange.words), "hie", around)
    receipt = there.deliver(reference_bundle(**more))
    assert receipt.verdict == "refuse" and why in receipt.why
    there.close()


def test_settings_that_cannot_be_are_told(exchange: Exchange) -> None:
    with pytest.raises(ValueError, match="say its `domain`"):
        MhdSettings(**{**exchange.words, "sharing": {"source": "2.999.1"}})
    with pytest.raises(ValueError, match="plain http"):
        MhdSettings(**{**exchange.words, "url": "http://hie.example/fhir"})
