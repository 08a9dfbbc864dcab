"""The one place that makes an error answer, and the one line logged per request.

Always: before the head a failure is an answer in the shape of the dialect that owns the path;
after the head it is a broken connection, never a clean end.
"""

import asyncio
import secrets
import socket
import struct
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import msgspec
import orjson
import structlog
from aiohttp import HttpVersion11, web

from gateway.errors import BodyTooLarge, Busy, GatewayError, Internal, MethodNotAllowed, NotFound, OutOfRange
from gateway.tracing import Span
from gateway.web.auth import CALLER
from gateway.web.keys import GATEWAY
from gateway.wire import ranges

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Shape = Callable[[GatewayError, str], tuple[int, Any]]
Around = Callable[[web.Request, GatewayError, Any], Any]

HEAD = web.RequestKey("head", web.StreamResponse)  # the prepared answer, once its head is on the way
BEGAN = web.RequestKey("began", float)  # on the clock that only goes on
END = web.RequestKey("end", str)  # how a stream ended, where the status does not tell
ID = web.RequestKey("request_id", str)
SENT = web.RequestKey("sent", int)  # bytes of a stream's body, framing included
WAITING = web.RequestKey("waiting", bool)  # whether the client sends its body only once it is told to

OTHER = "other"  # what metrics call a path of no route: whatever callers think of

log = structlog.get_logger()


class Requests:
    """The requests that are open."""

    def __init__(self) -> None:
        self._open: dict[int, web.Request] = {}  # by identity: requests have no hash
        self._none = asyncio.Event()
        self._none.set()
        self.breaking = False

    @contextmanager
    def one(self, request: web.Request) -> Iterator[None]:
        """Holds a request while it is open."""
        self._open[id(request)] = request
        self._none.clear()
        try:
            yield
        finally:
            del self._open[id(request)]
            if not self._open:
                self._none.set()

    def __len__(self) -> int:
        """How many are open."""
        return len(self._open)

    @property
    def streams(self) -> int:
        """How many are being streamed to."""
        heads = (request.get(HEAD) for request in self._open.values())
        return sum(head is not None and not isinstance(head, web.Response) for head in heads)

    @property
    def sending_bytes(self) -> int:
        """What open streams have sent so far."""
        return sum(request.get(SENT, 0) for request in self._open.values())

    def break_off(self) -> None:
        """Breaks every stream, before aiohttp would end it as if it were whole; none begins any more."""
        self.breaking = True
        for request in self._open.values():
            if request.get(HEAD) is not None:
                break_off(request)

    async def none(self) -> None:
        """Waits until no request is open."""
        await self._none.wait()


OPEN = web.AppKey("open", Requests)


class Dialect(msgspec.Struct, frozen=True):
    """Who answers on some paths: how an error is told there, and what is told beside it of its request."""

    name: str
    shape: Shape
    around: Around | None = None


def native(error: GatewayError, request_id: str) -> tuple[int, Any]:
    """The native shape of an error."""
    return error.status, {"error": {"code": error.code, "message": error.message, "request_id": request_id}}


NATIVE = Dialect("native", native)


def edge(dialect_of: Callable[[str], Dialect]) -> Any:
    """The outermost middleware; `dialect_of` names the dialect that owns a path."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        with request.app[OPEN].one(request), _traced(request) as span:
            _bound(request)
            response = await answered(request, handler)
            span.say(status=response.status)
            return response

    async def answered(request: web.Request, handler: Handler) -> web.StreamResponse:
        request_id = request[ID] = str(uuid.uuid4())
        began = request[BEGAN] = time.monotonic()
        dialect = dialect_of(request.path)
        structlog.contextvars.bind_contextvars(request_id=request_id)
        end = "ok"
        response: web.StreamResponse | None = None
        try:
            response = await handler(request)
            end = request.get(END, end)
            return response
        except asyncio.CancelledError:
            end = "client left"  # or the shutdown's deadline has passed
            if request.get(HEAD) is not None:
                break_off(request)
            raise
        except (ConnectionError, TimeoutError) as error:
            if request.get(HEAD) is None:
                end, response = "INTERNAL_ERROR", _answer(request, dialect, _foreseen(error))
                return response
            break_off(request)
            end, response = (
                "client stalled" if isinstance(error, TimeoutError) else "client left",
                request[HEAD],
            )
            return response
        except Exception as error:
            failure = _foreseen(error)
            end = failure.code
            if request.get(HEAD) is not None:
                break_off(request)
                end, response = f"broken: {failure.code}", request[HEAD]
            else:
                response = _answer(request, dialect, failure, error)
            return response
        finally:
            seconds = time.monotonic() - began
            status = response.status if response is not None else None
            sent = body_bytes(request, response)
            route = _route(request)
            request.app[GATEWAY].metrics.request(
                OTHER if route is None else f"{request.method} {route}",
                dialect.name,
                str(status or "none"),
                seconds=seconds,
                sent_bytes=sent,
            )
            caller = request.get(CALLER)
            log.info(
                "request",
                method=request.method,
                path=request.path if route is None else route,
                dialect=dialect.name,
                account=caller.account.name if caller is not None else None,
                address=caller.address if caller is not None else request.remote,
                status=status,
                bytes=sent,
                ms=round(seconds * 1000),
                end=end,
            )
            structlog.contextvars.unbind_contextvars("request_id", "account")

    return middleware


def body_bytes(request: web.Request, response: web.StreamResponse | None) -> int:
    """Bytes of the answer's body: of a stream those that were sent, of a plain answer those that will be."""
    sent: int | None = request.get(SENT)
    if sent is not None:
        return sent
    plain = isinstance(response, web.Response) and request.method != "HEAD"
    return (response.content_length or 0) if response is not None and plain else 0


async def remember_head(request: web.Request, response: web.StreamResponse) -> None:
    """A signal handler: from here on, a failure breaks the connection.

    Raises Busy for a stream that would begin when streams have been broken.
    """
    if request.app[OPEN].breaking and not isinstance(response, web.Response):
        raise Busy("The server is stopping.")
    request[HEAD] = response
    if request.get(WAITING) or request.content.exception() is not None:
        response.force_close()  # its body may never come, be what comes next, or have no end to be found
        response.headers["Connection"] = "close"
    response.headers["Server"] = "clipwire"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Request-Id"] = request.get(ID) or secrets.token_hex(8)


def break_off(request: web.Request) -> None:
    """Ends the connection so that the body is seen to be cut.

    With HTTP/1.1 the missing last chunk tells, and what was sent still arrives; with HTTP/1.0 the
    end of the body is the close, so only a reset tells.
    """
    transport = request.transport
    if transport is None:
        return
    if request.version < HttpVersion11 and (sock := transport.get_extra_info("socket")) is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def _traced(request: web.Request) -> AbstractContextManager[Span]:
    """The request as a span, of the caller's trace where it is part of one."""
    tracing = request.app[GATEWAY].tracing
    if not tracing.on:
        return tracing.span("")
    of = request.headers.get("traceparent")
    name = f"{request.method} {_route(request) or OTHER}"
    return tracing.span(name, of=None if of is None else {"traceparent": of})


def _route(request: web.Request) -> str | None:
    """The path of the table of routes, without what a caller puts into it; None where there is no route."""
    resource = request.match_info.route.resource
    return None if resource is None else resource.canonical


def _bound(request: web.Request) -> None:
    """A client that acknowledges nothing, or takes nothing, is dropped by the kernel: short answers too."""
    sock = request.transport.get_extra_info("socket") if request.transport else None
    if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
        stall_ms = int(request.app[GATEWAY].settings.client_stall_s * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, stall_ms)


def _foreseen(error: Exception) -> GatewayError:
    """The error as one of ours; what was not foreseen is logged with its traceback, here only."""
    if isinstance(error, GatewayError):
        return error
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        return BodyTooLarge()
    if isinstance(error, web.HTTPNotFound):
        return NotFound()
    if isinstance(error, web.HTTPMethodNotAllowed):
        return MethodNotAllowed(f"This address answers {', '.join(sorted(error.allowed_methods))} only.")
    log.error("not foreseen", exc_info=error)
    return Internal()


def _answer(
    request: web.Request, dialect: Dialect, error: GatewayError, cause: Exception | None = None
) -> web.Response:
    status, body = dialect.shape(error, request[ID])
    if dialect.around is not None:
        body = dialect.around(request, error, body)
    answer = web.Response(status=status, body=orjson.dumps(body), content_type="application/json")
    if error.retry_after_s is not None:
        answer.headers["Retry-After"] = str(error.retry_after_s)
    if isinstance(error, OutOfRange):
        answer.headers["Content-Range"] = ranges.content_range(None, error.total)
    if isinstance(cause, web.HTTPMethodNotAllowed):
        answer.headers["Allow"] = cause.headers["Allow"]
    return answer
