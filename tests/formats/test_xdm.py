"""A package is opened without trusting it: names, sizes, hashes, bombs, damage."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats.content import recognise
from engine.formats.xdm import PackageLimits, read_package
from engine.kernel.errors import FormatError

CDA = b'<ClinicalDocument xmlns="urn:hl7-org:v3"><id root="1.2.3"/></ClinicalDocument>'
RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"


def metadata(uri: str = "A.XML", digest: str = "", size: str = "", more: str = "") -> bytes:
    slots = {"URI": uri, "hash": digest, "size": size, "sourcePatientId": "77^^^&amp;1.2.9&amp;ISO"}
    said = "".join(
        f'<Slot name="{k}"><ValueList><Value>{v}</Value></ValueList></Slot>' for k, v in slots.items() if v
    )
    return (
        f'<RegistryObjectList xmlns="{RIM}"><RegistryPackage id="s"><ExternalIdentifier value="9.9" '
        'identificationScheme="urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8"/></RegistryPackage>'
        f'<ExtrinsicObject id="d" mimeType="text/xml">{said}<Name><LocalizedString value="Summary"/></Name>'
        '<Classification classificationScheme="urn:uuid:f0306f51-975f-434e-a61c-c59651d33983" '
        'nodeRepresentation="34133-9"><Slot name="codingScheme"><ValueList>'
        "<Value>2.16.840.1.113883.6.1</Value>"
        f"</ValueList></Slot></Classification></ExtrinsicObject>{more}</RegistryObjectList>"
    ).encode()


def zipped(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as z:
        for name, data in files.items():
            z.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


def one(meta: bytes, name: str = "IHE_XDM/SUBSET01/A.XML", data: bytes = CDA) -> bytes:
    return zipped({"README.TXT": b"x", "IHE_XDM/SUBSET01/METADATA.XML": meta, name: data})


def test_a_document_with_what_the_metadata_says() -> None:
    data = one(metadata(digest=hashlib.sha1(CDA).hexdigest(), size=str(len(CDA))))
    package = read_package(data)
    (found,) = package.documents
    assert recognise(data) == "xdm" and package.id == "9.9" and package.keys == ("1.2.9|77",)
    assert (found.data, found.problem, found.is_cda, found.title) == (CDA, "", True, "Summary")
    assert found.codes["type"].code == "34133-9" and found.media_type == "text/xml"


@pytest.mark.parametrize(
    ("meta", "problem"),
    [
        (metadata(digest="0" * 40), "hash"),
        (metadata(size="3"), "size"),
        (metadata("GONE.XML"), "missing"),
        (metadata("../../../etc/passwd"), "unsafe-name"),
        (metadata("/etc/passwd"), "unsafe-name"),
        (metadata("C:/x"), "missing"),
    ],
)
def test_what_does_not_fit_is_told_and_holds_no_bytes_to_work_on(meta: bytes, problem: str) -> None:
    (found, *_) = read_package(one(meta)).documents
    assert found.problem == problem


@pytest.mark.parametrize("name", ["../A.XML", "/A.XML", "IHE_XDM/../../A.XML", "C:\\A.XML"])
def test_names_that_lead_out_are_never_read(name: str) -> None:
    package = read_package(one(metadata("X"), name))
    assert any("leads out" in p for p in package.problems)
    assert all(d.data == b"" for d in package.documents)


def test_a_link_is_never_read() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        info = zipfile.ZipInfo("IHE_XDM/SUBSET01/A.XML")
        info.external_attr = 0o120777 << 16
        z.writestr(info, "/etc/passwd")
    package = read_package(out.getvalue())
    assert package.problems and not package.documents


def test_a_bomb_costs_no_more_than_its_limit() -> None:
    bomb = zipped({f"IHE_XDM/S/{n}.XML": b"\0" * 5_000_000 for n in range(6)})
    assert len(bomb) < 60_000
    with pytest.raises(FormatError, match="too large"):
        read_package(bomb, PackageLimits(all=12_000_000))
    found = read_package(bomb, PackageLimits(one=1_000_000)).documents
    assert {d.problem for d in found} == {"too-large"} and not any(d.data for d in found)


def test_a_false_size_in_the_directory_is_not_believed() -> None:
    data = bytearray(zipped({"IHE_XDM/S/A.XML": b"x" * 3_000_000}))
    for mark, at in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", data, data.find(mark) + at, 10)
    (found,) = read_package(bytes(data)).documents
    assert found.problem in ("damaged", "too-large") or len(found.data) <= 10


def test_too_many_files_are_refused() -> None:
    with pytest.raises(FormatError, match="too large"):
        read_package(zipped({f"IHE_XDM/S/{n}": b"" for n in range(30)}), PackageLimits(files=20))


def test_metadata_with_entities_is_not_read_and_the_documents_are() -> None:
    evil = b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'
    package = read_package(one(evil))
    assert [d.is_cda for d in package.documents] == [
        True
    ] and "METADATA.XML cannot be read" in package.problems[0]


def test_without_metadata_what_lies_below_ihe_xdm_is_read() -> None:
    data = zipped({"IHE_XDM/SUBSET01/A.XML": CDA, "IHE_XDM/SUBSET01/B.PDF": b"%PDF", "elsewhere.xml": CDA})
    assert [(d.path, d.is_cda) for d in read_package(data).documents] == [
        ("IHE_XDM/SUBSET01/A.XML", True),
        ("IHE_XDM/SUBSET01/B.PDF", False),
    ]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 400), st.binary(min_size=1, max_size=12), st.booleans())
def test_damage_is_refused_or_told_and_never_fails(at: int, by: bytes, cut: bool) -> None:
    good = one(metadata())
    data = good[: at % len(good)] if cut else good[: at % len(good)] + by + good[at % len(good) + len(by) :]
    read: Callable[[], object] = lambda: read_package(data)  # noqa: E731
    try:
        read()
    except FormatError as e:
        assert "package" in e.what
