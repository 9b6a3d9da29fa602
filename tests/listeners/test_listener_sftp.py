"""SFTP polling against a real server in this process: what is fetched, moved, deleted, and refused."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from files_bench import CutJournal, PowerCut
from listener_bench import oru
from pydantic import ValidationError

from engine.kernel.errors import ConfigError, StoreUnavailable
from engine.kernel.message import Entry
from engine.kernel.sftp import check_sftp
from engine.listeners.file_settings import SftpChannel, SftpSettings
from engine.listeners.files import Shelf
from engine.listeners.metrics import Metrics
from engine.listeners.sftp import Sftp, Unreachable

PASSWORD = "the-password-of-mercy"


class Login(asyncssh.SSHServer):
    """Lets in one user, by key or by password."""

    keys: Any = None

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("mercy", PASSWORD)


class Server:
    """An SFTP server on this machine, in a thread of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "out").mkdir(parents=True)
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        self.user_key = asyncssh.generate_private_key("ssh-ed25519")
        self.readonly = False
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _start(self) -> Any:
        server = self

        class Files(asyncssh.SFTPServer):
            def __init__(self, chan: Any) -> None:
                super().__init__(chan, chroot=str(server.root))

            def remove(self, path: bytes) -> None:
                if server.readonly:
                    raise asyncssh.SFTPPermissionDenied("no")
                super().remove(path)

        keys = asyncssh.import_authorized_keys(self.user_key.export_public_key().decode())
        return await asyncssh.create_server(
            Login,
            "127.0.0.1",
            0,
            server_host_keys=[self.host_key],
            authorized_client_keys=keys,
            sftp_factory=Files,
        )

    @property
    def public_key(self) -> str:
        return " ".join(self.host_key.export_public_key().decode().split()[:2])

    def stop(self) -> None:
        async def close() -> None:
            self._server.close()
            await self._server.wait_closed()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


class Hub:
    """One channel that looks into the server's folder."""

    def __init__(self, server: Server, root: Path, **words: Any) -> None:
        self.server, self.root, self.words = server, root, words
        self.now = 1000.0
        key = root / "key"
        key.write_bytes(server.user_key.export_private_key())
        key.chmod(0o600)
        self.journal = CutJournal(root / "var")
        self.metrics = Metrics()
        self.shelf = Shelf(self.journal, self.metrics)
        self.start()

    def start(self) -> None:
        """Begin as a new process does."""
        words = {
            "host": "127.0.0.1",
            "port": self.server.port,
            "user": "mercy",
            "key": self.root / "key",
            "host_key": self.server.public_key,
            "path": "out",
            "timeout": 10,
            **self.words,
        }
        words = {k: v for k, v in words.items() if v is not None}
        channel = SftpChannel(channel="lab", sftp=SftpSettings(**words), duplicates="flag")
        self.sftp = Sftp(channel, self.shelf, self.root / "var/files/lab", now=lambda: self.now)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.sftp.poll()
            self.now += 60

    def put(self, name: str, data: bytes, age: int = 0) -> Path:
        path = self.server.root / "out" / name
        path.write_bytes(data)
        os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
        return path

    def there(self, where: str = "") -> list[str]:
        folder = self.server.root / "out" / where
        return sorted(p.name for p in folder.iterdir() if not p.is_dir()) if folder.is_dir() else []

    def entries(self) -> list[Entry]:
        return self.journal.real.read(0, 10_000)

    def ids(self) -> list[str]:
        return [e.control_id for e in self.entries() if e.kind == "message"]


@pytest.fixture(scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    yield server
    server.stop()


@pytest.fixture
def hub_of(_server: Server, tmp_path: Path) -> Iterator[Callable[..., Hub]]:
    for path in sorted((_server.root / "out").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    _server.readonly = False
    made: list[Hub] = []

    def make(**words: Any) -> Hub:
        made.append(Hub(_server, tmp_path, **words))
        return made[-1]

    yield make
    for hub in made:
        hub.journal.real.close()


@pytest.mark.parametrize("after", ["move", "delete"])
def test_files_at_rest_are_taken_oldest_first(after: str, hub_of: Callable[..., Hub]) -> None:
    hub = hub_of(after=after)
    hub.put("b.hl7", oru(b"B1") + oru(b"B2"), age=5)
    hub.put("a.hl7", oru(b"A"), age=1)
    hub.put("bad.hl7", b"nothing to read", age=0)
    hub.put("other.txt", oru(b"T"))
    hub.look()
    assert hub.ids() == []
    hub.look()
    assert hub.ids() == ["B1", "B2", "A"] and hub.there() == ["other.txt"]
    assert hub.there("done") == (["a.hl7", "b.hl7"] if after == "move" else [])
    assert hub.there("error") == ["bad.hl7"]
    assert hub.entries()[0].peer == "127.0.0.1" and hub.entries()[-1].kind == "garbage"
    assert not list((hub.root / "var/files/lab").iterdir())


def test_a_file_that_changes_waits(hub_of: Callable[..., Hub]) -> None:
    hub = hub_of()
    path = hub.put("a.hl7", oru(b"A"))
    hub.look()
    path.write_bytes(oru(b"A") + oru(b"B"))
    hub.look()
    assert hub.ids() == []
    hub.look()
    assert hub.ids() == ["A", "B"]


def test_a_power_cut_between_the_journal_and_the_delete(hub_of: Callable[..., Hub]) -> None:
    hub = hub_of(after="delete")
    hub.put("a.hl7", oru(b"A") + oru(b""))
    hub.look()

    async def cut(*_: Any) -> None:
        raise PowerCut

    hub.sftp._away = cut  # type: ignore[method-assign]
    with pytest.raises(PowerCut):
        hub.look()
    assert len(hub.entries()) == 2 and hub.there() == ["a.hl7"]
    hub.start()
    hub.look(2)
    assert [e.kind for e in hub.entries()] == ["message", "refused"] and hub.there() == []


def test_a_power_cut_in_the_middle_of_a_file(hub_of: Callable[..., Hub]) -> None:
    hub = hub_of()
    hub.put("a.hl7", b"".join(oru(b"N%d" % n) for n in range(700)))
    hub.look()
    hub.journal.after = 1
    with pytest.raises(PowerCut):
        hub.look()
    hub.journal.after = None
    hub.start()
    hub.look(2)
    assert hub.ids() == [f"N{n}" for n in range(700)] and hub.there("done") == ["a.hl7"]


def test_a_server_that_lets_nothing_be_deleted_does_not_double(hub_of: Callable[..., Hub]) -> None:
    hub = hub_of(after="delete")
    hub.put("a.hl7", oru(b"A"))
    hub.server.readonly = True
    hub.look()
    for _ in range(3):
        with pytest.raises(Unreachable, match="SFTPPermissionDenied"):
            hub.look()
    assert hub.ids() == ["A"] and hub.there() == ["a.hl7"]
    hub.server.readonly = False
    hub.look()
    assert hub.ids() == ["A"] and hub.there() == []


def test_a_journal_that_cannot_write_leaves_the_file(hub_of: Callable[..., Hub]) -> None:
    hub = hub_of(after="delete")
    hub.put("a.hl7", oru(b"A"))
    hub.look()
    hub.journal.fail = StoreUnavailable("disk full")
    with pytest.raises(StoreUnavailable):
        hub.look()
    assert hub.there() == ["a.hl7"]
    hub.journal.fail = None
    hub.look()
    assert hub.ids() == ["A"] and hub.there() == []


def test_links_and_files_that_are_too_long_stay(hub_of: Callable[..., Hub]) -> None:
    hub = hub_of(max_file_bytes=1024)
    (hub.server.root / "secret").write_bytes(oru(b"SECRET"))
    (hub.server.root / "out/link.hl7").symlink_to("../secret")
    hub.put("long.hl7", oru(b"L") * 50)
    hub.look(3)
    assert hub.entries() == [] and hub.there() == ["link.hl7", "long.hl7"]


def test_another_host_key_is_never_believed(hub_of: Callable[..., Hub]) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    hub = hub_of(host_key=other)
    hub.put("a.hl7", oru(b"A"))
    with pytest.raises(Unreachable, match="host_key"):
        hub.look()
    hub = hub_of(host_key=[other, hub.server.public_key])  # while the server changes its key
    hub.look(2)
    assert hub.ids() == ["A"]


def test_by_password_and_what_is_refused(hub_of: Callable[..., Hub], tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    hub = hub_of(key=None, password_file=secret)
    hub.put("a.hl7", oru(b"A"))
    hub.look(2)
    assert hub.ids() == ["A"]
    secret.write_text("wrong-password-here\n")
    with pytest.raises(Unreachable, match="refuses this user"):
        hub.look()
    closed = hub_of(port=1)
    with pytest.raises(Unreachable) as found:
        closed.look()
    assert str(found.value)


def test_what_is_missing_on_this_machine_is_said_at_the_start(_server: Server, tmp_path: Path) -> None:
    given: dict[str, Any] = {"host": "h", "user": "u", "host_key": _server.public_key}
    key = tmp_path / "key"
    for text, mode, told in (
        (b"", 0o600, "is no private key"),
        (_server.user_key.export_private_key("pkcs8-pem", passphrase="x"), 0o600, "is no private key"),
        (_server.user_key.export_private_key(), 0o644, "can be read by others"),
    ):
        key.write_bytes(text)
        key.chmod(mode)
        with pytest.raises(ConfigError, match=told):
            check_sftp(SftpSettings(key=key, **given), "channels/lab.yaml:2")
    with pytest.raises(ConfigError, match="is no public key"):
        check_sftp(SftpSettings(key=key, **given | {"host_key": "ssh-ed25519 AAAA"}), "x")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "one of them"),
        ({"key": "k", "password_file": "p"}, "one of them"),
        ({"key": "k", "host_key": None}, "host_key"),
        ({"key": "k", "host_key": []}, "must name the server's key"),
        ({"key": "k", "host_key": "accept-anything"}, "is a public key such as"),
        ({"key": "k", "pattern": "../*"}, "is not a pattern"),
    ],
)
def test_settings_that_cannot_be_followed(given: dict[str, Any], told: str) -> None:
    words = {"host": "h", "user": "u", "host_key": "ssh-ed25519 AAAA", **given}
    with pytest.raises(ValidationError, match=told):
        SftpSettings(**words)
