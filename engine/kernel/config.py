"""config.yaml -> settings, with a default for everything and the place each value came from.

The folder that holds config.yaml is the project's root; every relative path starts there. `${secret:NAME}`
reads the environment variable HUB_SECRET_NAME, or a file of that name below the folder that `secrets:
file:/path` names.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import Map, load, plain

__all__ = ["Config", "ConsoleSettings", "KeepSettings", "load_config", "one_line"]


class ConsoleSettings(BaseModel):
    """The web side: status page, FHIR endpoint, feed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str = Field(
        default="127.0.0.1:8080",
        description="Address and port of the web pages and the FHIR endpoint. Plain HTTP: for others than "
        "this machine put a proxy with TLS before it.",
        examples=["10.20.0.5:8080"],
    )


class KeepSettings(BaseModel):
    """How long things stay."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    messages: str = Field(
        default="forever",
        description="Raw message bodies: forever, or a time such as `7 years`.",
        examples=["7 years"],
    )
    audit: str = Field(
        default="6 years", description="Who saw and did what; never less than 6 years.", examples=["10 years"]
    )


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
    queue: Literal["in-process"] = Field(
        default="in-process",
        description="How workers hear of new entries; there is one way yet.",
        examples=["in-process"],
    )
    workers: int = Field(default=1, ge=1, le=64, description="Worker processes.", examples=[2])
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
    root: Path = Field(
        default=Path("."), description="Folder of config.yaml; set when it is read.", examples=["/srv/hub"]
    )

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


_SECRET = re.compile(r"\$\{secret:([A-Z][A-Z0-9_]*)\}")


def _secrets(value: Any, source: str, where: str) -> Any:
    if isinstance(value, dict):
        return {k: _secrets(v, source, where) for k, v in value.items()}
    if isinstance(value, list):
        return [_secrets(v, source, where) for v in value]
    if not isinstance(value, str):
        return value

    def found(m: re.Match[str]) -> str:
        name = m[1]
        if source.startswith("file:"):
            path = Path(source[5:]) / name
            try:
                return path.read_text(encoding="utf-8").strip()
            except OSError as e:
                raise ConfigError(
                    f"secret {name} cannot be read",
                    where=where,
                    why=e.strerror or "",
                    remedy=f"put it at {path}",
                ) from None
        if f"HUB_SECRET_{name}" not in os.environ:
            raise ConfigError(
                f"secret {name} is not set",
                where=where,
                remedy=f"set the environment variable HUB_SECRET_{name}",
            )
        return os.environ[f"HUB_SECRET_{name}"]

    return _SECRET.sub(found, value)


def load_config(root: Path, **over: Any) -> Config:
    """Read config.yaml in `root`; `over` replaces single values (tests, command line). Raises ConfigError."""
    path = root / "config.yaml"
    data = load(path, name="config.yaml") if path.is_file() else Map()
    if data is None:
        data = Map()
    if not isinstance(data, Map):
        raise ConfigError("must be `name: value` lines", where="config.yaml")
    values = plain(data)
    values = _secrets(values, str(values.get("secrets", "env")), "config.yaml")
    values.update({k: v for k, v in over.items() if v is not None})
    values["root"] = root
    try:
        config = Config(**values)
    except ValidationError as e:
        top = str(e.errors()[0]["loc"][0]) if e.errors()[0]["loc"] else ""
        line = data.key_lines.get(top, 0) if hasattr(data, "key_lines") else 0
        raise one_line(e, f"config.yaml:{line}") from None
    _judge(config)
    return config


def _judge(config: Config) -> None:
    """Refuse what the production profile does not allow, all findings in one error."""
    if config.profile != "production":
        return
    weak = []
    if not config.key:
        weak.append(
            "key: is empty (a key file made at first start is for development); set key: ${secret:DATA_KEY}"
        )
    if config.identity_base == "urn:hub:own":
        weak.append("identity_base: is the default; set a URL of your own before the first message")
    if weak:
        raise ConfigError(
            "the production profile refuses these settings", where="config.yaml", why="; ".join(weak)
        )
