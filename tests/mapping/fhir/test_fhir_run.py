"""FHIR becomes drafts: who is who, references, codes, units; and no value is without its account."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats.fhir.posted import parse
from engine.kernel.errors import FormatError, MapError
from engine.mapping.build import Built
from engine.mapping.check import check_file
from engine.mapping.convert import Conversion, map_arrived, trace_arrived, unkeyed
from engine.mapping.fhir.arrived import fhir_arrived
from engine.mapping.fhir.identity import Incoming
from engine.mapping.fhir.rules import check_rules
from engine.mapping.languages import LANGUAGES, read_text
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[3]
SAMPLES = sorted((ROOT / "sample_messages/fhir").glob("*.json"))
BASE = "https://gateway.example/fhir"
UCUM = "http://unitsofmeasure.org"
Json = dict[str, Any]


@cache
def maps() -> Maps:
    return Maps.open(ROOT).of("fhir")


def arrived(body: Json | bytes, **incoming: Any) -> Any:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return fhir_arrived(parse(data), Incoming(**{"base": BASE, **incoming}), "test")


def made(body: Json | bytes, rules: str = "", **incoming: Any) -> Built:
    return map_arrived(arrived(body, **incoming), maps().program("standard"), unkeyed, "entry", map_=rules)


def traced(body: Json | bytes, rules: str = "", **incoming: Any) -> Conversion:
    return trace_arrived(arrived(body, **incoming), maps(), "standard", "entry", map_=rules)


def observation(**more: Any) -> Json:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}} | more


def transaction(*entries: Json) -> Json:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


@pytest.mark.parametrize("rules", ["", "DEVICES"])
@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_every_value_of_the_samples_went_somewhere_or_says_why_not(path: Path, rules: str) -> None:
    body = path.read_bytes()
    done = traced(body, rules)
    told = [m.source for m in done.report.mapped] + [u.source for u in done.report.unmapped]
    assert set(told) == {leaf.place for leaf in parse(body).leaves()}
    assert not [u for u in done.report.unmapped if u.state == "not mapped"]
    assert done.built.held is None


@pytest.mark.parametrize("rules", ["", "DEVICES"])
@pytest.mark.parametrize("path", SAMPLES, ids=lambda p: p.stem)
def test_the_traced_twin_makes_the_same(path: Path, rules: str) -> None:
    fast, slow = made(path.read_bytes(), rules), traced(path.read_bytes(), rules).built
    assert [(d.id, d.keys, d.write, d.body) for d in fast.drafts] == [
        (d.id, d.keys, d.write, d.body) for d in slow.drafts
    ]
    assert (fast.flags, fast.gaps) == (slow.flags, slow.gaps)


def test_what_is_sent_is_what_is_kept() -> None:
    body = observation(
        valueQuantity={"value": 4.10, "unit": "mmol/L", "system": UCUM, "code": "mmol/L"},
        extension=[{"url": "https://a.example/x", "valueCode": "y"}],
        _status={"extension": [{"url": "https://a.example/z", "valueBoolean": True}]},
        modifierExtension=[{"url": "https://a.example/m", "valueString": "not"}],
        contained=[{"resourceType": "Device", "id": "d", "note": [{"text": "own"}]}],
        device={"reference": "#d"},
        meta={"profile": ["https://a.example/p"], "security": [{"system": "https://s", "code": "R"}]},
    )
    (draft,) = made(json.dumps(body).replace("4.1,", "4.10,").encode()).drafts
    assert str(draft.body["valueQuantity"]["value"]) == "4.10"
    body["valueQuantity"]["value"] = Decimal("4.10")
    assert draft.body == body


@pytest.mark.parametrize(
    ("resource", "keys"),
    [
        ({"identifier": [{"system": "a:b", "value": "1"}]}, [("a:b", "1")]),
        ({"id": "p1"}, [(f"{BASE}/Patient", "p1")]),
        ({"id": "p1", "identifier": [{"value": "1"}]}, [(f"{BASE}/Patient", "p1")]),
        (
            {"id": "p1", "identifier": [{"system": "a:b", "value": "1"}]},
            [("a:b", "1"), (f"{BASE}/Patient", "p1")],
        ),
        (
            {"identifier": [{"system": "a:b", "value": "1", "use": "old"}, {"system": "a:c", "value": "2"}]},
            [("a:c", "2")],
        ),
        (
            {
                "identifier": [
                    {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "078-05-1120"},
                    {"system": "urn:oid:2.16.840.1.113883.4.1", "value": "078-05-1120"},
                    {"system": "a:c", "value": "2"},
                ]
            },
            [("a:c", "2")],
        ),
        (
            {
                "identifier": [
                    {"system": "a:b", "value": "1"},
                    {"type": {"coding": [{"code": "MR"}]}, "system": "a:c", "value": "2"},
                ]
            },
            [("a:c", "2")],
        ),
    ],
)
def test_a_patient_is_known_by_the_number_that_decides(resource: Json, keys: list[tuple[str, str]]) -> None:
    (draft,) = made({"resourceType": "Patient"} | resource).drafts
    assert list(draft.keys) == keys and draft.write == "merge"
    numbers = [(i.get("system"), i["value"]) for i in draft.body["identifier"]]
    assert "id" not in draft.body and keys[-1] in numbers


def test_the_channel_says_which_numbers_decide() -> None:
    body = {
        "resourceType": "Patient",
        "identifier": [{"system": "a:b", "value": "1"}, {"system": "a:c", "value": "2"}],
    }
    assert made(body, patients="a:c").drafts[0].keys == (("a:c", "2"),)
    assert made(body, patients="a:d").held is not None


@pytest.mark.parametrize(
    "reference",
    ["urn:uuid:p", "Patient/p1", f"{BASE}/Patient/p1", "Patient?identifier=a:b|1", "Patient/p1/_history/3"],
)
def test_a_reference_finds_what_the_bundle_holds_however_it_is_called(reference: str) -> None:
    patient = {"resourceType": "Patient", "id": "p1", "identifier": [{"system": "a:b", "value": "1"}]}
    body = transaction(
        {
            "resource": observation(subject={"reference": reference}),
            "request": {"method": "POST", "url": "Observation"},
        },
        {"fullUrl": "urn:uuid:p", "resource": patient, "request": {"method": "PUT", "url": "Patient/p1"}},
    )
    one, who = made(body).drafts
    assert one.body["subject"] == {"reference": f"urn:uuid:{who.id}"}


@pytest.mark.parametrize(
    ("said", "becomes"),
    [
        (
            {"reference": "Device/d"},
            {"type": "Device", "identifier": {"system": f"{BASE}/Device", "value": "d"}},
        ),
        (
            {"reference": "https://o.example/r4/Device/d", "display": "x"},
            {
                "type": "Device",
                "identifier": {"system": "https://o.example/r4/Device", "value": "d"},
                "display": "x",
            },
        ),
        (
            {"reference": "Device/d", "identifier": {"system": "a:b", "value": "9"}},
            {"type": "Device", "identifier": {"system": "a:b", "value": "9"}},
        ),
        ({"identifier": {"system": "a:b", "value": "9"}}, {"identifier": {"system": "a:b", "value": "9"}}),
        ({"display": "a watch"}, {"display": "a watch"}),
        ({"reference": "https://a.example/page"}, {"reference": "https://a.example/page"}),
    ],
)
def test_a_reference_to_what_is_elsewhere_names_it_by_its_number(said: Json, becomes: Json) -> None:
    assert made(observation(device=said)).drafts[0].body["device"] == becomes


def test_a_subject_by_number_alone_is_a_patient() -> None:
    body = observation(subject={"identifier": {"system": "a:b", "value": "9"}})
    assert made(body).drafts[0].body["subject"]["type"] == "Patient"


@pytest.mark.parametrize(
    ("quantity", "code", "unit", "sent"),
    [
        ({"system": UCUM, "code": "mm[Hg]"}, "mm[Hg]", None, None),
        ({"system": UCUM, "code": "mmHg", "unit": "mmHg"}, "mm[Hg]", "mmHg", "mmHg"),
        ({"system": UCUM, "code": "beats"}, None, "beats", "beats"),
        ({"unit": "mmHg"}, "mm[Hg]", "mmHg", None),
        ({"unit": "of the house"}, None, "of the house", None),
        ({"system": "urn:iso:std:iso:11073:10101", "code": "264864"}, "/min", "264864", "264864"),
        ({"system": "https://units.example", "code": "q"}, "q", None, None),
    ],
)
def test_units_are_ucum_or_words(
    quantity: Json, code: str | None, unit: str | None, sent: str | None
) -> None:
    found = made(observation(valueQuantity={"value": 3} | quantity)).drafts[0].body["valueQuantity"]
    assert found.get("code") == code and found.get("unit") == unit
    as_sent = [e["valueCoding"]["code"] for e in found.get("extension", ())]
    assert as_sent == ([sent] if sent else [])


def test_oids_of_code_systems_are_said_as_the_hub_says_them() -> None:
    code = {"coding": [{"system": "urn:oid:2.16.840.1.113883.6.1", "code": "8867-4"}]}
    assert made(observation(code=code)).drafts[0].body["code"]["coding"][0]["system"] == "http://loinc.org"


def test_what_a_device_measured_is_known_by_whom_what_and_when() -> None:
    body = observation(effectiveDateTime="2026-05-01", subject={"reference": "Patient/p1"})
    one = made(body, "DEVICES").drafts[0]
    ((system, value),) = one.keys
    assert system.endswith("/id/device-observation") and "p1" in value and "2026-05-01" in value
    others = [
        body | {"effectiveDateTime": "2026-05-02"},
        body | {"subject": {"reference": "Patient/p2"}},
        body | {"device": {"reference": "Device/2"}},
        body | {"bodySite": {"text": "left arm"}},
        body | {"code": {"text": "y"}},
    ]
    assert len({one.id, *(made(o, "DEVICES").drafts[0].id for o in others)}) == 6
    assert made(body | {"status": "corrected"}, "DEVICES").drafts[0].id == one.id


def test_a_member_of_a_panel_of_devices_is_found_in_the_bundle_and_later() -> None:
    body = transaction(
        {
            "resource": observation(
                id="panel", hasMember=[{"reference": "Observation/m1"}, {"reference": "Observation/m2"}]
            ),
            "request": {"method": "PUT", "url": "Observation/panel"},
        },
        {"resource": observation(id="m1"), "request": {"method": "PUT", "url": "Observation/m1"}},
    )
    panel, member = made(body, "DEVICES").drafts
    here, later = panel.body["hasMember"]
    assert here == {"reference": f"urn:uuid:{member.id}"}
    other = made(observation(id="m2"), "DEVICES").drafts[0]
    assert (later["identifier"]["system"], later["identifier"]["value"]) == other.keys[0]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("map: X\nfrom: cda\n", "from: is fhir here"),
        ("map: X\nfrom: fhir\nobservations: mine\n", "observations: mine"),
        ("map: X\nfrom: fhir\ncodes: {status: y}\n", "status is no element"),
        ("map: X\nfrom: fhir\nrows: {}\n", "does not know the word 'rows'"),
    ],
)
def test_rules_that_say_nothing_sensible_are_refused(text: str, what: str) -> None:
    with pytest.raises(MapError) as e:
        read_text(text, "mappings/fhir/rules/X.yaml", LANGUAGES["fhir"])
    assert what in e.value.what and "X.yaml" in e.value.where


def test_rules_name_tables_and_elements_that_exist_and_leave_out_what_may_be() -> None:
    text = (
        "map: X\nfrom: fhir\ncodes: {Observation.kode: t, Observation.status: t, Observation.code: none}\n"
        "leave_out: [Observation.status, Observation.note]\n"
    )
    rules: Any = read_text(text, "X.yaml", LANGUAGES["fhir"])
    found = list(check_rules(rules, {"t": 1}))
    assert [what.split(":")[0] for _, what, _ in found] == ["codes", "codes", "codes", "leave_out"]
    assert {place for place, _, _ in found} == {"X.yaml:3", "X.yaml:4"}


def test_what_rules_leave_out_is_named_with_its_line(tmp_path: Path) -> None:
    rules: Any = read_text("map: X\nfrom: fhir\nleave_out: [Observation.note]\n", "X.yaml", LANGUAGES["fhir"])
    own = Maps(ROOT, maps().terminology, {}, {"RESOURCES": rules}, {}, "urn:hub:own", LANGUAGES["fhir"])
    done = trace_arrived(arrived(observation(note=[{"text": "secret"}])), own, "standard", "entry")
    assert "note" not in done.built.drafts[0].body
    assert [(u.source, u.why) for u in done.report.unmapped] == [
        ("Observation.note[0].text", "left out on purpose (X.yaml:3)")
    ]


SCALARS = st.text(max_size=8) | st.integers() | st.booleans() | st.none()
VALUES = st.recursive(
    SCALARS,
    lambda v: (
        st.lists(v, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "reference",
                    "identifier",
                    "system",
                    "value",
                    "code",
                    "coding",
                    "unit",
                    "type",
                    "extension",
                    "url",
                ]
            ),
            v,
            max_size=4,
        )
    ),
    max_leaves=10,
)
ELEMENTS = st.dictionaries(
    st.sampled_from(
        ["id", "meta", "identifier", "subject", "device", "code", "category", "valueQuantity", "component",
         "contained", "effectiveDateTime", "bodySite", "hasMember", "implicitRules"]
    ),
    VALUES,
    max_size=5,
)  # fmt: skip


@given(
    ELEMENTS,
    st.sampled_from(["Observation", "Patient", "DiagnosticReport"]),
    st.sampled_from(["", "DEVICES"]),
)
@settings(max_examples=250, deadline=None)
def test_any_content_makes_drafts_or_waits_and_every_value_has_its_account(
    elements: Json, kind: str, rules: str
) -> None:
    body = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": {"resourceType": kind} | elements}],
    }
    try:
        fast = made(body, rules)
    except FormatError:
        return
    done = traced(body, rules)
    assert (fast.held is None) == (done.built.held is None)
    assert [d.body for d in fast.drafts] == [d.body for d in done.built.drafts]
    told = {m.source for m in done.report.mapped} | {u.source for u in done.report.unmapped}
    assert told == {leaf.place for leaf in parse(json.dumps(body).encode()).leaves()}


def test_the_rules_on_the_page_of_the_documentation_can_be_used() -> None:
    page = (ROOT / "docs/analysts/fhir-in.md").read_text()
    (text,) = re.findall(r"```yaml fhir-rules\n(.*?)```", page, re.S)
    rules: Any = read_text(text, "HOUSE_LAB.yaml", LANGUAGES["fhir"])
    assert not list(check_rules(rules, maps().terminology.tables))
    assert not rules.devices and rules.tables("Observation.code")


PROVIDED = (ROOT / "sample_messages/fhir/mhd_provide.json").read_text()


def test_a_document_has_its_bytes_where_its_metadata_are() -> None:
    done = traced(PROVIDED.encode())
    (reference,) = [d for d in done.built.drafts if d.type == "DocumentReference"]
    assert reference.keys == (("urn:ietf:rfc:3986", "urn:oid:2.999.1.9.78"),) and reference.weak == (
        "status",
    )
    (content,) = reference.body["content"]
    binary = json.loads(PROVIDED)["entry"][2]["resource"]
    assert content["attachment"]["data"] == binary["data"] and "url" not in content["attachment"]
    to = {m.source: m.target for m in done.report.mapped}
    assert to["Bundle.entry[2].resource.data"] == "DocumentReference.content[0].attachment.data"
    assert to["Bundle.entry[2].resource.contentType"] == "DocumentReference.content[0].attachment.contentType"


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ('"size": 109', '"size": 1', "document-size"),
        ('"hash": "', '"hash": "A', "document-hash"),
        ('"data": "', '"data": "?', "document-damaged"),
        ('"data": "', '"data": "AAAA', "document-size"),
        (
            '"contentType": "text/plain",\n              "language"',
            '"contentType": "text/html", "language"',
            "document-type",
        ),
    ],
)
def test_a_document_that_is_not_the_one_of_its_metadata_waits(old: str, new: str, cause: str) -> None:
    assert old in PROVIDED
    built = made(PROVIDED.replace(old, new).encode())
    assert built.held is not None and (built.held.code, built.held.where[:15]) == (cause, "Bundle.entry[1]")


def test_a_document_without_size_and_hash_is_given_both() -> None:
    body = json.loads(PROVIDED)
    attachment = body["entry"][1]["resource"]["content"][0]["attachment"]
    said = {name: attachment.pop(name) for name in ("size", "hash")}
    found = next(d for d in made(body).drafts if d.type == "DocumentReference").body
    assert {k: found["content"][0]["attachment"][k] for k in said} == said


def test_an_id_that_the_hub_gave_is_the_hubs() -> None:
    ours = "Patient/0d4b6f1e-7d3e-8b8a-9a55-0d4b6f1e2a01"
    assert made(observation(subject={"reference": ours})).drafts[0].body["subject"] == {"reference": ours}


@pytest.mark.parametrize(
    ("more", "keys"),
    [
        ({"id": "a"}, [(f"{BASE}/Observation", "a")]),
        ({"id": "a", "identifier": [{"system": "s:o", "value": "ORDER-1"}]}, [(f"{BASE}/Observation", "a")]),
        (
            {"identifier": [{"system": "s:o", "value": "ORDER-1"}]},
            [("urn:hub:fhir:result-of:s:o", "ORDER-1|x")],
        ),
        ({}, []),
    ],
)
def test_results_that_share_the_number_of_their_order_stay_apart(
    more: Json, keys: list[tuple[str, str]]
) -> None:
    assert list(made(observation(**more)).drafts[0].keys) == keys


def test_an_id_in_a_post_is_kept_and_decides_nothing() -> None:
    body = transaction(
        {"resource": observation(id="example"), "request": {"method": "POST", "url": "Observation"}}
    )
    (draft,) = made(body).drafts
    assert draft.keys == () and draft.body["identifier"] == [
        {"system": f"{BASE}/Observation", "value": "example"}
    ]
    patient = {"resourceType": "Patient", "id": "1"}
    held = made(transaction({"resource": patient, "request": {"method": "POST", "url": "Patient"}})).held
    assert held is not None and held.code == "no-patient-key"


def test_a_table_that_is_gone_is_no_silence() -> None:
    rules: Any = read_text(
        "map: X\nfrom: fhir\ncodes: {Observation.code: gone}\n", "X.yaml", LANGUAGES["fhir"]
    )
    own = Maps(ROOT, maps().terminology, {}, {"RESOURCES": rules}, {}, "urn:hub:own", LANGUAGES["fhir"])
    with pytest.raises(MapError, match="no table gone") as e:
        trace_arrived(arrived(observation()), own, "standard", "entry")
    assert e.value.where == "X.yaml:3"
    assert [f.place for f in check_file(own, "X.yaml")] == ["X.yaml:3"]


@pytest.mark.parametrize(
    ("of", "found"),
    [
        ("urn:uuid:o", True),
        ("https://a.example/fhir/Observation/o", True),
        ("https://b.example/fhir/Observation/o", False),
    ],
)
def test_a_relative_reference_is_of_the_server_that_its_entry_is_of(of: str, found: bool) -> None:
    patient = {"resourceType": "Patient", "id": "1", "identifier": [{"system": "a:b", "value": "1"}]}
    body = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [
            {"fullUrl": "https://a.example/fhir/Patient/1", "resource": patient},
            {"fullUrl": of, "resource": observation(subject={"reference": "Patient/1"})},
        ],
    }
    subject = made(body).drafts[1].body["subject"]
    assert ("reference" in subject) is found
    if not found:
        assert subject["identifier"] == {"system": "https://b.example/fhir/Patient", "value": "1"}


@pytest.mark.parametrize("same", [{"fullUrl": "urn:uuid:p"}, {}])
def test_two_patients_under_one_address_are_nobody(same: Json) -> None:
    def entry(number: str) -> Json:
        identifier = [{"system": "a:b", "value": number}]
        return {**same, "resource": {"resourceType": "Patient", "id": "p1", "identifier": identifier}}

    built = made({"resourceType": "Bundle", "type": "collection", "entry": [entry("1"), entry("2")]})
    assert built.held is not None and (built.held.code, built.held.where) == (
        "duplicate-key",
        "Bundle.entry[1]",
    )
    assert made({"resourceType": "Bundle", "type": "collection", "entry": [entry("1")] * 2}).held is None


def test_ids_of_posts_that_are_all_the_same_lead_to_nobody() -> None:
    asked = {"method": "POST", "url": "Device"}
    devices = [
        {
            "resource": {
                "resourceType": "Device",
                "id": "example",
                "identifier": [{"system": "a:b", "value": n}],
            }
        }
        for n in "123"
    ]
    one = {
        "resource": observation(device={"reference": "Device/example"}),
        "request": asked | {"url": "Observation"},
    }
    for order in (devices[:2], devices):
        built = made(transaction(*(d | {"request": asked} for d in order), one))
        assert built.held is None and "reference" not in built.drafts[-1].body["device"]
