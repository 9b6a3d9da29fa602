"""A17, A24 and A37: the second patient of a pair has a group of its own, whatever the first leaves out."""

from __future__ import annotations

import pytest

from engine.formats.hl7v2.groups import arrange_message
from engine.formats.hl7v2.parse import parse

HEAD = "MSH|^~\\&|A|NORTH|B|C|20260501||ADT^{0}^ADT_{0}|1|P|2.5.1\rEVN|{0}\r"


@pytest.mark.parametrize("event", ["A17", "A24", "A37"])
@pytest.mark.parametrize("between", ["", "PV1|1|I\r", "PD1\rPV1|1|I\r"])
def test_second_patient_is_a_group(event: str, between: str) -> None:
    text = HEAD.format(event) + "PID|1||77^^^NORTH\r" + between + "PID|2||88^^^NORTH\rPV1|1|O\r"
    root = arrange_message(parse(text.encode()))
    (first,) = root.own("PID")
    (other,) = root.groups("OTHER")
    assert first.fields[3] == "77^^^NORTH"
    assert [s.fields[3] for s in other.own("PID")] == ["88^^^NORTH"]
    assert [s.fields[2] for s in other.own("PV1")] == ["O"]
