"""The signing keys: what is served, what signs when, and files that cannot be believed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from engine.kernel.errors import ConfigError
from engine.security import signing
from engine.security.signing import ALGORITHMS, SigningKeys

DAY = 86_400_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [1_800_000_000_000]
    monkeypatch.setattr(signing, "now_ms", lambda: now[0])
    return now


def kid(keys: SigningKeys, algorithm: signing.Algorithm) -> str:
    """Sign, verify with what is served, and return the key that signed."""
    token = keys.sign({"iss": "hub"}, algorithm)
    read = jwt.decode(token, KeySet.import_key_set(keys.public()), algorithms=[algorithm])  # type: ignore[arg-type]
    assert read.claims == {"iss": "hub"} and read.header["alg"] == algorithm
    return str(read.header["kid"])


def test_a_new_pair_is_served_a_day_before_it_signs(tmp_path: Path, clock: list[int]) -> None:
    keys = SigningKeys(tmp_path / "signing.keys")
    assert keys.public() == {"keys": []}
    first = keys.rotate()
    assert [kid(keys, a) for a in ALGORITHMS] == first
    second = keys.rotate()
    assert [kid(keys, a) for a in ALGORITHMS] == first
    assert {k["kid"] for k in keys.public()["keys"]} == {*first, *second}
    clock[0] += DAY
    assert [kid(keys, a) for a in ALGORITHMS] == second
    third = keys.rotate()
    assert {k["kid"] for k in keys.public()["keys"]} == {*second, *third}


def test_keys_that_somebody_else_may_have_are_gone_at_once(tmp_path: Path, clock: list[int]) -> None:
    keys = SigningKeys(tmp_path / "signing.keys")
    keys.rotate()
    old = keys.sign({}, "ES384")
    fresh = keys.rotate(at_once=True)
    assert [kid(keys, a) for a in ALGORITHMS] == fresh
    with pytest.raises((JoseError, ValueError)):
        jwt.decode(old, KeySet.import_key_set(keys.public()), algorithms=["ES384"])  # type: ignore[arg-type]


def test_nothing_private_is_served_and_the_file_is_ours_alone(tmp_path: Path) -> None:
    keys = SigningKeys(tmp_path / "signing.keys")
    keys.rotate()
    private = {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
    assert all(not private & key.keys() and key["use"] == "sig" for key in keys.public()["keys"])
    assert os.stat(tmp_path / "signing.keys").st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "content, mode", [(b"{}", 0o600), (b"no", 0o600), (None, 0o600), (b'{"keys": []}', 0o644)]
)
def test_a_file_that_cannot_be_believed(tmp_path: Path, content: bytes | None, mode: int) -> None:
    path = tmp_path / "signing.keys"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        SigningKeys(path).sign({}, "RS384")
    assert "signing" in str(caught.value)
