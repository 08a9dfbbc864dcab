"""GET and HEAD of a part's link: ranges of spools that are whole or growing, and their bad endings."""

import asyncio
import hashlib
import json
import random
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from clipwire import Client, Cut

from gateway.wire import multipart, tickets
from gateway.wire.tickets import Ticket
from tests.web.conftest import Front, Start, shared, started, until

SECRET = "a secret that two gateways share"
KEY = "video:h264_540p_379100-0"


def bytes_of(front: Front, name: str) -> bytes:
    return front.origin.parts(name)[0]


async def links(front: Front, name: str) -> list[str]:
    """The links of a download's parts, read to its end."""
    async with front.download(name) as response:
        assert response.status == 200
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        body = await response.read()
    return [part.headers["content-location"] for part in multipart.parts(body, boundary)]


async def key_of(front: Front, name: str) -> str:
    """The key of a video post's part, as its page names it; reads no media."""
    post = await front.gateway.extractor.find(front.origin.url(name))
    return f"video:{max(post.formats, key=lambda one: (not one.watermark, one.codec == 'h264')).id}"


async def link_to(front: Front, name: str, *, seconds: float = 60) -> str:
    """A link to a video that nobody has asked for yet."""
    post_id = front.origin.scenarios[name].id
    ticket = Ticket(post_id, await key_of(front, name), "video/mp4", int(time.time() + seconds))
    link = tickets.link(ticket, f"{name}.mp4", front.gateway.secret)
    assert link is not None
    return link


async def got(
    front: Front, link: str, span: str | None = None, **headers: str
) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and bytes of a GET."""
    wish = {name.replace("_", "-"): value for name, value in headers.items()}
    if span is not None:
        wish["Range"] = f"bytes={span}"
    async with front.session.get(front.url + link, headers=wish) as response:
        return response.status, response.headers, await response.read()


async def error(front: Front, link: str, method: str = "GET") -> tuple[int, str]:
    async with front.session.request(method, front.url + link) as response:
        return response.status, (await response.json())["error"]["code"]


def put_out(front: Front) -> None:
    """As when the disk is wanted for others."""
    front.gateway.spools.cleared(1 << 40)
    assert not front.gateway.spools._entries


# what is served


async def test_a_link_gives_the_part_under_its_name(front: Front) -> None:
    parts = front.origin.parts("photo3")
    found = await links(front, "photo3")
    assert len(found) == len(parts)
    for link, part in zip(found, parts, strict=True):
        status, headers, body = await got(front, link)
        assert (status, body) == (200, part)
        name = link.rpartition("/")[2]
        assert headers["Content-Disposition"] == f'attachment; filename="{name}"'
        assert headers["Content-Length"] == str(len(part))
        assert headers["Content-Type"] == ("audio/mpeg" if name.endswith(".mp3") else "image/jpeg")
        assert headers["Accept-Ranges"] == "bytes"
        assert headers["ETag"] == f'"{hashlib.md5(part).hexdigest()}"'  # the origin's
        assert 3500 < int(re.fullmatch(r"private, max-age=(\d+)", headers["Cache-Control"])[1]) <= 3600  # type: ignore[index]
        assert "Last-Modified" not in headers
    assert all(front.origin.hits[f"media:photo3.{n}"] == 1 for n in range(4))
    assert front.origin.hits["page:7400000000000000010"] == 1


async def test_random_ranges_of_a_whole_spool_are_exact(front: Front) -> None:
    data = bytes_of(front, "video")
    (link,) = await links(front, "video")
    chance = random.Random(7)
    for _ in range(60):
        first, size = chance.randrange(len(data)), chance.choice((1, 500, 100_000, 10**7))
        span, expected = chance.choice(
            [
                (f"{first}-{first + size - 1}", data[first : first + size]),
                (f"{first}-", data[first:]),
                (f"-{size}", data[-size:]),
            ]
        )
        status, headers, body = await got(front, link, span)
        assert (status, body) == (206, expected)
        start = len(data) - len(expected) if span.startswith("-") else first
        assert headers["Content-Range"] == f"bytes {start}-{start + len(expected) - 1}/{len(data)}"
        assert headers["Content-Length"] == str(len(expected))
    assert front.origin.hits["media:video"] == 1


@pytest.mark.parametrize("name", ["big", "cdn_untagged"])
async def test_random_ranges_of_a_growing_spool_are_exact_and_cost_one_read(front: Front, name: str) -> None:
    data, chance = bytes_of(front, name), random.Random(8)
    link = await link_to(front, name)
    front.origin.pace(6_000_000)

    async def one() -> None:
        first, size = chance.randrange(len(data)), chance.choice((1, 1000, 3_000_000))
        status, headers, body = await got(front, link, f"{first}-{first + size - 1}")
        assert (status, body) == (206, data[first : first + size])
        assert headers["Content-Range"] == f"bytes {first}-{first + len(body) - 1}/{len(data)}"

    await asyncio.gather(*(one() for _ in range(30)), got(front, link))
    assert front.origin.hits[f"media:{name}"] == 1
    assert front.origin.hits[f"page:{front.origin.scenarios[name].id}"] == 1


async def test_a_range_is_sent_while_the_download_is_read(front: Front) -> None:
    front.origin.pace(2_000_000)
    async with front.download("big") as response:
        head = await response.content.readuntil(b"\r\n\r\n")
        link = re.findall(r"Content-Location: (\S+)\r\n", head.decode())[0]
        status, _, body = await got(front, link, "1000-1999")
        assert (status, body) == (206, bytes_of(front, "big")[1000:2000])
        assert front.origin.open_reads == 1
        # deeper than what is there: it is waited for
        status, _, body = await got(front, link, "3000000-3000009")
        assert (status, body) == (206, bytes_of(front, "big")[3000000:3000010])
    assert front.origin.hits["media:big"] == 1


async def test_a_link_outlives_what_was_kept(front: Front) -> None:
    (link,) = await links(front, "video")
    put_out(front)
    status, _, body = await got(front, link, "100-")
    assert (status, body) == (206, bytes_of(front, "video")[100:])
    assert front.origin.hits["media:video"] == 2


async def test_a_link_needs_no_page_while_the_spool_is_there(front: Front) -> None:
    (link,) = await links(front, "video")
    await front.gateway.extractor.forget(front.origin.scenarios["video"].id)
    assert (await got(front, link))[0] == 200
    assert front.origin.hits["page:7400000000000000001"] == 1


async def test_a_link_is_good_at_another_gateway_with_the_secret(start: Start, tmp_path: Path) -> None:
    first = await start(secret=SECRET)
    (link,) = await links(first, "video")
    data = bytes_of(first, "video")
    async with started(tmp_path / "second", secret=SECRET) as second:
        status, _, body = await got(second, link, "-1000")
        assert (status, body) == (206, data[-1000:])
    async with started(tmp_path / "third") as third:
        assert await error(third, link) == (403, "FORBIDDEN")


async def test_a_link_is_good_after_a_restart(tmp_path: Path) -> None:
    async with started(tmp_path) as first:
        (link,) = await links(first, "video")
    async with started(tmp_path) as second:
        assert (await got(second, link))[2] == bytes_of(second, "video")


# ranges that are none


@shared
@pytest.mark.parametrize("span", ["5-4", "0-1,5-6", "x", "-", "0-99999999999999999999"])
async def test_what_is_not_one_range_is_answered_with_the_whole(lasting: Front, span: str) -> None:
    (link,) = await links(lasting, "video")
    status, headers, body = await got(lasting, link, span)
    assert (status, body) == (200, bytes_of(lasting, "video"))
    assert "Content-Range" not in headers


async def test_a_range_outside_is_refused_with_the_length(front: Front) -> None:
    size = len(bytes_of(front, "big"))
    link = await link_to(front, "big")
    front.origin.pace(3_000_000)
    whole = asyncio.ensure_future(got(front, link))
    await until(lambda: front.origin.open_reads == 1)
    for span in (f"{size}-", f"{size}-{size + 5}", "-0"):
        status, headers, body = await got(front, link, span)
        assert (status, headers["Content-Range"]) == (416, f"bytes */{size}")
        assert json.loads(body)["error"]["code"] == "RANGE_NOT_SATISFIABLE"
    assert (await whole)[2] == bytes_of(front, "big")
    status, headers, _ = await got(front, link, f"{size}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{size}")


# unknown length


async def test_without_a_length_a_range_with_an_end_has_an_unknown_total(front: Front) -> None:
    data = bytes_of(front, "cdn_chunked")
    link = await link_to(front, "cdn_chunked")
    front.origin.pace(2_000_000)
    whole = asyncio.ensure_future(got(front, link))
    await until(lambda: front.origin.open_reads == 1)
    status, headers, body = await got(front, link, "500000-599999")
    assert (status, body) == (206, data[500_000:600_000])
    assert headers["Content-Range"] == "bytes 500000-599999/*"
    assert headers["Content-Length"] == "100000"
    assert "ETag" not in headers
    assert not whole.done()
    # its end is only known with the file's
    status, headers, body = await got(front, link, "7000000-")
    assert (status, body) == (206, data[7_000_000:])
    assert headers["Content-Range"] == f"bytes 7000000-{len(data) - 1}/{len(data)}"
    assert headers["ETag"] == f'"{hashlib.sha256(data).hexdigest()}"'
    status, headers, body = await whole
    assert (status, body) == (200, data)
    assert "Content-Length" not in headers
    assert front.origin.hits["media:cdn_chunked"] == 1


async def test_without_a_length_all_of_it_begins_at_once(front: Front) -> None:
    data = bytes_of(front, "cdn_chunked")
    link = await link_to(front, "cdn_chunked")
    front.origin.pace(2_000_000)
    async with front.session.get(front.url + link, headers={"Range": "bytes=0-"}) as response:
        assert response.status == 200
        assert await response.content.readexactly(100_000) == data[:100_000]
        assert front.origin.open_reads == 1  # it still arrives
        front.origin.pace(None)
        assert await response.read() == data[100_000:]


@pytest.mark.parametrize("span", ["-1000", "8000000-99999999"])
async def test_without_a_length_an_end_beyond_is_waited_for(front: Front, span: str) -> None:
    data = bytes_of(front, "cdn_chunked")
    link = await link_to(front, "cdn_chunked")
    front.origin.pace(16_000_000)
    status, headers, body = await got(front, link, span)
    expected = data[-1000:] if span == "-1000" else data[8_000_000:]
    assert (status, body) == (206, expected)
    assert headers["Content-Range"].endswith(f"/{len(data)}")


async def test_without_a_length_a_range_outside_is_refused_at_the_end(front: Front) -> None:
    size = len(bytes_of(front, "cdn_chunked"))
    link = await link_to(front, "cdn_chunked")
    status, headers, _ = await got(front, link, f"{size}-{size + 1}")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{size}")


# conditions


@pytest.mark.parametrize("name", ["video", "cdn_untagged"])
async def test_a_range_of_another_file_is_the_whole(front: Front, name: str) -> None:
    data = bytes_of(front, name)
    (link,) = await links(front, name)
    etag = (await got(front, link, "0-0"))[1]["ETag"]
    if name == "cdn_untagged":
        assert etag == f'"{hashlib.sha256(data).hexdigest()}"'
    assert (await got(front, link, "5-9", If_Range=etag))[::2] == (206, data[5:10])
    for other in ('"another"', f"W/{etag}", "Wed, 21 Oct 2015 07:28:00 GMT"):
        assert (await got(front, link, "5-9", If_Range=other))[::2] == (200, data)
    put_out(front)  # the same file has the same tag when it is read again
    assert (await got(front, link))[1].get("ETag", etag) == etag
    assert (await got(front, link, "5-9", If_Range=etag))[::2] == (206, data[5:10])


async def test_a_growing_spool_has_the_origins_tag_or_none(front: Front) -> None:
    front.origin.pace(4_000_000)
    for name in ("big", "cdn_untagged"):
        data = bytes_of(front, name)
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        link = await link_to(front, name)
        whole = asyncio.ensure_future(got(front, link))
        await until(lambda: front.origin.open_reads == 1)
        status, headers, body = await got(front, link, "5-9", If_Range=etag)
        if name == "big":
            assert (status, headers["ETag"], body) == (206, etag, data[5:10])
        else:
            assert (status, body) == (200, data)
            assert "ETag" not in headers
        await whole


# HEAD


async def test_head_tells_all_without_reading_all(front: Front) -> None:
    link = await link_to(front, "big")
    front.origin.pace(1_000_000)
    async with front.session.head(front.url + link, headers={"Range": "bytes=5-9"}) as response:
        assert response.status == 200  # a range is for GET only
        assert response.headers["Content-Length"] == str(len(bytes_of(front, "big")))
        assert response.headers["ETag"]
        assert response.headers["Accept-Ranges"] == "bytes"
        assert await response.read() == b""
    await until(lambda: front.origin.open_reads == 0)
    assert front.origin.bytes_sent["big"] < 1_000_000
    assert not front.gateway.spools._entries


async def test_head_of_what_is_there_asks_nobody(front: Front) -> None:
    (link,) = await links(front, "video")
    async with front.session.head(front.url + link) as response:
        assert (response.status, response.content_length) == (200, len(bytes_of(front, "video")))
    assert front.origin.hits["media:video"] == 1


async def test_head_without_a_length_has_none_and_the_connection_goes_on(front: Front) -> None:
    link = await link_to(front, "cdn_chunked")
    front.origin.pace(1_000_000)
    reader, writer = await front.connect()
    for _ in range(2):
        writer.write(f"HEAD {link} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b"Content-Length" not in head
    writer.close()


# links that are not good


async def test_links_that_are_not_ours_are_refused_without_a_request_to_anybody(front: Front) -> None:
    link = tickets.link(Ticket("7400000000000000001", KEY, "video/mp4", 2**40), "a.mp4", b"another secret!!")
    assert link is not None
    root, token, name = link[1:].split("/")
    for bad in (link, f"/{root}/x/{name}", f"/{root}/{token[:-1]}/{name}", f"/{root}/%C3%A9.%FF/{name}"):
        for method in ("GET", "HEAD"):
            async with front.session.request(method, front.url + bad) as response:
                assert response.status == 403
    assert await error(front, link) == (403, "FORBIDDEN")
    assert not front.origin.hits


@shared
async def test_a_link_whose_time_is_over_says_so(lasting: Front) -> None:
    assert await error(lasting, await link_to(lasting, "video", seconds=-1)) == (410, "LINK_EXPIRED")


async def test_links_are_good_as_long_as_is_set(start: Start) -> None:
    front = await start(link_s=1.5)
    (link,) = await links(front, "video")
    assert (await got(front, link))[0] == 200
    await asyncio.sleep(1.6)
    assert await error(front, link) == (410, "LINK_EXPIRED")


@shared
@pytest.mark.parametrize(
    ("name", "status", "code"),
    [
        ("private", 422, "VIDEO_PRIVATE"),
        ("deleted", 422, "VIDEO_UNAVAILABLE"),
        ("page_429", 502, "UPSTREAM_RATE_LIMITED"),
        ("video", 502, "UPSTREAM_FAILED"),  # it has no such part
    ],
)
async def test_a_part_that_is_gone_says_why(lasting: Front, name: str, status: int, code: str) -> None:
    ticket = Ticket(lasting.origin.scenarios[name].id, "video:gone", "video/mp4", int(time.time()) + 60)
    link = tickets.link(ticket, "a.mp4", lasting.gateway.secret)
    assert link is not None
    assert await error(lasting, link) == (status, code)


@shared
async def test_a_file_of_another_type_is_not_served_under_the_old_name(lasting: Front) -> None:
    post_id, key = lasting.origin.scenarios["video"].id, await key_of(lasting, "video")
    link = tickets.link(Ticket(post_id, key, "image/jpeg", 2**40), "a.jpg", lasting.gateway.secret)
    assert link is not None
    assert await error(lasting, link) == (502, "UPSTREAM_FAILED")


@shared
async def test_other_methods_are_refused(lasting: Front) -> None:
    (link,) = await links(lasting, "video")
    async with lasting.session.post(lasting.url + link) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "GET,HEAD"


async def test_links_are_not_in_the_log(front: Front, capfd: pytest.CaptureFixture[str]) -> None:
    (link,) = await links(front, "video")
    await got(front, link)
    told = "".join(capfd.readouterr())
    assert link.split("/")[2] not in told


# bad endings


async def raw(
    front: Front, link: str, version: str = "1.1", span: str | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await front.connect()
    asked = f"Range: bytes={span}\r\n" if span else ""
    writer.write(f"GET {link} HTTP/{version}\r\nHost: localhost\r\n{asked}\r\n".encode())
    return reader, writer


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_range_over_a_raw_socket(front: Front, version: str) -> None:
    data = bytes_of(front, "video")
    (link,) = await links(front, "video")
    reader, writer = await raw(front, link, version, "10-19")
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(f"HTTP/{version} 206 Partial Content\r\n".encode())
    for line in (f"Content-Range: bytes 10-19/{len(data)}", "Content-Length: 10", "Accept-Ranges: bytes"):
        assert f"\r\n{line}\r\n".encode() in head
    assert b"Transfer-Encoding" not in head
    assert await reader.readexactly(10) == data[10:20]
    if version == "1.0":
        assert await reader.read() == b""
    else:  # the next request on the connection is not disturbed
        writer.write(f"GET {link} HTTP/1.1\r\nHost: localhost\r\nRange: bytes=-5\r\n\r\n".encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 206 ")
        assert await reader.readexactly(5) == data[-5:]
    writer.close()


@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_no_length_is_chunks_or_the_end_of_the_connection(front: Front, version: str) -> None:
    link = await link_to(front, "cdn_chunked")
    front.origin.pace(20_000_000)
    reader, writer = await raw(front, link, version)
    head = await reader.readuntil(b"\r\n\r\n")
    assert b"Content-Length" not in head
    assert (b"\r\nTransfer-Encoding: chunked\r\n" in head) == (version == "1.1")
    body = b""
    if version == "1.0":
        body = await reader.read()
    else:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
    assert body == bytes_of(front, "cdn_chunked")
    writer.close()


@pytest.mark.parametrize(
    ("name", "span"),
    [("cdn_dies", None), ("cdn_dies", "10-"), ("cdn_hangs", None), ("cdn_hangs", "10-"), ("cdn_short", None)],
)
@pytest.mark.parametrize("version", ["1.1", "1.0"])
async def test_a_cut_after_the_head_is_seen(start: Start, name: str, version: str, span: str | None) -> None:
    front = await start(stall_s=0.5)
    reader, writer = await raw(front, await link_to(front, name), version, span)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.split(b" ")[1] == (b"206" if span else b"200")
    told = re.search(rb"Content-Length: (\d+)", head)
    body, reset = b"", False
    try:
        async with asyncio.timeout(20):
            while data := await reader.read(65536):
                body += data
    except ConnectionResetError:
        reset = True
    writer.close()
    assert reset or not body.endswith(b"0\r\n\r\n")
    assert reset or version == "1.1"
    assert told is None or len(body) < int(told[1])


@pytest.mark.parametrize("name", ["cdn_dies", "cdn_short", "cdn_hangs"])
async def test_a_range_behind_the_cut_is_an_answer(start: Start, name: str) -> None:
    front = await start(stall_s=0.5)
    link = await link_to(front, name)
    status, _, body = await got(front, link, f"{len(bytes_of(front, name)) - 10}-")
    assert status in (502, 504)
    assert json.loads(body)["error"]["code"].startswith("UPSTREAM_")
    assert not front.gateway.spools._entries


async def test_a_client_that_leaves_ends_the_read(front: Front) -> None:
    link = await link_to(front, "big")
    front.origin.pace(500_000)
    _, waiting = await raw(front, link, span="8000000-")  # deep: nothing has been sent to it
    reader, writer = await raw(front, link)
    await reader.readexactly(10_000)
    assert front.origin.open_reads == 1
    writer.transport.abort()
    waiting.transport.abort()
    await until(lambda: front.origin.open_reads == 0)
    assert not front.gateway.spools._entries


# the Python client, over a connection that is cut


@asynccontextmanager
async def cutting(front: Front, after: int, times: int) -> AsyncIterator[str]:
    """An address that leads to the gateway; the first `times` connections end after so many bytes."""
    cuts = 0

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int) -> None:
        while most > 0 and (data := await reader.read(min(65536, most))):
            writer.write(data)
            await writer.drain()
            most -= len(data)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal cuts
        cuts += 1
        inner_reader, inner_writer = await front.connect()
        asking = asyncio.ensure_future(pump(reader, inner_writer, 1 << 40))
        try:
            await pump(inner_reader, writer, after if cuts <= times else 1 << 40)
        except ConnectionError:
            pass
        finally:
            asking.cancel()
            writer.close()
            inner_writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_the_client_goes_on_where_a_connection_was_cut(front: Front, tmp_path: Path) -> None:
    post = front.origin.url("big")
    async with (
        cutting(front, 3_000_000, 3) as url,
        Client(url) as client,
        client.download(post) as answer,
    ):
        paths = [await part.save(tmp_path / "saved") async for part in answer]
    assert [path.read_bytes() for path in paths] == front.origin.parts("big")


async def test_the_client_gives_up_after_some_tries(front: Front, tmp_path: Path) -> None:
    async with cutting(front, 100_000, 99) as url, Client(url) as client:
        with pytest.raises(Cut):
            async with client.download(front.origin.url("big")) as answer:
                async for part in answer:
                    await part.save(tmp_path / "saved", tries=2)
    assert not list((tmp_path / "saved").iterdir())


async def test_a_link_is_an_address_of_the_gateway(front: Front) -> None:
    async with Client(front.url + "/") as client, client.download(front.origin.url("video")) as answer:
        part = await anext(answer)
        assert part.link is not None
        assert part.link.startswith(front.url + "/media/")
        async with aiohttp.ClientSession() as session, session.get(part.link) as response:
            assert await response.read() == bytes_of(front, "video")


@pytest.mark.parametrize(("more", "kind"), [({}, "video/mp4"), ({"fade_s": 0.5, "slide_s": 1}, "video/mp4")])
async def test_the_link_of_a_film_renders_it_again(front: Front, more: dict[str, float], kind: str) -> None:
    url = front.origin.url("photo3")
    async with front.post("/download", url=url, content_type="VIDEO_ONLY", **more) as response:
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        (part,) = multipart.parts(await response.read(), boundary)
    put_out(front)
    async with front.session.get(front.url + part.headers["content-location"]) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == kind
        assert await response.read() == part.body
