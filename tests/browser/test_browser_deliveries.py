"""The pages about deliveries in a real browser: wide enough, clean, and a delivery sent again by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from browser_hub import Served, served
from console_people import console_of
from hub_project import Hub, make_project, shipped_maps

from engine.channels.delivering.places import destinations_of
from engine.channels.delivering.sending import Sending
from engine.kernel.clock import now_ms
from engine.kernel.delivery import Parcel, Receipt

DELIVER = (
    "\ndeliver:\n  archive: {file: {path: '/tmp/nowhere/{key}'}}\n  ehr: {file: {path: '/tmp/no/{key}'}}\n"
)


class Picky:
    """Refuses what it is given, and says why."""

    def deliver(self, parcel: Parcel) -> Receipt:
        return Receipt("refuse", "answered 422", parcel.body, b"OBX-3 is not known here")

    def check(self) -> str:
        return "here"

    def close(self) -> None: ...


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, int]]:
    """A hub whose archive has refused a message, and whose EHR is down."""
    root = make_project(tmp_path_factory.mktemp("deliveries") / "project")
    path = root / "channels/lab_oru.yaml"
    path.write_text(path.read_text() + DELIVER)
    project = Hub.open(root, shipped_maps())
    entry = project.take("lab_oru", "lab/oru_potassium")
    store = project.store.deliveries
    place = destinations_of(project.config, project.channels)["lab_oru.archive"]
    message = project.journal.get(entry)
    assert message is not None

    def parcel(*_: object) -> Parcel:
        return Parcel("k1", entry, "lab_oru", message.body, "application/hl7-v2")

    assert Sending(place, [Picky()], store, parcel, now_ms, lambda: 0.0).step()
    store.set_state("lab_oru.ehr", "down", "cannot connect", now_ms())
    console = console_of(project)
    (refused,) = store.listed("lab_oru.archive", "refused", None, 10)
    with served(console, working=False) as made:
        yield made, refused.id
    console.close()
    project.close()


@pytest.mark.parametrize(("width", "dark"), [(1440, False), (1024, True)])
def test_every_page_is_clean(
    hub: tuple[Served, int], tab: Callable[..., Any], width: int, dark: bool
) -> None:
    made, number = hub
    window = made.seat(tab(made.base, width=width, dark=dark), "operator")
    for place in (
        "/deliveries",
        "/deliveries/orders",
        "/deliveries/lab_oru.archive?status=refused",
        f"/delivery/{number}",
    ):
        window.go(place)
        assert window.axe() == [], place
        assert window.errors == [] and window.elsewhere == []
        assert window.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), place


def test_a_refused_delivery_is_sent_again(hub: tuple[Served, int], tab: Callable[..., Any]) -> None:
    made, number = hub
    page = made.seat(tab(made.base), "operator").go("/deliveries")
    page.get_by_role("link", name="1", exact=True).click()
    page.get_by_role("link", name=str(number)).click()
    assert "OBX-3 is not known here" in page.content()
    page.get_by_role("button", name="Send it again under its key").click()
    page.get_by_text("It is sent again.").wait_for()
    found = made.console.project.store.deliveries.get(number)
    assert found is not None and found.status == "pending"
