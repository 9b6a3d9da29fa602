"""A bucket of S3, or of what speaks its language (MinIO, Ceph, Garage): requests, signed, tried again.

In: names of what is in the bucket, bytes. Out: the same, and what the service says of them. Long bodies go up
in parts and come down in ranges. Nothing here knows what the bytes are. Follows the Amazon S3 REST API;
path-style addresses.
"""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import quote, unquote, urlsplit
from xml.etree import ElementTree

import httpx

from engine.kernel.clock import now_ms
from engine.kernel.errors import ConfigError
from engine.security.sigv4 import EMPTY, signed

__all__ = ["PART", "Bucket", "Listed"]

PART = 16 << 20
"""Bytes that go up or come down in one request; longer ones go in parts."""

_TRIES = 3
_TIMEOUT = httpx.Timeout(60.0, connect=10.0)


class Listed(NamedTuple):
    """One name in the bucket."""

    name: str
    bytes: int
    changed: float  # ms


class Bucket:
    """One bucket, or what is below a prefix in it. Threads may share one."""

    def __init__(self, url: str, *, region: str, access_key: str, secret_key: str) -> None:
        """`url` is `https://HOST/BUCKET`, or `https://HOST/BUCKET/PREFIX`; the bucket must exist."""
        self._base = urlsplit(url)
        self._bucket, _, prefix = unquote(self._base.path).strip("/").partition("/")
        self.prefix = f"{prefix}/" if prefix else ""  # of every name of ours
        self._region, self._access_key, self._secret_key = region, access_key, secret_key
        if not self._bucket or not access_key or not secret_key:
            raise ConfigError(
                "the bucket of the objects cannot be used",
                where="objects",
                why="its address names no bucket, or its access_key or secret_key is missing",
                remedy="write s3: https://HOST/BUCKET with both keys",
            )
        self._client = httpx.Client(timeout=_TIMEOUT)
        self._pause = threading.Event()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, name: str, handle: int) -> None:
        """Send an open file; it is durable when this returns. Raises OSError."""
        size = os.fstat(handle).st_size
        if size <= PART:
            self.ask("PUT", name, body=os.pread(handle, size, 0))
            return
        root = ElementTree.fromstring(self.ask("POST", name, query={"uploads": ""}).content)
        upload = {"uploadId": root.findtext("{*}UploadId", "")}
        try:
            tags = []
            for number, at in enumerate(range(0, size, PART), 1):
                query = upload | {"partNumber": str(number)}
                tags.append(
                    self.ask("PUT", name, query=query, body=os.pread(handle, PART, at)).headers["etag"]
                )
            done = self.ask("POST", name, query=upload, body=_completion(tags))
            if b"<Error>" in done.content:  # said after the 200 of a long wait
                raise OSError(errno.EIO, "the parts of an object could not be put together")
        except BaseException:
            self._abort(name, upload)
            raise

    def _abort(self, name: str, upload: Mapping[str, str]) -> None:
        try:
            self.ask("DELETE", name, query=upload, expect=(200, 204, 404))
        except OSError:
            return  # the error that led here is the one to tell; the service's own rules remove the parts

    def since(self, name: str) -> float | None:
        """Return since when the service has something of that name, ms; None where it has nothing."""
        answer = self.ask("HEAD", name, expect=(200, 404))
        if answer.status_code == 404:
            return None
        return parsedate_to_datetime(answer.headers["last-modified"]).timestamp() * 1000

    def copy(self, name: str, to: str) -> bool:
        """Have the service copy something, onto itself too; says whether there was anything."""
        source = quote(f"/{self._bucket}/{name}", safe="/~")
        headers = {"x-amz-copy-source": source, "x-amz-metadata-directive": "REPLACE"}
        answer = self.ask("PUT", to, headers=headers, expect=(200, 404))
        if b"<Error>" in answer.content and answer.status_code == 200:  # said after the 200 of a long wait
            raise OSError(errno.EIO, "an object could not be copied within the bucket")
        return answer.status_code == 200

    def pieces(self, name: str) -> Iterator[bytes] | None:
        """Return what is under a name, a range at a time; None where nothing is. Raises OSError."""
        headers = {"range": f"bytes=0-{PART - 1}"}
        answer = self.ask("GET", name, headers=headers, expect=(200, 206, 404))
        if answer.status_code == 404:
            return None
        whole = answer.headers.get("content-range", "").rpartition("/")[2]
        size = int(whole) if whole.isdigit() else len(answer.content)

        def all_of_it() -> Iterator[bytes]:
            yield answer.content
            for at in range(len(answer.content), size, PART):
                wanted = {"range": f"bytes={at}-{min(at + PART, size) - 1}"}
                yield self.ask("GET", name, headers=wanted, expect=(206,)).content

        return all_of_it()

    def listed(self, prefix: str) -> Iterator[Listed]:
        """Give everything whose name begins so. Raises OSError."""
        query = {"list-type": "2", "prefix": prefix}
        while True:
            root = ElementTree.fromstring(self.ask("GET", "", query=query).content)
            for found in root.iterfind("{*}Contents"):
                changed = datetime.fromisoformat(found.findtext("{*}LastModified", ""))
                name, size = found.findtext("{*}Key", ""), found.findtext("{*}Size", "0")
                yield Listed(name, int(size), changed.timestamp() * 1000)
            token = root.findtext("{*}NextContinuationToken", "")
            if not token:
                return
            query["continuation-token"] = token

    def ask(
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
            query.items(),
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
