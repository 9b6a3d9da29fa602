"""What certificates may have the hub ask."""

from __future__ import annotations

import pytest

from engine.destinations import fetching
from engine.destinations.fetching import NotAsked, fetched, is_inside


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8471/ca.crt",
        "http://localhost/ca.crt",
        "http://[::1]/ca.crt",
        "http://0.0.0.0/ca.crt",
        "http://169.254.169.254/latest/meta-data",
        "http://[fe80::1]/ca.crt",
        "http://[::ffff:127.0.0.1]/ca.crt",
    ],
)
def test_this_machine_and_its_link_are_not_asked(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_inside(address)
    monkeypatch.setattr(fetching, "is_inside", is_inside)
    with pytest.raises(NotAsked, match="not asked"):
        fetched(address, 1000)


@pytest.mark.parametrize("address", ["http://10.1.2.3/ca.crt", "https://192.0.2.7/list.crl"])
def test_a_house_s_own_network_is(address: str) -> None:
    assert not is_inside(address)
