"""Media and their transcript in one answer."""

import os
import re
import signal
from typing import Any

import aiohttp
import pytest

from gateway.wire import events, multipart
from gateway.wire.events import End, Event, Failed, Info, Segment
from gateway.wire.multipart import Received
from tests.web.conftest import Front, shared, until

WORDS = "transcript.ndjson"


def ask(front: Front, name: str, mode: str = "ORIGINAL") -> Any:
    return front.post("/download", url=front.origin.url(name), content_type=mode, transcript=True)


def told(part: Received) -> str:
    return part.headers["content-disposition"].partition("filename=")[2].strip('"')


def put_together(parts: list[Received]) -> tuple[dict[str, bytes], list[Event]]:
    """The files, each of slices that must follow on each other, and the events."""
    files: dict[str, bytes] = {}
    said: list[Event] = []
    for part in parts:
        if told(part) == WORDS:
            assert part.headers["content-type"] == "application/x-ndjson"
            said += [events.parse(line) for line in part.body.splitlines()]
            continue
        span = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", part.headers["content-range"])
        assert span
        have = files.setdefault(told(part), b"")
        assert (int(span[1]), int(span[2])) == (len(have), len(have) + len(part.body) - 1)
        files[told(part)] = have + part.body
    return files, said


async def test_words_come_between_the_slices_before_the_media_have_ended(speaking: Front) -> None:
    size = len(speaking.origin.parts("speech")[0])
    speaking.origin.pace(size // 10)
    async with ask(speaking, "speech") as response:
        assert response.status == 200
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        parts = list(multipart.parts(await response.read(), boundary))
    files, said = put_together(parts)
    assert list(files.values()) == speaking.origin.parts("speech")
    assert isinstance(said[0], Info)
    assert isinstance(said[-1], End)
    assert any(isinstance(one, Segment) for one in said)
    names = [told(part) for part in parts]
    assert names.index(WORDS) < max(n for n, name in enumerate(names) if name != WORDS)
    assert speaking.origin.hits["media:speech"] == 1  # one read for the media and for the words


@shared
@pytest.mark.parametrize("mode", ["ORIGINAL", "VIDEO_ONLY"])
async def test_a_photo_posts_sound_is_heard_too(hearing: Front, mode: str) -> None:
    async with ask(hearing, "photo3", mode) as response:
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        files, said = put_together(list(multipart.parts(await response.read(), boundary)))
    assert isinstance(said[-1], End)
    if mode == "ORIGINAL":
        assert list(files.values()) == hearing.origin.parts("photo3")
    else:
        assert len(files) == 1


@shared
async def test_a_transcript_that_fails_leaves_the_media_whole(hearing: Front) -> None:
    async with ask(hearing, "big") as response:  # no sound in it
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        files, said = put_together(list(multipart.parts(await response.read(), boundary)))
    assert list(files.values()) == hearing.origin.parts("big")
    assert isinstance(said[-1], Failed)


@shared
async def test_an_origin_that_dies_breaks_the_answer(hearing: Front) -> None:
    async with ask(hearing, "cdn_dies") as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    await until(lambda: len(hearing.gateway.transcripts) == 0)


async def test_a_client_that_leaves_ends_both(speaking: Front) -> None:
    speaking.origin.pace(20_000)
    async with ask(speaking, "speech") as response:
        await response.content.readany()
        response.close()
    await until(lambda: speaking.origin.open_reads == 0)
    await until(lambda: len(speaking.gateway.transcripts) == 0)
    assert not speaking.gateway.decoders.running


async def test_a_worker_that_dies_loses_no_word(speaking: Front) -> None:
    async with ask(speaking, "speech") as response:
        await response.content.readany()
        os.kill(speaking.gateway.pool.pids[0], signal.SIGKILL)
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        rest = await response.read()
    assert boundary
    assert b'"type":"end"' in rest


async def test_without_a_model_yet_it_is_not_begun(front: Front) -> None:
    async with ask(front, "video") as response:
        assert (response.status, (await response.json())["code"]) == (503, "BUSY")


async def test_what_cannot_be_heard_is_told_before_the_head(speaking: Front) -> None:
    async with ask(speaking, "photo_silent") as response:
        assert (response.status, (await response.json())["code"]) == (400, "NOT_VIDEO_CONTENT")


async def test_words_are_heard_in_what_is_sent_instead(speaking: Front) -> None:
    url = speaking.origin.url("speech")
    async with speaking.post(
        "/download", url=url, content_type="ORIGINAL", codec="h265", transcript=True
    ) as response:
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        files, said = put_together(list(multipart.parts(await response.read(), boundary)))
    assert list(files.values()) == speaking.origin.parts("speech")
    assert isinstance(said[-1], End)
