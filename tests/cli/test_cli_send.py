"""The sender: what it makes of a file, of the answers, and of a receiver that does not give any."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.destinations.mllp import NotAnswered, send, send_file
from engine.kernel.errors import ConfigError, FormatError
from engine.wire.mllp import END, START, Framer, encode

ADT = b"MSH|^~\\&|REG|NORTH|HUB|NORTH|20260201||ADT^A01^ADT_A01|%b|P|2.5.1\rPID|1||A1^^^NORTH^MR\r"


def ack(message: bytes, code: str = "AA", rest: str = "") -> bytes:
    """Answer as a receiver would."""
    named = message.split(b"|")[9].decode()
    return f"MSH|^~\\&|HUB|NORTH|REG|NORTH|2026||ACK|1|P|2.5.1\rMSA|{code}|{named}\r{rest}".encode()


class Receiver:
    """Accepts one connection; gives every message to `reply` and writes back what it returns, None closes."""

    def __init__(self, reply: Callable[[bytes], bytes | None]) -> None:
        self.got: list[bytes] = []
        self._reply = reply
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"mllp://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError:
            return
        with connection:
            framer = Framer(1 << 24)
            while data := connection.recv(65536):
                for message in framer.receive(data):
                    self.got.append(message)
                    answer = self._reply(message)
                    if answer is None:
                        return
                    connection.sendall(answer)

    def close(self) -> None:
        """Stop."""
        self._socket.close()
        self._thread.join(5)


@pytest.fixture
def receiver() -> Iterator[Callable[[Callable[[bytes], bytes | None]], Receiver]]:
    made: list[Receiver] = []

    def make(reply: Callable[[bytes], bytes | None]) -> Receiver:
        made.append(Receiver(reply))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_several_messages_of_a_file_in_order(receiver: Callable[..., Receiver], tmp_path: Path) -> None:
    to = receiver(lambda message: encode(ack(message)))
    path = tmp_path / "some.hl7"
    path.write_bytes(
        (ADT % b"1").replace(b"\r", b"\n") + b"\n" + (ADT % b"2").replace(b"\r", b"\r\n") + ADT % b"3"
    )
    answers = list(send_file(path, to.url))
    assert [(a.number, a.control_id, a.code, a.good) for a in answers] == [
        (1, "1", "AA", True),
        (2, "2", "AA", True),
        (3, "3", "AA", True),
    ]
    assert to.got == [ADT % b"1", ADT % b"2", ADT % b"3"]
    assert all(a.message_type == "ADT^A01" and a.seconds > 0 and a.ack.startswith(b"MSH|") for a in answers)


def test_a_refusal_says_where_and_why(receiver: Callable[..., Receiver]) -> None:
    err = "ERR||MSH^1^11|202^Unsupported processing id^HL70357|E||||not for production\r"
    to = receiver(lambda message: encode(ack(message, "AR", err)))
    [answer] = send([ADT % b"1"], to.url)
    assert not answer.good and answer.code == "AR"
    assert answer.errors == ("MSH-11 202 Unsupported processing id: not for production",)


def test_an_answer_to_another_message_is_not_good(receiver: Callable[..., Receiver]) -> None:
    to = receiver(lambda message: encode(ack(ADT % b"other")))
    [answer] = send([ADT % b"1"], to.url)
    assert (answer.code, answer.named, answer.good) == ("AA", "other", False)


def test_a_message_that_wants_no_answer_is_not_waited_for(receiver: Callable[..., Receiver]) -> None:
    to = receiver(lambda message: b"" if b"||||NE|NE" in message else encode(ack(message)))
    silent = (ADT % b"1").replace(b"|2.5.1\r", b"|2.5.1||||NE|NE\r")
    first, second = send([silent, ADT % b"2"], to.url, timeout=5)
    assert (first.code, first.ack) == ("", b"")
    assert second.good


def test_a_slow_answer_in_pieces(receiver: Callable[..., Receiver]) -> None:
    to = receiver(lambda message: encode(ack(message)) + b"\r\n")
    assert [a.good for a in send([ADT % b"1", ADT % b"2"], to.url)] == [True, True]


@pytest.mark.parametrize(
    ("reply", "what"),
    [
        (lambda message: None, "closed without an answer"),
        (lambda message: b"HTTP/1.1 400 Bad Request\r\n", "not MLLP"),
        (lambda message: START + b"MSH|half", "no answer within 0.2 s"),
        (lambda message: b"", "no answer within 0.2 s"),
    ],
)
def test_no_answer_is_never_taken_for_one(
    receiver: Callable[..., Receiver], reply: Callable[[bytes], bytes | None], what: str
) -> None:
    to = receiver(reply)
    with pytest.raises(NotAnswered, match=what) as caught:
        list(send([ADT % b"1"], to.url, timeout=0.2))
    assert caught.value.where == f"message 1 to {to.url}" and "A1" not in str(caught.value)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with pytest.raises(NotAnswered, match="Is the hub running"):
        list(send([ADT % b"1"], f"mllp://127.0.0.1:{port}"))


@pytest.mark.parametrize(
    "url", ["127.0.0.1:2575", "http://x:1", "mllp://", "mllp://x:port", "mllp://x:99999"]
)
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(ConfigError, match="mllp://HOST:PORT"):
        list(send([ADT % b"1"], url))


def test_files_that_cannot_be_sent(tmp_path: Path, receiver: Callable[..., Receiver]) -> None:
    to = receiver(lambda message: encode(ack(message)))
    (tmp_path / "letter.txt").write_text("Dear lab")
    with pytest.raises(FormatError, match="no HL7 message"):
        list(send_file(tmp_path / "letter.txt", to.url))
    with pytest.raises(ConfigError, match="cannot read"):
        list(send_file(tmp_path / "none.hl7", to.url))
    (tmp_path / "odd.hl7").write_bytes(ADT % b"1" + b"NTE|1||" + END + b"|\r")
    with pytest.raises(FormatError, match="1C 0D"):
        list(send([(tmp_path / "odd.hl7").read_bytes()], to.url))
