"""MLLP out against receivers that nobody here wrote: hl7apy's, which hangs up after every answer, and
python-hl7's, which keeps the connection."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import hl7
import hl7.mllp
import pytest
from behaviour import Behaviour
from cable import Cable
from hl7apy.core import Message
from hl7apy.mllp import AbstractErrorHandler, AbstractHandler, MLLPServer
from hl7apy.parser import parse_message


class Receiver:
    """Keeps each message once, by its control id, as receivers do."""

    secrets = ()

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.refuses = False

    def plug(self, port: int) -> None:
        self.cable = Cable(port)
        self.words: dict[str, Any] = {"url": f"mllp://127.0.0.1:{self.cable.port}", "answer_seconds": 5}

    def taken(self) -> list[bytes]:
        return list(self.kept.values())

    def away(self) -> None:
        self.cable.pull()

    def back(self) -> None:
        self.cable.plug()

    def refuse(self) -> None:
        self.refuses = True

    def lose_answer(self) -> None:
        self.cable.lose_answer()


class Hl7apySide(Receiver):
    def __init__(self) -> None:
        super().__init__()
        side = self

        class Oru(AbstractHandler):  # type: ignore[misc]
            def reply(self) -> str:
                message = parse_message(self.incoming_message, find_groups=False)
                control = str(message.msh.msh_10.value)
                if not side.refuses:
                    side.kept.setdefault(control, self.incoming_message.encode())
                answer = Message("ACK", version="2.5.1")
                answer.msh.msh_9 = "ACK^R01^ACK"
                answer.msh.msh_10 = f"LIS-{control}"
                answer.msh.msh_11 = "P"
                answer.add_segment("MSA")
                answer.msa.msa_1 = "AE" if side.refuses else "AA"
                answer.msa.msa_2 = control
                if side.refuses:
                    answer.msa.msa_3 = f"unknown: {message.pid.pid_5.to_er7()}"
                    answer.add_segment("ERR")
                    answer.err.err_2 = "PID^1^3"
                    answer.err.err_3 = "204^Unknown key identifier^HL70357"
                    answer.err.err_4 = "E"
                return str(answer.to_mllp())

        class Wrong(AbstractErrorHandler):  # type: ignore[misc]
            def reply(self) -> str:
                raise self.exc

        self._server = MLLPServer("127.0.0.1", 0, {"ORU^R01^ORU_R01": (Oru,), "ERR": (Wrong,)})
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.plug(self._server.server_address[1])

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class PythonHl7Side(Receiver):
    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        self._server = self._do(hl7.mllp.start_hl7_server(self._take, "127.0.0.1", 0))
        self.plug(self._server.sockets[0].getsockname()[1])

    def _do(self, what: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _take(self, reader: Any, writer: Any) -> None:
        try:
            while not writer.is_closing():
                message = await reader.readmessage()
                if not self.refuses:
                    self.kept.setdefault(str(message["MSH.10"]), str(message).encode())
                writer.writemessage(message.create_ack("AE" if self.refuses else "AA"))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._server.close)  # where its connections end, too
        self._loop.call_soon_threadsafe(self._loop.stop)


class TestHl7apy(Behaviour):
    word = "mllp"

    @pytest.fixture
    def side(self) -> Iterator[Hl7apySide]:
        made = Hl7apySide()
        yield made
        made.close()

    def test_what_was_wrong_is_told_without_its_words(self, side: Hl7apySide, made: Any) -> None:
        side.refuse()
        receipt = made().deliver(self.parcel())
        assert receipt.why == "answered AE: PID-3 204 unknown key identifier"
        assert b"Zzyzxson" in receipt.answer


class TestPythonHl7(Behaviour):
    word = "mllp"

    @pytest.fixture
    def side(self) -> Iterator[PythonHl7Side]:
        made = PythonHl7Side()
        yield made
        made.close()
