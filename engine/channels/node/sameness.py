"""Whether two objects hold the same dataset, whoever sent them and whatever their file header says.

In: two addresses of the object store. Out: yes or no. A modality and the archive behind it send one image
with two headers (PS3.10 7.1: source AE title, implementation); that is no other image.
"""

from __future__ import annotations

from typing import BinaryIO

from engine.formats.dicom.header import beginning
from engine.kernel.errors import HubError
from engine.kernel.imaging import Objects, Stored

__all__ = ["same_dataset"]

_HEAD = 128 << 10  # file meta information is in there, or the object is read no further
_PIECE = 1 << 20
_GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"


def same_dataset(objects: Objects, one: Stored, other: Stored) -> bool:
    """Compare two objects behind their file meta information; one that cannot be read is not the same."""
    try:
        with objects.open(one.address) as first, objects.open(other.address) as second:
            syntax, start = _dataset(first)
            other_syntax, other_start = _dataset(second)
            if start < 0 or other_start < 0 or syntax != other_syntax:
                return False
            if one.size - start != other.size - other_start:
                return False
            first.seek(start)
            second.seek(other_start)
            while piece := first.read(_PIECE):
                if piece != second.read(_PIECE):
                    return False
            return True
    except HubError:
        return False


def _dataset(opened: BinaryIO) -> tuple[str, int]:
    """Return the transfer syntax, and where the dataset begins; -1 where the header does not say it."""
    prefix = opened.read(_HEAD)
    if prefix[132:140] != _GROUP_LENGTH:
        return "", -1
    start = 144 + int.from_bytes(prefix[140:144], "little")
    return (beginning(prefix[:start], start + 1).transfer_syntax, start) if start <= len(prefix) else ("", -1)
