"""Structured reports: the tree as it is, measurements with all that the items around them say."""

from __future__ import annotations

import io
from typing import Any

import pytest

from engine.formats.dicom.header import read_header
from engine.formats.dicom.sr import Code, Reference, measurements, read_report, walk
from engine.kernel.errors import FormatError
from tests.formats.dicom_samples import dataset, file_of, sample


def _code(value: str, scheme: str, meaning: str) -> Any:
    return dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _item(relationship: str, kind: str, name: tuple[str, str, str] | None, *items: Any, **more: Any) -> Any:
    made = dataset(RelationshipType=relationship, ValueType=kind, **more)
    if name:
        made.ConceptNameCodeSequence = [_code(*name)]
    if items:
        made.ContentSequence = list(items)
    return made


def _num(name: tuple[str, str, str], number: str, unit: str, *items: Any) -> Any:
    measured = dataset(NumericValue=number, MeasurementUnitsCodeSequence=[_code(unit, "UCUM", unit)])
    return _item("CONTAINS", "NUM", name, *items, MeasuredValueSequence=[measured])


def _coded(relationship: str, name: tuple[str, str, str], value: tuple[str, str, str], *items: Any) -> Any:
    return _item(relationship, "CODE", name, *items, ConceptCodeSequence=[_code(*value)])


_GROUP = ("125007", "DCM", "Measurement Group")
_SITE = ("363698007", "SCT", "Finding Site")
_LUNG = ("39607008", "SCT", "Lung")
_LENGTH = ("410668003", "SCT", "Length")


def _report(*items: Any, template: str = "1500") -> Any:
    made = _item("", "CONTAINER", ("126000", "DCM", "Imaging Measurement Report"), *items)
    made.update(
        {
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.88.22",
            "SOPInstanceUID": "1.2.3",
            "CompletionFlag": "COMPLETE",
            "VerificationFlag": "VERIFIED",
        }
    )
    made.ContentTemplateSequence = [dataset(MappingResource="DCMR", TemplateIdentifier=template)]
    return read_header(io.BytesIO(file_of(made)))


def _tid1500() -> Any:
    image = dataset(
        ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2",
        ReferencedSOPInstanceUID="1.2.9",
        ReferencedFrameNumber=[1, 2],
    )
    laterality = _coded("HAS CONCEPT MOD", ("272741003", "SCT", "Laterality"), ("24028007", "SCT", "Right"))
    group = _item(
        "CONTAINS",
        "CONTAINER",
        _GROUP,
        _item("HAS OBS CONTEXT", "TEXT", ("112039", "DCM", "Tracking Identifier"), TextValue="Lesion 1"),
        _item("HAS OBS CONTEXT", "UIDREF", ("112040", "DCM", "Tracking UID"), UID="1.2.77"),
        _coded("CONTAINS", ("121071", "DCM", "Finding"), ("108369006", "SCT", "Neoplasm")),
        _coded("HAS CONCEPT MOD", _SITE, _LUNG, laterality),
        _item(
            "CONTAINS",
            "SCOORD",
            None,
            _item("SELECTED FROM", "IMAGE", None, ReferencedSOPSequence=[image]),
            GraphicType="POLYLINE",
        ),
        _num(
            _LENGTH,
            "12.50",
            "mm",
            _coded("HAS CONCEPT MOD", ("121401", "DCM", "Derivation"), ("56851009", "SCT", "Maximum")),
        ),
        _num(
            ("118565006", "SCT", "Volume"),
            "3",
            "cm3",
            _coded("HAS CONCEPT MOD", _SITE, ("44567001", "SCT", "Trachea")),
        ),
    )
    other = _item("CONTAINS", "CONTAINER", _GROUP, _num(_LENGTH, "7", "mm"))
    return _report(_item("CONTAINS", "CONTAINER", ("126010", "DCM", "Imaging Measurements"), group, other))


def test_measurements_of_tid_1500() -> None:
    report = read_report(_tid1500())
    assert report.template == "1500"
    assert (report.completion, report.verification, report.problems) == ("COMPLETE", "VERIFIED", ())
    length, volume, other = measurements(report)
    assert (length.number, length.unit) == ("12.50", Code("mm", "UCUM", "mm"))
    assert length.name.key == ("410668003", "SCT")
    assert (length.tracking, length.tracking_uid) == ("Lesion 1", "1.2.77")
    assert length.finding and length.finding.meaning == "Neoplasm"
    assert length.site and length.site.meaning == "Lung"
    assert length.laterality and length.laterality.meaning == "Right"
    assert length.derivation and length.derivation.meaning == "Maximum"
    assert length.images == (Reference("1.2.840.10008.5.1.4.1.1.2", "1.2.9", ("1", "2")),)
    assert length.in_group and length.group == "1.1.1" and length.item.place == "1.1.1.6"
    # its own site goes before the group's; its neighbour's derivation is not its own
    assert volume.site and volume.site.meaning == "Trachea"
    assert volume.derivation is None
    # what one group says is not said of the next
    assert (other.tracking, other.finding, other.site, other.images) == ("", None, None, ())


def test_measurements_of_ultrasound_containers() -> None:
    fetus = _item(
        "CONTAINS",
        "CONTAINER",
        ("125002", "DCM", "Fetal Biometry"),
        _coded("HAS OBS CONTEXT", ("121024", "DCM", "Subject Class"), ("121026", "DCM", "Fetus")),
        _item(
            "CONTAINS",
            "CONTAINER",
            ("125005", "DCM", "Biometry Group"),
            _num(("11820-8", "LN", "Biparietal Diameter"), "5.1", "cm"),
        ),
    )
    heart = _item(
        "CONTAINS",
        "CONTAINER",
        ("121070", "DCM", "Findings"),
        _coded("HAS CONCEPT MOD", ("G-C0E3", "SRT", "Finding Site"), ("T-32600", "SRT", "Left Ventricle")),
        _num(("18043-0", "LN", "LV Ejection Fraction"), "55", "%"),
    )
    diameter, fraction = measurements(read_report(_report(fetus, heart, template="5000")))
    assert [g.meaning for g in diameter.groups][1:] == ["Fetal Biometry", "Biometry Group"]
    assert diameter.subject and diameter.subject.meaning == "Fetus"
    assert not diameter.in_group
    assert fraction.subject is None
    assert fraction.site and fraction.site.value == "T-32600"


def test_a_number_that_is_none_says_why() -> None:
    qualified = _item("CONTAINS", "NUM", _LENGTH)
    qualified.MeasuredValueSequence = []
    qualified.NumericValueQualifierCodeSequence = [_code("114006", "DCM", "Measurement failure")]
    (missing,) = measurements(read_report(_report(qualified)))
    assert (missing.number, missing.unit) == ("", None)
    assert missing.item.qualifier and missing.item.qualifier.meaning == "Measurement failure"


def test_what_cannot_be_read_is_told_by_its_place() -> None:
    bad = _num(_LENGTH, "1", "mm")
    bad.MeasuredValueSequence[0].NumericValue = ["1", "2"]
    report = read_report(
        _report(bad, dataset(ConceptNameCodeSequence=[_code("1", "99X", "?")]), _num(_LENGTH, "2", "mm"))
    )
    assert report.problems == ("item 1.1: NumericValue is not one number", "item 1.2: no value type")
    assert [m.number for m in measurements(report)] == ["", "2"]


def test_long_codes_references_and_people() -> None:
    long_code = dataset(LongCodeValue="x" * 20, CodingSchemeDesignator="99X", CodeMeaning="Long")
    pointing = dataset(RelationshipType="INFERRED FROM", ReferencedContentItemIdentifier=[1, 1])
    named = dataset(
        RelationshipType="CONTAINS",
        ValueType="PNAME",
        PersonName="Doe^Jane",
        ConceptNameCodeSequence=[long_code],
    )
    root = read_report(_report(named, pointing)).root
    assert [i.place for i in walk(root)] == ["1", "1.1", "1.2"]
    assert root.items[0].text == "Doe^Jane"
    assert root.items[0].name == Code("x" * 20, "99X", "Long")
    assert root.items[1].by_reference == "1.1"


def test_reports_of_pydicom() -> None:
    report = read_report(read_header(io.BytesIO(sample("test-SR.dcm"))))
    assert [(m.name.meaning, m.number, m.unit and m.unit.value) for m in measurements(report)] == [
        ("Diameter", "3", "cm")
    ] * 2
    assert report.problems == ()


def test_what_is_no_report_is_refused() -> None:
    with pytest.raises(FormatError, match="no structured report"):
        read_report(read_header(io.BytesIO(sample("CT_small.dcm"))))


def test_a_tree_that_is_too_deep_is_refused() -> None:
    made = _num(_LENGTH, "1", "mm")
    for _ in range(60):
        made = _item("CONTAINS", "CONTAINER", None, made)
    with pytest.raises(FormatError):
        read_report(_item("", "CONTAINER", ("1", "99X", "Deep"), made))
