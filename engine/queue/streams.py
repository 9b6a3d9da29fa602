"""What the hub has at the broker: one stream that keeps the last ring of every partition, and for each
partition and each turn one consumer that is pinned to a single process.

In: the settings. Out: the bodies of JetStream's requests. A ring says no more than that something has
come, so one message a subject is enough and the stream never grows. `pinned_client` consumers (NATS 2.11,
ADR-42) give their messages to one puller until that has not asked for a few seconds, and then to another:
the broker decides who has a partition, and moves it when a process dies.
"""

from __future__ import annotations

from typing import Any

from engine.kernel.queue_settings import QueueSettings
from engine.queue.broker import ApiError, Broker

__all__ = ["GROUP", "TTL", "ensure_consumer", "ensure_stream", "partition_of", "subject_of"]

GROUP = "hub"
TTL = 3.0  # seconds without a pull after which a pin goes to somebody else
_NOT_THERE = 10059  # err_code of a stream that is not there
_IN_USE = 10058  # err_code of a stream that another made just now, with other words


def partition_of(lane: int, partitions: int) -> str:
    """Return the name of a lane's partition."""
    return f"lane-{lane % partitions}"


def subject_of(settings: QueueSettings, name: str) -> str:
    """Return the subject on which rings of a partition, or of a turn, come."""
    return f"{settings.stream}.ring.{name}"


async def ensure_stream(broker: Broker) -> None:
    """Make the stream where there is none; one that an operator changed stays as it is. Raises ApiError."""
    s = broker.settings
    try:
        await broker.ask(f"STREAM.INFO.{s.stream}")
        return
    except ApiError as e:
        if e.code != _NOT_THERE:
            raise
    body = {
        "name": s.stream,
        "description": "rings of the hub: journal numbers, no patient data",
        "subjects": [subject_of(s, "*")],
        "storage": "file",
        "max_msgs_per_subject": 1,
        "max_msg_size": 1024,
        "num_replicas": s.copies,
        "discard": "old",
    }
    try:
        await broker.ask(f"STREAM.CREATE.{s.stream}", body)
    except ApiError as e:
        if e.code != _IN_USE:
            raise


async def ensure_consumer(broker: Broker, name: str) -> None:
    """Make the consumer of a partition or a turn, where there is none. Raises ApiError."""
    s = broker.settings
    subject = subject_of(s, name)
    config: dict[str, Any] = {
        "name": name,
        "durable_name": name,
        "filter_subject": subject,
        "deliver_policy": "all",
        "ack_policy": "none",
        "priority_groups": [GROUP],
        "priority_policy": "pinned_client",
        "priority_timeout": int(TTL * 1e9),
    }
    body = {"stream_name": s.stream, "config": config, "action": ""}
    await broker.ask(f"CONSUMER.CREATE.{s.stream}.{name}.{subject}", body)
