"""The answers SCRIPT asks for: Status, Error, Verify.

In: the message that is answered, codes, and the id and time of the answer. Out: bytes, in the namespace and
version the message came in, addressed back to who sent it. Follows NCPDP SCRIPT 2017071 and 2023011: Status
000 (accepted by the receiver) and 010 (accepted, more to come), Error 900 and its kin, Verify on request.
"""

from __future__ import annotations

from typing import Any

from lxml import etree

from engine.formats.ncpdp.elements import Code
from engine.formats.ncpdp.message import Script

__all__ = ["error", "status", "verify"]


def status(script: Script, id: str, sent: str, code: str = "000", description: str = "") -> bytes:
    """Write a Status: the message was taken."""
    return _write(script, id, sent, "Status", (("Code", code), ("Description", description)))


def error(script: Script, id: str, sent: str, code: str, reason: str = "", description: str = "") -> bytes:
    """Write an Error: the message was not taken; `description` must hold no patient data."""
    parts = (("Code", code), ("DescriptionCode", reason), ("Description", description))
    return _write(script, id, sent, "Error", parts)


def verify(script: Script, id: str, sent: str, code: str = "010", description: str = "") -> bytes:
    """Write a Verify: the message reached whom it was for."""
    return _write(script, id, sent, "Verify", (("Code", code), ("Description", description)), "VerifyStatus")


def _write(
    script: Script, id: str, sent: str, name: str, parts: tuple[tuple[str, str], ...], within: str = ""
) -> bytes:
    namespace = etree.QName(script.root).namespace

    def tag(local: str) -> str:
        return f"{{{namespace}}}{local}" if namespace else local

    def add(parent: etree._Element, local: str, said: str) -> None:
        if said:
            etree.SubElement(parent, tag(local)).text = said

    def address(local: str, who: Code) -> None:
        if who.code:
            element = etree.SubElement(header, tag(local))
            element.text = who.code
            if who.qualifier:
                element.set("Qualifier", who.qualifier)

    names: dict[Any, str] | None = {None: namespace} if namespace else None  # None: without prefix
    root = etree.Element(tag("Message"), nsmap=names)
    for attribute, value in script.root.attrib.items():
        if "Version" in str(attribute) or attribute in ("TransactionDomain", "version", "release"):
            root.set(attribute, value)
    header = etree.SubElement(root, tag("Header"))
    address("To", script.sender)
    address("From", script.receiver)
    add(header, "MessageID", id)
    add(header, "RelatesToMessageID", script.id)
    add(header, "SentTime", sent)
    add(header, "RxReferenceNumber", script.reference_number)
    add(header, "PrescriberOrderNumber", script.order_number)
    inner = etree.SubElement(etree.SubElement(root, tag("Body")), tag(name))
    if within:
        inner = etree.SubElement(inner, tag(within))
    for local, said in parts:
        add(inner, local, said)
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")
