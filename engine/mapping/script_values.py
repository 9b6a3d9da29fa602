"""What rows cannot say of an element of a SCRIPT message, as named functions: `as: NAME` calls one.

In: an element (`Node`) and the run, whose `document` is the `Script`. Out: the FHIR value, or None. Dates
come in both shapes. An order number belongs to the prescriber and a reference number to the pharmacy, whoever
sends the message, so that the same prescription has the same identifier in every message about it.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from engine.formats.ncpdp.elements import Code
from engine.formats.ncpdp.message import Script
from engine.formats.ncpdp.prescription import fill_status
from engine.formats.ncpdp.sig import stands_in
from engine.formats.xml.nodes import Node
from engine.mapping.dates import read_date, read_datetime
from engine.mapping.party_values import FUNCTIONS
from engine.mapping.tree_values import named, named_key
from engine.mapping.values import decimal_of
from engine.terminology.spelling import spelled

__all__ = ["FUNCTIONS", "PATIENT_OF", "address_uri"]

_ISO = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d{1,9})?)?(?:(Z)|([+-]\d\d):(\d\d))?)?", re.ASCII
)
_ID = re.compile(r"[A-Za-z0-9.\-]{1,64}", re.ASCII)
_ICD = "http://hl7.org/fhir/sid/icd-10-cm"


def address_uri(x: Any, side: str, address: str) -> str:
    """Give the URI under which an address of the network gives numbers: the site's own, else one by side."""
    return x.sender.authority_uri(address) or f"urn:hub:script:{side}:{quote(address, safe='')}"


def _at(node: Node) -> Node:
    """Return the element that holds a date or dateTime, in either shape."""
    return next((c for c in node.children if c.name in ("Date", "DateTime") and c.text), node)


def _packed(text: str) -> str:
    """Write an ISO date or dateTime as HL7 does; anything else as it is."""
    m = _ISO.fullmatch(text)
    if m is None:
        return text
    zone = m[8] or (f"{m[9]}{m[10]}" if m[9] else "")
    return f"{m[1]}{m[2]}{m[3]}{m[4] or ''}{m[5] or ''}{m[6] or ''}{m[7] or ''}{zone}"


@named
def script_date(node: Node, x: Any) -> Any:
    """Give a dateTime at the precision written; without a zone, in the site's; without that, the day."""
    at = _at(node)
    if not at.text:
        return None
    when = read_datetime(_packed(at.text), x.sender.zone)
    if when is None:
        x.fail("not-a-time", at.text)
        return None
    if when.lost:
        x.flag(when.lost, f" {node.name}", "only the day is kept; the time as sent is in the message")
    return x.from_(when.value, at, "text()")


@named
def script_day(node: Node, x: Any) -> Any:
    """Give the day of a date or dateTime, as its sender wrote it."""
    at = _at(node)
    if not at.text:
        return None
    day = read_date(_packed(at.text))
    if day is None:
        x.fail("not-a-date", at.text)
        return None
    return x.from_(day, at, "text()")


def _in_words(node: Node, x: Any, counts: str) -> bool:
    """Say whether the words of the Sig around say the number; flag where they do not."""
    at: Node | None = node
    while at is not None and at.name != "Sig":
        at = at.parent
    words = next((c.text for c in at.by("SigText")), at.text) if at is not None else ""
    if stands_in(node.text, words, counts):
        return True
    x.fail("not-in-sig-text", node.text)
    x.flag(
        "sig-text-differs", f" {node.name}", "the words of the Sig do not say this number: they alone count"
    )
    return False


@named
def said_dose(node: Node, x: Any) -> Any:
    """Give a dose that the words of the Sig say, too."""
    return x.from_(decimal_of(node.text), node, "text()") if _in_words(node, x, "dose") else None


@named
def said_times(node: Node, x: Any) -> Any:
    """Give how often in one unit of time, where the words of the Sig say it, too."""
    if not node.text.isdecimal() or not _in_words(node, x, "times"):
        return None
    return x.from_(int(node.text), node, "text()")


@named
def said_every(node: Node, x: Any) -> Any:
    """Give after how many units of time again, where the words of the Sig say it, too."""
    return x.from_(decimal_of(node.text), node, "text()") if _in_words(node, x, "every") else None


@named
def said_for(node: Node, x: Any) -> Any:
    """Give for how many units of time, where the words of the Sig say it, too."""
    return x.from_(decimal_of(node.text), node, "text()") if _in_words(node, x, "for") else None


@named
def script_transaction(node: Node, x: Any) -> Any:
    """Give the name of the transaction: NewRx, CancelRx ..."""
    return x.document.transaction


@named
def prescriber_authority(node: Node, x: Any) -> Any:
    """Give the URI of who gave the PrescriberOrderNumber."""
    return _authority(node, x, "prescriber", x.document.prescriber)


@named
def pharmacy_authority(node: Node, x: Any) -> Any:
    """Give the URI of who gave the RxReferenceNumber."""
    return _authority(node, x, "pharmacy", x.document.pharmacy)


PATIENT_OF = "urn:hub:script:patient-of-"
"""What the numbers begin with by which a prescription finds its patient."""


@named_key
def patients_of_orders(node: Node, x: Any) -> Any:
    """Give the name space in which an order number of the prescriber's means its patient."""
    return f"{PATIENT_OF}order:{_number_space(x, x.document.prescriber)}"


@named_key
def patients_of_references(node: Node, x: Any) -> Any:
    """Give the name space in which a reference number of the pharmacy's means its patient."""
    return f"{PATIENT_OF}reference:{_number_space(x, x.document.pharmacy)}"


@named_key
def patients_of_messages(node: Node, x: Any) -> Any:
    """Give the name space in which a message of its sender means its patient."""
    return f"{PATIENT_OF}message:{_number_space(x, '')}"


@named_key
def parts_of_prescription(node: Node, x: Any) -> Any:
    """Give the name space of what is told with a prescription: who gave its number, else who sent it."""
    script: Script = x.document
    who = script.prescriber if script.order_number else script.pharmacy if script.reference_number else ""
    return f"urn:hub:script:part-of:{_number_space(x, who)}"


@named_key
def parts_of_patient(node: Node, x: Any) -> Any:
    """Give the name space of what is told of a patient with a record number: whose number it is."""
    return f"urn:hub:script:part-of-patient:{_number_space(x, x.document.prescriber)}"


def _number_space(x: Any, who: str) -> str:
    script: Script = x.document
    return quote(who or f"{script.sender.qualifier}/{script.sender.code}", safe="")


@named_key
def message_authority(node: Node, x: Any) -> Any:
    """Give the name space of MessageIDs of who sent the message."""
    return _sent_by(x.document.sender)


@named_key
def answered_authority(node: Node, x: Any) -> Any:
    """Give the name space of MessageIDs of who sent what is answered; of the sender where it answers none."""
    script: Script = x.document
    return _sent_by(script.receiver if script.relates_to else script.sender)


_SIDES = {"D": "prescriber", "C": "prescriber", "P": "pharmacy"}


def _sent_by(who: Code) -> str:
    return f"urn:hub:script:message:{_SIDES.get(who.qualifier, 'address')}:{quote(who.code, safe='')}"


@named
def script_endpoint(node: Node, x: Any) -> Any:
    """Give an address of the network as a URL, which FHIR wants of an endpoint."""
    return _authority(node, x, _SIDES.get(node.get("Qualifier"), "address"), node.text)


def _authority(header: Node, x: Any, side: str, address: str) -> Any:
    if not address:
        x.flag("no-address", " From", f"nobody says who the {side} is: its numbers are the sender's")
        return f"{x.sender.authority}"
    at = next((c for c in (*header.children, header) if c.text == address), None)
    uri = address_uri(x, side, address)
    return x.from_(uri, at, "text()", "@Qualifier") if at is not None else uri


@named
def script_id(node: Node, x: Any) -> Any:
    """Give a MessageID where FHIR's `id` can hold it."""
    if _ID.fullmatch(node.text):
        return x.from_(node.text, node, "text()")
    if node.text:
        x.fail("not-an-id", node.text)
    return None


@named
def icd10cm(node: Node, x: Any) -> Any:
    """Give an ICD-10-CM code with its dot, which SCRIPT leaves out."""
    return x.from_(spelled(_ICD, node.text), node, "text()") if node.text else None


@named
def script_answer(node: Node, x: Any) -> Any:
    """Give what is answered or was filled (Approved, PartiallyDispensed ...), else the code of a Status."""
    script: Script = x.document
    answer = script.answer
    if len({c.tag for c in script.choices}) > 1:
        x.flag("several-answers", " Response", "it answers more than one thing; a denial counts", True)
    if answer is None:
        return fill_status(script)[0] or None
    if answer.kind != script.transaction:
        return answer.kind
    return " ".join((answer.kind, *(c.code for c in answer.codes)))
