"""A webhook is HTTP with a signature that the receiver can check."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from behaviour import Behaviour
from test_destination_http import TOKEN, Server

from engine.destinations.kinds import KINDS
from engine.kernel.delivery import Around
from engine.kernel.errors import ConfigError

SECRET = "shh-4417aa"


class TestWebhook(Behaviour):
    word = "webhook"

    @pytest.fixture
    def side(self) -> Iterator[Server]:
        made = Server()
        made.words["secret"] = SECRET
        made.secrets = (TOKEN, SECRET)
        yield made
        made.close()

    def test_it_is_signed(self, side: Server, made: Any) -> None:
        there = made()
        assert there.deliver(self.parcel()).verdict == "sent"
        ((method, _, headers, body),) = side.requests
        at = headers["x-hub-timestamp"]
        expected = hmac.new(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        assert (method, headers["x-hub-signature-256"]) == ("POST", f"sha256={expected}")
        assert abs(int(at) - time.time()) < 600 and headers["idempotency-key"] == self.parcel().key

    def test_without_a_secret(self, side: Server, made: Any, tmp_path: Path) -> None:
        assert made(secret="").deliver(self.parcel()).verdict == "sent"
        assert "x-hub-signature-256" not in side.requests[0][2]
        kind = KINDS["webhook"]
        strict = Around(tmp_path, tmp_path, "Mercy", "https://id.example", production=True)
        with pytest.raises(ConfigError, match="without a secret"):
            kind.make(kind.settings(url="https://portal.example/"), "portal", strict)
        with pytest.raises(ConfigError, match="in the clear"):
            kind.make(kind.settings(url="http://portal.example/", secret="x"), "portal", strict)
        with pytest.raises(ValueError, match="url"):
            kind.settings(url="https://portal.example/{channel}")
