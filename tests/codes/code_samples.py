"""Tiny releases in the layouts publishers use, with invented content and true check digits."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from engine.terminology.damage import loinc_valid, sctid_valid

IS_A = "116680003"
FSN, SYNONYM = "900000000000003001", "900000000000013009"
PREFERRED, ACCEPTABLE = "900000000000548007", "900000000000549004"
US, GB = "900000000000509007", "900000000000508004"
INFERRED, SOME = "900000000000011006", "900000000000451002"
MODULE = "900000000000207008"
LOINC_COLUMNS = (
    "LOINC_NUM",
    "COMPONENT",
    "PROPERTY",
    "TIME_ASPCT",
    "SYSTEM",
    "SCALE_TYP",
    "METHOD_TYP",
    "CLASS",
    "VersionLastChanged",
    "STATUS",
    "CONSUMER_NAME",
    "RELATEDNAMES2",
    "SHORTNAME",
    "LONG_COMMON_NAME",
    "EXTERNAL_COPYRIGHT_NOTICE",
)


def loinc(number: int) -> str:
    """Return a LOINC number with its check digit; such high numbers are not given out."""
    return next(f"{number}-{d}" for d in range(10) if loinc_valid(f"{number}-{d}"))


def sct(number: int, kind: str = "00") -> str:
    """Return a SNOMED CT id with its check digit: kind 00 a concept, 01 a description, 02 a relationship."""
    return next(f"{number}{kind}{d}" for d in range(10) if sctid_valid(f"{number}{kind}{d}"))


def loinc_row(number: int, name: str, **more: str) -> dict[str, str]:
    """Return a row of Loinc.csv."""
    row = dict.fromkeys(LOINC_COLUMNS, "")
    row |= {
        "LOINC_NUM": loinc(number),
        "COMPONENT": name,
        "PROPERTY": "SCnc",
        "TIME_ASPCT": "Pt",
        "SYSTEM": "Ser/Plas",
        "SCALE_TYP": "Qn",
        "CLASS": "CHEM",
        "VersionLastChanged": "2.80",
        "STATUS": "ACTIVE",
        "SHORTNAME": f"{name} SerPl-sCnc",
        "LONG_COMMON_NAME": f"{name} [Moles/volume] in Serum or Plasma",
    }
    return row | more


LOINC_ROWS = (
    loinc_row(9100001, "Examplate", RELATEDNAMES2="Xmp; Chemistry"),
    loinc_row(9100002, "Testonium", CONSUMER_NAME="Testonium, Blood"),
    loinc_row(9100003, "Old examplate", STATUS="DEPRECATED"),
    loinc_row(9100004, "Invented panel", SCALE_TYP="-", LONG_COMMON_NAME='Invented "panel", with quotes'),
    loinc_row(9100005, "Färbung", SCALE_TYP="Nom", LONG_COMMON_NAME="Färbung of Serum"),
)


def csv_text(rows: Iterable[dict[str, str]], columns: Sequence[str], quoting: int = csv.QUOTE_ALL) -> str:
    """Write rows as LOINC writes them: everything quoted, CRLF."""
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, quoting=quoting)  # type: ignore[arg-type]
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def loinc_zip(path: Path, rows: Iterable[dict[str, str]] = LOINC_ROWS) -> Path:
    """Write a whole LOINC release."""
    old, new = loinc(9100003), loinc(9100001)
    panel = loinc(9100004)
    parts = {
        "LoincTable/Loinc.csv": csv_text(rows, LOINC_COLUMNS),
        "LoincTable/MapTo.csv": f'"LOINC","MAP_TO","COMMENT"\r\n"{old}","{new}",""\r\n',
        "AccessoryFiles/PanelsAndForms/PanelsAndForms.csv": (
            '"ParentId","ParentLoinc","ParentName","ID","SEQUENCE","Loinc","LoincName"\r\n'
            f'"1","{panel}","p","1","0","{panel}","p"\r\n"1","{panel}","p","2","1","{new}","x"\r\n'
        ),
        "AccessoryFiles/AnswerFile/AnswerList.csv": (
            '"AnswerListId","AnswerListName","AnswerStringId","DisplayText"\r\n'
            '"LL9001-1","Colours","LA9001-1","Red"\r\n"LL9001-1","Colours","LA9002-9","Blue"\r\n'
        ),
        "AccessoryFiles/AnswerFile/LoincAnswerListLink.csv": (
            f'"LoincNumber","AnswerListId"\r\n"{loinc(9100005)}","LL9001-1"\r\n'
        ),
        "AccessoryFiles/LinguisticVariants/deDE15LinguisticVariant.csv": (
            '"LOINC_NUM","SHORTNAME","LONG_COMMON_NAME","LinguisticVariantDisplayName"\r\n'
            f'"{new}","","Beispielat [Stoffmenge/Volumen]",""\r\n'
        ),
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in parts.items():
            made.writestr(name, text)
    return path


INVENTED_SET = sct(550001)
ROOT = "138875005"  # SNOMED CT Concept: the root every edition has
DISEASE, MILD, SEVERE, GONE = (sct(n) for n in (990001, 990002, 990003, 990004))


def _lines(header: str, rows: Iterable[Sequence[str]]) -> str:
    names = header.split()
    return "".join("\t".join(row) + "\r\n" for row in (names, *rows))


def rf2(date: str = "20250101", kind: str = "Snapshot") -> dict[str, str]:
    """Return the files of a tiny edition: name -> text. Everything below the root is invented."""
    concepts = [
        (ROOT, date, "1", MODULE, "900000000000074008"),
        (DISEASE, date, "1", MODULE, "900000000000074008"),
        (MILD, date, "1", MODULE, "900000000000073002"),
        (SEVERE, date, "1", MODULE, "900000000000073002"),
        (GONE, date, "0", MODULE, "900000000000074008"),
    ]
    terms = [
        (1, ROOT, FSN, "SNOMED CT Concept (SNOMED RT+CTV3)", (US, GB)),
        (2, DISEASE, FSN, "Inventitis (disorder)", (US, GB)),
        (3, DISEASE, SYNONYM, "Inventitis", (US, GB)),
        (4, MILD, FSN, "Mild inventitis (disorder)", (US, GB)),
        (5, MILD, SYNONYM, "Mild inventitis colour", (GB,)),
        (6, MILD, SYNONYM, "Mild inventitis color", (US,)),
        (7, SEVERE, FSN, "Severe inventitis (disorder)", (US, GB)),
        (8, SEVERE, SYNONYM, 'Severe "inventitis"', (US, GB)),
        (9, SEVERE, SYNONYM, "Grave inventitis", ()),
        (10, GONE, FSN, "Former inventitis (disorder)", (US, GB)),
    ]
    described = [
        (sct(880000 + n, "01"), date, "1", MODULE, code, "en", type_, term, "900000000000448009")
        for n, code, type_, term, _ in terms
    ]
    described.append((sct(880099, "01"), date, "0", MODULE, MILD, "en", SYNONYM, "Wrong", "x"))
    language = [
        (
            f"00000000-0000-4000-8000-{n:08d}{i:04d}",
            date,
            "1",
            MODULE,
            refset,
            sct(880000 + n, "01"),
            PREFERRED,
        )
        for n, _, _, _, refsets in terms
        for i, refset in enumerate(refsets)
    ]
    above = [(DISEASE, ROOT), (MILD, DISEASE), (SEVERE, DISEASE)]
    related = [
        (sct(770000 + n, "02"), date, "1", MODULE, child, parent, "0", IS_A, INFERRED, SOME)
        for n, (child, parent) in enumerate(above)
    ]
    related.append((sct(770099, "02"), date, "1", MODULE, MILD, ROOT, "1", sct(660001), INFERRED, SOME))
    correlation, classified = "447561005", "447637006"
    context = "447639009"
    extended = [
        _map(1, date, MILD, "1", "1", "TRUE", "ALWAYS I01.0", "I01.0", correlation, classified),
        _map(
            2,
            date,
            SEVERE,
            "1",
            "1",
            f"IFA {MILD} | Mild |",
            "IF MILD CHOOSE I02.0",
            "I02.0",
            correlation,
            context,
        ),
        _map(3, date, SEVERE, "1", "2", "OTHERWISE TRUE", "ALWAYS I02.9", "I02.9", correlation, context),
        _map(4, date, SEVERE, "2", "1", "TRUE", "ALWAYS Z99", "Z99", correlation, classified),
        _map(5, date, DISEASE, "1", "1", "TRUE", "CANNOT BE CLASSIFIED", "", correlation, "447638001"),
    ]
    base = f"{kind}/Terminology/sct2_"
    map_ = "id effectiveTime active moduleId refsetId referencedComponentId "
    where = f"{kind}/Refset/"
    return {
        f"{base}Concept_{kind}_INT_{date}.txt": _lines(
            "id effectiveTime active moduleId definitionStatusId", concepts
        ),
        f"{base}Description_{kind}-en_INT_{date}.txt": _lines(
            "id effectiveTime active moduleId conceptId languageCode typeId term caseSignificanceId",
            described,
        ),
        f"{base}Relationship_{kind}_INT_{date}.txt": _lines(
            "id effectiveTime active moduleId sourceId destinationId relationshipGroup typeId "
            "characteristicTypeId modifierId",
            related,
        ),
        f"{where}Language/der2_cRefset_Language{kind}-en_INT_{date}.txt": _lines(
            f"{map_}acceptabilityId", language
        ),
        f"{where}Content/der2_Refset_Simple{kind}_INT_{date}.txt": _lines(
            map_,
            [
                (f"30000000-0000-4000-8000-{n:012d}", date, "1", MODULE, INVENTED_SET, code)
                for n, code in enumerate((MILD, SEVERE))
            ],
        ),
        f"{where}Content/der2_cRefset_Association{kind}_INT_{date}.txt": _lines(
            f"{map_}targetComponentId",
            [
                (
                    "10000000-0000-4000-8000-000000000001",
                    date,
                    "1",
                    MODULE,
                    "900000000000527005",
                    GONE,
                    DISEASE,
                )
            ],
        ),
        f"{where}Map/der2_iisssccRefset_ExtendedMap{kind}_INT_{date}.txt": _lines(
            f"{map_}mapGroup mapPriority mapRule mapAdvice mapTarget correlationId mapCategoryId", extended
        ),
    }


def _map(n: int, date: str, code: str, *rest: str) -> tuple[str, ...]:
    return (f"20000000-0000-4000-8000-{n:012d}", date, "1", MODULE, "447562003", code, *rest)


def write(folder: Path, parts: dict[str, str]) -> Path:
    """Write files below a folder."""
    for name, text in parts.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return folder


def zipped(path: Path, parts: dict[str, str]) -> Path:
    """Write files into a zip."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, text in parts.items():
            made.writestr(name, text)
    return path


def conso(code: str, kind: str, name: str, sab: str = "RXNORM", suppress: str = "N") -> str:
    """Write a row of RXNCONSO.RRF."""
    return f"{code}|ENG||||||{code}1|{code}1|{code}||{sab}|{kind}|{code}|{name}||{suppress}|4096|\n"


def rel(first: str, rela: str, second: str, sab: str = "RXNORM") -> str:
    """Write a row of RXNREL.RRF: it reads `second rela first`."""
    return f"{first}||CUI|RO|{second}||CUI|{rela}|1||{sab}|{sab}||||4096|\n"


def sat(code: str, name: str, value: str, sab: str = "RXNORM", suppress: str = "N") -> str:
    """Write a row of RXNSAT.RRF."""
    return f"{code}|||{code}1|AUI|{code}|||{name}|{sab}|{value}|{suppress}|4096|\n"


def archived(code: str, kind: str, name: str, into: str, sab: str = "RXNORM") -> str:
    """Write a row of RXNATOMARCHIVE.RRF."""
    return (
        f"{code}1||{name}|2020/01/01|2010/01/01|2020/01/01|{code}||ENG|||{sab}|{code}|{sab}|{kind}|{into}|\n"
    )
