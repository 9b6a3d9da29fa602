"""Where a client of SMART App Launch gets its tokens: `/fhir/.well-known/smart-configuration`.

In: the first issuer of the settings and what it publishes. Out: the document of SMART App Launch 2.2, 2.2.1;
nothing where the hub's own tokens are the only ones.
"""

from __future__ import annotations

from typing import Any

from engine.console.issuers import Issuers
from engine.console.providers import ProviderDown, discovery

__all__ = ["CAPABILITIES", "smart_configuration"]

CAPABILITIES = (
    "client-confidential-asymmetric",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)
_TAKEN = (
    "authorization_endpoint",
    "token_endpoint",
    "introspection_endpoint",
    "revocation_endpoint",
    "token_endpoint_auth_methods_supported",
    "token_endpoint_auth_signing_alg_values_supported",
    "registration_endpoint",
    "jwks_uri",
)


def smart_configuration(issuers: Issuers | None) -> dict[str, Any] | None:
    """Return the document. Raises ProviderDown where the issuer does not answer and has no keys in a file."""
    first = issuers.first() if issuers is not None else None
    if issuers is None or first is None:
        return None
    try:
        published = discovery(issuers.web, first.issuer)
    except ProviderDown:
        if not first.keys:
            raise
        published = {}  # keys in a file: the issuer need not publish anything
    made: dict[str, Any] = {"issuer": first.issuer}
    made |= {name: published[name] for name in _TAKEN if name in published}
    made["grant_types_supported"] = published.get("grant_types_supported", ["client_credentials"])
    made["scopes_supported"] = ["system/*.rs", "user/*.rs", "patient/*.rs", "feed", "dicomweb.read"]
    made["scopes_supported"].append("dicomweb.store")
    made["response_types_supported"] = published.get("response_types_supported", ["code"])
    made["code_challenge_methods_supported"] = ["S256"]
    made["capabilities"] = list(CAPABILITIES)
    return made
