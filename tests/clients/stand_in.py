"""A stand-in for the gateway: a loopback server that answers one route with what a test gives it."""

import asyncio
import base64
import json
import re
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

B = "simple_boundary0123456789abcdef0123456789abcdef"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Ending = Callable[[web.Request], Awaitable[None]]


@asynccontextmanager
async def gateway(handler: Handler) -> AsyncIterator[str]:
    """Any request is answered by `handler`; the address to give to a client."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


@asynccontextmanager
async def raw(answer: bytes, *, torn: bool = False) -> AsyncIterator[str]:
    """Any request is answered with exactly these bytes, then a close, or a reset."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        await reader.readexactly(int(length[1]) if length else 0)
        writer.write(answer)
        await writer.drain()
        if torn:
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )
            writer.transport.abort()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def clean(request: web.Request) -> None:
    """The answer ends as HTTP says, whatever is missing of it."""


async def cut(request: web.Request) -> None:
    """The connection goes without a last chunk."""
    assert request.transport is not None
    request.transport.abort()


async def reset(request: web.Request) -> None:
    """The connection is torn down: bytes under way may be lost too."""
    assert request.transport is not None
    sock = request.transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    request.transport.abort()


async def silence(request: web.Request) -> None:
    """Nothing more comes until the client leaves."""
    await asyncio.Event().wait()


def parts(*pieces: bytes, ending: Ending = clean, meta: tuple[str, str] = ("title", "desc")) -> Handler:
    """Answers a download with these bytes."""
    return stream(headers(*meta), *pieces, ending=ending)


def headers(title: str, desc: str) -> dict[str, str]:
    """The head of a download's answer."""
    told = json.dumps({"title": title, "desc": desc}, ensure_ascii=False).encode()
    return {
        "Content-Type": f"multipart/x-mixed-replace; boundary={B}",
        "Content-Meta": base64.b64encode(told).decode(),
    }


def lines(*pieces: bytes, ending: Ending = clean) -> Handler:
    """Answers a transcription with these bytes."""
    return stream({"Content-Type": "application/x-ndjson"}, *pieces, ending=ending)


def stream(headers: dict[str, str], *pieces: bytes, ending: Ending = clean) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        await ending(request)
        return response

    return answer


def part(
    name: str, payload: bytes, *, first: bool = False, length: int | None = -1, link: str | None = None
) -> bytes:
    """A delimiter, a head and a payload; `length` None is not told, -1 is the true one."""
    told = len(payload) if length == -1 else length
    head = f"--{B}\r\nContent-Type: video/mp4\r\n" + (
        f"Content-Length: {told}\r\n" if told is not None else ""
    )
    head += f"Content-Location: {link}\r\n" if link is not None else ""
    head += f'Content-Disposition: attachment; filename="{name}"\r\n\r\n'
    return (b"" if first else b"\r\n") + head.encode() + payload


CLOSING = f"\r\n--{B}--\r\n".encode()
