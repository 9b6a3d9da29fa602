"""`hub convert` of DICOM: the images of a study that lie in several files become one ImagingStudy.

In: the files of a conversion. Out: the same, the images of one study together; and their `Result`s. Reports,
selections and procedure steps stand for themselves. An image that cannot be read is named, and its study goes
on without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from engine.cli.converted import Result, convert_arrived, failed
from engine.cli.parse_dicom import begin_of
from engine.formats.dicom.document import Dicom, kind_of, parse, study_of
from engine.formats.dicom.header import is_dicom, read_header
from engine.kernel.errors import HubError
from engine.mapping.project import Maps
from engine.mapping.treearrived import dicom_arrived

__all__ = ["Files", "convert_study", "together"]

_ENOUGH = 1 << 20
_CLASS, _STUDY = 0x00080016, 0x0020000D


class Files(NamedTuple):
    """One file, or the first of those that are converted together, and the others."""

    first: Path
    others: tuple[Path, ...] = ()


def together(files: Iterable[Path]) -> list[Files]:
    """Put the images of each study together, in the place of the first of them."""
    found: dict[str, list[Path]] = {}
    for n, file in enumerate(files):
        found.setdefault(_study(file) or f"file {n}", []).append(file)
    return [Files(first, tuple(others)) for first, *others in found.values()]


def _study(file: Path) -> str:
    """Return the study of an image; empty for anything else, and for what cannot be read."""
    try:
        with file.open("rb") as f:
            if not is_dicom(f.read(132)):
                return ""
            f.seek(0)
            header = read_header(f, _ENOUGH, only={_CLASS, _STUDY})
            if kind_of(str(header.get("SOPClassUID", ""))) != "instance":
                return ""
            return str(header.get("StudyInstanceUID", "") or "")
    except (OSError, HubError):
        return ""  # reading it whole says why


def convert_study(files: Files, maps: Maps, site: str = "") -> Iterator[Result]:
    """Convert the images of one study; first the study, then what of it could not be read."""
    read: list[Dicom] = []
    bad: list[tuple[Path, str, str]] = []
    for file in (files.first, *files.others):
        try:
            read.append(parse(begin_of(file)))
        except HubError as e:
            bad.append((file, e.where, str(e)))
        except OSError as e:
            bad.append((file, "", f"cannot be read: {e.strerror}"))
    if read:
        read.sort(key=_order)
        yield convert_arrived(1, dicom_arrived(study_of(read)), maps.of("dicom"), site)
    for number, (file, where, why) in enumerate(bad, 2 if read else 1):
        yield failed(number, "dicom", where, f"{file.name}: {why}")


def _order(one: Dicom) -> tuple[int, str, int, str]:
    numbers = [one.own(name) for name in ("SeriesNumber", "InstanceNumber")]
    series, instance = (int(n) if n.isascii() and n.isdigit() else 0 for n in numbers)
    return series, one.own("SeriesInstanceUID"), instance, one.own("SOPInstanceUID")
