"""SFTP against a real server in this process, and against OpenSSH's own where it is installed."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from behaviour import TakenNames
from cable import Cable

from engine.destinations.kinds import KINDS
from engine.kernel.delivery import Parcel
from engine.kernel.errors import ConfigError, HubError

PASSWORD = "the-password-of-mercy"
OPENSSH = Path("/usr/lib/openssh/sftp-server")


class Login(asyncssh.SSHServer):
    """Lets in one user, by key or by password."""

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return (username, password) == ("mercy", PASSWORD)


class Program(asyncssh.SSHServerSession[bytes]):
    """The subsystem `sftp` as OpenSSH's program has it: bytes in, bytes out."""

    def __init__(self, root: Path) -> None:
        pipe = subprocess.PIPE
        self._made = subprocess.Popen([OPENSSH, "-d", root], stdin=pipe, stdout=pipe, bufsize=0)
        self._loop = asyncio.get_running_loop()

    def connection_made(self, chan: Any) -> None:
        self._chan = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        return subsystem == "sftp"

    def session_started(self) -> None:
        threading.Thread(target=self._answers, daemon=True).start()

    def data_received(self, data: bytes, datatype: Any) -> None:
        assert self._made.stdin is not None
        view = memoryview(data)
        while view:
            view = view[self._made.stdin.write(view) :]

    def connection_lost(self, exc: Exception | None) -> None:
        self._made.kill()

    def _answers(self) -> None:
        assert self._made.stdout is not None
        while data := self._made.stdout.read(65536):
            self._loop.call_soon_threadsafe(self._chan.write, data)
        self._made.wait()


class Server:
    """An SFTP server on this machine, in a thread of its own; `openssh`: the files are OpenSSH's business."""

    def __init__(self, root: Path, openssh: bool) -> None:
        self.root = root / "server"
        self.folder = self.root / "in"
        self.folder.mkdir(parents=True)
        self.fails: dict[str, Any] = {}  # what the server does instead, by operation
        self.host_key = asyncssh.generate_private_key("ssh-ed25519")
        user_key = asyncssh.generate_private_key("ssh-ed25519")
        self._authorized = asyncssh.import_authorized_keys(user_key.export_public_key().decode())
        self._openssh = openssh
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(20)
        self.cable = Cable(self._server.sockets[0].getsockname()[1])
        key, password = root / "key", root / "password"
        key.write_bytes(user_key.export_private_key())
        password.write_text(PASSWORD + "\n")
        for path in (key, password):
            path.chmod(0o600)
        self.password = password
        self.words: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.cable.port,
            "user": "mercy",
            "key": key,
            "host_key": " ".join(self.host_key.export_public_key().decode().split()[:2]),
            "path": "in/{type}/{control_id}.hl7",
            "timeout": 5,
        }
        self.secrets = (PASSWORD,)

    async def _start(self) -> Any:
        server = self

        class Files(asyncssh.SFTPServer):
            def __init__(self, chan: Any) -> None:
                super().__init__(chan, chroot=str(server.root))

            def rename(self, old: bytes, new: bytes) -> None:
                super().rename(old, new)
                server.fails.get("rename", lambda: None)()

            def posix_rename(self, old: bytes, new: bytes) -> None:
                server.fails.get("posix_rename", lambda: None)()
                super().posix_rename(old, new)

            def fsync(self, file: Any) -> None:
                server.fails.get("fsync", lambda: None)()
                super().fsync(file)

        class Sessions(Login):
            def session_requested(self) -> Any:
                return Program(server.root)

        how: dict[str, Any] = {"encoding": None} if self._openssh else {"sftp_factory": Files}
        return await asyncssh.create_server(
            Sessions if self._openssh else Login,
            "127.0.0.1",
            0,
            server_host_keys=[self.host_key],
            authorized_client_keys=self._authorized,
            **how,
        )

    def files(self) -> list[Path]:
        return sorted(p for p in self.folder.rglob("*") if p.is_file())

    def taken(self) -> list[bytes]:
        return [p.read_bytes() for p in self.files()]

    def away(self) -> None:
        self.cable.pull()

    def back(self) -> None:
        self.cable.plug()

    def lose_answer(self) -> None:
        self.cable.lose_answer()

    def close(self) -> None:
        self.cable.pull()

        async def end() -> None:
            self._server.close()
            await self._server.wait_closed()

        asyncio.run_coroutine_threadsafe(end(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(20)
        self._loop.close()


@pytest.fixture
def openssh() -> bool:
    return False


@pytest.fixture
def server(tmp_path: Path, openssh: bool) -> Iterator[Server]:
    made = Server(tmp_path, openssh)
    yield made
    made.close()


class Files(TakenNames):
    """What both servers are tried with."""

    word = "sftp"
    can_refuse = False
    never_refuses = "a folder judges no content"

    @pytest.fixture
    def side(self, server: Server) -> Server:
        return server

    def other(self, **facts: str) -> Parcel:
        """Return another parcel whose words are the first one's."""
        return replace(self.parcel(2), facts={**self.parcel().facts, **facts})

    def test_names(self, side: Server, made: Any) -> None:
        there = made(path="in/{channel}/{received:%Y}/{key}.hl7")
        receipt = there.deliver(self.other(control_id="../../x"))
        assert receipt.verdict == "sent" and receipt.reference.endswith(
            "/in/lab_oru/2026/lab_oru-102-other-1.hl7"
        )
        assert side.files() == [side.folder / "lab_oru/2026/lab_oru-102-other-1.hl7"]
        made().deliver(self.other(control_id="../../x"))
        assert (side.folder / "ORU_R01/_.._x.hl7").is_file()

    def test_a_long_file(self, side: Server, made: Any) -> None:
        long = replace(self.parcel(), body=self.parcel().body * 3000)  # a megabyte: many requests
        there = made()
        assert [there.deliver(long).verdict for _ in range(2)] == ["sent", "sent"]
        assert side.taken() == [long.body]

    def test_a_folder_that_is_not_there(self, side: Server, made: Any) -> None:
        there = made()
        side.folder.rename(side.root / "gone")
        receipt = there.deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True) and "not there" in receipt.why
        (side.root / "gone").rename(side.folder)
        assert there.deliver(self.parcel()).verdict == "sent" and len(side.taken()) == 1


class TestSftp(Files):
    """asyncssh's own server."""

    def test_a_rename_whose_answer_was_lost(self, side: Server, made: Any) -> None:
        there = made()
        side.fails["rename"] = side.cable.pull
        receipt = there.deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True)
        side.fails.clear()
        side.back()
        assert there.deliver(self.parcel()).verdict == "sent"
        assert side.taken() == [self.parcel().body]  # and nothing unfinished

    @pytest.mark.parametrize("operation", ["posix_rename", "fsync"])
    def test_a_server_that_offers_less(self, side: Server, made: Any, operation: str) -> None:
        def cannot() -> None:
            raise asyncssh.SFTPOpUnsupported("not here")

        side.fails[operation] = cannot
        there = made(exists="replace")
        assert [there.deliver(p).verdict for p in (self.parcel(), self.other())] == ["sent", "sent"]
        assert side.taken() == [self.other().body]

    def test_a_full_disk(self, side: Server, made: Any) -> None:
        def full() -> None:
            raise asyncssh.SFTPFailure("no space for Zzyzxson")

        side.fails["fsync"] = full
        receipt = made().deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True) and "SFTPFailure" in receipt.why
        self.shows_nothing(side, receipt)

    def test_who_we_say_we_are(self, side: Server, made: Any, tmp_path: Path) -> None:
        assert made(key=None, password_file=side.password).deliver(self.parcel()).verdict == "sent"
        side.password.write_text("another")
        receipt = made(key=None, password_file=side.password).deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True) and "refuses this user" in receipt.why

    def test_another_server_is_not_believed(self, side: Server, made: Any) -> None:
        stranger = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
        there = made(host_key=stranger)
        receipt = there.deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True) and "host_key" in receipt.why
        assert side.taken() == []
        with pytest.raises(HubError, match="host_key"):
            there.check()

    def test_what_is_missing_here_is_said_at_the_start(self, side: Server, around: Any) -> None:
        kind = KINDS["sftp"]
        with pytest.raises(ConfigError, match="cannot be read"):
            kind.make(kind.settings(**{**side.words, "key": "nowhere"}), "other", around)


@pytest.mark.skipif(not OPENSSH.exists(), reason="NO OPENSSH SFTP SERVER: run tests/peers/install")
class TestOpenSsh(Files):
    """OpenSSH's server, which nobody here wrote, and which shares no code with our side."""

    @pytest.fixture
    def openssh(self) -> bool:
        return True
