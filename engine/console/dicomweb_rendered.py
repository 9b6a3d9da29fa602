"""WADO-RS: pictures of instances and frames, and thumbnails (PS3.18 10.4.1.1.4, 8.3.5).

In: what is held, the parameters viewport, window and quality, the wishes of who asks. Out: JPEG or PNG. No
more pictures are made at one time than memory allows; who would wait long is told to come again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.console.dicomweb_accept import wishes
from engine.console.dicomweb_answer import Answer, Part, multipart
from engine.console.dicomweb_object import Opened
from engine.console.dicomweb_retrieve import Held, Open, address
from engine.console.exchange import Ask
from engine.console.refusals import Refusal
from engine.formats.dicom.render import Window, render
from engine.kernel.errors import FormatError
from engine.kernel.imaging import HeldInstance

__all__ = ["rendered", "thumbnail"]

_MEDIA = ("image/jpeg", "image/png")  # the first is the default (PS3.18 table 8.7.4-1)
_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}
_KNOWN = ("accept", "annotation", "charset", "iccprofile", "quality", "viewport", "window")
_THUMBNAIL = (128, 128)
_TRIED = 5  # instances of a series that a thumbnail is looked for in
_AT_ONCE, _PATIENCE = 2, 10.0

_slots = threading.BoundedSemaphore(_AT_ONCE)


@dataclass(frozen=True, slots=True)
class _Look:
    """How it is to look."""

    media: str
    window: Window | None
    size: tuple[int, int] | None
    quality: int


def rendered(
    held: Held, ask: Ask, open_: Open, numbers: Sequence[int] = (1,), action: str = "rendered"
) -> Answer:
    """Answer with pictures of frames of one instance; of an instance without a word of frames, its first."""
    one = held.instances[0]
    look = _look(ask, len(numbers) == 1, None)
    opened = Opened(open_(one.address))
    count = opened.frames
    opened.close()
    if not count:
        raise Refusal(406, "the object has no pixels: there is nothing to show")
    if max(numbers) > count:
        raise Refusal(404, "the object has no such frame")
    where = f"{address(ask.base, one)}/frames"
    detail = f"{held.detail} frames {','.join(map(str, numbers))}"
    if len(numbers) == 1:
        return _alone(_picture(one, open_, numbers[0], look), look, action, held.what, detail)
    parts = [_part(one, open_, number, look, f"{where}/{number}/rendered") for number in numbers]
    return multipart(parts, look.media, action, held.what, detail)


def thumbnail(held: Held, ask: Ask, open_: Open, number: int = 1) -> Answer:
    """Answer with a small picture of the first instance that can be shown."""
    look = _look(ask, True, _THUMBNAIL)
    for at, one in enumerate(held.instances[:_TRIED]):
        try:
            made = _picture(one, open_, number, look)
        except Refusal as refused:
            if refused.status == 503 or at + 1 == min(_TRIED, len(held.instances)):
                raise
            continue
        return _alone(made, look, "thumbnail", held.what, held.detail)
    raise Refusal(404, "there is nothing to show")


def _alone(picture: bytes, look: _Look, action: str, what: str, detail: str) -> Answer:
    return Answer(200, picture, look.media, {}, action, what, detail)


def _part(one: HeldInstance, open_: Open, number: int, look: _Look, location: str) -> Part:
    def content() -> Iterator[bytes]:
        yield _picture(one, open_, number, look)

    return Part(look.media, None, content, location)


def _picture(one: HeldInstance, open_: Open, number: int, look: _Look) -> bytes:
    if not _slots.acquire(timeout=_PATIENCE):
        raise Refusal(503, "too many pictures are being made; try again", headers={"Retry-After": "5"})
    try:
        with open_(one.address) as stream:
            return render(
                stream,
                frame=number,
                media=look.media,
                window=look.window,
                size=look.size,
                quality=look.quality,
            )
    except FormatError as e:
        why = f": {e.why}" if e.why else ""
        raise Refusal(406, f"{e.what}{why}; the object itself can be retrieved") from None
    finally:
        _slots.release()


# -- parameters


def _look(ask: Ask, one: bool, size: tuple[int, int] | None) -> _Look:
    given: dict[str, str] = {}
    for name, value in ask.query:
        lower = name.lower()
        if lower not in _KNOWN or (lower in given and lower != "accept"):
            raise Refusal(400, "a picture takes viewport, window and quality, each once")
        given[lower] = value
    quality = given.get("quality", "90")
    if not (quality.isascii() and quality.isdigit() and 1 <= int(quality[:4]) <= 100):
        raise Refusal(400, "quality takes a whole number from 1 to 100")
    return _Look(
        _media(ask, one), _window(given.get("window")), _size(given.get("viewport"), size), int(quality)
    )


def _media(ask: Ask, one: bool) -> str:
    for wish in wishes(ask):
        for media in _MEDIA:
            if wish.takes(media, parts=not one) or (wish.media in ("*/*", media) and wish.parts is None):
                return media
    raise Refusal(
        406,
        f"pictures are {' or '.join(_MEDIA)}" + ("" if one else ", several as parts of multipart/related"),
    )


def _window(text: str | None) -> Window | None:
    """Read `center,width,function` (PS3.18 8.3.5.1.4)."""
    if text is None:
        return None
    values = text.split(",")
    numbers = [_real(value) for value in values[:2]]
    function = (
        _FUNCTIONS.get(values[2].lower(), "") if len(values) == 3 else "LINEAR" if len(values) == 2 else ""
    )
    if not function or len(numbers) < 2 or numbers[0] is None or not numbers[1] or numbers[1] < 0:
        raise Refusal(400, "window takes center, width and one of linear, linear-exact, sigmoid")
    return Window(numbers[0], numbers[1], function)


def _real(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e12 else None  # neither NaN nor infinity


def _size(text: str | None, default: tuple[int, int] | None) -> tuple[int, int] | None:
    """Read `width,height` (PS3.18 8.3.5.1.3); a part of the picture is not cut out."""
    if text is None:
        return default
    values = text.split(",")
    if len(values) > 2 and not any(values[2:]):
        values = values[:2]
    if len(values) != 2 or not all(v.isascii() and v.isdigit() and 0 < int(v[:6]) <= 16_384 for v in values):
        raise Refusal(400, "viewport takes the width and the height of the picture, in pixels")
    return int(values[0]), int(values[1])
