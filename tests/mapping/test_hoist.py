"""Whether a field was sent is asked once on the way in; other tests stay where they are."""

from __future__ import annotations

from engine.mapping.hoist import hoisted


def _lines(*body: str) -> list[str]:
    return hoisted("M", "def M(s, g, x, o, lab):", list(body), [], False)


def test_a_field_that_was_asked_for_is_not_asked_for_again_inside() -> None:
    lines = _lines(
        "    if f[3] and o:", "        if f[3]:", "            o['a'] = f[3]", "        o['b'] = 1"
    )
    assert lines[2:] == ["    if f[3] and o:", "        o['a'] = f[3]", "        o['b'] = 1"]


def test_another_field_and_the_other_branch_are_asked_for() -> None:
    body = [
        "    if f[3]:",
        "        if f[4]:",
        "            o['a'] = f[4]",
        "    elif f_OBR[3]:",
        "        if f[3]:",
        "            o['b'] = f[3]",
    ]
    assert _lines(*body)[2:] == body


def test_one_of_two_fields_is_no_answer() -> None:
    body = ["    if f[3] or f[4]:", "        if f[3]:", "            o['a'] = f[3]"]
    assert _lines(*body)[2:] == body
