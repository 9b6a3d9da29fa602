"""Takes secrets out of addresses before they are kept as evidence.

In: an address, or a header's value that holds some. Out: the same, without a password before the host and
without the values of parameters that let whoever has them in: signatures of presigned addresses (Amazon S3
`X-Amz-Signature`, Azure `sig`, Google `X-Goog-Signature`), tokens, keys, passwords. A parameter is known by
its name; what else stands in an address is kept, since it says where a parcel went.
"""

from __future__ import annotations

import re

__all__ = ["KEPT_BACK", "without_secrets"]

KEPT_BACK = "(not kept)"
_PART = r"signature|token|secret|passw|pwd|credential|assertion|api[-_.]?key|access[-_.]?key|jwt|hmac|session"
_WHOLE = r"sig|key|pass|auth|authorization|code|sas|pin"
_PARAMETER = re.compile(
    rf"([?&;#](?:[^=&;#?\s]{{0,60}}(?:{_PART})[^=&;#?\s]{{0,60}}|{_WHOLE})=)[^&#\s\"<>]+", re.IGNORECASE
)
_USER = re.compile(r"(?<=://)[^/?#\s@]{1,400}@")


def without_secrets(text: str) -> str:
    """Return a text with addresses in it, their secrets taken out."""
    return _PARAMETER.sub(rf"\1{KEPT_BACK}", _USER.sub(f"{KEPT_BACK}@", text))
