"""The pages about deliveries: what waits where, one delivery with its evidence, sending again, skipping."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from console_people import Console, console_of
from hub_project import Hub, make_project, shipped_maps

from engine.channels.delivering.parcels import Parcels
from engine.channels.delivering.places import around, destinations_of
from engine.channels.delivering.sending import Sending, Tried
from engine.channels.orders.paging import Asked, page_of
from engine.channels.orders.standing import Standing, after
from engine.kernel.clock import now_ms
from engine.kernel.delivery import Receipt
from engine.mapping.outbound.library import OutMaps
from engine.store.deliverydesk import MOST_ANEW


@pytest.fixture
def made(tmp_path: Path) -> Iterator[tuple[Console, Hub, Sending, int]]:
    """A hub that puts results into a folder, one of them waiting."""
    root = make_project(tmp_path / "p")
    path = root / "channels/lab_oru.yaml"
    (tmp_path / "out").mkdir()
    path.write_text(
        path.read_text()
        + f"\ndeliver:\n  archive: {{file: {{path: '{tmp_path}/out/{{type}}-{{entry}}.hl7'}}}}\n"
    )
    hub = Hub.open(root, shipped_maps())
    hub.take("lab_oru", "lab/oru_potassium")
    place = destinations_of(hub.config, hub.channels)["lab_oru.archive"]
    parcels = Parcels(root, "urn:hub:own", hub.keyring, hub.journal, hub.store)
    sending = Sending(
        place, [place.make(around(hub.config))], hub.store.deliveries, parcels.make, now_ms, lambda: 0.0
    )
    console = console_of(hub)
    (waiting,) = hub.store.deliveries.pending("lab_oru.archive", 0, 10)
    yield console, hub, sending, waiting.id
    sending.close()
    console.close()
    hub.close()


def test_what_waits_goes_out_and_leaves_its_evidence(made: tuple[Console, Hub, Sending, int]) -> None:
    console, _, sending, number = made
    (place,) = console.as_("viewer").json("/deliveries.json")["places"]
    assert (place["name"], place["kind"], place["pending"], place["state"]) == (
        "lab_oru.archive",
        "file",
        1,
        "open",
    )
    assert sending.step()
    told = console.as_("operator").json(f"/delivery/{number}.json")
    assert told["status"] == "sent" and len(told["evidence"]) == 1
    assert console.audit()[0][1:3] == ("console:evidence of a delivery", "entry/1")
    page = console.as_("viewer").get("/deliveries/lab_oru.archive?status=sent")
    assert page.status_code == 200 and f"/delivery/{number}" in page.text


def test_who_sees_no_messages_sees_no_evidence(made: tuple[Console, Hub, Sending, int]) -> None:
    console, _, sending, number = made
    sending.step()
    page = console.as_("viewer").get(f"/delivery/{number}")
    assert page.status_code == 200
    assert "Doe" not in page.text and "PID|" not in page.text
    console.as_("viewer", channels=("adt",)).get(f"/delivery/{number}", status=403)
    assert console.as_("viewer", channels=("adt",)).json("/deliveries.json")["places"] == []


def test_a_delivery_is_sent_again_and_as_new_only_with_a_reason(
    made: tuple[Console, Hub, Sending, int],
) -> None:
    console, hub, sending, number = made
    sending.step()
    person = console.as_("operator")
    person.post(f"/delivery/{number}/again", {"as_new": "yes"}, status=400)
    person.post(f"/delivery/{number}/again", {}, status=303)
    found = hub.store.deliveries.get(number)
    assert found is not None and (found.status, found.anew) == ("pending", 0)
    person.post(f"/delivery/{number}/again", {"as_new": "yes", "why": "lost there"}, status=303)
    found = hub.store.deliveries.get(number)
    assert found is not None and found.anew == 1
    assert console.audit()[0][1] == "console:sent a delivery again as new"
    assert "lost there" in console.audit()[0][3]
    console.as_("viewer").post(f"/delivery/{number}/again", {}, status=403)


def test_a_delivery_is_skipped_and_a_destination_stopped(made: tuple[Console, Hub, Sending, int]) -> None:
    console, hub, sending, number = made
    person = console.as_("operator")
    person.post("/deliveries/lab_oru.archive/stop", {"why": "the disk moves"}, status=303)
    assert not sending.step()
    assert "the disk moves" in console.as_("viewer").get("/deliveries").text
    person.post(f"/delivery/{number}/skip", {}, status=400)
    person.post(f"/delivery/{number}/skip", {"why": "a test message"}, status=303)
    person.post("/deliveries/lab_oru.archive/open", {}, status=303)
    assert not sending.step()
    found = hub.store.deliveries.get(number)
    assert found is not None and found.status == "skipped"


def test_a_connection_is_tried(made: tuple[Console, Hub, Sending, int]) -> None:
    console, _, _, _ = made
    console.as_("operator").post("/deliveries/lab_oru.archive/check", {}, status=303)
    console.as_("operator").post("/deliveries/nobody/check", {}, status=404)
    console.as_("operator").get("/deliveries/nobody", status=404)
    console.as_("operator").get("/delivery/" + "9" * 5000, status=404)


def test_orders_that_went_out_are_followed(made: tuple[Console, Hub, Sending, int]) -> None:
    console, hub, sending, _ = made
    assert console.as_("viewer").json("/deliveries/orders.json")["rows"] == []
    hub.take("lab_oru", "lab/orm_new")
    while sending.step():
        pass
    told = console.as_("viewer").json("/deliveries/orders.json")
    assert [(o["destination"], o["state"], o["overdue"]) for o in told["rows"]] == [
        ("lab_oru.archive", "acknowledged", False)
    ]
    console.as_("viewer").get("/deliveries/orders?state=overdue")
    console.as_("viewer").get("/deliveries/orders?state=lost", status=400)
    assert console.as_("viewer", channels=("adt",)).json("/deliveries/orders.json")["rows"] == []


def test_orders_are_shown_page_by_page(made: tuple[Console, Hub, Sending, int]) -> None:
    console, hub, _, _ = made
    body = hub.sample("lab/orm_new")
    number = next(line for line in body.split(b"\r") if line.startswith(b"ORC")).split(b"|")[2].split(b"^")[0]
    for n in range(3):
        hub.receive("lab_oru", body.replace(number, b"PAGE%d" % n).replace(b"|LAB", b"|L%dAB" % n, 1))
    hub.work()
    first = page_of_two(hub, None)
    assert (len(first[0]), first[1]) == (2, first[0][-1].delivery)
    second = page_of_two(hub, first[1])
    assert len(second[0]) == 1 and second[1] is None
    assert len({one.order for one in (*first[0], *second[0])}) == 3
    assert page_of_two(hub, None, sees="adt") == ([], None)
    page = console.as_("viewer").get(f"/deliveries/orders?before={first[1]}")
    assert page.text.count("<tr data-row>") == 1
    console.as_("viewer").get("/deliveries/orders?before=x", status=400)


def page_of_two(hub: Hub, before: int | None, sees: str = "lab_oru") -> tuple[list[Standing], int | None]:
    store, now = hub.store, now_ms()
    asked = Asked(now, 0, before, after(1), lambda one: True, lambda channel: channel == sees, 2)
    places = destinations_of(hub.config, hub.channels).values()
    return page_of(places, OutMaps.open(hub.root), store.deliveries, store, hub.journal, asked)


def test_counts_are_of_the_channels_that_a_role_covers(
    made: tuple[Console, Hub, Sending, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    console, _, sending, _ = made
    place = replace(sending.place, rules={**sending.place.rules, "adt": sending.place.rules["lab_oru"]})
    monkeypatch.setattr(
        "engine.console.pages.deliveries.destinations_of", lambda *_: {"lab_oru.archive": place}
    )
    for channels, count in ((("*",), 1), (("lab_oru",), 1), (("adt",), 0)):
        person = console.as_("viewer", channels=channels)
        (row,) = person.json("/deliveries.json")["places"]
        assert (row["pending"], row["oldest"] is None) == (count, count == 0)
        told = person.json("/deliveries/lab_oru.archive.json")
        assert len(told["rows"]) == count and told["place"][4] == count
    console.as_("viewer", channels=("elsewhere",)).get("/deliveries/lab_oru.archive", status=403)


def test_what_no_channel_uses_any_more_is_for_who_may_act_on_all(
    made: tuple[Console, Hub, Sending, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    console, hub, sending, _ = made
    place = replace(sending.place, rules={})
    monkeypatch.setattr("engine.console.pages.deliveries._known", lambda visit: {place.name: place})
    scoped, name = console.as_("operator", channels=("adt",)), place.name
    for act in ("stop", "open", "again"):
        scoped.post(f"/deliveries/{name}/{act}", {"why": "to see"}, status=403)
    assert hub.store.deliveries.standing(name).state == "open"


def test_all_that_waits_for_a_person_is_sent_again_the_oldest_first(
    made: tuple[Console, Hub, Sending, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    console, hub, sending, _ = made
    monkeypatch.setattr("engine.console.pages.deliveries._STEP", 2)
    for n in range(4):
        names = {name: f"{name[:-1]}{n}^" for name in ("ORD1^", "LAB1^", "V7001^")}
        hub.take("lab_oru", "lab/oru_potassium", {"LAB0001": f"C{n}", "100234": f"10099{n}", **names})
    store, name = hub.store.deliveries, sending.place.name
    waiting = [d.id for d in store.pending(name, 0, 10)]
    for verdict in ("refuse", "park", "refuse", "park", "park"):
        (one, *_) = store.pending(name, 0, 10)
        store.record([sending._judged(Tried(one, Receipt(verdict), 1, False, True))])
    order: list[int] = []
    again = store.send_again
    monkeypatch.setattr(
        type(store), "send_again", lambda self, ids, as_new=False: (order.extend(ids), again(ids, as_new))[1]
    )
    console.as_("operator").post(f"/deliveries/{name}/again", {})
    assert order == waiting and [d.id for d in store.pending(name, 0, 10)] == waiting


def test_what_was_sent_as_new_too_often_says_so(made: tuple[Console, Hub, Sending, int]) -> None:
    console, hub, _, number = made
    for _ in range(MOST_ANEW):
        assert hub.store.deliveries.send_again([number], as_new=True) == [number]
    console.as_("operator").post(f"/delivery/{number}/again", {"as_new": "yes", "why": "lost"}, status=409)
    (one,) = hub.store.deliveries.of_entry(1)
    assert one.anew == MOST_ANEW
