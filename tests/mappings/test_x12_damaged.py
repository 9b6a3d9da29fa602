"""X12 with a segment or a value missing or wrong: what is made of the rest is valid and refers to nothing
that is not there; what FHIR demands and the file does not say holds the message.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from x12_mapping import fast, references, sample

from engine.fhir.validate import validate

NAMES = [
    "270_eligibility_inquiry", "271_eligibility_response", "276_claim_status_inquiry",
    "277_claim_status_response",
    "277CA_claim_acknowledgment", "278_review_request", "278_review_response", "834_enrollment",
    "820_premium_payment", "999_acknowledgment",
]  # fmt: skip
ENVELOPE = ("ISA", "GS", "ST", "SE", "GE", "IEA")


def damaged(name: str) -> Iterator[tuple[str, bytes]]:
    """Give the sample without each segment, and with each element blank or of a code nobody knows."""
    rows = sample(name).decode().split("~\n")
    for i, row in enumerate(rows):
        elements = row.split("*")
        if not row or elements[0] in ENVELOPE:
            continue
        yield f"without {row}", "~\n".join([*rows[:i], *rows[i + 1 :]]).encode()
        for n in range(1, len(elements)):
            for value in ("", "ZZ9"):
                changed = "*".join([*elements[:n], value, *elements[n + 1 :]])
                yield changed, "~\n".join([*rows[:i], changed, *rows[i + 1 :]]).encode()


@pytest.mark.parametrize("name", NAMES)
def test_what_is_made_is_valid(name: str) -> None:
    for what, data in damaged(name):
        built = fast(data)
        ids = {f"urn:uuid:{draft.id}" for draft in built.drafts}
        for draft in built.drafts:
            body = {**draft.body, "id": draft.id}
            assert all(r in ids or r.startswith("#") for r in references(body)), what
            if built.held is None:
                assert not [p for p in validate(body) if p.code != "cpt-2"], (
                    what,
                    draft.type,
                    validate(body),
                )
