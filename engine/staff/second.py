"""The second factor: codes of an authenticator (TOTP, RFC 6238), and codes to keep for when it is lost.

In: a secret, a code, the time. Out: whether the code is right and which step of 30 seconds it belongs to, so
that the caller refuses one that was used already; a picture of the secret for the authenticator to read.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence

import pyotp
import segno

__all__ = ["address", "new_recovery_codes", "new_secret", "picture", "plain_code", "step_of"]

_STEP = 30
_DRIFT = (0, -1, 1)  # steps a clock may be off
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none is taken for another
_CODES, _LENGTH = 10, 10  # about 50 bits each


def new_secret() -> str:
    """Make a secret of 160 bits."""
    return pyotp.random_base32(32)


def address(secret: str, person: str, hub: str) -> str:
    """Return the `otpauth:` address that an authenticator reads."""
    return pyotp.TOTP(secret).provisioning_uri(name=person, issuer_name=hub)


def picture(text: str) -> str:
    """Return a QR code as an SVG element, black on white in light and in dark."""
    code = segno.make(text, error="m", micro=False)
    return str(code.svg_inline(scale=5, border=4, light="#fff", dark="#000", svgclass="qr", lineclass=None))


def step_of(secret: str, code: str, at: int, used: int) -> int | None:
    """Return the step a code belongs to; None: it is wrong, of another time, or not newer than `used`."""
    digits = "".join(code.split())
    if len(digits) != 6 or not (digits.isascii() and digits.isdigit()):
        return None
    now, codes = at // 1000 // _STEP, pyotp.TOTP(secret)
    found = None
    for drift in _DRIFT:
        if hmac.compare_digest(codes.at((now + drift) * _STEP), digits) and now + drift > used:
            found = now + drift
    return found


def new_recovery_codes() -> Sequence[str]:
    """Make codes that stand for the authenticator once each."""
    made = ("".join(secrets.choice(_LETTERS) for _ in range(_LENGTH)) for _ in range(_CODES))
    return [f"{one[:5]}-{one[5:]}" for one in made]


def plain_code(typed: str) -> str:
    """Return a recovery code as it is hashed: without what people add."""
    return "".join(c for c in typed.lower() if c.isalnum())
