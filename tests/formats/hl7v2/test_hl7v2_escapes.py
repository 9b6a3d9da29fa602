"""Escape sequences, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.formats.hl7v2.delims import STANDARD, Delims, read_delims
from engine.formats.hl7v2.escapes import escape, unescape

TRUNCATING = read_delims("|", "^~\\&#")[0]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("plain", "plain"),
        ("a\\F\\b\\S\\c\\T\\d\\R\\e\\E\\f", "a|b^c&d~e\\f"),
        ("\\T\\T\\T\\", "&T&"),
        ("one\\.br\\two\\.BR\\three", "one\ntwo\nthree"),
        ("a\\.sp\\b\\.sp2\\c\\.sp+2\\d", "a\nb\n\nc\n\nd"),
        ("a\\.sk3\\b\\.sk\\c", "a   b c"),
        ("a\\.ce\\b", "a\nb"),
        ("a\\.in+4\\b\\.ti-2\\c\\.fi\\d\\.nf\\e", "a b c d e"),
        ("\\.in4\\first\\.br\\\\.in4\\second", "first\nsecond"),
        ("\\H\\bold\\N\\", "bold"),
        ("\\X41\\\\X42\\", "AB"),
        ("\\XC3\\\\XA9\\", "é"),
        ("\\XC3A9\\", "é"),
        ("\\XFF\\", "ÿ"),
        ("a\\X0D0A\\b\\X0D\\c\\X0A\\d", "a\nb\nc\nd"),
        ("\\X00\\", "\\X00\\"),
        ("\\X4\\", "\\X4\\"),
        ("\\C2842\\x\\M2442\\y\\M244200\\", "xy"),
        ("\\Zlocal\\", "\\Zlocal\\"),
        ("\\Zlocal\\T\\", "\\Zlocal\\T\\"),
        ("\\Q\\", "\\Q\\"),
        ("\\.xy\\", "\\.xy\\"),
        ("C:\\dir\\file", "C:\\dir\\file"),
        ("ends with \\", "ends with \\"),
        ("\\\\", "\\\\"),
        ("\\P\\", "#"),
    ],
)
def test_unescape(raw, text):
    assert unescape(raw, STANDARD) == text


def test_hexadecimal_is_in_the_character_set_of_the_message():
    assert unescape("\\XE9\\", STANDARD, "iso8859-1") == "é"
    assert unescape("\\XB0A1\\", STANDARD, "euc_kr") == "가"


def test_a_bomb_of_lines_stays_small():
    assert len(unescape("\\.sp99999999\\\\.sk999999999999\\", STANDARD)) < 200


@pytest.mark.parametrize("delims", [STANDARD, TRUNCATING, Delims("#", "@", "*", "!", "$")])
@given(text=st.text())
def test_escape_then_unescape_gives_the_text(delims, text):
    text = "".join(c for c in text if c >= " " or c in "\t\n")
    raw = escape(text, delims)
    assert not set(raw) & (set(delims[:3]) | {delims.subcomponent, "\n", "\r"})
    assert unescape(raw, delims) == text


@given(st.text(alphabet="\\FSTREX.brsp0123456789AZabc^|\n"))
def test_unescape_never_raises(text):
    unescape(text, STANDARD, "ascii")
    unescape(text, STANDARD, "no such codec")
