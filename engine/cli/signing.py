"""`hub key signing`: the keys by which FHIR servers know this hub."""

from __future__ import annotations

from pathlib import Path

from engine.channels.opening import open_keyring, open_staff, prepare_folder
from engine.channels.sharedkeys import follow_keys, give_keys, take_keys
from engine.channels.sharing import shared
from engine.console.open_pages import JWKS
from engine.fhir.jsonio import dumps_pretty
from engine.kernel.config import Config, load_config
from engine.kernel.errors import ConfigError, HubError
from engine.security.signing import FILE, SigningKeys

__all__ = ["signing_keys"]


def signing_keys(root: Path, at_once: bool, show: bool, take: bool = False) -> int:
    """Make, renew or take over the keys, or print their public halves; returns the exit code."""
    config = load_config(root)
    path = config.data_dir / FILE
    keys = SigningKeys(path)
    if show:
        print(dumps_pretty(keys.public()).decode(), end="")
        return 0
    if take:
        return _take(config)
    first, names = _renewed(config, keys, at_once)
    web = config.console.proxy.rstrip("/") or f"http://{config.console.listen}"
    print(f"new signing keys {', '.join(names)} in {path}")
    print(f"their public halves: {web}{JWKS}")
    if not first and not at_once:
        print("they sign in 24 hours; until then the ones before do, and both are served")
    return 0


def _renewed(config: Config, keys: SigningKeys, at_once: bool) -> tuple[bool, list[str]]:
    """Make new keys beside those before, of all machines where there are several; says whether none were."""
    path = config.data_dir / FILE
    if not shared(config):
        return not path.exists(), keys.rotate(at_once=at_once)
    prepare_folder(config)
    staff = open_staff(config, open_keyring(config))
    try:
        follow_keys(config, staff)
        held = staff.signing.now_held()
        first = not path.exists()
        names = keys.rotate(at_once=at_once)
        try:
            give_keys(config, staff, held.version if held is not None else 0)
        except HubError:
            take_keys(config, staff)  # somebody was first: theirs are in force, ours were never shown
            raise
        return first, names
    finally:
        staff.close()


def _take(config: Config) -> int:
    if not shared(config):
        raise ConfigError("there are no other machines", where=config.at("queue"))
    staff = open_staff(config, open_keyring(config))
    try:
        if not take_keys(config, staff):
            raise HubError("no machine has signing keys", remedy="type hub key signing")
    finally:
        staff.close()
    print(f"the signing keys of the other machines are in {config.data_dir / FILE}")
    return 0
