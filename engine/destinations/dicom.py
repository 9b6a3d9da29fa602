"""DICOM as the side that asks: echo, store, query, and the answer to a request for storage commitment.

In: whom to call, and objects, queries or references. Out: what became of each object, datasets that match,
or a HubError that says why there was no association. Built on pynetdicom. Follows PS3.8 7.1 (association),
PS3.4 A, B, C, J and K. Every call makes an association of its own and releases it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, BinaryIO, NamedTuple

from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, build_role, evt

from engine.formats.dicom.uids import EXPLICIT, IMPLEMENTATION_UID, IMPLEMENTATION_VERSION, IMPLICIT
from engine.kernel.errors import HubError
from engine.wire.dicom_library import hush
from engine.wire.dicom_sending import Lost, context_for, send_object, verdict_of

__all__ = ["Outcome", "Outgoing", "Target", "echo", "find", "report_commitment", "store", "worklist"]

VERIFICATION = "1.2.840.10008.1.1"
STUDY_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
PATIENT_FIND = "1.2.840.10008.5.1.4.1.2.1.1"
WORKLIST = "1.2.840.10008.5.1.4.31"
COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"

_PLAIN = (EXPLICIT, IMPLICIT)
_MOST_CONTEXTS = 128  # their numbers are odd bytes (PS3.8 9.3.2.2)
_MAX_PDU = 131_072
_REASONS = {
    (1, 2): "it does not know the application context",
    (1, 3): "it does not know our AE title",
    (1, 7): "it is not called by this AE title",
    (2, 2): "it speaks another protocol version",
    (3, 1): "it is busy",
    (3, 2): "it has as many associations as it takes",
}


@dataclass(frozen=True, slots=True)
class Target:
    """Whom to call, and as whom."""

    host: str
    port: int
    called: str
    calling: str
    tls: ssl.SSLContext | None = None
    seconds: float = 30  # for the connection, for every answer, and without a word from the other side

    def __str__(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"dicom://{shown}:{self.port}"


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An object to send: a whole Part 10 file that is opened when its turn comes."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    open: Callable[[], BinaryIO]


class Outcome(NamedTuple):
    """What became of one object: `sent`; `retry` for what may pass; `refuse` where the other side takes no
    such object; `park` where it does not take this one. `status` is what it answered, None where it did
    not.
    """

    sop_instance: str
    kind: str
    why: str = ""
    status: int | None = None


def echo(target: Target) -> None:
    """Verify that the other side answers (PS3.4 A). Raises HubError."""
    with _association(target, [build_context(VERIFICATION, list(_PLAIN))]) as assoc:
        _accepted(assoc, target, VERIFICATION)
        _status(assoc.send_c_echo(), target, "C-ECHO")


def store(
    target: Target,
    objects: Iterable[Outgoing],
    *,
    originator: tuple[str, int] | None = None,
    priority: int = 2,
) -> Iterator[Outcome]:
    """Send objects over one association, or a few where they need more contexts than one can have (PS3.4 B).

    Yields what became of each, in order; once the association is lost that is `retry` for the rest. Raises
    HubError where there is no association to begin with.
    """
    numbers = count(1)
    for group, contexts in _groups(objects):
        try:
            with _association(target, contexts) as assoc:
                yield from _store_group(assoc, group, numbers, originator, priority)
        except _NothingOffered:
            for one in group:
                yield Outcome(one.sop_instance, "refuse", "its SOP class is not accepted")


def find(target: Target, level: str, query: Dataset) -> Iterator[Dataset]:
    """Query what the other side holds: level PATIENT, STUDY, SERIES or IMAGE (PS3.4 C.4.1).

    Raises HubError.
    """
    asked = _copy(query)
    asked.QueryRetrieveLevel = level
    yield from _found(target, PATIENT_FIND if level == "PATIENT" else STUDY_FIND, asked)


def worklist(target: Target, query: Dataset) -> Iterator[Dataset]:
    """Query a modality worklist (PS3.4 K.4.1). Raises HubError."""
    yield from _found(target, WORKLIST, _copy(query))


def report_commitment(
    target: Target,
    transaction: str,
    safe: Sequence[tuple[str, str]],
    failed: Sequence[tuple[str, str, int]] = (),
) -> None:
    """Answer a request for storage commitment (PS3.4 J.3.3): what is safe; what is not, with its reason
    (PS3.3 C.14).

    On an association of its own, in which we are the SCP who calls (PS3.7 D.3.3.4). Raises HubError.
    """
    said = Dataset()
    said.TransactionUID = transaction
    said.RetrieveAETitle = target.calling
    said.ReferencedSOPSequence = [_reference(*one) for one in safe]
    if not safe:
        del said.ReferencedSOPSequence
    if failed:
        said.FailedSOPSequence = [_reference(*one) for one in failed]
    roles = [build_role(COMMITMENT, scp_role=True)]
    with _association(target, [build_context(COMMITMENT, list(_PLAIN))], roles) as assoc:
        _accepted(assoc, target, COMMITMENT)
        event = 2 if failed else 1
        answer, _ = assoc.send_n_event_report(said, event, COMMITMENT, COMMITMENT_INSTANCE)
        _status(answer, target, "N-EVENT-REPORT")


def _store_group(
    assoc: Any,
    group: Sequence[Outgoing],
    numbers: Iterator[int],
    originator: tuple[str, int] | None,
    priority: int,
) -> Iterator[Outcome]:
    lost = ""
    for one in group:
        if not lost:
            try:
                yield _store_one(assoc, one, next(numbers) % 0xFFFF, originator, priority)
                continue
            except Lost as e:
                lost = e.what
            except GeneratorExit:
                assoc.release()  # between two objects nothing is under way
                raise
        yield Outcome(one.sop_instance, "retry", lost)


def _store_one(
    assoc: Any, one: Outgoing, message_id: int, originator: tuple[str, int] | None, priority: int
) -> Outcome:
    context = context_for(assoc, one.sop_class, one.transfer_syntax)
    if context is None:
        classes = {cx.abstract_syntax for cx in assoc.accepted_contexts}
        why = (
            "its transfer syntax is not accepted"
            if one.sop_class in classes
            else "its SOP class is not accepted"
        )
        return Outcome(one.sop_instance, "refuse", why)
    try:
        with one.open() as opened:
            status = send_object(
                assoc,
                context,
                opened,
                one.sop_instance,
                one.transfer_syntax,
                message_id or 1,
                originator,
                priority,
            )
    except Lost:
        raise
    except (HubError, OSError) as e:
        return Outcome(
            one.sop_instance, "park", e.what if isinstance(e, HubError) else "it cannot be read here"
        )
    kind = verdict_of(status)
    return Outcome(one.sop_instance, kind, "" if status == 0 else f"status {status:04X}", status)


def _groups(objects: Iterable[Outgoing]) -> Iterator[tuple[list[Outgoing], list[Any]]]:
    """Cut objects where their contexts would be too many; propose each transfer syntax by itself.

    The acceptor chooses one of a context's transfer syntaxes; an object that is compressed goes as it is or
    not at all.
    """
    group: list[Outgoing] = []
    wanted: dict[tuple[str, tuple[str, ...]], None] = {}
    for one in objects:
        plain = one.transfer_syntax in _PLAIN
        key = (one.sop_class, (one.transfer_syntax,))
        # every association must offer Implicit VR Little Endian for what can be written in it (PS3.5 10.1)
        more = [key, (one.sop_class, (_other(one.transfer_syntax),))] if plain else [key]
        fresh = [k for k in more if k not in wanted]
        if len(wanted) + len(fresh) > _MOST_CONTEXTS:
            yield group, _contexts(wanted)
            group, wanted, fresh = [], {}, more
        wanted.update(dict.fromkeys(fresh))
        group.append(one)
    if group:
        yield group, _contexts(wanted)


def _other(syntax: str) -> str:
    return IMPLICIT if syntax == EXPLICIT else EXPLICIT


def _contexts(wanted: Iterable[tuple[str, tuple[str, ...]]]) -> list[Any]:
    return [build_context(sop_class, list(syntaxes)) for sop_class, syntaxes in wanted]


def _found(target: Target, model: str, asked: Dataset) -> Iterator[Dataset]:
    with _association(target, [build_context(model, list(_PLAIN))]) as assoc:
        _accepted(assoc, target, model)
        for answer, found in assoc.send_c_find(asked, model):
            status = answer.get("Status")
            if status in (0xFF00, 0xFF01):
                if found is None:
                    raise HubError("an answer cannot be read", where=str(target))
                yield found
            else:
                _status(answer, target, "C-FIND")


class _NothingOffered(HubError):
    """The other side accepted the association and none of its contexts."""


@contextmanager
def _association(target: Target, contexts: Sequence[Any], roles: Sequence[Any] = ()) -> Iterator[Any]:
    """Make an association, release it in the end; abort it where its use went wrong. Raises HubError."""
    hush()
    reached: list[bool] = []

    def connected(event: Any) -> None:
        reached.append(True)
        # two small writes in a row would otherwise wait for the other side's delayed ACK
        event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    ae = AE(ae_title=target.calling)
    ae.implementation_class_uid = IMPLEMENTATION_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = target.seconds
    try:
        assoc = ae.associate(
            target.host,
            target.port,
            contexts=list(contexts),
            ae_title=target.called,
            max_pdu=_MAX_PDU,
            ext_neg=list(roles),
            evt_handlers=[(evt.EVT_CONN_OPEN, connected)],
            **({"tls_args": (target.tls, target.host)} if target.tls is not None else {}),
        )
    except (OSError, RuntimeError, ValueError) as e:
        raise HubError("cannot be called", where=str(target), why=type(e).__name__) from None
    if not assoc.is_established:
        raise _refused(assoc, target, bool(reached))
    try:
        yield assoc
    except HubError:
        raise
    except BaseException:
        assoc.abort()  # nobody waits for the rest of the answers
        raise
    finally:
        if assoc.is_established:
            assoc.release()
        assoc.join(target.seconds)


def _refused(assoc: Any, target: Target, was_reached: bool) -> HubError:
    if assoc.is_rejected:
        said = assoc.acceptor.primitive
        why = _REASONS.get((said.result_source, said.diagnostic), "it gives no reason")
        return HubError("the association was rejected", where=str(target), why=why)
    if was_reached and assoc.rejected_contexts:
        return _NothingOffered("this service is not offered to us", where=str(target))
    if was_reached:
        return HubError("the association was aborted, or not answered in time", where=str(target))
    return HubError(
        "cannot be reached",
        where=str(target),
        remedy="see that it runs and that `host` and `port` are its own",
    )


def _accepted(assoc: Any, target: Target, abstract: str) -> None:
    if not any(cx.abstract_syntax == abstract for cx in assoc.accepted_contexts):
        raise HubError("this service is not offered to us", where=str(target))


def _status(answer: Any, target: Target, what: str) -> None:
    status = answer.get("Status")
    if status is None:
        raise Lost(f"{what} was not answered", where=str(target))
    if status != 0 and status >> 12 != 0xB:
        raise HubError(f"{what} failed", where=str(target), why=f"status {status:04X}")


def _reference(sop_class: str, sop_instance: str, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class
    item.ReferencedSOPInstanceUID = sop_instance
    if reason is not None:
        item.FailureReason = reason
    return item


def _copy(query: Dataset) -> Dataset:
    copied = Dataset()
    copied.update(query)
    return copied
