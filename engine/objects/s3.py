"""The object store in a bucket of S3, or of what speaks its language (MinIO, Ceph, Garage).

In: objects in pieces, sealed into a file of the local spool, sent when they are whole. Out: `PREFIXab/ab...`
in the bucket, durable when the server has answered 200; long ones go up in parts. The bucket sees sealed
bytes and keyed names only. What nobody seems to count on is put aside under `PREFIXleftover/` first. Reading
asks for ranges. Follows the Amazon S3 REST API; path-style addresses.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

import httpx

from engine.kernel.clock import now_ms
from engine.kernel.errors import ConfigError, HubError
from engine.kernel.imaging import Arriving, Stored
from engine.objects.folder import MissingObject, Spool, Spooled, locked
from engine.objects.sealed import open_sealed
from engine.objects.sigv4 import EMPTY, signed
from engine.security.keys import Keyring

__all__ = ["S3Objects"]

PART = 16 << 20
"""Bytes that go up in one request; longer objects go up in parts."""

_FIRST = 2 << 20  # what the first request of a reader asks for: most objects are shorter
_TRIES = 3
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


class S3Objects:
    """Objects in a bucket (`kernel.imaging.Objects`). Threads may share one."""

    def __init__(
        self,
        url: str,
        keyring: Keyring,
        *,
        region: str,
        access_key: str,
        secret_key: str,
        spool: Path,
        reserve_bytes: int = 0,
    ) -> None:
        """`url` is `https://HOST/BUCKET`, or `https://HOST/BUCKET/PREFIX`; the bucket must exist."""
        self._base = urlsplit(url)
        self._bucket, _, prefix = unquote(self._base.path).strip("/").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        self._region, self._access_key, self._secret_key = region, access_key, secret_key
        self._keyring = keyring
        if not self._bucket or not access_key or not secret_key:
            raise ConfigError(
                "the bucket of the objects cannot be used",
                where="objects",
                why="its address names no bucket, or its access_key or secret_key is missing",
                remedy="write s3: https://HOST/BUCKET with both keys",
            )
        self._client = httpx.Client(timeout=_TIMEOUT)
        self._pause = threading.Event()
        try:
            self._spool = Spool(spool / "incoming", reserve_bytes)
            self._locks = spool / "locks"
            for number in range(256):
                (self._locks / f"{number:02x}").mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as e:
            raise ConfigError(
                "the folder for objects on their way cannot be opened", where=str(spool), why=e.strerror or ""
            ) from None

    def begin(self) -> Spooled:
        """Begin an object. Raises OSError (ENOSPC where the spool has no room)."""
        return Spooled(self._spool, self._keyring)

    def keep(self, arriving: Arriving) -> Stored:
        """Send an object; it is durable when this returns. Raises OSError."""
        assert isinstance(arriving, Spooled)
        try:
            stored = arriving.finish()
            with locked(self._locks / stored.address[:2]):
                self._send(self._name(stored.address), arriving.handle)
        finally:
            arriving.abandon()
        return stored

    def open(self, address: str) -> BinaryIO:
        """Open an object to read. Raises HubError: MissingObject, DamagedObject."""
        name = self._name(address)
        try:
            answer = self._ask(
                "GET", name, headers={"range": f"bytes=0-{_FIRST - 1}"}, expect=(200, 206, 404)
            )
        except OSError as e:
            raise HubError("cannot be read", where=f"object {address}", why=e.strerror or "") from None
        if answer.status_code == 404:
            raise MissingObject(address)
        first = answer.content
        whole = answer.headers.get("content-range", "").rpartition("/")[2]
        length = int(whole) if whole.isdigit() else len(first)

        def fetch(offset: int, size: int) -> bytes:
            if offset + size <= len(first):
                return first[offset : offset + size]
            wanted = f"bytes={offset}-{offset + size - 1}"
            return self._ask("GET", name, headers={"range": wanted}, expect=(206,)).content

        return open_sealed(self._keyring, address, length, fetch)

    def delete(self, address: str) -> bool:
        """Remove an object at once; says whether there was one."""
        name = self._name(address)
        with locked(self._locks / address[:2]):
            if self._ask("HEAD", name, expect=(200, 404)).status_code == 404:
                return False
            self._ask("DELETE", name, expect=(200, 204))
        return True

    def discard(self, address: str, before: int) -> bool:
        """Remove an object that nobody has brought since `before` (ms); says whether it is gone."""
        name = self._name(address)
        with locked(self._locks / address[:2]):
            since = self._since(name)
            if since is None:
                return True
            if since >= before:
                return False
            self._ask("DELETE", name, expect=(200, 204))
        return True

    def touch(self, address: str) -> bool:
        """Count on an object as if it were brought now; says whether it is there."""
        name = self._name(address)
        with locked(self._locks / address[:2]):
            return self._copy(name, name)

    def addresses(self, before: int) -> Iterator[str]:
        """Return the addresses of what nobody has brought since `before` (ms)."""
        return (a for a, name in self._old(self._prefix, before) if name == self._name(a))

    def put_aside(self, address: str, before: int) -> bool:
        """Put an object that nobody has brought since `before` (ms) aside; says whether it was."""
        name = self._name(address)
        with locked(self._locks / address[:2]):
            since = self._since(name)
            if since is None or since >= before or not self._copy(name, self._aside(address)):
                return False
            self._ask("DELETE", name, expect=(200, 204))
        return True

    def leftovers(self, before: int) -> Iterator[str]:
        """Return the addresses of what was put aside before then (ms)."""
        return (address for address, _ in self._old(f"{self._prefix}leftover/", before))

    def bring_back(self, address: str) -> bool:
        """Put an object back that was put aside; says whether there was one."""
        name = self._name(address)
        with locked(self._locks / address[:2]):
            if not self._copy(self._aside(address), name):
                return False
            self._ask("DELETE", self._aside(address), expect=(200, 204))
        return True

    def remove_leftover(self, address: str) -> bool:
        """Remove an object that was put aside for good; says whether there was one."""
        name = self._aside(address)
        with locked(self._locks / address[:2]):
            if self._since(name) is None:
                return False
            self._ask("DELETE", name, expect=(200, 204))
        return True

    def _aside(self, address: str) -> str:
        return f"{self._prefix}leftover/{self._name(address)[-32:]}"

    def _since(self, name: str) -> float | None:
        """Return since when the service has something of that name, ms; None where it has nothing."""
        answer = self._ask("HEAD", name, expect=(200, 404))
        if answer.status_code == 404:
            return None
        return parsedate_to_datetime(answer.headers["last-modified"]).timestamp() * 1000

    def _copy(self, name: str, to: str) -> bool:
        """Have the service copy something, onto itself too; says whether there was anything."""
        source = quote(f"/{self._bucket}/{name}", safe="/~")
        headers = {"x-amz-copy-source": source, "x-amz-metadata-directive": "REPLACE"}
        answer = self._ask("PUT", to, headers=headers, expect=(200, 404))
        if b"<Error>" in answer.content and answer.status_code == 200:  # said after the 200 of a long wait
            raise OSError(errno.EIO, "an object could not be copied within the bucket")
        return answer.status_code == 200

    def _old(self, prefix: str, before: int) -> Iterator[tuple[str, str]]:
        query = {"list-type": "2", "prefix": prefix}
        while True:
            root = ElementTree.fromstring(self._ask("GET", "", query=query).content)
            for found in root.iterfind("{*}Contents"):
                changed = datetime.fromisoformat(found.findtext("{*}LastModified", ""))
                name = found.findtext("{*}Key", "")
                address = name.rpartition("/")[2]
                if changed.timestamp() * 1000 < before and len(address) == 32:
                    yield address, name
            token = root.findtext("{*}NextContinuationToken", "")
            if not token:
                return
            query["continuation-token"] = token

    def disk_free(self) -> int | None:
        """Return None: the service watches its own disks."""
        return None

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _send(self, name: str, handle: int) -> None:
        size = os.fstat(handle).st_size
        if size <= PART:
            self._ask("PUT", name, body=os.pread(handle, size, 0))
            return
        root = ElementTree.fromstring(self._ask("POST", name, query={"uploads": ""}).content)
        upload = {"uploadId": root.findtext("{*}UploadId", "")}
        try:
            tags = []
            for number, at in enumerate(range(0, size, PART), 1):
                query = upload | {"partNumber": str(number)}
                tags.append(
                    self._ask("PUT", name, query=query, body=os.pread(handle, PART, at)).headers["etag"]
                )
            done = self._ask("POST", name, query=upload, body=_completion(tags))
            if b"<Error>" in done.content:  # said after the 200 of a long wait
                raise OSError(errno.EIO, "the parts of an object could not be put together")
        except BaseException:
            self._abort(name, upload)
            raise

    def _abort(self, name: str, upload: Mapping[str, str]) -> None:
        try:
            self._ask("DELETE", name, query=upload, expect=(200, 204, 404))
        except OSError:
            return  # the error that led here is the one to tell; the service's own rules remove the parts

    def _name(self, address: str) -> str:
        if len(address) != 32 or not set(address) <= set("0123456789abcdef"):
            raise MissingObject(address if address.isalnum() else "of another kind")
        return f"{self._prefix}{address[:2]}/{address}"

    def _ask(
        self,
        method: str,
        name: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        expect: tuple[int, ...] = (200,),
    ) -> httpx.Response:
        """Send one request, again where the service is away. Raises OSError."""
        path = f"/{self._bucket}" + (f"/{name}" if name else "")
        asked = "&".join(
            f"{quote(k, safe='~')}={quote(v, safe='~')}" for k, v in sorted((query or {}).items())
        )
        url = f"{self._base.scheme}://{self._base.netloc}{quote(path, safe='/~')}" + (
            f"?{asked}" if asked else ""
        )
        why = ""
        for attempt in range(_TRIES):
            if attempt:
                self._pause.wait(0.2 * attempt)
            try:
                answer = self._client.request(
                    method,
                    url,
                    content=body,
                    headers=self._headers(method, path, query or {}, headers or {}, body),
                )
            except httpx.HTTPError as e:
                why = type(e).__name__
                continue
            if answer.status_code in expect:
                return answer
            why = f"{method} was answered {answer.status_code}{_code(answer)}"
            if answer.status_code < 500 and answer.status_code != 429:
                break
        raise OSError(errno.EIO, f"the bucket of the objects cannot be used: {why}")

    def _headers(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> dict[str, str]:
        return signed(
            method,
            self._base.netloc,
            path,
            query,
            headers,
            payload=hashlib.sha256(body).hexdigest() if body else EMPTY,
            access_key=self._access_key,
            secret_key=self._secret_key,
            region=self._region,
            moment=f"{datetime.fromtimestamp(now_ms() / 1000, UTC):%Y%m%dT%H%M%SZ}",
        )


def _completion(tags: list[str]) -> bytes:
    root = ElementTree.Element("CompleteMultipartUpload")
    for number, tag in enumerate(tags, 1):
        part = ElementTree.SubElement(root, "Part")
        ElementTree.SubElement(part, "PartNumber").text = str(number)
        ElementTree.SubElement(part, "ETag").text = tag
    return ElementTree.tostring(root)


def _code(answer: httpx.Response) -> str:
    """Return the service's own word for an error, e.g. ` NoSuchBucket`."""
    try:
        code = ElementTree.fromstring(answer.content).findtext("{*}Code") or ""
    except ElementTree.ParseError:
        return ""
    return f" {code}" if code.isalnum() else ""
