"""An SFTP server as both rooms call it: where it is, which key it must show, how we prove who we are.

In: settings. Out: a connection of asyncssh (the extra `sftp`), and what its errors mean, without the name of
any file. No server is believed but the one whose public key is pinned (RFC 4251 4.1); nothing of the user's
own SSH configuration, agent or Kerberos is used.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from engine.kernel.disk import private_text
from engine.kernel.errors import ConfigError

__all__ = ["SftpServer", "check_sftp", "connection", "what_went_wrong"]


def _text_or_list(schema: dict[str, Any]) -> None:
    """Tell editors that one key may be written without a list."""
    del schema["type"], schema["items"]
    text = {"type": "string"}
    schema["anyOf"] = [text, {"type": "array", "items": text, "minItems": 1}]


class SftpServer(BaseModel):
    """Where an SFTP server is, and how we prove who we are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(
        min_length=1, description="Name or address of the server.", examples=["sftp.lab.example"]
    )
    port: int = Field(default=22, ge=1, le=65535, description="TCP port.", examples=[2222])
    user: str = Field(min_length=1, description="Whom to log in as.", examples=["mercy"])
    key: Path | None = Field(
        default=None,
        description="File of the private key, without a passphrase, mode 600.",
        examples=["/etc/hub/lakeside.key"],
    )
    password_file: Path | None = Field(
        default=None, description="File of the password, mode 600.", examples=["/etc/hub/lakeside.password"]
    )
    host_key: tuple[str, ...] = Field(
        description="The server's public keys, as `ssh-keyscan` prints them without the name; "
        "no other server is believed. Two while it changes its key.",
        examples=[["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI..."]],
        json_schema_extra=_text_or_list,
    )
    timeout: float = Field(
        default=30, gt=0, description="Seconds that the server may take for one answer.", examples=[30]
    )

    @field_validator("host_key", mode="before")
    @classmethod
    def _one_or_more(cls, given: object) -> object:
        return (given,) if isinstance(given, str) else given

    @field_validator("host_key")
    @classmethod
    def _public_keys(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if not keys:
            raise ValueError("must name the server's key")
        for key in keys:
            words = key.split()
            if len(words) < 2 or not words[0].startswith(("ssh-", "ecdsa-", "sk-")):
                raise ValueError(
                    "is a public key such as `ssh-ed25519 AAAA...`; ask the server's operator for it"
                )
        return keys

    @model_validator(mode="after")
    def _one_proof(self) -> SftpServer:
        if (self.key is None) == (self.password_file is None):
            raise ValueError("takes key or password_file, one of them")
        return self

    def below(self, root: Path) -> Any:
        """Return the same with the names of local files made full: they start at the project's root."""
        full = {
            n: root.resolve() / p for n in ("key", "password_file") if (p := getattr(self, n)) is not None
        }
        return self.model_copy(update=full)


def check_sftp(settings: SftpServer, where: str) -> None:
    """See whether everything this needs on this machine is here. Raises ConfigError."""
    if importlib.util.find_spec("asyncssh") is None:
        raise ConfigError(
            "sftp: needs asyncssh, which is not installed", where=where, remedy="pip install 'hl7-hub[sftp]'"
        )
    import asyncssh

    for text in settings.host_key:
        try:
            asyncssh.import_public_key(" ".join(text.split()[:2]))
        except asyncssh.KeyImportError:
            raise ConfigError("sftp: host_key: is no public key", where=where) from None
    try:
        if settings.password_file is not None:
            private_text(settings.password_file, "the password")
        elif settings.key is not None:
            asyncssh.import_private_key(private_text(settings.key, "the private key"))
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError):
        raise ConfigError(
            "sftp: key: is no private key, or has a passphrase", where=f"{where}: {settings.key}"
        ) from None
    except ConfigError as e:
        raise ConfigError(
            f"sftp: {e.what}", where=f"{where}: {e.where}", why=e.why, remedy=e.remedy
        ) from None


def connection(settings: SftpServer) -> Any:
    """Return what is awaited, or entered, for a connection. Raises ConfigError."""
    import asyncssh

    keys = [asyncssh.import_public_key(" ".join(k.split()[:2])) for k in settings.host_key]
    proof: dict[str, Any] = {"client_keys": None, "preferred_auth": "password,keyboard-interactive"}
    if settings.key is not None:
        private = asyncssh.import_private_key(private_text(settings.key, "the private key"))
        proof = {"client_keys": [private], "preferred_auth": "publickey"}
    elif settings.password_file is not None:
        proof["password"] = private_text(settings.password_file, "the password").strip()
    return asyncssh.connect(
        settings.host,
        settings.port,
        username=settings.user,
        known_hosts=(keys, [], []),
        config=None,
        agent_path=None,
        agent_forwarding=False,
        gss_auth=False,
        gss_kex=False,
        connect_timeout=settings.timeout,
        login_timeout=settings.timeout,
        keepalive_interval=settings.timeout,
        **proof,
    )


def what_went_wrong(error: Exception, settings: SftpServer) -> str:
    """Say why the server cannot be used; what it wrote is left out, it may name a file."""
    import asyncssh

    if isinstance(error, asyncssh.HostKeyNotVerifiable):
        return "the server's key is not the one in host_key:"
    if isinstance(error, asyncssh.PermissionDenied):
        return "the server refuses this user"
    if isinstance(error, asyncssh.Error):
        return f"{type(error).__name__}, code {error.code}"
    if isinstance(error, TimeoutError):
        return f"no answer within {settings.timeout:g} s"
    return (error.strerror if isinstance(error, OSError) else "") or type(error).__name__
