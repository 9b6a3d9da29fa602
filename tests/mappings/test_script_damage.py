"""Messages with parts missing, doubled, empty or nonsense: mapped to what is valid, or refused in words."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree
from test_script_maps import NAMES, SAMPLES, fast

from engine.fhir.validate import validate
from engine.kernel.errors import FormatError, MapError

ROOTS = {n: etree.fromstring((SAMPLES / "elements" / f"{n}.xml").read_bytes()) for n in NAMES}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(NAMES), st.data())
def test_any_part_may_be_missing_doubled_or_empty(name: str, data: st.DataObject) -> None:
    root = copy.deepcopy(ROOTS[name])
    for _ in range(data.draw(st.integers(1, 4))):
        inside = [e for e in root.iter() if e is not root]
        if not inside:
            break
        one = inside[data.draw(st.integers(0, len(inside) - 1))]
        parent: Any = one.getparent()
        what = data.draw(st.sampled_from(["cut", "double", "empty", "junk"]))
        if what == "cut":
            parent.remove(one)
        elif what == "double":
            parent.insert(parent.index(one), copy.deepcopy(one))
        else:
            for child in list(one):
                one.remove(child)
            one.text = "" if what == "empty" else "Ünsinn 12 <&>"
    try:
        built = fast(etree.tostring(root))
    except (FormatError, MapError):
        return  # refused in words
    if built.held is None:  # a message that is held writes nothing
        assert [(d.type, p) for d in built.drafts for p in validate(d.body)] == []


def test_there_are_samples_to_damage() -> None:
    assert len(ROOTS) > 20 and Path(SAMPLES).is_dir()
