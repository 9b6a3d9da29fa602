"""How FHIR values are written where a row alone cannot say it: dates, periods, numbers of telephones, ids.

Each function takes a node and gives text, empty where the target cannot hold the value as it is, None where
nothing is to be written: a month is never written as its first day, a time without a zone gets none. X12 data
types DT and TM; CDA datatypes TS and II; HL7 v2 DTM.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal

from engine.mapping.outbound.conditions import text
from engine.mapping.outbound.resources import Node, Resources, child_nodes

__all__ = ["FUNCTIONS"]

_SENT = "http://hl7.org/fhir/StructureDefinition/originalText"
_DATE = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?)?)?"
)


def day(node: Node, resources: Resources) -> str:
    """Write the day: 20260901; empty for a month or a year."""
    found = _DATE.fullmatch(text(node))
    return "".join(found.group(1, 2, 3)) if found and found[3] else ""


def written_day(node: Node, resources: Resources) -> str:
    """Write the day as it was written down: 2026-09-01; empty for a month or a year."""
    found = _DATE.fullmatch(text(node))
    return "-".join(found.group(1, 2, 3)) if found and found[3] else ""


def minutes(node: Node, resources: Resources) -> str:
    """Write hour and minute: 0830."""
    found = _DATE.fullmatch(text(node))
    return "".join(found.group(4, 5)) if found and found[4] else ""


def _as_sent(node: Node, resources: Resources, day: str) -> str:
    """Give the time as it was sent where FHIR could keep its day alone: it had no zone (`originalText`)."""
    for extension in child_nodes(node, "extension"):
        said = extension.value.get("valueString", "")
        if extension.value.get("url") == _SENT and re.fullmatch(day + r"\d{4}(\d\d)?(\.\d+)?", said):
            resources.note(f"{extension.place}.url")
            resources.note(f"{extension.place}.valueString")
            return str(said)
    return ""


def stamp(node: Node, resources: Resources) -> str:
    """Write a time as TS and DTM do, as precise as it is: 2026, 20260901, 20260901083000.5+0100."""
    found = _DATE.fullmatch(text(node))
    if not found:
        return ""
    if len(text(node)) == len("2026-09-01"):
        local = _as_sent(node, resources, "".join(found.group(1, 2, 3)))
        if local:
            return local
    zone = {None: "", "Z": "+0000"}.get(found[8], (found[8] or "").replace(":", ""))
    return "".join(g or "" for g in found.groups()[:7]) + zone


def _ends(node: Node, resources: Resources) -> tuple[str, str]:
    days = []
    for name in ("start", "end"):
        found = child_nodes(node, name)
        days.append(day(found[0], resources) if found else "")
        if days[-1]:
            resources.note(found[0].place)
    return days[0], days[1]


def days(node: Node, resources: Resources) -> str:
    """Write a Period as 20260901-20260930, one day or a date as 20260901."""
    if node.kind != "Period":
        return day(node, resources)
    start, end = _ends(node, resources)
    return f"{start}-{end}" if start and end and start != end else start or end


def days_form(node: Node, resources: Resources) -> str:
    """Say which form `days` has: D8 or RD8."""
    written = days(node, resources)
    return "" if not written else "RD8" if "-" in written else "D8"


def digits(node: Node, resources: Resources) -> str:
    """Keep the digits of a telephone number or postal code."""
    return re.sub(r"\D", "", text(node).removeprefix("tel:").removeprefix("+1"))


def compact(node: Node, resources: Resources) -> str:
    """Take points and blanks out of a code: J01.90 becomes J0190."""
    return re.sub(r"[.\s]", "", text(node))


def compact_zip(node: Node, resources: Resources) -> str:
    """Take the dash out of a US ZIP code; any other postal code stays as it is."""
    said = text(node).strip()
    return said.replace("-", "") if re.fullmatch(r"\d{5}-\d{4}", said) else said


def diagnosis_pointer(node: Node, resources: Resources) -> str:
    """Give the place of a diagnosis in its claim, from 1, by its sequence; empty where there is none."""
    claim = resources.holder(node)
    for n, diagnosis in enumerate(child_nodes(claim, "diagnosis") if claim is not None else (), 1):
        if diagnosis.value.get("sequence") == node.value:
            resources.note(f"{diagnosis.place}.sequence")
            return str(n)
    return ""


def _says_place(claim: Node) -> bool:
    """Say whether a claim has a place of service of its own."""
    return any(
        c.get("code") == "CLM-05"
        for info in claim.value.get("supportingInfo", ())
        for c in info.get("category", {}).get("coding", ())
    )


def line_place(node: Node, resources: Resources) -> str | None:
    """Give the place of service of a line where it is not that of the claim, which is its first line's."""
    match = re.match(r"(.*\.item)\[(\d+)\](.*)", node.place)
    if match is None:
        return None
    claim = resources.holder(node)
    if claim is None or _says_place(claim):
        return text(node)
    if match[2] == "0":
        return None
    for concept in child_nodes(child_nodes(claim, "item")[0], "location"):
        if any(c.get("code") == node.value for c in concept.value.get("coding", ())):
            resources.note(node.place)
            return None
    return text(node)


def oid(node: Node, resources: Resources) -> str:
    """Write an id or system that is an OID or UUID without its urn: prefix; empty for any other."""
    said = text(node)
    for prefix in ("urn:oid:", "urn:uuid:"):
        if said.startswith(prefix):
            return said.removeprefix(prefix)
    return said if re.fullmatch(r"[0-2](\.\d+)+", said) else ""


def text_type(node: Node, resources: Resources) -> str:
    """Write the type of a text in HL7 v2.5.1: ST up to 199 characters on one line, else TX (ch. 2A.3.71)."""
    said = text(node)
    return "TX" if len(said) > 199 or "\n" in said else "ST"


def there(node: Node, resources: Resources) -> str:
    """Give Y where anything stands."""
    return "Y"


def authority_type(node: Node, resources: Resources) -> str | None:
    """Say what kind of universal id a system is: ISO, UUID or URI."""
    said = text(node)
    if said.startswith("urn:oid:") or said in resources.oids:
        return "ISO"
    return "UUID" if said.startswith("urn:uuid:") else "URI" if ":" in said else None


def authority_id(node: Node, resources: Resources) -> str:
    """Write a system as a universal id: an OID or UUID bare, any other as it is."""
    return resources.oids.get(text(node), "") or oid(node, resources) or text(node)


def telecom_url(node: Node, resources: Resources) -> str:
    """Write a ContactPoint as the URL that TEL holds: tel:, mailto:, x-text-fax: or the address itself."""
    said = {name: child_nodes(node, name) for name in ("system", "value")}
    if not said["value"]:
        return ""
    value, system = text(said["value"][0]), text(said["system"][0]) if said["system"] else ""
    for found in said.values():
        for each in found:
            resources.note(each.place)
    scheme = {"phone": "tel:", "pager": "tel:", "sms": "tel:", "fax": "x-text-fax:", "email": "mailto:"}.get(
        system, ""
    )
    return value if value.startswith(scheme) or ":" in value else scheme + value.replace(" ", "")


def own_reference(node: Node, resources: Resources) -> str:
    """Point to the row of the narrative that `own_id` names."""
    return f"#{own_id(node, resources)}"


def _interval(node: Node, resources: Resources) -> tuple[str, str]:
    """Give length and unit between two doses: 2 in 1 d is 12 h; empty where that is no round number."""
    found = {}
    for name in ("period", "frequency", "periodUnit"):
        inner = child_nodes(node, name)
        if not inner:
            return "", ""
        found[name] = inner[0]
    length, times = Decimal(text(found["period"])), Decimal(text(found["frequency"]))
    unit = text(found["periodUnit"])
    if times == 1:
        each = length
    elif unit in ("d", "h") and times > 0 and (length * (24 if unit == "d" else 60)) % times == 0:
        each, unit = length * (24 if unit == "d" else 60) / times, "h" if unit == "d" else "min"
    else:
        return "", ""
    for inner_node in found.values():
        resources.note(inner_node.place)
    return format(each.normalize() if each % 1 else each.to_integral_value(), "f"), unit


def interval(node: Node, resources: Resources) -> str | None:
    """Give the time between two doses of Timing.repeat."""
    return _interval(node, resources)[0] or None


def interval_unit(node: Node, resources: Resources) -> str | None:
    """Give the unit of `interval`."""
    return _interval(node, resources)[1] or None


def fills(node: Node, resources: Resources) -> str:
    """Count the fills that CDA counts: the first and the repeats that FHIR counts."""
    return str(int(node.value) + 1)


def yes_no(node: Node, resources: Resources) -> str:
    """Write a boolean as Y or N."""
    return {True: "Y", False: "N"}.get(node.value, "") if isinstance(node.value, bool) else ""


def own_id(node: Node, resources: Resources) -> str:
    """Give the id under which a resource is known: Claim/c1."""
    return re.sub(r"[^A-Za-z0-9.-]", "-", node.place)


_SUBID = "http://hl7.org/fhir/StructureDefinition/observation-v2-subid"


def part_group(node: Node, resources: Resources) -> str:
    """Give the number that the parts of one result share: its sub-id, else its place among such results."""
    whole = resources.holder(node)
    if whole is None:
        return ""
    for extension in child_nodes(whole, "extension"):
        if extension.value.get("url") == _SUBID:
            for part in child_nodes(extension, "extension"):
                if part.value.get("url") == "original-sub-identifier":
                    return str(part.value.get("valueString", ""))
    parted = [n.place for n in resources.nodes if n.kind == whole.kind and n.value.get("component")]
    return str(parted.index(whole.place) + 1) if whole.place in parted else ""


def part_number(node: Node, resources: Resources) -> str:
    """Give the number of a part in a list, after that of its whole where there is one: 1.2."""
    found = re.search(r"\[(\d+)\]$", node.place)
    group = part_group(node, resources)
    own = str(int(found[1]) + 1) if found else "1"
    return f"{group}.{own}" if group else own


_MEDIA = {"application": "AP", "audio": "AU", "image": "IM", "text": "TEXT"}


def _media(node: Node, resources: Resources) -> tuple[str, str]:
    """Give type and subtype of an Attachment or a media type; an unsaid one is a stream of octets."""
    said = node.value.get("contentType") if isinstance(node.value, dict) else text(node)
    if isinstance(node.value, dict) and said:
        resources.note(f"{node.place}.contentType")
    main, _, sub = str(said or "application/octet-stream").partition(";")[0].strip().partition("/")
    return main, sub


def media_type(node: Node, resources: Resources) -> str:
    """Write the type of a document as HL7 table 0191 has it: AP, AU, IM, TEXT."""
    main, _ = _media(node, resources)
    return _MEDIA.get(main, main)


def media_subtype(node: Node, resources: Resources) -> str:
    """Write the subtype of a document: PDF, JPEG, plain."""
    _, sub = _media(node, resources)
    return sub.upper() if sub in ("pdf", "jpeg", "gif", "tiff", "rtf", "html", "xml", "dicom") else sub


FUNCTIONS: Mapping[str, Callable[[Node, Resources], str | None]] = {
    f.__name__: f
    for f in (
        fills,
        interval,
        interval_unit,
        authority_id,
        authority_type,
        telecom_url,
        own_reference,
        day,
        written_day,
        minutes,
        stamp,
        days,
        days_form,
        digits,
        compact,
        compact_zip,
        diagnosis_pointer,
        line_place,
        oid,
        text_type,
        there,
        yes_no,
        own_id,
        part_group,
        part_number,
        media_type,
        media_subtype,
    )
}
