"""Claims out as 837P: what is written, what is refused, and what is told about the rest."""

from __future__ import annotations

import copy
from io import BytesIO

import pytest
from outbound_maker import ENVELOPE, ROOT, project, resource, sample

from engine.cli.converted import convert_others
from engine.formats.x12.envelope import Transaction, envelopes
from engine.formats.x12.segments import read_segments
from engine.formats.x12.validate import check_transaction
from engine.kernel.errors import FormatError
from engine.mapping.outbound.write import Refused, write_x12
from engine.mapping.project import Maps

GIVEN = {"signature": "Y", "assignment": "A", "benefits": "Y", "release": "Y"}


def claims(change=None, given=GIVEN):
    bundle = copy.deepcopy(sample("claim"))
    if change is not None:
        change(bundle)
    return write_x12(project(), "837P", bundle, ENVELOPE, given)


def rows(data):
    return data.decode().split("~\n")


def test_every_map_of_the_project_compiles():
    project().check()
    assert {"837P"} <= set(project().entries)


def test_two_claims_of_a_subscriber_and_of_a_dependant():
    data, report = claims()
    found = rows(data)
    assert "CLM*NB-77001*265.50***11:B:1*Y*A*Y*Y" in found
    assert "SBR*P*18*GRP5521******CI" in found
    assert "HL*3*1*22*1" in found and "HL*4*3*23*0" in found and "PAT*19" in found
    assert found.count("LX*1") == 2
    assert "SE*48*0001" in found and "GE*1*101" in found and "IEA*1*000000101" in found
    assert report.flags == []


def test_the_subscriber_of_a_dependant_keeps_their_own_address():
    found = rows(claims()[0])
    at = found.index("NM1*IL*1*TREMBLAY*ODILE****MI*BPK400500600")
    assert found[at + 1] == "N3*7 QUARRY LANE"


def test_what_is_written_passes_our_own_checks_without_a_warning():
    items = [i for i in envelopes(read_segments(claims()[0])[0]) if isinstance(i, Transaction)]
    assert [p for i in items for p in check_transaction(i, i.tree())] == []


def test_each_value_names_its_element_and_its_row():
    report = claims()[1]
    by_address = {v.target: v for v in report.written}
    total = by_address["CLM[1]-02"]
    assert total.source == "Claim/c1.total.value"
    assert total.row.startswith("mappings/outbound/x12/parts/Claim_2300.yaml:")
    assert by_address["HI[1]-02.2"].source == "Claim/c1.diagnosis[1].diagnosisCodeableConcept.coding[0].code"
    assert by_address["BHT[1]-01"].source == ""


def test_elements_that_no_row_read_are_named():
    def more(bundle):
        resource(bundle, "Claim/c1")["accident"] = {"date": "2026-09-01"}

    assert "Claim/c1.accident.date" in claims(more)[1].not_written


@pytest.mark.parametrize(
    ("what", "where"),
    [
        (lambda b: resource(b, "Patient/juniper").pop("birthDate"), "DMG"),
        (lambda b: resource(b, "Claim/c1").pop("diagnosis"), "HI"),
        (lambda b: resource(b, "Claim/c1")["total"].update(value=1), "CLM[1]-02"),
        (lambda b: resource(b, "Patient/theo").update(birthDate="2019-02"), "DMG"),
        (lambda b: resource(b, "Claim/c1")["item"][0].update(servicedDate="2026-09"), "DTP"),
    ],
)
def test_what_the_guide_demands_and_fhir_lacks_is_refused(what, where):
    with pytest.raises(Refused) as refused:
        claims(what)
    assert any(where in reason for reason in refused.value.reasons)


def test_what_the_caller_must_say_is_never_made_up():
    with pytest.raises(Refused) as refused:
        claims(given={})
    assert any("CLM[1]-07" in reason for reason in refused.value.reasons)


def test_a_code_of_another_system_is_not_called_icd():
    def snomed(bundle):
        coding = resource(bundle, "Claim/c2")["diagnosis"][0]["diagnosisCodeableConcept"]["coding"][0]
        coding.update(system="http://snomed.info/sct", code="65363002")

    with pytest.raises(Refused) as refused:
        claims(snomed)
    assert any("HI" in reason for reason in refused.value.reasons)


def test_a_thirteenth_diagnosis_has_no_room_and_is_told():
    def many(bundle):
        claim = resource(bundle, "Claim/c1")
        first = claim["diagnosis"][0]
        claim["diagnosis"] = [{**copy.deepcopy(first), "sequence": n} for n in range(1, 14)]

    report = claims(many)[1]
    assert [f.code for f in report.flags] == ["no-room"]
    assert any(p.startswith("Claim/c1.diagnosis[12]") for p in report.not_written)


def test_a_pointer_follows_the_sequence_not_the_order():
    def turned(bundle):
        claim = resource(bundle, "Claim/c1")
        claim["diagnosis"].reverse()

    found = rows(claims(turned)[0])
    assert "HI*ABK:R059*ABF:J0290" in found
    assert "SV1*HC:99213*180*UN*1***2:1" in found


def test_a_value_with_a_separator_is_refused_without_quoting_it():
    def colon(bundle):
        resource(bundle, "Organization/payer")["name"] = "BLUE*PEAK"

    with pytest.raises(FormatError) as refused:
        claims(colon)
    assert "BLUE" not in str(refused.value)


def written(name, bundle, **given):
    data, report = write_x12(project(), name, bundle, ENVELOPE, given)
    items = [i for i in envelopes(read_segments(data)[0]) if isinstance(i, Transaction)]
    assert [p for i in items for p in check_transaction(i, i.tree())] == []
    return rows(data), report


def test_a_claim_that_asks_beforehand_is_no_837():
    bundle = copy.deepcopy(sample("claim"))
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "Claim":
            entry["resource"]["use"] = "preauthorization"
    with pytest.raises(Refused):
        write_x12(project(), "837P", bundle, ENVELOPE, GIVEN)


def test_eligibility_of_a_subscriber_and_of_a_dependant():
    found, report = written("270", sample("eligibility"), company="9931234567")
    assert found.count("HL*1**20*1") == 1
    assert "TRN*1*NB-EL-88-1*9931234567" in found and "EQ*30" in found and "EQ*98" in found
    at = found.index("NM1*03*1*TREMBLAY*THEO")
    assert "INS*N*19" in found[at:] and "EQ**HC:99213" in found[at:]
    assert report.flags == []


def test_without_a_company_no_trace_is_made_up():
    found, report = written("270", sample("eligibility"))
    assert not any(row.startswith("TRN") for row in found)
    assert "CoverageEligibilityRequest/88-1.identifier[0].value" in report.not_written


def test_status_of_claims_by_their_tasks():
    found, _ = written("276", sample("claim_status"))
    assert found.count("REF*EJ*NB-77001") == 1
    assert "TRN*1*NB-CS-5-2" in found and "DTP*472*D8*20260905" in found


def test_status_of_claims_without_tasks():
    bundle = copy.deepcopy(sample("claim_status"))
    bundle["entry"] = [e for e in bundle["entry"] if e["resource"]["resourceType"] != "Task"]
    assert "TRN*1*NB-77002" in written("276", bundle)[0]


def test_a_request_for_review():
    found, _ = written("278", sample("preauthorization"), company="9931234567")
    assert "UM*HS*I*73*11:B" in found and "DTP*AAH*RD8*20261001-20261031" in found
    assert found[found.index("HL*5*4*SS*0") + 1] == "SV1*HC:73721*950*UN*1"


def test_a_claim_that_came_as_x12_goes_out_as_it_came():
    came = (ROOT / "sample_messages" / "x12" / "837P_professional_claim.x12").read_bytes()
    done = next(iter(convert_others("x12", BytesIO(came), Maps.open(ROOT))))
    given = {"submitterId": "NB1001", "receiverId": "BP7700"}
    data, _ = write_x12(project(), "837P", done.bundle, ENVELOPE, given)

    def inside(data):
        return [s.raw for s in read_segments(data)[0] if s.name not in ("ISA", "GS", "GE", "IEA", "BHT")]

    assert inside(data) == inside(came)


def test_what_another_payer_has_judged_is_not_sent_without_its_amounts():
    def judged(bundle):
        group = {"coding": [{"system": "https://x12.org/codes/claim-adjustment-group-codes", "code": "CO"}]}
        resource(bundle, "Claim/c1")["supportingInfo"] = [{"sequence": 1, "category": group}]

    with pytest.raises(Refused):
        claims(judged)


def test_a_line_keeps_its_own_number_and_provider():
    def lines(bundle):
        claim = resource(bundle, "Claim/c1")
        kind = {"coding": [{"system": "https://codesystem.x12.org/005010/128", "code": "6R"}]}
        claim["supportingInfo"] = [{"sequence": 9, "category": kind, "valueString": "L-2"}]
        claim["item"][1]["informationSequence"] = [9]
        claim["item"][1]["careTeamSequence"] = [2]

    found = rows(claims(lines)[0])
    assert found[found.index("LX*2") + 1 :][:6] == [
        "SV1*HC:87880:QW*85.50*UN*1***1",
        "DTP*472*D8*20260902",
        "REF*6R*L-2",
        "NM1*82*1*LINDQVIST*SAGA****XX*1500007020",
        "HL*3*1*22*1",
        "SBR*P**GRP8810******CI",
    ]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("270", "270_eligibility_inquiry"),
        ("276", "276_claim_status_inquiry"),
        ("278", "278_review_request"),
    ],
)
def test_a_question_that_came_as_x12_goes_out_with_all_its_values(name, file):
    came = (ROOT / "sample_messages" / "x12" / f"{file}.x12").read_bytes()
    done = next(iter(convert_others("x12", BytesIO(came), Maps.open(ROOT))))
    data, _ = write_x12(
        project(), name, done.bundle, ENVELOPE, {"company": "9931234567", "submitterId": "NB1001"}
    )

    def inside(data):
        skipped = ("ISA", "GS", "GE", "IEA", "ST", "SE", "BHT")
        return sorted(s.raw for s in read_segments(data)[0] if s.name not in skipped)

    assert inside(data) == inside(came)


@pytest.mark.parametrize(
    "change",
    [
        lambda b: resource(b, "Claim/c1").update(patient={"reference": "Patient/theo"}),
        lambda b: resource(b, "Coverage/juniper-cover").update(beneficiary={"reference": "Patient/theo"}),
        lambda b: resource(b, "Claim/c2").update(use="predetermination"),
        lambda b: resource(b, "Claim/c2")["insurance"][0].update(focal=False),
        lambda b: resource(b, "Coverage/theo-cover").pop("relationship"),
    ],
)
def test_no_claim_is_left_out_or_told_of_another_patient(change):
    with pytest.raises(Refused):
        claims(change)


def test_a_subscriber_who_is_only_the_beneficiary():
    def own(bundle):
        resource(bundle, "Coverage/juniper-cover").pop("subscriber")

    assert "NM1*IL*1*ABERNATHY*JUNIPER*L***MI*BPK100200300" in rows(claims(own)[0])


def test_two_subscribers_of_one_payer_are_two():
    def two(bundle):
        cover = copy.deepcopy(resource(bundle, "Coverage/juniper-cover"))
        cover.update(id="other-cover", subscriberId="BPK999", beneficiary={"reference": "Patient/theo"})
        cover.pop("subscriber")
        resource(bundle, "Coverage/juniper-cover").pop("subscriber")
        bundle["entry"].append({"resource": cover})
        claim = resource(bundle, "Claim/c2")
        claim["insurance"][0]["coverage"] = {"reference": "Coverage/other-cover"}

    found = rows(claims(two)[0])
    first, second = (i for i, row in enumerate(found) if row.startswith("NM1*IL"))
    assert found[first].endswith("BPK100200300") and found[second].endswith("BPK999")
    assert "TREMBLAY*THEO" in found[second]
    assert first < next(i for i, r in enumerate(found) if r.startswith("CLM*NB-77001")) < second
