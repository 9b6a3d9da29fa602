"""The form of a request: fields and files, up to a limit.

In: a POST. Out: `Given`. Raises Refused where it is too long or no form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from engine.console.answers import Refused
from engine.console.visit import Upload

__all__ = ["Given", "read_form"]

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_FIELDS, _FILES = 5000, 20


@dataclass(frozen=True, slots=True)
class Given:
    """What a form gave: the last value of each field, all values, files."""

    last: Mapping[str, str] = field(default_factory=dict)
    every: Mapping[str, list[str]] = field(default_factory=dict)
    files: Mapping[str, Upload] = field(default_factory=dict)


async def read_form(request: Request, most: int) -> Given:
    """Read a form of at most `most` bytes. Raises Refused."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if not media:
        return Given()
    if media not in _FORMS:
        raise Refused(415, "This is not a form.")
    read = 0
    receive = request.receive

    async def counted() -> object:
        nonlocal read
        message = await receive()
        read += len(message.get("body", b""))
        if read > most:
            raise Refused(413, f"The form is longer than {most:,} bytes.")
        return message

    limited = Request(request.scope, counted)  # type: ignore[arg-type]
    try:
        form = await limited.form(max_files=_FILES, max_fields=_FIELDS, max_part_size=most)
    except HTTPException as e:
        raise Refused(400, f"The form cannot be read: {e.detail}.") from None
    every: dict[str, list[str]] = {}
    files: dict[str, Upload] = {}
    for name, value in form.multi_items():
        if isinstance(value, UploadFile):
            body = await value.read()
            if value.filename or body:
                files[name] = Upload(value.filename or "", body)
        else:
            every.setdefault(name, []).append(value)
    await form.close()
    return Given({name: values[-1] for name, values in every.items()}, every, files)
