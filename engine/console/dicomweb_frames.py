"""WADO-RS: frames and bulk data, each in the media type of the transfer syntax it is held in (PS3.18
10.4.1.1.6, 8.7.3.3).

In: one opened object, numbers of frames or the path of an attribute, the wishes of who asks. Out: bytes as
they are stored; native numbers are little endian. A compressed frame of one sample is decoded where octets
are wanted and a decoder is at hand.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_decoder

from engine.console.dicomweb_accept import Wish, wishes
from engine.console.dicomweb_answer import Answer, Part, copied, multipart, single
from engine.console.dicomweb_object import WORDS, Opened, swapped
from engine.console.dicomweb_retrieve import Held, Open, address, closing
from engine.console.exchange import Ask
from engine.console.refusals import Refusal
from engine.formats.dicom.uids import EXPLICIT, IMPLICIT
from engine.formats.dicom.values import element_of

__all__ = ["bulk_data", "frame_numbers", "frames"]

_OCTETS = "application/octet-stream"
_JPEG = "1.2.840.10008.1.2.4."
_MEDIA = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    **dict.fromkeys([_JPEG + n for n in ("50", "51", "57", "70")], "image/jpeg"),
    **dict.fromkeys([_JPEG + n for n in ("80", "81")], "image/jls"),
    **dict.fromkeys([_JPEG + n for n in ("90", "91")], "image/jp2"),
    **dict.fromkeys([_JPEG + n for n in ("92", "93")], "image/jpx"),
    **dict.fromkeys([_JPEG + n for n in ("201", "202", "203")], "image/jphc"),
    **dict.fromkeys([_JPEG + n for n in ("110", "111", "112")], "image/jxl"),
    **dict.fromkeys([_JPEG + n for n in ("100", "101")], "video/mpeg"),
    **dict.fromkeys([_JPEG + n for n in ("102", "103", "104", "105", "106")], "video/mp4"),
    **dict.fromkeys([_JPEG + n for n in ("107", "108")], "video/H265"),
}
_DESCRIBED = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "HighBit", "PixelRepresentation",
)  # fmt: skip
_MOST_FRAMES, _MOST_DECODED = 10_000, 1 << 28


def frame_numbers(text: str) -> list[int]:
    """Read a list of frames: `1,3,4` (PS3.18 10.4.1.1.6)."""
    numbers = text.split(",")
    if len(numbers) > _MOST_FRAMES or not all(n.isascii() and n.isdigit() and len(n) < 10 for n in numbers):
        raise Refusal(400, "frames are named by their numbers, comma between")
    if any(int(n) < 1 for n in numbers):
        raise Refusal(400, "frames are counted from 1")
    return [int(n) for n in numbers]


def frames(held: Held, ask: Ask, open_: Open, numbers: Sequence[int]) -> Answer:
    """Answer with frames."""
    opened = Opened(open_(held.instances[0].address))
    return _frames(held, opened, ask, numbers, "frames")


def _frames(held: Held, opened: Opened, ask: Ask, numbers: Sequence[int], action: str) -> Answer:
    where = f"{address(ask.base, held.instances[0])}/frames"
    found = _offered(opened, wishes(ask), len(numbers) == 1)
    if found is None:
        opened.close()
        raise Refusal(406, f"frames of this object are {_MEDIA.get(opened.syntax, _OCTETS)}")
    media, syntax, parted = found
    decode = opened.compressed and syntax == EXPLICIT
    parts = [_part(opened, number, f"{media};transfer-syntax={syntax}", where, decode) for number in numbers]
    detail = f"{held.detail} frames {','.join(map(str, numbers))}"
    if parted:
        answer = multipart(parts, media, action, held.what, detail)
    else:
        answer = single(parts[0], action, held.what, detail)
    answer.stream = closing(opened, answer.stream or iter(()))
    return answer


def _offered(opened: Opened, asked: Sequence[Wish], one: bool) -> tuple[str, str, bool] | None:
    """Return the media type, its transfer syntax and whether in parts, of the best wish that can be met."""
    own = (_MEDIA.get(opened.syntax, _OCTETS), opened.syntax) if opened.compressed else (_OCTETS, EXPLICIT)
    for wish in asked:
        for media, syntax in (own, (_OCTETS, opened.syntax), (_OCTETS, EXPLICIT)):
            if not (one and wish.takes(media, parts=False)) and not wish.takes(media, parts=True):
                continue
            if media == _OCTETS and opened.compressed:
                # octets are Explicit VR Little Endian unless another transfer syntax is asked for (8.7.3.3.2)
                wanted = wish.syntax or (opened.syntax if wish.media == "*/*" else EXPLICIT)
                if wanted not in ("*", syntax) or (syntax == EXPLICIT and not _decodable(opened)):
                    continue
            elif wish.syntax not in ("", "*", syntax, *(() if opened.compressed else (IMPLICIT,))):
                continue
            return media, syntax, wish.parts is not False
    return None


def _part(opened: Opened, number: int, media: str, where: str, decode: bool) -> Part:
    length, content = opened.frame(number)
    if not decode:
        return Part(media, length, lambda: content, f"{where}/{number}")

    def decoded() -> Iterator[bytes]:
        yield _decoded(opened, b"".join(opened.frame(number)[1]))

    return Part(media, None, decoded, f"{where}/{number}")


def _decodable(opened: Opened) -> bool:
    """Say whether a frame can be decoded: to one sample a pixel, for of colours nobody would say which."""
    try:
        decoder = get_decoder(opened.syntax)
    except NotImplementedError:
        return False
    get = opened.dataset.get
    try:
        size = int(get("Rows") or 0) * int(get("Columns") or 0) * int(get("BitsAllocated") or 0) // 8
    except (TypeError, ValueError):
        return False
    return bool(decoder.is_available and get("SamplesPerPixel") == 1 and size <= _MOST_DECODED)


def _decoded(opened: Opened, frame: bytes) -> bytes:
    alone: Any = Dataset()
    for keyword in _DESCRIBED:
        if keyword in opened.dataset:
            setattr(alone, keyword, opened.dataset.get(keyword))
    alone.PixelData = encapsulate([frame])
    alone["PixelData"].VR = "OB"
    alone.file_meta = Dataset()
    alone.file_meta.TransferSyntaxUID = opened.syntax
    try:
        pixels, _ = get_decoder(opened.syntax).as_buffer(alone, index=0)
    except Exception:  # decoders raise whatever a damaged stream makes them raise
        raise Refusal(406, "a frame cannot be decoded; ask for it as it is held") from None
    return bytes(pixels)


# -- bulk data


def bulk_data(held: Held, ask: Ask, open_: Open, path: Sequence[str]) -> Answer:
    """Answer with the value of an attribute: `7FE00010`, `54000100/0/54001010` (items are counted from 0)."""
    opened = Opened(open_(held.instances[0].address))
    pixels = opened.pixels
    if pixels is not None and list(path) == [f"{pixels.tag:08X}"]:
        if pixels.length is None:
            return _frames(held, opened, ask, range(1, opened.frames + 1), "bulkdata")
        length, start = pixels.length, pixels.start
        if length > opened.stream.seek(0, 2) - start:
            raise Refusal(404, "the object is shorter than its pixels should be")

        def content() -> Iterator[bytes]:
            data = copied(opened.stream, start, length)
            return closing(opened, swapped(data, opened.word) if opened.big_endian else data)
    else:
        value = _value(opened, path)
        length = len(value)
        opened.close()

        def content() -> Iterator[bytes]:
            return iter((value,))

    where = f"{address(ask.base, held.instances[0])}/bulkdata/{'/'.join(path)}"
    part = Part(_OCTETS, length, content, where)
    for wish in wishes(ask):
        if wish.takes(_OCTETS, parts=False):
            return single(part, "bulkdata", held.what, held.detail)
        if wish.takes(_OCTETS, parts=True):
            return multipart([part], _OCTETS, "bulkdata", held.what, held.detail)
    opened.close()
    raise Refusal(406, f"bulk data is {_OCTETS}")


def _value(opened: Opened, path: Sequence[str]) -> bytes:
    dataset: Any = opened.dataset
    element: Any = None
    for at, step in enumerate(path):
        if at % 2:
            items = element.value if element is not None and element.VR == "SQ" else ()
            number = int(step) if step.isascii() and step.isdigit() and len(step) < 7 else len(items)
            dataset = items[number] if number < len(items) else None
        else:
            element = _element(dataset, step)
    if element is None or not len(path) % 2 or not isinstance(element.value, bytes):
        raise Refusal(404, "the object has no such bulk data")
    if opened.big_endian:
        return b"".join(swapped(iter((element.value,)), WORDS.get(str(element.VR)[:2], 1)))
    return element.value


def _element(dataset: Any, step: str) -> Any:
    try:
        return element_of(dataset, int(step, 16)) if len(step) == 8 and dataset is not None else None
    except ValueError:
        return None
