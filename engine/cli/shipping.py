"""Loads what ships with the hub beside a hub that has just started: once, at a lower priority.

In: the project's settings. Out: the releases of `terminology/releases/releases.yaml` in the code store, said
in one line of the log. Workers and the web side notice them by themselves. What goes wrong here is said, and
stops nothing; the next start, or `hub terms load --shipped`, tries again.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable

from engine.cli.project import shipped
from engine.codes.shipped import LISTING, Shipped, load_shipped, waiting
from engine.codes.systems import short
from engine.kernel.config import Config
from engine.kernel.errors import HubError

__all__ = ["run_shipping", "to_load"]

log = logging.getLogger("hub.codes")


def to_load(config: Config) -> list[Shipped]:
    """Return what ships and was never loaded here; nothing where the settings say so."""
    if not config.terminology.load_shipped:
        return []
    try:
        root = config.root if (config.root / LISTING).is_file() else shipped()
        return waiting(root, config.data_dir / "codes.db")
    except HubError as e:
        log.error("what ships is not loaded: %s", e)
        return []


def run_shipping(config: Config, rows: list[Shipped], ready: Callable[[str], None]) -> None:
    """Load releases and end."""
    ready("")
    os.nice(10)
    began = time.monotonic()
    try:
        made = load_shipped(rows, config.data_dir / "codes.db")
    except HubError as e:
        log.error("what ships was not loaded: %s; the next start tries again", e)
        return
    said = [f"{short(r.system)} {r.version} ({r.concepts:,})" for one in made for r, _ in one.releases]
    log.info("codes that ship with the hub, loaded in %.0f s: %s", time.monotonic() - began, "; ".join(said))
