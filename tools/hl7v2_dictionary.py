"""Compile the HL7 v2 dictionary of hl7apy (2.1 to 2.8.2) into the one file the engine ships.

Run it after an update of hl7apy: `python tools/hl7v2_dictionary.py`. Same input, same bytes: a test compares.
What is mended on the way: withdrawn fields that hl7apy skips or names after another field are taken from the
newest version that still defines them; group names lose their message prefix; the `..._SUPPGRP` names and
misspellings of single versions become the name the other versions use.
"""

from __future__ import annotations

import importlib
import json
import sys
import zlib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "engine" / "formats" / "hl7v2" / "data" / "dictionary.bin"
VERSIONS = ("2.1", "2.2", "2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.8", "2.8.1", "2.8.2")
MAGIC = b"HL7V2-DICTIONARY-1\n"

# One version's odd name -> the name the other versions give the same group. Key: (message, hl7apy's name).
GROUP_NAMES = {
    ("ORU_R01", "RESPONSE"): "PATIENT_RESULT",
    ("VXU_V04", "PATIENT"): "PATIENT_VISIT",
    ("MDM_T02", "OBXNTE_SUPPGRP"): "OBSERVATION",
    ("CSU_C09", "ORCRXARXR_SUPPGRP"): "STUDY_PHARM",
    ("CSU_C09", "RXARXR_SUPPGRP"): "RX_ADMIN",
    ("DOC_T12", "EVNPIDPV1TXAOBX_SUPPGRP"): "RESULT",
    ("ORF_R04", "OBXNTE_SUPPGRP"): "OBSERVATION",
    ("ORF_R04", "ORCOBRNTETQ1TQ2CTDOBXNTECTI_SUPPGRP"): "ORDER",
    ("ORF_R04", "PIDNTEORCOBRNTETQ1TQ2CTDOBXNTECTI_SUPPGRP"): "QUERY_RESPONSE",
    ("ORF_R04", "PIDNTE_SUPPGRP"): "PATIENT",
    ("ORF_R04", "TQ1TQ2_SUPPGRP"): "TIMING_QTY",
    ("OUL_R22", "OBXTCDSIDNTE_SUPPGRP"): "RESULT",
    ("OUL_R23", "OBXTCDSIDNTE_SUPPGRP"): "RESULT",
    ("OUL_R23", "PIDPD1NTE_SUPPGRP"): "PATIENT",
    ("OUL_R23", "PV1PV2_SUPPGRP"): "VISIT",
    ("OUL_R23", "SPMOBXSACINVOBRORCNTETQ1TQ2OBXTCDSIDNTECTI_SUPPGRP"): "SPECIMEN",
    ("OUL_R23", "TQ1TQ2_SUPPGRP"): "TIMING_QTY",
    ("OUL_R24", "OBXTCDSIDNTE_SUPPGRP"): "RESULT",
    ("OUL_R24", "PIDPD1NTE_SUPPGRP"): "PATIENT",
    ("OUL_R24", "PV1PV2_SUPPGRP"): "VISIT",
    ("OUL_R24", "SPMOBXSACINV_SUPPGRP"): "SPECIMEN",
    ("OUL_R24", "TQ1TQ2_SUPPGRP"): "TIMING_QTY",
    ("SUR_P09", "FACPDCNTE_SUPPGRP"): "FACILITY_DETAIL",
    ("SUR_P09", "FACPSHPDCPSHFACPDCNTEED_SUPPGRP"): "FACILITY",
    ("SUR_P09", "PSHPDC_SUPPGRP"): "PRODUCT",
}


def main() -> int:
    """Write the file and say how large it is."""
    data = compile_dictionary()
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(data)
    print(f"{TARGET.relative_to(ROOT)}: {len(data):,} bytes")
    return 0


def compile_dictionary() -> bytes:
    """Build the bytes of the dictionary file from the installed hl7apy."""
    modules = {v: importlib.import_module("hl7apy.v" + v.replace(".", "_")) for v in VERSIONS}
    pool = Pool()
    fields = {v: field_definitions(modules[v]) for v in VERSIONS}
    blocks: dict[str, Any] = {}
    segment_names: set[str] = set()
    datatype_names: set[str] = set()
    newest: dict[tuple[str, int], tuple[str, str, str]] = {}
    for version in VERSIONS:
        module = modules[version]
        segments = {}
        for name in sorted(module.SEGMENTS):
            rows = segment_rows(module, name, fields[version], newest)
            if rows:
                segments[name] = [
                    [number, low, high, pool.add(definition)] for number, low, high, definition in rows
                ]
        components = {}
        for name, structure in sorted(module.DATATYPES_STRUCTS.items()):
            components[name] = [
                [child[2][0], child[2][1], pool.add(described(child[1]))] for child in structure
            ]
        segment_names.update(segments)
        datatype_names.update(components)
        datatype_names.update(row[1] for row in fields[version].values() if row[1].isupper())
        blocks[f"{version}/grammar"] = {"segments": segments, "datatypes": components}
        blocks[f"{version}/structures"] = {
            name: tree(module, name, name) for name in sorted(module.MESSAGES) if "_" in name or name == "ACK"
        }
        tables = getattr(module, "TABLES", {})
        blocks[f"{version}/tables"] = {
            key.removeprefix("HL7"): [title, list(codes)] for key, (title, codes) in sorted(tables.items())
        }
    blocks["pool"] = pool.rows
    return pack(blocks, sorted(segment_names), sorted(datatype_names))


class Pool:
    """Every distinct (name, datatype, table) once."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []
        self.known: dict[tuple[str, str, str], int] = {}

    def add(self, row: tuple[str, str, str]) -> int:
        """Give the row's number, adding it when it is new."""
        if row not in self.known:
            self.known[row] = len(self.rows)
            self.rows.append(row)
        return self.known[row]


def described(row: Any) -> tuple[str, str, str]:
    """Give (name, datatype, table) of one of hl7apy's field or component tuples."""
    datatype, name, table = row[-4], row[-3], row[-2]
    return str(name), str(datatype), (str(table).removeprefix("HL7") if table else "")


def field_definitions(module: Any) -> dict[str, tuple[str, str, str]]:
    """Give all field definitions of a version by `PID_5`."""
    return {key: described(row) for key, row in module.FIELDS.items()}


def segment_rows(
    module: Any,
    name: str,
    fields: dict[str, tuple[str, str, str]],
    newest: dict[tuple[str, int], tuple[str, str, str]],
) -> list[tuple[int, int, int, tuple[str, str, str]]]:
    """Give (number, min, max, definition) for a segment; max 0 marks a withdrawn field."""
    structure = module.SEGMENTS[name]
    if len(structure) < 2 or structure[0] != "sequence":
        return []
    cardinality = {int(child[0].rsplit("_", 1)[1]): child[2] for child in structure[1]}
    rows = []
    for number in range(1, max(cardinality, default=0) + 1):
        low, high = cardinality.get(number, (0, 0))
        own = fields.get(f"{name}_{number}")
        if high != 0 and own is not None:
            newest[name, number] = own
        definition = own if own is not None and high != 0 else newest.get((name, number), own)
        if definition is not None:
            rows.append((number, low, high, definition))
    return rows


def tree(module: Any, message: str, name: str) -> list[Any]:
    """Give the children of a message or group: [name, min, max], for a group also its children."""
    kind, children = module.MESSAGES.get(name) or module.GROUPS[name]
    rows: list[Any] = []
    for child, _, (low, high), sort in children:
        if sort == "SEG":
            rows.append([child, low, high])
        else:
            choice = [1] if module.GROUPS[child][0] == "choice" else []
            rows.append([group_name(message, child), low, high, tree(module, message, child), *choice])
    assert kind in ("sequence", "choice")
    return rows


def group_name(message: str, name: str) -> str:
    """Write a group's name without its message prefix, and as most versions write it."""
    short = name.removeprefix(message + "_")
    short = short.replace("TIIMING", "TIMING").removeprefix(message.upper() + "_")
    return GROUP_NAMES.get((message, short), short)


def pack(blocks: dict[str, Any], segments: list[str], datatypes: list[str]) -> bytes:
    """Join the blocks, each compressed by itself, behind an index."""
    body = b""
    index: dict[str, Any] = {"versions": VERSIONS, "segments": segments, "datatypes": datatypes, "blocks": {}}
    for name in sorted(blocks):
        packed = zlib.compress(json.dumps(blocks[name], separators=(",", ":")).encode(), 9)
        index["blocks"][name] = [len(body), len(packed)]
        body += packed
    head = json.dumps(index, separators=(",", ":")).encode()
    return MAGIC + len(head).to_bytes(4, "big") + head + body


def unpack(data: bytes) -> dict[str, Any]:
    """Give the content of a dictionary file, however it was compressed."""
    start = len(MAGIC) + 4
    size = int.from_bytes(data[len(MAGIC) : start], "big")
    index = json.loads(data[start : start + size])
    body = data[start + size :]
    blocks = {
        name: json.loads(zlib.decompress(body[offset : offset + length]))
        for name, (offset, length) in index.pop("blocks").items()
    }
    return {**index, "blocks": blocks}


if __name__ == "__main__":
    sys.exit(main())
