"""Transaction bundles and the ids in them."""

from __future__ import annotations

import hashlib
import hmac
import re
from itertools import permutations
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from fhir_samples import observation, patient
from hypothesis import given
from hypothesis import strategies as st

from engine.fhir.bundle import identifier_query, transaction, unresolved
from engine.fhir.ids import keyed_uuid, name_uuid
from engine.fhir.validate import validate
from engine.kernel.errors import FormatError
from engine.kernel.message import Draft

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[58][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
MRN = ("urn:oid:2.16.840.1.113883.19.5", "100234")


def _mac(data: bytes) -> bytes:
    return hmac.digest(b"k" * 32, data, hashlib.sha256)


def _draft(body: dict[str, object], **more: object) -> Draft:
    kind = str(body["resourceType"])
    body = {k: v for k, v in body.items() if k not in ("resourceType", "id")}
    values: dict[str, object] = {"name": kind, "type": kind, "id": name_uuid(kind), "body": body} | more
    return Draft(**values)  # type: ignore[arg-type]


def test_ids_are_uuids_and_never_change() -> None:
    made = name_uuid("Patient", *MRN)
    assert UUID.fullmatch(made)
    assert name_uuid("Patient", "urn:oid:1.2.3", "100234") == "12c3a0e6-8f1c-58a1-8d30-dc243465709d"
    assert UUID.fullmatch(keyed_uuid(_mac, "Patient", *MRN))


def test_parts_never_run_into_each_other() -> None:
    cases = [
        ("a", "bc"),
        ("ab", "c"),
        ("abc",),
        ("abc", ""),
        ("", "abc"),
        ("1:a",),
        ("a", "1:b"),
        ("ü",),
        ("u\u0308",),
    ]
    assert len({name_uuid(*c) for c in cases}) == len(cases)
    assert len({keyed_uuid(_mac, *c) for c in cases}) == len(cases)
    assert len({name_uuid(*p) for p in permutations(("a", "b", "c"))}) == 6


@given(st.lists(st.text()), st.lists(st.text()))
def test_different_parts_have_different_ids(a: list[str], b: list[str]) -> None:
    assert (name_uuid(*a) == name_uuid(*b)) is (a == b)


def test_a_key_changes_the_id() -> None:
    other = keyed_uuid(lambda d: hmac.digest(b"x" * 32, d, "sha256"), "a")
    assert keyed_uuid(_mac, "a") not in (other, name_uuid("a"))


def test_the_bundle_is_sound_and_linked() -> None:
    someone = _draft(patient(), keys=(MRN,))
    result = _draft(observation(subject={"reference": f"urn:uuid:{someone.id}"}))
    made = transaction([someone, result])
    assert validate(made) == []
    first, second = made["entry"]
    assert first["fullUrl"] == f"urn:uuid:{someone.id}" == second["resource"]["subject"]["reference"]
    assert first["fullUrl"] == first["fullUrl"].lower()
    assert first["request"] == {
        "method": "PUT",
        "url": "Patient?identifier=urn%3Aoid%3A2.16.840.1.113883.19.5%7C100234",
    }
    assert "id" not in first["resource"]
    assert second["request"] == {"method": "PUT", "url": f"Observation/{result.id}"}
    assert second["resource"]["id"] == result.id
    assert list(second["resource"])[:2] == ["resourceType", "id"]


def test_what_is_written_once_is_created_conditionally() -> None:
    (entry,) = transaction([_draft(patient(), keys=(MRN,), write="create")])["entry"]
    assert entry["request"]["method"] == "POST"
    assert entry["request"]["url"] == "Patient"
    assert entry["request"]["ifNoneExist"].startswith("identifier=")


def test_a_key_the_server_could_not_find_is_not_used() -> None:
    """A conditional update on an identifier that is not in the body would create a twin each time."""
    (entry,) = transaction([_draft(patient(), keys=(("urn:x", "other"),))])["entry"]
    assert "?" not in entry["request"]["url"]
    provenance = {"resourceType": "Provenance", "identifier": [{"system": "urn:x", "value": "1"}]}
    (entry,) = transaction([_draft(provenance, keys=(("urn:x", "1"),))])["entry"]
    assert "?" not in entry["request"]["url"]
    (entry,) = transaction([_draft(patient(), keys=(MRN,))], conditional=False)["entry"]
    assert "?" not in entry["request"]["url"]


def test_two_drafts_never_ask_for_the_same_resource() -> None:
    twins = [_draft(patient(), keys=(MRN,)), _draft(patient(), keys=(MRN,), id=name_uuid("b"))]
    urls = [e["request"]["url"] for e in transaction(twins)["entry"]]
    assert len(set(urls)) == 2
    with pytest.raises(FormatError):
        transaction([twins[0], twins[0]])


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_query_says_what_it_means(system: str, value: str) -> None:
    try:
        f"{system}{value}".encode()
    except UnicodeEncodeError:
        return
    query = identifier_query(system, value)
    assert re.fullmatch(r"identifier=[A-Za-z0-9%_.~\-]+", query)
    (found,) = parse_qs(urlsplit("Patient?" + query).query)["identifier"]
    parts = re.split(r"(?<!\\)(?:\\\\)*\|", found)
    assert len(parts) == 2
    assert re.sub(r"\\(.)", r"\1", found, flags=re.DOTALL) == f"{system}|{value}"


def test_a_query_is_escaped_for_search_and_for_the_url() -> None:
    query = identifier_query("urn:x", "A&B,C|D$E\\F ü+#")
    assert "&" not in query and "+" not in query and "#" not in query
    assert unquote(query) == "identifier=urn:x|A&B\\,C\\|D\\$E\\\\F ü+#"


def test_nothing_to_write_is_an_empty_transaction() -> None:
    made = transaction([], bundle_id="b-1", timestamp="2026-05-01T14:05:00Z")
    assert validate(made) == []
    assert "entry" not in made


def test_references_that_lead_nowhere_are_named() -> None:
    someone = _draft(patient())
    result = _draft(observation(subject={"reference": f"urn:uuid:{someone.id}"}))
    assert unresolved(transaction([someone, result])) == []
    assert unresolved(transaction([result])) == ["Bundle.entry[0].resource.subject.reference"]
    result.body["performer"] = [{"reference": "Practitioner/1"}, {"reference": "urn:uuid:none"}]
    found = unresolved(transaction([someone, result]))
    assert found == ["Bundle.entry[1].resource.performer[1].reference"]
