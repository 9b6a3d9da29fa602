"""Prescriptions over HTTP: Status, Verify, Error; strict by a user's schemas; answered when it is on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree
from test_listener_http import Bench, Client
from test_listener_other_formats import post, rules
from twisted.internet import defer

from engine.kernel.errors import ConfigError, StoreUnavailable
from engine.listeners.accepting import AckScript
from engine.listeners.mail import schemas_in

SAMPLES = Path(__file__).parents[2] / "sample_messages" / "ncpdp"
SCHEMA = """<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:ncpdp:SCRIPT"
    elementFormDefault="qualified">
<xs:complexType name="Any"><xs:sequence>
  <xs:any processContents="skip" minOccurs="0" maxOccurs="unbounded"/>
</xs:sequence></xs:complexType>
<xs:element name="Message"><xs:complexType><xs:sequence>
  <xs:element name="Header" type="s:Any" xmlns:s="urn:ncpdp:SCRIPT"/>
  <xs:element name="Body"><xs:complexType><xs:sequence>
    <xs:element name="NewRx" type="s:Any" xmlns:s="urn:ncpdp:SCRIPT"/>
  </xs:sequence></xs:complexType></xs:element>
</xs:sequence><xs:anyAttribute processContents="skip"/></xs:complexType></xs:element>
</xs:schema>"""


def sample(name: str, shape: str = "attributes") -> bytes:
    return (SAMPLES / shape / f"{name}.xml").read_bytes()


def said(client: Client) -> dict[str, str]:
    """The leaves of the answer by their names."""
    status, headers, body = client.responses[-1]
    assert status == 200 and headers["content-type"] == "application/xml"
    root = etree.fromstring(body)
    names = {str(e.tag).rpartition("}")[2]: (e.text or "") for e in root.iter() if not len(e)}
    (transaction,) = next(e for e in root if str(e.tag).endswith("Body"))
    return {**names, "is": str(transaction.tag).rpartition("}")[2]}


@pytest.fixture
def strict(tmp_path: Path) -> AckScript:
    folder = tmp_path / "2023011"
    folder.mkdir()
    (folder / "transport.xsd").write_text(SCHEMA)
    return AckScript(schemas=tmp_path, description_code="2000")


@pytest.mark.parametrize("shape", ["elements", "attributes"])
def test_a_status_goes_back_to_the_sender(shape: str) -> None:
    bench, client = post(rules("ncpdp"), sample("newrx", shape))
    answer = said(client)
    assert (answer["is"], answer["Code"], answer["RelatesToMessageID"]) == ("Status", "010", "M-101")
    assert (answer["To"], answer["From"]) == ("1234567893001", "9876543")
    (entry,) = bench.journal.entries
    assert entry.body == sample("newrx", shape) and "prescriber|1234567893001|ORD-5501" in entry.order_keys
    _, passing = post(rules("ncpdp", script=AckScript(status="000")), sample("newrx", shape))
    assert said(passing)["Code"] == "000"


def test_a_cancel_waits_behind_its_prescription() -> None:
    keys = []
    for name in ("newrx", "cancelrx", "rxfill_partial"):
        bench, _ = post(rules("ncpdp"), sample(name))
        keys.append(set(bench.journal.entries[0].order_keys))
    assert "prescriber|1234567893001|ORD-5501" in keys[0] & keys[1] & keys[2]


def test_a_verify_where_the_sender_asks_for_one() -> None:
    _, client = post(rules("ncpdp"), sample("newrx_minimal"))
    assert (said(client)["is"], said(client)["Code"]) == ("Verify", "010")


def test_nothing_is_answered_before_it_is_on_disk() -> None:
    bench = Bench(rules("ncpdp"))
    bench.port.in_thread = defer.maybeDeferred
    client = bench.connect().post(sample("newrx"), Content_Type="application/xml")
    assert not client.statuses
    bench.journal.fail = StoreUnavailable("no disk")
    bench.turn()
    assert client.statuses == [503] and not bench.journal.entries


def test_what_fits_the_schema_is_taken(strict: AckScript) -> None:
    bench, client = post(rules("ncpdp", script=strict), sample("newrx"))
    assert said(client)["is"] == "Status" and bench.journal.entries[0].kind == "message"


@pytest.mark.parametrize(
    ("name", "shape", "why"),
    [
        ("cancelrx", "attributes", "/Message/Body[1]/CancelRx[1]"),
        ("newrx", "elements", "there is no schema for its version"),
    ],
)
def test_what_breaks_its_schema_is_kept_and_answered_with_an_error(
    strict: AckScript, name: str, shape: str, why: str
) -> None:
    bench, client = post(rules("ncpdp", script=strict), sample(name, shape))
    answer = said(client)
    assert (answer["is"], answer["Code"], answer["DescriptionCode"]) == ("Error", "900", "2000")
    assert why in answer["Description"] and "line " in answer["Description"]
    (entry,) = bench.journal.entries
    assert entry.kind == "refused" and entry.body == sample(name, shape) and why in entry.reason
    assert not any(word in entry.reason + answer["Description"] for word in ("Sample", "Wren", "metformin"))


def test_an_answer_is_held_to_no_schema_and_not_answered(strict: AckScript) -> None:
    bench, client = post(rules("ncpdp", script=strict), sample("status"))
    assert client.statuses == [204] and bench.journal.entries[0].kind == "message"


def test_what_cannot_be_read_is_answered_with_an_error() -> None:
    bench, client = post(rules("ncpdp"), sample("newrx")[:700], "application/xml")
    assert (said(client)["is"], said(client)["Code"]) == ("Error", "900")
    assert bench.journal.entries[0].kind == "garbage"


def test_without_a_number_of_its_own_it_is_refused() -> None:
    bench, client = post(rules("ncpdp"), sample("newrx").replace(b"<MessageID>M-101</MessageID>", b""))
    assert said(client)["is"] == "Error" and bench.journal.entries[0].kind == "refused"


def test_a_folder_without_schemas_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        schemas_in(tmp_path / "nowhere")
    assert "XSD" in str(refused.value)
