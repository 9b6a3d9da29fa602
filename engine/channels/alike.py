"""What all machines of one hub must have alike, and what of it they have not.

In: this machine's project, code releases, tokens, keys, version; what the others told of theirs
(`staff.nodes`). Out: one line for each difference. Two machines with other maps or other releases of a code
system make other resources of the same message; two with other tokens let a program in by turns. Tokens and
keys are compared by a keyed digest.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine import __version__
from engine.channels.renewal import project_digest
from engine.codes.store import CodeStore
from engine.kernel.clock import now_ms
from engine.kernel.config import Config
from engine.security.keys import Keyring
from engine.security.signing import FILE
from engine.staff.staff import Staff

__all__ = ["FRESH", "Difference", "differences", "facts", "tell"]

FRESH = 180_000
"""Milliseconds for which a machine counts as there after it has told of itself."""

_REMEDIES = {
    "version": "bring all machines to one version",
    "project": "bring channels/, mappings/ and terminology/ to what they are elsewhere",
    "code releases": "hub terms load the same releases there, or copy codes.db of a backup (nodes.md)",
    "tokens": "give all machines the same file token, or programs keys that all know (hub key new)",
    "signing keys": "hub key signing --take on the machine whose keys shall go",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that another machine has otherwise."""

    topic: str
    node: str
    said: str
    remedy: str


def facts(config: Config, keyring: Keyring) -> dict[str, list[str]]:
    """Return what this machine has of what all must have alike."""
    codes = CodeStore(config.data_dir / "codes.db")
    try:
        seen: set[str] = set()
        releases = []
        for one in codes.releases():  # the current one of a system comes first
            releases.append(f"{one.system} {one.version}{'' if one.system in seen else ', current'}")
            seen.add(one.system)
    finally:
        codes.close()
    return {
        "version": [__version__],
        "project": [project_digest(config.root)],
        "code releases": sorted(releases),
        "tokens": _digest(config, keyring, config.token_file.name),
        "signing keys": _digest(config, keyring, FILE),
    }


def tell(config: Config, keyring: Keyring, staff: Staff) -> list[Difference]:
    """Tell the other machines what is here; return what they have otherwise."""
    mine = facts(config, keyring)
    staff.nodes.tell(config.node_name, mine)
    return differences(config, staff, mine)


def differences(config: Config, staff: Staff, mine: dict[str, list[str]]) -> list[Difference]:
    """Return what the machines that are there have otherwise than this one."""
    found = []
    for node, theirs in staff.nodes.others(config.node_name, now_ms() - FRESH).items():
        for topic, remedy in _REMEDIES.items():
            here, there = mine[topic], theirs.get(topic, [])
            if here != there:
                found.append(Difference(topic, node, _said(topic, here, there), remedy))
    return found


def _said(topic: str, here: list[str], there: list[str]) -> str:
    if topic == "version":
        return f"{' '.join(here)} here, {' '.join(there)} there"
    if topic == "code releases":
        only_here, only_there = sorted(set(here) - set(there)), sorted(set(there) - set(here))
        parts = [f"{'; '.join(only_here)} here" if only_here else "", f"{'; '.join(only_there)} there"]
        return ", ".join(part for part in parts if part and part != " there")
    if not here or not there:
        return f"there are some {'there' if there else 'here'} and none {'here' if there else 'there'}"
    return "are not the same"


def _digest(config: Config, keyring: Keyring, name: str) -> list[str]:
    path = config.data_dir / name
    if not path.exists():
        return []
    return [keyring.mac16(f"alike {name}", path.read_bytes().strip()).hex()]
