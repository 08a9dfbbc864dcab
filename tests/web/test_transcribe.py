"""POST /transcribe with the real model: its forms, and its bad endings."""

import asyncio
import hashlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import make_mocked_request

from gateway.web import accept
from gateway.wire import events, subtitles
from gateway.wire.events import End, Event, Failed, Info, Progress, Segment
from gateway.wire.forms import NAMED
from tests.web.conftest import Front, Start, shared, until

NARRATION = (Path(__file__).parents[1] / "origin" / "clips" / "narration.txt").read_text()


async def lines(response: Any) -> list[Event]:
    """What is logged; where it stands, a slow machine tells in between."""
    found = [events.parse(line) async for line in response.content]
    return [event for event in found if not isinstance(event, Progress)]


async def line(response: Any) -> Event:
    """The next event that is logged."""
    while isinstance(event := events.parse(await response.content.readline()), Progress):
        pass
    return event


def words(text: str) -> list[str]:
    return "".join(c for c in text.lower() if c.isalpha() or c == " ").split()


def alike(heard: str, said: str) -> float:
    """The share of the words said that was heard."""
    left = words(heard)
    found = [left.remove(word) for word in words(said) if word in left]
    return len(found) / len(words(said))


@shared
async def test_the_words_of_a_post_come_as_lines(hearing: Front) -> None:
    async with hearing.post("/transcribe", url=hearing.origin.url("speech")) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/x-ndjson"
        assert response.headers["Transfer-Encoding"] == "chunked"
        got = await lines(response)
    info, *segments, end = got
    assert isinstance(info, Info)
    assert isinstance(end, End)
    assert info.id == response.headers["Transcript-Id"]
    assert (info.language, info.model, info.source) == ("en", "base", "speech")
    heard = [one for one in segments if isinstance(one, Segment)]
    assert [one.id for one in heard] == list(range(len(segments)))
    text = events.text_of(heard)
    assert alike(text, NARRATION) > 0.9
    assert end.text_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert (end.segments, end.speech) == (len(heard), "ok")
    assert end.duration == pytest.approx(23.2, abs=0.2)
    times = [time for one in heard for time in (one.start, one.end)]
    assert times == sorted(times)
    assert times[-1] <= end.duration


@shared
@pytest.mark.parametrize("how", ["accept", "query"])
async def test_server_sent_events_are_numbered(hearing: Front, how: str) -> None:
    headers = {"Accept": "text/event-stream"} if how == "accept" else {}
    path = "/transcribe" + ("?format=sse" if how == "query" else "")
    wish = {"url": hearing.origin.url("speech")}
    async with hearing.session.post(hearing.url + path, json=wish, headers=headers) as response:
        assert response.headers["Content-Type"] == "text/event-stream"
        frames = (await response.text()).rstrip("\n").split("\n\n")
    frames = [frame for frame in frames if not frame.startswith("event: progress")]
    for number, frame in enumerate(frames):
        id_, kind, data = frame.split("\n")
        assert id_ == f"id: {number}"
        assert kind == f"event: {json.loads(data.removeprefix('data: '))['type']}"
    assert kind == "event: end"


@shared
async def test_every_form_says_the_same_words(hearing: Front) -> None:
    async def body(name: str) -> str:
        wish = {"url": hearing.origin.url("speech"), "words": True, "language": "en"}
        path = f"{hearing.url}/transcribe?format={name}"
        async with hearing.session.post(path, json=wish) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == NAMED[name].content_type
            ids.add(response.headers["Transcript-Id"])
            return (await response.read()).decode()

    ids: set[str] = set()
    text = await body("txt")
    assert alike(text, NARRATION) > 0.9
    document = json.loads(await body("json"))
    assert document["text"] == text
    assert document["text_sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert document["segments"][0]["words"]
    assert document["duration"] == pytest.approx(23.2, abs=0.2)
    assert document["id"] in ids
    logged = [events.parse(one) for one in (await body("ndjson")).splitlines()]
    sent = [events.parse(one[6:]) for one in (await body("sse")).splitlines() if one.startswith("data: ")]
    assert sent == logged
    assert events.text_of([one for one in logged if isinstance(one, Segment)]) == text
    cues = subtitles.cues(await body("vtt"))
    assert " ".join(cue.text for cue in cues) == text
    assert [cue.start for cue in cues] == [one["start"] for one in document["segments"]]
    srt = (await body("srt")).split("\n\n")[:-1]
    assert " ".join(one.split("\n")[2] for one in srt) == text
    assert len(ids) == 1


async def test_the_first_words_come_before_the_origin_has_ended(speaking: Front) -> None:
    size = len(speaking.origin.parts("speech")[0])
    speaking.origin.pace(size // 12)
    async with speaking.post("/transcribe", url=speaking.origin.url("speech")) as response:
        await line(response)
        assert isinstance(await line(response), Segment)
        assert speaking.origin.bytes_sent["speech"] < size
        assert speaking.origin.open_reads == 1
        speaking.origin.pace(None)
        rest = await lines(response)
    assert isinstance(rest[-1], End)


@shared
async def test_a_video_is_heard_from_its_own_soundtrack_and_photos_from_their_sound(hearing: Front) -> None:
    for name, clip in (("video", "video.txt"), ("photo3", "sound.txt")):
        said = (Path(__file__).parents[1] / "origin" / "clips" / clip).read_text()
        async with hearing.post("/transcribe", url=hearing.origin.url(name)) as response:
            got = await lines(response)
        assert alike(events.text_of([one for one in got if isinstance(one, Segment)]), said) > 0.7
    assert hearing.origin.hits["media:music"] == 0


async def test_two_requests_for_one_post_share_one_transcript(speaking: Front) -> None:
    async def once() -> tuple[str, list[Event]]:
        async with speaking.post("/transcribe", url=speaking.origin.url("speech")) as response:
            return response.headers["Transcript-Id"], await lines(response)

    first, second = await asyncio.gather(once(), once())
    assert first == second
    assert speaking.origin.hits["media:speech"] == 1


@shared
async def test_a_finished_transcript_is_answered_without_the_site(hearing: Front) -> None:
    async with hearing.post("/transcribe", url=hearing.origin.url("video")) as response:
        first = await lines(response)
    read = hearing.origin.hits["media:video"]
    async with hearing.post("/transcribe", url=hearing.origin.url("video")) as response:
        assert await lines(response) == first
    assert hearing.origin.hits["media:video"] == read


@shared
async def test_the_sound_of_a_photo_post_is_recognised_once_for_all_posts_with_it(hearing: Front) -> None:
    async with hearing.post("/transcribe", url=hearing.origin.url("photo3")) as response:
        first = await lines(response)
    async with hearing.post("/transcribe", url=hearing.origin.url("photo35")) as response:
        assert await lines(response) == first
    assert hearing.origin.hits["media:photo35"] == 0


@shared
async def test_the_same_video_in_another_post_is_recognised_once(hearing: Front) -> None:
    texts = []
    for name in ("speech", "captions"):
        async with hearing.post(
            "/transcribe", url=hearing.origin.url(name), source="speech", language="en"
        ) as response:
            texts.append([one for one in await lines(response) if isinstance(one, Segment)])
    assert texts[0] == texts[1]


@shared
async def test_an_origin_that_dies_ends_in_an_error_line_never_in_end(hearing: Front) -> None:
    """The clip is short: what was heard before the death may come first."""
    async with hearing.post("/transcribe", url=hearing.origin.url("cdn_dies")) as response:
        if response.status == 200:
            got = await lines(response)
            assert isinstance(got[-1], Failed)
            assert got[-1].code == "UPSTREAM_FAILED"
            assert not any(isinstance(one, End) for one in got)
        else:
            assert response.status == 502
            assert (await response.json())["error"]["code"] == "UPSTREAM_FAILED"


@shared
async def test_failures_before_the_first_event_are_plain_answers(hearing: Front) -> None:
    for name, status, code in (
        ("cdn_403", 502, "UPSTREAM_FAILED"), ("private", 422, "VIDEO_PRIVATE"),
        ("page_429", 502, "UPSTREAM_RATE_LIMITED"),
        ("photo_silent", 422, "NOT_VIDEO_CONTENT"), ("big", 422, "MEDIA_UNDECODABLE"),
    ):  # fmt: skip
        # lines begin after two seconds, and this machine may be slow
        async with hearing.post("/transcribe?format=txt", url=hearing.origin.url(name)) as response:
            body = await response.json()
        assert (response.status, body["error"]["code"]) == (status, code), name
        assert body["error"]["request_id"] == response.headers["X-Request-Id"]


async def test_a_worker_that_dies_is_replaced_and_no_word_is_lost(speaking: Front) -> None:
    async with speaking.post("/transcribe", url=speaking.origin.url("speech"), language="en") as response:
        undisturbed = [one for one in await lines(response) if isinstance(one, Segment)]
    async with speaking.post("/transcribe", url=speaking.origin.url("speech")) as response:
        await line(response)
        os.kill(speaking.gateway.pool.pids[0], signal.SIGKILL)
        got = await lines(response)
    assert isinstance(got[-1], End)
    assert events.text_of([one for one in got if isinstance(one, Segment)]) == events.text_of(undisturbed)


async def test_a_window_that_ends_every_worker_breaks_the_stream_for_all_to_see(
    speaking: Front,
) -> None:
    async def murder() -> None:
        killed: set[int] = set()
        while True:
            for pid in set(speaking.gateway.pool.pids) - killed:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)
            await asyncio.sleep(0.005)

    speaking.origin.pace(60_000)
    wish = {"url": speaking.origin.url("speech")}
    async with (
        speaking.post("/transcribe", **wish) as response,
        speaking.post("/transcribe?format=txt", **wish) as text,
    ):
        assert isinstance(await line(response), Info)
        assert isinstance(await line(response), Segment)
        assert await text.content.readany()
        murderer = asyncio.ensure_future(murder())
        speaking.origin.pace(None)
        try:
            last = (await lines(response))[-1]
            with pytest.raises(aiohttp.ClientPayloadError):  # where the form has no place for it
                await text.read()
        finally:
            murderer.cancel()
    assert isinstance(last, Failed)
    assert last.code == "SPEECH_FAILED"
    await until(lambda: speaking.gateway.ready, 60)


async def test_a_client_that_leaves_ends_what_nobody_else_needs(speaking: Front) -> None:
    speaking.origin.pace(20_000)
    async with speaking.post("/transcribe", url=speaking.origin.url("speech")) as response:
        await line(response)
        assert len(speaking.gateway.transcripts) == 1
        response.close()
    await until(lambda: len(speaking.gateway.transcripts) == 0)
    await until(lambda: speaking.origin.open_reads == 0)
    assert not speaking.gateway.decoders.running
    assert not speaking.gateway.pool.waiting


async def test_one_listener_leaving_leaves_the_other_its_words(speaking: Front) -> None:
    speaking.origin.pace(60_000)

    async def stays() -> list[Event]:
        async with speaking.post("/transcribe", url=speaking.origin.url("speech")) as response:
            return await lines(response)

    staying = asyncio.ensure_future(stays())
    await until(lambda: len(speaking.gateway.transcripts) == 1)
    async with speaking.post("/transcribe", url=speaking.origin.url("speech")) as response:
        await response.content.readline()
        response.close()
    speaking.origin.pace(None)
    got = await staying
    assert isinstance(got[-1], End)


async def test_a_full_queue_is_busy_and_says_for_how_long(
    start: Start, data_dir: Path, base_model: Path
) -> None:
    front = await start(data_dir=data_dir, model="base", workers=1, transcripts_max=1)
    await until(lambda: front.gateway.ready, 60)
    async with front.post("/transcribe", url=front.origin.url("video")) as response:
        assert isinstance((await lines(response))[-1], End)
    pool, transcripts = front.gateway.pool, front.gateway.transcripts
    first = pool.speed
    front.origin.pace(20_000)
    async with front.post("/transcribe", url=front.origin.url("speech")) as response:
        assert isinstance(await line(response), Info)
        await until(lambda: pool.speed != first)  # its first window is done, and the next is seconds away
        assert pool.speed
        most = transcripts.wait_s
        async with front.post("/transcribe", url=front.origin.url("photo3")) as refused:
            body = await refused.json()
        assert (refused.status, body["error"]["code"]) == (503, "BUSY")
        # what is left of the 23 s of the other one, at the speed measured; it goes on meanwhile
        told = int(refused.headers["Retry-After"])
        assert 0 < transcripts.wait_s <= told <= most <= 23 / pool.speed + 1
        response.close()


async def test_progress_comes_while_the_media_does_not(speaking: Front) -> None:
    """And what fails after it is an error line; the others wait for their first event."""
    wish = {"url": speaking.origin.url("cdn_hangs"), "language": "en"}
    path = speaking.url + "/transcribe"
    async with speaking.session.post(path, json=wish) as response:
        first = events.parse(await response.content.readline())
        assert isinstance(first, Progress)
        assert first.bytes_total == len(speaking.origin.parts("cdn_hangs")[0])
        assert first.bytes < first.bytes_total
        speaking.origin.release()
        rest = await lines(response)
    assert isinstance(rest[0], Info)
    assert isinstance(rest[-1], End)


async def test_a_running_transcript_is_gone_on_with_by_its_id(speaking: Front) -> None:
    size = len(speaking.origin.parts("speech")[0])
    speaking.origin.pace(size // 12)
    wish = {"url": speaking.origin.url("speech"), "prompt": "A story."}
    async with speaking.session.post(speaking.url + "/transcribe", json=wish) as response:
        begun = [await line(response), await line(response)]
        path = f"{speaking.url}/transcripts/{response.headers['Transcript-Id']}"
        async with speaking.session.get(path) as standing:
            assert (await standing.json())["state"] == "running"
        headers = {"Last-Event-ID": "0"}
        async with speaking.session.get(path + "/events", headers=headers) as resumed:
            speaking.origin.pace(None)
            rest = await lines(resumed)
        whole = begun + await lines(response)
    assert rest == whole[1:]
    assert isinstance(rest[-1], End)
    async with speaking.session.get(path + ".txt") as kept:
        text = await kept.text()
    assert rest[-1].text_sha256 == hashlib.sha256(text.encode()).hexdigest()


@shared
async def test_without_a_model_yet_it_is_not_ready_and_says_so(lasting: Front) -> None:
    async with lasting.post("/transcribe", url=lasting.origin.url("speech")) as response:
        body = await response.json()
    assert (response.status, body["error"]["code"]) == (503, "BUSY")
    assert "Retry-After" in response.headers


@shared
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "VALIDATION_ERROR"), ({"url": 5}, "VALIDATION_ERROR"), ({"url": "hello"}, "INVALID_URL"),
        ({"url": "x", "task": "sing"}, "VALIDATION_ERROR"),
        ({"url": "x", "language": "english"}, "VALIDATION_ERROR"),
        ({"url": "x", "model": "huge"}, "VALIDATION_ERROR"),
        ({"url": "x", "words": "yes"}, "VALIDATION_ERROR"),
        ({"url": "x" * 5000}, "VALIDATION_ERROR"),
    ],
)  # fmt: skip
async def test_wrong_wishes_name_their_fault(lasting: Front, body: dict[str, Any], code: str) -> None:
    async with lasting.post("/transcribe", **body) as response:
        answer = await response.json()
    assert (response.status, answer["error"]["code"]) == (400, code)
    assert answer["error"]["message"]


@shared
async def test_media_that_are_not_called_so_are_told_what_to_do(lasting: Front) -> None:
    for media, status in ((bytes(range(256)), 400), (bytes(100_000), 413)):
        async with lasting.session.post(
            lasting.url + "/transcribe",
            data=media,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        ) as response:
            answer = await response.json()
        assert response.status == status
        assert "Media need a Content-Type" in answer["error"]["message"]


@shared
async def test_options_beside_a_url_are_not_passed_over_in_the_query(lasting: Front) -> None:
    body = {"url": lasting.origin.url("speech")}
    async with lasting.session.post(lasting.url + "/transcribe?words=true", json=body) as response:
        assert response.status == 400
        assert "words" in (await response.json())["error"]["message"]


@shared
async def test_a_form_that_is_not_there_is_told(lasting: Front) -> None:
    refused = (
        "image/png",
        "text/[e]vent-stream",
        "*xt/*",
        "application/x-ndjson;q=0",
        "text/html, image/*;q=0.5",
    )
    for headers, query in (*(({"Accept": one}, "") for one in refused), ({}, "?format=docx")):
        async with lasting.session.post(
            lasting.url + "/transcribe" + query, json={"url": lasting.origin.url("speech")}, headers=headers
        ) as response:
            assert response.status == 406
            assert (await response.json())["error"]["code"] == "NOT_ACCEPTABLE"


@pytest.mark.parametrize(
    ("accepted", "form"),
    [
        ("*/*", "application/x-ndjson"), ("", "application/x-ndjson"), ("text/*", "text/event-stream"),
        ("application/*", "application/x-ndjson"), ("text/html, */*;q=0.8", "application/x-ndjson"),
        ("application/x-ndjson;q=0.1, Text/Event-Stream", "text/event-stream"),
        ("text/event-stream; charset=utf-8; q=0.9, application/pdf", "text/event-stream"),
        ("text/event-stream; charset=utf-8; q=0.9, application/json", "application/json"),
        ("text/vtt", "text/vtt"), ("text/plain, text/vtt", "text/plain"),
        ("application/x-subrip, */*;q=0.1", "application/x-subrip"),
        ("application/x-ndjson;q=0, */*", "text/event-stream"),
    ],
)  # fmt: skip
def test_accept_is_read_as_the_standard_says(accepted: str, form: str) -> None:
    request = make_mocked_request("POST", "/transcribe", headers={"Accept": accepted})
    assert accept.form(request).media_type == form


@pytest.mark.parametrize("name", ["ndjson", "sse", "vtt", "srt", "txt", "text", "json"])
def test_the_query_is_stronger_than_accept(name: str) -> None:
    headers = {"Accept": "text/event-stream"}
    request = make_mocked_request("POST", f"/transcribe?format={name}", headers=headers)
    assert accept.form(request).name == ("txt" if name == "text" else name)


async def test_workers_that_died_idle_are_replaced_before_anybody_asks(speaking: Front) -> None:
    (dead,) = speaking.gateway.pool.pids
    os.kill(dead, signal.SIGKILL)
    await until(lambda: dead not in speaking.gateway.pool.pids)
    await until(lambda: speaking.gateway.ready, 60)
    async with speaking.post("/transcribe", url=speaking.origin.url("video")) as response:
        assert isinstance((await lines(response))[-1], End)
