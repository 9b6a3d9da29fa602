"""Hardened XML: character sets, refusals, repairs, limits, addresses."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from engine.formats.xml.places import Places, leaves
from engine.formats.xml.read import Limits, read_xml, root_name
from engine.kernel.errors import FormatError

V3 = "urn:hl7-org:v3"


def _doc(name: str, charset: str = "UTF-8") -> str:
    return f'<?xml version="1.0" encoding="{charset}"?>\n<a xmlns="{V3}"><given>{name}</given></a>'


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (_doc("Zoë").encode(), "Zoë"),
        (b"\xef\xbb\xbf" + _doc("Zoë").encode(), "Zoë"),
        (_doc("Zoë", "UTF-16").encode("utf-16"), "Zoë"),
        (_doc("Zoë", "UTF-16").encode("utf-16-le"), "Zoë"),
        (_doc("Zoë", "UTF-16").encode("utf-16-be"), "Zoë"),
        (_doc("Zoë 𝄞", "UTF-16").encode("utf-16"), "Zoë 𝄞"),
        (_doc("Zoë", "UTF-32").encode("utf-32"), "Zoë"),
        (_doc("Renée", "ISO-8859-1").encode("latin-1"), "Renée"),
        (_doc("O’Neil", "windows-1252").encode("cp1252"), "O’Neil"),
        (_doc("O’Neil", "ISO-8859-1").encode("cp1252"), "O’Neil"),  # 0x80-0x9F are letters only there
        (_doc("Łucja", "ISO-8859-2").encode("iso8859-2"), "Łucja"),
        (_doc("山田", "Shift_JIS").encode("shift_jis"), "山田"),
        (_doc("Renée", "ISO-8859-1").encode(), "Renée"),  # declared but false
        (_doc("Renée", "UTF-16").encode(), "Renée"),
        (_doc("Renée", "UTF-8").encode("latin-1"), "Renée"),
        (f'<a xmlns="{V3}"><given>Renée</given></a>'.encode("latin-1"), "Renée"),
        (b"\n\n" + _doc("Wren").encode(), "Wren"),
        (_doc("Wr<!-- x -->en").encode(), "Wren"),
        (_doc("Wr<![CDATA[en & co]]>").encode(), "Wren & co"),
    ],
)
def test_a_name_is_read_right_in_every_character_set(data: bytes, name: str) -> None:
    document = read_xml(data)
    assert document.root.findtext(f"{{{V3}}}given") == name
    assert document.raw == data
    assert root_name(data) == ("a", V3)


def test_a_false_declaration_is_told() -> None:
    assert [r.code for r in read_xml(_doc("Renée", "ISO-8859-1").encode()).repairs] == ["encoding"]
    assert [r.code for r in read_xml(_doc("Renée").encode("latin-1")).repairs] == ["encoding"]
    assert read_xml(_doc("Renée").encode()).repairs == ()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" \n\t",
        b"\xef\xbb\xbf",
        b"MSH|^~\\&|A|B",
        b"{}",
        b"<",
        b"<a",
        b"<a>",
        b"<a><b></a>",
        b"<a></a><b/>",
        b"<a x='1' x='2'/>",
        b"<!DOCTYPE a><a/>",
        b"<!-- x --><?p q?> <!doctype a><a/>",
        b"<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><a>&x;</a>",
        b"<a>&nobody;</a>",
        b"<?xml version='1.0' encoding='utf-7'?><a/>",
        b"<?xml version='1.0' encoding='rot13'?><a/>",
        b"<?xml version='1.0' encoding='idna'?><a/>",
        b"<?xml version='1.0' encoding='nobody-knows'?><a/>",
        b"\xef\xbb\xbf<a>\xe9</a>",
        "<a>Zoë".encode() + b" Ren\xe9e</a>",  # UTF-8 here, Latin-1 there
        b"<?xml version='1.0'?><a>\x81</a>",  # in no character set that is guessed
        "<a>\ud800</a>".encode("utf-16-le", "surrogatepass"),
        b"<!-- never closed",
        b"<?xml version='1.0'",
    ],
)
def test_what_cannot_be_read_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(FormatError) as refused:
        read_xml(data)
    assert refused.value.why and refused.value.where


def test_a_refusal_holds_no_content() -> None:
    with pytest.raises(FormatError) as refused:
        read_xml(b"<a><given>Wren</given><family>Sample</given></a>")
    assert "Wren" not in str(refused.value) and "Sample" not in str(refused.value)
    assert refused.value.where.startswith("1:")


@pytest.mark.parametrize(
    ("body", "text", "code"),
    [
        ("Smith & Jones", "Smith & Jones", "ampersand"),
        ("a&nbsp;b &amp; c &eacute;", "a\xa0b & c é", "entity"),
        ("a&#11;b", "ab", "control"),
        ("a\x0bb", "ab", "control"),
        ("<![CDATA[x & y]]> & &#x41;", "x & y & A", "ampersand"),
    ],
)
def test_small_damage_is_mended_and_told(body: str, text: str, code: str) -> None:
    document = read_xml(f"<a>{body}</a>".encode())
    assert document.root.text == text
    assert [r.code for r in document.repairs] == [code]


def test_undeclared_prefixes_mean_what_they_usually_mean() -> None:
    document = read_xml(b'<?xml version="1.0"?><a><value xsi:type="CD"/><sdtc:raceCode code="1"/><n:x/></a>')
    assert [r.code for r in document.repairs] == ["prefix"] * 3
    assert document.root[0].get("{http://www.w3.org/2001/XMLSchema-instance}type") == "CD"
    assert document.root[1].tag == "{urn:hl7-org:sdtc}raceCode"


def test_a_root_without_namespace_takes_the_assumed_one() -> None:
    document = read_xml(b"<a><b/></a>", assume={"a": V3})
    assert document.root[0].tag == f"{{{V3}}}b"
    assert [r.code for r in document.repairs] == ["namespace"]
    assert read_xml(f'<a xmlns="{V3}"/>'.encode(), assume={"a": "urn:other"}).root.tag == f"{{{V3}}}a"


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (b"<a>" * 3000 + b"</a>" * 3000, Limits()),
        (b"<a>" * 600 + b"</a>" * 600, Limits()),
        (b"<a>" + b"<b/>" * 1001 + b"</a>", Limits(markup=1000)),
        (b"<a>" + b" " * 1001 + b"</a>", Limits(size=1000)),
    ],
)
def test_what_would_cost_too_much_is_refused(data: bytes, limits: Limits) -> None:
    with pytest.raises(FormatError, match="too large"):
        read_xml(data, limits)


def test_a_long_text_is_read() -> None:
    assert len(read_xml(b"<a>" + b"x" * 11_000_000 + b"</a>").root.text or "") == 11_000_000


def test_the_root_is_told_from_the_beginning() -> None:
    assert root_name(b'<!-- c --><n:ClinicalDocument a=">" xmlns:n="urn:hl7-org:v3">') == (
        "ClinicalDocument",
        "",
    )
    assert root_name(b"<n:a xmlns='x' xmlns:n='urn:hl7-org:v3' b='") is not None
    assert root_name(b'<Patient xmlns="http://hl7.org/fhir">' + b"x" * 100_000) == (
        "Patient",
        "http://hl7.org/fhir",
    )
    assert root_name(b"MSH|") is None
    assert root_name(b"<!DOCTYPE a><a/>") is None


_NAMES = st.sampled_from(["a", "b", "sdtc:c", "o:d"])
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=5)


def _element(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def write(parts: tuple[str, str, list[tuple[str, str]]]) -> str:
        name, attribute, inner = parts
        body = "".join(
            text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") + x for text, x in inner
        )
        value = attribute.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
        return f'<{name} v="{value}" xsi:type="CD">{body}</{name}>'

    return st.tuples(_NAMES, _TEXT, st.lists(st.tuples(_TEXT, children), max_size=4)).map(write)


_TREES = st.recursive(
    st.sampled_from(["", "<a/>", "<!-- c -->", "<![CDATA[x<y]]>", "t"]), _element, max_leaves=12
)


@settings(max_examples=150, deadline=None)
@given(_TREES)
def test_every_leaf_is_found_again_by_its_xpath(body: str) -> None:
    xml = (
        f'<r xmlns="{V3}" xmlns:sdtc="urn:hl7-org:sdtc" xmlns:o="urn:other"'
        f' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">{body}</r>'
    )
    root = read_xml(xml.encode()).root
    names = {"h": V3, "sdtc": "urn:hl7-org:sdtc", "xsi": "http://www.w3.org/2001/XMLSchema-instance"}
    seen = set()
    for leaf in leaves(root):
        path = leaf.place.replace("/a[", "/h:a[").replace("/b[", "/h:b[").replace("/r", "/h:r", 1)
        found = root.xpath(path, namespaces=names)
        assert isinstance(found, list) and len(found) == 1, path
        value = found[0].text if isinstance(found[0], etree._Element) else str(found[0])
        assert value == leaf.value
        seen.add(leaf.place)
    assert len(seen) == len(list(leaves(root)))
    texts = sum(bool(t.strip()) for t in root.itertext())
    attributes = sum(bool(str(v).strip()) for e in root.iter() for v in e.attrib.values())
    assert len(seen) == texts + attributes


def test_places_are_those_of_the_leaves_in_any_order() -> None:
    root = read_xml(b"<r>" + b"<a/><b/>" * 50 + b"<a><c x='1'/><c x='2'/></a></r>").root
    places = Places(root)
    assert places.of(root[101 - 1][1], "x") == "/r/a[51]/c[2]/@x"
    for e in [root[0], root[99], root[2], root[3], root[100][0], root[1]]:
        found = root.xpath(places.of(e))
        assert isinstance(found, list) and found[0] is e


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for candidate in (data, b"<a>" + data + b"</a>", b'<?xml version="1.0" encoding="' + data + b'"?><a/>'):
        root_name(candidate)
        try:
            read_xml(candidate)
        except FormatError:
            pass
