"""`queue:` as it may be written, and what a hub of several machines is refused without."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.channels.sharing import check_queue, open_queue
from engine.kernel.config import load_config
from engine.kernel.errors import ConfigError
from engine.queue.lanes import OwnLanes, shared_out

DATABASES = "".join(f"{w}: postgresql://hub@db/hub\n" for w in ("journal", "core", "imaging", "staff"))


def written(folder: Path, text: str) -> Path:
    (folder / "config.yaml").write_text(text)
    return folder


def test_one_box_shares_by_number(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "hub: Test\n"))
    check_queue(config)
    queue = open_queue(config, "worker-1", shared_out(64, 1, 3), 64)
    assert isinstance(queue, OwnLanes) and queue.turn("keeper")
    assert queue.lanes() is queue.lanes() and queue.lanes() == {n for n in range(64) if n % 3 == 1}
    assert frozenset.union(*(shared_out(64, n, 3) for n in range(3))) == set(range(64))


@pytest.mark.parametrize(
    ("text", "servers", "copies"),
    [
        ("queue: nats://a:4222", ["nats://a:4222"], 1),
        ("queue: nats://a:4222,b:4222,c:4222", ["nats://a:4222", "nats://b:4222", "nats://c:4222"], 3),
        ("queue: {url: 'tls://a:4222', replicas: 5, user: hub, password: x}", ["tls://a:4222"], 5),
    ],
)
def test_servers(tmp_path: Path, text: str, servers: list[str], copies: int) -> None:
    config = load_config(written(tmp_path, f"{text}\nkey: {'k' * 43}=\n{DATABASES}"))
    assert (config.queue.servers, config.queue.copies) == (servers, copies)
    check_queue(config)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("queue: rabbit://a", "queue.url"),
        ("queue: nats://", "queue.url"),
        ("queue: {url: 'nats://a', partitions: 65}", "queue.partitions"),
        ("node: 'ward/east'", "node"),
    ],
)
def test_what_is_no_queue(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(written(tmp_path, text + "\n"))


@pytest.mark.parametrize("missing", ["journal", "core", "imaging", "staff", "key"])
def test_what_machines_must_share(tmp_path: Path, missing: str) -> None:
    lines = [f"key: {'k' * 43}=", *DATABASES.splitlines()]
    kept = "\n".join(line for line in lines if not line.startswith(missing))
    config = load_config(written(tmp_path, f"queue: nats://a:4222\n{kept}\n"))
    with pytest.raises(ConfigError, match=f"{missing}: must be"):
        check_queue(config)


def test_no_password_in_what_is_printed(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, "queue: {url: 'nats://a', user: hub, password: tiptop}\n"))
    assert "tiptop" not in repr(config.queue)
