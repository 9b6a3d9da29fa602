"""Endpoints of Subscriptions: where a resource is put, and what an endpoint keeps of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fhir_side import P, Reply, Server, serving

from engine.destinations.resthook import RestHook, below


@pytest.fixture
def hook() -> Iterator[RestHook]:
    made = RestHook(5)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://portal.example/fhir", f"https://portal.example/fhir/{P}"),
        ("https://portal.example/fhir/", f"https://portal.example/fhir/{P}"),
        ("https://portal.example", f"https://portal.example/{P}"),
        ("https://portal.example?key=1", f"https://portal.example/{P}?key=1"),
        ("https://portal.example/in/?key=a%2Fb&x=", f"https://portal.example/in/{P}?key=a%2Fb&x="),
        ("https://portal.example/a%2Fb?x#part", f"https://portal.example/a%2Fb/{P}?x"),
        ("https://portal.example:8443/fhir?to=a/b/", f"https://portal.example:8443/fhir/{P}?to=a/b/"),
    ],
)
def test_the_path_goes_before_the_query(endpoint: str, expected: str) -> None:
    assert below(endpoint, P) == expected


def test_with_a_payload_and_without(hook: RestHook) -> None:
    def say(_: object) -> Reply:
        return 200, {}, b""

    with serving(say) as server:
        for body in (b"{}", None):
            receipt = hook.call(f"{server.url}/in?key=1", {"X-A": "b"}, P, body, "once")
            assert receipt.verdict == "sent"
    assert [(a.method, a.path, a.body) for a in server.asked] == [
        ("PUT", f"/fhir/in/{P}?key=1", b"{}"),
        ("POST", "/fhir/in?key=1", b""),
    ]
    assert {a.headers["x-a"] for a in server.asked} == {"b"}


def test_nobody_there(hook: RestHook) -> None:
    gone = Server(lambda _: None)
    gone.close()
    assert hook.call(gone.url, {}, P, None, "once").verdict == "retry"
