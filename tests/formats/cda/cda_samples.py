"""Documents for the tests: the samples, and small ones made on the spot."""

from __future__ import annotations

from pathlib import Path

from lxml import etree

from engine.formats.cda.document import Document, parse
from engine.formats.xml.read import read_xml

SAMPLES = Path(__file__).parents[3] / "sample_messages" / "cda"
XMLNS = 'xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'


def sample(name: str) -> Document:
    return parse((SAMPLES / f"{name}.xml").read_bytes())


def text_of(
    given: str = "Wren", body: str = "", head: str = '<?xml version="1.0" encoding="UTF-8"?>\n'
) -> str:
    return (
        f"{head}<ClinicalDocument {XMLNS}>"
        '<id root="1.2.3" extension="D-1"/><code code="34133-9" codeSystem="2.16.840.1.113883.6.1"/>'
        '<title>Summary</title><effectiveTime value="20200102101112+0000"/>'
        "<recordTarget><patientRole><id root='1.2.3.4' extension='H-1'/><patient><name>"
        f"<given>{given}</given><family>Sample</family></name></patient></patientRole></recordTarget>"
        f"<component><structuredBody>{body}</structuredBody></component></ClinicalDocument>"
    )


def section(text: str = "<text>words</text>", entries: str = "", code: str = "11450-4") -> str:
    return (
        f'<component><section><code code="{code}" codeSystem="2.16.840.1.113883.6.1"/>'
        f"<title>Section</title>{text}{entries}</section></component>"
    )


def document(body: str = "", given: str = "Wren") -> Document:
    return parse(text_of(given, body).encode())


def element(xml: str) -> etree._Element:
    """Read one element, its namespaces declared around it."""
    return read_xml(f"<r {XMLNS}>{xml}</r>".encode()).root[0]
