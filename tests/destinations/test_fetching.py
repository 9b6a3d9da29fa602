"""What certificates point to: few bytes, and soon."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from engine.destinations import fetching
from engine.destinations.fetching import NotAsked, fetched


class Drop(BaseHTTPRequestHandler):
    """Answers byte by byte until nobody listens any more."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        waits = threading.Event()
        for _ in range(200):
            try:
                self.wfile.write(b"x")
                self.wfile.flush()
            except OSError:
                return
            waits.wait(0.02)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Drop)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/list.crl"
    server.shutdown()
    server.server_close()


def test_what_comes_byte_by_byte_holds_nobody(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "_WHOLE", 0.05)
    with pytest.raises(NotAsked) as told:
        fetched(address, 1 << 20)
    assert "takes longer" in told.value.why


def test_what_is_larger_than_asked_for_is_not_read(address: str) -> None:
    with pytest.raises(NotAsked) as told:
        fetched(address, 3)
    assert "is larger" in told.value.why
