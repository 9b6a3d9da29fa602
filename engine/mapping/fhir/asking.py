"""What an entry of a Bundle may ask for: that a resource be written, and nothing else.

In: an `Ask`. Out: why it is not followed, or None. The door refuses by it and tells the sender; the worker
holds by it what came another way. FHIR R4 http.html, bundle.html#bundle-definitions.
"""

from __future__ import annotations

from engine.fhir import definitions
from engine.formats.fhir.posted import Ask
from engine.mapping.fhir.identity import Problem

__all__ = ["NOT_KEPT", "not_followed"]

NOT_KEPT = frozenset({"Binary", "OperationOutcome", "Parameters"})
"""Types that say nothing of anybody by themselves."""


def not_followed(ask: Ask, deletes: bool, named: frozenset[str] = frozenset()) -> Problem | None:
    """Say why what an entry asks for is not done; `named`: the Binaries that documents of the Bundle name."""
    if ask.type not in definitions.resource_types():
        return Problem("unknown-type", ask.place, "it is no type of FHIR R4")
    if ask.condition:
        text = "it depends on a version of the hub's, and nobody is told of versions"
        return Problem("condition-not-followed", f"{ask.at}.request", text)
    if ask.method in ("GET", "HEAD"):
        return Problem("read-not-answered", ask.at, "nothing is read here: read at /fhir")
    if ask.method == "PATCH":
        return Problem("patch-not-followed", ask.at, "no PATCH: send the resource whole")
    if ask.method == "DELETE":
        if not deletes:
            return Problem("delete-not-followed", ask.at, "no DELETE: this channel takes none")
        if "?" in ask.url or ask.url.strip("/").count("/") != 1:
            return Problem("delete-not-followed", f"{ask.at}.request.url", "it names no one resource")
        return None
    if ask.type == "Binary" and ask.resource is not None:
        if named & {ask.full_url, f"Binary/{ask.resource.get('id')}"}:
            return None
        return Problem("not-kept", ask.place, "no document of the Bundle names this Binary")
    if ask.type in NOT_KEPT:
        return Problem("not-kept", ask.place, f"a {ask.type} says nothing of anybody by itself")
    return None
