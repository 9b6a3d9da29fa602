"""The report of a message: every leaf is told of, whatever is done to a sample; both programs agree."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mapping_maker import build, maps_of, message_of, rows, shipped

from engine.formats.hl7v2.leaves import leaves
from engine.formats.hl7v2.parse import parse
from engine.formats.hl7v2.split import split_messages
from engine.kernel.errors import HubError
from engine.mapping.convert import headers, map_message, name_systems, trace_message, unkeyed
from engine.mapping.lineage import STATES, two_way

ROOT = Path(__file__).parents[2]
SAMPLES = sorted((ROOT / "sample_messages").rglob("*.hl7"))
MESSAGE = "map: ADT_A01\nfrom: ADT_A01\nto: Bundle\nresources:\n  patient: {per: ., rows: [PID_Patient]}\n"


@cache
def records() -> tuple[bytes, ...]:
    return tuple(bytes(r.data) for p in SAMPLES for r in split_messages(p.read_bytes()))


def report(text: str, pid: str) -> tuple[dict[str, list[tuple[str, str]]], dict[str, str]]:
    maps = maps_of(rows(text), MESSAGE)
    done = trace_message(message_of(pid), maps, "standard", "entry")
    mapped: dict[str, list[tuple[str, str]]] = {}
    for m in done.report.mapped:
        mapped.setdefault(m.source, []).append((m.target, m.row))
    return mapped, {u.source: u.why for u in done.report.unmapped}


def test_each_leaf_says_where_it_went_and_by_which_row() -> None:
    mapped, unmapped = report("name(legal): PID-5\nlanguage: PID-5.1", "PID|1||||DOE^JO~ROE|||F")
    assert (
        "Patient.name[0].family",
        "XPN_HumanName/family (mappings/hl7v2/datatypes/XPN_HumanName.yaml:7)",
    ) in mapped["PID[1]-5[1].1"]
    assert ("Patient.language", "small/language (small.yaml:6)") in mapped["PID[1]-5[1].1"]
    assert [t for t, _ in mapped["PID[1]-5[2].1"]] == ["Patient.name[1].family"]
    assert unmapped["PID[1]-8[1].1"] == "no row reads it"


def test_what_goes_nowhere_says_why() -> None:
    text = "gender: {from: PID-8, code: AdministrativeSex}\nbirthDate: PID-7\n"
    text += "active: {by: PID-2, A: =true, B: =false}"
    _, unmapped = report(text, 'PID|1|A||||""|soon|QQ')
    assert unmapped["PID[1]-8[1].1"] == "code not in table AdministrativeSex"
    assert unmapped["PID[1]-7[1].1"] == "not-a-date"
    assert unmapped["PID[1]-2[1].1"].startswith("chose the case of row")
    assert unmapped["PID[1]-6[1].1"].startswith("an explicit delete")


def test_ignored_is_said_to_be_ignored() -> None:
    maps = maps_of(rows("gender: {from: PID-8, code: AdministrativeSex}", ignore="[PID-1]"), MESSAGE)
    done = trace_message(message_of("PID|1|||||||F"), maps, "standard", "entry")
    (u,) = [u for u in done.report.unmapped if u.source.startswith("PID[1]-1")]
    assert u.why == "ignored on purpose by PID_Patient"


def test_a_value_joined_of_two_knows_both() -> None:
    mapped, _ = report("language: {join: [PID-2, PID-4], with: space}", "PID|1|a||b")
    assert {s for s, hits in mapped.items() for t, _ in hits if t == "Patient.language"} == {
        "PID[1]-2[1].1",
        "PID[1]-4[1].1",
    }


def test_a_translated_code_is_told_of_its_source() -> None:
    mapped, _ = report("maritalStatus: {from: PID-16, code: MaritalStatus}", f"PID|1{'|' * 15}M^Married^L")
    targets = {t for t, _ in mapped["PID[1]-16[1].1"]}
    assert "Patient.maritalStatus.coding[0].code" in targets


# -- whatever is done to a sample ----------------------------------------------------------------------


def _spoil(data: bytes, seed: int) -> bytes:
    """Do a few things to a message that senders do: drop, repeat, move, empty, delete, shorten."""
    r = random.Random(seed)
    lines = data.replace(b"\n", b"\r").split(b"\r")
    head, body = lines[0], [s for s in lines[1:] if s]
    for _ in range(r.randint(1, 4)):
        if not body:
            break
        i = r.randrange(len(body))
        fields = body[i].split(b"|")
        f = r.randrange(1, len(fields)) if len(fields) > 1 else 0
        deed = r.randrange(8)
        if deed == 0:
            del body[i]
        elif deed == 1:
            body.insert(i, body[i])
        elif deed == 2:
            body.insert(r.randrange(len(body)), body.pop(i))
        elif deed == 3 and f:
            fields[f] = b""
            body[i] = b"|".join(fields)
        elif deed == 4 and f:
            fields[f] = b'""'
            body[i] = b"|".join(fields)
        elif deed == 5 and f:
            fields[f] = fields[f] + b"~" + fields[f][::-1]
            body[i] = b"|".join(fields)
        elif deed == 6 and f:
            fields[f] = fields[f][: len(fields[f]) // 2]
            body[i] = b"|".join(fields)
        elif f:
            fields[f] = r.choice(
                [b"^^", b"X&Y&Z^Q", b"20261101013000", b"<5", b"a\\T\\b", b"12^13~14", b"~", b" "]
            )
            body[i] = b"|".join(fields)
    return b"\r".join([head, *body]) + b"\r"


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 10**6), st.integers(0, 10**9))
def test_every_leaf_is_told_of_and_both_programs_agree(which: int, seed: int) -> None:
    data = _spoil(records()[which % len(records())], seed)
    message = parse(data)
    maps = shipped()
    site = maps.site_for(headers(message)).name
    try:
        done = trace_message(message, maps, site, "entry", general=True)
    except HubError:
        return
    told = {m.source for m in done.report.mapped} | {u.source for u in done.report.unmapped}
    assert told == {leaf.address for leaf in leaves(parse(data))}
    if maps.program(site).plan_for(message.code, message.event) is None:
        return
    fast = map_message(parse(data), maps.program(site), unkeyed, "entry")
    assert [d.body for d in fast.drafts] == [d.body for d in done.built.drafts]
    assert [(d.id, d.keys, d.labels, d.cleared, d.write) for d in fast.drafts] == [
        (d.id, d.keys, d.labels, d.cleared, d.write) for d in done.built.drafts
    ]
    # a group that is read by many is flagged once in the fast program, once a reader in the twin
    assert {f.code for f in fast.flags} == {f.code for f in done.built.flags}
    assert (fast.held is None) == (done.built.held is None)


@pytest.mark.parametrize("name", ["adt_a01_admit", "adt_a08_update"])
def test_the_same_bytes_give_the_same_report(name: str) -> None:
    (path,) = [p for p in SAMPLES if p.stem == name] or [SAMPLES[0]]
    (first, second) = (
        trace_message(parse(path.read_bytes()), shipped(), "standard", "entry", general=True) for _ in "12"
    )
    assert first.report == second.report and first.revision == second.revision


def test_a_draft_says_nothing_that_is_not_in_the_message_or_the_map() -> None:
    built = build(maps_of(rows("name: PID-5"), MESSAGE), "PID|1||||DOE^JO")
    assert [d.body for d in built.drafts] == [
        {"resourceType": "Patient", "name": [{"family": "DOE", "given": ["JO"]}]}
    ]


def test_excluded_by_a_condition_is_not_the_same_as_not_mapped() -> None:
    text = "gender: {from: PID-8, when: PID-7 valued}\nname(legal): PID-5\nbirthDate: {by: PID-2, A: PID-7}\n"
    done = trace_message(
        message_of("PID|1|B||Q|DOE^^^^^^^A|||F"), maps_of(rows(text), MESSAGE), "standard", "e"
    )
    said = {u.source: u for u in done.report.unmapped}
    gender = said["PID[1]-8[1].1"]
    assert gender.state == "excluded" and gender.why.endswith("only when PID-7 valued")
    assert gender.row.startswith("PID_Patient/gender (small.yaml:") and gender.place.line > 0
    assert said["PID[1]-5[1].8"].why == "not mapped: XPN_HumanName has no row for PID-5.8"
    assert said["PID[1]-5[1].8"].state == said["PID[1]-4[1].1"].state == "not mapped"
    assert said["PID[1]-2[1].1"].state == "decides"


def test_both_ways_say_the_same_and_every_leaf_has_a_state() -> None:
    told = 0
    for record in records():
        message = parse(record)
        site = shipped().site_for(headers(message)).name
        try:
            made = trace_message(message, shipped(), site, "e").report
        except HubError:
            continue
        ways = two_way(made)
        there = {(e, x["location"]) for e, found in ways["elements"].items() for x in found}
        back = {(x["element"], a) for a, found in ways["locations"].items() for x in found["elements"]}
        assert there == back
        told += len(there)
        for address, found in ways["locations"].items():
            assert found["state"] in STATES and bool(found["elements"]) is (found["state"] == "mapped"), (
                address
            )
            assert found["elements"] or found["why"]
            for x in found["elements"]:
                assert x["row"]["file"].startswith("mappings/") and x["row"]["line"] > 0 and x["row"]["layer"]
    assert told > 1000


def test_a_comment_that_no_row_reads_is_told_by_its_place() -> None:
    text = r"MSH|^~\&|LIS|NORTH|HUB|CDR|20260501120000-0500||ORU^R01^ORU_R01|M1|P|2.5.1" + "\r"
    text += "PID|1||77^^^NORTH^MR||DOE^JO\rPV1|1|I\rNTE|1|L|about the visit\r"
    text += "OBR|1||F1|X^x^L|||||||||||||||||||||F\r"
    text += "OBX|1|NM|K^k^L||4.1||||||F\rZOB|1\rNTE|2|L|hemolyzed\r"
    done = trace_message(parse(text.encode()), shipped(), "standard", "entry")
    mapped = {m.source: m.target for m in done.report.mapped}
    unmapped = {u.source: u.why for u in done.report.unmapped}
    assert mapped["NTE[2]-3[1].1"].endswith(".note[0].text")
    assert unmapped["NTE[1]-3[1].1"] == "not mapped: no row reads the comments behind PV1[1]"


def test_the_header_of_a_bundle_lists_how_coding_systems_were_named() -> None:
    segments = "OBR|1|1||CBC^Blood count^L\nOBX|1|CWE|8^x^LN||A^b^HL70136~C^d^99Z||||||F"
    text = f"MSH|^~\\&|A|B|C|D|20260101||ORU^R01^ORU_R01|1|P|2.5.1\nPID|1||1^^^X^MR||Doe^J\n{segments}"
    done = trace_message(parse(text.encode()), shipped(), "standard", "entry")
    name_systems(done, "urn:hub:own")
    (header,) = [d.body for d in done.built.drafts if d.type == "MessageHeader"]
    said = [e for e in header["extension"] if e["url"].endswith("coding-system-meant")]
    assert {e["extension"][0]["valueString"]: e["extension"][1]["valueUri"] for e in said} == {
        "LN": "http://loinc.org",
        "HL70136": "http://terminology.hl7.org/CodeSystem/v2-0136",
    }
