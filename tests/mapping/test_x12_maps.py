"""What the shipped maps make of claims and remittances: counts, the right patient, true addresses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from x12_maker import HEAD, PARENT, SAMPLES, SELF, maps, sent

from engine.fhir.bundle import transaction
from engine.fhir.validate import validate
from engine.mapping.convert import map_arrived, trace_arrived, unkeyed
from engine.mapping.from_x12 import Sent, arrivals

CLAIM = """CLM*C1*150***11:B:1*Y*A*Y*Y
DTP*431*D8*20260901
REF*D9*TRACE
REF*G1*AUTH7
HI*ABK:J0190*ABF:R059
NM1*82*1*LINDQVIST*SAGA****XX*1500007020
PRV*PE*PXC*207Q00000X
LX*1
SV1*HC:99213:25*100*UN*1***2:1
DTP*472*D8*20260902
REF*6R*LINE1
LX*2
SV1*HC:A4550*50*UN*1***1
DTP*472*RD8*20260902-20260904
NM1*82*1*OTHER*PERSON****XX*1600007028
"""
CHILD = "HL*3*2*23*0\nPAT*19\nNM1*QC*1*TREMBLAY*THEO\nDMG*D8*20190218*M\n"
PLAIN = "CLM*{}*100***11:B:1*Y*A*Y*Y\nHI*ABK:J0190\nLX*1\nSV1*HC:99213*100*UN*1***1\nDTP*472*D8*20260902\n"

PAYMENT = """BPR*I*180*C*ACH*CCP*01*123456780*DA*998877*1931234567**01*987654320*DA*112233*20260920
TRN*1*EFT1*1931234567
DTM*405*20260919
N1*PR*BLUEPEAK
N1*PE*NORTHBAY CLINIC*XX*1400007013
LX*1
CLP*C1*1*200*150*20*12*ICN1*11
CAS*CO*45*20**96*10*1
NM1*QC*1*ABERNATHY*JUNIPER****MI*BPK1
NM1*IL*1*ABERNATHY*MAE****MI*BPK2
MOA***MA01*MA02
SVC*HC:99213*200*150**1
DTM*472*20260902
CAS*PR*1*20
LQ*HE*N19
CLP*C2*22*-50*-30**12*ICN2*11
NM1*QC*1*DOE*JO****MI*BPK3
PLB*1400007013*20261231*WO:A1*20*CS:B2*-10
"""


def built(one: Sent) -> dict[str, list[dict[str, Any]]]:
    """The resources of a transaction set, by type."""
    out: dict[str, list[dict[str, Any]]] = {}
    made = map_arrived(one, maps().program("standard", trace=False), unkeyed, "entry")
    for entry in transaction(made.drafts, conditional=False)["entry"]:
        resource = {**entry["resource"], "url": entry["fullUrl"]}
        out.setdefault(resource["resourceType"], []).append(resource)
    return out


def payment() -> Sent:
    return sent(PAYMENT, "835", "005010X221A1")


def at(resources: list[dict[str, Any]], reference: dict[str, Any]) -> dict[str, Any]:
    return next(r for r in resources if r["url"] == reference["reference"])


def test_a_professional_claim() -> None:
    got = built(sent(HEAD + SELF + CLAIM))
    (claim,) = got["Claim"]
    assert claim["type"]["coding"][0]["code"] == "professional"
    assert claim["total"] == {"value": 150}
    assert claim["created"] == "2026-09-14"
    assert [i["value"] for i in claim["identifier"]] == ["C1", "TRACE"]
    assert claim["insurance"][0]["preAuthRef"] == ["AUTH7"]
    assert claim["insurance"][0]["focal"] is True
    assert [d["diagnosisCodeableConcept"]["coding"][0]["code"] for d in claim["diagnosis"]] == [
        "J01.90", "R05.9",
    ]  # fmt: skip
    assert [d["sequence"] for d in claim["diagnosis"]] == [1, 2]
    first, second = claim["item"]
    assert first["diagnosisSequence"] == [2, 1]
    assert first["modifier"][0]["coding"][0]["code"] == "25"
    assert first["servicedDate"] == "2026-09-02"
    assert second["servicedPeriod"] == {"start": "2026-09-02", "end": "2026-09-04"}
    assert first["productOrService"]["coding"][0]["system"] == "http://www.ama-assn.org/go/cpt"
    assert second["productOrService"]["coding"][0]["system"].endswith("HCPCSReleaseCodeSets")
    (coverage,) = got["Coverage"]
    assert claim["insurance"][0]["coverage"]["reference"] == coverage["url"]
    assert at(got["Organization"], coverage["payor"][0])["name"] == "BLUEPEAK"
    assert at(got["Organization"], claim["provider"])["type"][0]["coding"][0]["code"] == "207Q00000X"


def test_what_a_service_line_says_is_named_by_its_item() -> None:
    got = built(sent(HEAD + SELF + CLAIM))
    (claim,) = got["Claim"]
    team = {
        m["sequence"]: at(got["Practitioner"], m["provider"])["name"][0]["family"] for m in claim["careTeam"]
    }
    info = {i["sequence"]: i for i in claim["supportingInfo"]}
    first, second = claim["item"]
    assert "careTeamSequence" not in first
    assert [team[n] for n in second["careTeamSequence"]] == ["OTHER"]
    assert [info[n]["valueString"] for n in first["informationSequence"]] == ["LINE1"]
    assert sorted(team.values()) == ["LINDQVIST", "OTHER"]


def test_a_dependents_claim_is_the_dependents() -> None:
    got = built(sent(HEAD + PARENT + PLAIN.format("OWN") + CHILD + PLAIN.format("CHILD")))
    claims = {c["identifier"][0]["value"]: c for c in got["Claim"]}
    names = {k: at(got["Patient"], c["patient"])["name"][0]["given"] for k, c in claims.items()}
    assert names == {"OWN": ["ODILE"], "CHILD": ["THEO"]}
    covered = at(got["Coverage"], claims["CHILD"]["insurance"][0]["coverage"])
    assert at(got["Patient"], covered["beneficiary"])["name"][0]["given"] == ["THEO"]
    assert at(got["Patient"], covered["subscriber"])["name"][0]["given"] == ["ODILE"]
    assert covered["relationship"]["coding"][0]["code"] == "child"


def test_a_dependent_without_a_name_is_never_the_subscriber() -> None:
    body = HEAD + PARENT + "HL*3*2*23*0\nPAT*19\n" + PLAIN.format("CHILD")
    made = map_arrived(sent(body), maps().program("standard", trace=False), unkeyed, "entry")
    (claim,) = [d for d in made.drafts if d.type == "Claim"]
    assert "reference" not in claim.body["patient"]
    assert made.held is not None


def test_two_claims_of_one_number_stay_two() -> None:
    got = built(sent(HEAD + SELF + PLAIN.format("SAME") + PLAIN.format("SAME")))
    assert len(got["Claim"]) == 2
    assert len({c["url"] for c in got["Claim"]}) == 2


def test_a_replacement_says_what_it_replaces() -> None:
    body = PLAIN.format("R1").replace("11:B:1", "11:B:7").replace("HI*", "REF*F8*PAYER9\nHI*")
    (claim,) = built(sent(HEAD + SELF + body))["Claim"]
    (related,) = claim["related"]
    assert related["claim"]["identifier"]["value"] == "PAYER9"
    assert related["relationship"]["coding"][0]["code"] == "7"


def test_what_another_payer_decided_is_kept_apart() -> None:
    other = (
        "SBR*S*01*G2******CI\nCAS*CO*45*12\nAMT*D*80\nOI***Y***Y\nNM1*IL*1*OTHER*OSCAR****MI*X9\n"
        "NM1*PR*2*OTHERPAYER*****PI*OP1\nREF*G1*THEIRS\n"
    )
    got = built(sent(HEAD + SELF + PLAIN.format("C1").replace("LX*1", other + "LX*1")))
    (claim,) = got["Claim"]
    mine, theirs = claim["insurance"]
    assert mine["focal"] and not theirs["focal"]
    assert "preAuthRef" not in mine
    assert theirs["preAuthRef"] == ["THEIRS"]
    assert at(got["Coverage"], theirs["coverage"])["subscriberId"] == "X9"
    reasons = [
        i["code"]["coding"][0] for i in claim["supportingInfo"] if "valueQuantity" in i and "code" in i
    ]
    assert reasons == [{"system": "https://x12.org/codes/claim-adjustment-reason-codes", "code": "45"}]


def test_a_payment() -> None:
    got = built(payment())
    (paid,) = got["PaymentReconciliation"]
    assert paid["paymentAmount"] == {"value": 180}
    assert paid["paymentDate"] == "2026-09-20"
    assert [d["amount"]["value"] for d in paid["detail"]] == [150, -30, 20, -10]
    answers = [d["response"]["reference"] for d in paid["detail"][:2]]
    assert answers == [e["url"] for e in got["ExplanationOfBenefit"]]
    first = got["ExplanationOfBenefit"][0]
    assert first["claim"]["identifier"]["value"] == "C1"
    assert at(got["Patient"], first["patient"])["name"][0]["given"] == ["JUNIPER"]
    said = [
        (_code(a["category"]), _code(a["reason"]), a.get("amount", {}).get("value"))
        for a in first["adjudication"]
        if "reason" in a
    ]
    assert said == [("CO", "45", 20), ("CO", "96", 10), ("MOA", "MA01", None), ("MOA", "MA02", None)]
    (item,) = first["item"]
    reasons = [a["reason"]["coding"][0]["code"] for a in item["adjudication"] if "reason" in a]
    assert reasons == ["1", "N19"]
    assert [t["amount"]["value"] for t in first["total"]] == [200, 150, 20]
    covered = at(got["Coverage"], first["insurance"][0]["coverage"])
    assert at(got["Patient"], covered["subscriber"])["name"][0]["given"] == ["MAE"]


def test_parts_of_a_long_remittance_add_to_one_payment() -> None:
    made = map_arrived(payment(), maps().program("standard", trace=False), unkeyed, "entry")
    (paid,) = [d for d in made.drafts if d.type == "PaymentReconciliation"]
    assert set(paid.acts["detail"].values()) == {"A"}
    assert len(set(paid.labels["detail"])) == 4


def test_the_addresses_are_those_of_the_file() -> None:
    done = trace_arrived(sent(HEAD + SELF + CLAIM), maps(), "standard", "entry")
    where = {}
    for m in done.report.mapped:
        where.setdefault(m.source, set()).add(m.target.partition(".")[2])
    assert "diagnosis[1].diagnosisCodeableConcept.coding[0].code" in where["HI[1]-02.2"]
    assert "item[0].diagnosisSequence[0]" in where["SV1[1]-07.1"]
    assert "item[1].servicedPeriod.end" in where["DTP[3]-03"]
    done = trace_arrived(payment(), maps(), "standard", "entry")
    where = {m.source: m.target for m in done.report.mapped}
    assert where["CAS[1]-05"].endswith("adjudication[1].reason.coding[0].code")
    assert where["PLB[1]-06"].endswith("detail[3].amount.value")
    assert where["MOA[1]-04"].endswith("adjudication[3].reason.coding[0].code")


def test_every_place_is_accounted_for() -> None:
    one = sent(HEAD + SELF + CLAIM)
    done = trace_arrived(one, maps(), "standard", "entry")
    told = {m.source for m in done.report.mapped} | {u.source for u in done.report.unmapped}
    assert {"NM1[3]-03", "CLM[1]-05.2", "HL[2]-03", "REF[4]-02", "SV1[2]-01.2"} <= told
    assert not [t for t in told if t.startswith(("ST[", "SE["))]


@pytest.mark.parametrize("file", sorted(SAMPLES.glob("83[57]*.x12")), ids=lambda f: f.stem)
def test_samples(file: Path) -> None:
    for one in arrivals(file.read_bytes()):
        made = map_arrived(one, maps().program("standard", trace=False), unkeyed, "entry")
        done = trace_arrived(one, maps(), "standard", "entry")
        fast, slow = transaction(made.drafts), transaction(done.built.drafts)
        assert fast == slow
        ids = {e["fullUrl"] for e in fast["entry"]}
        for entry in fast["entry"]:
            assert validate(entry["resource"]) == []
            assert not [r for r in references(entry["resource"]) if r not in ids and not r.startswith("#")]
        wanted = "CLM" if one.type.startswith("837") else "CLP"
        kinds = [e["resource"]["resourceType"] for e in fast["entry"]]
        number = sum(s.name == wanted for s in one.segments)
        assert kinds.count("Claim" if wanted == "CLM" else "ExplanationOfBenefit") == number


def _code(concept: dict[str, Any]) -> str:
    return str(concept["coding"][0]["code"])


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [r for v in value.values() for r in references(v)]
    return [r for v in value for r in references(v)] if isinstance(value, list) else []
