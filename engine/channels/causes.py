"""Why messages wait for a person, in words: causes of parking, work flags, and where each is put right.

In: the stable word of an outcome or flag (`ambiguous-patient`). Out: a title, what to do, and the desk where
it is done: the table of codes, the maps, the comparison of two patients, the sender. No patient data.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["CAUSES", "DESKS", "WORK", "Words", "words_of"]


class Words(NamedTuple):
    """What a person is told of a cause."""

    title: str
    help: str
    desk: str  # codes | maps | person | sender | hub


CAUSES = {
    "no-map": (
        "No map for this kind of message",
        "Write a message map that names it under for:, then replay.",
    ),
    "map-error": ("A map does not work", "The text names file and line. Mend the map, then replay."),
    "not-readable": ("Cannot be read as HL7", "Ask the sender; hub msg show ID names the place."),
    "garbage": ("Not HL7 at all", "Something else speaks to this port; look who, by hub msg show ID."),
    "refused": ("Refused, and the sender was told", "Put it right at the sender or in the channel's file."),
    "empty-package": (
        "No document of a package can be filed",
        "Its flags say why; have it sent again.",
    ),
    "too-long": (
        "A report of DICOM that is longer than the journal keeps of one",
        "hub dicom copy STUDY writes the object out, hub convert maps it.",
    ),
    "other-bytes": (
        "Other bytes came first under this SOP Instance UID",
        "hub dicom copy STUDY --others writes them out; ask the sender which object it means.",
    ),
    "reference-not-found": (
        "A FHIR reference names an entry that the Bundle does not hold",
        "Ask the sender to send both in one Bundle, or to name it by an identifier.",
    ),
    "condition-not-followed": (
        "FHIR that is to be done on a condition nobody follows",
        "Only identifier=system|value is looked for. Ask the sender.",
    ),
    "address-differs": (
        "A FHIR address is not that of its resource",
        "Ask the sender: the address and the resource name different things.",
    ),
    "implicit-rules": (
        "FHIR under rules that the hub does not know (implicitRules)",
        "Ask the sender what they change.",
    ),
    "delete-not-followed": (
        "FHIR that deletes",
        "The channel may say fhir: {deletes: entered in error}; else ask the sender.",
    ),
    "patch-not-followed": ("FHIR that changes a part (PATCH)", "Ask the sender for the resource whole."),
    "read-not-answered": ("FHIR that asks for something", "Ask the sender to read at /fhir."),
    "unknown-type": ("A type that FHIR R4 does not have", "Ask the sender for R4."),
    "not-kept": ("FHIR that says nothing of anybody by itself", "Ask the sender what it belongs to."),
    "document-size": ("A document of another size than its metadata say", "Have it sent again."),
    "document-hash": ("A document that was changed on its way", "Have it sent again."),
    "document-type": (
        "A document of another media type than its metadata say",
        "Ask the sender which holds.",
    ),
    "document-damaged": ("A document that is no base64", "Have it sent again."),
    "invalid": (
        "Would not be valid FHIR",
        "The text names the element. Mend the map or the message, then replay.",
    ),
    "ambiguous-patient": (
        "Number of one person, name or birth date of another",
        "Compare both; somebody must decide.",
    ),
    "patient-mismatch": (
        "Same number, but another birth date or name",
        "Compare with the patient on file; somebody must decide who it is.",
    ),
    "order-of-another-patient": (
        "A step of imaging names one patient and the order of another",
        "Compare both; the number of the patient, or of the order, was picked wrongly at the modality.",
    ),
    "duplicate-key": (
        "Two different things under one number",
        "Ask the sender which one it means, or name the identifier that tells them apart in the site file.",
    ),
    "merge-conflict": (
        "A number merged into another patient before",
        "Ask registration which merge holds.",
    ),
    "merge-several": (
        "A merge that names several patients to stay or to go",
        "Ask registration for one merge a message.",
    ),
    "move-unclear": (
        "Records change hands, and the message does not say whose they were",
        "Registration says what belongs to whom, and sends the move again.",
    ),
    "unmerge-chain": (
        "Takes two apart of whom one was merged into a third",
        "Ask registration to take that merge back first.",
    ),
    "ambiguous-key": ("Keys of more than one resource", "Compare both; somebody must decide."),
    "no-patient-key": (
        "No number says which patient this is",
        "Name the one that counts in the sender's site file.",
    ),
    "ambiguous-patient-key": (
        "Several numbers, and none counts",
        "Name the one that counts in the site file.",
    ),
    "other-patient": ("A visit, order or result of another patient", "Compare both; somebody must decide."),
    "mixed-patients": ("One patient's resource would refer to another's", "Ask the sender what it means."),
    "several-patients": ("A document of several patients", "Ask the sender for one of each patient."),
    "level-elsewhere": ("A claim stands behind another patient", "Ask the sender for it in order."),
    "other-drug": (
        "A prescription's number with another drug",
        "Ask the prescriber; a new prescription has a new number.",
    ),
    "prescription-ended": (
        "A prescription that was cancelled is sent again",
        "Ask the prescriber; a new prescription has a new number.",
    ),
    "delete-of-result": ("Deletes a result that is not called wrong", "Ask the laboratory for a correction."),
    "delete-of-required": (
        "Deletes what must be there",
        "Ask the sender what it means; nothing was deleted.",
    ),
    "merge-self": ("Merges a patient into itself", "Ask registration."),
    "self-merge": ("Merges a patient into itself", "Ask registration."),
    "merge-chain": ("Merges into a patient already merged away", "Ask registration."),
    "number-taken": (
        "A change of number onto one that another patient has",
        "Ask registration: if they are one person, it sends a merge.",
    ),
    "merge-unclear": ("A merge that does not say who stays", "Ask registration."),
    "no-authority": (
        "A merge on a channel that may not merge",
        "Send it to the channel that has authority:.",
    ),
    "required-missing": ("Lacks what FHIR demands", "The text names the element."),
    "unmapped-code": (
        "A code that no table has",
        "hub terms gaps lists it; approving what it means runs the messages again.",
    ),
    "unreadable": ("Its body cannot be opened", "Restore a backup, or ask the sender for it again."),
    "replay-stopped": (
        "A replay that would park later messages",
        "The text names the entry: solve that first.",
    ),
    "replay-too-wide": (
        "A replay that would take too many later messages along",
        "The text says how many; replay a later message, or ask for help.",
    ),
    "killed-the-worker": (
        "The worker process died at this message, again and again",
        "Report it; the others go on. After an update, replay it.",
    ),
    "id-conflict": ("An id of another kind of resource", "Report it with the text."),
    "waits-behind": (
        "Waits behind another message of its patient",
        "Solve the earlier one first, then replay.",
    ),
    "cannot-store": ("The store could not write it", "Report it with the text; nothing of it was written."),
    "internal-error": ("A fault of the hub itself", "Report it with the text; the message is safe."),
    "cannot-work": ("Cannot be worked on as things are", "The text says what is missing."),
}

WORK = {
    "allergy-contradicted": "An allergy beside no known allergies",
    "allergy-without-allergen": "An allergy without what it is to",
    "charge-without-number": "A charge without a number of its own",
    "delete-beside-values": "A delete beside values in one field",
    "delete-ignored": "A delete that was not followed",
    "delete-of-key": "One of the numbers of an order was deleted",
    "duplicate-key": "Two different things under one number",
    "inactive-patient": "Written about a patient whose record was deleted",
    "invalid": "Written although it is not valid FHIR",
    "late-unclear": "Perhaps older than what it was written over",
    "later-unreadable": "A replay without later messages whose bodies are gone",
    "left-behind": "Made by a message before, and no longer",
    "merge-differs": "Merged patients whose names or birth dates differ",
    "merge-several-numbers": "A merge that names several numbers",
    "merge-unknown-number": "A merge of a number that nobody has",
    "no-longer-final": "A final result became preliminary",
    "no-visit-number": "An event of a visit that does not say which",
    "nothing-to-change": "Takes back or updates what was not found",
    "order-cancelled": "A result of an order that was cancelled",
    "not-a-unit": "It says UCUM, and UCUM has no such unit",
    "package-patient": "A package that names another patient than its document",
    "prescription-changed": "A prescription sent again with other terms",
    "possible-duplicate": "Told twice, perhaps one thing",
    "results-of-cancelled": "A report was cancelled, its results stand",
    "same-control-id": "A control id with two contents",
    "unmapped-code": "A code that no table has",
}
"""What a work flag is about, in words; a map may raise others by `work:`."""


DESKS = {
    "codes": "Say what the code means; the messages that wait for it run again.",
    "maps": "Mend the map, the table or the site file; then let one of them try, and release all.",
    "person": "Compare both sides; somebody who may must decide. Then release, or close what is settled.",
    "sender": "The sender has to put it right; what comes anew is a message of its own. Close the old ones.",
    "hub": "Nothing to mend in a map: the text says what is missing. Then release.",
}
"""What there is to do, by the place where it is done."""

_MAPS = frozenset(
    {"no-map", "map-error", "invalid", "required-missing", "no-patient-key", "ambiguous-patient-key"}
    | {"duplicate-key", "cannot-work", "invalid", "charge-without-number", "allergy-without-allergen"}
)
_SENDER = frozenset(
    {"not-readable", "garbage", "refused", "empty-package", "several-patients", "mixed-patients"}
    | {"level-elsewhere", "other-drug", "prescription-ended", "delete-of-result", "delete-of-required"}
    | {"no-authority", "move-unclear", "merge-self", "self-merge", "merge-several", "merge-unclear"}
    | {"no-visit-number", "merge-several-numbers", "delete-beside-values", "package-patient"}
    | {"reference-not-found", "condition-not-followed", "address-differs", "implicit-rules", "unknown-type"}
    | {"delete-not-followed", "patch-not-followed", "read-not-answered", "not-kept", "not-a-unit"}
    | {"document-size", "document-hash", "document-type", "document-damaged"}
)
_HUB = frozenset(
    {"unreadable", "replay-stopped", "replay-too-wide", "killed-the-worker", "id-conflict", "waits-behind"}
    | {"cannot-store", "internal-error", "too-long", "later-unreadable"}
)


def words_of(cause: str, parked: bool = True) -> Words:
    """Return the words of a cause; of one that a site's map has made up, the word itself."""
    if parked and cause in CAUSES:
        title, help = CAUSES[cause]
    else:
        title, help = WORK.get(cause, cause.replace("-", " ").capitalize() or "Unknown"), ""
    if cause == "unmapped-code":
        return Words(title, help, "codes")
    for desk, causes in (("maps", _MAPS), ("sender", _SENDER), ("hub", _HUB)):
        if cause in causes:
            return Words(title, help or DESKS[desk], desk)
    return Words(title, help or DESKS["person"], "person")
