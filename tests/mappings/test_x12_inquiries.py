"""Eligibility, claim status, reviews, enrolment, premiums, acknowledgments as FHIR: valid, whole, nothing
invented; answers find what they answer.
"""

from __future__ import annotations

import fhirkit
import pytest
from fhir.resources.R4B import get_fhir_model_class
from x12_mapping import codes, extension, fast, references, resources, sample, traced

from engine.fhir import jsonio
from engine.fhir.validate import validate
from engine.formats.x12.addresses import leaves
from engine.mapping.from_x12 import arrivals

NAMES = [
    "270_eligibility_inquiry", "271_eligibility_response", "276_claim_status_inquiry",
    "277_claim_status_response",
    "277CA_claim_acknowledgment", "278_review_request", "278_review_response", "834_enrollment",
    "820_premium_payment", "999_acknowledgment", "TA1_interchange_acknowledgment",
    "271_eligibility_rejection",
    "834_changes",
]  # fmt: skip
DEPENDENT = """HL*4*3*23*0~
TRN*1*T2*9931234567~
NM1*03*1*ABERNATHY*ROWAN~
DMG*D8*20100101*M~
INS*N*19~
"""
NOWHERE = {"BHT-03", "QTY-01", "QTY-02", "COB-01", "COB-02", "COB-03", "NM1-10"}
"""What these samples say and no resource here has a place for; a report names each."""


@pytest.mark.parametrize("name", NAMES)
def test_each_is_mapped_whole_and_valid(name: str) -> None:
    data = sample(name)
    done, built = traced(data), fast(data)
    assert [d.body for d in done.built.drafts] == [d.body for d in built.drafts] != []
    assert done.built.held is None
    ids = {f"urn:uuid:{d.id}" for d in built.drafts}
    for draft in built.drafts:
        body = {**draft.body, "id": draft.id}
        plain = jsonio.dumps(body).decode()
        assert not validate(body), (draft.type, validate(body))
        assert not list(fhirkit.validate(plain)), draft.type
        get_fhir_model_class(draft.type).model_validate_json(plain)
        assert all(each in ids or each.startswith("#") for each in references(body))
    lost = {u.source for u in done.report.unmapped if u.state in ("not mapped", "unreadable")}
    assert {f"{s.split('[')[0]}-{s.rpartition('-')[2].split('.')[0]}" for s in lost} <= NOWHERE
    (arrived,) = arrivals(data)
    told = {m.source for m in done.report.mapped} | {u.source for u in done.report.unmapped}
    every = {leaf.address for s in arrived.segments if s.name not in ("ST", "SE") for leaf in leaves(s)}
    assert every <= told


# -- eligibility ----------------------------------------------------------------------------------------


def test_an_inquiry_and_its_answer_have_one_trace_and_one_patient() -> None:
    asked, answered = resources(sample(NAMES[0])), resources(sample(NAMES[1]))
    (request,), (response,) = asked["CoverageEligibilityRequest"], answered["CoverageEligibilityResponse"]
    trace = request["identifier"][0]
    assert trace["value"] == "9931234567|NB-EL-88-1"
    assert response["request"]["identifier"] == {"system": trace["system"], "value": trace["value"]}
    assert [codes(item["category"]) for item in request["item"]] == [["30"], ["98"]]
    assert (request["servicedDate"], request["purpose"]) == ("2026-09-14", ["benefits"])
    assert [p["_id"] for p in asked["Patient"]] == [p["_id"] for p in answered["Patient"]]
    assert [c["_id"] for c in asked["Coverage"]] == [c["_id"] for c in answered["Coverage"]]


def test_each_eb_is_a_benefit_and_says_no_more_than_it_says() -> None:
    (response,) = resources(sample(NAMES[1]))["CoverageEligibilityResponse"]
    (insurance,) = response["insurance"]
    assert insurance["benefitPeriod"] == {"start": "2026-01-01"}
    items = insurance["item"]
    assert [codes(i["benefit"][0]["type"]) for i in items] == [["1"], ["C"], ["C"], ["B"], ["B"], ["R"]]
    assert [codes(i["category"])[0] for i in items] == ["30", "30", "30", "98", "UC", "30"]
    deductible, remaining = items[1], items[2]
    assert deductible["benefit"][0]["allowedMoney"] == {"value": 1500, "currency": "USD"}
    assert (codes(deductible["term"]), codes(remaining["term"])) == (["23"], ["29"])
    assert (codes(deductible["unit"]), codes(deductible["network"])) == (["IND"], ["Y", "in"])
    assert items[3]["description"] == "COPAY WAIVED FOR PREVENTIVE VISITS"
    assert all("excluded" not in item for item in items)
    assert response["outcome"] == "complete"


@pytest.mark.parametrize(
    ("old", "new", "in_force"),
    [
        ("EB*1**30*", "EB*1**30*", True), ("EB*1**30*", "EB*1**30^88*", True),
        ("EB*1**30*", "EB*6**30*", False),
        ("EB*1**30*C1*PEAK CHOICE PPO", "EB*6", False), ("EB*1**30*", "EB*1**88*", None),
        ("EB*1**30*", "EB*R**30*", None),
    ],
)  # fmt: skip
def test_only_the_plan_as_a_whole_is_in_force_or_not(old: str, new: str, in_force: bool | None) -> None:
    (response,) = resources(sample(NAMES[1], (old, new)))["CoverageEligibilityResponse"]
    assert response["insurance"][0].get("inforce") is in_force
    (coverage,) = resources(sample(NAMES[1], (old, new)))["Coverage"]
    assert coverage["status"] == ("cancelled" if in_force is False else "active")


def test_what_is_not_covered_and_what_needs_authorization() -> None:
    data = sample(NAMES[1], ("EB*B*IND*98^UC***27*25*****Y", "EB*I*IND*98*****.2***Y*N"))
    items = resources(data)["CoverageEligibilityResponse"][0]["insurance"][0]["item"]
    assert (items[3]["excluded"], items[3]["authorizationRequired"]) == (True, True)
    assert items[3]["benefit"] == [{"type": items[3]["benefit"][0]["type"], "allowedString": ".2"}]
    assert codes(items[3]["network"]) == ["N", "out"]


def test_a_refusal_is_an_error_and_no_coverage_is_claimed_of_it() -> None:
    data = sample(NAMES[1])
    head, _, rest = data.partition(b"EB*1")
    data = head + b"AAA*N**72*C~\n" + b"SE*16*0001~\n" + rest.partition(b"SE*25*0001~\n")[2]
    (response,) = resources(data)["CoverageEligibilityResponse"]
    assert response["outcome"] == "error"
    assert [codes(e["code"]) for e in response["error"]] == [["72"]]
    assert "insurance" not in response
    assert "Coverage" not in resources(data)


def test_a_dependent_is_asked_about_and_not_the_subscriber() -> None:
    data = sample(
        NAMES[0],
        ("HL*3*2*22*0", "HL*3*2*22*1"),
        ("DTP*291", f"{DEPENDENT}DTP*291"),
    )  # fmt: skip
    found = resources(data)
    (request,), (coverage,) = found["CoverageEligibilityRequest"], found["Coverage"]
    (child,) = [p for p in found["Patient"] if p["name"][0]["given"] == ["ROWAN"]]
    (parent,) = [p for p in found["Patient"] if p["name"][0]["given"] == ["JUNIPER"]]
    assert request["patient"]["reference"].endswith(child["_id"])
    assert coverage["beneficiary"]["reference"].endswith(child["_id"])
    assert coverage["subscriber"]["reference"].endswith(parent["_id"])
    assert codes(coverage["relationship"])[0] == "child"
    assert request["identifier"][0]["value"] == "9931234567|T2"


# -- claim status ---------------------------------------------------------------------------------------


def test_a_status_inquiry_is_answered_at_its_task() -> None:
    asked, answered = resources(sample(NAMES[2])), resources(sample(NAMES[3]))
    assert [t["_id"] for t in asked["Task"]] == [t["_id"] for t in answered["Task"]]
    assert [t["status"] for t in asked["Task"]] == ["requested"] * 2
    assert [t["status"] for t in answered["Task"]] == ["completed"] * 2
    assert asked["Task"][1]["focus"]["identifier"]["value"] == "NB-77002"
    for task, response in zip(answered["Task"], answered["ClaimResponse"], strict=True):
        assert task["output"][0]["valueReference"]["reference"].endswith(response["_id"])


def test_a_status_inquiry_names_the_subscriber_of_a_dependent() -> None:
    found = resources(sample(NAMES[2]))
    own, dependents = found["Coverage"]
    (child,) = [p for p in found["Patient"] if p["name"][0]["given"] == ["THEO"]]
    (parent,) = [p for p in found["Patient"] if p["name"][0]["given"] == ["ODILE"]]
    assert found["Task"][1]["insurance"][0]["reference"].endswith(dependents["_id"])
    assert dependents["beneficiary"]["reference"].endswith(child["_id"])
    assert dependents["subscriber"]["reference"].endswith(parent["_id"])
    assert (dependents["subscriberId"], codes(own["relationship"])) == ("BPK400500600", ["self"])
    assert "relationship" not in dependents


def test_finished_pending_and_not_found() -> None:
    paid, pending = resources(sample(NAMES[3]))["ClaimResponse"]
    assert (paid["outcome"], pending["outcome"]) == ("complete", "queued")
    assert paid["payment"]["identifier"]["value"] == "EFT20260920-17"
    assert paid["payment"]["amount"]["value"] == 210
    assert "payment" not in pending
    assert pending["patient"] == {"type": "Patient", "display": "THEO TREMBLAY"}
    lost = resources(sample(NAMES[3], ("STC*P1:20", "STC*A4:35")))["ClaimResponse"][1]
    assert lost["outcome"] == "error"


def test_an_unknown_status_is_nothing_that_was_decided() -> None:
    done = traced(sample(NAMES[3], ("STC*P1:20", "STC*ZZ:20")))
    assert done.built.held is not None or "outcome" not in done.built.drafts[-1].body


def test_a_277ca_takes_or_refuses_claims_by_their_number() -> None:
    found = resources(sample(NAMES[4]))
    taken, refused = found["ClaimResponse"]
    assert (taken["outcome"], refused["outcome"]) == ("queued", "error")
    assert taken["request"]["identifier"]["value"] == "NB-77001"
    assert refused["request"]["identifier"]["system"].endswith("/claim/1400007013")
    assert "payment" not in refused
    status = extension(refused, "x12-claim-status")
    assert codes(extension(status, "category")["valueCodeableConcept"]) == ["A3"]
    assert codes(extension(status, "code")["valueCodeableConcept"]) == ["562"]
    assert codes(extension(status, "entity")["valueCodeableConcept"]) == ["85"]


@pytest.mark.parametrize("name", [NAMES[3], NAMES[4]])
def test_an_answer_names_the_claim_as_the_837_made_it(name: str) -> None:
    (claim, _) = resources(sample("837P_professional_claim"))["Claim"]
    (answer, _) = resources(sample(name))["ClaimResponse"]
    known = {(i.get("system"), i["value"]) for i in claim["identifier"]}
    named = answer["request"]["identifier"]
    assert (named["system"], named["value"]) in known


# -- reviews --------------------------------------------------------------------------------------------


def test_a_request_for_review() -> None:
    found = resources(sample(NAMES[5]))
    (claim,) = found["Claim"]
    assert (claim["use"], claim["status"]) == ("preauthorization", "active")
    assert codes(claim["diagnosis"][0]["diagnosisCodeableConcept"]) == ["M17.11"]
    assert codes(claim["item"][0]["productOrService"]) == ["73721"]
    assert claim["item"][0]["net"]["value"] == 950
    (person,) = found["Practitioner"]
    assert claim["careTeam"][0]["provider"]["reference"].endswith(person["_id"])
    assert claim["insurance"][0]["coverage"]["reference"].endswith(found["Coverage"][0]["_id"])


@pytest.mark.parametrize(
    ("review", "outcome", "authorized"),
    [
        ("A1*AUTH-660012", "complete", True), ("A6*AUTH-660012", "complete", True),
        ("A2*AUTH-660012", "partial", True),
        ("A3**0V", "complete", False), ("A4*REVIEW-1", "queued", False), ("CT*REVIEW-1", "queued", False),
    ],
)  # fmt: skip
def test_only_what_was_certified_is_authorized(review: str, outcome: str, authorized: bool) -> None:
    data = sample(NAMES[6], ("HCR*A1*AUTH-660012", f"HCR*{review}"))
    (response,) = resources(data)["ClaimResponse"]
    assert response["outcome"] == outcome
    assert response.get("preAuthRef") == ("AUTH-660012" if authorized else None)
    assert ("preAuthPeriod" in response) is authorized
    assert response["request"]["identifier"]["value"] == "9931234567|NB-PA-21-1"


def test_a_response_names_the_request_it_answers() -> None:
    (claim,) = resources(sample(NAMES[5]))["Claim"]
    (response,) = resources(sample(NAMES[6]))["ClaimResponse"]
    known = {(i.get("system"), i["value"]) for i in claim["identifier"]}
    named = response["request"]["identifier"]
    assert (named["system"], named["value"]) in known


# -- enrolment, premiums --------------------------------------------------------------------------------


def test_one_coverage_for_each_member() -> None:
    found = resources(sample(NAMES[7]))
    subscriber, dependent = found["Coverage"]
    parent, child = found["Patient"]
    assert subscriber["beneficiary"]["reference"].endswith(parent["_id"])
    assert dependent["beneficiary"]["reference"].endswith(child["_id"])
    assert subscriber["subscriber"]["reference"].endswith(parent["_id"])
    assert dependent["subscriber"]["identifier"]["value"] == "BPK100200300"
    assert dependent["subscriber"]["identifier"]["system"] == parent["identifier"][0]["system"]
    assert [codes(c["relationship"])[0] for c in (subscriber, dependent)] == ["self", "spouse"]
    assert [c["status"] for c in (subscriber, dependent)] == ["active", "active"]
    plans = [e for e in subscriber["extension"] if e["url"].endswith("x12-health-coverage")]
    assert [extension(p, "plan")["valueString"] for p in plans] == ["PEAK CHOICE PPO", "PEAK DENTAL"]
    assert "period" not in subscriber or "start" not in subscriber["period"]  # two plans begin each by itself
    assert child["generalPractitioner"][0]["reference"].endswith(found["Practitioner"][0]["_id"])


def test_a_termination_ends_the_coverage() -> None:
    name = "NM1*IL*1*ABERNATHY*ROWAN"
    data = sample(NAMES[7], ("INS*N*01*021", "INS*N*01*024"), (name, f"DTP*357*D8*20261231~\n{name}"))
    coverage = resources(data)["Coverage"][1]
    assert (coverage["status"], coverage["period"]["end"]) == ("cancelled", "2026-12-31")


def test_a_plan_that_is_sent_alone_is_a_coverage_of_its_own() -> None:
    text = sample(NAMES[7]).decode()
    begin, second, end = text.index("INS*Y"), text.index("HD*021**DEN"), text.index("INS*N")
    head = text[begin : text.index("HD*021**HLT")]
    apart = f"{text[:second]}{head}HD*024**DEN*PEAK DENTAL*ESP~\nDTP*349*D8*20261231~\n{text[end:]}"
    health, dental, _ = resources(apart.encode())["Coverage"]
    assert [c["identifier"][0]["value"].split("|")[2] for c in (health, dental)] == ["HLT", "DEN"]
    assert [c["status"] for c in (health, dental)] == ["active", "cancelled"]
    assert (health["period"], dental["period"]) == ({"start": "2026-10-01"}, {"end": "2026-12-31"})


def test_a_premium_payment() -> None:
    (payment,) = resources(sample(NAMES[8]))["PaymentReconciliation"]
    assert (payment["paymentAmount"]["value"], payment["paymentDate"]) == (1840.5, "2026-09-30")
    assert payment["paymentIdentifier"]["value"] == "PRM-2026-10"
    assert [d["amount"]["value"] for d in payment["detail"]] == [920.25, 920.25, -10]
    assert [codes(d["type"]) for d in payment["detail"]] == [["payment"], ["payment"], ["52", "adjustment"]]
    assert "123456780" not in str(payment)  # no bank account


# -- acknowledgments ------------------------------------------------------------------------------------


def test_a_999_says_which_transaction_set_was_refused_and_why() -> None:
    found = resources(sample(NAMES[9]))
    group, one = found["MessageHeader"]
    assert (group["response"]["identifier"], one["response"]["identifier"]) == ("101", "101-0001")
    assert [h["response"]["code"] for h in (group, one)] == ["fatal-error", "fatal-error"]
    (outcome,) = [
        o for o in found["OperationOutcome"] if one["response"]["details"]["reference"].endswith(o["_id"])
    ]
    assert [i["severity"] for i in outcome["issue"]] == ["error"] * 4
    assert outcome["issue"][3]["expression"] == ["2010BA/NM1/28/9"]


def test_a_999_says_which_claim_it_speaks_of() -> None:
    context = "CTX*SITUATIONAL TRIGGER*CLM*19*2300*5:3*C023:1325~\nCTX*CLM01:NB-77001~\n"
    data = sample(NAMES[9], ("IK4*9", f"{context}IK4*9"))
    issue = resources(data)["OperationOutcome"][1]["issue"][2]
    assert issue["diagnostics"] == "CLM01 NB-77001"
    assert issue["expression"] == ["2010BA/NM1/28", "2300/CLM/19/5/3"]
    lost = [u.source for u in traced(data).report.unmapped if u.state == "not mapped"]
    assert lost == ["CTX[1]-01"]  # the words SITUATIONAL TRIGGER


def test_a_ta1_says_whether_the_interchange_was_taken() -> None:
    found = resources(sample(NAMES[10]))
    assert found["MessageHeader"][0]["response"]["identifier"] == "000000101"
    assert found["MessageHeader"][0]["response"]["code"] == "ok"
    refused = resources(sample(NAMES[10], ("*A*000", "*R*001")))
    assert refused["MessageHeader"][0]["response"]["code"] == "fatal-error"
    assert codes(refused["OperationOutcome"][0]["issue"][0]["details"]) == ["R", "001"]
