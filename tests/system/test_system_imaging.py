"""A day of imaging through a real hub: order, worklist, step, images, commitment, report; a kill -9 in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hub_process import Hub, free_ports, send, wait_for
from imaging_systems import Modality, image, registered, step_of

from engine.store.sql import SqlStore

ORDER = (
    b"MSH|^~\\&|RIS|NORTH|HUB|CDR|20261121080000-0500||OMI^O23^OMI_O23|OR1|P|2.5.1\r"
    b"PID|1||77^^^NORTH^MR||DOE^JO||19800101|F\r"
    b"PV1|1|I|||||||||||||||||V77^^^NORTH\r"
    b"ORC|NW|P1^EHR||||||||||D12^QUILL^NORA^^^^^^NORTH\r"
    b"TQ1|1||||||20261121100000-0500||R\r"
    b"OBR|1|P1^EHR||24627-2^CT chest^LN\r"
    b"IPC|AC77^RIS|RP1^RIS||SPS1^RIS|CT^Computed tomography^DCM|||CT01\r"
)
REPORT = (
    b"MSH|^~\\&|RIS|NORTH|HUB|CDR|20261121120000-0500||ORU^R01^ORU_R01|RE1|P|2.5.1\r"
    b"PID|1||77^^^NORTH^MR||DOE^JO||19800101|F\r"
    b"ORC|RE|P1^EHR\r"
    b"OBR|1|P1^EHR||24627-2^CT chest^LN|||20261121100000-0500|||||||||||%s||||20261121115900-0500||CT|F\r"
    b"OBX|1|TX|24627-2^CT chest^LN||No nodule.||||||F\r"
)


class Day:
    """A hub with its channels for orders and imaging, and a scanner."""

    def __init__(self, make_hub: Callable[..., Hub]) -> None:
        self.hub = make_hub(parts="listeners,workers,dicom")
        self.orders, self.node = free_ports(2)
        self.hub.channel(
            "orders",
            "channel: orders\nreceive:\n  mllp: {port: 1}\nsender: any\n"
            "accept:\n  - {type: OMI^O23}\n  - {type: ORM^O01}\n",
            self.orders,
        )
        self.modality = Modality(self.node)
        self.hub.channel(
            "imaging",
            "channel: imaging\nreceive:\n  dicom:\n"
            f"    port: {self.node}\n    ae_title: HUB\n    quiet_seconds: 0.2\n"
            "    issuers: {patient: NORTH, accession: RIS}\n"
            f"    peers: [{{ae_title: CT01, host: 127.0.0.1, port: {self.modality.port}}}]\n",
            0,
        )

    def ordered(self) -> Any:
        """Admit the patient, place the order, return what the worklist then says."""
        assert send(self.hub.ports["adt"], registered("77", "DOE^JO", "19800101", "F"))[0].count("AA") == 1
        assert "AA" in send(self.orders, ORDER)[0]
        self.hub.drained()
        found: list[Any] = []

        def listed() -> bool:
            found[:] = self.modality.worklist()
            return bool(found)

        wait_for(listed, "the order is on no worklist")
        assert len(found) == 1
        return found[0]

    def only(self, store: SqlStore, kind: str) -> dict[str, Any]:
        """Return the one resource of a type."""
        (one,) = store.search(kind, [("_lastUpdated", "ge2000")]).resources
        return one


def test_from_the_order_to_the_report(make_hub: Callable[..., Hub]) -> None:
    day = Day(make_hub)
    day.hub.start()
    with day.modality as ct:
        item = day.ordered()
        assert (item.PatientName, item.PatientID, item.AccessionNumber) == ("DOE^JO", "77", "AC77")
        assert ct.begin("1.2.840.99999.1", step_of(item)) == 0x0000
        day.hub.drained()
        with day.hub.inside() as (_, store):
            tasks = [t for t in _all(store, "Task") if _performed(t)]
            assert [t["status"] for t in tasks] == ["in-progress"]

        images = [image(item, f"1.2.840.99999.2.{s}", n) for s in (1, 2) for n in range(30)]
        assert ct.send(images) == [0x0000] * 60
        assert ct.end("1.2.840.99999.1") == 0x0000
        assert ct.end("1.2.840.99999.1") == 0x0110
        assert ct.commit("1.2.840.99999.3", images) == 0x0000
        assert ct.reported.wait(30), "no answer to the storage commitment"
        (report,) = ct.reports
        assert report.TransactionUID == "1.2.840.99999.3" and len(report.ReferencedSOPSequence) == 60
        assert "FailedSOPSequence" not in report

        assert "AA" in send(day.hub.ports["lab_oru"], REPORT % b"AC77")[0]
        with day.hub.inside() as (_, store):

            def whole() -> bool:
                found = _all(store, "ImagingStudy")
                return bool(found) and found[0].get("numberOfInstances") == 60

            wait_for(whole, "the study is not told with all its instances")
            day.hub.drained()
            (patient,) = _all(store, "Patient")
            (order,) = _all(store, "ServiceRequest")
            (study,) = _all(store, "ImagingStudy")
            (told,) = _all(store, "DiagnosticReport")
            (task,) = [t for t in _all(store, "Task") if _performed(t)]
            reference = {
                kind: f"{kind}/{one['id']}" for kind, one in (("Patient", patient), ("ServiceRequest", order))
            }
            assert study["subject"]["reference"] == reference["Patient"]
            assert study["basedOn"][0]["reference"] == reference["ServiceRequest"]
            assert study["encounter"]["reference"] == order["encounter"]["reference"]
            assert sorted(s["numberOfInstances"] for s in study["series"]) == [30, 30]
            assert task["status"] == "completed"
            assert reference["ServiceRequest"] in _references(task)
            assert told["subject"]["reference"] == reference["Patient"]
            assert told["imagingStudy"][0]["reference"] == f"ImagingStudy/{study['id']}"
            assert order["status"] == "completed"
        assert not ct.worklist(), "a step that was done is still on the worklist"


def test_a_hub_killed_in_mid_study_has_all_it_acknowledged(make_hub: Callable[..., Hub]) -> None:
    day = Day(make_hub)
    day.hub.start()
    with day.modality as ct:
        item = day.ordered()
        images = [image(item, "1.2.840.99999.5", n) for n in range(40)]
        acknowledged = []

        def until_killed() -> Any:
            for n, one in enumerate(images):
                if n == 25:
                    day.hub.kill()
                yield one

        acknowledged = [s for s in ct.send(until_killed()) if s == 0x0000]
        assert len(acknowledged) == 25
        day.hub.start()
        (held,) = ct.studies(StudyInstanceUID=str(item.StudyInstanceUID))
        assert held.NumberOfStudyRelatedInstances == 25
        assert ct.send(images) == [0x0000] * 40  # the scanner tries the whole study again
        (held,) = ct.studies(StudyInstanceUID=str(item.StudyInstanceUID))
        assert held.NumberOfStudyRelatedInstances == 40
        with day.hub.inside() as (_, store):
            wait_for(
                lambda: [s.get("numberOfInstances") for s in _all(store, "ImagingStudy")] == [40],
                "the study is not told with all its instances",
            )


def _all(store: SqlStore, kind: str) -> list[dict[str, Any]]:
    return store.search(kind, [("_lastUpdated", "ge2000")]).resources


def _performed(task: dict[str, Any]) -> bool:
    """Say whether a Task is a performed step, not a scheduled one."""
    return any(i.get("value") == "urn:oid:1.2.840.99999.1" for i in task.get("identifier") or ())


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [r for held in value.values() for r in _references(held)]
    if isinstance(value, list):
        return [r for held in value for r in _references(held)]
    return []
