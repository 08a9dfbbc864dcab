"""The Python client without an event loop of the caller's."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from clipwire import BlockingClient, Cut, Info, Refused, TranscriptFailed

from tests.web.conftest import started

from . import stand_in
from .stand_in import CLOSING, gateway, part, silence

URL = "https://www.tiktok.com/@someone/video/7"
TWO = (part("a.mp4", b"first" * 1000, first=True), part("b.mp3", b"second", length=None), CLOSING)
FAILED = b'{"type":"error","code":"SPEECH_FAILED","message":"no"}\n'


async def using(handler: stand_in.Handler, use: Callable[[BlockingClient], None]) -> None:
    """Uses a client in a thread, which leaves none behind."""

    def work(url: str) -> None:
        with BlockingClient(url, stall_s=30) as client:
            use(client)

    async with gateway(handler) as url:
        try:
            await asyncio.to_thread(work, url)
        finally:
            assert not [one for one in threading.enumerate() if one.name == "clipwire"]


async def test_parts_come_in_order_and_are_saved(tmp_path: Path) -> None:
    def use(client: BlockingClient) -> None:
        with client.download(URL) as answer:
            assert answer.title == "title"
            first, second = iter(answer), tmp_path
            assert next(first).save(second).read_bytes() == b"first" * 1000
            assert b"".join(next(first)) == b"second"
            assert list(first) == []

    await using(stand_in.parts(*TWO), use)


async def test_a_cut_is_told_and_the_client_goes_on(tmp_path: Path) -> None:
    def use(client: BlockingClient) -> None:
        for _ in range(2):
            with pytest.raises(Cut), client.download(URL) as answer:
                for one in answer:
                    one.save(tmp_path)

    await using(stand_in.parts(part("a.mp4", b"x", first=True, length=9)), use)
    assert not list(tmp_path.iterdir())


async def test_leaving_early_closes_the_connection() -> None:
    def use(client: BlockingClient) -> None:
        with client.download(URL) as answer:
            assert next(iter(answer)).name == "a.mp4"
        with pytest.raises(ZeroDivisionError), client.download(URL) as answer:
            raise ZeroDivisionError

    await using(stand_in.parts(TWO[0], ending=silence), use)


async def test_a_transcript_that_fails_says_so() -> None:
    def use(client: BlockingClient) -> None:
        with pytest.raises(TranscriptFailed), client.transcribe(b"RIFF") as events:
            list(events)

    await using(stand_in.lines(FAILED), use)


async def test_a_gateway_answers(tmp_path: Path) -> None:
    async with started(tmp_path, admin_key="an admin key of tests", open="true") as front:

        def use() -> None:
            with BlockingClient(front.url, key="an admin key of tests") as client:
                assert client.ping() > 0
                assert client.plan(front.origin.url("video")).posts[0].kind == "video"
                with client.transcribe(front.origin.url("captions"), source="captions") as events:
                    info, *_ = list(events)
                assert isinstance(info, Info)
                assert "keeper opens" in client.transcripts.file(info.id)
                with client.follow(info.id, after=99) as events:
                    assert list(events) == []
                assert client.codes.credit(client.codes.issue().codes[0].id).state == "active"
                with pytest.raises(Refused):
                    client.plan(front.origin.url("private"))
                with client.download(front.origin.url("video")) as answer:
                    link = next(iter(answer)).link
                assert link is not None
                with client.media(link, start=100, stop=200) as part:
                    assert (part.length, len(b"".join(part))) == (100, 100)
                assert client.media_head(link).media_type == "video/mp4"
                assert client.live()
                assert client.ready().status == "not ready"
                assert client.about("version")["version"]
                assert client.jobs.list().total >= 1
                assert client.analyzer.extract(front.origin.url("video")).platform == "tiktok"

        await asyncio.to_thread(use)
