"""The other side of Direct in tests: a HISP's mail server, name servers, and where revocation lists are."""

from __future__ import annotations

import email
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.CERT
import dns.rrset
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult
from cable import Cable
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from direct_certificates import ANCHOR, BETWEEN, HUB, NURSE, THEM, US, Pair, made

PASSWORD = "hisp-4411-secret"


class Hisp:
    """A mail server with TLS that keeps messages; acts on each Message-ID once, as mail systems do."""

    def __init__(self, folder: Path, *, tls: str = "starttls") -> None:
        self.mails: dict[str, bytes] = {}
        self.answer = ""
        self.answer_to_rcpt = ""
        self.lost = False
        server = made("localhost", ANCHOR, x509.DNSName("localhost"))
        certificate, own = server.written(folder, "localhost")
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, own)
        more: dict[str, Any] = {"hostname": "127.0.0.1", "port": 0}
        if tls == "starttls":
            more |= {"tls_context": context, "require_starttls": True, "auth_required": True}
            more["authenticator"] = self.authenticate
        elif tls == "tls":
            more["ssl_context"] = context
        self._controller = _Controller(self, **more)
        self._controller.start()
        self.cable = Cable(self._controller.port)
        HUB.written(folder, "hub", BETWEEN)
        (folder / "anchors.pem").write_bytes(ANCHOR.pem)
        (folder / "recipients").mkdir(exist_ok=True)
        self.give(folder / "recipients" / f"{THEM}.pem", NURSE)
        self.folder = folder
        self.words: dict[str, Any] = {
            "host": "localhost",
            "port": self.cable.port,
            "tls": {"ca": str(folder / "anchors.pem")},
            "user": "hub",
            "password": PASSWORD,
            "sender": US,
            "to": THEM,
            "certificate": str(folder / "hub.pem"),
            "key": str(folder / "hub.key"),
            "anchors": str(folder / "anchors.pem"),
            "certificates": str(folder / "recipients"),
            "sharing": {"source": "2.999.1", "organization": "Mercy Hospital"},
            "timeout_seconds": 5,
        }
        if tls != "starttls":
            self.words |= {"security": tls, "user": "", "password": ""}
        self.secrets = (PASSWORD,)

    def give(self, path: Path, pair: Pair, *chain: Pair) -> None:
        path.write_bytes(pair.pem + b"".join(c.pem for c in chain))

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.answer_to_rcpt:
            return self.answer_to_rcpt
        envelope.rcpt_tos.append(address)
        return "250 known"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.answer:
            return self.answer
        self.mails.setdefault(str(email.message_from_bytes(envelope.content)["Message-ID"]), envelope.content)
        if self.lost:
            self.lost = False
            self.cable.pull()
            self.cable.plug()
        return "250 taken"

    def taken(self) -> list[bytes]:
        return list(self.mails.values())

    def last(self) -> Message:
        return email.message_from_bytes(self.taken()[-1])

    def away(self) -> None:
        self.cable.pull()

    def back(self) -> None:
        self.cable.plug()

    def refuse(self) -> None:
        self.answer = "554 5.6.0 this content is not taken"

    def lose_answer(self) -> None:
        self.lost = True

    def close(self) -> None:
        self.cable.pull()
        self._controller.stop()


class _Controller(Controller):
    """Takes whatever port is free."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        if self.ssl_context is None:
            super()._trigger_server()
        else:
            socket.create_connection(("127.0.0.1", self.port)).close()


@contextmanager
def name_server(held: Mapping[str, list[bytes]]) -> Iterator[str]:
    """Answer CERT questions over UDP, and over TCP what UDP cannot hold; anything else does not exist."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", 0))
    tcp = socket.socket()
    tcp.bind(("127.0.0.1", udp.getsockname()[1]))
    tcp.listen(4)

    def answered(wire: bytes, most: int) -> bytes:
        question = dns.message.from_wire(wire)
        name = question.question[0].name
        answer = dns.message.make_response(question)
        found = held.get(name.to_text().rstrip("."), [])
        if found and question.question[0].rdtype == dns.rdatatype.CERT:
            records = [
                dns.rdtypes.ANY.CERT.CERT(dns.rdataclass.IN, dns.rdatatype.CERT, 1, 0, 8, one)
                for one in found
            ]
            answer.answer.append(dns.rrset.from_rdata(name, 60, *records))
        elif not found:
            answer.set_rcode(3)  # type: ignore[arg-type]
        made = answer.to_wire()
        if len(made) > most:
            answer.answer.clear()
            answer.flags |= dns.flags.TC
            made = answer.to_wire()
        return made

    def by_udp() -> None:
        while True:
            try:
                data, where = udp.recvfrom(4096)
                udp.sendto(answered(data, 512), where)
            except OSError:
                return

    def by_tcp() -> None:
        while True:
            try:
                here, _ = tcp.accept()
            except OSError:
                return
            with here:
                size = int.from_bytes(here.recv(2), "big")
                made = answered(here.recv(size), 65535)
                here.sendall(len(made).to_bytes(2, "big") + made)

    for one in (by_udp, by_tcp):
        threading.Thread(target=one, daemon=True).start()
    try:
        yield f"127.0.0.1:{udp.getsockname()[1]}"
    finally:
        udp.close()
        tcp.shutdown(socket.SHUT_RDWR)
        tcp.close()


@contextmanager
def list_server() -> Iterator[tuple[str, dict[str, bytes]]]:
    """Serve revocation lists, answers of responders and issuers by HTTP; what is not there is 404."""
    held: dict[str, bytes] = {}

    class Lists(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = held.get(self.path)
            self.send_response(200 if data is not None else 404)
            self.end_headers()
            self.wfile.write(data or b"")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Lists)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", held
    finally:
        server.shutdown()
        server.server_close()


def der(pair: Pair) -> bytes:
    return pair.certificate.public_bytes(Encoding.DER)
