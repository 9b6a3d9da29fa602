"""What tells statements apart, and when a denied allergy says that none is known."""

from __future__ import annotations

import pytest
from cda_samples import document, section, text_of

from engine.formats.cda.document import parse
from engine.formats.cda.elements import V3
from engine.formats.cda.identity import EntryIds, entry_key
from engine.formats.cda.none_known import none_known
from engine.formats.cda.texts import Texts


def observation(id_: str = '<id root="1.2" extension="7"/>', value: str = "38341003", more: str = "") -> str:
    return (
        f'<entry><observation classCode="OBS" moodCode="EVN">{id_}<value code="{value}"/>{more}'
        "</observation></entry>"
    )


def keys(*entries: str) -> list[str]:
    root = document(section(entries="".join(entries))).root
    ids = EntryIds(root)
    return [entry_key(e, ids) for e in root.iter(f"{{{V3}}}observation", f"{{{V3}}}encounter")]


def test_a_key_is_a_digest() -> None:
    (key,) = keys(observation())
    assert len(key) == 32
    assert int(key, 16) >= 0


def test_what_changes_of_one_statement_changes_no_key() -> None:
    assert keys(observation()) == keys(observation(value="73211009", more='<statusCode code="completed"/>'))


@pytest.mark.parametrize("id_", ["", '<id nullFlavor="UNK"/>', '<id extension="7"/>'])
def test_without_a_number_it_is_what_it_says(id_: str) -> None:
    (key,) = keys(observation(id_))
    assert key and key != keys(observation())[0]
    assert keys("\n " + observation(id_)) == [key]  # told again in other bytes
    assert keys(observation(id_, value="73211009")) != [key]


def test_what_has_neither_number_nor_code_has_no_key() -> None:
    assert keys("<entry><observation><statusCode code='completed'/></observation></entry>") == [""]


def test_the_first_number_that_is_one_counts() -> None:
    two = '<id nullFlavor="NI"/><id root="1.2" extension="7"/><id root="1.2" extension="8"/>'
    assert keys(observation(two)) == keys(observation())


def test_without_a_number_of_the_patient_there_is_no_key() -> None:
    root = document(section(entries=observation())).root
    for id_ in root.iter(f"{{{V3}}}id"):
        if id_.get("extension") == "H-1":
            id_.attrib.clear()
    assert [entry_key(e, EntryIds(root)) for e in root.iter(f"{{{V3}}}observation")] == [""]


@pytest.mark.parametrize(
    ("said", "known"),
    [
        ('root="1.2.3.4" extension="H-1"', True),
        ('root="6C1F6C27-9B4B-4B43-8C13-0F8F0B9A7B11"', True),
        ('root="1.2.3.4"', False),
        ('root="1.2.3.4" extension="  "', False),
        ('extension="H-1"', False),
        ('root="2.16.840.1.113883.4.1" extension="999-99-9999"', False),
        ('root="1.2.3.4" extension="H-1" nullFlavor="MSK"', False),
    ],
)
def test_only_a_number_of_one_person_is_the_patient_of_a_key(said: str, known: bool) -> None:
    text = text_of(body=section(entries=observation()))
    root = parse(text.replace("root='1.2.3.4' extension='H-1'", said).encode()).root
    (found,) = root.iter(f"{{{V3}}}observation")
    assert bool(entry_key(found, EntryIds(root))) is known


def test_one_number_on_two_things_gives_two_keys_in_any_order() -> None:
    one, other = observation(), observation(value="73211009")
    assert len(set(keys(one, other))) == 2
    assert keys(one, other) == keys(other, one)[::-1]


def test_the_same_thing_told_twice_is_one() -> None:
    words = '<text><reference value="#a"/></text>'
    assert len(set(keys(observation(), observation(more=words)))) == 1


def test_a_denied_thing_is_another_than_the_thing() -> None:
    denied = observation().replace('moodCode="EVN"', 'moodCode="EVN" negationInd="true"')
    assert len(set(keys(observation(), denied))) == 2


def test_a_root_alone_needs_the_code_too() -> None:
    root = '<id root="1.2"/>'
    assert keys(observation(root)) != keys(observation(root, "73211009"))
    assert keys(observation(root)) == keys(observation(root, more='<statusCode code="active"/>'))


def test_a_visit_that_is_only_pointed_to_is_the_visit() -> None:
    visit = '<entry><encounter moodCode="EVN"><id root="1.2" extension="7"/>{}</encounter></entry>'
    told, pointed = visit.format('<code code="99213"/>'), visit.format("")
    assert len(set(keys(told, pointed))) == 1


def allergy(entity: str, value: str = "416098002") -> bool:
    body = (
        f'<entry><observation negationInd="true"><value code="{value}"/><participant typeCode="CSM">'
        f"<participantRole><playingEntity>{entity}</playingEntity></participantRole></participant>"
        "</observation></entry>"
    )
    root = document(section('<text><content ID="a">Latex</content></text>', body)).root
    (found,) = root.iter(f"{{{V3}}}observation")
    return none_known(found, Texts(root))


@pytest.mark.parametrize(
    ("entity", "none"),
    [
        ("", True),
        ('<code nullFlavor="NA"/>', True),
        ('<code code="410942007"/>', True),
        ('<code nullFlavor="NA"/><name>NKDA</name>', True),
        ("<code nullFlavor='NA'><originalText>No known allergies</originalText></code>", True),
        ('<code code="7980"/>', False),
        ('<code nullFlavor="OTH"><translation code="7980"/></code>', False),
        ('<code nullFlavor="OTH"/><name>Latex</name>', False),
        ('<code nullFlavor="OTH"><originalText><reference value="#a"/></originalText></code>', False),
        ("<name>Nobilis nut</name>", False),
    ],
)
def test_none_is_known_only_where_nothing_is_named(entity: str, none: bool) -> None:
    assert allergy(entity) is none


def test_a_finding_of_one_thing_is_not_all() -> None:
    assert allergy("", "91935009") is False


def test_a_root_that_stands_on_all_is_told_apart_by_the_code_and_changes_keep_the_key() -> None:
    root, other = '<id root="1.2"/>', observation('<id root="1.2"/>', "73211009")
    ended = '<effectiveTime><high value="2021"/></effectiveTime>'
    before, after = keys(observation(root), other), keys(observation(root, more=ended), other)
    assert before == after and len(set(before)) == 2


def test_visits_under_one_root_stay_apart() -> None:
    visits = [f'<entry><encounter><id root="1.2"/><code code="{code}"/></encounter></entry>' for code in "12"]
    assert len(set(keys(*visits))) == 2
