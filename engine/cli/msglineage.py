"""`hub msg show --lineage`: where every element of a message's resources came from, and where every field
went.

In: an entry of the journal. Out: element -> locations and rows, location -> state, elements and rows; with
`phi` the values of the message beside them. The message is opened for it, so that is in the audit table
first.
"""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.markup import escape

from engine.channels.definition import load_channels
from engine.channels.message.values import charset_of, values_of
from engine.channels.tracing import lineage_of
from engine.cli.opened import Opened
from engine.kernel.errors import HubError
from engine.mapping.project import Maps
from engine.store.audit import Access

__all__ = ["print_lineage", "show_lineage"]


def show_lineage(hub: Opened, entry: int, who: str, revision: str, *, phi: bool = False) -> dict[str, Any]:
    """Return the lineage of an entry under the maps of today; audited first, since the message is opened.

    `revision` is what the worker had; `same_revision` says whether that is what is used here.
    """
    hub.store.audit.record(Access(who, "msg:open", f"entry/{entry}", "lineage"))
    found = hub.journal.get(entry)
    if found is None:
        raise HubError(f"there is no entry {entry}", remedy="hub msg find shows what there is")
    maps = Maps.open(hub.config.root, hub.config.identity_base)
    traced = lineage_of(found, maps, load_channels(hub.config.root), hub.keyring.mac16)
    made = traced.as_json()
    made["same_revision"] = traced.revision == revision
    if phi:
        values = values_of(found, charset_of(maps, traced.site))
        for location, at in made["locations"].items():
            at["value"] = values.get(location, "")
    return made


def print_lineage(made: dict[str, Any]) -> None:
    """Print every location and what became of it, in the order of the message's segments."""
    out = Console(highlight=False, soft_wrap=True, emoji=False)
    out.print(f"  lineage      site {escape(made['site'])}, map revision {made['revision'][:12]}")
    if not made["same_revision"]:
        out.print(
            "               [yellow]not the revision that wrote it: maps or tables have changed since[/]"
        )
    wide = max((len(location) for location in made["locations"]), default=0)
    for location, at in made["locations"].items():
        value = f" = {_visible(at['value'])}" if "value" in at else ""
        if at["state"] != "mapped":
            out.print(
                f"  {location:<{wide}}  [dim]{escape(at['state'])}: {escape(at['why'])}[/]{escape(value)}"
            )
        for one in at["elements"]:
            row = one["row"]
            where = f"{row['file']}:{row['line']}" if row["file"] else row["name"]
            name, _, element = one["element"].partition(".")
            address = f"{made['resources'].get(name, name)}.{element}"
            out.print(f"  {location:<{wide}}  {escape(address)}{escape(value)}  [dim]{escape(where)}[/]")


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
