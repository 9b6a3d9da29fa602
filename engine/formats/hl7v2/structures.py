"""Which message structure a message has, and the one tree its segments are put into.

In: MSH-9 and MSH-12. Out: a structure name (HL7 table 0354) and the group tree to arrange by. Structures grow from
version to version; so that a map is written once, every message is arranged by the newest structure of its name that
the dictionary holds (2.8.2 for most, 2.6 for ORM_O01), with these changes:
ORC always stands directly in ORDER_OBSERVATION (2.8 wraps it in COMMON_ORDER), and PATIENT_OBSERVATION exists only
for messages of 2.7 and later: before, an OBX between PID and OBR is a result whose OBR is missing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

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
RSP_K21 K22                  RSP_K23 K24                  SIU_S12 S13 S14 S15 S16 S17 S18 S19 S20 S21 S22 S23 S24 S26 S27
SRM_S01 S02 S03 S04 S05 S06 S07 S08 S09 S10 S11           SRR_S01 S02 S03 S04 S05 S06 S07 S08 S09 S10 S11
CCR_I16 I17 I18              SLR_S28 S29
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
    if declared and declared != usual and (declared.startswith(code + "_") or not code) and tree(declared):
        expected = tree(usual) if usual else None
        if expected is None or _required(expected) <= _names(tree(declared)):
            return declared
    return usual


def structure_for(message: Message) -> GroupDef | None:
    """Give the tree to arrange a message by; nothing for a structure that no version knows."""
    name = identify(message.code, message.event, message.structure, message.version)
    if not name:
        return None
    numbers = version(message.version).number.split(".")
    return tree(name, int(numbers[1]) >= 7)


@lru_cache(maxsize=1024)
def tree(name: str, patient_observations: bool = True) -> GroupDef | None:
    """Give the arrangement tree of a structure: the newest version's, with the changes this module states."""
    for number in reversed(versions()):
        found = version(number).structure(name)
        if found is not None:
            return _adapted(found, patient_observations)
    return None


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


def _adapted(group: GroupDef, patient_observations: bool) -> GroupDef:
    children: list[GroupDef | SegmentRef] = []
    for child in group.children:
        if isinstance(child, SegmentRef):
            children.append(child)
        elif child.name == "ORDER_DOCUMENT" or (
            child.name == "PATIENT_OBSERVATION" and not patient_observations
        ):
            continue
        elif child.name == "COMMON_ORDER" and "OBR" not in _names(child):
            children += [SegmentRef(c.name, 0, c.max) for c in child.children if isinstance(c, SegmentRef)]
        elif child.choice:
            children += [c for c in _adapted(child, patient_observations).children]
        else:
            children.append(_adapted(child, patient_observations))
    return GroupDef(group.name, group.min, group.max, tuple(children), group.choice)


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
