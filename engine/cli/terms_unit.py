"""`hub terms unit`: what the hub reads in a unit, what it measures, and what a number is in another one.

In: a unit as somebody writes it, perhaps a number before it, another unit, a LOINC code. Out: text or JSON.
"""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer

from engine.cli.printing import print_json
from engine.cli.project import project_root
from engine.codes.store import CodeStore
from engine.kernel.config import load_config
from engine.kernel.errors import HubError
from engine.terminology import ucum
from engine.terminology.damage import LOINC
from engine.terminology.translate import Terminology
from engine.terminology.units import DECLARED, HOUSE, UnitTable

__all__ = ["add_unit_command", "unit_report"]

_NUMBER = re.compile(r"\s*([+-]?\d+(?:\.\d+)?)\s+(.+)", re.S)


def add_unit_command(app: typer.Typer) -> None:
    """Add the command to `hub terms`."""
    app.command("unit")(unit)


def unit(
    text: Annotated[str, typer.Argument(help="a unit as it is written; perhaps after a number: '100 mg/dL'")],
    to: Annotated[str, typer.Option("--to", help="convert to this UCUM unit")] = "",
    loinc: Annotated[
        str, typer.Option("--loinc", help="of what: its molar mass, and whether the unit fits")
    ] = "",
    declared: Annotated[
        bool, typer.Option("--ucum", help="as if the sender had said that it is UCUM")
    ] = False,
    site: Annotated[str, typer.Option("--as", help="as this site's own table of units reads it")] = "",
    json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Say what a unit is in UCUM, why or why not, and convert."""
    root = project_root(own=True)
    said = unit_report(root, text, to, loinc, declared, site)
    if json:
        print_json(said)
    else:
        _print(said)
    raise typer.Exit(0 if said["ucum"] and (not to or "result" in said) else 1)


def unit_report(
    root: Path, text: str, to: str = "", loinc: str = "", declared: bool = False, site: str = ""
) -> dict[str, Any]:
    """Return all that is known about a unit; without `result` it did not convert. Raises HubError."""
    terms, tables = _tables(root, site)
    table = tables[DECLARED if declared else HOUSE]
    number, hit = Decimal(1), table.translate(text)
    if hit is None and (m := _NUMBER.fullmatch(text)):
        number, text = Decimal(m[1]), m[2]
        hit = table.translate(text)
    out: dict[str, Any] = {"text": text, "ucum": hit.code if hit else "", "by": hit.where if hit else ""}
    if hit is None:
        note = table.ambiguous(" ".join(text.split())) if isinstance(table, UnitTable) else ""
        out["why"] = note or _unknown(text)
        return out
    read = ucum.parse(hit.code)
    out["measures"] = read.dimension
    if not read.function:
        out["factor"] = _plain(read.factor.numerator, read.factor.denominator)
    says = _says(root, loinc) if loinc else {}
    if against := terms.measures.contradiction(says.get("PROPERTY", ""), hit.code):
        out["contradicts"] = against
    if to:
        if not ucum.is_unit(to):
            raise HubError(f"{to!r} is no UCUM unit", remedy=_closest(tables, to))
        substance = terms.measures.substance(loinc, says.get("COMPONENT", "")) if loinc else None
        try:
            made = terms.measures.convert(number, hit.code, to, substance)
        except ucum.UnitError as e:
            out["why"] = e.why
        else:
            out |= {"number": f"{number:f}", "result": f"{made.value:f}", "to": to, "how": made.how}
    return out


def _tables(root: Path, site: str) -> tuple[Terminology, Any]:
    if not site:
        terms = Terminology.open(root / "terminology")
        return terms, terms.tables
    from engine.mapping.project import Maps

    program = Maps.open(root, load_config(root).identity_base).program(site)
    return program.maps.terminology, program.tables


def _says(root: Path, loinc: str) -> dict[str, str]:
    """Return the properties of a LOINC code in the loaded release; nothing where none is loaded."""
    store = CodeStore(load_config(root).data_dir / "codes.db")
    try:
        found = store.lookup(LOINC, loinc)
        return dict(found.properties) if found else {}
    finally:
        store.close()


def _unknown(text: str) -> str:
    if not ucum.is_unit(text):
        return "it has no row in terminology/maps/units.csv and is not UCUM"
    unit = ucum.parse(text)
    return (
        f"it has no row in terminology/maps/units.csv; UCUM would read {unit.dimension}, "
        "which nobody may have meant (hub terms unit --ucum takes it so)"
    )


def _closest(tables: Any, text: str) -> str:
    hit = tables[HOUSE].translate(text)
    return f"write {hit.code}" if hit else "units of UCUM are case-sensitive: mg/dL, mmol/L, 10*3/uL"


def _plain(over: int, under: int) -> str:
    return str(over) if under == 1 else f"{float(over / under):.10g}"


def _print(said: dict[str, Any]) -> None:
    if not said["ucum"]:
        print(f"{said['text']}: stays as sent; {said['why']}")
        return
    print(f"{said['text']} is {said['ucum']} ({said['by']})")
    factor = f"{said['factor']} " if "factor" in said else "a scale of its own, over "
    print(f"  measures {factor}{said['measures']}")
    if "contradicts" in said:
        print(f"  contradicts the code: {said['contradicts']}")
    if "result" in said:
        print(f"  {said['number']} {said['ucum']} = {said['result']} {said['to']} ({said['how']})")
    elif "why" in said:
        print(f"  does not convert: {said['why']}")
