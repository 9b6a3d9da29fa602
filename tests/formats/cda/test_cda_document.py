"""Documents: what is CDA, what is refused, sections and statements however told, negation, addresses."""

from __future__ import annotations

import re

import pytest
from cda_samples import SAMPLES, XMLNS, document, sample, section, text_of
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats.cda.document import Document, emit, parse
from engine.formats.cda.elements import V3, child
from engine.formats.cda.recognise import is_cda, is_xml
from engine.formats.cda.sections import sections
from engine.formats.cda.statements import Statement, statements
from engine.formats.cda.tree import to_json
from engine.kernel.errors import FormatError

NAMES = ["ccd", "discharge_summary", "unstructured_pdf", "c32", "lab_report"]
PROBLEM = (
    '<entry><act classCode="ACT" moodCode="EVN">%s<code code="CONC"/><entryRelationship typeCode="SUBJ">'
    '<observation classCode="OBS" moodCode="EVN"%s>%s<code code="55607006"/><statusCode code="completed"/>'
    '<value xsi:type="CD" code="38341003" codeSystem="2.16.840.1.113883.6.96"/>'
    '<entryRelationship typeCode="REFR"><observation classCode="OBS" moodCode="EVN"><code code="33999-4"/>'
    '<value xsi:type="CD" code="55561003"/></observation></entryRelationship>'
    "</observation></entryRelationship></act></entry>"
)


def given_name(doc: Document) -> str:
    return "".join(str(t) for e in doc.root.iter(f"{{{V3}}}given") for t in e.itertext())


def all_statements(doc: Document) -> list[Statement]:
    return [s for one in sections(doc) for e in one.entries() for _, s in statements(e, one.kind)]


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_read_and_kept(name: str) -> None:
    data = (SAMPLES / f"{name}.xml").read_bytes()
    assert is_cda(data) and is_xml(data)
    doc = parse(data)
    assert emit(doc) == data and doc.repairs == ()
    tree = to_json(doc)
    assert tree["document_type"] and tree["guide"] != "CDA" and tree["time"].startswith("20")


def test_what_the_header_says() -> None:
    doc = sample("discharge_summary")
    assert (doc.code.code, doc.title, doc.language, doc.version) == (
        "18842-5",
        "Discharge Summary",
        "en-US",
        "1",
    )
    assert doc.confidentiality is not None and doc.confidentiality.code == "R"
    (related,) = doc.related
    assert related.type == "RPLC" and related.ids[0].extension == "DS-0" and related.version == "0"
    assert related.set_id == doc.set_id and doc.guide == "C-CDA R2.1"
    assert (
        sample("c32").guide == "C32" and sample("lab_report").guide == "XD-LAB" and document().guide == "CDA"
    )


def test_the_content_of_an_unstructured_document() -> None:
    doc = sample("unstructured_pdf")
    body = doc.unstructured
    assert body is not None and body.media_type == "application/pdf" and doc.body is None
    assert body.data is not None and body.data.startswith(b"%PDF-1.4") and body.data.endswith(b"%%EOF\n")
    assert sample("ccd").unstructured is None


def _hostile() -> list[tuple[str, bytes]]:
    base = text_of()
    head, rest = base.split("\n", 1)
    bombs = "".join(f'<!ENTITY a{i} "{f"&a{i - 1};" * 10}">' for i in range(1, 10))
    entity = rest.replace("Wren", "&x;")
    many = rest.replace("Wren", "&a;" * 2000)
    return [
        ("file entity", f'{head}\n<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>{entity}'.encode()),
        (
            "parameter entity",
            f'{head}\n<!DOCTYPE a [<!ENTITY % x SYSTEM "http://127.0.0.1:9/x">%x;]>{rest}'.encode(),
        ),
        ("external DTD", f'{head}\n<!DOCTYPE a SYSTEM "http://127.0.0.1:9/x.dtd">{rest}'.encode()),
        ("billion laughs", f'{head}\n<!DOCTYPE a [<!ENTITY a0 "lol">{bombs}]>{entity}'.encode()),
        ("quadratic", f'{head}\n<!DOCTYPE a [<!ENTITY a "{"x" * 50000}">]>{many}'.encode()),
        ("UTF-16 with DOCTYPE", f"<!DOCTYPE a>{rest}".encode("utf-16")),
        ("truncated", base.encode()[: len(base) // 2]),
        ("empty", b""),
        ("HL7 v2", b"MSH|^~\\&|A|B|C|D|2020||ADT^A01|1|P|2.5\r"),
        ("X12", b"ISA*00*          *00*          *ZZ*A*ZZ*B*200101*1200*^*00501*1*0*P*:~"),
        ("FHIR", b'<?xml version="1.0"?><Patient xmlns="http://hl7.org/fhir"><id value="x"/></Patient>'),
        ("another v3 message", b'<PRPA_IN201301UV02 xmlns="urn:hl7-org:v3"/>'),
        ("another's ClinicalDocument", b'<ClinicalDocument xmlns="urn:other"/>'),
        ("deep", text_of(body=section(f"<text>{'<content>' * 3000}x{'</content>' * 3000}</text>")).encode()),
        ("two roots", (base + "<a/>").encode()),
    ]


@pytest.mark.parametrize(("name", "data"), _hostile(), ids=[n for n, _ in _hostile()])
def test_hostile_input_is_refused_in_words(name: str, data: bytes) -> None:
    with pytest.raises(FormatError) as refused:
        parse(data)
    assert refused.value.where and refused.value.why and "root:" not in str(refused.value), name


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("Zoë", text_of("Zoë", head='<?xml version="1.0" encoding="UTF-16"?>\n').encode("utf-16")),
        ("Renée", text_of("Renée", head='<?xml version="1.0" encoding="ISO-8859-1"?>\n').encode("latin-1")),
        (
            "O’Neil",
            text_of("O’Neil", head='<?xml version="1.0" encoding="windows-1252"?>\n').encode("cp1252"),
        ),
        ("Wren", b"\xef\xbb\xbf" + text_of().encode()),
        ("Wren", text_of("Wr<!-- x -->en").encode()),
        ("Wren", text_of().replace(' xmlns="urn:hl7-org:v3"', "").encode()),
        ("Smith & Wren", text_of("Smith & Wren").encode()),
    ],
)
def test_odd_but_honest_input_is_read(name: str, data: bytes) -> None:
    assert is_cda(data)
    assert given_name(parse(data)).startswith(name)


def test_a_prefixed_document_is_the_same_document() -> None:
    plain = text_of(body=section(entries=PROBLEM % ("", "", "")))
    prefixed = re.sub(r"<(/?)(?=[A-Za-z])", r"<\1cda:", plain).replace(' xmlns="urn', ' xmlns:cda="urn')
    prefixed = prefixed.replace('xsi:type="CD"', 'xsi:type="cda:CD"')
    one, other = parse(plain.encode()), parse(prefixed.encode())
    left, right = to_json(one), to_json(other)
    for made in (left, right):
        made.pop("bytes")
        made["leaves"] = [leaf["place"] for leaf in made["leaves"]]
    assert left == right


def test_an_address_is_a_standard_xpath() -> None:
    doc = sample("ccd")
    names = {"h": V3, "sdtc": "urn:hl7-org:sdtc", "xsi": "http://www.w3.org/2001/XMLSchema-instance"}
    for leaf in doc.leaves():
        path = re.sub(r"/(?!sdtc:|text\(|@)", "/h:", leaf.place)
        found = doc.root.xpath(path, namespaces=names)
        assert isinstance(found, list) and len(found) == 1, leaf.place
        assert str(getattr(found[0], "text", found[0])) == leaf.value
    places = {leaf.place: leaf.value for leaf in doc.leaves()}
    role = "/ClinicalDocument/recordTarget[1]/patientRole[1]"
    assert places[f"{role}/id[1]/@extension"] == "H-40271"
    assert places[f"{role}/patient[1]/name[1]/given[1]"] == "Wren"
    assert places[f"{role}/patient[1]/sdtc:raceCode[1]/@code"] == "2108-9"


@pytest.mark.parametrize(
    ("xml", "kind", "known_by"),
    [
        ('<code code="11450-4"/>', "problems", "code"),
        ('<code code=" 11450-4 "/>', "problems", "code"),
        ('<code nullFlavor="UNK"><translation code="11450-4"/></code>', "problems", "code"),
        ('<templateId root="2.16.840.1.113883.10.20.1.11"/>', "problems", "template"),
        ('<templateId root="2.16.840.1.113883.3.88.11.83.103"/><code code="X"/>', "problems", "template"),
        ("<title>Problem List:</title>", "problems", "title"),
        ('<code code="X"/><title>Problem List</title>', "", ""),
        ("<title>Draping</title>", "", ""),
        ("", "", ""),
    ],
)
def test_a_section_is_known_by_code_template_or_title(xml: str, kind: str, known_by: str) -> None:
    (one,) = sections(document(f"<component><section>{xml}<text>x</text></section></component>"))
    assert (one.kind, one.known_by) == (kind, known_by)


def test_sections_within_sections_come_in_reading_order() -> None:
    found = list(sections(sample("discharge_summary")))
    assert [(s.depth, s.kind) for s in found][-3:] == [
        (0, "plan of treatment"),
        (1, "instructions"),
        (1, "goals"),
    ]
    assert found[-1].place.endswith("/section[1]/component[2]/section[1]")


@pytest.mark.parametrize("concern", ["", '<templateId root="2.16.840.1.113883.10.20.22.4.3"/>'])
@pytest.mark.parametrize("inner", ["", '<templateId root="2.16.840.1.113883.10.20.22.4.4"/>'])
def test_problems_are_known_with_and_without_templates(concern: str, inner: str) -> None:
    found = all_statements(document(section(entries=PROBLEM % (concern, "", inner))))
    assert [s.kind for s in found] == ["problem concern", "problem", ""]  # a status is never one more problem


def test_a_statement_of_an_unknown_template_is_known_by_its_section_only_at_the_top() -> None:
    odd = '<templateId root="1.2.999"/>'
    found = all_statements(document(section(entries=PROBLEM % (odd, "", odd))))
    assert [s.kind for s in found] == ["problem concern", "", ""]


def test_the_section_corrects_the_template() -> None:
    entry = (
        '<entry><substanceAdministration classCode="SBADM" moodCode="EVN">'
        '<templateId root="2.16.840.1.113883.10.20.1.24"/></substanceAdministration></entry>'
    )
    (one,) = all_statements(document(section(entries=entry, code="11369-6")))
    assert one.kind == "immunization"


@pytest.mark.parametrize(
    ("xml", "denied"),
    [
        ("<observation {0}='true'/>", ["statement"]),
        ("<observation {0}='1'/>", ["statement"]),
        ("<observation {0}='TRUE'/>", ["statement"]),
        ("<observation {0}='?'/>", ["statement"]),  # what cannot be read must not vanish
        ("<observation {0}='false'/>", []),
        ("<observation/>", []),
        ("<observation sdtc:{0}='true'/>", ["action"]),
        ("<observation><value sdtc:valueNegationInd='true'/></observation>", ["value"]),
    ],
)
def test_what_is_denied_is_a_fact(xml: str, denied: list[str]) -> None:
    (one,) = all_statements(document(section(entries=f"<entry>{xml.format('negationInd')}</entry>")))
    assert [n.of for n in one.negations] == denied and one.negated is bool(denied)


def test_what_is_denied_further_out_is_denied_within() -> None:
    entry = PROBLEM % ("", "", "")
    found = all_statements(document(section(entries=entry.replace("<act ", '<act negationInd="true" '))))
    assert [[(n.of, n.above) for n in s.negations] for s in found] == [
        [("statement", False)],
        [("statement", True)],
        [("statement", True)],
    ]
    linked = entry.replace('typeCode="SUBJ"', 'typeCode="SUBJ" negationInd="true"')
    assert [s.negated for s in all_statements(document(section(entries=linked)))] == [False, True, True]
    ccd = all_statements(sample("ccd"))
    assert [s.kind for s in ccd if s.negated and not s.negations[0].above] == ["problem", "immunization"]


def test_null_statements_and_sections_say_why() -> None:
    body = section(entries='<entry><act nullFlavor="NI" classCode="ACT" moodCode="EVN"/></entry>')
    doc = document(body.replace("<section>", '<section nullFlavor="NASK">'))
    assert [s.null for s in sections(doc)] == ["NASK"] and [s.null for s in all_statements(doc)] == ["NI"]


def test_twenty_thousand_results_keep_their_addresses() -> None:
    one = (
        '<entry><observation classCode="OBS" moodCode="EVN"><code code="2160-0"/>'
        '<value xsi:type="PQ" value="%d" unit="mg/dL"/></observation></entry>'
    )
    doc = document(section(entries="".join(one % n for n in range(20_000)), code="30954-2"))
    found = all_statements(doc)
    assert len(found) == 20_000 and {s.kind for s in found} == {"result"}
    last = child(found[-1].element, "value")
    assert last is not None
    assert doc.places.of(last, "value").endswith("/section[1]/entry[20000]/observation[1]/value[1]/@value")


_XML = """<entry>|</entry>|<act negationInd='true'>|</act>|<observation>|</observation>|<code/>|x|&|<|<text>
|</text>|<value xsi:type='PQ' value='1'/>|<value xsi:type='Z:?' nullFlavor='?'/>|<effectiveTime value='?'/>
|<id root=''/>|<component>|</component>|<section>|</section>"""
_PIECES = st.lists(st.sampled_from(_XML.split("|")), max_size=25)


@settings(max_examples=150, deadline=None)
@given(_PIECES)
def test_whatever_a_document_holds_it_is_read_or_refused(pieces: list[str]) -> None:
    data = (
        f"<ClinicalDocument {XMLNS}><component><structuredBody><component><section>{''.join(pieces)}".encode()
    )
    data += b"</section></component></structuredBody></component></ClinicalDocument>"
    try:
        doc = parse(data)
    except FormatError:
        return
    assert emit(doc) == data and to_json(doc)["sections"]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 20_000), st.binary(max_size=4))
def test_a_damaged_document_is_read_or_refused(at: int, junk: bytes) -> None:
    data = bytearray((SAMPLES / "ccd.xml").read_bytes())
    data[at : at + len(junk)] = junk
    is_cda(bytes(data))
    try:
        to_json(parse(bytes(data)))
    except FormatError as refused:
        assert "Wren" not in str(refused)
