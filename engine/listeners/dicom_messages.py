"""Messages of an association while they come in: objects to their sinks, all else to memory, within limits.

In: fragments (P-DATA). Out: pynetdicom's messages; a C-STORE's dataset goes to a sink while it comes in,
instead of a buffer. A message that is longer than any that is meant, or is not put together as it should be,
ends the association. Follows PS3.7 6.3.1 and PS3.8 annex E (fragments).
"""

from __future__ import annotations

import queue
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
                self._sink = self._begin(self.assoc, message.context_id, message.command_set)
                message.data_set = self._sink

    def _check(self, fragment: bytes) -> None:
        """Count a fragment before it is taken; a command comes first, once, and whole (PS3.8 E.1)."""
        message = self.message
        if message is None:
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

    def abandon(self) -> None:
        """Forget an object that will not be whole."""
        if self._sink is not None:
            self._sink.abandon()
