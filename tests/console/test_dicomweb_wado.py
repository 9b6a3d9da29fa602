"""WADO-RS: what was stored comes back byte for byte, in parts or alone; metadata, frames, pictures."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from dicomweb_side import Side, make_side, parts, place, sample
from PIL import Image
from pydicom.encaps import generate_frames
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

ANY = 'multipart/related; type="application/dicom"; transfer-syntax=*'
NATIVE = ("CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "image_dfl.dcm", "rtdose.dcm")
COMPRESSED = ("JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm", "MR_small_RLE.dcm", "SC_rgb_rle_2frame.dcm")
OTHERS = ("rtplan.dcm", "reportsi.dcm")
# three of them are the same image, with the same UIDs
FILES = {name: sample(name) for name in (*NATIVE, *COMPRESSED, *OTHERS)}
FILES["MR_small_bigendian.dcm"] = sample("MR_small_bigendian.dcm", SOPInstanceUID="1.2.3.1")
FILES["MR_small_RLE.dcm"] = sample("MR_small_RLE.dcm", SOPInstanceUID="1.2.3.2")


@pytest.fixture(scope="module")
def side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Side]:
    """A hub that holds one object of every kind. Tests only read it."""
    made = make_side(tmp_path_factory.mktemp("dicomweb"))
    made.keep(*FILES.values())
    yield made
    made.kept.index.close()


def held(side: Side, name: str) -> Any:
    sop = str(pydicom.dcmread(BytesIO(FILES[name]), stop_before_pixels=True).SOPInstanceUID)
    (one,) = side.kept.instances(sop=(sop,))
    return one


@pytest.mark.parametrize("name", [*NATIVE, *COMPRESSED, *OTHERS])
def test_any_transfer_syntax_is_the_file_that_was_sent(side: Side, name: str) -> None:
    one = held(side, name)
    for path in (place(one), f"/studies/{one.study}/series/{one.series}", f"/studies/{one.study}"):
        answer = side.get(path, ANY)
        assert answer.headers["content-type"].startswith(
            'multipart/related; type="application/dicom"; boundary='
        )
        assert int(answer.headers["content-length"]) == len(answer.content)
        found = {head["content-location"].rpartition("/")[2]: (head, body) for head, body in parts(answer)}
        head, body = found[one.sop_instance]
        assert body == FILES[name]
        assert f"transfer-syntax={one.transfer_syntax}" in head["content-type"].replace('"', "").replace(
            "; ", ";"
        )
        assert head["content-location"] == f"http://127.0.0.1:8080/dicomweb{place(one)}"


@pytest.mark.parametrize("name", NATIVE)
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_a_native_object_is_written_in_the_syntax_asked_for(side: Side, name: str, syntax: Any) -> None:
    answer = side.get(place(held(side, name)), f"application/dicom; transfer-syntax={syntax}")
    assert answer.headers["content-type"] == f"application/dicom;transfer-syntax={syntax}"
    assert int(answer.headers["content-length"]) == len(answer.content)
    was, made = pydicom.dcmread(BytesIO(FILES[name])), pydicom.dcmread(BytesIO(answer.content))
    assert made.file_meta.TransferSyntaxUID == syntax
    assert (made.pixel_array == was.pixel_array).all()
    for element in was:
        if element.tag.element and element.VR not in ("OW", "UN") and not element.tag.is_private:
            assert made[element.tag].value == element.value
    assert len(made) == len([e for e in was if e.tag.element])


def test_what_says_no_syntax_is_explicit_little_endian_but_compressed_as_it_is(side: Side) -> None:
    one = held(side, "MR_small_implicit.dcm")
    ((_, body),) = parts(side.get(place(one)))
    assert pydicom.dcmread(BytesIO(body)).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    ((_, body),) = parts(
        side.get(place(held(side, "JPEG2000.dcm")), 'multipart/related; type="application/dicom"')
    )
    assert body == sample("JPEG2000.dcm")


def test_a_syntax_that_is_not_held_is_not_acceptable(side: Side) -> None:
    one = held(side, "JPEG2000.dcm")
    for syntax in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.50"):
        answer = side.get(
            place(one), f'multipart/related; type="application/dicom"; transfer-syntax={syntax}'
        )
        assert (answer.status_code, answer.headers["content-type"]) == (406, "application/json")
    # the second wish is met where the first cannot be
    wishes = f"application/dicom; transfer-syntax=1.2.840.10008.1.2.1, {ANY};q=0.5"
    assert parts(side.get(place(one), wishes))[0][1] == sample("JPEG2000.dcm")


@pytest.mark.parametrize(
    "accept", ["image/png", "text/html", "application/dicom+json", "application/dicom;q=0"]
)
def test_other_media_types_of_an_object_are_not_acceptable(side: Side, accept: str) -> None:
    assert side.get(place(held(side, "CT_small.dcm")), accept).status_code == 406


def test_head_says_how_long_it_would_be(side: Side) -> None:
    path = f"/dicomweb{place(held(side, 'CT_small.dcm'))}"
    answer = side.client.head(path, headers={"Accept": "application/dicom; transfer-syntax=*"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len(FILES["CT_small.dcm"])


def test_a_study_is_not_one_part(side: Side) -> None:
    one = held(side, "CT_small.dcm")
    assert side.get(f"/studies/{one.study}", "application/dicom").status_code == 406


def test_the_accept_parameter_stands_before_the_header(side: Side) -> None:
    one = held(side, "CT_small.dcm")
    answer = side.get(f"{place(one)}?accept=application/dicom", "text/html")
    assert answer.headers["content-type"].startswith("application/dicom;")


@pytest.mark.parametrize("name", [*NATIVE, *COMPRESSED, *OTHERS])
def test_metadata_are_all_attributes_with_pixels_by_reference(side: Side, name: str) -> None:
    one = held(side, name)
    (row,) = [
        r for r in side.get(f"{place(one)}/metadata").json() if r["00080018"]["Value"] == [one.sop_instance]
    ]
    was = pydicom.dcmread(BytesIO(FILES[name]))
    # padding at the end is no attribute
    expected = {f"{element.tag:08X}" for element in was if element.tag.element} - {"FFFCFFFC"}
    assert set(row) - {"00083002"} == expected
    assert row["00083002"] == {"vr": "UI", "Value": [one.transfer_syntax]}
    assert not any(tag.startswith("0002") for tag in row)
    if "PixelData" in was:
        assert (
            row["7FE00010"]["BulkDataURI"] == f"http://127.0.0.1:8080/dicomweb{place(one)}/bulkdata/7FE00010"
        )
        assert set(row["7FE00010"]) == {"vr", "BulkDataURI"}


def test_metadata_of_a_study_are_of_all_its_instances(side: Side) -> None:
    one = held(side, "CT_small.dcm")
    rows = side.get(f"/studies/{one.study}/metadata").json()
    assert len(rows) == len(side.kept.instances(one.study))
    rows = side.get(f"/studies/{one.study}/series/{one.series}/metadata", "application/json").json()
    assert len(rows) == len(side.kept.instances(one.study, one.series))
    assert (
        side.get(
            f"/studies/{one.study}/metadata", 'multipart/related; type="application/dicom+xml"'
        ).status_code
        == 406
    )


@pytest.mark.parametrize("name", NATIVE)
def test_frames_without_compression_are_little_endian_octets(side: Side, name: str) -> None:
    was = pydicom.dcmread(BytesIO(FILES[name]))
    frames = was.pixel_array if was.get("NumberOfFrames", 1) > 1 else was.pixel_array[np.newaxis]
    numbers = list(range(1, len(frames) + 1))
    answer = side.get(f"{place(held(side, name))}/frames/{','.join(map(str, numbers))}")
    assert answer.headers["content-type"].startswith('multipart/related; type="application/octet-stream"')
    found = parts(answer)
    assert len(found) == len(frames)
    for (_, body), frame in zip(found, frames, strict=True):
        assert body == frame.astype(frame.dtype.newbyteorder("<")).tobytes()
    alone = side.get(f"{place(held(side, name))}/frames/1", "application/octet-stream")
    assert alone.content == found[0][1]


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize(
    "accept", ["", "*/*", 'multipart/related; type="application/octet-stream"; transfer-syntax=*']
)
def test_compressed_frames_are_as_they_were_sent(side: Side, name: str, accept: str) -> None:
    was = pydicom.dcmread(BytesIO(FILES[name]))
    count = int(was.get("NumberOfFrames", 1))
    expected = list(generate_frames(was.PixelData, number_of_frames=count))
    answer = side.get(
        f"{place(held(side, name))}/frames/{','.join(str(n + 1) for n in range(count))}", accept
    )
    found = parts(answer)
    assert [body for _, body in found] == expected
    assert f"transfer-syntax={was.file_meta.TransferSyntaxUID}" in found[0][0]["content-type"].replace(
        '"', ""
    )


def test_compressed_frames_of_one_sample_are_decoded_for_who_wants_octets(side: Side) -> None:
    one = held(side, "MR_small_RLE.dcm")
    answer = side.get(f"{place(one)}/frames/1", "application/octet-stream")
    assert answer.content == pydicom.dcmread(BytesIO(FILES["MR_small_RLE.dcm"])).pixel_array.tobytes()
    colour = held(side, "SC_rgb_jpeg_dcmtk.dcm")
    assert side.get(f"{place(colour)}/frames/1", "application/octet-stream").status_code == 406
    assert (
        side.get(f"{place(colour)}/frames/1", "image/jpeg").headers["content-type"].startswith("image/jpeg")
    )
    assert side.get(f"{place(colour)}/frames/1", "image/jp2").status_code == 406


@pytest.mark.parametrize(
    "path, status",
    [("frames/2", 404), ("frames/0", 400), ("frames/1,,2", 400), ("frames/x", 400), ("frames/1,9", 404)],
)
def test_frames_that_are_not_there(side: Side, path: str, status: int) -> None:
    assert side.get(f"{place(held(side, 'CT_small.dcm'))}/{path}").status_code == status
    assert side.get(f"{place(held(side, 'rtplan.dcm'))}/frames/1").status_code == 404


def test_bulk_data_is_the_value_of_its_attribute(side: Side) -> None:
    one = held(side, "CT_small.dcm")
    row = side.get(f"{place(one)}/metadata").json()[0]
    linked = {tag: v["BulkDataURI"] for tag, v in row.items() if "BulkDataURI" in v}
    assert linked
    was = pydicom.dcmread(BytesIO(sample("CT_small.dcm")))
    for tag, url in linked.items():
        answer = side.client.get(url)
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.content == was[int(tag, 16)].value
    ((_, body),) = parts(side.client.get(linked["7FE00010"], headers={"Accept": "multipart/related"}))
    assert body == was.PixelData
    for path in ("00100010", "7FE00011", "0008", "7FE00010/0", "00081140/0/00080018", "²²²²²²²²"):
        assert side.get(f"{place(one)}/bulkdata/{path}").status_code == 404
    assert side.get(f"{place(one)}/bulkdata/7FE00010", "image/png").status_code == 406


def test_bulk_data_in_a_sequence_is_found_by_its_path(tmp_path: Path) -> None:
    inner = pydicom.Dataset()
    inner.add_new(0x54001010, "OW", bytes(range(256)) * 10)
    side = make_side(tmp_path)
    (one,) = side.keep(sample("CT_small.dcm", WaveformSequence=[pydicom.Dataset(), inner]))
    row = side.get(f"{place(one)}/metadata").json()[0]
    url = row["54000100"]["Value"][1]["54001010"]["BulkDataURI"]
    assert side.client.get(url).content == bytes(range(256)) * 10


@pytest.mark.parametrize(
    "accept, kind", [("", "JPEG"), ("image/png", "PNG"), ("image/*", "JPEG"), ("*/*", "JPEG")]
)
def test_a_picture_is_jpeg_or_png(side: Side, accept: str, kind: str) -> None:
    for path in ("rendered", "frames/1/rendered"):
        answer = side.get(
            f"{place(held(side, 'CT_small.dcm'))}/{path}?viewport=64,32&window=40,400,linear", accept
        )
        with Image.open(BytesIO(answer.content)) as picture:
            assert (picture.format, picture.size) == (kind, (32, 32))
        assert answer.headers["content-type"] == f"image/{kind.lower()}"


def test_several_pictures_are_parts(side: Side) -> None:
    one = held(side, "SC_rgb_rle_2frame.dcm")
    found = parts(side.get(f"{place(one)}/frames/1,2/rendered", 'multipart/related; type="image/png"'))
    assert [Image.open(BytesIO(body)).format for _, body in found] == ["PNG", "PNG"]
    assert side.get(f"{place(one)}/frames/1,2/rendered", "image/png").status_code == 406


WRONG = (
    "window=1", "window=a,b,linear", "window=1,0,linear", "window=1,2,cubic", "window=nan,nan,linear",
    "viewport=0,1", "viewport=1", "viewport=99999,1", "viewport=10,10,1,1,5,5", "quality=0", "quality=101",
    "quality=9&quality=9", "colour=1",
)  # fmt: skip


@pytest.mark.parametrize("query", WRONG)
def test_what_a_picture_cannot_be_like_is_refused(side: Side, query: str) -> None:
    assert side.get(f"{place(held(side, 'CT_small.dcm'))}/rendered?{query}").status_code == 400


def test_what_has_no_pixels_is_not_shown(side: Side) -> None:
    for path in ("rendered", "thumbnail"):
        assert side.get(f"{place(held(side, 'reportsi.dcm'))}/{path}").status_code == 406


def test_thumbnails_of_study_series_instance_and_frame(side: Side) -> None:
    one = held(side, "JPEG2000.dcm")
    series = f"/studies/{one.study}/series/{one.series}"
    for path in (f"/studies/{one.study}", series, place(one), f"{place(one)}/frames/1"):
        answer = side.get(f"{path}/thumbnail")
        with Image.open(BytesIO(answer.content)) as picture:
            assert max(picture.size) == 128


def test_objects_by_query_parameters_alone(side: Side) -> None:
    one = held(side, "CT_small.dcm")
    query = f"/wado?requestType=WADO&studyUID={one.study}&seriesUID={one.series}&objectUID={one.sop_instance}"
    answer = side.get(f"{query}&contentType=application/dicom")
    assert (answer.status_code, answer.content) == (200, sample("CT_small.dcm"))
    picture = side.get(f"{query}&windowCenter=40&windowWidth=400&rows=20&imageQuality=50&frameNumber=1")
    with Image.open(BytesIO(picture.content)) as shown:
        assert (shown.format, shown.size) == ("JPEG", (20, 20))
    assert side.get("/wado?requestType=WADO&studyUID=1.2").status_code == 400
    assert side.get(query.replace("requestType=WADO", "requestType=OTHER")).status_code == 400


def test_an_object_is_read_in_pieces(tmp_path: Path) -> None:
    """A large object is not held in memory: what is asked of its file is never more than a piece of it."""
    side = make_side(tmp_path)
    big = sample("CT_small.dcm", Rows=4096, Columns=2048, PixelData=bytes(16 << 20))
    (one,) = side.keep(big)
    longest = 0
    really = side.kept.objects.open

    def watched(address: str) -> Any:
        stream = really(address)
        read = stream.read

        def reading(size: int = -1) -> bytes:
            nonlocal longest
            data = read(size)
            longest = max(longest, len(data))
            return data

        class Watched:
            def __getattr__(self, name: str) -> Any:
                return reading if name == "read" else getattr(stream, name)

        return Watched()

    side.kept.objects.open = watched  # type: ignore[method-assign, assignment]
    for accept in (ANY, "application/dicom; transfer-syntax=1.2.840.10008.1.2"):
        assert len(side.get(place(one), accept).content) > 16 << 20
    assert side.get(f"{place(one)}/bulkdata/7FE00010").content == bytes(16 << 20)
    assert 0 < longest <= 1 << 18
    side.kept.index.close()
