"""A package written is read by our reader and by zipfile, and says no more than its documents say."""

from __future__ import annotations

import hashlib
import io
import uuid
import zipfile
from dataclasses import replace

import pytest
from lxml import etree
from sharing_samples import BARE, FULL, UNNUMBERED

from engine.formats.content import recognise
from engine.formats.xdm import Coded, read_package
from engine.formats.xdm_writing import write_package
from engine.formats.xds.ebrim import Submission, metadata
from engine.formats.xds.entry import Sharing
from engine.formats.xds.of_cda import entry_of_cda
from engine.kernel.errors import FormatError

SITE = Sharing(
    class_=Coded("34133-9", "http://loinc.org", "Summary"),
    practice=Coded("394802001", "http://snomed.info/sct", "General medicine"),
)
SUBMISSION = Submission(
    key="north-17",
    source="2.999.1",
    submitted="2026-03-10T15:00:00-05:00",
    organization="Mercy <West>",
    sender="hub@direct.mercy.example",
    recipients=("nurse@direct.lakeshore.example",),
    content=Coded("34133-9", "http://loinc.org"),
    domain="2.999.3",
)
RIM = "{urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0}"


def parts(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        assert package.testzip() is None
        return {name: package.read(name) for name in package.namelist()}


def test_what_is_written_is_read_again() -> None:
    data = write_package(
        SUBMISSION, [entry_of_cda(FULL, SITE), entry_of_cda(BARE.replace(b"78", b"77"), SITE)]
    )
    package = read_package(data)
    first, second = package.documents
    assert recognise(data) == "xdm" and package.problems == () and package.source == "2.999.1"
    assert package.id == SUBMISSION.unique and package.keys == ("2.999.3|77",)
    assert first.data == FULL and first.problem == "" and first.is_cda and first.described
    assert (first.id, first.title, first.created, first.language) == (
        "2.999.7.1^D42", "Summary & plan", "20260310193000", "en-US",
    )  # fmt: skip
    assert first.numbers == ("2.999.3|77", "2.999.4|A^9")
    assert {k: (c.code, c.scheme) for k, c in first.codes.items()} == {
        "class": ("34133-9", "2.16.840.1.113883.6.1"),
        "type": ("34133-9", "2.16.840.1.113883.6.1"),
        "format": ("urn:hl7-org:sdwg:ccda-structuredBody:2.1", "1.3.6.1.4.1.19376.1.2.3"),
        "facility": ("HOSP", "2.16.840.1.113883.5.111"),
        "practice": ("394802001", "2.16.840.1.113883.6.96"),
    }
    assert first.hash == hashlib.sha1(FULL).hexdigest()
    number = uuid.UUID("0F0E5F1C-6C1F-4B8B-9C5E-3B2F5F8A7B11").int
    assert second.id == f"2.25.{number}" and second.created == "20260310" and "type" not in second.codes


def test_the_files_are_those_of_the_profile() -> None:
    files = parts(write_package(SUBMISSION, [entry_of_cda(FULL, SITE)], "call 555-0100"))
    assert list(files) == [
        "INDEX.HTM", "README.TXT", "IHE_XDM/SUBSET01/METADATA.XML", "IHE_XDM/SUBSET01/DOC00001.XML",
    ]  # fmt: skip
    page = etree.fromstring(files["INDEX.HTM"], etree.XMLParser(load_dtd=False, no_network=True))
    links = [a.get("href") for a in page.iter("{*}a")]
    assert links == ["IHE_XDM/SUBSET01/DOC00001.XML", "README.TXT"] and all(x in files for x in links)
    assert b"Mercy &lt;West&gt;" in files["INDEX.HTM"] and b"555-0100" in files["README.TXT"]


def test_the_same_key_gives_the_same_bytes_and_another_key_another_set() -> None:
    entries = [entry_of_cda(FULL, SITE)]
    assert write_package(SUBMISSION, entries) == write_package(SUBMISSION, entries)
    other = read_package(write_package(replace(SUBMISSION, key="north-18"), entries))
    assert other.id != SUBMISSION.unique and other.documents[0].id == "2.999.7.1^D42"


@pytest.mark.parametrize(
    ("data", "sharing", "domain", "content", "document_is_limited", "set_is_limited"),
    [
        (FULL, SITE, "2.999.3", True, False, False),
        (FULL, SITE, "", True, True, True),
        (FULL, SITE, "2.999.3", False, False, True),
        (FULL, Sharing(), "2.999.3", True, True, False),
        (BARE, SITE, "2.999.3", True, True, False),
    ],
    ids=["all said", "no number of the domain", "no content type", "no class", "a bare header"],
)
def test_what_lacks_something_says_so(
    data: bytes, sharing: Sharing, domain: str, content: bool, document_is_limited: bool, set_is_limited: bool
) -> None:
    made = replace(SUBMISSION, domain=domain, content=SUBMISSION.content if content else None)
    root = etree.fromstring(metadata(made, [("DOC00001.XML", entry_of_cda(data, sharing))]))
    nodes = {c.get("classificationNode") for c in root.iter(RIM + "Classification")}
    assert ("urn:uuid:ab9b591b-83ab-4d03-8f5d-f93b1fb92e85" in nodes) is document_is_limited
    assert ("urn:uuid:5003a9db-8d8d-49e6-bf0c-990e34ac7707" in nodes) is set_is_limited


def test_the_registry_objects_hang_together() -> None:
    root = etree.fromstring(metadata(SUBMISSION, [("DOC00001.XML", entry_of_cda(FULL, SITE))]))
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids))
    for name in ("classifiedObject", "registryObject", "sourceObject", "targetObject"):
        assert {e.get(name) for e in root.iter() if e.get(name)} <= set(ids), name
    order = [
        "Slot",
        "Name",
        "Classification",
        "ExternalIdentifier",
    ]  # rim.xsd: RegistryObjectType is a sequence
    for kind in ("ExtrinsicObject", "RegistryPackage"):
        (found,) = root.iter(RIM + kind)
        places = [order.index(str(e.tag).removeprefix(RIM)) for e in found]
        assert places == sorted(places)
    slots = {s.get("name"): [v.text for v in s.iter(RIM + "Value")] for s in root.iter(RIM + "Slot")}
    assert slots["authorPerson"] == ["1234567893^Quill^Nora^^^Dr^^^&2.16.840.1.113883.4.6&ISO"]
    assert "Mercy \\T\\ Sons^^^^^^^^^2.999.8" in [v.text for v in root.iter(RIM + "Value")]
    assert slots["legalAuthenticator"] == ["1234567893^Quill^Nora^^^^^^&2.16.840.1.113883.4.6&ISO"]
    assert slots["intendedRecipient"] == ["||^^Internet^nurse@direct.lakeshore.example"]
    assert slots["sourcePatientInfo"] == [
        "PID-3|77^^^&2.999.3&ISO~A\\S\\9^^^&2.999.4&ISO", "PID-5|Sample^Jo^Q", "PID-7|19800229", "PID-8|F",
    ]  # fmt: skip
    assert (slots["serviceStartTime"], slots["serviceStopTime"]) == (["20260301"], ["20260310"])


def test_two_patients_never_share_a_package() -> None:
    with pytest.raises(FormatError, match="more than one patient"):
        write_package(SUBMISSION, [entry_of_cda(FULL), entry_of_cda(BARE)])


def test_a_document_without_a_number_is_refused() -> None:
    with pytest.raises(FormatError, match="has no id"):
        entry_of_cda(UNNUMBERED)
