"""Passwords: which are taken, and how they are kept (NIST SP 800-63B 5.1.1.2; OWASP password storage).

In: what somebody typed. Out: an argon2id hash in PHC form, or yes and no. A password has 12 characters or
more and is not easily guessed; nothing is asked of its characters, and nobody has to change it every so
often. Unicode is normalised (NFKC), so that the same keys are the same password on every keyboard.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from engine.kernel.errors import HubError

__all__ = ["PasswordRefused", "hashed", "judge", "outdated", "right", "waste"]

_SHORTEST, _LONGEST = 12, 256
_GUESSABLE = 3  # of zxcvbn's 0 to 4: below it a slow hash does not protect a password
_LOOKED_AT = 72  # characters zxcvbn judges; longer ones cost it time and gain nothing
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)  # OWASP's second choice: 26 ms


class PasswordRefused(HubError):
    """A password that is not taken; the text never repeats it."""


def judge(password: str, about: Iterable[str] = ()) -> None:
    """Refuse a password that is too short or easily guessed; `about`: words that are no secret of the person.

    Raises PasswordRefused.
    """
    from zxcvbn import zxcvbn

    password = _normal(password)
    if len(password) < _SHORTEST:
        raise PasswordRefused(
            f"the password has {len(password)} characters",
            why=f"it needs {_SHORTEST} or more",
            remedy="several words with spaces between are easy to remember",
        )
    if len(password) > _LONGEST:
        raise PasswordRefused(f"the password has more than {_LONGEST} characters")
    words = [word for text in about for word in (text, *text.replace("@", " ").split()) if len(word) > 2]
    if len(set(password)) < 4 or zxcvbn(password[:_LOOKED_AT], user_inputs=words)["score"] < _GUESSABLE:
        raise PasswordRefused(
            "the password is easily guessed",
            why="it is a common one, a name, a date, or repeats itself",
            remedy="several unrelated words with spaces between are easy to remember",
        )


def hashed(password: str) -> str:
    """Return what is kept of a password."""
    return _HASHER.hash(_normal(password))


def right(kept: str, password: str) -> bool:
    """Say whether this is the password."""
    try:
        return _HASHER.verify(kept, _normal(password))
    except (VerificationError, InvalidHashError):
        return False


def outdated(kept: str) -> bool:
    """Say whether a password should be hashed again: what it was hashed with has changed since."""
    return _HASHER.check_needs_rehash(kept)


def waste(password: str) -> None:
    """Take as long as `right`, where there is nothing to compare with."""
    right(_nobodys(), password)


@cache
def _nobodys() -> str:
    return hashed("nobody has this password")


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password[: _LONGEST * 4])
