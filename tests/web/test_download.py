"""POST /download as bytes on the wire, and its bad endings."""

import asyncio
import hashlib
import re
from contextlib import suppress

import aiohttp
import pytest

from gateway.wire import multipart
from tests.web.conftest import Front, Start, until


async def asked(
    front: Front, scenario: str, version: str = "1.1"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A request over a raw socket."""
    reader, writer = await front.connect()
    body = b'{"url": "%s", "content_type": "ORIGINAL"}' % front.origin.url(scenario).encode()
    writer.write(
        b"POST /download HTTP/%s\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n"
        % (version.encode(), len(body))
    )
    writer.write(body)
    return reader, writer


async def chunk(reader: asyncio.StreamReader) -> bytes:
    """One HTTP chunk; empty at the end of the body."""
    size = int(await reader.readuntil(b"\r\n"), 16)
    data = await reader.readexactly(size)
    assert await reader.readexactly(2) == b"\r\n"
    return data


@pytest.mark.parametrize("name", ["video", "photo3"])
async def test_each_delimiter_with_its_head_is_one_http_chunk(front: Front, name: str) -> None:
    reader, writer = await asked(front, name)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nTransfer-Encoding: chunked\r\n" in head
    assert b"Content-Encoding" not in head
    (boundary,) = re.findall(rb"\r\nContent-Type: multipart/x-mixed-replace; boundary=(\w+)\r\n", head)
    chunks = [one async for one in _chunks(reader)]
    writer.close()
    heads = [one for one in chunks if b"--" + boundary + b"\r\n" in one]
    parts = front.origin.parts(name)
    assert len(heads) == len(parts)
    for number, one in enumerate(heads):
        lead = b"" if number == 0 else b"\r\n"
        assert len(one) < 1024
        assert re.fullmatch(
            lead + rb"--" + boundary + rb"\r\nContent-Type: [\w/]+\r\nContent-Length: \d+\r\n"
            rb"Content-Location: /media/[\w-]+\.[\w-]+/[\w.]+\r\n"
            rb'Content-Disposition: attachment; filename="[\w.]+"\r\n\r\n',
            one,
        )
    assert chunks[-1] == b"\r\n--" + boundary + b"--\r\n"
    payload = b"".join(one for one in chunks if one not in heads and one != chunks[-1])
    assert payload == b"".join(parts)


async def _chunks(reader: asyncio.StreamReader):  # type: ignore[no-untyped-def]
    while data := await chunk(reader):
        yield data


async def test_http_1_0_gets_a_plain_body_that_ends_with_the_connection(front: Front) -> None:
    reader, writer = await asked(front, "photo3", "1.0")
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"Transfer-Encoding" not in head
    assert b"Connection: keep-alive" not in head
    body = await reader.read()
    writer.close()
    boundary = re.findall(rb"boundary=(\w+)", head)[0].decode()
    assert [part.body for part in multipart.parts(body, boundary)] == front.origin.parts("photo3")


@pytest.mark.parametrize(
    "name", ["cdn_dies", "cdn_dies_end", "cdn_short", "cdn_untold_cut", "cdn_hangs", "photo_dies"]
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_cut_origin_never_yields_a_clean_end(start: Start, name: str, version: str) -> None:
    front = await start(stall_s=0.5)
    reader, writer = await asked(front, name, version)
    head = await reader.readuntil(b"\r\n\r\n")
    assert b" 200 OK" in head
    body = b""
    reset = False
    try:
        async with asyncio.timeout(20):
            while data := await reader.read(65536):
                body += data
    except ConnectionResetError:
        reset = True
    writer.close()
    # the last chunk is missing, or without chunks the connection was reset
    assert not body.endswith(b"0\r\n\r\n")
    assert reset or version == "1.1"
    assert b"--\r\n" not in body[-8:]


@pytest.mark.parametrize("name", ["cdn_dies", "cdn_short", "photo_dies"])
async def test_http_clients_see_a_cut(front: Front, name: str) -> None:
    async with front.download(name) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


async def test_a_broken_part_is_not_cached(front: Front) -> None:
    for _ in range(2):
        async with front.download("cdn_dies") as response:
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()
        assert not front.gateway.spools._entries


async def test_a_silent_origin_is_a_timeout_before_the_head(start: Start) -> None:
    front = await start(stall_s=0.5)
    async with front.download("cdn_silent") as response:
        body = await response.json()
    assert (response.status, body["code"]) == (500, "UPSTREAM_TIMEOUT")


async def test_a_client_that_leaves_ends_the_origin_read(front: Front) -> None:
    front.origin.pace(200_000)
    reader, writer = await asked(front, "big")
    await reader.readexactly(100_000)
    assert front.origin.open_reads == 1
    writer.transport.abort()
    await until(lambda: front.origin.open_reads == 0)
    assert front.origin.bytes_sent["big"] < 4_000_000


async def test_one_client_leaving_does_not_disturb_another(front: Front) -> None:
    front.origin.pace(4_000_000)
    stays = asyncio.ensure_future(read(front, "big"))
    await until(lambda: front.origin.open_reads == 1)
    reader, writer = await asked(front, "big")
    await reader.readexactly(10_000)
    writer.transport.abort()
    assert await stays == hashlib.sha256(front.origin.parts("big")[0]).digest()
    assert front.origin.hits["media:big"] == 1


async def test_many_clients_of_one_post_cost_one_extraction_and_one_read(front: Front) -> None:
    front.origin.pace(8_000_000)
    digests = await asyncio.gather(*(read(front, "big") for _ in range(12)))
    assert set(digests) == {hashlib.sha256(front.origin.parts("big")[0]).digest()}
    assert front.origin.hits["media:big"] == 1
    assert front.origin.hits["page:7400000000000000005"] == 1


async def test_a_slow_client_does_not_hold_the_origin(front: Front) -> None:
    reader, writer = await asked(front, "big")
    await reader.readexactly(1000)
    await until(lambda: front.origin.bytes_sent["big"] == len(front.origin.parts("big")[0]))
    await until(lambda: front.origin.open_reads == 0)
    writer.transport.abort()


async def test_a_finished_part_is_served_again_without_the_origin(front: Front) -> None:
    for _ in range(3):
        assert await read(front, "video") == hashlib.sha256(front.origin.parts("video")[0]).digest()
    assert front.origin.hits["media:video"] == 1


async def test_media_arrive_while_they_are_still_read(front: Front) -> None:
    async with front.download("cdn_hangs") as response:
        assert response.status == 200
        first = await response.content.readexactly(40_000)
        assert front.origin.open_reads == 1
        front.origin.release()
        rest = await response.read()
    assert front.origin.parts("cdn_hangs")[0] in first + rest


async def test_clients_at_random_speeds_that_leave_at_random_leave_nothing_open(front: Front) -> None:
    async def hasty(n: int) -> None:
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(0.01 * (n % 20)):
                await read(front, ("big", "photo3", "video")[n % 3])

    await asyncio.gather(*(hasty(n) for n in range(60)))
    await until(lambda: front.origin.open_reads == 0)
    await until(lambda: not [e for e in front.gateway.spools._entries.values() if e.filling.waiters])
    assert await read(front, "big") == hashlib.sha256(front.origin.parts("big")[0]).digest()


async def read(front: Front, scenario: str) -> bytes:
    """The SHA-256 of a video part, as a multipart client reads it."""
    async with front.download(scenario) as response:
        assert response.status == 200
        reader = aiohttp.MultipartReader.from_response(response)
        part = await reader.next()
        assert isinstance(part, aiohttp.BodyPartReader)
        digest = hashlib.sha256()
        while data := await part.read_chunk(1 << 16):
            digest.update(data)
        while await reader.next() is not None:
            pass
        return digest.digest()


async def test_a_client_that_takes_nothing_is_disconnected(start: Start) -> None:
    front = await start(client_stall_s=0.5)
    reader, writer = await asked(front, "big64")
    await reader.readexactly(1000)
    await until(lambda: not [e for e in front.gateway.spools._entries.values() if e.filling.waiters])
    with pytest.raises((asyncio.IncompleteReadError, ConnectionResetError)):
        await reader.readexactly(len(front.origin.parts("big64")[0]))
    writer.close()


async def test_a_read_that_never_ends_has_a_deadline(start: Start) -> None:
    front = await start(part_s=0.7)
    front.origin.pace(100_000)
    async with front.download("big") as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    await until(lambda: front.origin.open_reads == 0)


async def test_http_1_0_ends_with_the_connection_even_when_it_would_be_kept(front: Front) -> None:
    reader, writer = await front.connect()
    body = b'{"url": "%s", "content_type": "ORIGINAL"}' % front.origin.url("photo3").encode()
    writer.write(
        b"POST /download HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    writer.write(body + b"GET /live HTTP/1.0\r\n\r\n")
    async with asyncio.timeout(10):
        answer = await reader.read()
    assert answer.endswith(b"--\r\n")
    writer.close()
