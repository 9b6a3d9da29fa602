"""FHIR as JSON is read whole or refused with the place; nothing else is ever raised."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats.content import recognise
from engine.formats.facts import facts_of
from engine.formats.fhir.facts import of_fhir, split_query, split_reference
from engine.formats.fhir.posted import parse
from engine.kernel.errors import FormatError

SAMPLES = Path(__file__).parents[3] / "sample_messages/fhir"
MONITOR = (SAMPLES / "monitor_transaction.json").read_bytes()


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.json")), ids=lambda p: p.stem)
def test_samples_are_recognised_and_every_value_has_its_place(path: Path) -> None:
    data = path.read_bytes()
    assert recognise(data) == recognise(b"\xef\xbb\xbf\n " + data) == "fhir"
    posted = parse(data)
    leaves = list(posted.leaves())
    assert (
        len({leaf.place for leaf in leaves}) == len(leaves) == data.count(b'": ') - _objects(json.loads(data))
    )
    assert facts_of(data, "fhir").message_type == f"fhir {posted.kind}"


def _objects(value: Any) -> int:
    """Count the names whose value is an object or a list, less the values in lists of plain values."""
    if isinstance(value, dict):
        return sum(isinstance(v, (dict, list)) + _objects(v) for v in value.values())
    if isinstance(value, list):
        return sum(_objects(v) - (not isinstance(v, (dict, list))) for v in value)
    return 0


def test_digits_of_numbers_are_kept() -> None:
    posted = parse(b'{"resourceType": "Observation", "valueQuantity": {"value": 4.10}}')
    value = posted.value["valueQuantity"]["value"]
    assert isinstance(value, Decimal) and str(value) == "4.10"
    assert [(leaf.place, leaf.value) for leaf in posted.leaves()][1] == (
        "Observation.valueQuantity.value",
        "4.10",
    )


@pytest.mark.parametrize(
    ("body", "what", "where"),
    [
        (b"", "not JSON", "line 1"),
        (b"<Patient/>", "XML", ""),
        (b"[]", "no FHIR resource", ""),
        (b"{}", "no FHIR resource", "resourceType"),
        (b'{"resourceType": 1}', "no FHIR resource", "resourceType"),
        (b'{"resourceType": "Patient", "a": 1, "a": 2}', "a stands twice", ""),
        (b'{"resourceType": "Patient", "x": {"Jane Doe": 1, "Jane Doe": 2}}', "a name stands twice", ""),
        (b'{"resourceType": "Patient", "x": Infinity}', "not JSON", ""),
        (b'{"resourceType": "Patient", "x": "\\ud800"}', "not JSON", ""),
        (b'{"resourceType": "Patient", "x": "\xff"}', "not JSON", "byte 34"),
        (b'{"resourceType": "Patient", "x": ' + b"9" * 5000 + b"}", "not JSON", ""),
        (b'{"resourceType": "Patient", "x": ' + b"[" * 100 + b"]" * 100 + b"}", "nested too deeply", ""),
        (b'{"resourceType": "Patient", "x": ' + b"[" * 100_000, "nested too deeply", ""),
        (b'{"resourceType": "Bundle"}', "a Bundle of type none", "Bundle.type"),
        (b'{"resourceType": "Bundle", "type": "history"}', "history is not taken", "Bundle.type"),
        (b'{"resourceType": "Bundle", "type": "Jane Doe"}', "a Bundle of type none", "Bundle.type"),
        (b'{"resourceType": "Bundle", "type": "batch", "entry": {}}', "no list", "Bundle.entry"),
        (b'{"resourceType": "Bundle", "type": "batch", "entry": [1]}', "no entry", "Bundle.entry[0]"),
        (b'{"resourceType": "Bundle", "type": "batch", "entry": [{}]}', "request is missing", "entry[0]"),
        (
            b'{"resourceType": "Bundle", "type": "collection", "entry": [{}]}',
            "without a resource",
            "entry[0]",
        ),
        (
            b'{"resourceType": "Bundle", "type": "collection", '
            b'"entry": [{"resource": {"resourceType": "Bundle"}}]}',
            "a Bundle inside",
            "entry[0].resource",
        ),
        (
            b'{"resourceType": "Bundle", "type": "message", '
            b'"entry": [{"resource": {"resourceType": "Patient"}}]}',
            "begins with its MessageHeader",
            "entry[0]",
        ),
    ],
)
def test_what_cannot_be_taken_is_refused_with_its_place(body: bytes, what: str, where: str) -> None:
    with pytest.raises(FormatError) as e:
        parse(body)
    assert what in e.value.what and where in e.value.where and "Jane" not in str(e.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Patient/1", ("", "Patient", "1")),
        ("Patient/1/_history/2", ("", "Patient", "1")),
        ("https://a.example/fhir/Patient/1", ("https://a.example/fhir", "Patient", "1")),
        ("a/b/Patient/1", ("", "", "")),
        ("https://a.example/page", ("", "", "")),
        ("urn:uuid:1", ("", "", "")),
        ("Patient?identifier=a|b", ("", "", "")),
        ("Patient/", ("", "", "")),
    ],
)
def test_references_are_taken_apart(text: str, parts: tuple[str, str, str]) -> None:
    assert split_reference(text) == parts


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Patient?identifier=urn:oid:2.999|4711", ("Patient", "urn:oid:2.999", "4711")),
        ("Patient?identifier=https%3A%2F%2Fa%7C47%5C%7C11", ("Patient", "https://a", "47|11")),
        ("Patient?identifier=a|b\\,c", ("Patient", "a", "b,c")),
        ("Patient?identifier=4711", None),
        ("Patient?identifier=|4711", None),
        ("Patient?identifier=a|b&active=true", None),
        ("Patient?name=a|b", None),
        ("Patient/1", None),
    ],
)
def test_conditional_references_name_one_number_or_nothing(text: str, parts: Any) -> None:
    assert split_query(text) == parts


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["resourceType", "type", "entry", "resource", "request", "id", "identifier", "subject"]
)


@given(
    st.dictionaries(NAMES, VALUES | st.sampled_from(["Bundle", "Patient", "transaction", "message"]))
    | st.fixed_dictionaries({"resourceType": st.just("Patient"), "x": VALUES})
)
@settings(max_examples=300, deadline=None)
def test_any_json_is_read_whole_or_refused(value: Any) -> None:
    data = json.dumps(value).encode()
    try:
        posted = parse(data)
    except FormatError:
        return
    assert len({leaf.place for leaf in posted.leaves()}) == len(list(posted.leaves()))
    of_fhir(posted)


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_damaged_bytes_are_read_or_refused(data: st.DataObject) -> None:
    body = bytearray(MONITOR)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    recognise(bytes(body))
    try:
        of_fhir(parse(bytes(body)))
    except FormatError as e:
        assert "Okafor" not in str(e)
