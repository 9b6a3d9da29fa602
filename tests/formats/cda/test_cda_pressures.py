"""Which two pressures of a panel belong together."""

from __future__ import annotations

from cda_samples import element

from engine.formats.cda.pressures import oxygen, pressures

LOINC = 'codeSystem="2.16.840.1.113883.6.1"'


def one(code: str, inner: str = "", mood: str = "EVN", value: str = '<value value="120"/>') -> str:
    return (
        f'<component><observation moodCode="{mood}"><code code="{code}" {LOINC}/>'
        f'<statusCode code="completed"/><effectiveTime value="20260310"/>{inner}{value}'
        "</observation></component>"
    )


def pair(*inside: str) -> bool:
    return pressures(element(f"<organizer>{''.join(inside)}</organizer>")) is not None


def test_one_of_each_at_one_time() -> None:
    assert pair(one("8480-6"), one("8867-4"), one("8462-4"))


def test_the_systolic_comes_first_whatever_the_order() -> None:
    found = pressures(element(f"<organizer>{one('8462-4')}{one('8480-6')}</organizer>"))
    assert found is not None
    assert [e.find("{*}code").get("code") for e in found] == ["8480-6", "8462-4"]


def test_not_without_the_other_nor_with_two() -> None:
    assert not pair(one("8480-6"))
    assert not pair(one("8480-6"), one("8462-4"), one("8462-4"))


def test_not_where_they_say_different_things() -> None:
    arm = '<targetSiteCode code="{}" codeSystem="2.16.840.1.113883.6.96"/>'
    assert pair(one("8480-6", arm.format("368208006")), one("8462-4", arm.format("368208006")))
    assert not pair(one("8480-6", arm.format("368208006")), one("8462-4", arm.format("368209003")))
    assert not pair(one("8480-6"), one("8462-4").replace("20260310", "20260311"))


def test_not_what_was_not_found() -> None:
    assert not pair(one("8480-6"), one("8462-4", mood="GOL"))
    assert not pair(one("8480-6"), one("8462-4", value='<value nullFlavor="NI"/>'))
    assert not pair(one("8480-6"), one("8462-4", value='<value value="&lt;90"/>'))
    denied = one("8462-4").replace("<observation", '<observation negationInd="true"')
    assert not pair(one("8480-6"), denied)


def test_not_where_more_is_said_inside() -> None:
    more = '<entryRelationship typeCode="SUBJ"><act/></entryRelationship>'
    assert not pair(one("8480-6"), one("8462-4", more))


def breathed(*inside: str) -> int:
    found = oxygen(element(f"<organizer>{''.join(inside)}</organizer>"))
    return len(found[1]) if found else 0


def test_oxygen_belongs_to_its_saturation() -> None:
    assert breathed(one("59408-5"), one("3150-0"), one("3151-8")) == 2
    assert breathed(one("2708-6"), one("3151-8")) == 1
    assert breathed(one("2708-6")) == 0
    assert breathed(one("2708-6"), one("59408-5"), one("3151-8")) == 0
    assert breathed(one("2708-6"), one("3151-8"), one("3151-8")) == 0
    assert breathed(one("2708-6"), one("3151-8").replace("20260310", "20260311")) == 0


def test_oxygen_that_another_measured_stays_apart() -> None:
    author = '<author><assignedAuthor><id root="1.2" extension="{}"/></assignedAuthor></author>'
    assert breathed(one("2708-6", author.format(1)), one("3151-8", author.format(1))) == 1
    assert breathed(one("2708-6", author.format(1)), one("3151-8", author.format(2))) == 0
