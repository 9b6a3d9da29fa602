"""The lazy parser: index, delimiters, damage, character sets, leaves and byte offsets."""

from __future__ import annotations

import hl7
import pytest
from hl7v2_samples import ADT, DELIMITERS, ORU, SAMPLES, with_delimiters

from engine.formats.hl7v2.parse import leaves, parse
from engine.formats.hl7v2.write import emit
from engine.kernel.errors import FormatError


def codes(message):
    return [repair.code for repair in message.repairs]


def test_the_index_of_a_message():
    message = parse(ORU.encode())
    assert [f"{s.name}[{s.n}]" for s in message.segments][-4:] == ["OBX[2]", "NTE[3]", "OBX[3]", "SPM[1]"]
    assert (message.code, message.event, message.structure) == ("ORU", "R01", "ORU_R01")
    assert (message.version, message.control_id, message.charset) == ("2.5.1", "L-1001", "utf-8")
    assert message.repairs == []
    assert message.segment("NTE", 3).fields[3] == "Below the range \\T\\ repeated"
    assert message.segment("NTE", 4) is None
    assert message.raw == ORU.encode()


def test_fields_are_numbered_as_the_standard_numbers_them():
    message = parse(ORU.encode())
    header = message.segments[0].fields
    assert header[:4] == ["MSH", "|", "^~\\&", "LAB"]
    assert header[9] == "ORU^R01^ORU_R01"
    assert message.segment("PID").fields[0] == "PID"
    assert message.segment("PID").fields[8] == "F"
    assert message.segment("PID").field(99) == ""


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_any_uniform_line_end_is_undamaged_and_comes_back(name, end, last):
    data = SAMPLES[name].replace("\r", end).encode()
    data = data if last else data[: -len(end)]
    message = parse(data)
    assert message.repairs == []
    assert emit(message) == data
    assert [leaf[0::6] for leaf in leaves(message)] == [
        leaf[0::6] for leaf in leaves(parse(SAMPLES[name].encode()))
    ]


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("chars", DELIMITERS.values(), ids=DELIMITERS)
def test_every_sample_reads_the_same_with_every_set_of_delimiters(name, chars):
    plain = {leaf.address: leaf.value for leaf in leaves(parse(SAMPLES[name].encode()))}
    data = with_delimiters(SAMPLES[name], chars).encode()
    message = parse(data)
    assert message.repairs == []
    # what an escape sequence stands for is a delimiter of this message: compare in the plain one's terms
    back = dict(zip(chars, "|^~\\&", strict=False))
    found = {leaf.address: leaf.value for leaf in leaves(message)}
    assert found.keys() == plain.keys()
    for address, value in found.items():
        expected = plain[address]
        assert value == expected or "".join(back.get(c, c) for c in value) == expected
    assert emit(message) == data


@pytest.mark.parametrize(
    ("msh2", "delims", "repair"),
    [
        ("^~\\&", "|^~\\&", None),
        ("^~\\&#", "|^~\\&#", None),
        ("^~\\\\&", "|^~\\&", "msh-2-escaped"),
        ("^~\\&amp;", "|^~\\&", "msh-2-escaped"),
        ("^~", "|^~\\&", "msh-2-short"),
        ("^", "|^~\\&", "msh-2-short"),
        ("", "|^~\\&", "msh-2-short"),
        ("^^\\&", "|^~\\&", "msh-2-unusable"),
        ("^~AB", "|^~\\&", "msh-2-unusable"),
        ("~^\\&", "|~^\\&", None),
        ("&", "|&~\\^", "msh-2-short"),
        ("^~\\&#!?", "|^~\\&#", "msh-2-long"),
    ],
)
def test_encoding_characters(msh2, delims, repair):
    message = parse(f"MSH|{msh2}|A|B|||2026||ADT^A01|1|P|2.3\rPID|1\r".encode())
    assert "".join(message.delims) == delims
    assert set(codes(message)) == ({repair} if repair else set())


def test_delimiters_are_always_distinct():
    for msh2 in ("|||||", "\\\\\\\\", "&&&&", "^\\~&", "~~", "    ", "^~^~^~"):
        found = parse(f"MSH|{msh2}|A\r".encode()).delims
        assert len(set(found[:5])) == 5


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\xef\xbb\xbf" + ADT.encode(), "byte-order-mark"),
        (b"\x0b" + ADT.encode() + b"\x1c\r", "mllp-bytes"),
        (b"\r\n  " + ADT.encode(), "blank-before-msh"),
        (b"garbage\r\n" + ADT.encode(), "text-before-msh"),
        (ADT.replace("\rNK1", "\r\rNK1").encode(), "blank-line"),
        (ADT.replace("\rNK1", "\r\nNK1").encode(), "mixed-line-ends"),
        (ADT.replace("\rNK1|", "\r  NK1|").encode(), "padded-segment"),
        (ADT.replace("\rNK1|", "\rnk1|").encode(), "segment-name"),
        (ADT.replace("\rNK1|", "\rNK1 |").encode(), "segment-name"),
        (ADT.replace("MUSTER^CLARA", "MUSTER^\nCLARA").encode(), "continuation"),
    ],
)
def test_damage_is_mended_reported_and_written_out_mended(data, expected):
    whole = [(leaf.address, leaf.value) for leaf in leaves(parse(ADT.encode()))]
    message = parse(data)
    assert codes(message) == [expected]
    assert [(leaf.address, leaf.value) for leaf in leaves(message)] == whole
    mended = parse(emit(message))
    assert mended.repairs == []
    assert [(leaf.address, leaf.value) for leaf in leaves(mended)] == whole


def test_a_broken_line_belongs_to_the_segment_before_and_keeps_its_line_end():
    data = b"MSH|^~\\&|A\rOBX|1|TX|c||First line\nSECOND line|x\n\nThird||F\rNTE|1||abc\r"
    message = parse(data)
    assert message.segment("OBX").fields[5] == "First line\nSECOND line"
    assert message.segment("OBX").fields[6] == "x\n\nThird"
    assert message.segment("NTE").fields[3] == "abc"
    assert next(r for r in message.repairs if r.code == "continuation").where == "OBX[1]"
    start, end = message.span(message.segment("OBX"), 6)
    assert data[start:end] == b"x\n\nThird"
    assert parse(emit(message)).segment("OBX").fields[5] == "First line\\.br\\SECOND line"


def test_words_that_look_like_a_segment_do_not_begin_one():
    message = parse(b"MSH|^~\\&|A\rOBX|1|TX|||Report\nTHE patient is well\nand|so on\r")
    assert [s.name for s in message.segments] == ["MSH", "OBX"]


def test_local_and_bare_segments():
    message = parse(b"MSH|^~\\&|A\rZX1|1\rPV1\rABC|1\r")
    assert [s.name for s in message.segments] == ["MSH", "ZX1", "PV1", "ABC"]
    assert message.segment("PV1").fields == ["PV1"]
    assert message.repairs == []


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n",
        b"PID|1\r",
        b"GET / HTTP/1.1\r\n\r\n",
        b"MSH",
        b"MSHA^~\\&|",
        b"\xff\xfe",
        b"\xff\xfeM\0S\0",
        b"MSH \r",
    ],
)
def test_what_is_no_message_is_a_format_error(data):
    with pytest.raises(FormatError):
        parse(data)


def test_two_messages_in_one_are_reported():
    assert "second-msh" in codes(parse((ADT + ORU).encode()))


def line(charset: str) -> str:
    return f"MSH|^~\\&|A|B|||2026||ADT^A01|1|P|2.5||||||{charset}\rPID|1||7||{{}}^{{}}\r"


@pytest.mark.parametrize(
    ("msh18", "codec", "family", "given"),
    [
        ("", "utf-8", "Müller", "Åsa"),
        ("UNICODE UTF-8", "utf-8", "Жуков", "Лев"),
        ("8859/1", "iso8859-1", "Müller", "Åsa"),
        ("8859/2", "iso8859-2", "Dvořák", "Jiří"),
        ("8859/5", "iso8859-5", "Жуков", "Лев"),
        ("8859/15", "iso8859-15", "Œuvre", "Zoé"),
        ("~ISO IR87", "iso2022_jp_2", "山田", "太郎"),
        ("ISO IR6~ISO IR87~ISO IR159", "iso2022_jp_2", "山田", "太郎"),
        ("ISO IR13~ISO IR87", "iso2022_jp_ext", "山田", "ﾀﾛｳ"),
        ("GB 18030-2000", "gb18030", "王", "小明"),
        ("BIG-5", "big5", "許", "功蓋"),
        ("KS X 1001", "euc_kr", "홍", "길동"),
    ],
)
def test_character_sets_and_byte_offsets_in_them(msh18, codec, family, given):
    data = line(msh18).format(family, given).encode(codec)
    message = parse(data)
    assert (message.charset, message.repairs) == (codec, [])
    found = {leaf.address: leaf for leaf in leaves(message)}
    assert found["PID[1]-5[1].1"].value == family
    assert found["PID[1]-5[1].2"].value == given
    for address, value in (("PID[1]-5[1].1", family), ("PID[1]-5[1].2", given), ("PID[1]-3[1].1", "7")):
        leaf = found[address]
        start, end = message.span(leaf.segment, leaf.field, leaf.rep, leaf.comp, leaf.sub)
        assert data[start:end].decode(codec) == value
    assert emit(message) == data


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", [True, False])
def test_utf_16(codec, mark):
    text = line("UNICODE UTF-16").format("Жуков", "Лев")
    data = (b"\xff\xfe" if codec == "utf-16-le" else b"\xfe\xff") * mark + text.encode(codec)
    message = parse(data)
    assert message.charset == codec
    leaf = next(leaf for leaf in leaves(message) if leaf.address == "PID[1]-5[1].1")
    start, end = message.span(leaf.segment, 5, 1, 1)
    assert data[start:end].decode(codec) == leaf.value == "Жуков"


@pytest.mark.parametrize(
    ("msh18", "default", "bytes_in", "codec", "repair"),
    [
        ("", "", "Müller", "utf-8", []),
        ("", "8859/1", "iso8859-1:Müller", "iso8859-1", []),
        ("", "windows-1252", "cp1252:Müller", "cp1252", []),
        ("", "", "cp1252:Müller", "cp1252", ["charset"]),
        ("", "", "raw:\x81", "latin-1", ["charset"]),
        ("ASCII", "", "Müller", "utf-8", ["charset"]),
        ("ASCII", "", "cp1252:Müller", "cp1252", ["charset"]),
        ("UNICODE UTF-8", "", "cp1252:Müller", "cp1252", ["charset"]),
        ("8859/1", "", "Müller", "utf-8", ["charset"]),  # the bytes are UTF-8, whatever MSH-18 says
        ("8859/5", "", "iso8859-5:ТТ", "iso8859-5", []),
        ("NOT A SET", "", "Müller", "utf-8", ["unknown-charset"]),
        ("NOT A SET", "", "Muller", "utf-8", ["unknown-charset"]),
    ],
)
def test_what_msh_18_says_may_be_missing_or_wrong(msh18, default, bytes_in, codec, repair):
    encoding, _, text = bytes_in.rpartition(":")
    data = line(msh18).format("@", "X").encode()
    data = data.replace(b"@", text.encode("latin-1" if encoding == "raw" else encoding or "utf-8"))
    message = parse(data, charset=default)
    assert (message.charset, codes(message)) == (codec, repair)
    assert emit(message) == data


def test_leaves_have_indexed_addresses_and_decoded_values():
    found = {leaf.address: leaf.value for leaf in leaves(parse(ORU.encode()))}
    assert found["PID[1]-3[1].1"] == "4711"
    assert found["PID[1]-3[1].4.2"] == "1.2.3.4"
    assert found["PID[1]-3[2].4"] == "PAYER"
    assert found["OBX[3]-5[1].1"] == "Line one\nline two | end"
    assert found["NTE[3]-3[1].1"] == "Below the range & repeated"
    assert found["SPM[1]-2[1].1.1"] == "S-1"
    assert found["MSH[1]-9[1].2"] == "R01"
    assert not any(address.startswith(("MSH[1]-1[", "MSH[1]-2[")) for address in found)
    assert {leaf.value for leaf in leaves(parse(ADT.encode()))} >= {'""'}  # a delete is a populated leaf


def test_blank_leaves_are_no_leaves():
    message = parse(b"MSH|^~\\&|A\rPID|1||  ^\\H\\\\N\\^x|\\.br\\\r")
    assert [leaf.address for leaf in leaves(message)] == ["MSH[1]-3[1].1", "PID[1]-1[1].1", "PID[1]-3[1].3"]


def test_spans_of_every_level():
    data = ORU.encode()
    message = parse(data)
    pid = message.segment("PID")

    def at(*place):
        start, end = message.span(pid, *place)
        return data[start:end]

    assert at().startswith(b"PID|1||4711") and at().endswith(b"12345")
    assert at(3) == b"4711^^^GENERAL&1.2.3.4&ISO^MR~900-12^^^PAYER^SS"
    assert at(3, 2) == b"900-12^^^PAYER^SS"
    assert at(3, 1, 4) == b"GENERAL&1.2.3.4&ISO"
    assert at(3, 1, 4, 2) == b"1.2.3.4"
    header = message.segments[0]
    assert [data[slice(*message.span(header, n))] for n in (1, 2, 3)] == [b"|", b"^~\\&", b"LAB"]
    with pytest.raises(FormatError):
        message.span(pid, 3, 9)


@pytest.mark.parametrize("name", SAMPLES)
def test_agrees_with_python_hl7(name):
    theirs = hl7.parse(SAMPLES[name])
    ours = parse(SAMPLES[name].encode())
    assert [str(s[0][0]) for s in theirs] == [s.name for s in ours.segments]
    for their, our in zip(theirs, ours.segments, strict=True):
        assert [str(field) for field in their] == our.fields


def test_nothing_of_the_content_is_in_a_repr():
    message = parse(ORU.encode())
    assert "EXAMPLE" not in repr(message) + repr(message.segments)
