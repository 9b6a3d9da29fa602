"""Who may ask a DICOM node for what: titles, networks, services; and the presentation contexts that follow.

In: a node's settings and who calls. Out: the reason to reject an association, or the contexts it supports for
this caller, transfer syntaxes in our order (PS3.8 7.1.1.14). Follows PS3.8 table 9-21 (reasons) and PS3.7
D.3.3.4 (roles: who asks with C-GET is the SCP of what comes back).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from pynetdicom import build_context

from engine.formats.dicom.uids import EXPLICIT, IMPLICIT, TRANSFER_SYNTAXES
from engine.listeners.allow import AllowList
from engine.listeners.dicom_settings import DicomSettings

__all__ = [
    "COMMITMENT",
    "COMMITMENT_INSTANCE",
    "LIMIT",
    "MPPS",
    "SERVICES",
    "VERIFICATION",
    "WORKLIST",
    "Policy",
    "Rejected",
]

VERIFICATION = "1.2.840.10008.1.1"
WORKLIST = "1.2.840.10008.5.1.4.31"
MPPS = "1.2.840.10008.3.1.2.3.3"
COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
SERVICES = {
    "1.2.840.10008.5.1.4.1.2.1.1": "find",  # patient root
    "1.2.840.10008.5.1.4.1.2.1.2": "retrieve",
    "1.2.840.10008.5.1.4.1.2.1.3": "retrieve",
    "1.2.840.10008.5.1.4.1.2.2.1": "find",  # study root
    "1.2.840.10008.5.1.4.1.2.2.2": "retrieve",
    "1.2.840.10008.5.1.4.1.2.2.3": "retrieve",
    WORKLIST: "worklist",
    MPPS: "mpps",
    COMMITMENT: "commitment",
}
_PLAIN = [EXPLICIT, IMPLICIT]


class Rejected(NamedTuple):
    """Why an association is not accepted (PS3.8 table 9-21), with a stable word for it."""

    word: str
    result: int
    source: int
    reason: int


CALLING = Rejected("calling-title", 1, 1, 3)
CALLED = Rejected("called-title", 1, 1, 7)
LIMIT = Rejected("limit", 2, 3, 2)


class Policy:
    """The rules of one node."""

    def __init__(self, settings: DicomSettings) -> None:
        self._settings = settings
        self._networks = AllowList(settings.allow)
        self._peers = {
            peer.ae_title: (AllowList(peer.allow or settings.allow), frozenset[str](peer.may))
            for peer in settings.peers
        }
        self._others = frozenset[str](settings.others)

    def may_connect(self, address: str) -> bool:
        """Say whether any system may call from an address."""
        return address in self._networks or any(address in networks for networks, _ in self._peers.values())

    def may(self, calling: str, address: str) -> frozenset[str]:
        """Return the services a system may use; none: it is not known, or calls from where it may not."""
        known = self._peers.get(calling)
        if known is not None:
            networks, services = known
            return services if address in networks else frozenset()
        return self._others if address in self._networks else frozenset()

    def judge(self, called: str, calling: str, address: str) -> frozenset[str] | Rejected:
        """Return the services of who calls, or why the association is rejected."""
        if called != self._settings.ae_title and not self._settings.any_called:
            return CALLED
        return self.may(calling, address) or CALLING

    def contexts(self, proposed: Iterable[str], may: frozenset[str]) -> list[Any]:
        """Return the contexts this node supports, of the abstract syntaxes a caller proposes."""
        out = []
        for abstract in dict.fromkeys(proposed):
            service = SERVICES.get(abstract)
            if abstract == VERIFICATION or service in may:
                out.append(build_context(abstract, _PLAIN))
            elif service is None and self._settings.takes_class(abstract) and {"store", "retrieve"} & may:
                context = build_context(abstract, list(TRANSFER_SYNTAXES))
                # without roles the one who calls stores; with them it may be sent what it asks for (C-GET)
                context.scu_role, context.scp_role = "store" in may, "retrieve" in may
                out.append(context)
        return out
