"""A client's connection: aiohttp's, with a deadline for each head and our words for what is no HTTP.

Always: a head is whole within `head_s` of its first byte, or the connection ends; what is no HTTP is
answered once, and nothing behind it is read; a body whose framing breaks is broken for its reader at once.
"""

import asyncio
import secrets
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson
import structlog
from aiohttp import StreamReader, web
from aiohttp.http import HttpProcessingError, RawRequestMessage
from aiohttp.http_exceptions import LineTooLong

from gateway.errors import BadRequest, BodyTooSlow, GatewayError, HeadTooLarge, Internal
from gateway.web.middleware import native

KEEPALIVE_S = 75  # longer than the balancers in front, so that they close first
FIELD_BYTES_MAX = 8190  # of a header, or of the request line
FIELDS_MAX = 128

Left = Callable[[], None]

log = structlog.get_logger()


class Connection(web.RequestHandler):
    """One client's connection; calls `left` once it is over."""

    __slots__ = ("_arriving", "_clock", "_head_s", "_left")

    def __init__(self, server: web.Server, head_s: float, left: Left) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type]  # the middleware logs
            keepalive_timeout=KEEPALIVE_S,
            auto_decompress=False,  # a small body cannot become a large one
            max_line_size=FIELD_BYTES_MAX,
            max_field_size=FIELD_BYTES_MAX,
            max_headers=FIELDS_MAX,
        )
        self._head_s = head_s
        self._left = left
        self._clock: asyncio.TimerHandle | None = None  # runs while a head has begun and is not whole
        self._arriving: StreamReader | None = None  # the body that was begun last

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._messages:
            self._stop()
            message, body = self._messages[-1]
            if isinstance(message, RawRequestMessage):
                self._arriving = body
            else:
                self._broken()
        elif data and self._clock is None and self._idle():
            self._clock = self._loop.call_later(self._head_s, self._too_slow)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop()
        self._arriving = None
        super().connection_lost(exc)
        self._left()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what is no HTTP, or to a failure that the middleware has not seen."""
        if isinstance(exc, HttpProcessingError):
            log.info("not HTTP", reason=type(exc).__name__)  # not its text: it has the client's bytes
        else:
            log.error("not foreseen", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("a part of another answer was sent")
        failure = _foreseen(exc)
        head, body = _answer(failure)
        response = web.Response(status=failure.status, body=body, headers=head)
        response.force_close()
        return response

    def log_exception(self, *words: Any, **more: Any) -> None:
        """A body that broke after its answer is nobody's failure; the rest is told as ever."""
        if not isinstance(more.get("exc_info"), web.RequestPayloadError):
            super().log_exception(*words, **more)

    def _broken(self) -> None:
        """What came is no HTTP. Where a body was arriving it is that one's, else a request of its own."""
        if self._arriving is not None and not self._arriving.is_eof():
            self._messages.pop()  # its reader is told: two answers would be taken for those of two requests
            self._arriving.set_exception(web.RequestPayloadError("the framing is broken"))
            self._arriving.feed_eof()
        self.close()

    def _idle(self) -> bool:
        """Whether what comes is of a head: no request is at work, and no body is left of the last one."""
        return not (
            self._request_in_progress
            or self._messages
            or self._close
            or (self._arriving is not None and not self._arriving.is_eof())
        )

    def _too_slow(self) -> None:
        self._clock = None
        if self.transport is not None and self._idle():
            log.info("a head took too long", head_s=self._head_s)
            self.transport.write(plain(BodyTooSlow("The head of the request took too long.")))
            self.force_close()

    def _stop(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None


def plain(error: GatewayError) -> bytes:
    """A whole answer that ends its connection, for those who have not come as far as a request."""
    fields, body = _answer(error)
    fields |= {"Content-Length": str(len(body)), "Connection": "close"}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n{head}\r\n".encode() + body


def _foreseen(exc: BaseException | None) -> GatewayError:
    if isinstance(exc, LineTooLong) or "Too many headers" in str(exc):
        return HeadTooLarge()
    if isinstance(exc, HttpProcessingError):
        return BadRequest("This is no HTTP that the server understands.")
    return Internal()


def _answer(error: GatewayError) -> tuple[dict[str, str], bytes]:
    request_id = secrets.token_hex(8)
    head = {
        "Content-Type": "application/json", "Server": "clipwire",
        "X-Content-Type-Options": "nosniff", "X-Request-Id": request_id,
    }  # fmt: skip
    if error.retry_after_s is not None:
        head["Retry-After"] = str(error.retry_after_s)
    return head, orjson.dumps(native(error, request_id)[1])
