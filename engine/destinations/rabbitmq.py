"""RabbitMQ (AMQP 0-9-1): events go to an exchange, for whoever has bound a queue to it.

In: parcels. Out: receipts. A message is `sent` when the broker has confirmed it (publisher confirms): it is
in every queue it was routed to, on disk where the queue is durable (delivery mode 2). `mandatory` is always
set: what no queue takes is not lost in silence. `message_id` is the parcel's key, by which a receiver leaves
out what came again. Nothing in keys and headers is patient data. Needs the extra `amqp` (pika).
"""

from __future__ import annotations

import importlib.util
import logging
import re
import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.destinations.production import on_this_machine, refuse_weak
from engine.destinations.tls import ClientTls, context_of
from engine.kernel.delivery import Around, DestinationKind, Parcel, Receipt
from engine.kernel.errors import ConfigError, HubError
from engine.kernel.template import PLAIN_FACTS, Template

if TYPE_CHECKING:
    from pika import BlockingConnection
    from pika.adapters.blocking_connection import BlockingChannel

__all__ = ["RABBITMQ", "RabbitMq", "RabbitMqDestination"]

_KEPT = 64 << 10
_NOT_A_WORD = re.compile(r"[^A-Za-z0-9_.-]")
_LONGEST_KEY = 255  # bytes: a short string (AMQP 0-9-1 4.2.5.3)
_TOO_LARGE = 406


class RabbitMqDestination(BaseModel):
    """An exchange of a RabbitMQ broker."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(min_length=1, description="The broker.", examples=["rabbit.mercy.example"])
    port: int = Field(
        default=0, ge=0, le=65535, description="Its port; 0: 5671 with TLS, 5672 without.", examples=[5671]
    )
    security: Literal["tls", "none"] = Field(
        default="tls", description="How the connection is protected.", examples=["tls"]
    )
    tls: ClientTls | None = Field(
        default=None,
        description="Whom to believe, and our own certificate.",
        examples=[{"ca": "tls/mercy-ca.pem"}],
    )
    virtual_host: str = Field(default="/", description="The virtual host.", examples=["hospital"])
    user: str = Field(min_length=1, description="Name to sign in with.", examples=["hub"])
    password: str = Field(description="Its password.", examples=["${secret:RABBIT_PASSWORD}"], repr=False)
    exchange: str = Field(
        description="The exchange, which must be there. Empty: the default one, whose routing key is the "
        "name of a queue.",
        examples=["hub"],
    )
    routing_key: str = Field(
        default="{channel}.{type}",
        description="The routing key. Words in braces as in an address, and `{happened}`, the word of an "
        "event; anything in them but letters, digits, `_`, `.` and `-` becomes `_`.",
        examples=["{channel}.{happened}"],
    )
    unroutable: Literal["refuse", "wait"] = Field(
        default="refuse",
        description="What is done with what no queue takes: it is refused and shown, or it waits until a "
        "queue is bound.",
        examples=["wait"],
    )
    timeout_seconds: float = Field(
        default=30, ge=1, le=600, description="Seconds the broker has for each answer.", examples=[10]
    )

    @field_validator("routing_key")
    @classmethod
    def _words(cls, text: str) -> str:
        Template(text, PLAIN_FACTS)
        return text

    def weaknesses(self) -> Iterator[tuple[str, str]]:
        """Give (what is weak, remedy) for a hub with real patients."""
        if self.security == "none" and not on_this_machine(self.host):
            yield "events and the password would go over the network in the clear", "write security: tls"


class RabbitMq:
    """One exchange of one broker."""

    def __init__(self, settings: RabbitMqDestination, around: Around) -> None:
        self._where = f"rabbitmq://{settings.host}:{settings.port or _port(settings)}"
        if importlib.util.find_spec("pika") is None:
            raise ConfigError(
                "rabbitmq: needs pika, which is not installed",
                where=self._where,
                remedy="pip install 'hl7-hub[amqp]'",
            )
        # it logs the first bytes of a message that comes back, and every reason for a lost connection
        logging.getLogger("pika").setLevel(logging.CRITICAL + 1)
        self._settings = settings
        self._tls = settings.tls.below(around.root) if settings.tls is not None else None
        self._key = Template(settings.routing_key)
        self._connection: BlockingConnection | None = None
        self._channel: BlockingChannel | None = None

    def deliver(self, parcel: Parcel) -> Receipt:
        """Publish one message and wait for the broker's confirmation."""
        import pika
        from pika import exceptions

        try:
            key = self._key.fill(parcel, lambda value: _NOT_A_WORD.sub("_", value))
            if len(key.encode()) > _LONGEST_KEY:
                raise HubError("the routing key is too long", where=self._settings.routing_key)
        except HubError as e:
            return Receipt("park", str(e))
        headers = {"channel": parcel.channel, "entry": parcel.entry}
        properties = pika.BasicProperties(
            content_type=parcel.media,
            delivery_mode=2,
            message_id=parcel.key,
            app_id="hub",
            headers=headers,
        )
        exchange = self._settings.exchange
        shown = exchange or "(default)"
        asked = f"publish {shown} {key}\r\nmessage-id: {parcel.key}\r\n\r\n".encode() + parcel.body[:_KEPT]
        try:
            channel = self._opened()
            channel.basic_publish(exchange, key, parcel.body, properties, mandatory=True)
        except exceptions.UnroutableError:
            waits = self._settings.unroutable == "wait"
            why = f"no queue of the exchange {shown} takes the routing key {key}"
            return Receipt("retry" if waits else "refuse", why, asked, b"312 NO_ROUTE")
        except exceptions.NackError:
            return Receipt("retry", "the broker could not take it now (nack)", asked, b"basic.nack")
        except exceptions.ChannelClosedByBroker as e:
            self.close()
            said = f"{e.reply_code} {e.reply_text}"
            if e.reply_code == _TOO_LARGE:
                return Receipt("refuse", f"the broker does not take it: {said}", asked, said.encode())
            return Receipt("retry", f"{self._where}: {said}", asked, said.encode(), down=True)
        except HubError as e:
            return Receipt("retry", str(e), asked, down=True)
        except (exceptions.AMQPError, OSError) as e:
            self.close()
            return Receipt("retry", f"{self._where}: {_trouble(e)}", asked, down=True)
        return Receipt("sent", "", asked, b"basic.ack", reference=parcel.key)

    def check(self) -> str:
        """Sign in and ask for the exchange. Raises HubError."""
        from pika import exceptions

        exchange = self._settings.exchange
        try:
            channel = self._opened()
            if exchange:
                channel.exchange_declare(exchange, passive=True)
        except exceptions.ChannelClosedByBroker as e:
            self.close()
            raise HubError(
                "the exchange cannot be used", where=self._where, why=f"{e.reply_code} {e.reply_text}"
            ) from None
        except (exceptions.AMQPError, OSError) as e:
            self.close()
            raise HubError("cannot be used", where=self._where, why=_trouble(e)) from None
        return f"{self._where} lets us in, and {f'the exchange {exchange}' if exchange else 'it'} is there"

    def close(self) -> None:
        """Close the connection."""
        from pika import exceptions

        made, self._connection, self._channel = self._connection, None, None
        if made is not None and made.is_open:
            try:
                made.close()
            except (exceptions.AMQPError, OSError):
                pass  # it is gone, which is what was asked for

    def _opened(self) -> BlockingChannel:
        """Return a channel with confirmations; a connection that ended while nobody looked is made again."""
        import pika
        from pika import exceptions

        if self._connection is not None:
            try:
                self._connection.process_data_events(0)  # heartbeats, and the broker's goodbye
            except (exceptions.AMQPError, OSError):
                self.close()
        if self._connection is None or self._connection.is_closed:
            s = self._settings
            context = context_of(self._tls) if s.security == "tls" else None
            self._connection = pika.BlockingConnection(
                pika.ConnectionParameters(
                    s.host,
                    s.port or _port(s),
                    s.virtual_host,
                    pika.PlainCredentials(s.user, s.password),
                    heartbeat=max(2, round(s.timeout_seconds / 2)),
                    connection_attempts=1,
                    socket_timeout=s.timeout_seconds,
                    stack_timeout=s.timeout_seconds,
                    blocked_connection_timeout=s.timeout_seconds,
                    ssl_options=pika.SSLOptions(context, s.host) if context is not None else None,
                    client_properties={"connection_name": "hub"},
                )
            )
            self._channel = None
        if self._channel is None or self._channel.is_closed:
            self._channel = self._connection.channel()
            self._channel.confirm_delivery()
        return self._channel


def _port(settings: RabbitMqDestination) -> int:
    return 5671 if settings.security == "tls" else 5672


def _trouble(error: Any) -> str:
    """Say why the broker cannot be used; the library's errors hold one another."""
    from pika import exceptions

    for one in _within(error):
        if isinstance(one, exceptions.ProbableAuthenticationError | exceptions.AuthenticationError):
            return "it does not know us: mend user and password"
        if isinstance(one, exceptions.ProbableAccessDeniedError):
            return "it does not let us use this virtual host"
        if isinstance(one, exceptions.ConnectionBlockedTimeout):
            return "it takes no messages now: memory or disk are short there"
        if isinstance(one, ssl.SSLCertVerificationError):
            return f"its certificate is not believed: {one.verify_message}"
        if isinstance(one, exceptions.ConnectionClosedByBroker):
            return f"{one.reply_code} {one.reply_text}"
        if isinstance(one, OSError) and one.strerror:
            return one.strerror
    return type(error).__name__


def _within(error: Any) -> list[Any]:
    """Return an error with those it was made of, the innermost last."""
    found: list[Any] = []
    open_ = [error]
    while open_ and len(found) < 20:
        one = open_.pop(0)
        found.append(one)
        inner = [getattr(one, "exception", None), one.__cause__, one.__context__, *getattr(one, "args", ())]
        open_ += [e for e in inner if isinstance(e, BaseException) and e not in found]
    return found


def _make(settings: RabbitMqDestination, name: str, around: Around) -> RabbitMq:
    refuse_weak(settings, f"destination {name}", around)
    return RabbitMq(settings, around)


RABBITMQ = DestinationKind(
    "rabbitmq", RabbitMqDestination, _make, ("event", "original", "fhir", "any"), at_once=4
)
