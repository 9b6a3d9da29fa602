"""Which message structure a message has, and the one tree its segments are put into.

In: MSH-9 and MSH-12. Out: a structure name (HL7 table 0354) and the group tree to arrange by. Structures grow
from version to version; so that a map is written once, every message is arranged by the newest structure of
its name that the dictionary holds (2.8.2 for most, 2.6 for ORM_O01), with these changes: ORC always stands
directly in ORDER_OBSERVATION (2.8 wraps it in COMMON_ORDER). An OBX between PID and the first order is a
PATIENT_OBSERVATION where orders follow and the version (2.7 and later) or a PV1 behind it says so; else it is
a result whose OBR is missing. An OBX between ORC and OBR is an ORDER_DOCUMENT only in a message that has a
TXA. Where SPM always stands between OBR and the results of an ORU, they are the order's results, not the
specimen's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from engine.formats.hl7v2.delims import Repair
from engine.formats.hl7v2.dictionary import GroupDef, SegmentRef, version, versions

if TYPE_CHECKING:
    from engine.formats.hl7v2.parse import Message

__all__ = ["identify", "structure_for", "tree"]

# HL7 table 0354 (2.5.1, with 2.8 additions): structure -> the other events that use it.
_EVENTS = """
ADT_A01 A04 A08 A13          ADT_A05 A14 A28 A31          ADT_A06 A07                ADT_A09 A10 A11
ADT_A21 A22 A23 A25 A26 A27 A29 A32 A33                   ADT_A30 A34 A35 A36 A46 A47 A48 A49
ADT_A39 A40 A41 A42          ADT_A43 A44                  ADT_A50 A51                ADT_A52 A53
ADT_A54 A55                  ADT_A61 A62                  CRM_C01 C02 C03 C04 C05 C06 C07 C08
CSU_C09 C10 C11 C12          MDM_T01 T03 T05 T07 T09 T11  MDM_T02 T04 T06 T08 T10
MFK_M01 M02 M03 M04 M05 M06 M07 M08 M09 M10 M11 M12 M13 M14
MFQ_M01 M02 M03 M04 M05 M06 M07 M08 M09 M10 M11 M12 M13 M14
ORU_R01 R40                  ORU_R30 R31 R32              PEX_P07 P08                PGL_PC6 PC7 PC8
PMU_B01 B02                  PMU_B04 B05 B06              PPG_PCG PCH PCJ            PPP_PCB PCC PCD
PPR_PC1 PC2 PC3              QBP_Q11 Q31                  QBP_Q21 Q22 Q23 Q24 Q25 Q32
QRY_PC4 PC9 PCE PCK          QRY_Q01 Q26 Q27 Q28 Q29 Q30  RAS_O17 O01                RDE_O11 O25 O01
RDS_O13 O01                  REF_I12 I13 I14 I15          RGV_O15 O01                RPA_I08 I09 I10 I11
RQA_I08 I09 I10 I11          RQC_I05 I06                  RQI_I01 I02 I03            RRA_O18 O02
RRD_O14 O02                  RRE_O12 O26 O02              RRG_O16 O02                RRI_I12 I13 I14 I15
RSP_K21 K22                  RSP_K23 K24                  CCR_I16 I17 I18            SLR_S28 S29
SIU_S12 S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23 S24 S26 S27
SRM_S01 S02 S03 S04 S05 S06 S07 S08 S09 S10 S11           SRR_S01 S02 S03 S04 S05 S06 S07 S08 S09 S10 S11
"""
_OTHERS = {
    "PIN_I07": "RQI_I01",
    "LSR_U13": "LSU_U12",
    "TCR_U11": "TCU_U10",
    "QSX_J02": "QCN_J01",
    "RDY_Z98": "RDY_K15",
    "QSB_Z83": "QSB_Q16",
    "SCN_S37": "SDR_S32",
    "SDN_S36": "SDR_S31",
    "SMD_S32": "SDR_S32",
    "SLN_S34": "SLR_S28",
    "SLN_S35": "SLR_S28",
    "STI_S30": "SLR_S28",
    "MFN_M14": "MFN_Znn",
}
_TWO_PATIENTS = ("ADT_A17", "ADT_A24", "ADT_A37")
_WITHOUT_EVENT = {
    "ORU": "ORU_R01",
    "ORM": "ORM_O01",
    "OML": "OML_O21",
    "VXU": "VXU_V04",
    "ACK": "ACK",
    "ADT": "ADT_A01",
}


@lru_cache(maxsize=1)
def _by_event() -> dict[str, str]:
    found = dict(_OTHERS)
    structure = ""
    for word in _EVENTS.split():
        if "_" in word:
            structure = word
        else:
            found[f"{structure[:3]}_{word}"] = structure
    return found


@lru_cache(maxsize=2048)
def identify(code: str, event: str, declared: str, number: str) -> str:
    """Give the structure of a message; MSH-9.3 decides where it is known and fits the event."""
    code, event, declared = code.upper(), event.upper(), declared.strip()
    usual = _of_event(code, event)
    named = _by_event().get(declared, declared)  # many write ADT_A08 where the table says ADT_A01
    if named and named != usual and (named.startswith(code + "_") or not code) and tree(named):
        expected = tree(usual) if usual else None
        if expected is None or _required(expected) <= _names(tree(named)):
            return named
    return usual


def structure_for(message: Message) -> GroupDef | None:
    """Give the tree to arrange a message by; nothing for a structure that no version knows."""
    name = identify(message.code, message.event, message.structure, message.version)
    if not name:
        return None
    if not _varies(name):
        return tree(name)
    patient, document, early = _content(message)
    if early and name == "ORU_R01":
        repair = Repair(
            "specimen-before-results", "SPM[1]", "SPM stands before the results: they belong to the order"
        )
        if repair not in message.repairs:
            message.repairs.append(repair)
    return tree(name, patient, document, early and name == "ORU_R01")


def _content(message: Message) -> tuple[bool, bool, bool]:
    """Tell whether a message has patient observations, order documents, SPM always before results."""
    before = visit = patient = document = False  # before: an OBX ahead of the first order
    first = after = early = late = False  # first: SPM seen in this order; after: OBX seen in this order
    for segment in message.segments:
        name = segment.name
        if name == "OBX":
            early = early or first
            after = True
            before = before or not patient
        elif name in ("OBR", "ORC"):
            if before and not patient:
                patient = visit or int(version(message.version).number.split(".")[1]) >= 7
            before = first = after = False
        elif name == "SPM":
            first = not after
            late = late or after
        elif name == "PV1":
            visit = before
        elif name == "TXA":
            document = True
    return patient, document, early and not late


@lru_cache(maxsize=1024)
def _varies(name: str) -> bool:
    found = tree(name)
    return found is not None and any(
        group in _groups(found) for group in ("PATIENT_OBSERVATION", "ORDER_DOCUMENT")
    )


@lru_cache(maxsize=1024)
def tree(
    name: str, patient_observations: bool = True, documents: bool = True, specimen_first: bool = False
) -> GroupDef | None:
    """Give the arrangement tree of a structure: the newest version's, with the changes this module states."""
    dropped = set() if patient_observations else {"PATIENT_OBSERVATION"}
    if not documents:
        dropped.add("ORDER_DOCUMENT")
    if specimen_first:
        dropped.add("SPECIMEN_OBSERVATION")
    for number in reversed(versions()):
        found = version(number).structure(name)
        if found is not None:
            adapted = _adapted(found, frozenset(dropped))
            return _paired(adapted) if name in _TWO_PATIENTS else adapted
    return None


def _paired(group: GroupDef) -> GroupDef:
    """Put what is said of the second patient into a group of its own."""
    second = [i for i, child in enumerate(group.children) if child.name == "PID"][1]
    other = GroupDef("OTHER", 1, 1, group.children[second:])
    return GroupDef(group.name, group.min, group.max, (*group.children[:second], other), group.choice)


def _of_event(code: str, event: str) -> str:
    if code == "ACK":
        return "ACK"
    if not event:
        return _WITHOUT_EVENT.get(code, "")
    own = f"{code}_{event}"
    other = _by_event().get(own)
    if other is not None and tree(other) is not None:
        return other
    return own if tree(own) is not None else ""


def _adapted(group: GroupDef, dropped: frozenset[str]) -> GroupDef:
    children: list[GroupDef | SegmentRef] = []
    for child in group.children:
        if isinstance(child, SegmentRef):
            children.append(child)
        elif child.name in dropped:
            continue
        elif child.choice or (child.name == "COMMON_ORDER" and "OBR" not in _names(child)):
            children += _optional(_adapted(child, dropped))
        else:
            children.append(_adapted(child, dropped))
    if "SPECIMEN_OBSERVATION" in dropped and group.name == "ORDER_OBSERVATION":
        children.sort(
            key=lambda child: {"SPECIMEN": 1, "OBSERVATION": 2, "FT1": 3, "CTI": 3}.get(child.name, 0)
        )
    return GroupDef(group.name, group.min, group.max, tuple(children), group.choice)


def _optional(group: GroupDef) -> list[GroupDef | SegmentRef]:
    """Give a group's children as optional ones, to stand in the group around it."""
    return [
        SegmentRef(c.name, 0, c.max) if isinstance(c, SegmentRef) else GroupDef(c.name, 0, c.max, c.children)
        for c in group.children
    ]


def _groups(group: GroupDef) -> frozenset[str]:
    names: set[str] = set()
    for child in group.children:
        if isinstance(child, GroupDef):
            names |= {child.name} | _groups(child)
    return frozenset(names)


def _names(group: GroupDef | None) -> frozenset[str]:
    if group is None:
        return frozenset()
    names: set[str] = set()
    for child in group.children:
        names |= {child.name} if isinstance(child, SegmentRef) else _names(child)
    return frozenset(names)


def _required(group: GroupDef) -> frozenset[str]:
    names: set[str] = set()
    for child in group.children:
        if child.min:
            names |= {child.name} if isinstance(child, SegmentRef) else _required(child)
    return frozenset(names)
