"""Synthetic messages for the system tests: made here, about nobody."""

from __future__ import annotations

AUTHORITY = "SYSTEST"


def result(
    control: str, mrn: str, value: object, *, order: str = "", status: str = "F", **more: str
) -> bytes:
    """Make an ORU^R01 with one numeric result of one order; the same order again is the same result."""
    order = order or f"F{control}"
    family, born = more.get("family", f"Family{mrn}"), more.get("born", "19800214")
    obx5 = more.get("obx5", "")
    kind = "ED" if obx5 else "NM"
    return (
        f"MSH|^~\\&|SYSLAB|EAST|HUB|HOSP|20260115093000-0500||ORU^R01^ORU_R01|{control}|P|2.5.1\r"
        f"PID|1||{mrn}^^^{AUTHORITY}^MR||{family}^Ada||{born}|F\r"
        f"ORC|RE|P{order}^EHR|{order}^SYSLAB\r"
        f"OBR|1|P{order}^EHR|{order}^SYSLAB|2823-3^Potassium^LN|||20260115084500-0500||||||||||||||||||{status}\r"
        f"OBX|1|{kind}|2823-3^Potassium^LN||{obx5 or value}|{'' if obx5 else 'mmol/L^^UCUM'}|||||{status}|||20260115092000-0500\r"
    ).encode()


def admit(control: str, mrn: str, family: str, *, event: str = "A08", street: str = "1 Main Street") -> bytes:
    """Make an ADT about one patient."""
    return (
        f"MSH|^~\\&|SYSADT|EAST|HUB|HOSP|20260115093000-0500||ADT^{event}^ADT_A01|{control}|P|2.5.1\r"
        f"EVN|{event}|20260115093000-0500\r"
        f"PID|1||{mrn}^^^{AUTHORITY}^MR||{family}^Ada||19800214|F|||{street}^^Springfield^IL^62701\r"
        "PV1|1|N\r"
    ).encode()


def merge(control: str, survivor: str, retired: str, family: str) -> bytes:
    """Make an ADT^A40 that retires one number in favour of another."""
    return (
        f"MSH|^~\\&|SYSADT|EAST|HUB|HOSP|20260115093000-0500||ADT^A40^ADT_A39|{control}|P|2.5.1\r"
        "EVN|A40|20260115093000-0500\r"
        f"PID|1||{survivor}^^^{AUTHORITY}^MR||{family}^Ada||19800214|F\r"
        f"MRG|{retired}^^^{AUTHORITY}^MR\r"
    ).encode()
