"""What `hub serve` prints once everything runs: every address, and what to type next.

In: the settings, the channels, what the processes said. Out: lines on standard output.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from engine.channels.definition import Channel
from engine.channels.production import is_loopback
from engine.cli.keeper import is_wanted
from engine.cli.supervisor import Child
from engine.kernel.config import Config

__all__ = ["tell"]


def _called() -> str:
    """Return how this command is typed in another terminal: `hub` only where that would be found."""
    typed = Path(sys.argv[0])
    return str(typed) if typed.name == "hub" and shutil.which("hub") is None else "hub"


def tell(
    parts: tuple[str, ...],
    children: list[Child],
    config: Config,
    channels: list[Channel],
    web: tuple[str, int],
    began: float,
    say: Callable[[str], None],
    first: str = "",
) -> None:
    """Print where everything is and what to type next."""
    c = config
    say(f"{c.hub}: ready in {time.monotonic() - began:.1f} s ({c.profile}, project {c.root.resolve()})")
    addresses = dict(
        w.split("=", 1)
        for child in children
        if child.name in ("listeners", "files", "dicom", "health")
        for w in child.said
        if "=" in w
    )
    for channel in channels:
        if channel.name in addresses:
            say(f"  {addresses[channel.name]:<28} channel {channel.name}: {channel.purpose}")
    for name, where in addresses.items():
        if name.startswith("health:"):
            say(f"  {where:<28} health of {name.removeprefix('health:').replace(',', ', ')}")
    if "console" in parts:
        host, port = web
        scheme = "https" if c.console.tls else "http"
        web_address = f"{scheme}://{host}:{port}/"
        say(f"  {web_address:<28} console; /status without signing in; /fhir, /feed for programs")
        say(f"  token: {c.token_file} (Authorization: Bearer ...)")
        if first:
            address = c.console.proxy or f"{scheme}://{host}:{port}"
            say(f"  nobody has an account yet; this link makes the first, once:  {address}/welcome#{first}")
    if any(
        c.network is not None and c.network.tls is None and not is_loopback(c.network.host)
        for c in channels
        if c.name in addresses
    ):
        say("  note: a listener is open to the network; give it tls: before patient data comes in")
    if "workers" in parts and is_wanted(c):
        limits = (("messages", c.keep.messages), ("images", c.keep.imaging))
        what = " and ".join(f"{kind} older than {limit}" for kind, limit in limits if limit != "forever")
        say(f"  keep: {what} are deleted every day at {c.keep.at}")
    sample = c.root / "sample_messages/lab/oru_potassium.hl7"
    lab = addresses.get("lab_oru") or next((a for a in addresses.values() if a.startswith("mllp")), "")
    if sample.exists() and lab:
        here = lab.replace("://0.0.0.0:", "://127.0.0.1:").replace("://[::]:", "://[::1]:")
        shown = sample.relative_to(Path.cwd()) if sample.is_relative_to(Path.cwd()) else sample
        say(f"  try, in a second terminal:  {_called()} send {shown} --to {here}")
    sys.stdout.flush()
