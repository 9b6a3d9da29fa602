"""Two changes of one text: brought together where they do not touch, told apart where they do."""

import pytest

from engine.channels.threeway import merge

BASE = "a\nb\nc\nd\ne\n"


@pytest.mark.parametrize(
    ("mine", "theirs", "merged"),
    [
        (BASE, BASE, BASE),
        ("A\nb\nc\nd\ne\n", BASE, "A\nb\nc\nd\ne\n"),
        (BASE, "a\nb\nc\nd\nE\n", "a\nb\nc\nd\nE\n"),
        ("A\nb\nc\nd\ne\n", "a\nb\nc\nd\nE\n", "A\nb\nc\nd\nE\n"),
        ("a\nb\nc\nd\ne\nf\n", "0\na\nb\nc\nd\ne\n", "0\na\nb\nc\nd\ne\nf\n"),
        ("a\nc\nd\ne\n", "a\nb\nc\nd\n", "a\nc\nd\n"),
        ("a\nB\nc\nd\ne\n", "a\nB\nc\nd\ne\n", "a\nB\nc\nd\ne\n"),  # both the same
        ("A\nb\nc\nD\ne\n", "A\nb\nc\nd\ne\n", "A\nb\nc\nD\ne\n"),
        ("", BASE, ""),
        ("a\r\n", "a\r\n", "a\r\n"),
    ],
)
def test_changes_that_do_not_touch_come_together(mine: str, theirs: str, merged: str) -> None:
    assert merge(BASE, mine, theirs).text == merged
    assert merge(BASE, theirs, mine).text == merged


@pytest.mark.parametrize(
    ("mine", "theirs", "line"),
    [
        ("a\nX\nc\nd\ne\n", "a\nY\nc\nd\ne\n", 2),
        ("a\nX\nc\nd\ne\n", "a\nb\nY\nd\ne\n", 2),  # neighbours are read together by people
        ("a\nb\nc\nd\ne\nX\n", "a\nb\nc\nd\ne\nY\n", 6),
        ("a\nc\nd\ne\n", "a\nY\nc\nd\ne\n", 2),
    ],
)
def test_changes_of_the_same_lines_clash(mine: str, theirs: str, line: int) -> None:
    done = merge(BASE, mine, theirs)
    assert done.text is None
    assert [c.base_line for c in done.clashes] == [line]
    assert merge(BASE, theirs, mine).text is None


def test_a_clash_says_the_lines_of_every_side() -> None:
    done = merge(BASE, "0\n00\na\nX\nc\nd\ne\n", "a\nY\nc\nd\ne\n")
    (clash,) = done.clashes
    assert (clash.base, clash.mine, clash.theirs) == ("b\n", "X\n", "Y\n")
    assert (clash.base_line, clash.mine_line, clash.theirs_line) == (2, 4, 2)
