"""Prints the tables of docs/operators/configuration.md from the settings models, so that the page never tells
another story than the code.

In: the pydantic models of config.yaml and of a channel's listener. Out: Markdown on stdout; `--write` puts it
between the markers of the page, `--check` says whether the page is current (exit 1 where it is not).
"""

from __future__ import annotations

import sys
import types
import typing
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from engine.destinations.cloud_settings import (  # noqa: E402
    AwsSettings,
    CertificateSettings,
    ServiceAccountSettings,
)
from engine.destinations.direct_settings import DirectSettings  # noqa: E402
from engine.destinations.email import EmailDestination  # noqa: E402
from engine.destinations.fhir_settings import (  # noqa: E402
    ClientSecretSettings,
    FhirSettings,
    SmartSettings,
)
from engine.destinations.file import FileDestination  # noqa: E402
from engine.destinations.http import HttpDestination  # noqa: E402
from engine.destinations.http_auth import CallerAuth  # noqa: E402
from engine.destinations.mhd_settings import MhdSettings  # noqa: E402
from engine.destinations.mllp_settings import MllpDestination  # noqa: E402
from engine.destinations.rabbitmq import RabbitMqDestination  # noqa: E402
from engine.destinations.sftp import SftpDestination  # noqa: E402
from engine.destinations.sharing_settings import SharedCode, SharingSettings  # noqa: E402
from engine.destinations.tls import ClientTls  # noqa: E402
from engine.destinations.webhook import WebhookDestination  # noqa: E402
from engine.kernel.alert_settings import (  # noqa: E402
    AlertLine,
    AlertSettings,
    MailSettings,
    OrderLine,
    WebhookSettings,
)
from engine.kernel.config import (  # noqa: E402
    ChangesSettings,
    Config,
    ConsoleSettings,
    HealthSettings,
    KeepSettings,
    ObjectSettings,
    QueueSettings,
    SendersSettings,
    TerminologySettings,
    TraceSettings,
    WebTlsSettings,
)
from engine.kernel.critical_settings import CriticalSettings  # noqa: E402
from engine.kernel.subscription_settings import SubscriptionSettings  # noqa: E402
from engine.kernel.web_settings import (  # noqa: E402
    IssuerSettings,
    OidcSettings,
    RoleClaim,
    SignInSettings,
)
from engine.listeners.accepting import AckScript, AckX12, FhirIn  # noqa: E402
from engine.listeners.ack_rules import Accepts, AckSettings  # noqa: E402
from engine.listeners.dicom_settings import (  # noqa: E402
    DicomPeer,
    DicomSettings,
    ForwardRule,
    Issuers,
)
from engine.listeners.file_settings import FolderSettings, SftpSettings  # noqa: E402
from engine.listeners.http_settings import HttpAuth, HttpSettings  # noqa: E402
from engine.listeners.mllp_settings import MllpSettings  # noqa: E402
from engine.listeners.tls import TlsSettings  # noqa: E402

__all__ = ["PAGE", "current", "renewed", "tables"]

PAGE = ROOT / "docs/operators/configuration.md"
BEGIN, END = "<!-- begin: tools/config_docs.py -->", "<!-- end: tools/config_docs.py -->"
SECTIONS: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("config.yaml", "", Config),
    ("config.yaml, `queue:`", "queue.", QueueSettings),
    ("config.yaml, `health:`", "health.", HealthSettings),
    ("config.yaml, `traces:`", "traces.", TraceSettings),
    ("config.yaml, `keep:`", "keep.", KeepSettings),
    ("config.yaml, `objects:`", "objects.", ObjectSettings),
    ("config.yaml, `console:`", "console.", ConsoleSettings),
    ("config.yaml, `console: {tls: ...}`", "console.tls.", WebTlsSettings),
    ("config.yaml, `console: {sign_in: ...}`", "console.sign_in.", SignInSettings),
    ("config.yaml, `console: {oidc: ...}`", "console.oidc.", OidcSettings),
    ("A line of its `roles:`", "", RoleClaim),
    ("A line of `console: {issuers: ...}`", "", IssuerSettings),
    ("config.yaml, `terminology:`", "terminology.", TerminologySettings),
    ("config.yaml, `changes:`", "changes.", ChangesSettings),
    ("config.yaml, `senders:`", "senders.", SendersSettings),
    ("config.yaml, `alerts:`", "alerts.", AlertSettings),
    ("A line of `alerts: {every_channel: ...}`, and of `alert:` in a channel's file", "", AlertLine),
    ("config.yaml, `alerts: {mail: ...}`", "alerts.mail.", MailSettings),
    ("A line of `alerts: {orders: ...}`", "", OrderLine),
    ("A line of `alerts: {webhooks: ...}`", "", WebhookSettings),
    ("config.yaml, `critical:`", "critical.", CriticalSettings),
    ("config.yaml, `subscriptions:`", "subscriptions.", SubscriptionSettings),
    ("A channel's listener, `receive: {mllp: ...}`", "", MllpSettings),
    ("Its `tls:`", "tls.", TlsSettings),
    ("HTTP, `receive: {http: ...}`", "", HttpSettings),
    ("Its `auth:`", "auth.", HttpAuth),
    ("A watched folder, `receive: {folder: ...}`", "", FolderSettings),
    ("SFTP, `receive: {sftp: ...}`", "", SftpSettings),
    ("A DICOM node, `receive: {dicom: ...}`", "", DicomSettings),
    ("A line of its `peers:`", "", DicomPeer),
    ("Its `issuers:`", "issuers.", Issuers),
    ("A line of its `forward:`", "", ForwardRule),
    ("A destination: a folder, `file:`", "file.", FileDestination),
    ("A destination: RabbitMQ, `rabbitmq:`", "rabbitmq.", RabbitMqDestination),
    ("A destination: SFTP, `sftp:`", "sftp.", SftpDestination),
    ("A destination: HTTP, `http:`", "http.", HttpDestination),
    ("A destination: FHIR, `fhir:`", "fhir.", FhirSettings),
    ("Its `smart:`", "smart.", SmartSettings),
    ("Its `client_secret:`", "client_secret.", ClientSecretSettings),
    ("Its `client_certificate:`", "client_certificate.", CertificateSettings),
    ("Its `service_account:`", "service_account.", ServiceAccountSettings),
    ("Its `aws:`", "aws.", AwsSettings),
    ("A destination: mail, `email:`", "email.", EmailDestination),
    ("A destination: a webhook, `webhook:`", "webhook.", WebhookDestination),
    ("A destination: MLLP, `mllp:`", "mllp.", MllpDestination),
    ("A destination: Direct messages, `direct:`", "direct.", DirectSettings),
    ("A destination: an exchange by MHD, `mhd:`", "mhd.", MhdSettings),
    ("A destination's `sharing:`", "sharing.", SharingSettings),
    ("A code of `sharing:`", "", SharedCode),
    ("A destination's `auth:`", "auth.", CallerAuth),
    ("A destination's `tls:`", "tls.", ClientTls),
    ("What a channel accepts and answers (words at the top of the channel's file)", "", AckSettings),
    ("A line of `accept:`", "", Accepts),
    ("X12, `acknowledge: {x12: ...}`", "acknowledge.x12.", AckX12),
    ("SCRIPT, `acknowledge: {script: ...}`", "acknowledge.script.", AckScript),
    ("FHIR, `fhir: {...}`", "fhir.", FhirIn),
)
SET_BY_US = {(Config, "root"), (Config, "lines"), (Config, "literal_key")} | {
    (AckSettings, name) for name in ("others", "v2", "x12", "script")
}  # filled in when the file is read


def tables() -> str:
    """Return every table, a heading above each."""
    parts = []
    for title, prefix, model in SECTIONS:
        rows = [
            f"| `{prefix}{name}` | {_kind(field.annotation)} | {_default(field)} | {_sentence(field)} |"
            for name, field in model.model_fields.items()
            if (model, name) not in SET_BY_US
        ]
        parts.append(
            "\n".join([f"### {title}", "", "| setting | is | default | |", "|---|---|---|---|", *rows])
        )
    return "\n\n".join(parts)


def _kind(annotation: Any) -> str:
    """Say in a word or two what a setting takes."""
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return " or ".join(f"`{word}`" for word in inside)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_kind(a) for a in inside if a is not type(None))
    if origin is tuple:
        return f"list of {_kind(inside[0])}"
    if origin is dict:
        return "lines below it"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "`accept` lines" if annotation is Accepts else "see below"
    return {str: "text", int: "whole number", float: "number", bool: "`true` or `false`", Path: "path"}[
        annotation
    ]


def _yaml(words: dict[str, Any]) -> str:
    return (
        "{"
        + ", ".join(f"{k}: {str(v).lower() if isinstance(v, bool) else v}" for k, v in words.items())
        + "}"
    )


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return ""  # the description says what it depends on
    if field.default is PydanticUndefined:
        return "must be set"
    value = field.default
    if isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
        return "`" + "`, `".join(_yaml(one.model_dump(exclude_defaults=True)) for one in value) + "`"
    if value is None or value in ("", (), {}) or isinstance(value, BaseModel):
        return ""
    if isinstance(value, tuple):
        return "`[" + ", ".join(map(str, value)) + "]`"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _sentence(field: FieldInfo) -> str:
    shown = next((e for e in field.examples or () if e != field.default), None)
    text = (field.description or "") + ("" if shown is None else f" E.g. `{_yaml(shown)}`")
    return text.replace("|", "\\|").replace("<", "&lt;")


def _yaml(value: Any) -> str:
    """Write an example as somebody would type it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_yaml(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def renewed(text: str) -> str:
    """Return the page with today's tables between its markers."""
    head, found, rest = text.partition(BEGIN)
    _, closed, tail = rest.partition(END)
    if not found or not closed:
        raise SystemExit(f"{PAGE}: the markers {BEGIN} and {END} are gone")
    return f"{head}{BEGIN}\n\n{tables()}\n\n{END}{tail}"


def current() -> bool:
    """Say whether the page shows the settings as they are."""
    text = PAGE.read_text("utf-8")
    return renewed(text) == text


def main() -> None:
    """Print, write or check."""
    if "--write" in sys.argv:
        PAGE.write_text(renewed(PAGE.read_text("utf-8")), "utf-8")
    elif "--check" in sys.argv:
        raise SystemExit(0 if current() else f"{PAGE}: not current; run python tools/config_docs.py --write")
    else:
        print(tables())


if __name__ == "__main__":
    main()
