"""A real RabbitMQ on this machine, with and without TLS: Debian's, in a folder of its own.

tests/peers/install installs it; without it the tests are skipped and say so.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pika

__all__ = ["Broker", "installed"]

_BIN = Path("/usr/lib/rabbitmq/bin")
USER, PASSWORD = "hub", "pw-77d1e0c4"


def installed() -> bool:
    """Say whether RabbitMQ is here."""
    return (_BIN / "rabbitmq-server").exists() and shutil.which("erl") is not None


def _free() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


class Broker:
    """One node, with one user and an exchange of topics named `hub`."""

    def __init__(self, folder: Path, pem: Path) -> None:
        self.port, self.tls_port, self._epmd = _free(), _free(), _free()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "rabbitmq.conf").write_text(
            f"listeners.tcp.1 = 127.0.0.1:{self.port}\n"
            f"listeners.ssl.1 = 127.0.0.1:{self.tls_port}\n"
            f"ssl_options.certfile = {pem}\n"
            f"ssl_options.keyfile = {pem}\n"
            "ssl_options.verify = verify_none\n"
            f"default_user = {USER}\ndefault_pass = {PASSWORD}\n"
            "max_message_size = 200000\nloopback_users = none\nlog.file.level = error\n"
        )
        (folder / "plugins").write_text("[].\n")
        self._env = {
            **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
            "HOME": str(folder),
            "RABBITMQ_NODENAME": f"hubtest{self.port}@localhost",
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_DIST_PORT": str(_free()),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
            "ERL_EPMD_PORT": str(self._epmd),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
        }
        self._log = (folder / "out").open("wb")
        self._process = subprocess.Popen(
            [_BIN / "rabbitmq-server"], env=self._env, cwd=folder, stdout=self._log, stderr=self._log
        )
        self._wait(folder)

    def _wait(self, folder: Path) -> None:
        end = time.monotonic() + 120
        while True:
            try:
                self.connect().close()
                return
            except (pika.exceptions.AMQPError, OSError):
                if self._process.poll() is not None or time.monotonic() > end:
                    raise RuntimeError((folder / "out").read_text("utf-8", "replace")[-2000:]) from None
                time.sleep(0.25)

    def connect(self) -> pika.BlockingConnection:
        """Return a connection of another program."""
        signed = pika.PlainCredentials(USER, PASSWORD)
        return pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", self.port, credentials=signed))

    def close(self) -> None:
        """End it, and the name server that Erlang leaves behind."""
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(30)
        self._process.kill()
        subprocess.run(["epmd", "-port", str(self._epmd), "-kill"], capture_output=True, env=self._env)
        self._log.close()
