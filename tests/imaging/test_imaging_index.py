"""The index: each object once, found by what was asked, nothing of two patients mixed, nothing readable."""

from __future__ import annotations

from pathlib import Path

import pytest
from imaging_samples import CT, CT01, EXPLICIT, new, query, uid
from pydicom.dataset import Dataset

from engine.imaging.index import SqlIndex
from engine.imaging.searching import TooBroad
from engine.kernel.errors import ConfigError, FormatError
from engine.kernel.imaging import Linked, Peer, Step
from engine.security.keys import Keyring

LINKED = Linked("linked", by="accession", patient=("urn:north", "P1"), patient_id="p-1", order_id="o-1")
UNMATCHED = Linked("unmatched", "no-order")


def found(
    index: SqlIndex, level: str = "STUDY", limit: int = 0, offset: int = 0, **keys: object
) -> list[str]:
    keyword = {"PATIENT": "PatientID", "STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID"}.get(
        level, "SOPInstanceUID"
    )
    return [str(d[keyword].value) for d in index.search(level, query(**keys), limit, offset)]


def test_an_object_is_looked_up_with_all_that_is_kept_of_it(index: SqlIndex) -> None:
    (added,) = index.add([new(7, 1, 2, 3, at=5000)])
    assert (added.what, added.study) == ("new", uid(1))
    held = index.look(uid(1, 2, 3))
    assert held is not None
    assert (held.study, held.series, held.sop_instance) == (uid(1), uid(1, 2), uid(1, 2, 3))
    assert (held.sop_class, held.transfer_syntax) == (CT, EXPLICIT)
    assert (held.address, held.size, held.entry, held.received) == (
        new(7, 1, 2, 3).stored.address,
        1003,
        7,
        5000,
    )
    assert held.dataset.PatientName == "MUSTER^PERSON1"
    assert (held.dataset.Modality, held.dataset.InstanceNumber) == ("CT", 3)
    assert index.look(uid(1, 2, 4)) is None


def test_the_same_entry_and_the_same_bytes_change_nothing(index: SqlIndex) -> None:
    index.add([new(1), new(2, number=2)])
    before = index.study(uid(1))
    again = index.add([new(1), new(9), new(2, number=2)])
    assert [a.what for a in again] == ["same", "same", "same"]
    assert index.study(uid(1)) == before
    assert index.counts()["instances"] == 2


def test_one_batch_may_bring_one_object_twice(index: SqlIndex) -> None:
    said = index.add([new(1), new(2), new(3, address="ff" * 16)])
    assert [a.what for a in said] == ["new", "same", "other"]
    assert index.counts()["instances"] == 1


def test_other_bytes_are_written_down_and_never_served(index: SqlIndex) -> None:
    index.add([new(1)])
    (added,) = index.add([new(2, address="ff" * 16)])
    assert added.what == "other"
    held = index.look(uid(1, 1, 1))
    assert held is not None and held.entry == 1
    assert index.others() == [(2, "ff" * 16, uid(1))]
    assert index.add([new(2, address="ff" * 16)])[0].what == "other"
    assert len(index.others()) == 1
    assert index.retention.used(["ff" * 16, "ee" * 16]) == {"ff" * 16}


def test_other_bytes_put_the_study_on_the_list_and_leave_it_where_it_belongs(index: SqlIndex) -> None:
    index.add([new(1), new(2, study=2)])
    for study in (1, 2):
        index.tell(uid(study), 1, 5, Linked("linked"))
    index.add([new(3, address="ff" * 16, StudyInstanceUID=uid(2))])  # it names another study than is held
    (waiting,) = index.reconcile()
    assert (waiting.uid, waiting.link, waiting.reason) == (uid(1), "linked", "other-bytes")
    assert waiting.told == waiting.version
    assert index.disputed([uid(1, 1, 1), uid(2, 1, 1), "1.2"]) == {uid(1, 1, 1)}
    assert (
        [one[0] for one in index.others(study=uid(1))]
        == [3]
        == [one[0] for one in index.others(study=uid(2))]
    )
    assert index.others(study=uid(3)) == []


def test_what_says_two_patients_outweighs_other_bytes(index: SqlIndex) -> None:
    index.add([new(1), new(2, address="ff" * 16)])
    index.add([new(3, study=2, SeriesInstanceUID=uid(1, 1))])
    marked = index.study(uid(1))
    assert marked is not None and (marked.link, marked.reason) == ("mismatch", "series-in-two-studies")
    index.add([new(4, address="ee" * 16), new(5, number=2, PatientID="P9")])
    marked = index.study(uid(1))
    assert marked is not None and marked.reason == "patient-differs-inside-study"


def test_an_object_without_its_uids_stops_its_batch_and_nothing_is_written(index: SqlIndex) -> None:
    with pytest.raises(FormatError):
        index.add([new(1), new(2, number=2, StudyInstanceUID=None)])
    assert index.counts()["instances"] == 0


def test_a_study_counts_and_fills_in_what_was_empty(index: SqlIndex) -> None:
    index.add([new(1, StudyDescription=None, at=10), new(2, number=2, at=30)])
    index.add([new(3, series=2, Modality="SR", SOPClassUID="1.2.3", at=20)])
    study = index.study(uid(1))
    assert study is not None
    assert (study.series, study.instances, study.changed, study.channel) == (2, 3, 30, "imaging")
    assert study.dataset.StudyDescription == "CT THORAX"
    assert list(study.dataset.ModalitiesInStudy) == ["CT", "SR"]
    assert list(study.dataset.SOPClassesInStudy) == [CT, "1.2.3"]
    assert (study.dataset.NumberOfStudyRelatedSeries, study.dataset.NumberOfStudyRelatedInstances) == (2, 3)
    assert index.study(uid(2)) is None


@pytest.mark.parametrize(
    "said",
    [
        {"PatientID": "P9"},
        {"IssuerOfPatientID": "SOUTH"},
        {"PatientBirthDate": "19600102"},
        {"PatientName": "ANDER^PERSON"},
    ],
)
def test_a_second_patient_inside_a_study_is_marked_and_never_mixed_in(
    index: SqlIndex, said: dict[str, str]
) -> None:
    index.add([new(1, StudyDescription=None)])
    index.add([new(2, number=2, **said)])
    study = index.study(uid(1))
    assert study is not None
    assert (study.link, study.reason) == ("mismatch", "patient-differs-inside-study")
    assert study.instances == 2
    assert (study.dataset.PatientID, study.dataset.PatientName) == ("P1", "MUSTER^PERSON1")
    assert "StudyDescription" not in study.dataset  # nothing is filled in from another's object
    index.tell(uid(1), study.version, 50, LINKED)
    assert [s.reason for s in index.reconcile()] == ["patient-differs-inside-study"]
    index.bind(uid(1), "p-1", "", "anna", "called the ward", 99)
    bound = index.study(uid(1))
    assert bound is not None and (bound.link, bound.bound_by) == ("linked", "anna")
    assert index.reconcile() == []


@pytest.mark.parametrize(
    "said",
    [{"PatientName": "Muster^Person1^^"}, {"PatientBirthDate": None}, {"PatientName": "Müster^Person1"}],
)
def test_the_same_patient_written_otherwise_is_the_same(index: SqlIndex, said: dict[str, str]) -> None:
    index.add([new(1), new(2, number=2, **said)])
    study = index.study(uid(1))
    assert study is not None and study.link == "" and study.reason == ""


def test_a_series_that_two_studies_claim_marks_both(index: SqlIndex) -> None:
    index.add([new(1)])
    index.add([new(2, study=2, SeriesInstanceUID=uid(1, 1))])
    for number in (1, 2):
        study = index.study(uid(number))
        assert study is not None and (study.link, study.reason) == ("mismatch", "series-in-two-studies")
        assert study.instances == 1
    assert [i.study for i in index.instances(series=uid(1, 1))] == [uid(1), uid(2)]


def test_instances_come_in_the_order_of_their_numbers(index: SqlIndex) -> None:
    index.add(
        [new(n, series=s, number=i) for n, (s, i) in enumerate([(2, 1), (1, 3), (1, 1), (10, 1), (1, 20)], 1)]
    )
    names = [(1, 1), (1, 3), (1, 20), (2, 1), (10, 1)]
    assert [i.sop_instance for i in index.instances(study=uid(1))] == [uid(1, *n) for n in names]
    assert [i.sop_instance for i in index.instances(study=uid(1), series=uid(1, 2))] == [uid(1, 2, 1)]
    some = index.instances(sop=(uid(1, 10, 1), uid(1, 1, 3), uid(9)))
    assert [i.sop_instance for i in some] == [uid(1, 1, 3), uid(1, 10, 1)]
    assert index.instances(study=uid(2), sop=(uid(1, 1, 3),)) == []
    assert index.instances() == []
    assert [len(i.dataset) for i in index.instances(study=uid(1), attributes=False)] == [0] * 5


def test_a_tree_has_each_level_by_itself(index: SqlIndex) -> None:
    index.add([new(1), new(2, number=2), new(3, series=2, Modality="SR")])
    tree = index.tree(uid(1))
    assert tree is not None
    assert [(str(s.Modality), len(held)) for s, held in tree.series] == [("CT", 2), ("SR", 1)]
    assert tree.series[0][0].NumberOfSeriesRelatedInstances == 2
    first = tree.series[0][1][0]
    assert "PatientName" not in first.dataset and "PatientName" not in tree.series[0][0]
    assert first.dataset.SOPInstanceUID == uid(1, 1, 1) and first.series == uid(1, 1)
    assert index.tree(uid(2)) is None


def test_studies_are_found_by_every_key(index: SqlIndex) -> None:
    index.add(
        [
            new(1, 1, PatientName="Müller^Jürgen", StudyDate="20260101"),
            new(2, 2, PatientName="MULLIGAN^EVA", StudyDate="20260201"),
            new(3, 3, PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう", StudyDate="20260301"),
            new(4, 4, PatientName="O'BRIEN^A", StudyDate=None, Modality="MR"),
        ]
    )
    assert found(index) == [uid(3), uid(2), uid(1), uid(4)]  # newest first
    for number in (1, 2, 3, 4):
        assert found(index, StudyInstanceUID=uid(number)) == [uid(number)]
        assert found(index, PatientID=f"P{number}") == [uid(number)]
        assert found(index, AccessionNumber=f"A{number}") == [uid(number)]
        assert found(index, StudyID=f"S{number}") == [uid(number)]
    assert found(index, StudyInstanceUID=[uid(1), uid(4), uid(9)]) == [uid(1), uid(4)]
    assert found(index, PatientID="P?") == [uid(3), uid(2), uid(1), uid(4)]
    assert found(index, PatientID="p1") == found(index, PatientID="P1 1") == []
    assert found(index, PatientName="MULL*") == [uid(2)]
    assert found(index, PatientName="müll*") == [uid(1)]
    assert found(index, PatientName="*LL*") == [uid(2), uid(1)]
    assert found(index, PatientName="Yamada^*") == found(index, PatientName="山田*") == [uid(3)]
    assert found(index, PatientName="O'B*") == found(index, PatientName="o'brien^a") == [uid(4)]
    assert found(index, StudyDate="20260201") == [uid(2)]
    assert found(index, StudyDate="20260115-20260301") == [uid(3), uid(2)]
    assert found(index, StudyDate="-20260131") == [uid(1)]
    assert found(index, StudyDate="20260202-") == [uid(3)]
    assert found(index, ModalitiesInStudy="MR") == [uid(4)]
    assert found(index, PatientName="M*", StudyDate="20260201") == [uid(2)]


def test_what_is_related_is_filled_in_at_every_level(index: SqlIndex) -> None:
    index.add([new(1), new(2, number=2), new(3, series=2), new(4, 2, PatientID="P1", AccessionNumber="X")])
    (patient,) = index.search("PATIENT", query(PatientID="P1"))
    assert patient.NumberOfPatientRelatedStudies == 2
    assert patient.NumberOfPatientRelatedSeries == 3
    assert patient.NumberOfPatientRelatedInstances == 4
    assert "StudyInstanceUID" not in patient
    (series,) = index.search("SERIES", query(StudyInstanceUID=uid(1), SeriesInstanceUID=uid(1, 1)))
    assert series.NumberOfSeriesRelatedInstances == 2 and series.PatientID == "P1"
    assert found(index, "SERIES", StudyInstanceUID=uid(1)) == [uid(1, 1), uid(1, 2)]
    assert found(index, "SERIES", AccessionNumber="X") == [uid(2, 1)]
    assert found(index, "IMAGE", SeriesInstanceUID=uid(1, 1)) == [uid(1, 1, 1), uid(1, 1, 2)]
    assert found(index, "IMAGE", SeriesInstanceUID=uid(1, 1), InstanceNumber="2") == [uid(1, 1, 2)]
    assert found(index, "IMAGE", SOPInstanceUID=[uid(1, 2, 1)]) == [uid(1, 2, 1)]
    with pytest.raises(FormatError):
        found(index, "FRAME")


def test_patients_without_a_number_are_not_taken_for_one(index: SqlIndex) -> None:
    index.add(
        [new(1, 1, PatientID=None, IssuerOfPatientID=None), new(2, 2, PatientID="", IssuerOfPatientID=None)]
    )
    names = sorted(str(p.PatientName) for p in index.search("PATIENT", query(PatientName="")))
    assert names == ["MUSTER^PERSON1", "MUSTER^PERSON2"]


def test_pages_follow_one_another_and_a_broad_query_says_so(index: SqlIndex) -> None:
    index.add([new(n, n, StudyDate=f"2026{n // 28 + 1:02}{n % 28 + 1:02}") for n in range(1, 251)])
    whole = found(index, PatientName="MUSTER*")
    assert whole == [uid(n) for n in range(250, 0, -1)]
    assert [
        u for at in range(0, 250, 60) for u in found(index, limit=60, offset=at, PatientName="MUSTER*")
    ] == whole
    broad = index.search("STUDY", query(PatientName="*PERSON*"), most=120)
    seen = []
    with pytest.raises(TooBroad):
        for one in broad:
            seen.append(str(one.StudyInstanceUID))
    assert seen == whole[:120]
    assert len(list(index.search("STUDY", query(), limit=100, most=120))) == 100


def test_keys_lead_to_studies(index: SqlIndex) -> None:
    request = Dataset()
    request.RequestedProcedureID, request.AccessionNumber = "RP7", "A77"
    index.add([new(1, RequestAttributesSequence=[request]), new(2, 2, PatientID="P1")])
    assert index.by_key("accession", "A1") == [uid(1)]
    assert index.by_key("accession", "A77") == [uid(1)]
    assert index.by_key("procedure", "RP7") == [uid(1)]
    assert index.by_key("patient", "P1") == [uid(1), uid(2)]
    assert index.by_key("patient", "P2") == []


def test_a_study_is_told_until_its_newest_state_was(index: SqlIndex) -> None:
    index.add([new(1, at=100), new(2, 2, at=50)])
    assert index.untold(49, 10) == []
    assert [s.uid for s in index.untold(100, 10)] == [uid(2), uid(1)]
    assert [s.uid for s in index.untold(100, 1)] == [uid(2)]
    first = index.study(uid(1))
    assert first is not None
    index.add([new(3, number=2, at=120)])  # while it is told
    index.tell(uid(1), first.version, 9, UNMATCHED)
    (waiting,) = [s for s in index.untold(200, 10) if s.uid == uid(1)]
    assert waiting.told == first.version < waiting.version
    index.tell(uid(1), waiting.version, 10, LINKED)
    assert [s.uid for s in index.untold(200, 10)] == [uid(2)]
    assert index.linked(uid(1)) == LINKED and index.linked(uid(2)) is None
    index.touch(uid(1))
    assert [s.uid for s in index.untold(200, 10)] == [uid(2), uid(1)]


def test_what_links_to_nothing_waits_for_a_person(index: SqlIndex) -> None:
    index.add([new(n, n) for n in (1, 2, 3)])
    for number, link in ((1, UNMATCHED), (2, LINKED), (3, Linked("mismatch", "birth-date-differs"))):
        study = index.study(uid(number))
        assert study is not None
        index.tell(uid(number), study.version, 9, link)
    assert [(s.uid, s.link, s.reason) for s in index.reconcile()] == [
        (uid(1), "unmatched", "no-order"),
        (uid(3), "mismatch", "birth-date-differs"),
    ]
    assert [s.uid for s in index.reconcile(1)] == [uid(1)]
    assert [s.uid for s in index.reconcile(10, uid(1))] == [uid(3)]
    assert index.bound(uid(1)) is None
    index.bind(uid(1), "p-1", "o-1", "anna", "asked the ward", 5)
    assert index.bound(uid(1)) == ("p-1", "o-1", "anna", "asked the ward")
    assert [s.uid for s in index.reconcile()] == [uid(3)]
    index.unbind(uid(1))
    assert index.bound(uid(1)) is None and len(index.reconcile()) == 2
    assert index.counts()["reconcile"] == 2


def test_steps_are_kept_with_their_studies(index: SqlIndex) -> None:
    said = Dataset()
    item = Dataset()
    item.StudyInstanceUID = uid(1)
    said.ScheduledStepAttributesSequence = [item]
    said.PerformedProcedureStepStatus = "IN PROGRESS"
    assert index.step(uid(8)) is None
    index.put_step(Step(uid(8), "IN PROGRESS", said, 5))
    index.put_step(Step(uid(8), "COMPLETED", said, 7))
    index.put_step(Step(uid(8), "IN PROGRESS", said, 5))  # read from the journal again
    step = index.step(uid(8))
    assert step is not None and (step.status, step.entry) == ("COMPLETED", 7)
    assert step.dataset.ScheduledStepAttributesSequence[0].StudyInstanceUID == uid(1)
    assert [s.uid for s in index.steps_of(uid(1))] == [uid(8)] and index.steps_of(uid(2)) == []


def test_commitments_wait_for_their_answer(index: SqlIndex) -> None:
    other = Peer("imaging", "MR01")
    index.add_commitment("1.2.3", CT01, [(CT, uid(1, 1, 1))], 100)
    index.add_commitment("1.2.3", other, [(CT, uid(1, 1, 2))], 90)
    assert index.due_commitments(80) == []
    first, second = index.due_commitments(100)
    assert (first.peer, second.peer) == (other, CT01)
    assert (second.transaction, second.references, second.asked, second.tries) == (
        "1.2.3",
        ((CT, uid(1, 1, 1)),),
        100,
        0,
    )
    index.commitment_failed("1.2.3", CT01, 500)
    index.commitment_done("1.2.3", other)
    assert index.due_commitments(499) == []
    assert [d.tries for d in index.due_commitments(500)] == [1]
    index.add_commitment("1.2.3", CT01, [], 200)  # asked again
    assert [(d.tries, d.asked) for d in index.due_commitments(200)] == [(0, 200)]


def test_sendings_wait_for_their_destination(index: SqlIndex) -> None:
    index.add([new(1), new(2, number=2), new(3, number=3)])
    rows = index.after(index.cursor("forward"), 2)
    assert [(c, s, h.sop_instance) for _, c, s, h in rows] == [
        ("imaging", "CT01", uid(1, 1, n)) for n in (1, 2)
    ]
    assert rows[0][3].dataset.Modality == "CT"
    index.queue("forward", rows[-1][0], [("imaging/PACS", h.sop_instance) for *_, h in rows])
    assert [h.sop_instance for *_, h in index.after(index.cursor("forward"), 9)] == [uid(1, 1, 3)]
    first, second = index.due_sendings("imaging/PACS", 0, 9)
    assert (first.sop_instance, first.tries) == (uid(1, 1, 1), 0)
    assert index.due_sendings("imaging/OTHER", 0, 9) == []
    index.send_failed(first.number, 700, "it does not answer")
    index.send_failed(second.number, None, "refused")
    assert index.due_sendings("imaging/PACS", 699, 9) == []
    assert [(s.sop_instance, s.tries) for s in index.due_sendings("imaging/PACS", 700, 9)] == [
        (uid(1, 1, 1), 1)
    ]
    backlog = index.backlog()["imaging/PACS"]
    assert (backlog.waiting, backlog.parked) == (1, 1)
    index.enqueue("imaging/PACS", [uid(1, 1, 2), uid(99)])  # a person sends it again
    assert [s.sop_instance for s in index.due_sendings("imaging/PACS", 0, 9)] == [uid(1, 1, 2)]
    index.sent([s.number for s in index.due_sendings("imaging/PACS", 700, 9)])
    assert index.backlog() == {}


def test_the_watermark_never_goes_back_and_tells_what_is_missing(index: SqlIndex) -> None:
    assert index.watermark() == 0
    index.advance(9)
    index.advance(7)
    assert index.watermark() == 9
    index.add([new(1), new(2, address="ff" * 16)])
    assert index.missing([(1, uid(1, 1, 1)), (2, uid(1, 1, 1)), (3, uid(1, 1, 3))]) == {3}


def test_nothing_readable_is_in_the_file(tmp_path: Path, keyring: Keyring) -> None:
    path = tmp_path / "imaging.db"
    index = SqlIndex.open(f"sqlite:///{path}", keyring)
    index.add([new(1, PatientName="UNMISTAKABLE^NAME", AccessionNumber="ACC4711")])
    index.add_commitment("1.2.3.4711", CT01, [(CT, uid(1, 1, 1))], 100)
    index.bind(uid(1), "p-1", "o-1", "anna", "why not", 5)
    index.close()
    data = b"".join(p.read_bytes() for p in tmp_path.glob("imaging.db*"))
    for secret in (
        b"UNMISTAKABLE",
        b"ACC4711",
        uid(1).encode(),
        b"1.2.3.4711",
        b"P1\x00",
        b"why not",
        b"19600101",
    ):
        assert secret not in data
    assert path.stat().st_mode & 0o077 == 0


def test_another_key_and_a_newer_index_are_refused(url: str, keyring: Keyring) -> None:
    index = SqlIndex.open(url, keyring)
    index.close()
    with pytest.raises(ConfigError, match="another key"):
        SqlIndex.open(url, Keyring.supplied(b"z" * 40))
    index = SqlIndex.open(url, keyring)
    with index._database.write() as session:
        session.run("UPDATE imaging_meta SET value = '99' WHERE item = 'revision'")
    index.close()
    with pytest.raises(ConfigError, match="newer"):
        SqlIndex.open(url, keyring)


def test_the_table_of_an_older_hub_gets_a_name_of_its_own(url: str, keyring: Keyring) -> None:
    index = SqlIndex.open(url, keyring)
    with index._database.write() as session:
        session.run("UPDATE imaging_meta SET value = '7' WHERE item = 'watermark'")
        session.run("ALTER TABLE imaging_meta RENAME TO meta")
        if session.postgres:
            session.run("ALTER INDEX imaging_meta_pkey RENAME TO meta_pkey")
    index.close()
    for _ in range(2):
        index = SqlIndex.open(url, keyring)
        assert index.watermark() == 7
        with index._database.write() as session:
            session.run("CREATE TABLE meta (item TEXT PRIMARY KEY)")  # the journal's, its name free again
            session.run("DROP TABLE meta")
        index.close()
