"""Conformance profiles: each rule finds its fault, says where, quotes nothing; the ACK lists them in ERR."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.channels.definition import load_channels
from engine.formats.hl7v2.ack import acknowledge
from engine.formats.hl7v2.header import peek
from engine.formats.hl7v2.profile import Profile, check, read_profile
from engine.kernel.errors import ConfigError
from engine.listeners.ack_rules import AckRules
from engine.listeners.validating import standard, validator

PAGE = Path(__file__).parents[3] / "docs/analysts/profiles.md"
HEAD = "MSH|^~\\&|L|N|H|C|20260501120000-0500||ORU^R01^ORU_R01|M1|P|2.5.1"
GOOD = (
    HEAD,
    "PID|1||77^^^NORTH^MR||DOE^JO||19800101|F",
    "OBR|1|P1|F1|24320-4^Panel^LN|||20260501083000-0500",
    "OBX|1|NM|2823-3^K^LN||4.1|mmol/L|||||F",
)


def message(*changes: tuple[str, str]) -> bytes:
    text = "\r".join(GOOD)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return (text + "\r").encode()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (found,) = re.findall(r"^```yaml profile\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    (tmp_path / "mappings/profiles").mkdir(parents=True)
    (tmp_path / "mappings/profiles/north_lab.yaml").write_text(found)
    return tmp_path


@pytest.fixture
def profile(project: Path) -> Profile:
    return read_profile(project / "mappings/profiles/north_lab.yaml")


def test_a_message_as_agreed_has_no_fault(profile: Profile) -> None:
    assert check(profile, message()) == []


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        (("PID|1||77^^^NORTH^MR||DOE^JO||19800101|F", "PV1|1"), "100", "PID"),
        (("OBR|1", "ZXX|1\rOBR|1"), "100", "ZXX[1]"),
        (("OBR|1|", "PID|2||78^^^N^MR||||19800101\rOBR|1|"), "100", "PID[2]"),
        (("77^^^NORTH^MR", ""), "101", "PID[1]-3"),
        (("77^^^NORTH^MR", "77^^^^MR"), "101", "PID[1]-3[1].4"),
        (("77^^^NORTH^MR", "77^^^NORTH^MR~78^^^^PI"), "101", "PID[1]-3[2].4"),
        (("77^^^NORTH^MR", "~".join(f"{n}^^^A" for n in range(6))), "102", "PID[1]-3"),
        (("|19800101|", '|""|'), "101", "PID[1]-7[1]"),
        (("|19800101|", "|1980|"), "102", "PID[1]-7[1]"),
        (("|19800101|F", "|19800101|Q"), "103", "PID[1]-8[1]"),
        (("|19800101|F", "|19800101|F|||||||||||990-11-2222"), "102", "PID[1]-19[1]"),
        (("2823-3^K^LN", "282333333333333333333^K^LN"), "104", "OBX[1]-3[1].1"),
        (("|||||F", "|||||S"), "103", "OBX[1]-11[1]"),
    ],
)
def test_each_fault_has_its_place_and_quotes_nothing(
    profile: Profile, change: tuple[str, str], code: str, where: str
) -> None:
    found = check(profile, message(change))
    assert (code, where) in [(p.code, p.location) for p in found]
    for p in found:
        assert not any(value in p.text for value in ("990-11", "282333", "1980", "DOE"))


def test_a_message_of_another_type_is_none_of_its_business(profile: Profile) -> None:
    assert check(profile, message(("ORU^R01^ORU_R01", "ADT^A08^ADT_A01"), ("77^^^NORTH^MR", ""))) == []


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("segments: {PID: required}", "start it with profile"),
        ("profile: x\nfields: {PID-3: needed}", "usage needed"),
        ("profile: x\nfields: {PID: required}", "no field"),
        ("profile: x\nfields: {PID-3: {long: 3}}", "'long'"),
        ("profile: x\nfields: {PID-7: {like: '('}}", "no pattern"),
        ("profile: x\nsegments: {PID: {most: no}}", "no number"),
    ],
)
def test_a_slip_in_a_profile_is_named(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "x.yaml").write_text(text)
    with pytest.raises(ConfigError, match="(?i)" + re.escape(why)):
        read_profile(tmp_path / "x.yaml", "x.yaml")


@pytest.mark.parametrize("strict", [False, True])
def test_the_answer_lists_the_faults_as_err_segments(project: Path, strict: bool) -> None:
    (project / "channels").mkdir()
    text = "channel: north\nreceive: {mllp: {port: 0}}\nprofile: north_lab\n"
    (project / "channels/north.yaml").write_text(text + ("strict: true\n" if strict else ""))
    (channel,) = load_channels(project)
    assert channel.mllp is not None and channel.mllp.profile is not None
    rules = channel.mllp.rules
    decides = AckRules(rules, validator(rules, channel.mllp.profile, standard() if strict else None))
    body = message(("77^^^NORTH^MR", "77^^^^MR"), ("|||||F", "|||||S"))
    decision = decides.decide(peek(body), body)
    assert (decision.row, decision.outcome, decision.kind) == ("strict", "error", "refused")
    answer = acknowledge(peek(body), "AE", errors=decision.errors, control_id="1", at_ms=0).decode()
    lines = [x for x in answer.split("\r") if x.startswith("ERR")]
    assert any(x.startswith("ERR||PID^1^3^1^4|101^") for x in lines)
    assert any(x.startswith("ERR||OBX^1^11^1|103^") for x in lines)
    assert decides.decide(peek(message()), message()).outcome == "accept"
    lacking = message(("24320-4^Panel^LN", ""))  # the standard demands OBR-4, the profile does not
    assert decides.decide(peek(lacking), lacking).outcome == ("error" if strict else "accept")


def test_a_profile_that_is_not_there_is_refused_at_start(tmp_path: Path) -> None:
    (tmp_path / "channels").mkdir()
    (tmp_path / "channels/x.yaml").write_text("channel: x\nreceive: {mllp: {port: 0}}\nprofile: nowhere\n")
    with pytest.raises(ConfigError, match="no profile nowhere"):
        load_channels(tmp_path)
