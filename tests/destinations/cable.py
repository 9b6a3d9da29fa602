"""A cable between a destination and a real server: it can be pulled, and it can lose an answer.

In: the server's port. Out: a port of its own, whose bytes go on to the server's and back.
"""

from __future__ import annotations

import contextlib
import socket
import threading

__all__ = ["Cable"]


class Cable:
    """Carries bytes between one port and another."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._ends: list[socket.socket] = []
        self._lock = threading.Lock()
        self._lose = False
        self._frozen = False
        self._listening: socket.socket | None = None
        self.port = 0
        self.plug()

    def plug(self) -> None:
        """Carry connections from now on, at the same port as before."""
        with self._lock:
            if self._listening is not None:
                return
            made = socket.socket()
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(("127.0.0.1", self.port))
            made.listen(16)
            self._listening, self.port = made, made.getsockname()[1]
        threading.Thread(target=self._accept, args=(made,), daemon=True).start()

    def pull(self) -> None:
        """Break every connection, take no new one."""
        with self._lock:
            listening, self._listening = self._listening, None
            ends, self._ends = self._ends, []
        if listening is not None:
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
            listening.close()
        for end in ends:
            _break(end)

    def lose_answer(self) -> None:
        """Break the connection instead of carrying the server's next bytes."""
        self._lose = True

    def freeze(self) -> None:
        """Carry nothing any more, and break nothing."""
        self._frozen = True

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                near, _ = listening.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._to))
            for end in (near, far):  # small writes would wait for the other side's delayed acknowledgement
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._ends += [near, far]
            for here, there, answers in ((near, far, False), (far, near, True)):
                threading.Thread(target=self._carry, args=(here, there, answers), daemon=True).start()

    def _carry(self, here: socket.socket, there: socket.socket, answers: bool) -> None:
        try:
            while data := here.recv(65536):
                if self._frozen:
                    continue
                if answers and self._lose:
                    self._lose = False
                    break
                there.sendall(data)
        except OSError:
            pass
        for end in (here, there):
            _break(end)


def _break(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
