"""A small server of the S3 REST API: what the object store uses, and only for what is signed right."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit

from engine.security.sigv4 import signed

ACCESS, SECRET, REGION, BUCKET = "HUBIMAGING", "a secret/of+some length", "eu-central-1", "imaging"
PAGE = 3


class Bucket(ThreadingHTTPServer):
    """What is in it, and what was asked; `trouble(method, path)` may answer in its place with a status."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.held: dict[str, bytes] = {}
        self.times: dict[str, datetime] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.asked: list[str] = []
        self.trouble: Callable[[str, str], int] = lambda method, path: 0
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Bucket

    def log_message(self, *_: object) -> None:
        pass

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        name = unquote(parts.path).removeprefix(f"/{BUCKET}").lstrip("/")
        self.server.asked.append(f"{self.command} {','.join(sorted(query)) or '-'}")
        if status := self.server.trouble(self.command, self.path):
            return self._answer(status, b"<Error><Code>Trouble</Code></Error>")
        if not self._signed(unquote(parts.path), query, body):
            return self._answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        getattr(self, f"_{self.command.lower()}")(name, query, body)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _any

    def _signed(self, path: str, query: dict[str, str], body: bytes) -> bool:
        said = self.headers.get("authorization", "")
        names = said.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        if self.headers.get("x-amz-content-sha256") != hashlib.sha256(body).hexdigest():
            return False
        expected = signed(
            self.command,
            self.headers["host"],
            path,
            query.items(),
            {n: self.headers[n] for n in names if n not in ("host", "x-amz-date", "x-amz-content-sha256")},
            payload=hashlib.sha256(body).hexdigest(),
            access_key=ACCESS,
            secret_key=SECRET,
            region=REGION,
            moment=self.headers["x-amz-date"],
        )
        return said == expected["authorization"]

    def _get(self, name: str, query: dict[str, str], body: bytes) -> None:
        if not name:
            return self._list(query)
        data = self.server.held.get(name)
        if data is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        first, _, last = self.headers["range"].removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1]
        self._answer(206, part, {"content-range": f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"})

    def _head(self, name: str, query: dict[str, str], body: bytes) -> None:
        if name not in self.server.held:
            return self._answer(404)
        self._answer(200, headers={"last-modified": format_datetime(self.server.times[name], usegmt=True)})

    def _put(self, name: str, query: dict[str, str], body: bytes) -> None:
        source = unquote(self.headers.get("x-amz-copy-source", "")).removeprefix(f"/{BUCKET}/")
        if source and source not in self.server.held:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        if source:
            # the service refuses a copy onto itself that changes nothing
            if source == name and self.headers.get("x-amz-metadata-directive") != "REPLACE":
                return self._answer(400, b"<Error><Code>InvalidRequest</Code></Error>")
            self._hold(name, self.server.held[source])
            return self._answer(200, b"<CopyObjectResult/>")
        if "uploadId" in query:
            self.server.uploads[query["uploadId"]][int(query["partNumber"])] = body
        else:
            self._hold(name, body)
        self._answer(200, headers={"etag": f'"{hashlib.md5(body).hexdigest()}"'})

    def _post(self, name: str, query: dict[str, str], body: bytes) -> None:
        if "uploads" in query:
            upload = f"upload {len(self.server.uploads)}/&?"
            self.server.uploads[upload] = {}
            text = upload.replace("&", "&amp;")
            return self._answer(200, f"<R xmlns='http://s3/'><UploadId>{text}</UploadId></R>".encode())
        parts = self.server.uploads.pop(query["uploadId"])
        assert body.count(b"<Part>") == len(parts) == max(parts)
        for number, data in parts.items():
            assert (
                f'<PartNumber>{number}</PartNumber><ETag>"{hashlib.md5(data).hexdigest()}"'.encode() in body
            )
        self._hold(name, b"".join(parts[n] for n in sorted(parts)))
        self._answer(200, b"<CompleteMultipartUploadResult/>")

    def _delete(self, name: str, query: dict[str, str], body: bytes) -> None:
        if "uploadId" in query:
            self.server.uploads.pop(query["uploadId"])
        else:
            self.server.held.pop(name, None)
        self._answer(204)

    def _list(self, query: dict[str, str]) -> None:
        names = sorted(n for n in self.server.held if n.startswith(query["prefix"]))
        names = [n for n in names if n > query.get("continuation-token", "")]
        rows = "".join(
            f"<Contents><Key>{n}</Key>"
            f"<LastModified>{self.server.times[n]:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
            f"<Size>{len(self.server.held[n])}</Size></Contents>"
            for n in names[:PAGE]
        )
        more = (
            f"<NextContinuationToken>{names[PAGE - 1]}</NextContinuationToken>" if len(names) > PAGE else ""
        )
        self._answer(200, f"<L xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>{rows}{more}</L>".encode())

    def _hold(self, name: str, data: bytes) -> None:
        self.server.held[name] = data
        self.server.times[name] = datetime.now(UTC)

    def _answer(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
