"""A real `hub serve` in a copy of the project, and senders that talk to it over real sockets.

`Hub` makes the copy (config.yaml, channels, mappings, terminology; ports from the system), starts and stops
the server as a subprocess in a process group of its own, and opens its journal and store to look inside.
`Sender` sends frames over MLLP and keeps what was acknowledged, as a lab system would: what was not answered
is sent again with the same control id.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.channels.opening import open_journal, open_keyring, open_store, prepare_folder
from engine.journal.sql import SqlJournal
from engine.kernel.config import Config, load_config
from engine.store.sql import SqlStore

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds anything may take before a test says that it hangs


def free_ports(count: int) -> list[int]:
    """Return ports that nobody uses now."""
    taken = []
    for _ in range(count):
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        taken.append(s)
    ports = [s.getsockname()[1] for s in taken]
    for s in taken:
        s.close()
    return ports


def wait_for(what: Callable[[], object], text: str, patience: float = PATIENCE) -> None:
    """Wait until `what` is true."""
    until = time.monotonic() + patience
    while not what():
        assert time.monotonic() < until, f"waited {patience:.0f} s in vain: {text}"
        time.sleep(0.02)


class Hub:
    """A project of its own, and the server of it."""

    def __init__(self, folder: Path, *, workers: int = 1, parts: str = "listeners,workers", **config: str):
        self.root = folder
        self.parts = parts
        for name in ("mappings", "terminology"):
            shutil.copytree(ROOT / name, folder / name)
        (folder / "channels").mkdir()
        self.ports = dict(zip(("lab_oru", "adt"), free_ports(2), strict=True))
        for name, port in self.ports.items():
            self.channel(name, (ROOT / f"channels/{name}.yaml").read_text(), port)
        lines = {"hub": "Test", "workers": str(workers), "disk_reserve_mb": "0"}
        lines |= {"terminology": "{load_shipped: false}"} | config
        (folder / "config.yaml").write_text("".join(f"{k}: {v}\n" for k, v in lines.items()))
        self.log = folder / "serve.log"
        self.process: subprocess.Popen[bytes] | None = None

    def channel(self, name: str, text: str, port: int) -> None:
        """Write a channel's file with this port."""
        path = self.root / f"channels/{name}.yaml"
        path.write_text(re.sub(r"mllp: \{port: \d+\}", f"mllp: {{port: {port}}}", text))

    @property
    def config(self) -> Config:
        """What config.yaml says."""
        return load_config(self.root)

    def command(self) -> list[str]:
        """Return the command that starts the server."""
        return [sys.executable, "-m", "engine.cli.main", "serve", "--only", self.parts]

    def start(self, patience: float = PATIENCE) -> None:
        """Start the server and wait until it says that it is ready."""
        with self.log.open("ab") as log:
            at = log.tell()
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.root,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

        def ready() -> bool:
            text = self.log.read_bytes()[at:].decode(errors="replace")
            assert self.process is not None and self.process.poll() is None, f"it ended: {text}"
            return "ready in" in text

        wait_for(ready, "the server is not ready", patience)

    def refused(self, path: str = str(ROOT)) -> tuple[int, str]:
        """Start a server that will not run; return its exit code and what it said. `path`: PYTHONPATH."""
        done = subprocess.run(
            self.command(),
            cwd=self.root,
            env=os.environ | {"PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return done.returncode, done.stdout + done.stderr

    def stop(self) -> int:
        """Stop it as an operator would; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.kill()

    def kill(self) -> None:
        """kill -9 every process of the tree at once."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def children(self) -> dict[str, int]:
        """Return the processes below the supervisor by name: listeners, worker-0, ..."""
        assert self.process is not None
        task = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = {}
        for pid in task.read_text().split():
            with contextlib.suppress(OSError):
                found[Path(f"/proc/{pid}/comm").read_text().strip().removeprefix("hub ")] = int(pid)
        return found

    @contextmanager
    def inside(self) -> Iterator[tuple[SqlJournal, SqlStore]]:
        """Open the journal and the store of the project."""
        prepare_folder(self.config)
        keyring = open_keyring(self.config)
        journal, store = open_journal(self.config, keyring), open_store(self.config, keyring)
        try:
            yield journal, store
        finally:
            store.close()
            journal.close()

    def drained(self, patience: float = PATIENCE) -> None:
        """Wait until every entry of the journal has its outcome."""
        with self.inside() as (journal, store):

            def done() -> bool:
                marks = store.watermarks()
                return journal.head() == 0 or (
                    len(marks) == journal.lanes and min(marks.values()) >= journal.head()
                )

            wait_for(done, "entries wait", patience)


def frame(message: bytes) -> bytes:
    """Wrap a message for MLLP."""
    return b"\x0b" + message + b"\x1c\r"


class Sender(threading.Thread):
    """Sends messages one after the other on one connection, each until it is acknowledged."""

    def __init__(self, port: int, messages: Iterator[tuple[str, bytes]]) -> None:
        super().__init__(daemon=True)
        self.port = port
        self.messages = messages
        self.acked: list[str] = []
        self.answers: dict[str, str] = {}
        self.enough = threading.Event()
        self.trouble: BaseException | None = None
        self._socket: socket.socket | None = None

    def run(self) -> None:
        """Send until there is nothing more, or `enough`."""
        try:
            for control_id, message in self.messages:
                while not self.enough.is_set():
                    code = self._once(message)
                    if code:
                        self.answers[control_id] = code
                        if code in ("AA", "CA"):
                            self.acked.append(control_id)
                        break
                    time.sleep(0.02)
                if self.enough.is_set():
                    break
        except BaseException as e:
            self.trouble = e
        finally:
            if self._socket is not None:
                self._socket.close()

    def _once(self, message: bytes) -> str:
        """Send once; return the answer's code, or nothing when there was none."""
        try:
            if self._socket is None:
                self._socket = socket.create_connection(("127.0.0.1", self.port), 5)
                self._socket.settimeout(20)
            self._socket.sendall(frame(message))
            answer = b""
            while not answer.endswith(b"\x1c\r"):
                data = self._socket.recv(65536)
                if not data:
                    raise ConnectionError
                answer += data
        except OSError:
            if self._socket is not None:
                self._socket.close()
                self._socket = None
            return ""
        found = re.search(rb"\rMSA\|(\w\w)\|", answer)
        assert found, answer
        return found[1].decode()

    def finish(self) -> list[str]:
        """Stop after the current message and return the acknowledged control ids."""
        self.enough.set()
        self.join(PATIENCE)
        assert not self.is_alive() and self.trouble is None, self.trouble
        return self.acked


def send(port: int, *messages: bytes, patience: float = PATIENCE) -> list[str]:
    """Send messages on one connection; return the codes of their answers."""
    sender = Sender(port, ((str(n), m) for n, m in enumerate(messages)))
    sender.start()
    sender.join(patience)
    if sender.is_alive():
        sender.enough.set()
        raise AssertionError(f"no answer in {patience:.0f} s")
    assert sender.trouble is None, sender.trouble
    return [sender.answers[str(n)] for n in range(len(messages))]
