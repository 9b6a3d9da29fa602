"""Headers of DICOM: read and copied of every file pydicom has; damage is refused, and costs nothing."""

from __future__ import annotations

import io
import struct
import zlib

import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats.dicom.elements import elements, encoding_of
from engine.formats.dicom.header import (
    beginning,
    dataset_header,
    header_copy,
    is_dicom,
    object_of,
    pixel_offset,
    read_header,
)
from engine.formats.dicom.values import element_of
from engine.kernel.errors import FormatError
from tests.formats.dicom_samples import (
    BIG,
    CT,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    dataset,
    file_of,
    image,
    sample,
    samples,
)

_TRUNCATED = "rtplan_truncated.dcm"


@pytest.mark.parametrize("path", [p for p in samples() if p.name != _TRUNCATED], ids=lambda p: p.name)
def test_every_file_of_pydicom_is_read_and_copied_as_pydicom_reads_it(path: object) -> None:
    data = path.read_bytes()  # type: ignore[attr-defined]
    expected = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    tags = {tag for tag in map(int, expected.keys()) if tag < 0x7FE00008}
    header = read_header(io.BytesIO(data))
    assert set(map(int, header.keys())) == tags
    copy = header_copy(data, address="ab" * 32, size=len(data), aet="CT01")
    again = read_header(io.BytesIO(copy))
    assert set(map(int, again.keys())) == tags
    assert object_of(again) == ("ab" * 32, len(data))
    assert object_of(header) is None
    assert again.file_meta.SourceApplicationEntityTitle == "CT01"
    for tag in tags:
        if tag not in (0x00080005,):
            assert repr(element_of(again, tag)) == repr(element_of(header, tag))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
def test_a_copy_has_the_elements_before_the_pixels_as_they_were_sent(syntax: str) -> None:
    made = image(PixelData=b"\1\0" * 6, DataSetTrailingPadding=b"\0\0")
    icon = dataset(Rows=1, Columns=1, PixelData=b"\7\7")
    icon["PixelData"].VR = "OW"
    made.IconImageSequence = [icon]
    made["PixelData"].VR = "OW"
    data = file_of(made, syntax)
    copy = header_copy(data, address="cd", size=len(data), aet="CT01")
    header = read_header(io.BytesIO(copy))
    assert "PixelData" not in header
    assert header.IconImageSequence[0].PixelData == b"\7\7"  # pixels within a sequence are no end
    assert header.PatientName == "Doe^Jane"
    assert header.file_meta.TransferSyntaxUID == (EXPLICIT if syntax == DEFLATED else syntax)
    if syntax != DEFLATED:
        began = beginning(copy)
        assert copy[began.start :] in data
        assert data[pixel_offset(data) :][:4] in (b"\xe0\x7f\x10\0", b"\x7f\xe0\0\x10")
        assert copy[began.start :] + data[pixel_offset(data) :] == data[beginning(data).start :]


def test_first_bytes_are_enough() -> None:
    made = image(PixelData=b"\0" * 500_000, Rows=500, Columns=500)
    made["PixelData"].VR = "OW"
    data = file_of(made)
    assert header_copy(data[:4096], address="a", size=len(data), aet="") == header_copy(
        data, address="a", size=len(data), aet=""
    )


def test_an_object_without_pixels_is_copied_whole_or_as_far_as_there_is_room() -> None:
    data = sample("test-SR.dcm")
    whole = header_copy(data, address="a", size=len(data), aet="")
    assert whole[beginning(whole).start :] == data[beginning(data).start :]
    cut = header_copy(data, address="a", size=len(data), aet="", limit=600)
    kept = cut[beginning(cut).start :]
    assert 0 < len(kept) <= 600
    assert data[beginning(data).start :].startswith(kept)
    assert "SOPInstanceUID" in read_header(io.BytesIO(cut))  # whole elements only, or this would be damaged


@pytest.mark.parametrize("uid", ["1.2.3", "1.2.34"])
def test_a_dataset_gets_a_header(uid: str) -> None:
    made = dataset_header(CT, uid, EXPLICIT, "MODALITY")
    assert made[:132] == b"\0" * 128 + b"DICM"
    body = b"\x08\0\x60\0CS\2\0CT"
    read = pydicom.dcmread(io.BytesIO(made + body))
    assert read.Modality == "CT"
    assert read.file_meta.MediaStorageSOPInstanceUID == uid
    assert read.file_meta.SourceApplicationEntityTitle == "MODALITY"
    length = struct.unpack("<L", made[140:144])[0]
    assert len(made) == 144 + length
    with pytest.raises(FormatError, match="letters"):
        dataset_header(CT, "1.2.é", EXPLICIT, "")


def test_only_what_is_asked_for_is_kept() -> None:
    header = read_header(io.BytesIO(sample("CT_small.dcm")), only={0x00100010})
    assert sorted(map(int, header.keys())) == [0x00080005, 0x00100010]


def test_somebody_elses_private_information_is_not_ours() -> None:
    read = read_header(io.BytesIO(file_of(image())))
    read.file_meta.PrivateInformationCreatorUID = "1.2.3"
    read.file_meta.PrivateInformation = b"ab 12"
    assert object_of(read) is None


def _element(tag: int, vr: bytes, value: bytes) -> bytes:
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if vr in (b"SQ", b"OB", b"UN"):
        return head + vr + b"\0\0" + struct.pack("<L", len(value)) + value
    return head + vr + struct.pack("<H", len(value)) + value


_FILE = dataset_header(CT, "1.2.3", EXPLICIT, "")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (_element(0x00080060, b"CS", b"CT") + b"\x10\0\x10\0PN\xff\xff", "ends within"),
        (b"\x10\0\x10\0UN\0\0\xfe\xff\xff\xff", "ends within"),
        (
            b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\xfe\xff\0\xe0\xff\xff\xff\xff" * 5,
            "ends within|does not end",
        ),
        (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff" + b"\x08\0\x60\0CS\2\0CT", "where an item should begin"),
        (b"\xfe\xff\x0d\xe0\0\0\0\0" + _element(0x00080060, b"CS", b"CT"), "outside a sequence"),
        (b"\x08\0\x40\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\0\xe0\xff\xff\xff\xff" * 5000, "nested too deep"),
    ],
)
def test_damage_is_refused_with_its_place(body: bytes, why: str) -> None:
    with pytest.raises(FormatError, match=why) as refused:
        read_header(io.BytesIO(_FILE + body))
    assert refused.value.where.startswith("byte ")
    with pytest.raises(FormatError, match=why):
        header_copy(_FILE + body, address="a", size=len(_FILE + body), aet="")


def test_no_dicom_is_refused() -> None:
    assert not is_dicom(b"")
    for data in (b"", b"MSH|^~\\&", b"\0" * 200):
        with pytest.raises(FormatError, match="not a DICOM file"):
            read_header(io.BytesIO(data))


def test_a_deflated_bomb_is_inflated_as_far_as_the_limit() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    body = bomb.compress(
        _element(0x00080060, b"CS", b"CT") + b"\x09\0\0\x10UN\0\0\xff\xff\xff\x0f" + b"\0" * (64 << 20)
    )
    data = dataset_header(CT, "1.2.3", DEFLATED, "") + body + bomb.flush()
    assert len(data) < 100_000
    began = beginning(data, limit=1 << 20)
    assert len(began.data) == 1 << 20
    assert read_header(io.BytesIO(data), 1 << 20).Modality == "CT"
    assert len(header_copy(data, address="a", size=len(data), aet="", limit=1 << 20)) < 1000


def test_a_deflated_dataset_that_cannot_be_inflated_is_refused() -> None:
    with pytest.raises(FormatError, match="inflated"):
        read_header(io.BytesIO(dataset_header(CT, "1.2.3", DEFLATED, "") + b"\xff" * 50))


def test_zeros_after_the_last_element_are_no_damage() -> None:
    body = _element(0x00080060, b"CS", b"CT") + b"\0" * 22
    assert read_header(io.BytesIO(_FILE + body)).Modality == "CT"


@given(
    st.sampled_from(["CT_small.dcm", "test-SR.dcm", "MR_small_bigendian.dcm", "rtplan.dcm", "image_dfl.dcm"]),
    st.data(),
)
@settings(max_examples=150, deadline=None)
def test_damaged_files_are_read_or_refused(name: str, data: st.DataObject) -> None:
    whole = sample(name)[:6000]
    harm = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), max_size=8)):
        if at < len(harm):
            harm[at] = value
    raw = bytes(harm)
    try:
        header = read_header(io.BytesIO(raw))
        for tag in tuple(header.keys()):
            element_of(header, int(tag))
    except FormatError:
        pass
    try:
        copy = header_copy(raw, address="a", size=len(raw), aet="A")
        assert is_dicom(copy)
    except FormatError:
        pass


@given(st.binary(max_size=400), st.booleans(), st.sampled_from([IMPLICIT, EXPLICIT, BIG]))
def test_elements_lie_within_the_bytes_and_one_after_the_other(data: bytes, whole: bool, syntax: str) -> None:
    last = 0
    try:
        for element in elements(data, 0, encoding_of(syntax, data, 0), whole=whole):
            assert last <= element.at < element.start <= element.end <= len(data)
            last = element.end
    except FormatError:
        pass


@pytest.mark.parametrize(
    "charset", [b"ISO\0IR 100 ", b"\0\0", b"NONSENSE", b"\\ISO 2022 IR 87\0", b"\xff\xfe"]
)
def test_a_character_set_that_is_none_stops_nothing(charset: bytes) -> None:
    body = _element(0x00080005, b"CS", charset) + _element(0x00100010, b"PN", b"Doe^Jane")
    element = element_of(read_header(io.BytesIO(_FILE + body)), "PatientName")
    assert element is not None and str(element.value) == "Doe^Jane"


class _Counted(io.BytesIO):
    """A stream that says how far it was read."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:  # type: ignore[override]
        data = super().read(size)
        self.taken += len(data)
        return data


@pytest.mark.parametrize(("before", "taken"), [(100, 256 << 10), (1 << 20, 8 << 20)])
def test_of_a_long_object_only_the_header_is_read(before: int, taken: int) -> None:
    made = image(Rows=3000, Columns=3000, PixelData=b"\0" * 18_000_000, SelectorOBValue=b"\1" * before)
    made["PixelData"].VR = "OW"
    stream = _Counted(file_of(made))
    header = read_header(stream)
    assert header.Rows == 3000
    assert len(header.SelectorOBValue) == before
    assert stream.taken <= taken


@pytest.mark.parametrize("size", [(256 << 10) - 1, 256 << 10, (256 << 10) + 1, 300 << 10])
def test_an_object_is_whole_whatever_its_length(size: int) -> None:
    body = _element(0x00080060, b"CS", b"CT")
    body += _element(0x00420011, b"OB", b"\1" * (size - len(_FILE) - len(body) - 12))
    assert len(_FILE + body) == size
    assert len(read_header(io.BytesIO(_FILE + body)).EncapsulatedDocument) > 1000
    with pytest.raises(FormatError, match="ends within"):
        read_header(io.BytesIO((_FILE + body)[:-1]))
