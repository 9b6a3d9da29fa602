"""FDA's National Drug Code directory: every package that may be sold in the United States.

In: `ndctext.zip` or its folder (`product.txt`, `package.txt`: tabs, a header, no quoting, UTF-8 or
Windows-1252). Out: one release
whose codes are 11-digit package codes. FDA, NDC Directory definitions. (NDC -> RxNorm comes with RxNorm.)
"""

from __future__ import annotations

from engine.codes.loaders.files import Files
from engine.codes.loaders.rows import csv_table
from engine.codes.loaders.summary import Asked, Loader, Summary
from engine.codes.systems import NDC
from engine.codes.writing import Load
from engine.kernel.errors import FormatError
from engine.terminology.spelling import eleven

__all__ = ["LOADER"]

_SAID = {
    "PROPRIETARYNAME": "proprietary-name",
    "NONPROPRIETARYNAME": "nonproprietary-name",
    "DOSAGEFORMNAME": "dosage-form",
    "ROUTENAME": "route",
    "LABELERNAME": "labeler",
    "ACTIVE_NUMERATOR_STRENGTH": "strength",
    "ACTIVE_INGRED_UNIT": "strength-unit",
}


def _fits(files: Files) -> bool:
    return files.find("/product.txt") is not None and files.find("/package.txt") is not None


def _load(files: Files, load: Load, asked: Asked, summary: Summary) -> None:
    product, package = files.find("/product.txt"), files.find("/package.txt")
    if product is None or package is None:
        raise FormatError(
            "has no product.txt or no package.txt",
            where=files.path.name,
            remedy="name FDA's ndctext.zip or the folder it unpacks to",
        )
    version = asked.version or asked.effective
    if not version:
        raise FormatError(
            "does not say its date",
            where=files.path.name,
            remedy="FDA publishes daily; give the day it was fetched: --release 2025-06-30",
        )
    files.expect([product, package])
    release = load.release(NDC, version, asked.effective or (version if len(version) == 10 else ""))
    table = csv_table(
        files, product, ("PRODUCTID", "PROPRIETARYNAME"), delimiter="\t", quoting=False, legacy=True
    )
    said = [(table.at(name), ours) for name, ours in _SAID.items() if name in table]
    products: dict[str, dict[str, str]] = {}
    for _, row in table.rows:
        products[row[table.at("PRODUCTID")]] = {ours: row[n].strip() for n, ours in said if row[n].strip()}
        summary.rows[product.base] += 1
    packages = csv_table(
        files,
        package,
        ("PRODUCTID", "NDCPACKAGECODE", "PACKAGEDESCRIPTION"),
        delimiter="\t",
        quoting=False,
        legacy=True,
    )
    seen: set[str] = set()
    for _, row in packages.rows:
        summary.rows[package.base] += 1
        code = eleven(row[packages.at("NDCPACKAGECODE")])
        if code is None:
            summary.skipped["package code of no known form"] += 1
            continue
        if code in seen:
            summary.skipped["package code a second time"] += 1
            continue
        seen.add(code)
        own = products.get(row[packages.at("PRODUCTID")], {})
        contains = row[packages.at("PACKAGEDESCRIPTION")].strip()
        name = own.get("proprietary-name") or own.get("nonproprietary-name", "")
        strength = f"{own.get('strength', '')} {own.get('strength-unit', '')}".strip()
        display = ", ".join(part for part in (name, strength, own.get("dosage-form", ""), contains) if part)
        load.concept(
            release, code, display or code, True, {**own, "ndc": row[packages.at("NDCPACKAGECODE")].strip()}
        )
        generic = own.get("nonproprietary-name")
        if generic and generic != name:
            load.name(release, code, generic, "en", "nonproprietary-name")


LOADER = Loader("ndc", "NDC directory: FDA's ndctext.zip or its folder", _fits, _load)
