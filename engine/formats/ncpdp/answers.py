"""The answers SCRIPT asks for: Status, Error, Verify; and which of them a message gets.

In: the message that is answered, codes, and the id and time of the answer. Out: bytes, in the namespace and
version the message came in, addressed back to who sent it. What is no SCRIPT message, or not what the schemas
of a strict channel allow, gets an Error that says where; a Status, an Error and a Verify are answered by
nothing. Follows NCPDP SCRIPT 2017071 and 2023011: Status 000 (taken, to be passed on) and 010 (taken by who
it is for), Error 900 (rejected) and 600 to 602 (try again), Verify where ReturnReceipt asks for it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from lxml import etree

from engine.formats.ncpdp.elements import Code, first_text
from engine.formats.ncpdp.message import Script, parse
from engine.formats.ncpdp.strict import Schemas
from engine.formats.xml.read import Limits
from engine.kernel.errors import FormatError

__all__ = [
    "Answered",
    "answer",
    "error",
    "refusal",
    "script_keys",
    "status",
    "taken",
    "unread",
    "verify",
    "wants_verify",
]

REJECTED = "900"
ANSWERS = frozenset({"Status", "Error", "Verify"})
_NO = frozenset({"", "0", "000", "n", "no", "false"})
_FAULTS_TOLD = 3


class Answered(NamedTuple):
    """What a message is answered, why not with a Status, and the message where it could be read.

    `refused` holds no patient data.
    """

    body: bytes
    kind: str  # Status | Verify | Error | "" (an answer is not answered)
    refused: str = ""
    script: Script | None = None


def answer(
    data: bytes,
    id: str,
    sent: str,
    *,
    code: str = "010",
    description_code: str = "",
    schemas: Schemas | None = None,
    limits: Limits | None = None,
) -> Answered:
    """Say what a message that is on disk is answered; `id` and `sent` are the answer's MessageID and time.

    `code` is what a Status says; `description_code` what an Error says beside 900, as the network agreed on.
    """
    try:
        script = parse(data, limits)
    except FormatError as e:
        text = f"{e.what}{f' ({e.where})' if e.where else ''}{f': {e.why}' if e.why else ''}"
        return Answered(unread(id, sent, description_code, text), "Error", text)
    if script.transaction in ANSWERS:
        return Answered(b"", "", "", script)
    if why := refusal(script, schemas):
        return Answered(error(script, id, sent, REJECTED, description_code, why), "Error", why, script)
    kind = "Verify" if wants_verify(script) else "Status"
    return Answered(taken(script, id, sent, code), kind, "", script)


def refusal(script: Script, schemas: Schemas | None = None) -> str:
    """Say why a message is not taken, with line and path; empty where it is. No patient data."""
    why = _missing(script)
    if not why and schemas is not None and (faults := schemas.faults(script)):
        more = len(faults) - _FAULTS_TOLD
        told = "; ".join(str(f) for f in faults[:_FAULTS_TOLD])
        why = f"not as its schema wants: {told}{f'; and {more} more' if more > 0 else ''}"
    return why


def wants_verify(script: Script) -> bool:
    """Say whether the sender asks for a Verify (ReturnReceipt)."""
    return first_text(script.body, "ReturnReceipt").lower() not in _NO


def taken(script: Script, id: str, sent: str, code: str = "010") -> bytes:
    """Write what says that a message was taken: a Verify where it is asked for, else a Status; nothing for
    what is an answer itself."""
    if script.transaction in ANSWERS:
        return b""
    return verify(script, id, sent) if wants_verify(script) else status(script, id, sent, code)


def script_keys(script: Script) -> tuple[str, ...]:
    """Name the prescription a message is about, by each number and who gave it: what has to stay in order."""
    return tuple(
        f"{side}|{who}|{number}"
        for side, who, number in (
            ("prescriber", script.prescriber, script.order_number),
            ("pharmacy", script.pharmacy, script.reference_number),
        )
        if who and number
    )


def _missing(script: Script) -> str:
    """Say what a message lacks without which nobody can answer it or tell it from another."""
    if not script.id:
        return "MessageID is missing in the header"
    return "" if script.sender.code else "From is missing in the header"


def unread(id: str, sent: str, reason: str, why: str) -> bytes:
    """Write the Error to a message that could not be read: nobody knows from whom it is."""
    root = etree.Element("Message")
    header = etree.SubElement(root, "Header")
    etree.SubElement(header, "MessageID").text = id
    etree.SubElement(header, "SentTime").text = sent
    inner = etree.SubElement(etree.SubElement(root, "Body"), "Error")
    for local, said in (("Code", REJECTED), ("DescriptionCode", reason), ("Description", _short(why))):
        if said:
            etree.SubElement(inner, local).text = said
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8")


def _short(text: str, most: int = 1000) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def status(script: Script, id: str, sent: str, code: str = "010", description: str = "") -> bytes:
    """Write a Status: the message was taken."""
    return _write(script, id, sent, "Status", (("Code", code), ("Description", description)))


def error(script: Script, id: str, sent: str, code: str, reason: str = "", description: str = "") -> bytes:
    """Write an Error: the message was not taken; `description` must hold no patient data."""
    parts = (("Code", code), ("DescriptionCode", reason), ("Description", _short(description)))
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
