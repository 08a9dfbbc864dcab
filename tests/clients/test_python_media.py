"""Parts by their links, and words between the slices of a download."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from clipwire import Client, Cut, Failed, Info, Malformed, Refused
from clipwire.resume import Received, Rest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.sampling import SAMPLE

from . import stand_in
from .stand_in import CLOSING, cut, gateway

URL = "https://www.tiktok.com/@someone/video/7"
LINK = "/media/t.s/a.mp4"
PAYLOAD = bytes(range(256)) * 100
INFO = (
    b'{"type":"info","id":"3f","language":"en","language_probability":1,"duration":null,"model":"base",'
    b'"source":"speech"}\n'
)
FAILED = b'{"type":"error","code":"SPEECH_FAILED","message":"no"}\n'


# links


class File:
    """Answers ranges of the payload; the first `cuts` of them are cut after `most` bytes."""

    def __init__(self, cuts: int = 0, most: int = 3000, *, etag: str = '"a"') -> None:
        self.asked: list[str | None] = []
        self._cuts, self._most, self._etag = cuts, most, etag

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        assert request.path == LINK
        told = request.headers.get("Range")
        self.asked.append(told)
        span = request.http_range if told else slice(0, None)
        start, data = span.start, PAYLOAD[span.start : span.stop]
        if not data:
            return web.json_response(
                {"error": {"code": "RANGE_NOT_SATISFIABLE", "message": "no"}}, status=416
            )
        headers = {"Content-Length": str(len(data)), "ETag": self._etag, "Content-Type": "video/mp4"}
        if told:
            headers["Content-Range"] = f"bytes {start}-{start + len(data) - 1}/{len(PAYLOAD)}"
        response = web.StreamResponse(status=206 if told else 200, headers=headers)
        await response.prepare(request)
        if request.method == "HEAD":
            return response
        if len(self.asked) <= self._cuts:
            await response.write(data[: self._most])
            await cut(request)
        else:
            await response.write(data)
        return response


@pytest.mark.parametrize("cuts", [0, 2])
@pytest.mark.parametrize(
    ("start", "stop"), [(0, None), (10_000, None), (0, 9000), (7, 8), (5, 25_600), (9, 99_999)]
)
async def test_a_file_or_a_range_of_it_is_saved_over_cuts(
    start: int, stop: int | None, cuts: int, tmp_path: Path
) -> None:
    wanted, seen = PAYLOAD[start:stop], list[tuple[int, int | None]]()
    file = File(cuts, most=len(wanted) // 3)
    async with (
        gateway(file) as url,
        Client(url, pause_s=0.001) as client,
        client.media(LINK, start=start, stop=stop) as part,
    ):
        assert (part.name, part.media_type, part.length) == ("a.mp4", "video/mp4", len(wanted))
        path = await part.save(tmp_path, lambda done, whole: seen.append((done, whole)))
    assert path.read_bytes() == wanted
    assert (seen[0], seen[-1]) == ((0, len(wanted)), (len(wanted), len(wanted)))
    assert len(file.asked) == 1 + cuts
    assert file.asked[0] == (
        None if (start, stop) == (0, None) else f"bytes={start}-{'' if stop is None else stop - 1}"
    )


async def test_a_file_is_read_and_its_head_too() -> None:
    async with gateway(File()) as url, Client(url) as client:
        async with client.media(url.rstrip("/") + LINK) as part:
            assert b"".join([chunk async for chunk in part]) == PAYLOAD
        head = await client.media_head(LINK)
        assert (head.media_type, head.length, head.etag) == ("video/mp4", len(PAYLOAD), '"a"')
        with pytest.raises(Refused) as caught:
            async with client.media(LINK, start=len(PAYLOAD)):
                pass
        assert caught.value.code == "RANGE_NOT_SATISFIABLE"


async def test_a_file_that_is_cut_is_a_cut_where_it_is_read() -> None:
    async with gateway(File(9)) as url, Client(url, pause_s=0.001) as client, client.media(LINK) as part:
        with pytest.raises(Cut):
            async for _ in part:
                pass
        with pytest.raises(Cut):
            await anext(part)


async def test_a_file_that_is_cut_again_and_again_is_given_up(tmp_path: Path) -> None:
    file = File(99, most=10)
    async with gateway(file) as url, Client(url, pause_s=0.001, tries=2) as client:
        with pytest.raises(Cut):
            async with client.media(LINK) as part:
                await part.save(tmp_path)
    assert len(file.asked) == 3
    assert not list(tmp_path.iterdir())


async def test_links_to_elsewhere_and_ranges_that_are_none_are_misuse() -> None:
    async with Client("http://127.0.0.1:1/below", key="secret") as client:
        for elsewhere in ("http://127.0.0.1:1/belowhost/a", "http://elsewhere.example/a", "a", ""):
            with pytest.raises(ValueError):
                await client.media_head(elsewhere)
        for start, stop in ((-1, None), (5, 5), (5, 4)):
            with pytest.raises(ValueError):
                async with client.media(LINK, start=start, stop=stop):
                    pass


class Answered:
    """An answer of these chunks, as the reader of one sees it."""

    def __init__(self, start: int, chunks: list[bytes], length: str) -> None:
        self.status = 206
        self.headers = {"Content-Range": f"bytes {start}-0/{length}"}
        self.content = self
        self._chunks = chunks

    async def readany(self) -> bytes:
        return self._chunks.pop(0) if self._chunks else b""


@pytest.mark.soak
@SAMPLE
@given(data=st.data(), body=st.binary(min_size=1, max_size=60), told=st.booleans())
def test_the_rest_is_exact_however_it_is_split(data: st.DataObject, body: bytes, told: bool) -> None:
    done = data.draw(st.integers(0, len(body)))
    received = Received(LINK, len(body))
    received.add(body[:done])
    seen = data.draw(st.integers(0, done))  # how much of what has come is compared
    received.tail = body[done - seen : done]
    start = data.draw(st.integers(0, done - seen))
    other = bytearray(body)
    if seen and data.draw(st.booleans()):
        other[data.draw(st.integers(done - seen, done - 1))] ^= 1
    splits = sorted(data.draw(st.lists(st.integers(start, len(body)), max_size=5)))
    chunks = [bytes(other[a:b]) for a, b in zip([start, *splits], [*splits, len(body)], strict=True) if b > a]

    async def rest() -> bytes:
        answer: Any = Answered(start, chunks, str(len(body)) if told else "*")
        found, reading = b"", Rest(answer, received)
        while (chunk := await reading.next()) is not None:
            assert chunk
            found += chunk
        return found

    if other != body:
        with pytest.raises(Cut):
            asyncio.run(rest())
    else:
        assert asyncio.run(rest()) == body[done:]


# words between slices


def sliced(name: str, payload: bytes, at: int, whole: int | None, *, first: bool = False) -> bytes:
    made = stand_in.part(name, payload, first=first, link=LINK)
    length = "*" if whole is None else whole
    span = f"Content-Range: bytes {at}-{at + len(payload) - 1}/{length}\r\nContent-Location"
    return made.replace(b"Content-Location", span.encode())


def words(payload: bytes, *, first: bool = False) -> bytes:
    made = stand_in.part("transcript.ndjson", payload, first=first)
    return made.replace(b"video/mp4", b"application/x-ndjson")


async def heard(handler: stand_in.Handler, use: Callable[[Any], Any]) -> list[Any]:
    said: list[Any] = []
    async with (
        gateway(handler) as url,
        Client(url, pause_s=0.001) as client,
        client.download(URL, "ORIGINAL", heard=said.append) as answer,
    ):
        async for part in answer:
            await use(part)
    return said


@pytest.mark.parametrize("told", [True, False])
async def test_slices_are_one_part_and_words_are_told_between_them(told: bool, tmp_path: Path) -> None:
    pieces = (
        words(INFO[:20], first=True),
        sliced("a.mp4", b"abc", 0, 5 if told else None),
        words(INFO[20:]),
        sliced("a.mp4", b"de", 3, 5),
        sliced("b.mp3", b"fg", 0, 2 if told else None),
        stand_in.part("c.jpg", b"h"),
        words(FAILED),
        CLOSING,
    )
    wishes: list[Any] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        wishes.append(await request.json())
        return await stand_in.parts(*pieces)(request)

    seen: list[Any] = []

    async def save(part: Any) -> None:
        told: list[int] = []
        path = await part.save(tmp_path, lambda done, whole: told.append(done))
        seen.append((part.name, path.read_bytes(), told[-1]))

    said = await heard(answer, save)
    assert seen == [("a.mp4", b"abcde", 5), ("b.mp3", b"fg", 2), ("c.jpg", b"h", 1)]
    assert [type(one) for one in said] == [Info, Failed]
    assert wishes[0]["transcript"] is True


async def test_a_part_that_has_come_does_not_wait_for_words(tmp_path: Path) -> None:
    said = asyncio.Event()

    async def later(request: web.Request) -> None:
        await said.wait()

    pieces = (sliced("a.mp4", b"abc", 0, 3, first=True), words(INFO))
    async with gateway(stand_in.parts(*pieces, ending=later)) as url, Client(url) as client:
        async with client.download(URL, heard=lambda event: None) as answer:
            async with asyncio.timeout(30):
                assert (await (await anext(answer)).save(tmp_path)).read_bytes() == b"abc"
        said.set()


async def test_a_cut_among_slices_is_gone_on_with_but_words_are_missed(tmp_path: Path) -> None:
    whole = len(PAYLOAD)
    pieces = (
        words(INFO, first=True),
        sliced("a.mp4", PAYLOAD[:4000], 0, whole),
        sliced("a.mp4", PAYLOAD[4000:6000], 4000, whole),
    )
    file = File()

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return await file(request)
        return await stand_in.parts(*pieces, ending=cut)(request)

    with pytest.raises(Cut):
        await heard(answer, lambda part: part.save(tmp_path))
    assert (tmp_path / "a.mp4").read_bytes() == PAYLOAD
    assert len(file.asked) == 1


async def leave(part: Any) -> None:
    """Reads nothing of it."""


@pytest.mark.parametrize(
    ("pieces", "failure"),
    [
        ((sliced("a.mp4", b"abc", 1, 5, first=True), CLOSING), Malformed),
        ((sliced("a.mp4", b"abc", 0, 9, first=True), sliced("a.mp4", b"de", 4, 9), CLOSING), Malformed),
        ((words(b"hello\n", first=True), CLOSING), Malformed),
        ((words(INFO + INFO, first=True), CLOSING), Cut),
        ((words(INFO, first=True), sliced("a.mp4", b"abc", 0, 3), CLOSING), Cut),
        ((sliced("a.mp4", b"abc", 0, 3, first=True), CLOSING), Cut),
        ((words(FAILED * 2, first=True), CLOSING), Malformed),
    ],
)
async def test_slices_and_words_outside_the_format_are_told(
    pieces: tuple[bytes, ...], failure: type[Exception]
) -> None:
    with pytest.raises(failure):
        await heard(stand_in.parts(*pieces), leave)


async def test_who_gives_up_waiting_may_read_on() -> None:
    go_on = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=stand_in.headers("t", "d"))
        await response.prepare(request)
        await response.write(sliced("a.mp4", b"abc", 0, 5, first=True) + words(INFO)[:-30])
        await go_on.wait()
        await response.write(words(INFO)[-30:] + sliced("a.mp4", b"de", 3, 5) + words(FAILED) + CLOSING)
        return response

    async with gateway(answer) as url, Client(url) as client:
        said: list[Any] = []
        async with client.download(URL, heard=said.append) as found:
            part = await anext(found)
            data = b""
            while len(data) < 3:
                data += await anext(part)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await anext(part)
            go_on.set()
            assert data + b"".join([chunk async for chunk in part]) == b"abcde"
            assert [one async for one in found] == []
    assert [type(one) for one in said] == [Info, Failed]
