"""An NCPDP SCRIPT message: which transaction it is, from whom to whom, and what it belongs to.

In: bytes. Out: `Script`; `emit` gives the very bytes back, because a controlled substance's prescription is
signed over them. Namespaces and versions do not matter to the reader; a transaction that it does not know is
read all the same. Follows NCPDP SCRIPT 2017071 and 2023011 (Message, Header, Body).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from lxml import etree

from engine.formats.ncpdp.elements import (
    Code,
    Element,
    child,
    children,
    first_text,
    local,
    read_code,
    read_date,
    text,
)
from engine.formats.xml.encoding import Repair
from engine.formats.xml.places import Leaf, Places, leaves
from engine.formats.xml.read import Limits, read_xml, root_name
from engine.kernel.errors import FormatError

__all__ = ["OUTCOMES", "TRANSACTIONS", "Answer", "Script", "emit", "is_script", "parse"]

TRANSACTIONS = (
    *("NewRx", "CancelRx", "CancelRxResponse", "RxChangeRequest", "RxChangeResponse"),
    *("RxRenewalRequest", "RxRenewalResponse", "RxFill", "Status", "Error", "Verify"),
)
OUTCOMES = (
    *("Approved", "ApprovedWithChanges", "Denied", "Replace", "Validated", "Pending"),
    *("DenyNewToFollow", "DeniedNewPrescriptionToFollow"),
)
_PRESCRIBER, _PHARMACY = frozenset({"D", "C"}), frozenset({"P"})
_VERSIONS = ("TransactionVersion", "StructuresVersion", "DatatypesVersion", "TransportVersion")


class Answer(NamedTuple):
    """What a response says: Approved, Denied, ApprovedWithChanges ...; or a Status, an Error, a Verify."""

    kind: str
    codes: tuple[Code, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """One message, read; addresses of its elements by `places`."""

    raw: bytes
    root: Element
    charset: str
    repairs: tuple[Repair, ...]
    transaction: str  # NewRx, CancelRx ...; the name of the first element in Body
    version: str  # as the root says, empty where it does not
    id: str  # MessageID
    relates_to: str  # MessageID of the message this one answers
    sender: Code  # From, its qualifier P (pharmacy), D (prescriber), M, C ...
    receiver: Code
    sent: str  # FHIR dateTime, or the day where no zone is said
    order_number: str  # the prescriber's number of the prescription
    reference_number: str  # the pharmacy's number of it
    test: bool
    body: Element | None  # the transaction's element
    places: Places = field(repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What sites match on: from whom to whom, in which version, what it is."""
        return {
            "From": self.sender.code,
            "From-Qualifier": self.sender.qualifier,
            "To": self.receiver.code,
            "To-Qualifier": self.receiver.qualifier,
            "Version": self.version,
            "Transaction": self.transaction,
        }

    @property
    def answer(self) -> Answer | None:
        """Say what is answered; None for a transaction that answers nothing."""
        if self.body is None:
            return None
        if self.transaction in ("Status", "Error", "Verify"):
            inner = child(self.body, "VerifyStatus")
            return _answer(self.transaction, self.body if inner is None else inner)
        choices = self.choices
        if not choices:
            return None
        choice = next((c for c in choices if local(c).startswith("Den")), choices[0])
        return _answer(local(choice), choice)

    @property
    def choices(self) -> list[Element]:
        """The elements that say what is answered; some senders leave out the Response around them."""
        found = [choice for response in children(self.body, "Response") for choice in response]
        return found or list(children(self.body, *OUTCOMES))

    @property
    def outcome(self) -> str:
        """What is answered, in one word: a denial of any kind is `Denied`, and beats what stands beside it;
        empty where nothing is answered, or two things that are not the same."""
        names = dict.fromkeys(local(c) for c in self.choices)
        if any(n.startswith("Den") for n in names):
            return "Denied"
        return next(iter(names), "") if len(names) == 1 else ""

    @property
    def prescriber(self) -> str:
        """The prescriber's address: whose PrescriberOrderNumber it is, whoever sends the message."""
        return _side(self, _PRESCRIBER) or _number(child(self.body, "Prescriber"), "NPI")

    @property
    def pharmacy(self) -> str:
        """The pharmacy's address: whose RxReferenceNumber it is, whoever sends the message."""
        who = child(self.body, "Pharmacy")
        return _side(self, _PHARMACY) or _number(who, "NCPDPID") or _number(who, "NPI")

    def leaves(self) -> list[Leaf]:
        """Every attribute and text that is populated, with its XPath."""
        return list(leaves(self.root))


def _side(script: Script, qualifiers: frozenset[str]) -> str:
    return next((a.code for a in (script.sender, script.receiver) if a.qualifier in qualifiers), "")


def _number(party: Element | None, kind: str) -> str:
    """Give a number of a party, in either shape: an element of that name, or a Qualifier."""
    for at in (party, child(party, "NonVeterinarian"), child(party, "Veterinarian")):
        for part in children(at, "Identification"):
            if part.get("Qualifier") == kind and not len(part):
                return text(part)
            if said := first_text(part, kind):
                return said
    return ""


def _answer(kind: str, element: Element) -> Answer:
    codes = (
        read_code(e) for e in children(element, "Code", "ReasonCode", "DenialReasonCode", "DescriptionCode")
    )
    words = first_text(element, "Description", "DenialReason", "Note", "Reason")
    return Answer(kind, tuple(c for c in codes if c is not None), words)


def is_script(data: bytes) -> bool:
    """Say whether the bytes are a SCRIPT message, by the root and its first children."""
    root = root_name(data)
    if root is None or root.local != "Message":
        return False
    if "ncpdp" in root.namespace.lower():
        return True
    head = data[:8192].replace(b"\0", b"")
    return b"Header" in head and (b"MessageID" in head or b"Version" in head)


def parse(data: bytes, limits: Limits | None = None) -> Script:
    """Read a message; a `FormatError` where it is no SCRIPT message or cannot be read."""
    xml = read_xml(data, limits)
    root = xml.root
    if local(root) != "Message":
        raise _refused("the root is not Message")
    header, body = child(root, "Header"), child(root, "Body")
    if header is None or body is None:
        raise _refused("Message has no Header or no Body")
    inner: etree._Element | None = next(iter(body), None)
    if inner is None:
        raise _refused("Body is empty")
    version = next((v for name in _VERSIONS if (v := (root.get(name) or "").strip())), "")
    if not version and root.get("version"):
        version = f"{root.get('version')}.{root.get('release') or ''}".strip(".")
    return Script(
        raw=xml.raw,
        root=root,
        charset=xml.charset,
        repairs=xml.repairs,
        transaction=local(inner),
        version=version,
        id=first_text(header, "MessageID"),
        relates_to=first_text(header, "RelatesToMessageID"),
        sender=_address(child(header, "From")),
        receiver=_address(child(header, "To")),
        sent=read_date(child(header, "SentTime")),
        order_number=first_text(header, "PrescriberOrderNumber"),
        reference_number=first_text(header, "RxReferenceNumber"),
        test=text(child(header, "TestMessage")).lower() in ("1", "true", "y"),
        body=inner,
        places=Places(root),
    )


def _address(element: Element | None) -> Code:
    return read_code(element) or Code("")


def emit(script: Script) -> bytes:
    """Give the message as it came in, byte for byte."""
    return script.raw


def _refused(why: str) -> FormatError:
    return FormatError(
        "no SCRIPT message", where="1:1", why=why, remedy="send an NCPDP SCRIPT message (2017071 or 2023011)"
    )
