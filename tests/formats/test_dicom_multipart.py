"""Multipart bodies of DICOMweb: however they are cut, the same parts come out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.formats.dicom.multipart import (
    Begin,
    Data,
    End,
    PartReader,
    boundary_for,
    boundary_of,
    closing,
    content_type,
    media_type,
    opening,
)
from engine.kernel.errors import FormatError

Part = tuple[dict[str, str], bytes]


def _parts(chunks: list[bytes], boundary: str = "b0und") -> list[Part]:
    reader = PartReader(boundary)
    parts: list[tuple[dict[str, str], bytearray, bool]] = []
    for chunk in chunks:
        for event in reader.feed(chunk):
            if isinstance(event, Begin):
                assert not parts or parts[-1][2], "a part begins before the last has ended"
                parts.append((dict(event.headers), bytearray(), False))
            elif isinstance(event, Data):
                parts[-1][1].extend(event.data)
            else:
                assert isinstance(event, End)
                parts[-1] = (*parts[-1][:2], True)
    reader.close()
    assert all(ended for _, _, ended in parts)
    return [(headers, bytes(data)) for headers, data, _ in parts]


def _cut(body: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted(p % (len(body) + 1) for p in places), len(body)]
    return [body[a:b] for a, b in pairwise(at)]


_bytes = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"\r", b"\n", b"-", b"--b0und", b"b0und", b"\r\n--b0un", b"\0", b" "])).map(
        b"".join
    ),
).filter(lambda data: b"\r\n--b0und" not in b"\r\n" + data + b"\r\n")


@given(st.lists(_bytes, max_size=5), st.lists(st.integers(0, 4000), max_size=40), st.binary(max_size=30))
def test_what_is_written_is_read_however_it_is_cut(
    datas: list[bytes], places: list[int], epilogue: bytes
) -> None:
    headers = {"Content-Type": "application/dicom"}
    body = b"".join(opening("b0und", headers) + data for data in datas) + closing("b0und") + epilogue
    expected = [({"content-type": "application/dicom"}, data) for data in datas]
    assert _parts([body]) == expected
    assert _parts(_cut(body, places)) == expected
    assert _parts([body[i : i + 1] for i in range(len(body))]) == expected


@given(st.binary(max_size=600), st.lists(st.integers(0, 600), max_size=10))
def test_any_bytes_are_parts_or_refused(noise: bytes, places: list[int]) -> None:
    for body in (noise, b"--b0und" + noise, b"--b0und\r\n\r\n" + noise, b"--b0und\r\nA: b\r\n\r\n" + noise):
        try:
            whole: object = _parts([body])
        except FormatError as refused:
            whole = str(refused)
        try:
            cut: object = _parts(_cut(body, places))
        except FormatError as refused:
            cut = str(refused)
        assert whole == cut


def test_a_preamble_padding_and_no_headers() -> None:
    body = (
        b"This is multipart.\r\n--b0und \t\r\n\r\none\r\n--b0und\r\nX: 1\r\n\t2\r\n\r\n\r\n--b0und--\r\nend"
    )
    assert _parts([body]) == [({}, b"one"), ({"x": "1 2"}, b"")]


def test_an_empty_part_whose_line_end_is_the_boundarys() -> None:
    assert _parts([b"--b0und\r\nX: 1\r\n\r\n--b0und--"]) == [({"x": "1"}, b"")]


def test_a_longer_word_that_begins_as_the_boundary_is_data() -> None:
    assert _parts([b"--b0und\r\n\r\na\r\n--b0undary\r\nb\r\n--b0und--"]) == [({}, b"a\r\n--b0undary\r\nb")]


def test_white_space_without_end_after_a_boundary_is_data_and_not_kept() -> None:
    reader = PartReader("b0und")
    reader.feed(b"--b0und\r\n\r\n\r\n--b0und")
    given_on = sum(len(e.data) for _ in range(1000) for e in reader.feed(b" " * 1000) if isinstance(e, Data))
    assert given_on > 990_000


def test_bytes_go_on_at_once() -> None:
    reader = PartReader("b0und")
    reader.feed(b"--b0und\r\n\r\n")
    assert sum(len(e.data) for e in reader.feed(b"x" * 100_000) if isinstance(e, Data)) > 99_900


@pytest.mark.parametrize(
    "body",
    [
        b"--b0und\r\n\r\nabc",
        b"--b0und\r\n\r\nabc\r\n--b0und\r\n",
        b"no boundary at all",
        b"",
    ],
)
def test_a_body_that_is_cut_off_is_refused(body: bytes) -> None:
    with pytest.raises(FormatError, match="cut off"):
        _parts([body])


def test_limits() -> None:
    with pytest.raises(FormatError, match="too long"):
        PartReader("b", max_header=100).feed(b"--b\r\nX: " + b"y" * 200)
    with pytest.raises(FormatError, match="too many parts"):
        PartReader("b", max_parts=2).feed(b"--b\r\n\r\n\r\n--b\r\n\r\n\r\n--b\r\n")
    with pytest.raises(FormatError, match="no parts"):
        PartReader("b").feed(b"z" * 100_000)
    with pytest.raises(FormatError, match="header of a part"):
        PartReader("b").feed(b"--b\r\nnonsense\r\n\r\n")


def test_content_types() -> None:
    kind = media_type('multipart/Related; type="application/dicom+json"; boundary="a b=;\\"c"; start=<x>')
    assert kind.type == "multipart/related"
    assert kind.parameters == {"type": "application/dicom+json", "boundary": 'a b=;"c', "start": "<x>"}
    written = content_type("abc", "application/dicom", "1.2.840.10008.1.2.1")
    assert boundary_of(written) == "abc"
    assert media_type(written).parameters["transfer-syntax"] == "1.2.840.10008.1.2.1"
    assert boundary_of(content_type(boundary_for(b"x"), "image/jpeg")) == boundary_for(b"x")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "application/dicom",
        "multipart/related",
        'multipart/related; boundary=""',
        f"multipart/related; boundary={'x' * 201}",
    ],
)
def test_a_type_without_boundary_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        boundary_of(text)
