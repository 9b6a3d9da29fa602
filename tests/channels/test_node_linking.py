"""What a study belongs to: by which key, whose it is not, and what is to be looked at again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from imaging_orders import Ward
from pydicom.dataset import Dataset

from engine.channels.node.likeness import contradiction
from engine.channels.node.linking import affected, link
from engine.kernel.imaging import Linked
from engine.listeners.dicom_settings import Issuers
from engine.mapping.project import Maps

NEW = "orders/orm_o01_imaging_new_v2.4"
TWO = "orders/orm_o01_imaging_two_steps_v2.3.1"
PETCT = "orders/omi_o23_two_steps_v2.5.1"
NORTH = "urn:oid:2.16.840.1.113883.19.4.7"
SITE = Issuers(patient=NORTH)


@pytest.fixture(scope="module")
def maps() -> Maps:
    return Maps.open(Path(__file__).parents[2])


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    ward = Ward(tmp_path / "hub")
    ward.take(NEW)
    return ward


def study(**more: Any) -> Dataset:
    """Images of the order of the sample, without anything but the patient to know it by."""
    dataset = Dataset()
    said = {
        "StudyInstanceUID": "1.2.3",
        "PatientID": "5500417",
        "PatientName": "OKAFOR^ADA",
        "PatientBirthDate": "19850614",
        "PatientSex": "F",
    }
    for keyword, value in (said | more).items():
        setattr(dataset, keyword, value)
    return dataset


def issuer(local: str = "", entity: str = "", kind: str = "ISO") -> list[Dataset]:
    item = Dataset()
    if local:
        item.LocalNamespaceEntityID = local
    if entity:
        item.UniversalEntityID, item.UniversalEntityIDType = entity, kind
    return [item]


def found(ward: Ward, maps: Maps, dataset: Dataset, issuers: Issuers = SITE, **more: Any) -> Linked:
    return link(ward.store, dataset, issuers, maps.program().sender(""), **more)


def uid_of(ward: Ward) -> str:
    (order,) = ward.all("ServiceRequest")
    (uid,) = [i["value"] for i in order["identifier"] if i.get("system") == "urn:dicom:uid"]
    return str(uid).removeprefix("urn:oid:")


def test_by_the_uid_that_the_worklist_gave(ward: Ward, maps: Maps) -> None:
    said = found(ward, maps, study(StudyInstanceUID=uid_of(ward)))
    (order,), (patient,) = ward.all("ServiceRequest"), ward.all("Patient")
    assert (said.state, said.by) == ("linked", "study-uid")
    assert said.patient == (NORTH, "5500417") and said.patient_id == patient["id"]
    assert said.order == ("urn:dicom:uid", f"urn:oid:{uid_of(ward)}") and said.order_id == order["id"]
    assert said.encounter_id and said.encounter_id in order["encounter"]["reference"]


def test_by_accession_number(ward: Ward, maps: Maps) -> None:
    assert found(ward, maps, study(AccessionNumber="AC7200")).by == "accession"
    assert found(ward, maps, study(AccessionNumber="P7200")).by == "patient"  # another kind of number


def test_an_accession_number_of_another_issuer_is_another(ward: Ward, maps: Maps) -> None:
    other = study(AccessionNumber="AC7200", IssuerOfAccessionNumberSequence=issuer("SOUTH"))
    assert found(ward, maps, other).by == "patient"
    configured = Issuers(patient=NORTH, accession="urn:oid:2.999.5")
    assert found(ward, maps, study(AccessionNumber="AC7200"), configured).by == "patient"


def test_by_an_issuer_that_nobody_has_explained(ward: Ward, maps: Maps) -> None:
    ward.take(PETCT)
    named = study(AccessionNumber="AC7300", IssuerOfAccessionNumberSequence=issuer("RIS"))
    assert found(ward, maps, named).by == "accession"
    assert found(ward, maps, study(AccessionNumber="AC7300")).by == "patient"  # nobody said whose it is
    assert (
        found(ward, maps, study(AccessionNumber="AC7300"), Issuers(patient=NORTH, accession="RIS")).by
        == "accession"
    )


def test_by_requested_procedure(ward: Ward, maps: Maps) -> None:
    asked = Dataset()
    asked.RequestedProcedureID = "RP7200"
    assert found(ward, maps, study(RequestAttributesSequence=[asked])).by == "requested-procedure"
    step = Dataset()
    item = Dataset()
    item.RequestedProcedureID, item.StudyInstanceUID = "", uid_of(ward)
    step.ScheduledStepAttributesSequence = [item]
    assert found(ward, maps, study(), steps=[step]).by == "requested-procedure"


def test_a_procedure_number_alone_links_to_nobody(ward: Ward, maps: Maps) -> None:
    asked = Dataset()
    asked.RequestedProcedureID = "RP7200"
    alone = study(RequestAttributesSequence=[asked], PatientID="", PatientName="")
    assert found(ward, maps, alone) == Linked("unmatched", "no-order")


def test_by_patient_and_issuer_never_by_number_alone(ward: Ward, maps: Maps) -> None:
    said = found(ward, maps, study())
    assert (said.state, said.by, said.order) == ("linked", "patient", None)
    assert found(ward, maps, study(), Issuers()) == Linked("unmatched", "no-order")
    assert found(ward, maps, study(IssuerOfPatientID="SOUTH")) == Linked("unmatched", "no-patient", "patient")
    assert found(ward, maps, study(PatientID="1")) == Linked("unmatched", "no-patient", "patient")
    whole = study(IssuerOfPatientIDQualifiersSequence=issuer("X", "2.16.840.1.113883.19.4.7"))
    assert found(ward, maps, whole, Issuers()).state == "linked"


@pytest.mark.parametrize(
    ("keyword", "value", "reason"),
    [
        ("PatientName", "SMITH^ADA", "name-differs"),
        ("PatientName", "OKAFOR^BEN", "name-differs"),
        ("PatientBirthDate", "19850615", "birth-date-differs"),
        ("PatientSex", "M", "sex-differs"),
    ],
)
@pytest.mark.parametrize("key", ["study-uid", "accession", "patient"])
def test_another_person_is_attached_to_nobody(
    ward: Ward, maps: Maps, key: str, keyword: str, value: str, reason: str
) -> None:
    more = {"study-uid": {"StudyInstanceUID": uid_of(ward)}, "accession": {"AccessionNumber": "AC7200"}}.get(
        key, {}
    )
    said = found(ward, maps, study(**more, **{keyword: value}))
    assert (said.state, said.reason, said.by) == ("mismatch", reason, key)
    assert said.patient is None and said.order is None


def test_another_patient_id_than_the_orders(ward: Ward, maps: Maps) -> None:
    said = found(ward, maps, study(AccessionNumber="AC7200", PatientID="5500418"))
    assert (said.state, said.reason) == ("mismatch", "patient-id-differs")
    said = found(ward, maps, study(AccessionNumber="AC7200", PatientID="5500418"), Issuers())
    assert (said.state, said.reason) == ("mismatch", "patient-id-differs")


def test_an_order_is_enough_where_the_study_has_no_patient_id(ward: Ward, maps: Maps) -> None:
    said = found(
        ward, maps, study(AccessionNumber="AC7200", PatientID="", PatientName="", PatientBirthDate="")
    )
    assert (said.state, said.by) == ("linked", "accession")


def test_a_number_without_issuer_agrees_with_the_orders_patient(ward: Ward, maps: Maps) -> None:
    assert found(ward, maps, study(AccessionNumber="AC7200"), Issuers()).by == "accession"


def test_several_orders_are_none(ward: Ward, maps: Maps) -> None:
    other = {"|P7200^EHR|": "|P7201^EHR|", "|RP7200|": "|RP7201|", "20260504100000": "20260505100000"}
    ward.take(NEW, other)
    said = found(ward, maps, study(AccessionNumber="AC7200"))
    assert said == Linked("unmatched", "several-orders", "accession")


def test_steps_of_one_procedure_are_one_order(ward: Ward, maps: Maps) -> None:
    later = "20260503090000-0500^^R||20260502101500-0500"
    ward.take(
        TWO, {f"R7102^RIS||||^^^{later}": "R7102^RIS||||^^^20260503093000-0500^^R||20260502101500-0500"}
    )
    assert len([o for o in ward.all("ServiceRequest") if "P7100" in str(o)]) == 2
    said = found(ward, maps, study(StudyInstanceUID="1.2.840.99999.7100"))
    assert (said.state, said.by) == ("linked", "study-uid")


def test_a_merge_is_followed(ward: Ward, maps: Maps) -> None:
    ward.say(
        "MSH|^~\\&|ADT|NORTH|HUB|CDR|20260502150000-0500||ADT^A40^ADT_A39|M1|P|2.5.1\r"
        "EVN|A40|20260502150000-0500\r"
        f"PID|1||9900001^^^NORTH&{NORTH[8:]}&ISO^MR||OKAFOR^ADA||19850614|F\r"
        f"MRG|5500417^^^NORTH&{NORTH[8:]}&ISO^MR\r",
        "adt",
    )
    survivor = ward.store.read("Patient", ward.store.identify("Patient", NORTH, "9900001"))
    assert survivor is not None
    for number in ("5500417", "9900001"):
        for more in ({}, {"AccessionNumber": "AC7200"}):
            said = found(ward, maps, study(PatientID=number, **more))
            assert (said.state, said.patient_id, said.patient) == (
                "linked",
                survivor["id"],
                (NORTH, "9900001"),
            )


def test_by_hand_before_every_rule(ward: Ward, maps: Maps) -> None:
    (order,), (patient,) = ward.all("ServiceRequest"), ward.all("Patient")
    odd = study(PatientName="SOMEBODY^ELSE", PatientID="X")
    said = found(ward, maps, odd, bound=(patient["id"], order["id"], "ann", "looked at the images"))
    assert (said.state, said.by, said.order_id) == ("linked", "hand", order["id"])
    assert found(ward, maps, odd, bound=("", order["id"], "ann", "")).patient_id == patient["id"]
    assert found(ward, maps, odd, bound=(patient["id"], "", "ann", "")).order is None
    assert found(ward, maps, odd, bound=("gone", "", "ann", "")).reason == "bound-to-nobody"


@pytest.mark.parametrize(
    ("said", "family", "given", "same"),
    [
        ("MÜLLER^JÜRGEN", "Müller", "Jürgen", True),
        ("MUELLER^JUERGEN", "Müller", "Jürgen", True),
        ("MULLER^JURGEN", "Müller", "Jürgen", True),
        ("O'NEIL^ANN MARIE", "ONeil", "Ann", True),
        ("SMITH-JONES^A", "Smith Jones", "Alice", True),
        ("DOE JR^JOHN^Q^^JR", "Doe", "John", True),
        ("DOE^", "Doe", "John", True),
        ("DOE", "Doe", "John", True),
        ("", "Doe", "John", True),
        ("DOE^JOHN=山田^太郎", "Doe", "John", True),
        ("=山田^太郎", "Doe", "John", True),  # in another script: not comparable
        ("山田^太郎", "山田", "太郎", True),
        ("山田^太郎", "鈴木", "太郎", False),
        ("DOE^JANE", "Doe", "John", False),
        ("JOHN^DOE", "Doe", "John", False),
        ("DOES^JOHN", "Doe", "John", False),
    ],
)
def test_names(said: str, family: str, given: str, same: bool) -> None:
    patient = {"name": [{"family": family, "given": [given]}]}
    assert contradiction(study(PatientName=said, PatientBirthDate="", PatientSex=""), patient) == (
        "" if same else "name-differs"
    )


def test_a_former_name_is_a_name() -> None:
    patient = {
        "name": [{"family": "Roe", "given": ["Ada"]}, {"family": "Okafor", "given": ["Ada"], "use": "maiden"}]
    }
    assert contradiction(study(), patient) == ""


def test_a_birth_date_that_is_half_known() -> None:
    assert contradiction(study(), {"birthDate": "1985-06"}) == ""
    assert contradiction(study(), {"birthDate": "1984"}) == "birth-date-differs"


def test_what_is_looked_at_again(ward: Ward) -> None:
    held = {
        ("accession", "AC7200"): ["1.1"],
        ("procedure", "RP7200"): ["1.2"],
        ("patient", "5500417"): ["1.3"],
    }

    def by_key(kind: str, value: str) -> list[str]:
        return held.get((kind, value), [])

    changes = ward.store.feed(0, 1000)
    assert set(affected(ward.store, changes, by_key)) == {"1.1", "1.2", "1.3", uid_of(ward)}
    head = ward.store.head()
    ward.take("lab/orm_new")
    assert "1.1" not in affected(ward.store, ward.store.feed(head, 1000), by_key)


@pytest.mark.parametrize("tag", [0x00400275, 0x00100024, 0x00080051, 0x00100020])
def test_an_attribute_of_the_wrong_kind_says_nothing(ward: Ward, maps: Maps, tag: int) -> None:
    from pydicom.sequence import Sequence

    odd, plain = study(AccessionNumber="AC7200"), study(AccessionNumber="AC7200")
    for one in (odd, plain):
        if tag in one:
            del one[tag]
    odd.add_new(tag, *(("SQ", Sequence([Dataset()])) if tag == 0x00100020 else ("LO", "X")))
    assert found(ward, maps, odd) == found(ward, maps, plain)


def test_what_the_object_says_of_its_issuer_goes_before_what_the_node_is_told(ward: Ward, maps: Maps) -> None:
    south = study(IssuerOfPatientIDQualifiersSequence=issuer(local="SOUTH"))
    said = found(ward, maps, south, Issuers(patient="NORTH"))
    assert said.patient is None and said.patient_id == ""
