"""Synthetic messages for the system tests: made here, about nobody."""

from __future__ import annotations

from base64 import b64encode

AUTHORITY = "SYSTEST"


def result(
    control: str,
    mrn: str,
    value: object,
    *,
    order: str = "",
    status: str = "F",
    family: str = "",
    born: str = "19800214",
) -> bytes:
    """Make an ORU^R01 with one numeric result of one order; the same order again is the same result."""
    return header(control) + group(mrn, value, order or f"F{control}", status, family, born)


def header(control: str) -> bytes:
    """Make the MSH of an ORU^R01."""
    return (
        f"MSH|^~\\&|SYSLAB|EAST|HUB|HOSP|20260115093000-0500||ORU^R01^ORU_R01|{control}|P|2.5.1\r"
    ).encode()


def group(
    mrn: str, value: object, order: str, status: str = "F", family: str = "", born: str = "19800214"
) -> bytes:
    """Make one PATIENT_RESULT group; a `value` of bytes is a PDF."""
    obx = f"NM|2823-3^Potassium^LN||{value}|mmol/L^^UCUM"
    if isinstance(value, bytes):
        obx = f"ED|11502-2^Report^LN||^application^pdf^Base64^{b64encode(value).decode()}|"
    at = "20260115084500-0500"
    return (
        f"PID|1||{mrn}^^^{AUTHORITY}^MR||{family or 'Family' + mrn}^Ada||{born}|F\r"
        f"ORC|RE|P{order}^EHR|{order}^SYSLAB\r"
        f"OBR|1|P{order}^EHR|{order}^SYSLAB|2823-3^Potassium^LN|||{at}||||||||||||||||||{status}\r"
        f"OBX|1|{obx}|||||{status}|||{at}\r"
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
