"""Documents in a whole hub: what replaces what, what comes late, whose it is, what a package holds."""

from __future__ import annotations

import hashlib
import io
import zipfile
from functools import partial
from typing import Any

import pytest
from safety_hub import ROOT, Hub

from engine.formats.x12.cut import cut
from engine.kernel.message import Outcome
from engine.listeners.http_settings import HttpChannel
from engine.listeners.mail import mail_of
from engine.listeners.receiving import source_of

CCD = (ROOT / "sample_messages/cda/ccd.xml").read_text()
OID = "2.16.840.1.113883.19.77"


class Door:
    """A connection of the documents channel."""

    peer = "test"
    answered: Any = None

    def answer_mail(self, answer: Any) -> None:
        self.answered = answer

    def abandon(self) -> None:
        raise AssertionError("the connection was given up")


def post(hub: Hub, body: str | bytes, channel: str = "documents", status: int = 200) -> list[Outcome]:
    """Post a body, work everything off, and return what became of each entry."""
    way = hub.channels[channel].http
    assert isinstance(way, HttpChannel)
    door, before = Door(), hub.journal.head()
    data = body.encode() if isinstance(body, str) else body
    source = source_of(way)
    hub.intake.post(door, source, mail_of(data, source, "test"))
    for turn in hub._turns:
        turn()
    hub._turns.clear()
    assert door.answered.status == status, door.answered
    hub.work()
    return [hub._outcome(n) for n in range(before + 1, hub.journal.head() + 1)]


def document(number: str, at: str, *, version: str = "", replaces: str = "", appends: str = "") -> str:
    """The sample CCD with another number, time and version, replacing or adding to another one."""
    text = CCD.replace('extension="CCD-1"/>\n', f'extension="{number}"/>\n', 1)
    assert text != CCD
    stamp = text.split('<effectiveTime value="')[1].split('"')[0]
    text = text.replace(f'<effectiveTime value="{stamp}"', f'<effectiveTime value="{at}"', 1)
    if version:
        text = text.replace('<versionNumber value="1"/>', f'<versionNumber value="{version}"/>', 1)
    for code, parent in (("RPLC", replaces), ("APND", appends)):
        if parent:
            link = (
                f'<relatedDocument typeCode="{code}"><parentDocument>'
                f'<id root="{OID}.1" extension="{parent}"/></parentDocument></relatedDocument>'
            )
            text = text.replace("<component>", link + "<component>", 1)
    return text


def status(hub: Hub, number: str) -> str:
    (found,) = [
        d
        for d in hub.all("DocumentReference")
        if d.get("masterIdentifier", {}).get("value", "").endswith(number)
    ]
    return str(found["status"])


def test_a_document_becomes_resources_that_can_be_found(hub: Hub) -> None:
    (outcome,) = post(hub, CCD)
    assert outcome.status == "done" and outcome.written > 10
    assert hub.one("Composition")["subject"] == {"reference": f"Patient/{hub.one('Patient')['id']}"}
    assert hub.store.find("patient", "H-40271", 10) == [outcome.entry]
    assert hub.store.find("name", "sample", 10) == hub.store.find("document", "CCD-1", 10) == [outcome.entry]


def test_what_is_replaced_is_superseded_and_stays(hub: Hub) -> None:
    post(hub, document("A-1", "20260101120000+0000"))
    post(hub, document("A-2", "20260102120000+0000", version="2", replaces="A-1"))
    assert (status(hub, "A-1"), status(hub, "A-2")) == ("superseded", "current")
    newer = next(d for d in hub.all("DocumentReference") if d["masterIdentifier"]["value"].endswith("A-2"))
    older = next(d for d in hub.all("DocumentReference") if d["masterIdentifier"]["value"].endswith("A-1"))
    (link,) = newer["relatesTo"]
    assert (link["code"], link["target"]["reference"]) == ("replaces", f"DocumentReference/{older['id']}")
    assert older["content"][0]["attachment"].get("data"), "the older document itself is kept"


def test_the_replaced_one_comes_after_its_replacement(hub: Hub) -> None:
    post(hub, document("A-2", "20260102120000+0000", version="2", replaces="A-1"))
    assert status(hub, "A-1") == "superseded"
    post(hub, document("A-1", "20260101120000+0000"))
    assert (status(hub, "A-1"), status(hub, "A-2")) == ("superseded", "current")
    older = next(d for d in hub.all("DocumentReference") if d["masterIdentifier"]["value"].endswith("A-1"))
    assert older["content"][0]["attachment"].get("data")
    assert len(older["content"]) == 1 and hub.store.outcome(2) is not None


def test_an_older_version_that_comes_late_changes_nothing(hub: Hub) -> None:
    post(hub, document("A-2", "20260102120000+0000", version="2"))
    before = {k: hub.all(k) for k in ("Condition", "AllergyIntolerance", "Observation", "Patient")}
    text = document("A-1", "20260101120000+0000")
    older = text.replace('value="5.9" unit="mmol/L"', 'value="9.9" unit="mmol/L"')
    assert older != text
    (late,) = post(hub, older)
    assert {k: hub.all(k) for k in before} == before
    assert late.status == "done" and late.superseded and "late" in [f.code for f in late.flags]
    assert {status(hub, "A-1"), status(hub, "A-2")} == {"current"}, "neither says that it replaces the other"


def test_an_addition_leaves_what_it_adds_to(hub: Hub) -> None:
    post(hub, document("A-1", "20260101120000+0000"))
    post(hub, document("A-2", "20260102120000+0000", appends="A-1"))
    assert (status(hub, "A-1"), status(hub, "A-2")) == ("current", "current")
    newer = next(d for d in hub.all("DocumentReference") if d["masterIdentifier"]["value"].endswith("A-2"))
    assert [link["code"] for link in newer["relatesTo"]] == ["appends"]


def test_a_replacement_of_another_patients_document_waits(hub: Hub) -> None:
    post(hub, document("A-1", "20260101120000+0000"))
    other = document("B-2", "20260102120000+0000", replaces="A-1").replace("H-40271", "H-99999")
    (outcome,) = post(hub, other)
    assert (outcome.status, outcome.cause) == ("parked", "other-patient")
    assert status(hub, "A-1") == "current"


def test_the_same_again_is_kept_once(hub: Hub) -> None:
    post(hub, CCD)
    assert post(hub, CCD) == []


def test_a_document_changes_no_patient_that_is_known(hub: Hub) -> None:
    post(hub, CCD)
    before = hub.one("Patient")
    changed = document("A-9", "20270101120000+0000").replace(
        "<family>Sample</family>", "<family>Other</family>"
    )
    assert changed != CCD
    post(hub, changed)
    assert hub.one("Patient")["name"] == before["name"]


def test_a_replay_gives_the_same(hub: Hub) -> None:
    (first,) = post(hub, CCD)
    before = {c.id for c in hub.store.feed(0, 100_000)}
    again = hub.replay(first.entry)
    assert again.status == "done" and again.written == 0
    assert {c.id for c in hub.store.feed(0, 100_000)} == before


def package(*files: tuple[str, bytes], meta: str = "") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        if meta:
            z.writestr(zipfile.ZipInfo("IHE_XDM/SUBSET01/METADATA.XML"), meta)
        for name, data in files:
            z.writestr(zipfile.ZipInfo(f"IHE_XDM/SUBSET01/{name}"), data)
    return out.getvalue()


def entry(uri: str, data: bytes, number: str, mime: str, *, digest: str = "") -> str:
    slots = {
        "URI": uri,
        "hash": digest or hashlib.sha1(data).hexdigest(),
        "size": str(len(data)),
        "sourcePatientId": f"H-40271^^^&amp;{OID}.3&amp;ISO",
        "creationTime": "20260101120000",
    }
    said = "".join(
        f'<rim:Slot name="{k}"><rim:ValueList><rim:Value>{v}</rim:Value></rim:ValueList></rim:Slot>'
        for k, v in slots.items()
    )
    return (
        f'<rim:ExtrinsicObject id="d{number}" mimeType="{mime}">{said}'
        f'<rim:Name><rim:LocalizedString value="Picture {number}"/></rim:Name>'
        '<rim:ExternalIdentifier identificationScheme="urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab" '
        f'value="{OID}.8.{number}"/></rim:ExtrinsicObject>'
    )


def metadata(*entries: str) -> str:
    return (
        '<lcm:SubmitObjectsRequest xmlns:lcm="urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0" '
        'xmlns:rim="urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"><rim:RegistryObjectList>'
        f"{''.join(entries)}</rim:RegistryObjectList></lcm:SubmitObjectsRequest>"
    )


def test_a_package_gives_its_documents_and_pictures(hub: Hub) -> None:
    ccd, picture = CCD.encode(), b"\x89PNG and so on"
    meta = metadata(entry("DOC1.XML", ccd, "1", "text/xml"), entry("PIC.PNG", picture, "2", "image/png"))
    outcomes = post(hub, package(("DOC1.XML", ccd), ("PIC.PNG", picture), meta=meta))
    assert [o.status for o in outcomes] == ["done", "done"] and not outcomes[0].flags
    (made,) = [d for d in hub.all("DocumentReference") if d["masterIdentifier"]["value"].endswith(".8.2")]
    assert made["content"][0]["attachment"]["contentType"] == "image/png"
    assert made["subject"]["reference"] == f"Patient/{hub.one('Patient')['id']}"
    assert len(hub.all("Composition")) == 1


def test_what_was_changed_on_its_way_is_not_worked_on(hub: Hub) -> None:
    ccd = CCD.encode()
    meta = metadata(entry("DOC1.XML", ccd, "1", "text/xml", digest="0" * 40))
    (outcome,) = post(hub, package(("DOC1.XML", ccd), meta=meta), status=422)
    assert outcome.status == "parked" and outcome.cause == "empty-package"
    assert [f.code for f in outcome.flags] == ["package-hash"] and outcome.flags[0].work
    assert not hub.all("Composition") and not hub.all("Patient")


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "C:\\x.xml"])
def test_a_name_that_leads_out_is_flagged_and_not_read(hub: Hub, name: str) -> None:
    meta = metadata(entry(name, b"x", "1", "text/plain"))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr(zipfile.ZipInfo("IHE_XDM/SUBSET01/METADATA.XML"), meta)
        z.writestr(zipfile.ZipInfo(name), b"x")
    (outcome,) = post(hub, out.getvalue(), status=422)
    assert (outcome.status, outcome.cause) == ("parked", "empty-package")
    codes = {f.code for f in outcome.flags if f.work}
    assert "package" in codes and codes & {"package-unsafe-name", "package-missing"}
    assert outcome.written == 0


@pytest.mark.parametrize("meta", ["<no XML", "0" * (17 << 20), metadata()])
def test_a_package_of_which_nothing_can_be_filed_waits_for_a_person(hub: Hub, meta: str) -> None:
    (outcome,) = post(hub, package(meta=meta), status=422)
    assert (outcome.status, outcome.cause) == ("parked", "empty-package")


def test_what_is_whole_in_a_package_is_filed_beside_what_is_not(hub: Hub) -> None:
    ccd, picture = CCD.encode(), b"\x89PNG and so on"
    meta = metadata(
        entry("DOC1.XML", ccd, "1", "text/xml"), entry("PIC.PNG", picture, "2", "image/png", digest="0" * 40)
    )
    outer, inner = post(hub, package(("DOC1.XML", ccd), ("PIC.PNG", picture), meta=meta))
    assert (outer.status, inner.status) == ("done", "done")
    assert [(f.code, f.work) for f in outer.flags] == [("package-hash", True)]


NUMBER = f"H-40271^^^&amp;{OID}.3&amp;ISO"
OTHER = f"H-99999^^^&amp;{OID}.3&amp;ISO"


def about(cx: str, info: str = "") -> bytes:
    """A package of the sample CCD whose metadata gives these numbers of its patient."""
    ccd = CCD.encode()
    said = entry("DOC1.XML", ccd, "1", "text/xml")
    assert said.count(NUMBER) == 1
    more = (
        '<rim:Slot name="sourcePatientInfo"><rim:ValueList><rim:Value>PID-3|'
        f"{info}</rim:Value></rim:ValueList></rim:Slot><rim:Name>"
    )
    said = said.replace(NUMBER, cx)
    return package(("DOC1.XML", ccd), meta=metadata(said.replace("<rim:Name>", more, 1) if info else said))


def test_a_document_of_another_patient_than_its_package_says_waits(hub: Hub) -> None:
    outer, inner = post(hub, about(OTHER), status=422)
    assert [(f.code, f.work) for f in outer.flags] == [("package-patient", True)]
    assert (inner.status, inner.cause) == ("parked", "refused")
    assert not hub.all("Patient") and not hub.all("Composition")
    hub.replay(inner.entry)
    assert len(hub.all("Composition")) == 1, "a person said so"


@pytest.mark.parametrize(
    ("cx", "info", "flags"),
    [
        (NUMBER, "", []),
        (NUMBER, NUMBER, []),
        (OTHER, f"X^^^&amp;1.2.3&amp;ISO~{NUMBER}", [("package-patient", True)]),
        ("H-40271^^^&amp;1.2.3&amp;ISO", "", [("package-patient", False)]),
        ("H-40271", "", []),
    ],
)
def test_a_document_whose_patient_no_number_denies_is_filed(
    hub: Hub, cx: str, info: str, flags: list[tuple[str, bool]]
) -> None:
    outer, inner = post(hub, about(cx, info))
    assert (outer.status, inner.status) == ("done", "done")
    assert [(f.code, f.work) for f in outer.flags] == flags
    assert len(hub.all("Composition")) == 1


def remittance(claims: int) -> bytes:
    """A payment of so many claims, in one transaction set."""
    sample = (ROOT / "sample_messages/x12/835_payment.x12").read_text().replace("\n", "")
    head, _, rest = sample.partition("CLP*")
    tail = rest[rest.index("SE*") :]
    body = "".join(
        f"CLP*L{n:06d}*1*10*10**12*P{n}*11~NM1*QC*1*FAMILY{n}*GIVEN****MI*M{n}~" for n in range(claims)
    )
    count = head[head.index("ST*") :].count("~") + body.count("~") + 1
    return (head + body + f"SE*{count}" + tail[tail.index("*", 3) :]).encode()


def test_a_long_payment_in_parts_lists_its_claims_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.listeners.mail.cut", partial(cut, part=1500))
    outcomes = post(hub, remittance(60), "claims")
    assert len(outcomes) > 2 and {o.status for o in outcomes} == {"done"}
    (payment,) = hub.all("PaymentReconciliation")
    assert len(payment["detail"]) == 60 == len(hub.all("ExplanationOfBenefit"))
    hub.replay(outcomes[0].entry)
    (again,) = hub.all("PaymentReconciliation")
    assert len(again["detail"]) == 60
    monkeypatch.setattr("engine.channels.otherwork.PARTS_TOLD", 1)
    late = post(hub, remittance(60).replace(b"*000000", b"*900000"), "claims")
    assert all("payment-in-parts" in [f.code for f in o.flags] for o in late[1:])
    assert len(hub.all("PaymentReconciliation")[0]["detail"]) == 60
