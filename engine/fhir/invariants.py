"""The invariants of FHIR R4 that are cheap enough for every message, as conditions of generated validators.

In: a type or backbone path. Out: (key of the standard, Python condition over `o` that is true when the
invariant is broken, what is asked). The conditions run only on objects whose structure is already sound, so
they may trust types. `c_x` counts the alternatives of the choice `x[x]` that are present. The keys are
those of the R4 definitions; errors only, never the standard's warnings (dom-6 and the `-0` names among
them).
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["INVARIANTS"]

_VERIFICATION = 'coded(get("verificationStatus"), CS + "allergyintolerance-verification", "entered-in-error")'
_CONDITION_ERROR = 'coded(get("verificationStatus"), CS + "condition-ver-status", "entered-in-error")'
_REQUESTED = 'get("type") in ("batch", "transaction", "history")'
_RESPONDED = 'get("type") in ("batch-response", "transaction-response", "history")'

Row = tuple[str, str, str]

INVARIANTS: Mapping[str, tuple[Row, ...]] = {
    "Age": (
        ("age-1", '"value" in o and not has(o, "code")', "an age with a value needs a code"),
        ("age-1", '"system" in o and o["system"] != UCUM', "the system must be UCUM"),
        ("age-1", '"value" in o and o["value"] <= 0', "the value must be above 0"),
    ),
    "Attachment": (
        ("att-1", '"data" in o and not has(o, "contentType")', "an attachment with data needs a contentType"),
    ),
    "ContactPoint": (("cpt-2", '"value" in o and not has(o, "system")', "a value needs a system"),),
    "Count": (
        ("cnt-3", '"value" in o and not has(o, "code")', "a count with a value needs a code"),
        ("cnt-3", '"system" in o and o["system"] != UCUM', "the system must be UCUM"),
        ("cnt-3", '"code" in o and o["code"] != "1"', "the code must be 1"),
        ("cnt-3", '"value" in o and "." in str(o["value"])', "the value must be a whole number"),
    ),
    "DataRequirement.codeFilter": (
        ("drq-1", 'has(o, "path") == has(o, "searchParam")', "needs either a path or a searchParam"),
    ),
    "DataRequirement.dateFilter": (
        ("drq-2", 'has(o, "path") == has(o, "searchParam")', "needs either a path or a searchParam"),
    ),
    "Distance": (
        ("dis-1", '"value" in o and not has(o, "code")', "a distance with a value needs a code"),
        ("dis-1", '"system" in o and o["system"] != UCUM', "the system must be UCUM"),
    ),
    "Duration": (
        (
            "drt-1",
            '"code" in o and (get("system") != UCUM or not has(o, "value"))',
            "a duration with a code needs a value and the system UCUM",
        ),
    ),
    "Expression": (
        ("exp-1", 'not (has(o, "expression") or has(o, "reference"))', "needs an expression or a reference"),
    ),
    "MoneyQuantity": (
        ("mqty-1", '"value" in o and not has(o, "code")', "an amount with a value needs a code"),
        (
            "mqty-1",
            'get("system", "urn:iso:std:iso:4217") != "urn:iso:std:iso:4217"',
            "the system is ISO 4217",
        ),
    ),
    "Period": (
        (
            "per-1",
            '"start" in o and "end" in o and not same_or_earlier(o["start"], o["end"])',
            "the start must not be after the end",
        ),
    ),
    "Quantity": (("qty-3", '"code" in o and not has(o, "system")', "a code for the unit needs its system"),),
    "Range": (
        ("rng-2", '"low" in o and "high" in o and higher(o["low"], o["high"])', "low must not be above high"),
    ),
    "Ratio": (
        (
            "rat-1",
            '("numerator" in o) != ("denominator" in o)',
            "needs numerator and denominator, or neither",
        ),
        ("rat-1", 'not ("numerator" in o or "extension" in o)', "needs a numerator or an extension"),
    ),
    "Timing.repeat": (
        ("tim-1", '"duration" in o and not has(o, "durationUnit")', "a duration needs its unit"),
        ("tim-2", '"period" in o and not has(o, "periodUnit")', "a period needs its unit"),
        ("tim-4", '"duration" in o and o["duration"] < 0', "the duration must not be negative"),
        ("tim-5", '"period" in o and o["period"] < 0', "the period must not be negative"),
        ("tim-6", '"periodMax" in o and not has(o, "period")', "periodMax needs a period"),
        ("tim-7", '"durationMax" in o and not has(o, "duration")', "durationMax needs a duration"),
        ("tim-8", '"countMax" in o and not has(o, "count")', "countMax needs a count"),
        (
            "tim-9",
            '"offset" in o and (not has(o, "when") '
            'or any(w in ("C", "CM", "CD", "CV") for w in get("when", ())))',
            "an offset needs a `when`, and not one of C, CM, CD, CV",
        ),
        ("tim-10", 'has(o, "timeOfDay") and has(o, "when")', "timeOfDay and when exclude each other"),
    ),
    "TriggerDefinition": (
        ("trd-1", '"data" in o and c_timing', "data and timing exclude each other"),
        ("trd-2", '"condition" in o and "data" not in o', "a condition needs data"),
    ),
    "AllergyIntolerance": (
        ("ait-1", f'"clinicalStatus" not in o and not {_VERIFICATION}', "needs a clinicalStatus"),
        ("ait-2", f'"clinicalStatus" in o and {_VERIFICATION}', "entered-in-error excludes clinicalStatus"),
    ),
    "Appointment": (
        ("app-2", 'has(o, "start") != has(o, "end")', "needs start and end, or neither"),
        (
            "app-3",
            'not (has(o, "start") and has(o, "end")) '
            'and get("status") not in ("proposed", "cancelled", "waitlist")',
            "only a proposed, cancelled or waitlisted appointment goes without start and end",
        ),
        (
            "app-4",
            '"cancelationReason" in o and get("status") not in ("noshow", "cancelled")',
            "a cancelationReason needs the status cancelled or noshow",
        ),
    ),
    "Appointment.participant": (
        ("app-1", '"type" not in o and "actor" not in o', "needs a type or an actor"),
    ),
    "AppointmentResponse": (
        ("apr-1", '"participantType" not in o and "actor" not in o', "needs a participantType or an actor"),
    ),
    "AuditEvent.entity": (
        ("sev-1", 'has(o, "name") and has(o, "query")', "name and query exclude each other"),
    ),
    "Bundle": (
        ("bdl-1", 'has(o, "total") and get("type") not in ("searchset", "history")', "total is for searches"),
        (
            "bdl-2",
            'get("type") != "searchset" and within(get("entry", ()), "search")',
            "search is for searches",
        ),
        ("bdl-3", f'{_REQUESTED} and without(get("entry", ()), "request")', "every entry needs a request"),
        (
            "bdl-3",
            f'not ({_REQUESTED}) and within(get("entry", ()), "request")',
            "only a batch, transaction or history holds requests",
        ),
        ("bdl-4", f'{_RESPONDED} and without(get("entry", ()), "response")', "every entry needs a response"),
        (
            "bdl-4",
            f'not ({_RESPONDED}) and within(get("entry", ()), "response")',
            "only a response or history holds responses",
        ),
        (
            "bdl-7",
            'get("type") != "history" and bundle_twins(get("entry", ()))',
            "two entries have the same fullUrl and version",
        ),
        (
            "bdl-9",
            'get("type") == "document" '
            'and not ("system" in get("identifier", ()) and "value" in o["identifier"])',
            "a document needs an identifier with system and value",
        ),
        ("bdl-10", 'get("type") == "document" and "timestamp" not in o', "a document needs a timestamp"),
        (
            "bdl-11",
            'get("type") == "document" and not first_is(get("entry", ()), "Composition")',
            "a document starts with a Composition",
        ),
        (
            "bdl-12",
            'get("type") == "message" and not first_is(get("entry", ()), "MessageHeader")',
            "a message starts with a MessageHeader",
        ),
    ),
    "Bundle.entry": (
        (
            "bdl-5",
            'not ("resource" in o or "request" in o or "response" in o)',
            "needs a resource, a request or a response",
        ),
        ("bdl-8", '"/_history/" in get("fullUrl", "")', "a fullUrl names no version"),
    ),
    "CarePlan.activity": (
        ("cpl-3", '"detail" in o and "reference" in o', "detail and reference exclude each other"),
    ),
    "Composition.section": (
        (
            "cmp-1",
            'not ("text" in o or "entry" in o or "section" in o)',
            "needs a text, an entry or a section",
        ),
        ("cmp-2", '"emptyReason" in o and "entry" in o', "emptyReason and entry exclude each other"),
    ),
    "ConceptMap.group.element.target": (
        (
            "cmd-1",
            'get("equivalence") in ("narrower", "inexact") and not has(o, "comment")',
            "narrower and inexact need a comment",
        ),
    ),
    "ConceptMap.group.unmapped": (
        ("cmd-2", 'get("mode") == "fixed" and not has(o, "code")', "mode fixed needs a code"),
        ("cmd-3", 'get("mode") == "other-map" and not has(o, "url")', "mode other-map needs a url"),
    ),
    "Condition": (
        (
            "con-4",
            'c_abatement and not coded(get("clinicalStatus"), CS + "condition-clinical", '
            '"resolved", "remission", "inactive")',
            "an abatement needs the clinicalStatus inactive, remission or resolved",
        ),
        (
            "con-5",
            f'"clinicalStatus" in o and {_CONDITION_ERROR}',
            "entered-in-error excludes clinicalStatus",
        ),
    ),
    "Condition.stage": (
        ("con-1", '"summary" not in o and "assessment" not in o', "needs summary or assessment"),
    ),
    "Condition.evidence": (("con-2", '"code" not in o and "detail" not in o', "needs a code or a detail"),),
    "Consent": (("ppc-1", '"policy" not in o and "policyRule" not in o', "needs a policy or a policyRule"),),
    "CoverageEligibilityResponse.insurance.item": (
        (
            "ces-1",
            '("category" in o) == ("productOrService" in o)',
            "needs either category or productOrService",
        ),
    ),
    "FamilyMemberHistory": (
        ("fhs-1", "c_age and c_born", "age and born exclude each other"),
        ("fhs-2", 'has(o, "estimatedAge") and not c_age', "estimatedAge needs an age"),
    ),
    "Goal.target": (("gol-1", 'c_detail and "measure" not in o', "a detail needs a measure"),),
    "Group": (("grp-1", '"member" in o and get("actual") is not True', "only an actual group has members"),),
    "Immunization.education": (
        (
            "imm-1",
            'not (has(o, "documentType") or has(o, "reference"))',
            "needs a documentType or a reference",
        ),
    ),
    "ImmunizationRecommendation.recommendation": (
        (
            "imr-1",
            '"vaccineCode" not in o and "targetDisease" not in o',
            "needs a vaccineCode or targetDisease",
        ),
    ),
    "InsurancePlan": (
        ("ipn-1", '"identifier" not in o and not has(o, "name")', "needs an identifier or a name"),
    ),
    "Linkage": (("lnk-1", 'len(get("item", ())) < 2', "needs two items or more"),),
    "List": (
        ("lst-1", '"emptyReason" in o and "entry" in o', "emptyReason and entry exclude each other"),
        (
            "lst-2",
            'get("mode") != "changes" and within(get("entry", ()), "deleted")',
            "deleted needs mode changes",
        ),
        ("lst-3", 'get("mode") != "working" and within(get("entry", ()), "date")', "date needs mode working"),
    ),
    "MedicationAdministration.dosage": (
        ("mad-1", '"dose" not in o and not c_rate', "needs a dose or a rate"),
    ),
    "MedicationDispense": (
        (
            "mdd-1",
            '"whenHandedOver" in o and "whenPrepared" in o and '
            'not same_or_earlier(o["whenPrepared"], o["whenHandedOver"])',
            "whenHandedOver must not be before whenPrepared",
        ),
    ),
    "MolecularSequence": (
        ("msq-3", 'get("coordinateSystem", 0) not in (0, 1)', "coordinateSystem is 0 or 1"),
    ),
    "Observation": (
        ("obs-6", 'c_value and "dataAbsentReason" in o', "a value excludes dataAbsentReason"),
        (
            "obs-7",
            'c_value and "component" in o and shares_code(o)',
            "a value excludes a component with the code of the Observation",
        ),
    ),
    "Observation.referenceRange": (
        ("obs-3", 'not ("low" in o or "high" in o or has(o, "text"))', "needs low, high or a text"),
    ),
    "Organization": (
        ("org-1", '"identifier" not in o and not has(o, "name")', "needs an identifier or a name"),
        ("org-2", 'home(get("address", ()))', "an organization has no home address"),
        ("org-3", 'home(get("telecom", ()))', "an organization has no home telecom"),
    ),
    "Parameters.parameter": (
        (
            "inv-1",
            '("part" in o) + bool(c_value) + ("resource" in o) != 1',
            "needs exactly one of value, resource and part",
        ),
    ),
    "Patient.contact": (
        (
            "pat-1",
            'not ("name" in o or "telecom" in o or "address" in o or "organization" in o)',
            "needs a name, telecom, address or organization",
        ),
    ),
    "QuestionnaireResponse.item": (
        ("qrs-1", '"answer" in o and "item" in o', "answer and item exclude each other"),
    ),
    "RequestGroup.action": (
        ("rqg-1", '("resource" in o) == ("action" in o)', "needs either a resource or an action"),
    ),
    "RiskAssessment.prediction": (
        ("ras-2", 'get("probabilityDecimal", 0) > 100', "a probability is at most 100"),
    ),
    "ServiceRequest": (("prr-1", '"orderDetail" in o and "code" not in o', "orderDetail needs a code"),),
    "ValueSet.compose.include": (
        ("vsd-1", 'not (has(o, "valueSet") or has(o, "system"))', "needs a valueSet or a system"),
        (
            "vsd-2",
            '("concept" in o or "filter" in o) and not has(o, "system")',
            "concept and filter need a system",
        ),
        ("vsd-3", '"concept" in o and "filter" in o', "concept and filter exclude each other"),
    ),
    "ValueSet.expansion.contains": (
        ("vsd-6", 'not (has(o, "code") or has(o, "display"))', "needs a code or a display"),
        ("vsd-9", 'not has(o, "code") and get("abstract") is not True', "needs a code or abstract"),
        ("vsd-10", '"code" in o and not has(o, "system")', "a code needs a system"),
    ),
}
"""By type or backbone path. Derived quantities (Age, Count, ...) also obey those of Quantity."""
