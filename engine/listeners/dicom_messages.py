"""Messages of an association while they come in: objects to their sinks, all else to memory, within limits.

In: fragments (P-DATA). Out: pynetdicom's messages; a C-STORE's dataset goes to a sink while it comes in,
instead of a buffer, and the next waits in the connection until it is answered. A message that is longer than
any that is meant, or is not put together as it should be, ends the association. Follows PS3.7 6.3.1 and
D.3.3.3 (one operation at a time), PS3.8 annex E (fragments).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.pdu_primitives import P_DATA

from engine.listeners.dicom_receiving import ObjectSink

__all__ = ["CALM", "LONGEST_COMMAND", "LONGEST_DATASET", "Begin", "NotTaken", "ObjectProvider"]

CALM = 0.02
"""Seconds one look waits for something of the other side."""
LONGEST_COMMAND = 64 << 10
LONGEST_DATASET = 4 << 20
"""Bytes of a dataset that is no object: storage commitment of 27,000 with the longest UIDs."""
_MOST = 4  # requests that wait to be served

Begin = Callable[[Any, int, Any], ObjectSink]
"""(association, context id, command set) -> where the dataset goes."""


class NotTaken(Exception):
    """What was sent is not gathered; the association ends."""


class ObjectProvider(DIMSEServiceProvider):  # type: ignore[misc]
    """Gives each C-STORE's dataset a sink as soon as its command is there."""

    def __init__(self, association: Any, begin: Begin) -> None:
        super().__init__(association)
        self._begin = begin
        self._sink: ObjectSink | None = None
        self._answered = threading.Event()  # no object waits to be kept
        self._answered.set()
        self._command = self._dataset = 0  # bytes in memory of the message that is coming in

    def receive_primitive(self, primitive: Any) -> None:
        """Take the fragments of one PDU. Raises NotTaken."""
        for fragment in primitive.presentation_data_value_list:
            self._check(fragment[1])
            one = P_DATA()
            one.presentation_data_value_list = [list(fragment)]
            super().receive_primitive(one)
            message = self.message
            if type(message) is C_STORE_RQ and not isinstance(message.data_set, ObjectSink):
                self._answered.clear()
                self._sink = self._begin(self.assoc, message.context_id, message.command_set)
                message.data_set = self._sink

    def _check(self, fragment: bytes) -> None:
        """Count a fragment before it is taken; a command comes first, once, and whole (PS3.8 E.1)."""
        message = self.message
        if message is None:
            if self.is_full:
                raise NotTaken("requests came together that must wait for one another")
            self._command = self._dataset = 0
        is_command, commanded = fragment[0] & 1, message is not None and message.context_id is not None
        if is_command == commanded:
            raise NotTaken("a command and its dataset are not in their order")
        if is_command:
            self._command += len(fragment)
        elif type(message) is not C_STORE_RQ:  # the sink has a limit of its own
            self._dataset += len(fragment)
        if self._command > LONGEST_COMMAND or self._dataset > LONGEST_DATASET:
            raise NotTaken("a message is longer than any that is meant")

    def get_msg(self, block: bool = False) -> Any:
        """Return the next message; where nobody asks to wait, wait a moment all the same."""
        if block:
            return super().get_msg(block=True)
        try:
            return self.msg_queue.get(timeout=CALM / 4)
        except queue.Empty:
            return None, None

    @property
    def is_full(self) -> bool:
        """Whether what came is to be answered before more is read: no window of operations was agreed on."""
        return (self.message is None and not self._answered.is_set()) or self.msg_queue.qsize() >= _MOST

    def wait(self) -> None:
        """Wait a moment for an answer."""
        if self._answered.is_set():
            time.sleep(0.001)
        else:
            self._answered.wait(CALM)

    def answered(self) -> None:
        """Be told that an object has been kept or refused."""
        self._drop()
        self._answered.set()

    def abandon(self) -> None:
        """Forget what nobody will serve: an object that is not whole, requests that nobody took."""
        self._drop()
        while self.msg_queue.qsize():
            _, message = self.msg_queue.get_nowait()
            if isinstance(sink := getattr(message, "DataSet", None), ObjectSink):
                sink.abandon()

    def _drop(self) -> None:
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.abandon()  # one that is kept is not touched
