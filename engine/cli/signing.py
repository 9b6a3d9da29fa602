"""`hub key signing`: the keys by which FHIR servers know this hub."""

from __future__ import annotations

from pathlib import Path

from engine.console.open_pages import JWKS
from engine.fhir.jsonio import dumps_pretty
from engine.kernel.config import load_config
from engine.security.signing import FILE, SigningKeys

__all__ = ["signing_keys"]


def signing_keys(root: Path, at_once: bool, show: bool) -> int:
    """Make or renew the keys, or print their public halves; returns the exit code."""
    config = load_config(root)
    path = config.data_dir / FILE
    keys = SigningKeys(path)
    if show:
        print(dumps_pretty(keys.public()).decode(), end="")
        return 0
    first = not path.exists()
    names = keys.rotate(at_once=at_once)
    web = config.console.proxy.rstrip("/") or f"http://{config.console.listen}"
    print(f"new signing keys {', '.join(names)} in {path}")
    print(f"their public halves: {web}{JWKS}")
    if not first and not at_once:
        print("they sign in 24 hours; until then the ones before do, and both are served")
    return 0
