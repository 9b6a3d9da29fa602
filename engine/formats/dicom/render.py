"""One frame of an object as a picture for a browser: PNG or JPEG.

In: a seekable stream of a Part 10 object. Out: bytes of an image of 8 bits. Gray ones go through the
modality LUT and the window of the header (or from least to greatest value), coloured ones are made RGB.
What needs a decoder that is not here is refused by the name of its transfer syntax. Follows PS3.3 C.7.6.3,
C.11.1, C.11.2 and PS3.18 8.3.5.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset as _Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi, get_decoder
from pydicom.uid import UID

from engine.formats.dicom.frames import Pixels, frame_of, number, pixels_of
from engine.formats.dicom.header import read_header
from engine.formats.dicom.uids import is_encapsulated, name_of
from engine.formats.dicom.values import UNREADABLE, element_of, items_of, text_of, texts_of
from engine.kernel.errors import FormatError

__all__ = ["Window", "render"]

Dataset = Any
Array = Any
_TYPES = {"image/png": "PNG", "image/jpeg": "JPEG", "image/gif": "GIF"}
_BROKEN = (*UNREADABLE, struct.error, SyntaxError, RuntimeError, AssertionError, MemoryError)


class Window(NamedTuple):
    """Which values become black and white (PS3.3 C.11.2.1.2)."""

    center: float
    width: float
    function: str = "LINEAR"


def render(
    stream: BinaryIO,
    *,
    frame: int = 1,
    media: str = "image/png",
    window: Window | None = None,
    size: tuple[int, int] | None = None,
    quality: int = 90,
    max_pixels: int = 40_000_000,
) -> bytes:
    """Render one frame, the first being 1, into at most `size` (columns, rows).

    FormatError where there is no such frame, no decoder, or more pixels than `max_pixels`.
    """
    kind = _TYPES.get(media)
    if kind is None:
        raise FormatError("an image of this type is not made", where=media, why=", ".join(_TYPES))
    pixels = pixels_of(stream)
    stream.seek(0)
    header = read_header(stream)
    image = _image(header, pixels, frame - 1, window, max_pixels)
    if size is not None:
        image.thumbnail((max(1, size[0]), max(1, size[1])))
    made = BytesIO()
    image.save(made, kind, **({"quality": max(1, min(100, quality))} if kind == "JPEG" else {}))
    return made.getvalue()


def _image(header: Dataset, pixels: Pixels, index: int, window: Window | None, max_pixels: int) -> Any:
    rows, columns = number(header, "Rows", 0), number(header, "Columns", 0)
    samples = number(header, "SamplesPerPixel", 1)
    if rows <= 0 or columns <= 0 or samples not in (1, 3):
        raise FormatError("the image cannot be shown", why=f"{columns} × {rows} pixels of {samples} samples")
    if rows * columns > max_pixels:
        raise FormatError("the image is too large", why=f"{columns} × {rows} pixels; {max_pixels} are taken")
    syntax = name_of(pixels.transfer_syntax)
    try:
        decoder = get_decoder(UID(pixels.transfer_syntax))
    except NotImplementedError as cause:
        raise FormatError("the image cannot be shown", why=f"there is no decoder for {syntax}") from cause
    if is_encapsulated(pixels.transfer_syntax) and not decoder.is_available:
        raise FormatError("the image cannot be shown", why=f"there is no decoder for {syntax}")
    data = frame_of(pixels, header, index)
    try:
        array, photometric = _decoded(decoder, header, pixels, data, index, (rows, columns, samples))
        return _shown(header, array, photometric, index, window)
    except FormatError:
        raise
    except (*_BROKEN, Image.DecompressionBombError) as cause:
        raise FormatError(
            "the image cannot be shown",
            where=f"frame {index + 1}",
            why=f"its {syntax} data cannot be decoded",
        ) from cause


def _decoded(
    decoder: Any, header: Dataset, pixels: Pixels, data: bytes, index: int, shape: tuple[int, int, int]
) -> tuple[Array, str]:
    rows, columns, samples = shape
    allocated = number(header, "BitsAllocated", 16)
    if allocated == 1 and pixels.length >= 0:
        first = index * rows * columns * samples % 8
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        return bits[first : first + rows * columns].reshape(rows, columns), text_of(
            header, "PhotometricInterpretation"
        )
    options: dict[str, Any] = {
        "rows": rows,
        "columns": columns,
        "samples_per_pixel": samples,
        "bits_allocated": allocated,
        "bits_stored": number(header, "BitsStored", allocated),
        "pixel_keyword": pixels.keyword,
        "pixel_vr": "OB" if allocated == 8 else pixels.vr,
        "photometric_interpretation": text_of(header, "PhotometricInterpretation") or "MONOCHROME2",
        "number_of_frames": 1,
    }
    if pixels.keyword == "PixelData":
        options["pixel_representation"] = number(header, "PixelRepresentation", 0)
    if samples > 1:
        options["planar_configuration"] = number(header, "PlanarConfiguration", 0)
    if pixels.length < 0:
        _check_size(data, rows, columns)
        data = encapsulate([data + b"\0" * (len(data) % 2)], has_bot=False)
    array, said = decoder.as_array(data, index=0, raw=False, **options)
    return array, str(said["photometric_interpretation"])


def _check_size(data: bytes, rows: int, columns: int) -> None:
    """Refuse a code stream that is of another size than the header says: memory is taken by its own."""
    if data[:2] != b"\xff\xd8" and data[:4] not in (b"\xff\x4f\xff\x51", b"\0\0\0\x0c"):
        return
    with Image.open(BytesIO(data), formats=("JPEG", "JPEG2000")) as image:
        if image.size != (columns, rows):
            raise FormatError(
                "the image is damaged", why="its code stream is of another size", where="Rows, Columns"
            )


def _shown(header: Dataset, array: Array, photometric: str, index: int, window: Window | None) -> Any:
    if array.ndim == 3:
        if photometric.startswith("YBR"):
            raise FormatError("the image cannot be shown", why=f"{photometric} is not made RGB")
        return Image.fromarray(_eight_bits(array, number(header, "BitsStored", 8)), "RGB")
    if photometric == "PALETTE COLOR":
        coloured = apply_color_lut(array, header)
        bits = 16 if coloured.dtype.itemsize > 1 else 8
        return Image.fromarray(_eight_bits(coloured, bits)[..., :3], "RGB")
    gray = _gray(header, array, index, window)
    return Image.fromarray(255 - gray if photometric == "MONOCHROME1" else gray, "L")


def _eight_bits(array: Array, bits: int) -> Array:
    if array.dtype == np.uint8 and bits <= 8:
        return np.ascontiguousarray(array)
    return np.ascontiguousarray(array >> max(0, bits - 8)).astype(np.uint8)


def _gray(header: Dataset, array: Array, index: int, window: Window | None) -> Array:
    transform = _place(
        header, index, "PixelValueTransformationSequence", ("RescaleSlope", "ModalityLUTSequence")
    )
    values = apply_modality_lut(array, transform).astype(np.float64)
    voi = _place(header, index, "FrameVOILUTSequence", ("WindowCenter", "VOILUTSequence"))
    if window is None and items_of(voi, "VOILUTSequence") and not np.issubdtype(array.dtype, np.floating):
        table = items_of(voi, "VOILUTSequence")[0]
        shown = apply_voi(values.astype(np.int32), voi)
        top = float((1 << (int(texts_of(table, "LUTDescriptor")[2]) or 8)) - 1)
        return np.clip(shown / top * 255, 0, 255).astype(np.uint8)
    window = window or _window(voi)
    if window is not None and not (window.width > 0 and np.isfinite(window.center)):
        window = None
    low, high = _range(values, array, header, window)
    if window is not None and window.function == "SIGMOID":
        with np.errstate(over="ignore"):
            return (255 / (1 + np.exp(-4 * (values - window.center) / window.width))).astype(np.uint8)
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def _range(values: Array, array: Array, header: Dataset, window: Window | None) -> tuple[float, float]:
    """Return which values are black and white."""
    if window is not None:
        if window.function == "LINEAR" and window.width > 1:
            return window.center - 0.5 - (window.width - 1) / 2, window.center - 0.5 + (window.width - 1) / 2
        return window.center - window.width / 2, window.center + window.width / 2
    known = np.isfinite(values)
    padding = element_of(header, "PixelPaddingValue")
    if padding is not None and isinstance(padding.value, int):
        known &= array != padding.value
    if not known.any():
        return 0.0, 1.0
    low, high = float(values[known].min()), float(values[known].max())
    return (low, high) if high > low else (low, low + 1)


def _window(voi: Dataset) -> Window | None:
    centers, widths = texts_of(voi, "WindowCenter"), texts_of(voi, "WindowWidth")
    if not centers or not widths:
        return None
    try:
        return Window(float(centers[0]), float(widths[0]), text_of(voi, "VOILUTFunction") or "LINEAR")
    except ValueError:
        return None  # a window that is no number is none


def _place(header: Dataset, index: int, sequence: str, either: tuple[str, str]) -> Dataset:
    """Return what speaks of a frame: an item of its functional groups, of those shared, or the header."""
    groups = items_of(header, "PerFrameFunctionalGroupsSequence")[index : index + 1]
    groups += items_of(header, "SharedFunctionalGroupsSequence")[:1]
    for group in groups:
        for item in items_of(group, sequence)[:1]:
            return item
    said = _Dataset()
    if any(element_of(header, key) is not None for key in either):
        for key in ("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence", "WindowCenter", "WindowWidth"):
            _copy(header, said, key)
        for key in ("VOILUTFunction", "VOILUTSequence", "PixelRepresentation", "BitsStored"):
            _copy(header, said, key)
    return said


def _copy(header: Dataset, said: Dataset, key: str) -> None:
    element = element_of(header, key)
    if element is not None:
        said._dict[element.tag] = element
