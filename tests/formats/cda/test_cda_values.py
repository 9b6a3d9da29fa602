"""Datatypes of CDA: nothing made more exact, no null made into a value, nothing inflated without limit."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import zlib
from decimal import Decimal

import pytest
from cda_samples import document, element, section
from hypothesis import given
from hypothesis import strategies as st

from engine.formats.cda.attachments import Attachment, read_attachment
from engine.formats.cda.codes import Coded, read_code
from engine.formats.cda.elements import child, flag, null_flavor
from engine.formats.cda.parties import Identifier, read_address, read_identifier, read_name, read_telecom
from engine.formats.cda.quantities import Quantity, Ratio, Span, number, read_quantity
from engine.formats.cda.times import AtEvent, Interval, Periodic, moment, read_moment, read_timing
from engine.formats.cda.values import Other, Truth, Words, read_value

_FHIR = re.compile(r"^\d{4}(-\d\d(-\d\d(T\d\d:\d\d:\d\d(\.\d+)?[+-]\d\d:\d\d)?)?)?$")


@pytest.mark.parametrize(
    ("text", "fhir", "precision", "problem"),
    [
        ("2020", "2020", "year", ""),
        ("202001", "2020-01", "month", ""),
        ("20200102", "2020-01-02", "day", ""),
        (" 20200102 ", "2020-01-02", "day", ""),
        ("20200102101112-0500", "2020-01-02T10:11:12-05:00", "second", ""),
        ("20200102101112.1234-0500", "2020-01-02T10:11:12.1234-05:00", "fraction", ""),
        ("202001021011+0000", "2020-01-02T10:11:00+00:00", "minute", ""),
        ("202001021011Z", "2020-01-02T10:11:00+00:00", "minute", ""),
        ("202001021011+05", "2020-01-02T10:11:00+05:00", "minute", ""),
        ("202001021011+0545", "2020-01-02T10:11:00+05:45", "minute", ""),
        ("20200102101112", "2020-01-02", "second", "no-offset"),
        ("2020010210-0500", "2020-01-02", "hour", "hour-only"),
        ("202001022510", "2020-01-02", "day", "time"),
        ("202001021060", "2020-01-02", "day", "time"),
        ("202001021011+9900", "2020-01-02", "day", "time"),
        ("20200000", "2020", "year", "zero-part"),
        ("20200100", "2020-01", "month", "zero-part"),
        ("20200001", "", "", "not-a-time"),
        ("20200230", "", "", "not-a-time"),
        ("20201301", "", "", "not-a-time"),
        ("00000000", "", "", "not-a-time"),
        ("00010101", "", "", "not-a-time"),
        ("2020-01-02", "2020-01-02", "day", "iso"),
        ("2020-01-02T10:11:12Z", "2020-01-02T10:11:12+00:00", "second", "iso"),
        ("soon", "", "", "not-a-time"),
        ("202", "", "", "not-a-time"),
        ("２０２０", "", "", "not-a-time"),
    ],
)
def test_times_keep_the_precision_they_were_written_with(
    text: str, fhir: str, precision: str, problem: str
) -> None:
    read = moment(text)
    assert (read.fhir, read.precision, read.problem) == (fhir, precision, problem)


@given(st.from_regex(r"\A[0-9]{4,17}(\.[0-9]{1,4})?([+-][0-9]{4})?\Z") | st.text(max_size=20))
def test_a_time_is_valid_and_says_no_digit_more_than_was_written(text: str) -> None:
    read = moment(text)
    if read.fhir:
        assert _FHIR.match(read.fhir)
        digits = re.sub(r"\D", "", re.sub(r"[+-]\d\d:\d\d$", "", read.fhir))
        assert re.sub(r"\D", "", text).startswith(
            digits.removesuffix("00") if read.precision == "minute" else digits
        )


def test_a_time_without_offset_keeps_its_local_time() -> None:
    read = moment("20200102101112")
    assert read.local == "2020-01-02T10:11:12" and read.offset is None
    assert moment("202001021011-0330").offset == -210


def test_null_times_say_why() -> None:
    read = read_moment(element('<time nullFlavor="UNK"/>'))
    assert read is not None and read.null == "UNK" and read.fhir == ""
    both = read_moment(element('<time nullFlavor="UNK" value="20200101"/>'))
    assert both is not None and both.fhir == "" and both.problem == "null-and-value"
    assert read_moment(element("<time/>")) is None and read_moment(None) is None


def test_spans_and_schedules() -> None:
    (span,) = read_timing(
        element('<effectiveTime><low value="2020"/><high nullFlavor="UNK"/></effectiveTime>')
    )
    assert isinstance(span, Interval) and span.low and span.low.fhir == "2020"
    assert span.high and span.high.null == "UNK" and span.point is None
    (point,) = read_timing(element('<effectiveTime value="20200102"/>'))
    assert (
        isinstance(point, Interval) and point.point and point.point.day == "2020-01-02" and point.low is None
    )
    (open_,) = read_timing(element('<effectiveTime><low value="2020" inclusive="false"/></effectiveTime>'))
    assert isinstance(open_, Interval) and not open_.low_closed and open_.high is None
    (often,) = read_timing(
        element(
            '<effectiveTime xsi:type="PIVL_TS" operator="A" institutionSpecified="true">'
            '<period value="8" unit="h"/></effectiveTime>'
        )
    )
    assert isinstance(often, Periodic) and often.period and often.period.text == "8" and often.by_institution
    (ranged,) = read_timing(
        element(
            '<effectiveTime xsi:type="PIVL_TS"><period xsi:type="IVL_PQ"><low value="4" unit="h"/>'
            '<high value="6" unit="h"/></period></effectiveTime>'
        )
    )
    assert isinstance(ranged, Periodic) and ranged.period is None and ranged.low and ranged.high
    assert (ranged.low.text, ranged.high.text) == ("4", "6")
    (meal,) = read_timing(element('<effectiveTime xsi:type="EIVL_TS"><event code="AC"/></effectiveTime>'))
    assert isinstance(meal, AtEvent) and meal.event == "AC"
    two = read_timing(
        element(
            '<effectiveTime xsi:type="SXPR_TS"><comp xsi:type="IVL_TS"><low value="2020"/></comp>'
            '<comp xsi:type="PIVL_TS"><period value="1" unit="d"/></comp></effectiveTime>'
        )
    )
    assert [type(t) for t in two] == [Interval, Periodic]
    assert read_timing(element("<effectiveTime/>")) == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [("4.10", "4.10"), ("-1", "-1"), (".5", "0.5"), ("1E3", "1E+3"), ("<5", None), ("1,5", None),
     ("NaN", None), ("1_0", None), ("٣", None), ("", None)],
)  # fmt: skip
def test_numbers_keep_their_digits_and_nothing_else_is_one(text: str, value: str | None) -> None:
    read = number(text)
    assert (str(read) if read is not None else None) == value


def test_quantities() -> None:
    read = read_quantity(element('<value value="4.10" unit="mmol/L"/>'))
    assert (
        read is not None and read.value == Decimal("4.10") and read.text == "4.10" and read.unit == "mmol/L"
    )
    words = read_quantity(element('<value value="&lt;5" unit="mg"/>'))
    assert (
        words is not None and words.value is None and words.problem == "not-a-number" and words.text == "<5"
    )
    null = read_quantity(element('<value nullFlavor="NAV" value="7" unit="mg"/>'))
    assert null is not None and null.value is None and null.null == "NAV" and null.problem == "null-and-value"


def test_codes_with_translations_and_original_text() -> None:
    doc = document(section('<text><content ID="p1">High <b>blood</b> pressure</content></text>'))
    read = read_code(
        element(
            '<code nullFlavor="OTH"><originalText><reference value="#p1"/></originalText>'
            '<translation code="I10" codeSystem="2.16.840.1.113883.6.90">'
            '<translation code=" 401.9 "/></translation>'
            "</code>"
        ),
        doc.texts,
    )
    assert read is not None and read.code == "" and read.null == "OTH"
    assert read.text == "High blood pressure" and read.text_id == "p1"
    assert [c.code for c in read.all()] == ["I10", "401.9"]
    assert [c.problem for c in read.all()] == ["", "no-system"]


def test_a_code_beside_a_null_flavor_is_none() -> None:
    read = read_code(element('<value xsi:type="CD" nullFlavor="UNK" code="38341003"/>'))
    assert read is not None and read.code == "" and read.all() == () and read.problem == "null-and-code"


def test_a_reference_to_nowhere_is_told() -> None:
    doc = document(section())
    read = read_code(
        element('<code code="1"><originalText><reference value="#no"/></originalText></code>'), doc.texts
    )
    assert read is not None and read.problem == "dangling-text" and read.text == ""
    own = read_code(
        element('<code code="1"><originalText>mine<reference value="#no"/></originalText></code>'), doc.texts
    )
    assert own is not None and own.text == "mine" and own.problem == ""


def test_translations_of_translations_end() -> None:
    xml = "".join(f'<translation code="{n}">' for n in range(50)) + "</translation>" * 50
    read = read_code(element(f'<code code="0">{xml}</code>'))
    assert read is not None and len(read.all()) == 5


def test_qualifiers() -> None:
    read = read_code(
        element('<targetSiteCode code="1"><qualifier><name code="272741003"/>'
                '<value code="7771000"/></qualifier>'
                "</targetSiteCode>")
    )  # fmt: skip
    assert read is not None and [(n.code, v.code) for n, v in read.qualifiers] == [("272741003", "7771000")]


def test_identifiers() -> None:
    assert read_identifier(element('<id root="2.16.840.1.113883.4.6" extension=" 12 "/>')) == Identifier(
        "2.16.840.1.113883.4.6", "12", kind="oid"
    )
    uuid = read_identifier(element('<id root="0F3B1C8E-0000-4000-8000-00000000ABCD"/>'))
    assert uuid is not None and uuid.kind == "uuid" and uuid.root.startswith("0F3B")
    null = read_identifier(element('<id nullFlavor="UNK"/>'))
    assert null is not None and null.null == "UNK"
    odd = read_identifier(element('<id root="LOCAL" extension="1"/>'))
    assert odd is not None and odd.kind == ""
    assert read_identifier(element("<id/>")) is None


def test_names_addresses_telecoms() -> None:
    name = read_name(
        element(
            '<name use="L P"><prefix>Dr</prefix><given>Ada</given><given qualifier="IN">M</given>'
            '<family>Harbour</family><suffix nullFlavor="NI">x</suffix></name>'
        )
    )
    assert name is not None and name.use == ("L", "P") and name.of("given") == ("Ada", "M")
    assert name.full == "Dr Ada M Harbour" and name.of("suffix") == ()
    plain = read_name(element("<name>Ada Harbour</name>"))
    assert plain is not None and plain.full == "Ada Harbour" and plain.parts == ()
    address = read_address(
        element(
            "<addr use='HP'><houseNumber>17</houseNumber><streetName>Quay St</streetName>"
            "<additionalLocator>Flat 3</additionalLocator><city>Portree</city><state nullFlavor='UNK'/>"
            "<postalCode>04101</postalCode></addr>"
        )
    )
    assert address is not None and address.lines == ("17 Quay St", "Flat 3") and address.state == ""
    assert (address.city, address.postal, address.use) == ("Portree", "04101", ("HP",))
    loose = read_address(element("<addr>17 Quay St, Portree</addr>"))
    assert loose is not None and loose.text == "17 Quay St, Portree"
    phone = read_telecom(element('<telecom use="HP MC" value="tel:+1(207)555-0117"/>'))
    assert phone is not None and (phone.scheme, phone.value) == ("tel", "+1(207)555-0117")
    bare = read_telecom(element('<telecom value="207 555 0117"/>'))
    assert bare is not None and (bare.scheme, bare.value) == ("", "207 555 0117")


_WORDS = b"Operative note: nothing unusual. " * 40


def _raw(data: bytes) -> bytes:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return deflate.compress(data) + deflate.flush()


@pytest.mark.parametrize("packed", [_raw(_WORDS), zlib.compress(_WORDS), gzip.compress(_WORDS, mtime=0)])
def test_deflated_content_is_inflated_whatever_its_wrapper(packed: bytes) -> None:
    xml = f'<text representation="B64" compression="DF">{base64.b64encode(packed).decode()}</text>'
    read = read_attachment(element(xml))
    assert read is not None and read.data == _WORDS and read.problem == ""


def test_a_bomb_stays_small() -> None:
    packed = base64.b64encode(_raw(b"\0" * 5_000_000)).decode()
    read = read_attachment(
        element(f'<text representation="B64" compression="DF">{packed}</text>'), most=1_000_000
    )
    assert read is not None and read.data is None and read.problem == "too-large"


@pytest.mark.parametrize(
    ("xml", "problem"),
    [
        ('<text representation="B64">not base64!</text>', "base64"),
        ('<text representation="B64" compression="DF">AAAA</text>', "compression"),
        ('<text representation="B64" compression="Z7">AAAA</text>', "compression"),
        (f'<text representation="B64" compression="DF">{base64.b64encode(_raw(_WORDS)[:-4]).decode()}</text>',
         "compression"),
    ],
)  # fmt: skip
def test_content_that_cannot_be_read_says_so(xml: str, problem: str) -> None:
    read = read_attachment(element(xml))
    assert read is not None and read.data is None and read.problem == problem


def test_content_by_reference_and_as_words() -> None:
    link = read_attachment(
        element('<text mediaType="application/pdf"><reference value="report.pdf"/></text>')
    )
    assert link is not None and link.url == "report.pdf" and link.data is None
    words = read_attachment(element('<text mediaType="text/plain">line one\nline two</text>'))
    assert words is not None and words.text == "line one\nline two"
    digest = base64.b64encode(hashlib.sha1(b"abc").digest()).decode()
    sent = f'<text representation="B64" integrityCheck="{digest}">%s</text>'
    for body, intact in ((b"abc", True), (b"abd", False)):
        read = read_attachment(element(sent % base64.b64encode(body).decode()))
        assert read is not None and read.intact is intact


@pytest.mark.parametrize(
    ("xml", "kind"),
    [
        ('<value xsi:type="CD" code="1"/>', Coded),
        ('<value xsi:type="x:CE" xmlns:x="urn:hl7-org:v3" code="1"/>', Coded),
        ('<value code="1" codeSystem="2"/>', Coded),
        ('<value xsi:type="PQ" value="1" unit="mg"/>', Quantity),
        ('<value value="1" unit="mg"/>', Quantity),
        ('<value xsi:type="INT" value="3"/>', Quantity),
        ('<value xsi:type="IVL_PQ"><low value="1"/></value>', Span),
        ('<value xsi:type="RTO_PQ_PQ"><numerator value="1"/><denominator value="128"/></value>', Ratio),
        ('<value xsi:type="ST">positive</value>', Words),
        ('<value xsi:type="SC">positive</value>', Words),
        ("<value>positive</value>", Words),
        ('<value xsi:type="ED">long text</value>', Words),
        ('<value xsi:type="ED" mediaType="image/png" representation="B64">AAAA</value>', Attachment),
        ('<value xsi:type="BL" value="false"/>', Truth),
        ('<value xsi:type="II" root="1.2"/>', Identifier),
        ('<value xsi:type="TS" value="2020"/>', tuple),
        ('<value xsi:type="GLIST_PQ"><head value="1"/></value>', Other),
    ],
)
def test_values_are_read_as_the_type_they_say(xml: str, kind: type) -> None:
    assert type(read_value(element(xml))) is kind


def test_false_is_false_and_null_is_null() -> None:
    assert read_value(element('<value xsi:type="BL" value="false"/>')) == Truth(False)
    assert read_value(element('<value xsi:type="BL" nullFlavor="UNK"/>')) == Truth(None, "UNK")
    assert read_value(element('<value xsi:type="BL" value="perhaps"/>')) == Truth(None)
    assert read_value(element('<value xsi:type="PQ"/>')) is None
    null = read_value(element('<value xsi:type="ST" nullFlavor="NI"/>'))
    assert isinstance(null, Words) and null.null == "NI"


def test_flags_and_flavors() -> None:
    said = {
        v: flag(element(f'<a x="{v}"/>'), "x")
        for v in ("true", "1", "TRUE", "yes", "false", "0", " False ", "")
    }
    assert [v for v, read in said.items() if read is False] == ["false", "0", " False "]
    assert said[""] is None and all(said[v] for v in ("true", "1", "TRUE", "yes"))
    assert null_flavor(element('<a nullFlavor="hello there"/>')) == "NI"
    assert child(element("<a><b><c/></b></a>"), "b", "c") is not None
