"""The supervisor: forks the processes of the hub, starts again what dies, and stops all of them together.

In: named children, each a function that runs until it is told to stop. Out: an exit code. Children are
forked before any database is open or any reactor exists, so that what is read once (maps, tables) is shared
memory. A child that dies is started again, with a growing pause. SIGTERM and SIGINT stop all, listeners
first, so that what was accepted is answered; a change of channels has single ones stopped the same way and
started anew. Every child watches a pipe that only the supervisor holds: when the supervisor is killed, its
children stop too, and the next `hub serve` finds the ports free.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.channels.restarts import asked
from engine.cli.board import DOWN, READY, STARTING, Board
from engine.kernel.errors import ConfigError, HubError, trace_of
from engine.kernel.log import call_process

__all__ = ["Child", "Supervisor", "only_one"]

log = logging.getLogger("hub")

SETTINGS = 3  # exit code of a child whose settings cannot be followed
STOP = 20.0  # seconds the children have to stop
LONG = 5.0  # seconds after which a death is no reason to wait
LONGEST_PAUSE = 5.0  # seconds between the starts of a child that dies at once
LEFT_BEHIND = 15.0  # seconds the children of a killed supervisor have to stop


@dataclass(slots=True)
class Child:
    """One process: what it runs and how it is doing. `run` calls its argument once it is ready.

    `once`: it starts when all others are ready, and is not started again when it ends.
    """

    name: str
    run: Callable[[Callable[[str], None]], None]
    once: bool = False
    last: bool = False  # it stops when all others have: it tells of them
    pid: int = 0
    pipe: int = -1
    started: float = 0.0
    pause: float = 0.1
    again_at: float = 0.0
    said: list[str] = field(default_factory=list)
    ready: bool = False
    ran: bool = False  # it was ready once
    again: bool = False  # it was told to stop and starts anew


def only_one(folder: Path, part: str) -> int:
    """Lock a part of the hub on this data folder, and return the handle that holds the lock.

    The children of a supervisor that was killed hold it until they have stopped: that is waited for.
    """
    handle = os.open(folder / f"{part}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + LEFT_BEHIND
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(handle, 20, 0).decode("ascii", "ignore").strip()
            if time.monotonic() < until and not _alive(holder):
                time.sleep(0.05)
                continue
            os.close(handle)
            raise ConfigError(
                f"the {part} of this project are running already",
                where=str(folder),
                why=f"process {holder or 'unknown'}",
                remedy="stop it first, or give this project a data: folder of its own",
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, b"%d\n" % os.getpid(), 0)
        return handle


def _mark_of(path: Path | None) -> tuple[int, int] | None:
    try:
        found = os.stat(path) if path is not None else None
    except OSError:
        return None
    return (found.st_ino, found.st_mtime_ns) if found is not None else None


def _alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True


def _call_this_process(name: str) -> None:
    """Let ps and top show which process this is, where the system has a way."""
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(name)


class Supervisor:
    """Keeps the children up until it is told to stop."""

    def __init__(
        self,
        children: Sequence[Child],
        all_ready: Callable[[], None],
        died: Callable[[str, str], None] = lambda name, how: None,
        asked: Path | None = None,
        board: Board | None = None,
        drain: float = 0,
    ) -> None:
        self._children = children
        self._board = board
        self._drain = drain  # seconds between telling that this node stops and stopping
        self._stop_at = 0.0
        self._died = died
        self._all_ready = all_ready
        self._asked = asked  # the file in which a change asks for processes to start anew
        self._asked_mark = _mark_of(asked)
        self._told = False
        self._stopping = 0.0
        self._failed = False
        self._life = os.pipe()  # nothing is ever written: its end is the supervisor's end
        self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def run(self) -> int:
        """Start the children and stay until all have stopped; returns 0, or 1 when one could not start."""
        signal.set_wakeup_fd(self._wake[1], warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # wakes the loop
        for child in self._children:
            if not child.once:
                self._start(child)
        while True:
            self._listen()
            if self._reap():
                return 1 if self._failed else 0
            if not self._told and not self._stopping and all(c.ready or c.once for c in self._children):
                self._told = True
                self._all_ready()
                for child in self._children:
                    if child.once:
                        self._start(child)
            self._start_anew()
            now = time.monotonic()
            if self._stop_at and now >= self._stop_at and not self._stopping:
                self._stop_children()
            if self._stopping and not any(c.pid for c in self._children if not c.last):
                self._tell_to_stop(True)
            for child in self._children:
                if not child.pid and not child.once and not self._stopping and now >= child.again_at:
                    self._start(child)
                elif child.pid and self._stopping and now - self._stopping > STOP:
                    log.error("%s did not stop in %.0f s and is killed", child.name, STOP)
                    os.kill(child.pid, signal.SIGKILL)

    def _start_anew(self) -> None:
        """Stop the processes that a change asks for; each answers what it accepted, and is started again."""
        if self._asked is None or self._stopping or not self._told:
            return
        mark = _mark_of(self._asked)
        if mark == self._asked_mark:
            return
        self._asked_mark = mark
        try:
            names = asked(self._asked)
        except ConfigError as e:
            log.error("%s", e)
            return
        for child in self._children:
            if child.name in names and child.pid:
                log.info("%s starts anew for a change", child.name)
                child.again = True
                os.kill(child.pid, signal.SIGTERM)

    def _start(self, child: Child) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            os.close(reading)
            self._become(child, writing)
        os.close(writing)
        child.pid, child.pipe, child.started, child.ready = pid, reading, time.monotonic(), False
        child.again, child.said = False, []
        self._put(child, STARTING)

    def _become(self, child: Child, writing: int) -> None:
        """Be the child; never returns."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            # Ctrl-C reaches every process of the terminal; the supervisor says who stops when.
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.close(self._life[1])
            _call_this_process(f"hub {child.name}")
            call_process(child.name)
            threading.Thread(target=self._outlive, name="supervisor", daemon=True).start()

            def ready(text: str) -> None:
                os.write(writing, (text + "\n").encode())

            child.run(ready)
            code = 0
        except HubError as e:
            log.error("%s: %s", child.name, e)
            code = SETTINGS if isinstance(e, ConfigError) else 1
        except BaseException as e:
            log.error("%s stopped: %s", child.name, trace_of(e))
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _outlive(self) -> None:
        """Stop this child when the supervisor is gone."""
        os.read(self._life[0], 1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(STOP)
        os._exit(1)

    def _listen(self) -> None:
        pipes = {c.pipe: c for c in self._children if c.pipe >= 0}
        found, _, _ = select.select([*pipes, self._wake[0]], [], [], 0.5 if self._told else 0.1)
        for fd in found:
            if fd == self._wake[0]:
                os.read(fd, 4096)
                continue
            child = pipes[fd]
            data = os.read(fd, 65536)
            if data:
                child.said += data.decode().split()
                child.ready = child.ran = True
                self._put(child, READY)
            else:
                os.close(fd)
                child.pipe = -1

    def _reap(self) -> bool:
        """Collect the dead; returns whether all is over."""
        for child in self._children:
            if not child.pid:
                continue
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid == 0:
                continue
            child.pid, child.ready = 0, False
            self._put(child, DOWN)
            if self._stopping:
                continue
            code = os.waitstatus_to_exitcode(status)
            if child.again and code == 0:
                child.again_at = 0.0
                continue
            if not self._told and code != 0 and not child.ran:
                self._failed = True  # it never ran: what is wrong was said already
                self._stop()
                continue
            lived = time.monotonic() - child.started
            child.pause = 0.1 if lived > LONG else min(child.pause * 2, LONGEST_PAUSE)
            child.again_at = time.monotonic() + child.pause
            how = f"signal {-code}" if code < 0 else f"code {code}"
            if child.once:
                if code:
                    log.error("%s ended (%s)", child.name, how)
                continue
            log.error("%s ended (%s); it starts again in %.1f s", child.name, how, child.pause)
            try:
                self._died(child.name, how)
            except OSError as e:  # a full disk: the log has said it
                log.error("the end of %s cannot be written down: %s", child.name, e.strerror)
        return bool(self._stopping) and not any(c.pid for c in self._children)

    def _put(self, child: Child, state: int) -> None:
        if self._board is not None and not child.last:
            self._board.put(child.name, state)

    def _stop(self, *_: object) -> None:
        """Say that this node stops, and stop: at once, or when load balancers had time to look elsewhere."""
        if self._board is not None:
            self._board.drain()
        if self._drain and self._told and not self._stop_at:
            self._stop_at = time.monotonic() + self._drain
        elif not self._stopping:  # nobody drains before it was ready, or after being told twice
            self._stop_children()

    def _stop_children(self) -> None:
        self._stopping = time.monotonic()
        self._tell_to_stop(False)

    def _tell_to_stop(self, last: bool) -> None:
        for child in self._children:
            if child.pid and child.last == last:
                os.kill(child.pid, signal.SIGTERM)
