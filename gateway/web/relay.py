"""A spool's bytes to one client's socket, by the kernel and at the client's speed.

Always: what is sent raw follows what aiohttp has sent (its buffer is empty before), and an HTTP
chunk's size is written before exactly that many bytes. The bytes never pass through Python: the
file is sent by `sendfile(2)` on a duplicate of the socket's descriptor, which works alike under
asyncio and uvloop (uvloop's own `sendfile` reads and writes, at half the speed).
"""

import asyncio
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from gateway.media.spool import Spool
from gateway.web.middleware import SENT

PIECE_BYTES = 512 << 10  # in one call; a fast client must not keep the loop from the others
CHUNK_BYTES_MAX = 8 << 20  # in one HTTP chunk


class Relay:
    """Sends to the client of one request. `stall_s`: a client that takes nothing for so long has left."""

    def __init__(self, request: web.Request, response: web.StreamResponse, *, stall_s: float) -> None:
        self._request = request
        self._response = response
        self._stall_s = stall_s
        self._loop = asyncio.get_running_loop()

    async def write(self, data: bytes) -> None:
        """Sends bytes of ours. Raises TimeoutError when the client stalls, ConnectionError when it left."""
        async with asyncio.timeout(self._stall_s):
            await self._response.write(data)
        self._sent(len(data))

    async def end(self) -> None:
        """Ends the body. Raises as `write`."""
        async with asyncio.timeout(self._stall_s):
            await self._response.write_eof()

    async def emptied(self) -> None:
        """Waits until all that was written is with the kernel; then the socket is free. Raises as `write`."""
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError("the client left")
        transport.set_write_buffer_limits(high=0)
        async with asyncio.timeout(self._stall_s):
            while transport.get_write_buffer_size():
                if transport.is_closing():
                    raise ConnectionResetError("the client left")
                await self._request.writer.drain()
                await asyncio.sleep(0)

    async def spool(self, spool: Spool, start: int = 0, end: int | None = None) -> None:
        """Sends the spool's bytes from `start` to `end`, or to its end, while it may still be growing.

        Raises what broke the spool, after its last good byte; and as `write`.
        """
        transport = self._request.transport
        if transport is None:
            raise ConnectionResetError("the client left")
        if transport.get_extra_info("sslcontext") is not None or self._response.compression:
            await self._copied(spool, start, end)
            return
        with self._socket(transport) as sock:
            await self.emptied()
            at = start
            lead = b""
            async for size in spool.ready(start, end, CHUNK_BYTES_MAX):
                if self._response.chunked:
                    await self._raw(sock, b"%s%x\r\n" % (lead, size))
                    lead = b"\r\n"
                await self._file(sock, spool, at, size)
                at += size
                self._sent(size)
            await self._raw(sock, lead, more=False)

    def _sent(self, count: int) -> None:
        self._request[SENT] = self._request.get(SENT, 0) + count

    async def _copied(self, spool: Spool, start: int, end: int | None) -> None:
        async for chunk in spool.chunks(start, end):
            await self.write(chunk)

    @contextmanager
    def _socket(self, transport: asyncio.Transport) -> Iterator[socket.socket]:
        with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as sock:
            sock.setblocking(False)
            yield sock

    async def _raw(self, sock: socket.socket, data: bytes, *, more: bool = True) -> None:
        while data:
            try:
                # what follows at once goes into the same packet
                data = data[sock.send(data, socket.MSG_MORE if more else 0) :]
            except BlockingIOError:
                await self._writable(sock)

    async def _file(self, sock: socket.socket, spool: Spool, at: int, size: int) -> None:
        end = at + size
        while at < end:
            try:
                sent = os.sendfile(sock.fileno(), spool.fd, at, min(end - at, PIECE_BYTES))
            except BlockingIOError:
                await self._writable(sock)
                continue
            assert sent, "a spool is never shorter than its size"
            at += sent
            if at < end:
                await asyncio.sleep(0)

    async def _writable(self, sock: socket.socket) -> None:
        writable: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_writer(sock.fileno(), _wake, writable)
        try:
            async with asyncio.timeout(self._stall_s):
                await writable
        finally:
            self._loop.remove_writer(sock.fileno())


def _wake(sleeper: "asyncio.Future[None]") -> None:
    if not sleeper.done():
        sleeper.set_result(None)
