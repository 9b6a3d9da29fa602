"""Escape sequences: text of a field to plain text and back.

In: one leaf, after the splitting by delimiters. Out: its text. Follows HL7 v2.5.1 ch. 2.7: delimiters (`\\F\\
\\S\\ \\T\\ \\R\\ \\E\\`, v2.7 `\\P\\`), formatting commands (`\\.br\\`, `\\.sp3\\`), hexadecimal data in the
message's character set (`\\X0D0A\\`), highlighting (dropped), ISO 2022 shifts (consumed; the codec has done
the work). Local (`\\Zxx\\`) and unknown sequences stay as they were sent. Callers test `delims.escape in
text` first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache

from engine.formats.hl7v2.delims import Delims

__all__ = ["escape", "line_break", "unescape"]

_MOST_LINES = 60  # `\.sp99999\` must not become a page of nothing


def unescape(text: str, delims: Delims, charset: str = "utf-8") -> str:
    """Decode the escape sequences of one leaf; never raises."""
    if delims.escape not in text:
        return text
    pattern, replace = _reader(delims, charset)
    return pattern.sub(replace, text)


def line_break(delims: Delims) -> str:
    """Give the escape sequence of a line end: `\\.br\\`, in hexadecimal where the dot is a delimiter."""
    return f"{delims.escape}{'X0A' if '.' in delims else '.br'}{delims.escape}"


def escape(text: str, delims: Delims) -> str:
    """Encode text for one leaf: delimiters, line ends and control characters."""
    return text.replace("\r\n", "\n").translate(_writer(delims))


@lru_cache(maxsize=256)
def _reader(delims: Delims, charset: str) -> tuple[re.Pattern[str], Callable[[re.Match[str]], str]]:
    e = re.escape(delims.escape)
    pattern = re.compile(
        rf"((?:{e}X(?:[0-9A-Fa-f]{{2}})+{e})+)"  # neighbours together: a character may be spread over several
        rf"|{e}(?:([FSTREPHN])|(\.[A-Za-z]{{2}})(?:[ ]?([+-]?\d+))?"
        rf"|(C[0-9A-Fa-f]{{4}}|M[0-9A-Fa-f]{{4,6}})|(Z[^{e}]*)){e}"
    )
    words = {
        "F": delims.field,
        "S": delims.component,
        "T": delims.subcomponent,
        "R": delims.repetition,
        "E": delims.escape,
        "P": delims.truncation or "#",
        "H": "",
        "N": "",
    }

    def replace(match: re.Match[str]) -> str:
        whole = match.group()
        if match.group(1):
            return _hexadecimal(whole, delims.escape, charset)
        word = match.group(2)
        if word:
            return words[word]
        command = match.group(3)
        if command:
            return _formatting(match, command.lower(), match.group(4) or "")
        return "" if match.group(5) else whole

    return pattern, replace


def _formatting(match: re.Match[str], command: str, number: str) -> str:
    if command in (".br", ".ce"):
        return "\n"
    if command == ".sp":
        return "\n" * _count(number)
    if command == ".sk":
        return " " * _count(number)
    if command in (".in", ".ti", ".fi", ".nf"):
        before = match.string[max(0, match.start() - 5) : match.start()].lower()
        at_line_start = not before or before.endswith(("\n", f".br{match.group()[0]}"))
        return "" if at_line_start else " "
    return match.group()


def _count(number: str) -> int:
    digits = number.lstrip("+-")
    return min(int(digits), _MOST_LINES) or 1 if 0 < len(digits) < 9 else 1


def _hexadecimal(run: str, escape_char: str, charset: str) -> str:
    digits = run.replace(escape_char + "X", "").replace(escape_char, "")
    data = bytes.fromhex(digits)
    try:
        text = data.decode(charset)
    except (UnicodeError, LookupError):
        text = data.decode("latin-1")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if any(char < " " and char not in "\n\t" for char in text):
        return run  # a control character is no text: what was sent stays visible
    return text


@lru_cache(maxsize=256)
def _writer(delims: Delims) -> dict[int, str]:
    e = delims.escape
    table = {code: f"{e}X{code:02X}{e}" for code in range(32) if code != 9}
    table[10] = table[13] = line_break(delims)
    table[ord(delims.field)] = f"{e}F{e}"
    table[ord(delims.component)] = f"{e}S{e}"
    table[ord(delims.subcomponent)] = f"{e}T{e}"
    table[ord(delims.repetition)] = f"{e}R{e}"
    table[ord(e)] = f"{e}E{e}"
    if delims.truncation:
        table[ord(delims.truncation)] = f"{e}P{e}"
    return table
