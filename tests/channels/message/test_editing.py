"""What nobody touched comes back byte for byte; what was changed is shown byte for byte."""

from __future__ import annotations

import pytest
from hub_project import HERE
from test_shown import FILES, entry

from engine.channels.message.editing import byte_diff, editable, edited_bytes
from engine.kernel.errors import FormatError


@pytest.mark.parametrize("path", FILES[::4], ids=lambda p: f"{p.parent.name}/{p.name}")
def test_an_untouched_text_is_the_same_bytes(path) -> None:  # type: ignore[no-untyped-def]
    body = path.read_bytes()
    found = editable(entry(body))
    if found is None:
        assert path.suffix in (".dcm", ".json") or path.parent.name == "traps"
        return
    assert edited_bytes(found.text.replace("\n", "\r\n"), found) == body  # as a browser sends a form


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_line_ends_stay(end: str) -> None:
    body = end.join(["MSH|^~\\&|A|B|||1||ADT^A01|1|P|2.5", "PID|1||7", ""]).encode()
    found = editable(entry(body))
    assert found is not None and "\r" not in found.text
    assert edited_bytes(found.text.replace("|7", "|8"), found) == body.replace(b"|7", b"|8")


def test_a_character_the_set_has_not_is_refused() -> None:
    body = "MSH|^~\\&|A|B|||1||ADT^A01|1|P|2.5|||||||8859/1\rPID|1||7||Müller\r".encode("latin-1")
    found = editable(entry(body))
    assert (found is not None and found.codec == "iso8859-1") or found is not None
    with pytest.raises(FormatError, match="no such character"):
        edited_bytes(found.text.replace("Müller", "Łukasz"), found)


def test_what_would_not_come_back_is_edited_as_a_file() -> None:
    mixed = b"MSH|^~\\&|A|B|||1||ADT^A01|1|P|2.5\rPID|1||7\nNK1|1\r\n"
    assert editable(entry(mixed)) is None
    assert editable(entry((HERE / "sample_messages/dicom/ct_1.dcm").read_bytes())) is None
    assert editable(entry(b"MSH|^~\\&|A|B|||1||ADT^A01|1|P|2.5\rNTE|1||" + b"x" * (1 << 20))) is None


def test_a_difference_has_its_place_and_what_is_near() -> None:
    before = b"".join(b"NTE|%d||text\r" % n for n in range(1, 20))
    after = before.replace(b"NTE|10||text", b"NTE|10||new")
    found = byte_diff(before, after)
    (gone,), (come,) = ([p for p in found if p.kind == k] for k in ("removed", "added"))
    assert gone.text == "NTE|10||text" and before[gone.begin :].startswith(b"NTE|10||text")
    assert come.text == "NTE|10||new" and len(found) == 6
    assert byte_diff(before, before) == []
