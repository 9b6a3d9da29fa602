"""Strict mode with a small schema of our own, and what a message over HTTP is answered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lxml import etree

from engine.formats.ncpdp.answers import answer
from engine.formats.ncpdp.message import parse
from engine.formats.ncpdp.strict import Schemas, open_schemas
from engine.kernel.errors import ConfigError

SAMPLES = Path(__file__).parents[3] / "sample_messages" / "ncpdp"
WHEN = "2026-03-02T14:15:01Z"
MESSAGE = b"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" %s elementFormDefault="qualified">
<xs:include schemaLocation="types.xsd"/>
<xs:element name="Message"><xs:complexType><xs:sequence>
  <xs:element name="Header" type="Header"/>
  <xs:element name="Body"><xs:complexType><xs:sequence>
    <xs:element name="Ping" type="Ping"/>
  </xs:sequence></xs:complexType></xs:element>
</xs:sequence><xs:attribute name="StructuresVersion" use="required"/></xs:complexType></xs:element>
</xs:schema>"""
TYPES = b"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" %s elementFormDefault="qualified">
<xs:complexType name="Header"><xs:sequence>
  <xs:element name="To" type="Address"/>
  <xs:element name="From" type="Address"/>
  <xs:element name="MessageID" type="xs:string"/>
  <xs:element name="SentTime" type="xs:dateTime"/>
</xs:sequence></xs:complexType>
<xs:complexType name="Address"><xs:simpleContent><xs:extension base="xs:string">
  <xs:attribute name="Qualifier"/>
</xs:extension></xs:simpleContent></xs:complexType>
<xs:complexType name="Ping"><xs:sequence>
  <xs:element name="LastName"><xs:simpleType>
    <xs:restriction base="xs:string"><xs:maxLength value="5"/></xs:restriction>
  </xs:simpleType></xs:element>
  <xs:element name="Gender"><xs:simpleType><xs:restriction base="xs:string">
    <xs:enumeration value="F"/><xs:enumeration value="M"/>
  </xs:restriction></xs:simpleType></xs:element>
</xs:sequence></xs:complexType>
</xs:schema>"""
TARGET = b'targetNamespace="urn:ncpdp:SCRIPT" xmlns="urn:ncpdp:SCRIPT"'
PLAIN = {"message.xsd": MESSAGE % b"", "types.xsd": TYPES % b""}
NAMED = {f"2023011/{name}": data % TARGET for name, data in (("message.xsd", MESSAGE), ("types.xsd", TYPES))}


def ping(
    body: str = "<LastName>Wren</LastName>\n<Gender>F</Gender>",
    attributes: str = 'StructuresVersion="2023011"',
) -> bytes:
    return (
        f"<Message {attributes}><Header>\n<To Qualifier='P'>9</To><From Qualifier='D'>1</From>"
        "<MessageID>M1</MessageID>"
        f"<SentTime>2026-03-02T09:15:00-05:00</SentTime></Header>\n<Body><Ping>{body}</Ping></Body></Message>"
    ).encode()


def faults(schemas: Schemas, data: bytes) -> list[tuple[str, int, str]]:
    return [tuple(f) for f in schemas.faults(parse(data))]  # type: ignore[misc]


def test_what_fits_the_schema_has_no_faults() -> None:
    assert faults(open_schemas(PLAIN), ping()) == []
    assert (
        faults(open_schemas(NAMED), ping(attributes='xmlns="urn:ncpdp:SCRIPT" StructuresVersion="2023011"'))
        == []
    )


@pytest.mark.parametrize(
    ("body", "place", "line", "text"),
    [
        (
            "<LastName>Sandpiper</LastName>\n<Gender>F</Gender>",
            "LastName[1]",
            3,
            "longer than the schema allows",
        ),
        (
            "<LastName>Wren</LastName>\n<Gender>Sandpiper</Gender>",
            "Gender[1]",
            4,
            "none of the schema's list",
        ),
        ("<Gender>F</Gender>", "Gender[1]", 3, "the schema wants LastName"),
        (
            "<LastName>Wren</LastName>",
            "Ping[1]",
            3,
            "something is missing at its end: the schema wants Gender",
        ),
        ("<LastName Sandpiper='1'>Wren</LastName><Gender>F</Gender>", "LastName[1]", 3, "attribute"),
    ],
)
@pytest.mark.parametrize("named", [False, True])
def test_a_fault_says_where_and_what_and_nothing_of_the_patient(
    body: str, place: str, line: int, text: str, named: bool
) -> None:
    data = ping(body)
    if named:
        data = data.replace(b"<Message ", b'<n:Message xmlns:n="urn:ncpdp:SCRIPT" ')
        data = re.sub(rb"<(/?)(?=[A-Z])", rb"<\1n:", data)
    found = faults(open_schemas(NAMED if named else PLAIN), data)
    assert len(found) >= 1
    assert found[0][0].endswith(place) and found[0][0].startswith("/Message/Body[1]/Ping[1]")
    assert found[0][1] == line and text in found[0][2]
    assert not any("Sandpiper" in f[2] or "Wren" in f[2] for f in found if "attribute" not in f[2])


def test_a_version_without_schema_and_a_wrong_namespace_are_faults() -> None:
    assert (
        "there are some for 2023011"
        in faults(open_schemas(NAMED), ping(attributes='StructuresVersion="2017071"'))[0][2]
    )
    assert "namespace" in faults(open_schemas(NAMED), ping())[0][2]
    assert "attribute StructuresVersion is missing" in faults(open_schemas(PLAIN), ping(attributes=""))[0][2]


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({}, "no .xsd file"),
        ({"readme.txt": b"x"}, "no .xsd file"),
        ({"types.xsd": TYPES % b""}, "no file declares the element Message"),
        ({"message.xsd": MESSAGE % b""}, "does not stand beside it"),
        ({**PLAIN, "again.xsd": MESSAGE % b""}, "several files"),
        (
            {"message.xsd": (MESSAGE % b"").replace(b"types.xsd", b"http://127.0.0.1:9/types.xsd")},
            "does not stand beside it",
        ),
        (
            {**PLAIN, "message.xsd": (MESSAGE % b"").replace(b"types.xsd", b"../types.xsd")},
            "does not stand beside it",
        ),
        (
            {**PLAIN, "types.xsd": b"<!DOCTYPE x [<!ENTITY a SYSTEM 'file:///etc/hostname'>]>" + TYPES % b""},
            "never read",
        ),
        ({**PLAIN, "types.xsd": b"<html/>"}, "no xs:schema"),
        ({**PLAIN, "types.xsd": b"<xs:schema"}, ""),
        ({**PLAIN, "message.xsd": (MESSAGE % b"").replace(b'type="Ping"', b'type="Pong"')}, "Pong"),
    ],
)
def test_schemas_that_cannot_be_used_are_refused_in_words(files: dict[str, bytes], why: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_schemas(files)
    assert why in refused.value.why


def read_answer(body: bytes) -> dict[str, str]:
    root = etree.fromstring(body)
    return {str(e.tag).rpartition("}")[2]: (e.text or "").strip() for e in root.iter() if not len(e)}


def test_a_message_is_answered_by_a_status_to_its_sender() -> None:
    for shape in ("elements", "attributes"):
        data = (SAMPLES / shape / "newrx.xml").read_bytes()
        done = answer(data, "A-1", WHEN)
        said = read_answer(done.body)
        assert (done.kind, done.refused) == ("Status", "") and done.script is not None
        assert said["Code"] == "010" and said["RelatesToMessageID"] == "M-101" and said["MessageID"] == "A-1"
        assert (said["To"], said["From"]) == ("1234567893001", "9876543")
        assert etree.fromstring(done.body).tag == etree.fromstring(data).tag
        assert read_answer(answer(data, "A-1", WHEN, code="000").body)["Code"] == "000"


def test_a_verify_is_given_where_it_is_asked_for() -> None:
    data = (SAMPLES / "elements" / "newrx_minimal.xml").read_bytes()
    done = answer(data, "A-1", WHEN)
    assert done.kind == "Verify" and b"<VerifyStatus><Code>010</Code>" in done.body
    assert answer(data.replace(b"<ReturnReceipt>Y<", b"<ReturnReceipt>N<"), "A-1", WHEN).kind == "Status"


@pytest.mark.parametrize("name", ["status", "error", "verify"])
def test_an_answer_is_not_answered(name: str) -> None:
    done = answer((SAMPLES / "elements" / f"{name}.xml").read_bytes(), "A-1", WHEN)
    assert (done.body, done.kind, done.refused) == (b"", "", "")


def test_what_the_schema_does_not_allow_is_an_error_with_line_and_path() -> None:
    schemas = open_schemas(PLAIN)
    assert answer(ping(), "A-1", WHEN, schemas=schemas).kind == "Status"
    done = answer(
        ping("<LastName>Sandpiper</LastName><Gender>F</Gender>"),
        "A-1",
        WHEN,
        schemas=schemas,
        description_code="2000",
    )
    said = read_answer(done.body)
    assert done.kind == "Error" and (said["Code"], said["DescriptionCode"]) == ("900", "2000")
    assert "line 3, /Message/Body[1]/Ping[1]/LastName[1]" in said["Description"] == done.refused
    assert "Sandpiper" not in done.refused and said["RelatesToMessageID"] == "M1"


def test_many_faults_are_counted() -> None:
    many = (
        ping("<LastName>Sandpiper</LastName><Gender>X</Gender>")
        .replace(b"2026-03-02T09:15:00-05:00", b"later")
        .replace(b"<To ", b"<To Other='1' ")
    )
    done = answer(many, "A-1", WHEN, schemas=open_schemas(PLAIN))
    assert done.refused.endswith("and 1 more")


@pytest.mark.parametrize(
    "data", [b"", b"<Message><Header/>", b"MSH|^~\\&|", b"<Message><Header/><Body/></Message>"]
)
def test_what_cannot_be_read_is_an_error_without_address(data: bytes) -> None:
    done = answer(data, "A-1", WHEN)
    said = read_answer(done.body)
    assert (
        done.kind == "Error"
        and said["Code"] == "900"
        and said["Description"]
        and done.refused
        and done.script is None
    )


@pytest.mark.parametrize(
    ("cut", "lacks"), [(b"<MessageID>M1</MessageID>", "MessageID"), (b"<From Qualifier='D'>1</From>", "From")]
)
def test_without_id_or_sender_nobody_can_tell_it_from_another(cut: bytes, lacks: str) -> None:
    done = answer(ping().replace(cut, b""), "A-1", WHEN)
    assert done.kind == "Error" and lacks in done.refused
