"""Messages that try to become markup, in every place that a page shows, and a reader that notices."""

from __future__ import annotations

import base64
from html.parser import HTMLParser

from hub_project import HERE

ATTACK = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
"""Breaks out of an attribute and of an element; `&` and `|^~\\` are the message's own."""


class Tags(HTMLParser):
    """Every tag of a page, and what of it no page of ours has."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "script" and not said.get("src", "").startswith("/static/"):
            self.found.append(f"<script {said}>")
        if tag in ("iframe", "object", "embed", "svg", "style", "base"):
            self.found.append(f"<{tag}>")
        if tag == "img" and not said.get("src", "").startswith(("/static/", "/message/")):
            self.found.append(f"<img {said}>")
        for name, value in said.items():
            if name.startswith("on") or (name in ("href", "src", "action") and ":" in value.split("?")[0]):
                self.found.append(f"<{tag} {name}={value[:60]}>")


def attacked_v2() -> bytes:
    """A result with the attack in every component of every field it may stand in."""
    evil = ATTACK
    segments = [
        f"MSH|^~\\&|LIS{evil}|NORTH{evil}|HUB|MERCY|20260501141000-0500||ORU^R01^ORU_R01|X{evil}|P|2.5.1",
        f"PID|1||667788^^^NORTH&{evil}&ISO^MR~{evil}||{evil}^{evil}^{evil}||19800101|F|||{evil}^{evil}||{evil}",
        f"PV1|1|O|{evil}^^^{evil}||||1902^{evil}^{evil}||||||||||||V9^^^{evil}",
        f"ORC|RE|O9^{evil}|F9^{evil}|{evil}",
        f"OBR|1|O9^{evil}|F9^{evil}|24320-4^{evil}^LN|||20260501083000-0500||||||||{evil}",
        f"OBX|1|ST|2823-3^{evil}^LN||{evil}|{evil}|{evil}|||||F|||{evil}",
        f"OBX|2|TX|X1^{evil}^L||{evil}~{evil}||||||F",
        "OBX|3|ED|X2^Doc^L||^" + f"{evil}^{evil}^Base64^{base64.b64encode(evil.encode()).decode()}||||||F",
        f"NTE|1||{evil}",
        f"ZZ9|{evil}^{evil}&{evil}~{evil}",
    ]
    return "".join(f"{s}\r" for s in segments).encode()


def attacked_cda() -> bytes:
    """A document with the attack in its narrative, its title and its names."""
    body = (HERE / "sample_messages/cda/ccd.xml").read_text()
    shown = ATTACK.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    body = body.replace("<title>", f"<title>{shown}", 2).replace("<family>", f"<family>{shown}", 1)
    return body.replace("</text>", f"<paragraph>{shown}</paragraph></text>", 1).encode()


def attacked_script() -> bytes:
    body = (HERE / "sample_messages/ncpdp/newrx_2017071.xml").read_text()
    shown = ATTACK.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&quot;")
    assert "<LastName>" in body
    return body.replace("<LastName>", f"<LastName>{shown}").encode()


def attacked_x12() -> bytes:
    body = (HERE / "sample_messages/x12/270_eligibility_inquiry.x12").read_bytes()
    name = body.split(b"NM1*IL*1*")[1].split(b"*")[0]
    return body.replace(b"NM1*IL*1*" + name, b"NM1*IL*1*" + ATTACK.encode())


def attacked_dicom() -> bytes:
    """An image whose patient is called like the attack."""
    from io import BytesIO

    import pydicom

    image = pydicom.dcmread(HERE / "sample_messages/dicom/ct_1.dcm")
    image.PatientName = ATTACK[:60]
    image.StudyDescription = ATTACK[:60]
    out = BytesIO()
    image.save_as(out)
    return out.getvalue()
