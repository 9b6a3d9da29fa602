"""Late orders raise an alarm by rule, and it is over once the answer or the result is there."""

from __future__ import annotations

from typing import Any

import pytest
from test_standing import HOUR, Site, shared, site  # noqa: F401

from engine.channels.definition import load_channels
from engine.channels.orders.overdue import OverdueOrders
from engine.channels.orders.patience import late_by, late_of, patience_of
from engine.kernel.alert_settings import AlertSettings, OrderLine
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError

MINUTE = 60_000


def config_of(site: Site, *lines: dict[str, Any]) -> Config:  # noqa: F811
    settings = AlertSettings(orders=tuple(OrderLine(**line) for line in lines))
    return site.hub.config.model_copy(update={"alerts": settings})


class Watched:
    """The orders of a test, looked at some time after the last was asked for."""

    def __init__(self, site: Site, *lines: dict[str, Any]) -> None:  # noqa: F811
        hub = site.hub
        self.site = site
        channels = load_channels(hub.root)
        self.watch = OverdueOrders(config_of(site, *lines), hub.store, hub.journal, lambda: channels)

    def late(self, after: int) -> list[tuple[str, int]]:
        """What is missing, and of how many orders; those of other tests are not looked at."""
        everything = self.site._all()
        if self.watch._lines:
            self.watch.look(0)  # reads all, and finds none late
            mine = {d.id for d in everything if d.entry in self.site.mine}
            self.watch._open = {key: one for key, one in self.watch._open.items() if one[0] in mine}
            self.watch.look(max(d.at for d in everything) + after)
        return sorted((c.key.rpartition("|")[2], c.value) for c in self.watch.found or ())


def test_no_answer_then_no_result_then_over(site: Site) -> None:  # noqa: F811
    watched = Watched(site, {"to": "lis", "answered": "30 minutes", "resulted": "24 hours", "say": "Call"})
    entry = site.place()
    assert watched.late(29 * MINUTE) == []
    assert watched.late(30 * MINUTE) == [("answer", 1)]
    (told,) = watched.watch.found or ()
    assert (told.kind, told.say) == ("order", "Call") and " to lis without an answer in time" in told.what
    site.came("sent", entry)
    assert watched.late(2 * HOUR) == []
    assert watched.late(25 * HOUR) == [("result", 1)]
    site.say(
        "ORU^R01^ORU_R01",
        "ORC|RE|P1^EHR|F1^LIS\rOBR|1|P1^EHR|F1^LIS|58410-2^CBC^LN|||20260501||||||||||||||||||F\r"
        "OBX|1|NM|718-7^Hemoglobin^LN||13|g/dL|||||F\r",
        app="LIS",
    )
    assert watched.late(26 * HOUR) == []
    for status, late in (("parked", 1), ("refused", 2), ("skipped", 2)):  # what a person skipped is over
        site.came(status, site.place({"parked": "P2", "refused": "P3", "skipped": "P4"}[status]))
        assert watched.late(HOUR) == [("answer", late)]
    anew = Watched(site, {"to": "lis", "answered": "1 hour"})
    assert anew.watch.found is None  # not looked yet: it ends no alarm
    assert anew.late(HOUR) == [("answer", 2)]  # after a start all is known again
    assert Watched(site).late(25 * HOUR) == []  # no rule, no alarm


@pytest.mark.parametrize(
    ("priority", "state", "hours", "found"),
    [
        ("stat", "waiting", 1, "answer"),
        ("stat", "acknowledged", 1, ""),
        ("stat", "acknowledged", 2, "result"),
        ("", "waiting", 20, ""),
        ("", "waiting", 24, "result"),
        ("routine", "preliminary", 24, "result"),
        ("", "resulted", 240, ""),
        ("", "called off", 240, ""),
    ],
)
def test_the_first_line_that_fits_holds(
    site: Site,  # noqa: F811
    priority: str,
    state: str,
    hours: int,
    found: str,
) -> None:
    lines = patience_of(
        config_of(
            site,
            {"to": "other", "answered": "1 minute"},
            {"to": "lis", "priority": "stat", "answered": "1 hour", "resulted": "2 hours"},
            {"to": "lis", "resulted": "1 day"},
        )
    )
    order = {"priority": priority} if priority else {}
    said = late_by(lines, "lis", order, state, hours * HOUR)
    assert (said[1] if said else "") == found


def test_without_a_line_the_time_that_was_asked_for_holds(site: Site) -> None:  # noqa: F811
    late = late_of(config_of(site, {"to": "lis", "resulted": "1 hour"}), 24 * HOUR)
    assert late("lis", {}, "acknowledged", HOUR) and not late("other", {}, "acknowledged", HOUR)
    assert late("other", {}, "acknowledged", 24 * HOUR) and not late("other", {}, "complete", 24 * HOUR)


@pytest.mark.parametrize("line", [{"to": "lis"}, {"to": "lis", "resulted": "soon"}])
def test_a_line_that_cannot_be_kept_is_refused(site: Site, line: dict[str, Any]) -> None:  # noqa: F811
    with pytest.raises(ConfigError, match=r"orders|time"):
        patience_of(config_of(site, line))


def test_a_destination_that_is_not_there_is_named(site: Site) -> None:  # noqa: F811
    watched = Watched(site, {"to": "lab", "resulted": "1 hour"})
    with pytest.raises(ConfigError, match="lab"):
        watched.watch.look(0)
