"""config.yaml -> settings, with a default for everything and the place each value came from.

The folder that holds config.yaml is the project's root; every relative path starts there. `${secret:NAME}`
reads the environment variable HUB_SECRET_NAME, or a file of that name below the folder that `secrets:
file:/path` names.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.kernel.alert_settings import AlertSettings
from engine.kernel.critical_settings import CriticalSettings
from engine.kernel.data_settings import KeepSettings, ObjectSettings
from engine.kernel.errors import ConfigError
from engine.kernel.health_settings import HealthSettings
from engine.kernel.queue_settings import QueueSettings
from engine.kernel.secrets import SECRET, with_secrets
from engine.kernel.subscription_settings import SubscriptionSettings
from engine.kernel.trace_settings import TraceSettings
from engine.kernel.web_settings import ConsoleSettings, WebTlsSettings
from engine.kernel.yamlfile import Map, load, plain

__all__ = [
    "ChangesSettings",
    "Config",
    "ConsoleSettings",
    "HealthSettings",
    "KeepSettings",
    "ObjectSettings",
    "QueueSettings",
    "SendersSettings",
    "TerminologySettings",
    "TraceSettings",
    "WebTlsSettings",
    "default_workers",
    "load_config",
    "one_line",
    "with_secrets",
]


class ChangesSettings(BaseModel):
    """Changes of channels, maps and code tables."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    two_people: bool = Field(
        default=True,
        description="Whether somebody else than its authors has to approve a change. The production profile "
        "refuses `false`.",
        examples=[False],
    )


class TerminologySettings(BaseModel):
    """Codes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    two_people: bool = Field(
        default=False,
        description="Whether somebody else than the author of a code's meaning has to approve it.",
        examples=[True],
    )
    load_shipped: bool = Field(
        default=True,
        description="Whether a start loads the releases of code systems that ship with the hub, once, in the "
        "background. They never take the place of releases that were loaded by hand.",
        examples=[False],
    )
    server: str = Field(
        default="",
        description="FHIR address of a terminology server, asked for systems of which no release is loaded. "
        "No message ever waits for it.",
        examples=["https://tx.mercy.example/fhir"],
        pattern=r"^(https?://[^\s?#]+)?$",
    )
    token: str = Field(
        default="",
        description="Bearer token for that server.",
        examples=["${secret:TERMINOLOGY_TOKEN}"],
        repr=False,
    )
    timeout_seconds: float = Field(
        default=2.0, gt=0, le=30, description="Seconds that server has for an answer.", examples=[5]
    )


class SendersSettings(BaseModel):
    """What is learned of senders from their messages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    watch: bool = Field(
        default=True,
        description="Whether the web side counts what each sender sends: fields, lengths, codes, quirks.",
        examples=[False],
    )
    share: int = Field(
        default=10,
        ge=1,
        le=50,
        description="Percent of its time that counting may take; with less it is longer behind.",
        examples=[5],
    )


def default_workers() -> int:
    """Return how many workers run where nobody says: two share the work of two cores, more need measuring."""
    return 2 if len(os.sched_getaffinity(0)) >= 2 else 1


class Config(BaseModel):
    """All of config.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hub: str = Field(
        default="Hub", description="Name shown on every page.", examples=["Mercy Integration Hub"]
    )
    profile: Literal["development", "production"] = Field(
        default="development",
        description="`production` refuses weak settings and says which.",
        examples=["production"],
    )
    environment: str = Field(
        default="development", description="Word shown beside the name.", examples=["test"]
    )
    identity_base: str = Field(
        default="urn:hub:own",
        description="`=own:obx` in a map becomes <this>/id/obx. Never change it once data is stored.",
        examples=["https://hub.example"],
    )
    data: Path = Field(
        default=Path("var"),
        description="Folder of the embedded databases, the key and the token.",
        examples=["/var/lib/hub"],
    )
    journal: str = Field(
        default="",
        description="Database of the journal. Empty: SQLite in the data folder.",
        examples=["postgresql://hub@db/hub"],
    )
    core: str = Field(
        default="",
        description="Database of the core store. Empty: SQLite in the data folder.",
        examples=["postgresql://hub@db/hub"],
    )
    imaging: str = Field(
        default="",
        description="Database of what is held of imaging. Empty: SQLite in the data folder.",
        examples=["postgresql://hub@db/hub"],
    )
    staff: str = Field(
        default="",
        description="Database of accounts, notes, drafts and what else people do. Empty: SQLite in the data "
        "folder.",
        examples=["postgresql://hub@db/hub"],
    )
    objects: ObjectSettings = Field(
        default=ObjectSettings(),
        description="Where DICOM objects are kept, sealed.",
        examples=[{"folder": "/srv/objects"}],
    )
    queue: QueueSettings = Field(
        default=QueueSettings(),
        description="How work is shared out: `in-process` on one machine, or the address of NATS servers "
        "where several machines share it.",
        examples=["nats://n1.mercy.example:4222,n2.mercy.example:4222,n3.mercy.example:4222"],
    )
    node: str = Field(
        default="",
        description="Name of this machine among several, wherever its processes are named. Empty: its host "
        "name.",
        examples=["ward-east"],
        pattern=r"^([A-Za-z0-9][A-Za-z0-9._-]{0,62})?$",
    )
    workers: int = Field(
        default_factory=default_workers,
        ge=1,
        le=64,
        description="Worker processes. Empty: 2 where the machine has two cores or more, else 1.",
        examples=[2],
    )
    keep: KeepSettings = Field(
        default=KeepSettings(), description="How long things stay.", examples=[{"messages": "forever"}]
    )
    secrets: str = Field(
        default="env",
        description="Where ${secret:NAME} is read: `env`, or `file:/folder`.",
        examples=["file:/run/secrets"],
    )
    key: str = Field(
        default="",
        description="The data key, e.g. ${secret:DATA_KEY}. Empty: a key file made at first start.",
        examples=["${secret:DATA_KEY}"],
    )
    disk_reserve_mb: int = Field(
        default=512, ge=0, description="Below this much free disk no message is answered.", examples=[2048]
    )
    console: ConsoleSettings = Field(
        default=ConsoleSettings(), description="The web side.", examples=[{"listen": "127.0.0.1:8080"}]
    )
    terminology: TerminologySettings = Field(
        default=TerminologySettings(), description="Codes.", examples=[{"two_people": True}]
    )
    changes: ChangesSettings = Field(
        default=ChangesSettings(),
        description="Changes of channels, maps and code tables.",
        examples=[{"two_people": True}],
    )
    senders: SendersSettings = Field(
        default=SendersSettings(), description="What is learned of senders.", examples=[{"watch": True}]
    )
    alerts: AlertSettings = Field(
        default=AlertSettings(),
        description="What is watched, and who is told.",
        examples=[{"quiet_hours": "22:00-06:30"}],
    )
    destinations: dict[str, dict[str, Any]] = Field(
        default={},
        description="Places that deliveries go to, by the name that channels use under `deliver:`: the word "
        "of a kind with its settings, and `retry`, `order`, `at_once`; see docs/operators/destinations.md.",
        examples=[{"archive": {"file": {"path": "/archive/{type}/{entry}.hl7"}}}],
        repr=False,
    )
    critical: CriticalSettings = Field(
        default=CriticalSettings(),
        description="Who hears of critical results.",
        examples=[{"mail": ["lab@a.example"]}],
    )
    subscriptions: SubscriptionSettings = Field(
        default=SubscriptionSettings(),
        description="FHIR Subscriptions.",
        examples=[{"hosts": ["ehr.mercy.example"]}],
    )
    health: HealthSettings = Field(
        default=HealthSettings(),
        description="Ports on which each role of this node says whether it lives and is ready.",
        examples=[{"workers": "127.0.0.1:9103"}],
    )
    traces: TraceSettings = Field(
        default=TraceSettings(),
        description="Spans that follow one message, to an OpenTelemetry collector.",
        examples=[{"otlp": "https://otel.mercy.example:4318/v1/traces"}],
    )
    log: Literal["text", "json"] = Field(
        default="text",
        description="How processes log on standard error: lines for people, or one JSON object a line.",
        examples=["json"],
    )
    backups: Path = Field(
        default=Path("backups"),
        description="Folder in which `hub backup` and the console put backups; relative ones start at the "
        "data folder. Another disk is better.",
        examples=["/backup/hub"],
    )
    root: Path = Field(
        default=Path("."), description="Folder of config.yaml; set when it is read.", examples=["/srv/hub"]
    )
    lines: dict[str, int] = Field(
        default={},
        description="Line of every word in config.yaml; set when it is read.",
        examples=[{"hub": 1}],
    )
    literal_key: bool = Field(
        default=False,
        description="Whether the key stands in config.yaml itself; set when it is read.",
        examples=[False],
    )

    def at(self, word: str) -> str:
        """Return `config.yaml:line` of a word; `console.listen` is a word below another."""
        line = self.lines.get(word) or self.lines.get(word.partition(".")[0])
        return f"config.yaml:{line}" if line else "config.yaml"

    def below_root(self, path: Path) -> Path:
        """Return a path made full: relative ones start at the project's root."""
        return self.root.resolve() / path

    @property
    def data_dir(self) -> Path:
        """The data folder, absolute."""
        return self.data if self.data.is_absolute() else self.root / self.data

    @property
    def journal_url(self) -> str:
        """The journal's database URL."""
        return self.journal or f"sqlite:///{self.data_dir / 'journal.db'}"

    @property
    def core_url(self) -> str:
        """The core store's database URL."""
        return self.core or f"sqlite:///{self.data_dir / 'core.db'}"

    @property
    def imaging_url(self) -> str:
        """The database URL of what is held of imaging."""
        return self.imaging or f"sqlite:///{self.data_dir / 'imaging.db'}"

    @property
    def staff_url(self) -> str:
        """The database URL of what people do."""
        return self.staff or f"sqlite:///{self.data_dir / 'staff.db'}"

    @property
    def node_name(self) -> str:
        """The name of this machine."""
        return self.node or socket.gethostname().partition(".")[0] or "node"

    @property
    def backups_dir(self) -> Path:
        """The folder of backups."""
        return self.data_dir / self.backups

    @property
    def objects_dir(self) -> Path:
        """The folder of DICOM objects."""
        return self.data_dir / self.objects.folder

    @property
    def key_file(self) -> Path:
        """The development key file."""
        return self.data_dir / "hub.key"

    @property
    def token_file(self) -> Path:
        """The file of the bearer token that the FHIR endpoint asks for."""
        return self.data_dir / "token"

    @property
    def metrics_dir(self) -> Path:
        """The folder in which every process writes its metrics."""
        return self.data_dir / "metrics"


def one_line(error: ValidationError, where: str) -> ConfigError:
    """Turn the first of pydantic's findings into a line for a person."""
    first = error.errors()[0]
    path = ".".join(str(p) for p in first["loc"])
    return ConfigError(
        f"{path or 'value'}: {first['msg'].lower()}",
        where=where,
        remedy="see docs/operators/configuration.md",
    )


def load_config(root: Path, given: Mapping[str, str] | None = None, **over: Any) -> Config:
    """Read config.yaml in `root`; `over` replaces single values (tests, command line), `given` are secrets
    that are looked for nowhere else. Raises ConfigError.
    """
    path = root / "config.yaml"
    data = load(path, name="config.yaml") if path.is_file() else Map()
    if data is None:
        data = Map()
    if not isinstance(data, Map):
        raise ConfigError("must be `name: value` lines", where="config.yaml")
    values = plain(data)
    literal = bool(values.get("key")) and not SECRET.search(str(values["key"]))
    values = with_secrets(values, str(values.get("secrets", "env")), "config.yaml", given)
    values.update({k: v for k, v in over.items() if v is not None})
    values |= {"root": root, "lines": _lines(data), "literal_key": literal}
    try:
        config = Config(**values)
    except ValidationError as e:
        top = str(e.errors()[0]["loc"][0]) if e.errors()[0]["loc"] else ""
        line = data.key_lines.get(top, 0) if hasattr(data, "key_lines") else 0
        raise one_line(e, f"config.yaml:{line}") from None
    return config


def _lines(data: Map) -> dict[str, int]:
    """Return the line of every word, those below another as `console.listen`."""
    found = dict(getattr(data, "key_lines", {}))
    for word, value in data.items():
        if isinstance(value, Map):
            found |= {f"{word}.{inner}": line for inner, line in value.key_lines.items()}
    return found
