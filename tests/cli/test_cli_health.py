"""Health ports: what is live and what is ready, by role; what strangers are told; draining."""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from engine.channels.processes import STALE
from engine.channels.restarts import bind
from engine.cli.board import DOWN, READY, STARTING, Board
from engine.cli.health import HealthPort, tls_of
from engine.cli.nodehealth import HUNG, NodeHealth, role_of, web_answer
from engine.console.tokens import Tokens
from engine.kernel import log as logs
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError
from engine.kernel.health_settings import HealthSettings
from engine.kernel.web_settings import ConsoleSettings, WebTlsSettings

NAMES = ["listeners", "files", "worker-0", "keeper", "deliveries", "console"]
ALL = ("listeners", "workers", "deliveries", "console")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    made = Config(root=tmp_path, data=tmp_path / "var", disk_reserve_mb=0)
    made.metrics_dir.mkdir(parents=True)
    return made


@pytest.fixture
def board() -> Board:
    made = Board(NAMES)
    for name in NAMES:
        made.put(name, READY)
    return made


def sign(config: Config, name: str, text: str = "", old: float = 0.0) -> None:
    """Leave a process's figures."""
    path = config.metrics_dir / f"{name}.prom"
    path.write_text(text)
    os.utime(path, (time.time() - old, time.time() - old))


def judge(config: Config, board: Board, web: str = "") -> NodeHealth:
    """Make a judge; all processes have just given a sign."""
    for name in NAMES:
        if name not in ("console", "keeper"):
            sign(config, name)
    return NodeHealth(config, board, lambda: web)


def test_all_is_well(config: Config, board: Board) -> None:
    one = judge(config, board)
    assert one.live(ALL) == [] and one.ready(ALL) == []


@pytest.mark.parametrize(
    ("name", "role", "state", "reason"),
    [
        ("worker-0", "workers", STARTING, "worker-0 is not running yet"),
        ("files", "listeners", DOWN, "files is not running yet"),
        ("console", "console", STARTING, "console is not running yet"),
    ],
)
def test_what_does_not_run_is_not_ready_and_needs_no_new_start(
    config: Config, board: Board, name: str, role: str, state: int, reason: str
) -> None:
    one = judge(config, board)
    board.put(name, state)
    assert one.ready((role,)) == [reason] and one.live((role,)) == []
    assert one.ready(tuple(r for r in ALL if r != role)) == []


def test_whoever_gives_no_sign_is_started_anew(config: Config, board: Board) -> None:
    one = judge(config, board)
    sign(config, "worker-0", old=STALE + 1)
    assert one.ready(("workers",)) and not one.live(("workers",))
    sign(config, "worker-0", old=HUNG + 1)
    assert "worker-0 has given no sign" in one.live(("workers",))[0]
    sign(config, "deliveries", old=HUNG + 1)  # its figures come from the store: that is no fault of its own
    assert one.ready(("deliveries",)) and not one.live(("deliveries",))


@pytest.mark.parametrize(
    ("name", "role", "line"),
    [
        ("worker-0", "workers", 'hub_store_down{worker="0"} 1'),
        ("listeners", "listeners", "hub_mllp_store_down 1"),
    ],
)
def test_who_waits_for_a_database_is_alive_and_not_ready(
    config: Config, board: Board, name: str, role: str, line: str
) -> None:
    one = judge(config, board)
    sign(config, name, f"# TYPE x gauge\n{line}\n")
    assert one.ready((role,)) == [f"{name} waits for its database"] and one.live((role,)) == []
    sign(config, name, f"{line[:-1]}0\n")
    assert one.ready((role,)) == []


def test_a_full_disk_takes_listeners_out(config: Config, board: Board) -> None:
    low = config.model_copy(update={"disk_reserve_mb": 1 << 40})
    assert "disk_reserve_mb" in judge(low, board).ready(("listeners",))[0]
    assert judge(low, board).ready(("workers",)) == []


def test_a_web_side_that_is_silent_for_long_is_started_anew(
    config: Config, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = judge(config, board, "does not answer")
    assert one.ready(("console",)) == ["console does not answer"] and one.live(("console",)) == []
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + HUNG + 1)
    assert one.live(("console",)) == ["console does not answer"]
    waiting = judge(config, board, "waits for its database")
    assert waiting.live(("console",)) == [] and waiting.ready(("console",))


def test_a_node_that_stops_is_not_ready_and_alive(config: Config, board: Board) -> None:
    one = judge(config, board)
    board.drain()
    assert one.ready(ALL) == ["this node is stopping"] and one.live(ALL) == []


def test_roles_with_one_address_share_a_port() -> None:
    said = HealthSettings(workers="0.0.0.0:9", listeners="0.0.0.0:9", console="[::1]:8")
    assert said.addresses() == {"0.0.0.0:9": ("listeners", "workers"), "[::1]:8": ("console",)}
    assert {role_of(name) for name in NAMES} == set(ALL)


# -- over HTTP -----------------------------------------------------------------------------------------


@pytest.fixture
def port(config: Config, board: Board) -> Iterator[HealthPort]:
    one = judge(config, board)
    listening = bind("127.0.0.1", 0)
    listening.listen()
    tokens = Tokens.read("ward a-token-of-the-test-suite-0123456789\n")
    made = HealthPort(listening, ("workers",), one, tokens, config)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def ask(port: HealthPort, path: str, **headers: str) -> tuple[int, str]:
    """Ask a port."""
    connection = HTTPConnection("127.0.0.1", port.server_port, timeout=10)
    connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_probes_and_scrapers(port: HealthPort, config: Config, board: Board) -> None:
    assert ask(port, "/health/live")[0] == ask(port, "/health/ready")[0] == 200
    sign(config, "worker-0", "# TYPE hub_entries_done_total counter\nhub_entries_done_total 5\n")
    sign(config, "listeners", "hub_mllp_connections_total 1\n")
    status, text = ask(port, "/metrics")
    assert status == 200 and 'hub_entries_done_total{process="worker-0"} 5' in text
    assert 'hub_process_ready{process="health",name="worker-0"} 1' in text
    assert "hub_mllp" not in text  # the listeners' own port tells of them
    board.put("worker-0", DOWN)
    status, text = ask(port, "/health/ready")
    assert status == 503 and json.loads(text)["reasons"] == ["worker-0 is not running yet"]
    assert ask(port, "/config.yaml")[0] == 404


def test_strangers_learn_whether_and_not_why(port: HealthPort, board: Board) -> None:
    board.put("worker-0", DOWN)
    status, text = ask(port, "/health/ready", X_Forwarded_For="10.0.0.9")  # somebody behind a proxy
    assert status == 503 and json.loads(text) == {"status": "trouble"}
    assert ask(port, "/metrics", X_Forwarded_For="10.0.0.9")[0] == 401
    known = {"X_Forwarded_For": "10.0.0.9", "Authorization": "Bearer a-token-of-the-test-suite-0123456789"}
    assert ask(port, "/metrics", **known)[0] == 200


def test_callers_who_say_nothing_hold_nobody_up(port: HealthPort) -> None:
    silent = [socket.create_connection(("127.0.0.1", port.server_port)) for _ in range(8)]
    assert ask(port, "/health/live")[0] == 200
    for one in silent:
        one.close()


def test_over_tls_also_when_the_web_side_is_asked(config: Config, board: Board, tmp_path: Path) -> None:
    where = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "pem"), "-days", "2"]
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        *where,
    ]
    subprocess.run([*make, "-subj", "/CN=elsewhere"], check=True, capture_output=True)
    tls = WebTlsSettings(certificate=tmp_path / "pem", key=tmp_path / "key")
    said = {"health": HealthSettings(tls=tls), "console": ConsoleSettings(tls=tls)}
    own = config.model_copy(update=said)
    context = tls_of(own)
    assert context is not None
    listening = bind("127.0.0.1", 0)
    listening.listen()
    number = listening.getsockname()[1]
    wrapped = context.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
    made = HealthPort(wrapped, ("workers",), judge(own, board), Tokens.read("w " + "t0ken" * 8), own)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    assert web_answer(own, "0.0.0.0", number) == ""
    board.put("worker-0", DOWN)
    assert web_answer(own, "127.0.0.1", number) == "waits for its database"
    assert web_answer(config, "127.0.0.1", number) == "does not answer"  # not without TLS
    made.shutdown()
    made.server_close()
    assert web_answer(own, "127.0.0.1", number) == "does not answer"
    with pytest.raises(ConfigError, match="health ports"):
        tls_of(
            own.model_copy(update={"health": HealthSettings(tls=tls.model_copy(update={"key": Path("x")}))})
        )


# -- logs ----------------------------------------------------------------------------------------------


@pytest.fixture
def own_logging() -> Iterator[None]:
    """Give logging back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logs.call_process("hub")


def test_json_is_one_object_a_line(own_logging: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("json")
    logs.call_process("worker-1")
    logging.getLogger("hub.test").warning("entry %d waits\nfor %s", 7, "a line")
    try:
        raise ValueError("PID|1||100234")
    except ValueError:
        logging.getLogger("hub.test").error("it failed", exc_info=True)  # ours never do; a library might
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(one["level"], one["process"], one["logger"], one["event"]) for one in lines] == [
        ("warning", "worker-1", "hub.test", "entry 7 waits\nfor a line"),
        ("error", "worker-1", "hub.test", "it failed"),
    ]
    assert all(set(one) == {"at", "level", "process", "logger", "event"} for one in lines)


def test_text_is_as_it_was(own_logging: None, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("text")
    logging.getLogger("hub.test").info("entry %d", 7)
    assert capsys.readouterr().err.endswith(" INFO hub.test entry 7\n")
