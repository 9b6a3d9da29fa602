"""The kinds of destinations: the words that may stand under a destination's name in YAML.

In: nothing. Out: one `DestinationKind` a word. A new kind is one file in this folder and its line here.
"""

from __future__ import annotations

from engine.destinations.direct import DIRECT
from engine.destinations.email import EMAIL
from engine.destinations.fhir import FHIR
from engine.destinations.file import FILE
from engine.destinations.http import HTTP
from engine.destinations.mhd import MHD
from engine.destinations.mllp_out import MLLP
from engine.destinations.rabbitmq import RABBITMQ
from engine.destinations.sftp import SFTP
from engine.destinations.webhook import WEBHOOK
from engine.kernel.delivery import DestinationKind

__all__ = ["KINDS"]

_BUILT_IN: tuple[DestinationKind, ...] = (
    DIRECT,
    EMAIL,
    FHIR,
    FILE,
    HTTP,
    MHD,
    MLLP,
    RABBITMQ,
    SFTP,
    WEBHOOK,
)

KINDS: dict[str, DestinationKind] = {kind.word: kind for kind in _BUILT_IN}
"""By word."""
