"""Documents, claims and prescriptions at the command line: shown, tried, traced, taken out of packages."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from pathlib import Path

import pytest

from engine.channels.definition import load_channels
from engine.channels.message.text import readable
from engine.channels.tracing import lineage_of
from engine.cli.convert import convert_paths
from engine.cli.parse import parse_paths
from engine.cli.trial import try_file
from engine.kernel.errors import HubError
from engine.kernel.message import Entry
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_messages"
CCD = (SAMPLES / "cda/ccd.xml").read_bytes()


@pytest.fixture(scope="module")
def maps() -> Maps:
    return Maps.open(ROOT)


def entry(body: bytes, channel: str) -> Entry:
    return Entry(7, channel, body, 0, "s", "", "1", "", "", "message", (), None, 7, "", None)


def mac(kind: str, text: str) -> bytes:
    return hashlib.sha256(f"{kind}|{text}".encode()).digest()[:16]


def package() -> bytes:
    """The same bytes at any time: an entry without a ZipInfo carries the clock, to two seconds."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr(zipfile.ZipInfo("IHE_XDM/SUBSET01/A.XML"), CCD)
        z.writestr(zipfile.ZipInfo("IHE_XDM/SUBSET01/B.PNG"), b"\x89PNG")
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "channel", "location", "element"),
    [
        ("cda/ccd.xml", "documents", "/ClinicalDocument/id[1]/@extension", "DocumentReference."),
        (
            "ncpdp/newrx_2017071.xml",
            "prescriptions",
            "/Message/Body[1]/NewRx[1]/MedicationPrescribed[1]/Quantity[1]/Value",
            "MedicationRequest.",
        ),
        ("x12/835_payment.x12", "claims", "BPR[1]-02", "PaymentReconciliation.paymentAmount"),
    ],
)
def test_where_a_value_went(maps: Maps, name: str, channel: str, location: str, element: str) -> None:
    traced = lineage_of(entry((SAMPLES / name).read_bytes(), channel), maps, load_channels(ROOT), mac)
    made = traced.as_json()
    found = [(k, v) for k, v in made["locations"].items() if k.startswith(location)]
    assert found and any(e["element"].startswith(element) for _, at in found for e in at["elements"])
    assert all("/" in address for address in made["resources"].values())


def test_a_package_was_never_mapped_itself(maps: Maps) -> None:
    with pytest.raises(HubError):
        lineage_of(entry(package(), "documents"), maps, load_channels(ROOT), mac)


@pytest.mark.parametrize(
    ("name", "channel", "count"),
    [("x12/837P_professional_claim.x12", "claims", 2), ("cda/c32.xml", "documents", 1)],
)
def test_a_file_is_tried_as_its_channel_would_work_it(name: str, channel: str, count: int) -> None:
    trials = try_file(ROOT, SAMPLES / name, channel)
    assert len(trials) == count and not any(t.refused or t.parked for t in trials)
    assert all(t.bundle and t.report.mapped for t in trials)
    assert json.dumps(trials[0].as_json()["report"]["mapped"][0])


def test_bodies_for_the_eye_hold_nothing_a_terminal_obeys() -> None:
    assert readable(CCD).count("\n") > 50 and readable(b"<ClinicalDocument>\x1b[2J").count("\\x1b") == 1
    claim = readable((SAMPLES / "x12/837D_dental_claim.x12").read_bytes())
    assert claim.splitlines()[1].startswith("GS*") and "CLM*" in claim
    assert readable(package()).startswith("a package (zip) of ")
    assert readable(b"MSH|^~\\&|A\rPID|1\x07") == "MSH|^~\\&|A\nPID|1\\x07"


def test_a_package_is_parsed_and_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.bin").write_bytes(package())
    assert parse_paths([tmp_path / "p.bin"], tmp_path / "again") == 0
    first, second = json.loads(capsys.readouterr().out)
    assert [d["path"] for d in first["documents"]] == ["IHE_XDM/SUBSET01/A.XML", "IHE_XDM/SUBSET01/B.PNG"]
    assert second["path"] == "IHE_XDM/SUBSET01/A.XML" and (tmp_path / "again/p.bin").read_bytes() == package()
    assert convert_paths([tmp_path / "p.bin"], tmp_path / "out", ROOT) == 0
    kinds = [
        {e["resource"]["resourceType"] for e in json.loads(path.read_bytes())["entry"]}
        for path in sorted((tmp_path / "out").glob("p.?.json"))
    ]
    assert "Composition" in kinds[0] and kinds[1] == {"DocumentReference"}
