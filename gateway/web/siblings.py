"""The gateways of one machine that share a port: what each has counted, put together.

Always: what was told is never less the next time: what one that died had counted when it was told last is
in a file, and goes on being told.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from gateway.metrics import Snapshot

WAIT_S = 2.0  # for one of them
BYTES_MAX = 8 << 20

_decoder = msgspec.msgpack.Decoder(Snapshot)


class Siblings:
    """A socket for each in a folder, at which it tells a snapshot."""

    def __init__(self, folder: Path, own: Callable[[], Awaitable[Snapshot]]) -> None:
        self._folder = folder
        self._own = own
        self._name = str(os.getpid())
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begins to tell its own."""
        self._server = await asyncio.start_unix_server(self._tell, self._folder / f"{self._name}.sock")

    async def close(self) -> None:
        """Tells its own no more, but what is counted stays."""
        if self._server is not None:
            self._keep(self._name, await self._own())
            self._server.close()
            with suppress(OSError):
                (self._folder / f"{self._name}.sock").unlink()

    async def all(self) -> list[Snapshot]:
        """Those of all; of who does not answer, what it had counted when it did."""
        names = {path.stem for path in self._folder.iterdir() if path.suffix in (".sock", ".counted")}
        return list(await asyncio.gather(*(self._of(name) for name in sorted(names | {self._name}))))

    async def _of(self, name: str) -> Snapshot:
        if name == self._name:
            found = await self._own()
        else:
            try:
                async with asyncio.timeout(WAIT_S):
                    found = await self._ask(name)
            except (OSError, TimeoutError, msgspec.DecodeError):
                return self._kept(name)
        self._keep(name, found)
        return found

    async def _ask(self, name: str) -> Snapshot:
        reader, writer = await asyncio.open_unix_connection(
            self._folder / f"{name}.sock", limit=BYTES_MAX
        )  # fmt: skip
        try:
            return _decoder.decode(await reader.read(-1))
        finally:
            writer.close()

    async def _tell(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(msgspec.msgpack.encode(await self._own()))
            await writer.drain()
        writer.close()

    def _keep(self, name: str, snapshot: Snapshot) -> None:
        draft = self._folder / f"{name}.{self._name}.draft"
        with suppress(OSError):  # the folder goes with the parent
            draft.write_bytes(msgspec.msgpack.encode(snapshot.counted))
            draft.replace(self._folder / f"{name}.counted")

    def _kept(self, name: str) -> Snapshot:
        try:
            return _decoder.decode((self._folder / f"{name}.counted").read_bytes())
        except (OSError, msgspec.DecodeError):
            return Snapshot()
