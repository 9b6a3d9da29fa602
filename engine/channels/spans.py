"""OpenTelemetry spans that follow one message through processes and machines, without patient data.

In: what the journal, the pipeline, the core store and the destinations are asked anyway; these wrap them, and
only where `traces:` names a collector, so that nothing is paid where it does not. Out: spans over OTLP. A
trace's id is made of the hub and the entry's number, so every process joins it without anything being sent
along (W3C Trace Context wants 16 bytes, all but zero; it does not say of what). Attributes are names of
channels and destinations, numbers, and words of fixed tables.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from engine.kernel.config import Config
from engine.kernel.delivery import Destination, Parcel, Receipt
from engine.kernel.errors import ConfigError
from engine.kernel.message import Accepted, Entry, NewEntry, Outcome, Work

__all__ = [
    "Spans",
    "TracedJournal",
    "TracedPipeline",
    "TracedStore",
    "ids_of",
    "open_spans",
    "traced_journal",
    "watch",
]

_TYPE = re.compile(r"([A-Z]{3}\^[A-Z]\d\d)(\^|$)")
_FLUSH_MS = 3000

Attributes = dict[str, str | int | bool]


def ids_of(identity_base: str, hub: str, entry: int) -> tuple[int, int]:
    """Return the trace id of an entry, and the id of its first span: any process and system can.

    SHA-256 of `trace|<identity_base>|<hub>|<entry>`: its first 16 bytes, and the 8 after them.
    """
    digest = hashlib.sha256(f"trace|{identity_base}|{hub}|{entry}".encode()).digest()
    return int.from_bytes(digest[:16], "big") or 1, int.from_bytes(digest[16:24], "big") or 1


def type_of(message_type: str) -> str:
    """Return code and event of a message, e.g. `ADT^A01`; nothing else of what a sender wrote there."""
    found = _TYPE.match(message_type)
    return found[1] if found else "other"


def open_spans(config: Config, process: str) -> Spans | None:
    """Return what makes spans in this process; None where nothing is traced. Raises ConfigError."""
    if not config.traces.otlp:
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise ConfigError(
            "OpenTelemetry is not installed",
            where=config.at("traces"),
            remedy="type pip install 'hl7-hub[otel]', or remove traces:",
        ) from None
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it would say the collector's answers
    said = config.traces
    exporter = OTLPSpanExporter(
        endpoint=said.otlp,
        headers={"Authorization": f"Bearer {said.token}"} if said.token else {},
        certificate_file=str(config.below_root(said.authority)) if said.authority else None,  # type: ignore[arg-type]
        timeout=_FLUSH_MS / 1000,
    )
    resource = Resource(
        {
            "service.name": "hub",
            "service.instance.id": f"{config.node_name}/{process}",
            "deployment.environment.name": config.environment,
        }
    )
    return Spans(config, BatchSpanProcessor(exporter), resource)


class Spans:
    """Makes spans of one process. Threads may share it."""

    def __init__(self, config: Config, processor: Any, resource: Any) -> None:
        self._hub = (config.identity_base, config.hub)
        self._threshold = int(config.traces.sample * (1 << 64))
        self._processor, self._resource = processor, resource

    def wanted(self, entry: int) -> bool:
        """Say whether this entry is traced: every process says the same."""
        return ids_of(*self._hub, entry)[0] & ((1 << 64) - 1) < self._threshold

    def span(
        self,
        name: str,
        entry: int,
        began: int,
        ended: int,
        said: Attributes,
        first: bool = False,
        parent: int = 0,
    ) -> None:
        """Record a span of an entry (ns since the epoch). `first`: the one that the others are below;
        `parent`: the entry that this one came of, whose trace is linked.
        """
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

        sampled = TraceFlags(TraceFlags.SAMPLED)
        trace, root = ids_of(*self._hub, entry)
        above = SpanContext(trace, root, is_remote=True, trace_flags=sampled)
        own = above if first else SpanContext(trace, secrets.randbits(64) or 1, False, sampled)
        links = [Link(SpanContext(*ids_of(*self._hub, parent), True, sampled))] if parent else []
        bad = said.get("hub.outcome") in ("parked", "refused", "park", "refuse")
        self._processor.on_end(
            ReadableSpan(
                name,
                context=own,
                parent=None if first else above,
                resource=self._resource,
                attributes={"hub.entry": entry, **said},
                links=links,
                kind=SpanKind.SERVER if first else SpanKind.INTERNAL,
                status=Status(StatusCode.ERROR) if bad else Status(),
                start_time=began,
                end_time=max(began, ended),
            )
        )

    def close(self) -> None:
        """Send what is left, for at most a few seconds."""
        self._processor.force_flush(_FLUSH_MS)
        self._processor.shutdown()


class TracedJournal:
    """A journal that tells of what it takes: `listener.receive`, and `journal.append` below it."""

    def __init__(self, journal: Any, spans: Spans) -> None:
        self._journal, self._spans = journal, spans

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal, name)

    def append(self, entries: Sequence[NewEntry]) -> list[Accepted]:
        """Append as the journal does."""
        began = time.time_ns()
        accepted: list[Accepted] = self._journal.append(entries)
        ended = time.time_ns()
        for new, one in zip(entries, accepted, strict=True):
            if not self._spans.wanted(one.id):
                continue
            said: Attributes = {
                "hub.channel": new.channel,
                "hub.type": type_of(new.message_type),
                "hub.kind": new.kind,
                "hub.outcome": _taken(one),
            }
            came = min(new.received * 1_000_000, began)
            self._spans.span("listener.receive", one.id, came, ended, said, first=True)
            self._spans.span("journal.append", one.id, began, ended, {"hub.batch": len(entries)})
        return accepted

    def close(self) -> None:
        """Close the journal, and send what is left of the spans."""
        self._journal.close()
        self._spans.close()


def _taken(one: Accepted) -> str:
    if one.duplicate_of is not None:
        return "duplicate"
    return "conflict" if one.conflicts_with is not None else "accepted"


def traced_journal(config: Config, process: str, journal: Any) -> Any:
    """Return a journal that tells of what it takes, where anything is traced; else the journal itself."""
    spans = open_spans(config, process)
    return journal if spans is None else TracedJournal(journal, spans)


class TracedPipeline:
    """A pipeline that tells of the work it makes: `worker.work`, which decodes, maps and checks."""

    def __init__(self, pipeline: Any, spans: Spans) -> None:
        self._pipeline, self._spans = pipeline, spans

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def work(self, entry: Entry) -> Work:
        """Work as the pipeline does."""
        if not self._spans.wanted(entry.id):
            return self._pipeline.work(entry)  # type: ignore[no-any-return]
        began = time.time_ns()
        made: Work = self._pipeline.work(entry)
        said: Attributes = {
            "hub.channel": entry.channel,
            "hub.type": type_of(entry.message_type),
            "hub.kind": entry.kind,
            "hub.drafts": len(made.drafts),
            "hub.flags": len(made.flags),
            "hub.outcome": "parked" if made.parked is not None else "made",
        }
        if made.parked is not None:
            said["hub.cause"] = made.parked.code
        self._spans.span("worker.work", entry.id, began, time.time_ns(), said, parent=entry.parent or 0)
        return made


class TracedStore:
    """A core store that tells of what it writes: `store.apply`."""

    def __init__(self, store: Any, spans: Spans) -> None:
        self._store, self._spans = store, spans

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def apply(self, batch: Sequence[Work], **given: Any) -> list[Outcome]:
        """Apply as the store does."""
        return self._timed("store.apply", lambda: self._store.apply(batch, **given))

    def rerun(self, works: Sequence[Work], **given: Any) -> list[Outcome]:
        """Run again as the store does."""
        return self._timed("store.rerun", lambda: self._store.rerun(works, **given))

    def _timed(self, name: str, what: Callable[[], list[Outcome]]) -> list[Outcome]:
        began = time.time_ns()
        outcomes = what()
        ended = time.time_ns()
        for one in outcomes:
            if self._spans.wanted(one.entry):
                said: Attributes = {
                    "hub.outcome": one.status,
                    "hub.written": one.written,
                    "hub.unchanged": one.unchanged,
                    "hub.superseded": one.superseded,
                    "hub.batch": len(outcomes),
                }
                if one.cause:
                    said["hub.cause"] = one.cause
                self._spans.span(name, one.entry, began, ended, said)
        return outcomes


def watch(line: Destination, name: str, kind: str, spans: Spans) -> None:
    """Have a destination tell of what it delivers: `delivery`."""
    deliver = line.deliver

    def traced(parcel: Parcel) -> Receipt:
        if not spans.wanted(parcel.entry):
            return deliver(parcel)
        began = time.time_ns()
        receipt = deliver(parcel)
        said: Attributes = {
            "hub.channel": parcel.channel,
            "hub.destination": name,
            "hub.destination.kind": kind,
            "hub.try": parcel.tries + 1,
            "hub.outcome": receipt.verdict,
        }
        spans.span("delivery", parcel.entry, began, time.time_ns(), said)
        return receipt

    line.deliver = traced  # type: ignore[method-assign]
