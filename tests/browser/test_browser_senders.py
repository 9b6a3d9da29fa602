"""The pages about senders and studies in a real browser: wide enough, clean, nothing from other hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser_hub import Served, served
from console_imaging import ROOT, keep
from console_people import console_of, received
from hub_project import Hub, make_project

from engine.channels.node.opening import open_imaging
from engine.channels.profiling.contract import freeze
from engine.channels.profiling.reading import Reading
from engine.channels.profiling.watch import cover_sender
from engine.kernel.imaging import Linked

PAGES = (
    *("/senders", "{sender}", "{sender}/fields", "{sender}/drift", "{sender}/coverage"),
    *("{sender}/specification", "/where?q={where}", "/studies", "/studies?list=waiting", "{study}"),
)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, dict[str, str]]]:
    """A hub with a sender that has drifted since somebody signed, and a study that waits for a person."""
    project = received(Hub.open(make_project(tmp_path_factory.mktemp("senders") / "project")))
    console = console_of(project)
    senders = console.hub.staff.senders
    for name in ("potassium", "notes", "specimens") * 10:
        project.receive("lab_oru", project.sample(f"lab/oru_{name}"), sender="northlis")
    at = senders.id_of("lab_oru", "northlis")
    reading = Reading(project.journal, senders)
    while reading.step():
        pass
    freeze(senders, at, "mroy", "agreed")
    for name in ("sn", "z_segment", "v23"):
        project.receive("lab_oru", project.sample(f"lab/oru_{name}"), sender="northlis")
    while reading.step():
        pass
    line = senders.line(at)
    assert line is not None and line.drift
    channel = next(c for c in console.hub.channels() if c.name == "lab_oru")
    cover_sender(project.journal, senders, console.hub.maps(), channel, line)
    console.hub.images = imaging = open_imaging(project.config, project.keyring)
    keep(imaging, f"{ROOT}.7", 1, PatientID="1004217", PatientName="THISTLEDOWN^IMOGEN", PatientSex="F")
    imaging.index.tell(f"{ROOT}.7", 1, 1, Linked("unmatched", "no-order"))
    places = {
        "sender": f"/senders/{at}",
        "where": console.hub.seal({"what": "PID-5"}),
        "study": f"/studies/{imaging.index.holding.name_of(f'{ROOT}.7')}",
    }
    with served(console, working=False) as made:
        yield made, places
    imaging.close()
    console.close()
    project.close()


@pytest.mark.parametrize("width", [1440, 1024])
@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_clean(
    hub: tuple[Served, dict[str, str]], tab: Callable[..., Any], path: str, width: int
) -> None:
    made, places = hub
    window = made.seat(tab(made.base, width, dark=width == 1024), "analyst", "approver")
    page = window.go(path.format(**places))
    for details in page.locator("details").all()[:2]:
        details.evaluate("one => one.open = true")
    window.shot(
        f"{path.strip('/').replace('/', '-').replace('?', '-').translate({123: '', 125: ''})}-{width}"
    )
    assert page.locator("h1").count() == 1
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, "the page is wider than the window"
    assert window.elsewhere == [] and window.errors == []
    assert window.axe() == []
