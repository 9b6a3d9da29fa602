"""Two messages field by field, whatever order they came in."""

from __future__ import annotations

from test_shown import entry

from engine.channels.message.comparing import compare

HEAD = "MSH|^~\\&|LIS|NORTH|||2026050112{0:02}||ORU^R01|C{0}|P|2.5.1\rPID|1||77||DOE^JO\r"


def of(number: int, *segments: str) -> bytes:
    return (HEAD.format(number) + "".join(f"{s}\r" for s in segments)).encode()


def lines(left: bytes, right: bytes) -> list[tuple[str, str, str, str]]:
    found = compare(entry(left, 1), entry(right, 2))
    return [(one.kind, one.address, one.left, one.right) for one in found.lines if not one.own]


K = "OBX|{}|NM|2823-3^Potassium||{}|mmol/L"
NA = "OBX|{}|NM|2951-2^Sodium||{}|mmol/L"


def test_what_every_message_has_of_its_own_is_not_counted() -> None:
    found = compare(entry(of(1, K.format(1, 4)), 1), entry(of(2, K.format(1, 4)), 2))
    assert found.counted == 0
    assert sorted(one.address for one in found.lines if one.own) == ["MSH[1]-10[1].1", "MSH[1]-7[1].1"]
    assert found.same > 8


def test_a_changed_value() -> None:
    assert lines(of(1, K.format(1, 4)), of(2, K.format(1, 5))) == [("changed", "OBX[1]-5[1].1", "4", "5")]


def test_a_result_put_in_front_does_not_change_the_others() -> None:
    left, right = of(1, K.format(1, 4)), of(2, NA.format(1, 140), K.format(2, 4))
    found = lines(left, right)
    assert ("changed", "OBX[1]-1[1].1", "1", "2") in found  # its set id did change
    assert [one for one in found if one[0] == "added" and one[1] == "OBX[1]-5[1].1"] == [
        ("added", "OBX[1]-5[1].1", "", "140")
    ]
    assert not any(one[1] == "OBX[1]-5[1].1" and one[0] == "changed" for one in found)


def test_a_result_that_is_gone() -> None:
    found = lines(of(1, K.format(1, 4), NA.format(2, 140)), of(2, K.format(1, 4)))
    assert {one[0] for one in found} == {"removed"}
    assert ("removed", "OBX[2]-5[1].1", "140", "") in found


def test_another_code_at_the_same_place_is_a_change() -> None:
    found = lines(of(1, K.format(1, 4)), of(2, NA.format(1, 4)))
    assert ("changed", "OBX[1]-3[1].1", "2823-3", "2951-2") in found


def test_very_many_differences_are_cut_and_counted() -> None:
    left = of(1, *(f"NTE|{n}||a{n}" for n in range(3000)))
    right = of(2, *(f"NTE|{n}||b{n}" for n in range(3000)))
    found = compare(entry(left), entry(right))
    assert len(found.lines) == 2000 and found.cut > 0
    assert found.counted >= 3000
