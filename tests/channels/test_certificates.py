"""Every certificate that settings name is looked at, those of destinations and their recipients, too."""

from __future__ import annotations

from pathlib import Path

from direct_certificates import ANCHOR, HUB, NURSE, THEM

from engine.channels.certificates import certificates
from engine.channels.definition import load_channels
from engine.kernel.config import load_config

CONFIG = """
destinations:
  lakeshore:
    direct: {certificate: hub.pem, anchors: anchors.pem, certificates: recipients}
  elsewhere:
    http: {url: "https://x.example", tls: {ca: gone.pem}}
"""


def test_those_of_destinations_are_named(tmp_path: Path) -> None:
    HUB.written(tmp_path, "hub")
    (tmp_path / "anchors.pem").write_bytes(ANCHOR.pem)
    (tmp_path / "recipients").mkdir()
    (tmp_path / f"recipients/{THEM}.pem").write_bytes(NURSE.pem)
    (tmp_path / "config.yaml").write_text(CONFIG)
    found = certificates(load_config(tmp_path), load_channels(tmp_path))
    assert [(c.used_by, Path(c.file).name, c.subject, c.trouble) for c in found] == [
        ("destination elsewhere", "gone.pem", "", "no such file or directory"),
        ("destination lakeshore", "hub.pem", "hub", ""),
        ("destination lakeshore", "anchors.pem", "Sample anchor", ""),
        ("destination lakeshore", f"{THEM}.pem", "nurse", ""),
    ]
