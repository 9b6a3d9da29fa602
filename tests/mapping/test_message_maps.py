"""Whole messages: scopes, links, keys, resources made on the side, what is held, how each is written."""

from __future__ import annotations

from typing import Any

import pytest
from mapping_maker import MSH, build, maps_of, message_of, of_type, rows, shipped

from engine.kernel.errors import MapError
from engine.mapping.convert import trace_message
from engine.mapping.project import Maps

PID = "PID|1||77^^^NORTH^MR||DOE^JO||19800101|F"
ORU = MSH.replace("ADT^A01^ADT_A01", "ORU^R01^ORU_R01")
PATIENT = rows("identifier(list): PID-3", key="PID-3(5=MR)")
REPORT = rows(
    "status: {value: =final, assumed: x}\ncode: OBR-4\nidentifier(filler): OBR-3", "DiagnosticReport", "OBR"
)
RESULT = rows(
    "status: {value: =final, assumed: x}\ncode: OBX-3\nvalueString: OBX-5\neffectiveDateTime: OBR-7\n"
    "bodySite: SPM-8\nmethod: OBX-17(1)",
    "Observation",
    "OBX",
)
SPECIMEN = rows("type: SPM-4\naccessionIdentifier: SPM-2", "Specimen", "SPM")
MESSAGE = """
map: ORU_R01
from: ORU_R01
for: [ORU^R01]
to: Bundle
resources:
  patient:  {per: PATIENT_RESULT/PATIENT, rows: [PID_Patient]}
  report:   {per: PATIENT_RESULT/ORDER_OBSERVATION, rows: [OBR_DiagnosticReport],
             links: {subject: patient, result: result}}
  specimen: {per: PATIENT_RESULT/ORDER_OBSERVATION/SPECIMEN, rows: [SPM_Specimen], links: {subject: patient}}
  result:   {per: PATIENT_RESULT/ORDER_OBSERVATION/OBSERVATION, rows: [OBX_Observation],
             links: {subject: patient, specimen: specimen, derivedFrom(p): result(OBX-3.1 = OBR-26.1.1)}}
write: merge
"""  # fmt: skip


def lab(message: str = MESSAGE, *more: str) -> Maps:
    return maps_of(PATIENT, REPORT, RESULT, SPECIMEN, message, *more)


def ids(built: Any) -> dict[str, str]:
    return {d.id: f"{d.type}{n}" for n, d in enumerate(built.drafts)}


def refs(value: Any) -> list[str]:
    entries = value if isinstance(value, list) else [value]
    return [e["reference"].removeprefix("urn:uuid:") for e in entries]


TWO = f"{ORU}\n{PID}\nOBR|1||F1|A|||20260501\nOBX|1|ST|K||a\nOBX|2|ST|N||b\n"
TWO += "OBR|2||F2|B|||20260502\nOBX|1|ST|C||c"


def test_a_name_in_a_group_inside_mine_means_all_of_them_and_none_of_anothers() -> None:
    built = build(lab(), TWO)
    first, second = of_type(built, "DiagnosticReport")
    results = [d.id for d in built.drafts if d.type == "Observation"]
    assert (refs(first["result"]), refs(second["result"])) == (results[:2], results[2:])
    patient = next(d.id for d in built.drafts if d.type == "Patient")
    assert all(refs(o["subject"]) == [patient] for o in of_type(built, "Observation"))


def test_a_location_is_read_from_the_nearest_group_never_from_another_repetition() -> None:
    built = build(lab(), TWO)
    days = [o["effectiveDateTime"] for o in of_type(built, "Observation")]
    assert days == ["2026-05-01", "2026-05-01", "2026-05-02"]
    without = build(lab(), TWO.replace("OBR|2||F2|B|||20260502", "OBR|2||F2|B"))
    assert "effectiveDateTime" not in of_type(without, "Observation")[2]


def test_a_group_beside_may_be_read_only_if_there_is_one() -> None:
    one = build(lab(), f"{ORU}\n{PID}\nOBR|1||F1|A\nOBX|1|ST|K||a\nSPM|1|S1||SER||||ARM^Arm^L")
    (result,) = of_type(one, "Observation")
    assert result["bodySite"]["text"] == "Arm" and len(refs(result["specimen"])) == 1
    two = build(
        lab(), f"{ORU}\n{PID}\nOBR|1||F1|A\nOBX|1|ST|K||a\nSPM|1|S1||SER||||ARM\nSPM|2|S2||URN||||LEG"
    )
    (result,) = of_type(two, "Observation")
    assert "bodySite" not in result and "specimen" not in result
    assert "several-in-scope" in [f.code for f in two.flags]


def test_a_selector_links_to_the_one_that_fits() -> None:
    text = f"{ORU}\n{PID}\nOBR|1||F1|CULT\nOBX|1|ST|ORG||coli\nOBR|2||F2|SUS{'|' * 22}ORG\nOBX|1|ST|AMP||S"
    built = build(lab(), text)
    isolate, drug = [d for d in built.drafts if d.type == "Observation"]
    assert refs(drug.body["derivedFrom"]) == [isolate.id]
    assert "derivedFrom" not in isolate.body
    several = build(lab(), text.replace("OBX|1|ST|ORG||coli", "OBX|1|ST|ORG||coli\nOBX|2|ST|ORG|2|staph"))
    drug = [d for d in several.drafts if d.type == "Observation"][-1]
    assert "derivedFrom" not in drug.body
    assert "several-match" in [f.code for f in several.flags]


def test_me_puts_the_link_into_the_other() -> None:
    message = MESSAGE.replace(", specimen: specimen", "").replace(
        "rows: [SPM_Specimen], links: {subject: patient}",
        "rows: [SPM_Specimen], links: {report.specimen: me}",
    )
    built = build(lab(message), f"{ORU}\n{PID}\nOBR|1||F1|A\nOBX|1|ST|K||a\nSPM|1|S1||SER\nSPM|2|S2||URN")
    (report,) = of_type(built, "DiagnosticReport")
    assert refs(report["specimen"]) == [d.id for d in built.drafts if d.type == "Specimen"]


# -- keys ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pid3", "cause"),
    [
        ("77^^^NORTH^MR", ""),
        ("77^^^NORTH^PI", "no-patient-key"),
        ("", "no-patient-key"),
        ("77^^^NORTH^MR~88^^^NORTH^MR", "ambiguous-patient-key"),
        ("77^^^NORTH^MR~88^^^SOUTH^MR", "ambiguous-patient-key"),
        ("77^^^NORTH^MR~77^^^NORTH^MR", ""),
        ('""', "no-patient-key"),
    ],
)
def test_a_patient_has_exactly_one_key_or_waits(pid3: str, cause: str) -> None:
    built = build(lab(), f"{ORU}\nPID|1||{pid3}\nOBR|1||F1|A\nOBX|1|ST|K||a")
    assert (built.held.code if built.held else "") == cause


def test_a_number_is_nobody_without_who_gave_it() -> None:
    def key(pid3: str) -> Any:
        (draft,) = [
            d for d in build(lab(), f"{ORU}\nPID|1||{pid3}\nOBR|1||F1|A").drafts if d.type == "Patient"
        ]
        return draft.keys, draft.id

    assert len({key("77^^^NORTH^MR"), key("77^^^SOUTH^MR"), key("77^^^^MR"), key("77^^^&1.2&ISO^MR")}) == 4
    assert key("77^^^NORTH^MR") == key("77^^^NORTH^MR")


def test_two_results_of_one_key_are_two() -> None:
    keyed = RESULT.replace(
        "rows:\n", "key: identifier(own)\nrows:\n  identifier(own): {system: =own:x, value: OBX-3.1}\n"
    )
    maps = maps_of(PATIENT, REPORT, keyed, SPECIMEN, MESSAGE)
    built = build(maps, f"{ORU}\n{PID}\nOBR|1||F1|A\nOBX|1|ST|K||a\nOBX|2|ST|K||b\nOBX|3|ST|||c")
    results = [d for d in built.drafts if d.type == "Observation"]
    assert [d.body["valueString"] for d in results] == ["a", "b", "c"]
    assert len({d.id for d in results}) == 3
    codes = [f.code for f in built.flags]
    assert "duplicate-key" in codes and "no-key" in codes


def test_without_a_key_the_place_below_the_keyed_one_decides() -> None:
    keyed = REPORT.replace("rows:\n", "key: identifier(filler)\nrows:\n")

    def results(report: str, text: str, entry: str) -> list[str]:
        built = build(maps_of(PATIENT, report, RESULT, SPECIMEN, MESSAGE), text, entry=entry)
        return [d.id for d in built.drafts if d.type == "Observation"]

    assert results(keyed, TWO, "a") == results(keyed, TWO, "b")
    assert set(results(keyed, TWO, "a")).isdisjoint(results(keyed, TWO.replace("||F", "||G"), "a"))
    # nothing around it has a key: it belongs to its message, and never overwrites another message's
    assert set(results(REPORT, TWO, "a")).isdisjoint(results(REPORT, TWO, "b"))


# -- made on the side ----------------------------------------------------------------------------------

MADE = rows(
    "identifier(list): PID-3\ngeneralPractitioner: {from: PD1-4, make: XCN_Practitioner}", key="PID-3(5=MR)"
)
ALONE = "map: ADT_A01\nfrom: ADT_A01\nto: Bundle\nresources:\n  patient: {per: ., rows: [PID_Patient]}\n"


def test_the_same_person_is_made_once() -> None:
    xcn = "D9^STONE^MAX^^^DR^^^LAB&1.2&ISO"
    built = build(maps_of(MADE, ALONE), f"{PID}\nPD1||||{xcn}~{xcn}~D8^ROE^ANN^^^^^^LAB&1.2&ISO")
    assert len(of_type(built, "Practitioner")) == 2
    (patient,) = of_type(built, "Patient")
    assert len(patient["generalPractitioner"]) == 2


@pytest.mark.parametrize("xcn", ["^STONE^MAX", "D9^STONE^MAX"])
def test_without_a_number_or_who_gave_it_it_stays_inside(xcn: str) -> None:
    built = build(maps_of(MADE, ALONE), f"{PID}\nPD1||||{xcn}")
    assert of_type(built, "Practitioner") == []
    (patient,) = of_type(built, "Patient")
    (inside,) = patient["contained"]
    assert inside["name"][0]["family"] == "STONE"
    assert patient["generalPractitioner"] == [{"reference": f"#{inside['id']}"}]


def test_what_a_made_resource_contains_is_contained_in_it() -> None:
    text = "identifier(list): PID-3\nmanagingOrganization:\n  from: PD1-3(1)\n  make: XON_Organization\n"
    text += "  rows: {partOf: {from: PD1-3(2), make: XON_Organization}}"
    maps = maps_of(rows(text, key="PID-3(5=MR)"), ALONE)
    built = build(maps, f"{PID}\nPD1|||Ward^^^^^LAB&1.2&ISO^XX^^^W1~Trust")
    (patient,), (ward,) = of_type(built, "Patient"), of_type(built, "Organization")
    assert "contained" not in patient and [c["name"] for c in ward["contained"]] == ["Trust"]
    assert ward["partOf"] == {"reference": f"#{ward['contained'][0]['id']}"}
    alone = build(maps, f"{PID}\nPD1|||Ward~Trust")  # both inside the patient: nothing is contained twice
    (patient,) = of_type(alone, "Patient")
    assert sorted(c["name"] for c in patient["contained"]) == ["Trust", "Ward"]


def test_a_bed_is_known_by_its_whole_path() -> None:
    text = "status: {value: =planned, assumed: x}\nclass: {from: PV1-2, code: EncounterClass}\n"
    text += "location(now): {location: {from: PV1-3(1), make: PL_Location}}"
    message = ALONE + "  encounter: {per: ., rows: [PV1_Encounter], links: {subject: patient}}\n"
    maps = maps_of(PATIENT, rows(text, "Encounter", "PV1"), message)

    def beds(pl: str) -> list[Any]:
        built = build(maps, f"{PID}\nPV1|1|I|{pl}")
        return [(d.keys[0][1], d.body.get("partOf")) for d in built.drafts if d.type == "Location"]

    icu = beds("ICU^2^1^NORTH")
    assert [k for k, _ in icu][-1] == "facility=NORTH|point of care=ICU|room=2|bed=1"
    assert [bool(p) for _, p in icu] == [False, True, True, True]
    assert beds("3W^2^1^NORTH")[-1] != icu[-1]


# -- held, refused, written ----------------------------------------------------------------------------


def test_what_fhir_demands_and_nobody_sent_holds() -> None:
    bare = rows("code: OBX-3", "Observation", "OBX")
    built = build(maps_of(PATIENT, REPORT, bare, SPECIMEN, MESSAGE), f"{ORU}\n{PID}\nOBR|1||F1|A\nOBX|1|ST|K")
    assert built.held is not None and built.held.code == "required-missing"
    (o,) = of_type(built, "Observation")
    assert "status" not in o and o["_status"]["extension"][0]["valueCode"] == "unknown"


@pytest.mark.parametrize(
    ("write", "modes"),
    [
        ("write: merge", ("merge", "merge")),
        ("write: {by: MSH-9.2, A08: snapshot, else: merge}", ("merge", "snapshot")),
        ("write: {by: MSH-9.2, A01: create}", ("create", "merge")),
    ],
)
def test_write_by_trigger(write: str, modes: tuple[str, str]) -> None:
    maps = maps_of(PATIENT, f"for: [ADT^A01, ADT^A08]\n{ALONE}{write}\n")
    for event, mode in zip(("A01", "A08"), modes, strict=True):
        (draft,) = build(maps, f"{MSH.replace('^A01^', f'^{event}^')}\n{PID}").drafts
        assert draft.write == mode


def test_a_line_may_say_its_own_write() -> None:
    maps = maps_of(PATIENT, ALONE.replace("rows: [PID_Patient]", "rows: [PID_Patient], write: create"))
    assert [d.write for d in build(maps, PID).drafts] == ["create"]


def test_a_later_segment_fills_only_what_the_earlier_left() -> None:
    first = rows(
        "identifier(placer): ORC-2\npriority: {value: =stat, when: ORC-7 valued}", "ServiceRequest", "ORC"
    )
    second = rows(
        "identifier(placer): OBR-2\npriority: {value: =routine, assumed: x}", "ServiceRequest", "OBR"
    )
    message = MESSAGE.split("resources:")[0] + (
        "resources:\n  order:\n    per: PATIENT_RESULT/ORDER_OBSERVATION\n"
        "    rows: [ORC_ServiceRequest, OBR_ServiceRequest]\n"
    )
    maps = maps_of(first, second, message)
    both = of_type(build(maps, f"{ORU}\n{PID}\nORC|RE|P1|||||x\nOBR|1|P2|F1|A"), "ServiceRequest")
    assert [i["value"] for i in both[0]["identifier"]] == ["P1"] and both[0]["priority"] == "stat"
    alone = of_type(build(maps, f"{ORU}\n{PID}\nORC|RE\nOBR|1|P2|F1|A"), "ServiceRequest")
    assert [i["value"] for i in alone[0]["identifier"]] == ["P2"] and alone[0]["priority"] == "routine"


def test_a_row_that_comes_too_late_deletes_and_flags_nothing_in_the_twin_either() -> None:
    first = rows(
        "priority: {value: =stat, when: ORC-7 valued}\nsubject.display: ORC-4", "ServiceRequest", "ORC"
    )
    second = rows("priority: {from: OBR-5, code: RequestPriority}", "ServiceRequest", "OBR")
    message = MESSAGE.split("resources:")[0] + (
        "resources:\n  order:\n    per: PATIENT_RESULT/ORDER_OBSERVATION\n"
        "    rows: [ORC_ServiceRequest, OBR_ServiceRequest]\n"
    )
    maps = maps_of(first, second, message)
    for late in ('""', "no such priority"):
        built = build(maps, f"{ORU}\n{PID}\nORC|RE|P1|||||x\nOBR|1|P2|F1|A|{late}")
        assert of_type(built, "ServiceRequest")[0]["priority"] == "stat"
        assert built.drafts[0].cleared == () and "unmapped-code" not in [f.code for f in built.flags]
    alone = build(maps, f'{ORU}\n{PID}\nORC|RE|P1||G\nOBR|1|P2|F1|A|""')
    assert alone.drafts[0].cleared == ("priority",)


def test_a_line_may_ask_for_a_group() -> None:
    report = "per: PATIENT_RESULT/ORDER_OBSERVATION, rows: [OBR_DiagnosticReport],"
    for asked, who in (
        ("SPECIMEN valued", ["F1"]),
        ("SPECIMEN not valued", ["F2"]),
        ("PATIENT valued", ["F1", "F2"]),
    ):
        built = build(
            lab(MESSAGE.replace(report, f"{report} when: {asked},")),
            f"{ORU}\n{PID}\nOBR|1||F1|A\nOBX|1|ST|K||a\nSPM|1|S1||SER\nOBR|2||F2|B\nOBX|1|ST|K||b",
        )
        assert [r["identifier"][0]["value"] for r in of_type(built, "DiagnosticReport")] == who
    inner = RESULT.replace("bodySite: SPM-8", "bodySite: {from: OBX-20(1), when: SPECIMEN valued}")
    maps = maps_of(PATIENT, REPORT, inner, SPECIMEN, MESSAGE)
    text = f"{ORU}\n{PID}\nOBR|1||F1|A\nOBX|1|ST|K||a" + "|" * 15 + "ARM^Arm"
    assert [
        "bodySite" in o
        for t in (text, f"{text}\nSPM|1|S1||SER")
        for o in of_type(build(maps, t), "Observation")
    ] == [
        False,
        True,
    ]


def test_notes_are_read_from_where_their_segment_stands() -> None:
    timing = rows(
        "status: =active\nintent: =order\nsubject.display: PID-5.1\nnote: {each: NTE, text: NTE-3}",
        "MedicationRequest",
        "RXE",
    )
    message = (
        "map: RDE_O11\nfrom: RDE_O11\nfor: [RDE^O11]\nto: Bundle\nresources:\n"
        "  dose: {per: ORDER/TIMING_ENCODED, rows: [RXE_MedicationRequest]}\n"
    )
    head = MSH.replace("ADT^A01^ADT_A01", "RDE^O11^RDE_O11")
    one = "ORC|NW|P1\nRXE||X^Drug^L|1\nNTE|1||{}\nTQ1|1||BID\nTQ1|2||QD\nRXR|PO\n"
    built = build(maps_of(timing, message), f"{head}\n{PID}\n{one.format('first')}{one.format('second')}")
    notes = [[n["text"] for n in m["note"]] for m in of_type(built, "MedicationRequest")]
    assert notes == [["first"], ["first"], ["second"], ["second"]]


def test_a_segment_may_be_found_by_what_it_shares_with_mine() -> None:
    found = RESULT.replace("bodySite: SPM-8", 'bodySite.text: "OBX(3.1=SITE and 4=mine)-5"')
    maps = maps_of(PATIENT, REPORT, found, SPECIMEN, MESSAGE)
    lines = "OBX|1|ST|K|{0}|a\nOBX|2|ST|SITE|{0}|{1}\n"
    text = f"{ORU}\n{PID}\nOBR|1||F1|A\n{lines.format(1, 'arm')}{lines.format(2, 'leg')}OBX|9|ST|K|3|a\n"
    text += f"OBX|9|ST|K|A&B|a\nOBR|2||F2|B\n{lines.format(1, 'hip')}{lines.format('', 'toe')}"
    sites = {
        (o["code"]["text"] if "text" in o["code"] else o["code"]["coding"][0]["code"], n): o.get(
            "bodySite", {}
        ).get("text")
        for n, o in enumerate(of_type(build(maps, text), "Observation"))
    }
    assert [site for (code, _), site in sites.items() if code == "K"] == [
        "arm",
        "leg",
        None,
        None,
        "hip",
        "toe",
    ]
    found = RESULT.replace("bodySite: SPM-8", 'bodySite.text: "SPM(1=mine)-4"')
    with pytest.raises(MapError, match="no SPM of mine"):
        build(maps_of(PATIENT, REPORT, found, SPECIMEN, MESSAGE), text)


def test_a_segment_found_by_its_code_tells_whence_and_flags_nothing() -> None:
    found = RESULT.replace("bodySite: SPM-8", 'bodySite.text: "OBX(3.1=SITE)-5"').replace(
        "- bodySite", "bodySite"
    )
    order = REPORT.replace("code: OBR-4", 'code: OBR-4\n  conclusion: "OBX(3.1=SITE)-5"')
    maps = maps_of(PATIENT, order, found, SPECIMEN, MESSAGE)
    text = f"{ORU}\n{PID}\nOBR|1||F1|A\nOBX|1|ST|K||a\nOBX|2|ST|SITE||arm"
    assert "several-in-scope" not in [f.code for f in build(maps, text).flags]
    done = trace_message(message_of(text), maps, "standard", "entry")
    assert ("OBX[2]-5[1].1", "DiagnosticReport.conclusion") in {
        (m.source, m.target.split("/")[-1].replace("[0]", "")) for m in done.report.mapped
    }


def test_a_merge_into_itself_is_refused() -> None:
    head = MSH.replace("ADT^A01^ADT_A01", "ADT^A40^ADT_A39")
    built = build(shipped(), f"{head}\nEVN|A40\n{PID}\nMRG|77^^^NORTH^MR")
    assert built.held is not None and built.held.code == "refused" and built.drafts == []
    assert build(shipped(), f"{head}\nEVN|A40\n{PID}\nMRG|88^^^NORTH^MR").held is None


def test_lines_of_one_text_are_one_result() -> None:
    mend = (
        "mend:\n  - consecutive TX, FT or ST OBX with the same OBX-3 and OBX-4 are the lines of one result\n"
    )
    joined = RESULT.replace("valueString: OBX-5", "valueString: {join: OBX-5, with: newline}")
    maps = maps_of(PATIENT, REPORT, joined, SPECIMEN, MESSAGE + mend)
    text = f"{ORU}\n{PID}\nOBR|1||F1|A\nOBX|1|TX|R||one\nOBX|2|TX|R||two\nOBX|3|TX|S||three\nOBX|4|NM|R||4"
    assert [o["valueString"] for o in of_type(build(maps, text), "Observation")] == ["one\ntwo", "three", "4"]
    assert len(of_type(build(lab(), text), "Observation")) == 4
