"""AWS Signature Version 4, as S3, what is compatible with it, and other services of AWS ask for.

In: a request and an access key. Out: its headers with `Authorization`. Follows "Authenticating Requests
(AWS Signature Version 4)" of the Amazon S3 API reference and "Signature Version 4 signing process" of the AWS
General Reference: canonical request, string to sign, derived key. S3 wants the hash of the body as a header.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from urllib.parse import quote

__all__ = ["EMPTY", "signed"]

EMPTY = hashlib.sha256(b"").hexdigest()
"""The hash of a request without a body."""


def signed(
    method: str,
    host: str,
    path: str,
    query: Iterable[tuple[str, str]],
    headers: Mapping[str, str],
    *,
    payload: str,
    access_key: str,
    secret_key: str,
    region: str,
    moment: str,
    service: str = "s3",
) -> dict[str, str]:
    """Return the headers of a request, signed.

    `path` is not encoded yet for S3, and as it is sent for all others, which encode it once more; `payload`
    is the hex SHA-256 of the body, `moment` the time as `20130524T000000Z`.
    """
    known = {name.lower(): value.strip() for name, value in headers.items()}
    known |= {"host": host, "x-amz-date": moment}
    if service == "s3":
        known["x-amz-content-sha256"] = payload
    names = ";".join(sorted(known))
    pairs = sorted((quote(k, safe="~"), quote(v, safe="~")) for k, v in query)
    canonical = "\n".join(
        (
            method,
            quote(path, safe="/~"),
            "&".join(f"{k}={v}" for k, v in pairs),
            *(f"{name}:{known[name]}" for name in sorted(known)),
            "",
            names,
            payload,
        )
    )
    day = moment[:8]
    scope = f"{day}/{region}/{service}/aws4_request"
    text = "\n".join(("AWS4-HMAC-SHA256", moment, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = b"AWS4" + secret_key.encode()
    for part in (day, region, service, "aws4_request"):
        key = _mac(key, part)
    signature = _mac(key, text).hex()
    credential = (
        f"AWS4-HMAC-SHA256 Credential={access_key}/{scope},SignedHeaders={names},Signature={signature}"
    )
    return known | {"authorization": credential}


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
