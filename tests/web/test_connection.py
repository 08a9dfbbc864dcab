"""What comes over a raw socket: heads that are none, bodies framed twice, trickles, crowds."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.web.conftest import Front, Start, until

LIVE = b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = LIVE[:-2] + b"Connection: close\r\n\r\n"
NO_HTTP = "This is no HTTP that the server understands."


class Answers(list[tuple[int, dict[str, str], bytes]]):
    """All that came until the server closed."""


@asynccontextmanager
async def connected(front: Front) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await front.connect()
    try:
        yield reader, writer
    finally:
        writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split(" ")[1]), headers, await reader.readexactly(int(headers["content-length"]))


async def asked(front: Front, *sent: bytes) -> Answers:
    """What the server says to these bytes, until it closes."""
    async with asyncio.timeout(10), connected(front) as (reader, writer):
        for one in sent:
            writer.write(one)
            await asyncio.sleep(0.01)
        answers = Answers()
        try:
            while True:
                answers.append(await answer(reader))
        except (asyncio.IncompleteReadError, ConnectionError):
            return answers


def post(*lines: bytes, body: bytes = b"{}") -> bytes:
    return b"\r\n".join((b"POST /ping HTTP/1.1", b"Host: localhost", *lines, b"", body))


async def alive(front: Front) -> None:
    async with front.session.get(front.url + "/live") as response:
        assert response.status == 200


# What is no HTTP


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"HELO example\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", 400),
        (b"GET http://[::bad/ HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # without a host
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-\x00: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX-\xff\xfe: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX A: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n folded\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n"
            + b"".join(b"X-%d: 1\r\n" % n for n in range(500))
            + b"\r\n",
            431,
        ),
    ],
    ids=lambda value: repr(value[:40]) if isinstance(value, bytes) else None,
)
async def test_what_is_no_http_is_told_once_in_our_shape(
    front: Front,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    sent: bytes,
    status: int,
) -> None:
    ((told, headers, body),) = await asked(front, sent)
    error = json.loads(body)["error"]
    assert (told, error["code"]) == (status, "VALIDATION_ERROR" if status == 400 else "HEAD_TOO_LARGE")
    assert status == 431 or error["message"] == NO_HTTP
    assert headers["x-request-id"] == error["request_id"]
    assert headers.get("connection", "close") == "close"
    assert headers["content-type"].startswith("application/json")
    assert not [one for one in caplog.records if one.levelno > logging.INFO]
    assert "Traceback" not in capfd.readouterr().err
    await alive(front)


async def test_a_header_of_odd_bytes_is_no_failure(front: Front) -> None:
    for value in (b"\xff\xfe\x80", b"\xc3\xa9", b"\x7f", b"a" * 8000, b"%s%n${jndi:x}"):
        for name in (
            b"X-Odd",
            b"Accept",
            b"X-API-Key",
            b"Authorization",
            b"Content-Type",
            b"Range",
            b"Cookie",
        ):
            head = (
                b"GET /transcripts HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                + name
                + b": "
                + value
            )
            ((status, _, body),) = await asked(front, head + b"\r\n\r\n")
            assert status in (200, 400, 401, 403), (name, value, body)


# Two ways to frame one body


@pytest.mark.parametrize(
    "sent",
    [
        post(b"Content-Length: 2", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
        post(b"Transfer-Encoding: chunked", b"Content-Length: 2", body=b"0\r\n\r\n"),
        post(b"Content-Length: 2", b"Content-Length: 30"),
        post(b"Content-Length: 2", b"Content-Length: 2"),
        post(b"Content-Length: +2"),
        post(b"Content-Length: -2"),
        post(b"Content-Length: 0x2"),
        post(b"Content-Length: 2, 2"),
        post(b"Content-Length: 99999999999999999999999"),
        post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"),
        post(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n"),
        post(b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding: identity", body=b"0\r\n\r\n"),
        post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n"),
    ],
    ids=lambda sent: repr(sent[32:90]),
)
async def test_a_body_framed_in_two_ways_is_refused_and_nothing_behind_it_is_a_request(
    front: Front, sent: bytes
) -> None:
    ((status, headers, _),) = await asked(front, sent + LAST)
    assert status == 400
    assert headers.get("connection", "close") == "close"


@pytest.mark.parametrize(
    "chunks",
    [b"2;\n\r\n{}\r\n", b"2\n{}\n0\n\n", b"-2\r\n{}\r\n", b"0x2\r\n{}\r\n", b"2 \r\r\n{}\r\n",
     b"fffffffffffffffff\r\n{}", b"2\r\n{}XX0\r\n\r\n", b"\r\n\r\n", b"zz\r\n"],
)  # fmt: skip
async def test_chunks_that_are_none_end_the_connection(front: Front, chunks: bytes) -> None:
    for sent in (
        (post(b"Transfer-Encoding: chunked", body=chunks) + LAST,),
        (post(b"Transfer-Encoding: chunked", body=b"1\r\n{\r\n"), chunks + LAST),
    ):
        for path in (b"/download", b"/transcribe", b"/ping"):
            answers = await asked(front, *(one.replace(b"/ping", path) for one in sent))
            assert len(answers) == 1, answers  # the second would be another's
            status, _, body = answers[0]
            assert status in (400, 422, 503) if path != b"/ping" else status in (200, 400), body


async def test_a_body_whose_framing_breaks_is_told_at_once(start: Start) -> None:
    """It waits for no deadline: those of this gateway are longer than the test."""
    front = await start(body_s=600, upload_stall_s=600)
    sent = post(b"Transfer-Encoding: chunked", body=b"1\r\n{\r\n").replace(b"/ping", b"/transcribe")
    async with asyncio.timeout(20), connected(front) as (reader, writer):
        writer.write(sent)
        await asyncio.sleep(0.1)
        writer.write(b"ZZ\r\n")
        status, headers, body = await answer(reader)
        assert (status, headers["connection"]) == (400, "close")
        assert "framing" in json.loads(body)["error"]["message"]
        assert await reader.read() == b""


async def test_requests_behind_one_another_are_answered_in_order(front: Front) -> None:
    piped = b"".join(
        b"GET /transcripts/none-%d HTTP/1.1\r\nHost: localhost\r\n\r\n" % n
        if n % 2
        else post(b"Content-Length: 2")
        for n in range(100)
    )
    async with asyncio.timeout(20), connected(front) as (reader, writer):
        writer.write(piped)
        assert [(await answer(reader))[0] for _ in range(100)] == [200, 404] * 50


async def test_what_follows_an_upload_is_the_next_request(front: Front) -> None:
    """Without a model an upload is refused before it is read: its bytes are still no request."""
    inner = b"DELETE /codes/x HTTP/1.1\r\nHost: localhost\r\n\r\n"
    lines = (b"Content-Type: audio/mpeg", b"Content-Length: %d" % len(inner))
    upload = post(*lines, body=inner).replace(b"/ping", b"/transcribe")
    answers = await asked(front, upload + LAST)
    assert [status for status, _, _ in answers] in ([503, 200], [503])


# Too slow, too many


async def test_a_head_that_trickles_is_ended(start: Start) -> None:
    front = await start(head_s=0.5)
    for before in (b"", LIVE):
        async with asyncio.timeout(20), connected(front) as (reader, writer):
            writer.write(before)
            if before:
                assert (await answer(reader))[0] == 200
            ended = asyncio.ensure_future(reader.read())
            writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\nX: ")
            while not ended.done():  # a byte now and then does not help
                writer.write(b"a")
                await asyncio.sleep(0.05)
            await asyncio.gather(ended, return_exceptions=True)  # what was sent too late is a reset
    await until(lambda: not _open(front))


async def test_a_head_that_stops_is_told(start: Start) -> None:
    front = await start(head_s=0.2)
    async with asyncio.timeout(20), connected(front) as (reader, writer):
        writer.write(LIVE[:-2])
        status, headers, body = await answer(reader)
        assert (status, headers["connection"]) == (408, "close")
        assert json.loads(body)["error"]["code"] == "REQUEST_TIMEOUT"
        assert await reader.read() == b""


async def test_a_connection_that_says_nothing_is_not_hurried(start: Start) -> None:
    """Browsers open one ahead; and between two requests nothing is due."""
    front = await start(head_s=2)
    async with asyncio.timeout(20), connected(front) as (reader, writer):
        for _ in range(2):
            await asyncio.sleep(2.2)
            writer.write(LIVE[:10])
            await asyncio.sleep(0.05)
            writer.write(LIVE[10:])
            assert (await answer(reader))[0] == 200


async def test_one_too_many_of_an_address_is_told_and_has_its_place_when_another_leaves(start: Start) -> None:
    front = await start(connections_max=7, address_connections_max=3)
    inside = [await front.connect() for _ in range(3)]
    for reader, writer in inside:
        writer.write(LIVE)
        assert (await answer(reader))[0] == 200
    async with asyncio.timeout(10), connected(front) as (reader, _):
        status, headers, body = await answer(reader)
        assert (status, headers["connection"]) == (503, "close")
        assert json.loads(body)["error"]["code"] == "BUSY"
        assert int(headers["retry-after"]) > 0
    inside.pop()[1].close()
    await until(lambda: _open(front) == 2)
    async with connected(front) as (reader, writer):
        writer.write(LIVE)
        assert (await answer(reader))[0] == 200
    for _, writer in inside:
        writer.close()
    await until(lambda: _open(front) == 0)


async def test_one_address_cannot_take_every_place(start: Start) -> None:
    front = await start(connections_max=4)
    ours = [await front.connect() for _ in range(2)]
    await until(lambda: _open(front) == 2)
    async with asyncio.timeout(10), connected(front) as (reader, _):
        assert (await answer(reader))[0] == 503
    port = int(front.url.rsplit(":", 1)[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
    writer.write(LIVE)
    assert (await answer(reader))[0] == 200
    for _, other in [*ours, (reader, writer)]:
        other.close()


def _open(front: Front) -> int:
    """How many connections the server has."""
    tasks: list[Any] = [one for one in asyncio.all_tasks() if "RequestHandler.start" in repr(one.get_coro())]
    return len(tasks)
