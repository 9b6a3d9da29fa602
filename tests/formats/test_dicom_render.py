"""Frames are found and shown: against what pydicom decodes, and against values worked out by hand."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import RLELossless

from engine.formats.dicom.frames import bits_of, end_of, frame_of, pixels_of
from engine.formats.dicom.header import read_header
from engine.formats.dicom.render import Window, render
from engine.kernel.errors import FormatError
from tests.formats.dicom_samples import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    dataset,
    file_of,
    image,
    sample,
    samples,
)


def _shown(data: bytes, **wanted: Any) -> Any:
    return np.asarray(Image.open(io.BytesIO(render(io.BytesIO(data), **wanted))))


def _with_pixels(values: Any, vr: str = "OW", **said: Any) -> Any:
    made = image(PixelData=np.asarray(values).astype("<u2" if vr == "OW" else "u1").tobytes(), **said)
    made["PixelData"].VR = vr
    return made


_GRAY = [[0, 100, 200], [300, 400, 1000]]


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, DEFLATED])
def test_from_least_to_greatest_where_there_is_no_window(syntax: str) -> None:
    shown = _shown(file_of(_with_pixels(_GRAY), syntax))
    assert shown.tolist() == [[0, 26, 51], [76, 102, 255]]


def test_a_window_after_the_modality_lut() -> None:
    made = _with_pixels(
        _GRAY, RescaleSlope=2, RescaleIntercept=-100, WindowCenter=[300.5, 1], WindowWidth=[401, 2]
    )
    # -100 100 300 / 500 700 1900, black up to 100, white from 500
    assert _shown(file_of(made)).tolist() == [[0, 0, 128], [255, 255, 255]]
    assert _shown(file_of(made), window=Window(900, 2000, "LINEAR_EXACT")).tolist() == [
        [0, 26, 51],
        [76, 102, 255],
    ]
    sigmoid = _shown(file_of(made), window=Window(300, 100, "SIGMOID"))
    assert sigmoid[0].tolist() == [0, 0, 127]
    made.PhotometricInterpretation = "MONOCHROME1"
    assert _shown(file_of(made)).tolist() == [[255, 255, 127], [0, 0, 0]]


@pytest.mark.parametrize(("center", "width"), [("abc", "1"), ("1", "0"), ("", "")])
def test_a_window_that_is_none_is_passed_over(center: str, width: str) -> None:
    made = _with_pixels(_GRAY)
    made.WindowCenter, made.WindowWidth = "1", "1"
    data = file_of(made)
    at = data.index(b"\x28\0\x50\x10DS\2\0")
    written = b"\x28\0\x50\x10DS" + _even(center) + b"\x28\0\x51\x10DS" + _even(width)
    harmed = data[:at] + written + data[at + 20 :]
    assert _shown(harmed).tolist() == [[0, 26, 51], [76, 102, 255]]


def _even(text: str) -> bytes:
    value = text.encode() + b" " * (len(text) % 2)
    return len(value).to_bytes(2, "little") + value


def test_a_voi_lut() -> None:
    table = dataset(LUTDescriptor=[4, 0, 8], LUTData=[0, 50, 100, 255])
    table["LUTDescriptor"].VR = table["LUTData"].VR = "US"
    made = _with_pixels([[0, 1, 2], [3, 4, 9]], VOILUTSequence=[table])
    assert _shown(file_of(made)).tolist() == [[0, 50, 100], [255, 255, 255]]


def test_padding_is_no_least_value() -> None:
    made = _with_pixels([[0, 100, 200], [300, 400, 65535]])
    made.add_new("PixelPaddingValue", "US", 65535)
    assert _shown(file_of(made)).tolist() == [[0, 64, 128], [191, 255, 255]]


def test_frames_and_their_functional_groups() -> None:
    def group(center: int) -> Any:
        return dataset(FrameVOILUTSequence=[dataset(WindowCenter=center + 0.5, WindowWidth=101)])

    made = _with_pixels([[[0, 50, 100], [0, 0, 0]], [[100, 150, 200], [0, 0, 0]]], NumberOfFrames=2)
    made.PerFrameFunctionalGroupsSequence = [group(50), group(150)]
    for frame in (1, 2):
        assert _shown(file_of(made), frame=frame)[0].tolist() == [0, 128, 255]
    for frame in (0, 3, -1):
        with pytest.raises(FormatError, match="no such frame"):
            render(io.BytesIO(file_of(made)), frame=frame)


def test_single_bits_of_frames_that_do_not_begin_at_a_byte() -> None:
    made = image(
        BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=2, PixelData=bytes([0b11_000111, 0b00001010])
    )
    made["PixelData"].VR = "OB"
    data = file_of(made)
    assert (_shown(data, frame=1) > 0).tolist() == [[True, True, True], [False, False, False]]
    assert (_shown(data, frame=2) > 0).tolist() == [[True, True, False], [True, False, True]]


def test_colours() -> None:
    made = _with_pixels(
        range(18), "OB", SamplesPerPixel=3, PhotometricInterpretation="RGB", PlanarConfiguration=0
    )
    made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
    assert _shown(file_of(made)).reshape(-1).tolist() == list(range(18))
    made.PlanarConfiguration = 1
    assert _shown(file_of(made))[0, 0].tolist() == [0, 6, 12]


def _comparable() -> list[Any]:
    return [
        p
        for p in samples()
        if p.name.startswith(("SC_rgb", "examples_", "ExplVR_Big", "MR_small", "CT_small"))
    ]


@pytest.mark.parametrize("path", _comparable(), ids=lambda p: p.name)
def test_what_pydicom_decodes_is_what_is_shown(path: Any) -> None:
    data = path.read_bytes()
    read = pydicom.dcmread(io.BytesIO(data))
    try:
        shown = _shown(data)
    except FormatError as refused:
        with pytest.raises(Exception):  # noqa: B017 - pydicom has no decoder either
            _ = read.pixel_array
        assert "no decoder" in str(refused) or "cannot be decoded" in str(refused)
        return
    assert shown.shape[:2] == (read.Rows, read.Columns)
    if read.SamplesPerPixel == 3:
        frame = read.pixel_array[0] if int(read.get("NumberOfFrames", 1)) > 1 else read.pixel_array
        assert (shown == (frame >> max(0, read.BitsStored - 8)).astype(np.uint8)).all()


def test_what_cannot_be_decoded_is_named() -> None:
    with pytest.raises(FormatError, match="no decoder for JPEG-LS"):
        render(io.BytesIO(sample("MR_small_jpeg_ls_lossless.dcm")))
    with pytest.raises(FormatError, match="no pixel data"):
        render(io.BytesIO(sample("test-SR.dcm")))
    with pytest.raises(FormatError, match="too large"):
        render(io.BytesIO(file_of(_with_pixels(_GRAY))), max_pixels=5)
    with pytest.raises(FormatError, match="too short"):
        render(io.BytesIO(file_of(_with_pixels(_GRAY, Rows=3))))
    with pytest.raises(FormatError, match="type is not made"):
        render(io.BytesIO(file_of(_with_pixels(_GRAY))), media="image/webp")


def test_other_types_and_sizes() -> None:
    data = sample("CT_small.dcm")
    small = Image.open(io.BytesIO(render(io.BytesIO(data), media="image/jpeg", size=(64, 32))))
    assert (small.format, small.size) == ("JPEG", (32, 32))
    assert Image.open(io.BytesIO(render(io.BytesIO(data), media="image/gif"))).format == "GIF"


def test_a_code_stream_of_another_size_is_refused_before_it_is_decoded() -> None:
    code = io.BytesIO()
    Image.new("L", (600, 600)).save(code, "JPEG")
    made = image(PixelData=encapsulate([code.getvalue()]), BitsAllocated=8, BitsStored=8, HighBit=7)
    made["PixelData"].is_undefined_length = True
    with pytest.raises(FormatError, match="another size"):
        render(io.BytesIO(file_of(made, "1.2.840.10008.1.2.4.50")))


def _encapsulated(frames: list[bytes], table: bool, extended: bool = False, split: int = 1) -> bytes:
    made = image(NumberOfFrames=len(frames), BitsAllocated=8, BitsStored=8, HighBit=7)
    made.PixelData = encapsulate(frames, fragments_per_frame=split, has_bot=table)
    made["PixelData"].is_undefined_length = True
    if extended:
        offsets, at = [], 0
        for frame in frames:
            offsets.append(at)
            at += 8 + len(frame)
        made.ExtendedOffsetTable = np.array(offsets, "<u8").tobytes()
        made.ExtendedOffsetTableLengths = np.array([len(f) for f in frames], "<u8").tobytes()
    return file_of(made, RLELossless)


@pytest.mark.parametrize(
    ("table", "extended", "split"), [(True, False, 1), (True, False, 3), (False, False, 1), (False, True, 1)]
)
def test_fragments_are_put_together(table: bool, extended: bool, split: int) -> None:
    frames = [bytes([n]) * (40 + 2 * n) for n in range(1, 6)]
    data = _encapsulated(frames, table, extended, split)
    header, pixels = read_header(io.BytesIO(data)), pixels_of(io.BytesIO(data))
    assert pixels.length == -1
    assert end_of(pixels) == len(data)
    expected = (
        list(generate_frames(pydicom.dcmread(io.BytesIO(data)).PixelData, number_of_frames=5))
        if split == 1
        else None
    )
    for n, frame in enumerate(frames):
        found = frame_of(pixels, header, n)
        assert found.rstrip(b"\0") == frame
        assert expected is None or expected[n] == found


def test_frames_without_a_table_end_with_their_code_stream() -> None:
    frames = [b"\xff\xd8" + bytes([n]) * 40 + b"\xff\xd9" for n in range(1, 4)]
    data = _encapsulated(frames, False, split=2)
    pixels, header = pixels_of(io.BytesIO(data)), read_header(io.BytesIO(data))
    assert [frame_of(pixels, header, n) for n in range(3)] == frames
    other = _encapsulated([b"\1" * 40, b"\2" * 40], False, split=3)
    with pytest.raises(FormatError, match="cannot be told apart"):
        frame_of(pixels_of(io.BytesIO(other)), read_header(io.BytesIO(other)), 0)


def test_bytes_in_big_endian_words_come_in_their_own_order() -> None:
    made = image(
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        Rows=1,
        NumberOfFrames=2,
        PixelData=bytes([2, 1, 4, 3, 6, 5]),
    )
    made["PixelData"].VR = "OW"
    made.set_original_encoding(False, False)
    data = file_of(made, BIG)
    pixels, header = pixels_of(io.BytesIO(data)), read_header(io.BytesIO(data))
    assert [frame_of(pixels, header, n) for n in (0, 1)] == [b"\1\2\3", b"\4\5\6"]
    assert bits_of(header) == 24


@given(
    st.sampled_from(["SC_rgb_rle_2frame.dcm", "SC_rgb_jpeg_dcmtk.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm"]),
    st.data(),
)
@settings(max_examples=120, deadline=None)
def test_damaged_images_are_shown_or_refused(name: str, data: st.DataObject) -> None:
    harm = bytearray(sample(name))
    for at, value in data.draw(
        st.lists(st.tuples(st.integers(0, len(harm) - 1), st.integers(0, 255)), max_size=10)
    ):
        harm[at] = value
    cut = data.draw(st.integers(len(harm) // 2, len(harm)))
    try:
        render(io.BytesIO(bytes(harm[:cut])), frame=data.draw(st.integers(1, 2)), max_pixels=1_000_000)
    except FormatError:
        pass
