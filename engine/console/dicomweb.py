"""DICOMweb: studies in and out by HTTP, with the access control and the audit table of the FHIR endpoint
(PS3.18 10).

In: HTTP below `/dicomweb` with a bearer token, or with Basic authentication whose password is the token:
many clients of DICOMweb speak nothing else. Out: searches, objects, metadata, frames and pictures, from the
index and the object store; what is stored goes the way of C-STORE. Every access is recorded before the first
byte of its answer; UIDs and what was searched for stand sealed there.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import BinaryIO, Protocol, TypeVar
from urllib.parse import parse_qsl

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse

from engine.console import dicomweb_frames as pixels
from engine.console.callers import Callers
from engine.console.desk import problem
from engine.console.dicomweb_accept import json_wanted
from engine.console.dicomweb_answer import Answer, uid
from engine.console.dicomweb_rendered import rendered, thumbnail
from engine.console.dicomweb_retrieve import Held, metadata, retrieve
from engine.console.dicomweb_search import Finder, search
from engine.console.dicomweb_store import Intake, Takes
from engine.console.dicomweb_uri import as_rest
from engine.console.exchange import Ask, Reply
from engine.console.providers import ProviderDown
from engine.console.recorder import Recorder
from engine.console.refusals import Refusal
from engine.console.sight import Caller
from engine.kernel.errors import HubError, place_of
from engine.kernel.imaging import HeldInstance, Peer

__all__ = ["DicomWeb", "Index", "OpenObjects", "add_dicomweb"]

log = logging.getLogger("hub.console")
R = TypeVar("R")

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
_MOST_PAIRS = 100
_PIECE = 1 << 18  # bytes of a body that are passed on at one time
_PRIMED = 2  # pieces of a stream that are made before the answer begins
_LEVELS = {"studies": "STUDY", "series": "SERIES", "instances": "IMAGE"}
_WHAT = ("study", "series", "instance")


class Index(Finder, Protocol):
    """What is asked of the index."""

    def instances(
        self, study: str = "", series: str = "", sop: Sequence[str] = (), attributes: bool = True
    ) -> Sequence[HeldInstance]:
        """Return instances that are held, in their order; without `attributes`, with empty datasets."""


class OpenObjects(Protocol):
    """What is asked of the object store."""

    def open(self, address: str) -> BinaryIO:
        """Open an object to read."""


@dataclass(frozen=True, slots=True)
class DicomWeb:
    """What DICOMweb is served from."""

    index: Index
    objects: OpenObjects
    takes: Takes | None = None  # None: nothing is stored by DICOMweb
    channel: str = ""  # the node that what is stored belongs to
    most: int = 4 << 30  # bytes of one object

    def intake(self, ask: Ask, who: str, address: str) -> Intake:
        """Begin to store. Raises Refusal."""
        match ask.path:
            case ("studies",):
                study = ""
            case ("studies", said):
                study = uid(said)
            case _:
                raise Refusal(405, "objects are stored at studies", headers={"Allow": "GET, HEAD"})
        if self.takes is None:
            raise Refusal(405, "objects are not stored here", headers={"Allow": "GET, HEAD"})
        json_wanted(ask)
        peer = Peer(self.channel, _title(who), address)
        return Intake(self.takes, peer, study, self.most, ask.headers.get("content-type", ""))

    def answer(self, ask: Ask) -> Answer:
        """Answer a GET. Raises Refusal."""
        if ask.path == ("wado",):
            ask = as_rest(ask)
        match ask.path:
            case ("studies" | "series" | "instances" as kind,):
                return search(self.index, ask, _LEVELS[kind])
            case ("studies", study, "series" | "instances" as kind):
                return search(self.index, ask, _LEVELS[kind], uid(study))
            case ("studies", study, "series", series, "instances"):
                return search(self.index, ask, "IMAGE", uid(study), uid(series))
            case ("studies", study, *rest) if rest[:1] != ["series"]:
                return self._resource(ask, rest, study)
            case ("studies", study, "series", series, *rest) if rest[:1] != ["instances"]:
                return self._resource(ask, rest, study, series)
            case ("studies", study, "series", series, "instances", sop, *rest):
                return self._resource(ask, rest, study, series, sop)
        raise Refusal(404, "there is nothing at this address of DICOMweb")

    def _held(self, attributes: bool, *uids: str) -> Held:
        for one in uids:
            uid(one)
        study, series, sop = (*uids, "", "")[:3]
        found = self.index.instances(study, series, (sop,) if sop else (), attributes)
        what = _WHAT[len(uids) - 1]
        if not found:
            raise Refusal(404, f"there is no such {what}", what=what)
        return Held(what, uids, found)

    def _resource(self, ask: Ask, rest: Sequence[str], *uids: str) -> Answer:
        open_ = self.objects.open
        held = self._held(rest == ["metadata"], *uids)
        match rest:
            case []:
                return retrieve(held, ask, open_)
            case ["metadata"]:
                return metadata(held, ask, open_)
            case ["frames", numbers] if held.what == "instance":
                return pixels.frames(held, ask, open_, pixels.frame_numbers(numbers))
            case ["frames", numbers, "rendered"] if held.what == "instance":
                return rendered(held, ask, open_, pixels.frame_numbers(numbers))
            case ["frames", number, "thumbnail"] if held.what == "instance":
                return thumbnail(held, ask, open_, pixels.frame_numbers(number)[0])
            case ["rendered"] if held.what == "instance":
                return rendered(held, ask, open_)
            case ["thumbnail"]:
                return thumbnail(held, ask, open_)
            case ["bulkdata", _, *_] if held.what == "instance":
                return pixels.bulk_data(held, ask, open_, rest[1:])
        raise Refusal(404, f"there is nothing at this address of the {held.what}")


def _title(who: str) -> str:
    """Return the name of a token as an AE title can be: it stands for one with what is stored (PS3.5 6.2)."""
    return who.encode("ascii", "replace").decode().replace("\\", "?")[:16]


@dataclass(frozen=True, slots=True)
class _Counter:
    """Who is it, what do they get, and the audit row before they get it."""

    web: DicomWeb
    callers: Callers
    recorder: Recorder

    def who(self, authorization: str, peer: str) -> Caller | Reply:
        """Return who asks, or what a stranger is told."""

        def known() -> Caller | Reply:
            caller = self.callers.who(authorization, basic=True)
            return self.stranger(authorization, peer) if caller is None else caller

        return self.safely(known)

    def get(self, ask: Ask, caller: Caller) -> Reply:
        def answer() -> Reply:
            caller.needs("dicomweb.read")
            if ask.method not in ("GET", "HEAD"):
                stores = self.web.takes is not None and ask.path[:1] == ("studies",) and len(ask.path) < 3
                allow = "GET, HEAD, POST" if stores else "GET, HEAD"
                raise Refusal(405, "this method is not for this address", headers={"Allow": allow})
            reply = self.web.answer(ask)
            if reply.stream is not None:
                # what fails at once is answered so, and is no answer that breaks off
                begun = list(islice(reply.stream, _PRIMED))
                reply.stream = chain(begun, reply.stream)
            return reply

        return self.recorded(ask, caller.who, answer)

    def begin(self, ask: Ask, caller: Caller, peer: str) -> Intake | Reply:
        """Begin to store, or say why not before the body is read."""
        begun: list[Intake] = []

        def answer() -> Reply:
            caller.needs("dicomweb.store", self.web.channel)
            begun.append(self.web.intake(ask, caller.who, peer))
            return Reply(200)

        reply = self.recorded(ask, caller.who, answer)
        return begun[0] if begun else reply

    def end(self, ask: Ask, caller: Caller, intake: Intake) -> Reply:
        """Answer what became of what was stored."""

        def answer() -> Reply:
            intake.close()
            return intake.answer(self.web.index, ask.base)

        return self.recorded(ask, caller.who, answer)

    def recorded(self, ask: Ask, who: str, answer: Callable[[], Reply]) -> Reply:
        """Answer, and record it before anybody sees it; where that cannot be done, nobody does."""

        def answered() -> Reply:
            try:
                reply = answer()
            except Refusal as refused:
                reply = problem(refused.status, refused.text, refused.headers)
                words = " ".join(f"{name}={value}" for name, value in ask.query)
                reply.what = refused.what  # what was asked for may hold patient data: sealed, never plain
                reply.detail = f"{ask.method} {'/'.join(ask.path)} {words}"
            if reply.action:
                self.recorder.access(who, "dicomweb", reply)
            return reply

        return self.safely(answered)

    def stranger(self, authorization: str, peer: str) -> Reply:
        error = ', error="invalid_token"' if authorization else ""

        self.recorder.stranger("dicomweb", peer)
        challenge = f'Bearer realm="hub"{error}, Basic realm="hub"'
        return problem(401, "a token is needed", {"WWW-Authenticate": challenge})

    def safely(self, answer: Callable[[], R]) -> R | Reply:
        try:
            return answer()
        except ProviderDown as e:
            log.error("%s", e)
            return problem(503, "the issuer of this token does not answer; try again", {"Retry-After": "10"})
        except HubError as e:
            log.error("%s", e)
            return problem(503, "the hub cannot get at what it holds; try again", {"Retry-After": "5"})
        except Exception as e:
            log.error("internal error %s", place_of(e))
            return problem(500, "a fault of the hub; its log says where", {})


def add_dicomweb(app: FastAPI, web: DicomWeb, callers: Callers, recorder: Recorder, proxy: str = "") -> None:
    """Serve DICOMweb below `/dicomweb`; `proxy` is the address that people type, where there is one."""
    counter = _Counter(web, callers, recorder)

    @app.api_route("/dicomweb", methods=_METHODS)
    @app.api_route("/dicomweb/{path:path}", methods=_METHODS)
    async def dicomweb(request: Request, path: str = "") -> Response:
        authorization = request.headers.get("authorization", "")
        peer = request.client.host if request.client else ""
        who = await run_in_threadpool(counter.who, authorization, peer)
        if isinstance(who, Reply):
            return _response(who)
        ask = _ask(request, tuple(part for part in path.split("/") if part), proxy)
        if ask.method == "POST":
            return _response(await _stored(request, counter, ask, who, peer))
        reply = await run_in_threadpool(counter.get, ask, who)
        return _response(reply, ask.method == "HEAD")


async def _stored(request: Request, counter: _Counter, ask: Ask, who: Caller, peer: str) -> Reply:
    """Pass a body on in pieces; what is on its way is forgotten where the body breaks off."""
    intake = await run_in_threadpool(counter.begin, ask, who, peer)
    if isinstance(intake, Reply):
        return intake
    gathered = bytearray()
    try:
        async for data in request.stream():
            gathered += data
            if len(gathered) >= _PIECE:
                await run_in_threadpool(intake.feed, bytes(gathered))
                gathered.clear()
        await run_in_threadpool(intake.feed, bytes(gathered))
    except ClientDisconnect:
        intake.cut()  # what has been stored of it is recorded, though nobody is answered
    except BaseException:
        intake.abandon()
        raise
    return await run_in_threadpool(counter.end, ask, who, intake)


def _ask(request: Request, path: tuple[str, ...], proxy: str) -> Ask:
    text = request.scope["query_string"].decode("latin-1")
    query = tuple(parse_qsl(text, keep_blank_values=True)) if text.count("&") < _MOST_PAIRS else (("", ""),)
    base = (proxy or str(request.base_url)).rstrip("/") + "/dicomweb"
    headers = {name.lower(): value for name, value in request.headers.items()}
    return Ask(request.method, path, query, headers, base=base)


def _response(reply: Reply, head: bool = False) -> Response:
    headers = {"Content-Type": reply.media, **reply.headers}
    stream = reply.stream if isinstance(reply, Answer) else None
    if isinstance(reply, Answer) and reply.length is not None:
        headers["Content-Length"] = str(reply.length)
    if stream is None or head:
        return Response(reply.body, reply.status, headers)
    return StreamingResponse(_flow(stream), reply.status, headers)


async def _flow(stream: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Give a stream that is read in threads on, piece by piece."""
    while (data := await run_in_threadpool(next, stream, None)) is not None:
        yield data
