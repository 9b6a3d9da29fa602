"""Small X12 interchanges for the tests of the mapper."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from engine.mapping.from_x12 import Sent, arrivals
from engine.mapping.project import Maps

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "sample_messages" / "x12"

BLANK = "*00*" + 10 * " "

HEAD = """BHT*0019*00*REF1*20260914*0830*CH
NM1*41*2*NORTHBAY CLINIC*****46*NB1001
NM1*40*2*BLUEPEAK*****46*BP7700
HL*1**20*1
PRV*BI*PXC*207Q00000X
NM1*85*2*NORTHBAY CLINIC*****XX*1400007013
N3*12 HARBOR WAY
N4*PORTLAND*OR*97201
REF*EI*931234567
"""
SELF = """HL*2*1*22*0
SBR*P*18*GRP1******CI
NM1*IL*1*ABERNATHY*JUNIPER****MI*BPK1
DMG*D8*19790412*F
NM1*PR*2*BLUEPEAK*****PI*BP7700
"""
PARENT = """HL*2*1*22*1
SBR*P**GRP1******CI
NM1*IL*1*TREMBLAY*ODILE****MI*BPK4
DMG*D8*19850730*F
NM1*PR*2*BLUEPEAK*****PI*BP7700
"""


def interchange(body: str, set_id: str = "837", guide: str = "005010X222A1") -> bytes:
    """Wrap the segments between ST and SE, one a line."""
    inner = [line for line in body.strip().splitlines() if line]
    segments = [
        f"ISA{BLANK}{BLANK}*ZZ*NORTHBAY       *ZZ*BLUEPEAK       *260914*0830*^*00501*000000101*0*T*:",
        f"GS*HC*NORTHBAY*BLUEPEAK*20260914*0830*101*X*{guide}",
        f"ST*{set_id}*0001*{guide}",
        *inner,
        f"SE*{len(inner) + 2}*0001",
        "GE*1*101",
        "IEA*1*000000101",
    ]
    return ("~\n".join(segments) + "~\n").encode()


def sent(body: str, set_id: str = "837", guide: str = "005010X222A1") -> Sent:
    """Read the one transaction set of such an interchange."""
    (only,) = arrivals(interchange(body, set_id, guide))
    return only


@cache
def maps() -> Maps:
    """The project's own maps of X12."""
    return Maps.open(ROOT).of("x12")
