"""A folder of an SFTP server (protocol version 3): each parcel becomes a file of its own there.

In: parcels. Out: receipts. A file is written under a name that begins with a dot, brought to the server's
disk where it offers that (fsync@openssh.com), compared in length, and then renamed: whoever looks into the
folder sees whole files only. The name makes it once, as in `file.py`. One connection is kept; one that broke
while nobody looked is made again before anybody hears of it. Needs the extra `sftp` (asyncssh).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar

from engine.destinations.filenames import Filed, Names
from engine.kernel.delivery import Around, DestinationKind, Parcel, Receipt
from engine.kernel.errors import HubError
from engine.kernel.sftp import SftpServer, check_sftp, connection, what_went_wrong

if TYPE_CHECKING:
    import asyncssh

__all__ = ["SFTP", "Sftp", "SftpDestination"]

T = TypeVar("T")

_KEPT = 64 << 10
_PIECE = 256 << 10


class SftpDestination(SftpServer, Filed):
    """A folder of an SFTP server that files are put into."""


class Away(Exception):
    """The folder cannot be written now; the text says why, without the name of any file."""


class Sftp:
    """One folder of one server."""

    def __init__(self, settings: SftpDestination, around: Around) -> None:
        self._settings: SftpDestination = settings.below(around.root)
        self._names = Names(settings.path)
        self._folder = PurePosixPath(self._names.folder)
        self._where = f"sftp://{settings.host}:{settings.port}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connection: Any = None
        self._client: asyncssh.SFTPClient | None = None
        check_sftp(self._settings, self._where)

    def deliver(self, parcel: Parcel) -> Receipt:
        """Write one file; say what became of it."""
        try:
            name = self._names.of(parcel)
        except HubError as e:
            return Receipt("park", str(e))
        wrote = f"write {self._where}/{self._folder / name}\r\n\r\n".encode() + parcel.body[:_KEPT]
        try:
            written = self._run(self._write(name, parcel))
        except HubError as e:
            return Receipt("retry", str(e), wrote, down=True)
        if written is None:
            again = self._settings.exists == "wait"
            why = "a file of that name is there with other content"
            remedy = "waits until it is taken away" if again else "name {key} in `path`, or see `exists`"
            return Receipt("retry" if again else "park", f"{why}; {remedy}", wrote)
        shown = f"{self._where}/{self._folder / written}" if self._names.plain else ""
        return Receipt("sent", "", wrote, reference=shown)

    def check(self) -> str:
        """Log in and see whether the folder is there. Raises HubError."""
        self._run(self._there())
        return f"{self._where} lets us in, and {self._folder} is there"

    def close(self) -> None:
        """Close the connection."""
        if self._loop is not None:
            self._loop.run_until_complete(self._hang_up())
            self._loop.close()
            self._loop = None

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run to the end what may take long. Raises HubError where the server cannot be used."""
        import asyncssh

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        try:
            return self._loop.run_until_complete(work)
        except HubError:
            raise
        except (Away, asyncssh.Error, OSError) as e:  # TimeoutError is an OSError
            self._loop.run_until_complete(self._hang_up())
            why = str(e) if isinstance(e, Away) else what_went_wrong(e, self._settings)
            raise HubError("the folder cannot be used", where=self._where, why=why) from None

    async def _there(self) -> asyncssh.SFTPClient:
        """Return a connection that works, with the folder there."""
        import asyncssh

        if self._client is not None:
            try:
                await self._folder_there(self._client)
                return self._client
            except (asyncssh.Error, OSError):  # it broke while nobody looked, perhaps long ago
                await self._hang_up()
        self._connection = await connection(self._settings)
        self._client = await self._in_time(self._connection.start_sftp_client())
        assert self._client is not None
        await self._folder_there(self._client)
        return self._client

    async def _folder_there(self, client: asyncssh.SFTPClient) -> None:
        if not await self._in_time(client.isdir(str(self._folder))):
            raise Away("the folder is not there")

    async def _write(self, name: PurePosixPath, parcel: Parcel) -> PurePosixPath | None:
        """Write a parcel's file and return its name; None where another one has it."""
        import asyncssh

        client = await self._there()
        fresh = str(self._folder / Names.unfinished(name, parcel.key))
        folder = str(self._folder / name.parent)
        if name.parent != PurePosixPath(".") and not await self._in_time(client.isdir(folder)):
            await self._in_time(client.makedirs(folder, exist_ok=True))
        names = [name, Names.both(name, parcel.key)] if self._settings.exists == "both" else [name]
        for one in names:
            if await self._holds(client, str(self._folder / one), parcel.body):
                with suppress(asyncssh.SFTPNoSuchFile):  # of a try that was cut off
                    await self._in_time(client.remove(fresh))
                return one
        async with client.open(fresh, "wb", encoding=None) as file:
            for begin in range(0, len(parcel.body), _PIECE):
                await self._in_time(file.write(parcel.body[begin : begin + _PIECE], begin))
            with suppress(asyncssh.SFTPOpUnsupported):
                await self._in_time(file.fsync())
        if await self._in_time(client.getsize(fresh)) != len(parcel.body):
            raise Away("the file came out with another length")
        for one in names:
            if await self._named(client, fresh, str(self._folder / one)):
                return one
        await self._in_time(client.remove(fresh))
        return None

    async def _named(self, client: asyncssh.SFTPClient, fresh: str, there: str) -> bool:
        """Give a finished file its name; False where a file has it."""
        import asyncssh

        taken = await self._in_time(client.lexists(there))
        if self._settings.exists == "replace":
            try:
                await self._in_time(client.posix_rename(fresh, there))
                return True
            except asyncssh.SFTPOpUnsupported:
                if taken:  # this server cannot do both in one step
                    await self._in_time(client.remove(there))
                    taken = False
        if taken:
            return False
        try:
            await self._in_time(client.rename(fresh, there))  # fails where a file has the name
        except asyncssh.SFTPError:
            if await self._in_time(client.lexists(there)):
                return False
            raise
        return True

    async def _holds(self, client: asyncssh.SFTPClient, there: str, body: bytes) -> bool:
        """Say whether a file is there with this content; one that we may not read is another's."""
        import asyncssh

        try:
            if await self._in_time(client.getsize(there)) != len(body):
                return False
            async with client.open(there, "rb", encoding=None) as file:
                for begin in range(0, len(body), _PIECE):
                    wanted = body[begin : begin + _PIECE]
                    if bytes(await self._in_time(file.read(len(wanted), begin))) != wanted:
                        return False
                return True
        except (asyncssh.SFTPNoSuchFile, asyncssh.SFTPPermissionDenied, asyncssh.SFTPFailure):
            return False

    async def _in_time(self, answer: Any) -> Any:
        return await asyncio.wait_for(answer, self._settings.timeout)

    async def _hang_up(self) -> None:
        client, self._client = self._client, None
        made, self._connection = self._connection, None
        if client is not None:
            client.exit()
        if made is not None:
            made.abort()
            with suppress(Exception):  # whatever ended it: it is over
                await asyncio.wait_for(made.wait_closed(), self._settings.timeout)


def _make(settings: SftpDestination, name: str, around: Around) -> Sftp:
    return Sftp(settings, around)


SFTP = DestinationKind("sftp", SftpDestination, _make, ("original", "fhir", "event", "any"))
