"""What a channel's messages are held against before they are answered: the standard, a profile, or both.

In: a channel's rules and its profile. Out: a `Strict` for `AckRules`: the errors of one message, those of the
standard first.
"""

from __future__ import annotations

from engine.formats.hl7v2.ack import AckError
from engine.formats.hl7v2.profile import Profile, check
from engine.listeners.ack_rules import AckSettings, Strict

__all__ = ["standard", "validator"]


def standard() -> Strict:
    """Return hl7apy's strict validation; loading it takes a second."""
    from engine.formats.hl7v2.strict import validate

    return lambda message: [AckError(*problem) for problem in validate(message) if problem.severity == "E"]


def validator(rules: AckSettings, profile: Profile | None, strict: Strict | None) -> Strict | None:
    """Return what a channel asks for; None where it asks for nothing, or for a standard that nobody gave."""
    if profile is None or (rules.strict and strict is None):
        return strict

    def both(message: bytes) -> list[AckError]:
        found = list(strict(message)) if rules.strict and strict is not None else []
        return [*found, *(AckError(*problem) for problem in check(profile, message))]

    return both
