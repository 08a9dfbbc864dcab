"""POST /transcribe with media in the body, with the real model: whole, slow, broken, too large, twice."""

import asyncio
import gc
import json
import os
import signal
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway.web import upload
from gateway.wire import events
from gateway.wire.events import End, Event, Failed, Info, Progress, Segment
from tests.speech import clips
from tests.web.conftest import Front, Start, shared, until

CLIPS = Path(__file__).parents[1] / "origin" / "clips"
SOUND = (CLIPS / "sound.mp3").read_bytes()  # 10 s
SPEECH = (CLIPS / "speech.mp4").read_bytes()  # 23 s, its index first
SAID = (CLIPS / "sound.txt").read_text()
VIDEO = {"Content-Type": "video/mp4"}
AUDIO = {"Content-Type": "audio/mpeg"}
B = "simple"


@pytest.fixture
async def listening(start: Start, data_dir: Path, base_model: Path) -> Callable[..., Any]:
    """Starts a gateway that hears, with the settings given."""

    async def listening(**settings: Any) -> Front:
        front: Front = await start(data_dir=data_dir, model="base", workers=1, **settings)
        await until(lambda: front.gateway.ready, 60)
        return front

    return listening


class Raw:
    """A request whose body is sent piece by piece, chunked, and its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.closing = False  # whether the connection is not to be used again

    def send(self, data: bytes) -> None:
        self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))

    def finish(self) -> None:
        self.writer.write(b"0\r\n\r\n")

    async def head(self) -> tuple[int, dict[str, str]]:
        """The next head: also that of 100 Continue."""
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().rstrip().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines)
        return int(first.split(" ")[1]), headers

    async def error(self) -> tuple[int, dict[str, Any]]:
        status, headers = await self.head()
        answer = json.loads(await self.reader.readexactly(int(headers["content-length"])))
        self.closing = headers.get("connection") == "close"
        return status, answer["error"]

    async def event(self) -> Event:
        """The next event that is logged; each is a chunk of its own."""
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            line = await self.reader.readexactly(size + 2)
            if not isinstance(event := events.parse(line[:-2]), Progress):
                return event

    async def last(self) -> Event:
        while True:
            event = await self.event()
            if isinstance(event, End | Failed):
                assert await self.reader.readexactly(5) == b"0\r\n\r\n"
                return event


@asynccontextmanager
async def raw(
    front: Front, path: str = "/transcribe", *more: str, media: str = "video/mp4", version: str = "1.1"
) -> AsyncIterator[Raw]:
    """Opens a request; without a length of its own it is chunked."""
    reader, writer = await front.connect()
    framing = () if any(one.startswith("Content-Length") for one in more) else ("Transfer-Encoding: chunked",)
    lines = (f"POST {path} HTTP/{version}", "Host: localhost", f"Content-Type: {media}", *framing, *more)
    writer.write("\r\n".join((*lines, "", "")).encode())
    try:
        yield Raw(reader, writer)
    finally:
        writer.close()


def form(*fields: tuple[str, bytes]) -> bytes:
    head = b'--%s\r\nContent-Disposition: form-data; name="%s"; filename="x"\r\n\r\n%s\r\n'
    parts = [head % (B.encode(), name.encode(), value) for name, value in fields]
    return b"".join(parts) + b"--%s--\r\n" % B.encode()


FORM = f"multipart/form-data; boundary={B}"


async def told(front: Front, data: Any, headers: dict[str, str], query: str = "") -> tuple[int, list[Event]]:
    url = front.url + "/transcribe" + query
    async with front.session.post(url, data=data, headers=headers) as response:
        if response.status != 200:
            return response.status, []
        said = [events.parse(line) async for line in response.content]
        return 200, [event for event in said if not isinstance(event, Progress)]  # a slow machine tells it


async def refused(front: Front, data: Any, headers: dict[str, str], query: str = "") -> tuple[int, str, str]:
    url = front.url + "/transcribe" + query
    async with front.session.post(url, data=data, headers=headers) as response:
        error = (await response.json())["error"]
        return response.status, error["code"], error["message"]


async def fails(front: Front, data: Any, headers: dict[str, str], status: int, code: str) -> None:
    """It does, before the first words or after some."""
    async with front.session.post(front.url + "/transcribe", data=data, headers=headers) as response:
        assert response.status in (200, status)
        *_, last = (await response.text()).splitlines()
        failure = json.loads(last)
        assert (failure if response.status == 200 else failure["error"])["code"] == code


def text(log: list[Event]) -> str:
    return events.text_of([one for one in log if isinstance(one, Segment)])


def alike(heard: str, said: str) -> bool:
    """Whether nearly all of the words said were heard."""
    wanted = {word.strip(".,").lower() for word in said.split()}
    return len(wanted & {word.strip(".,").lower() for word in heard.split()}) > 0.7 * len(wanted)


async def pieces(data: bytes, size: int = 10_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


async def nothing_left(front: Front) -> None:
    """No work, no file, no process: what was sent is not kept."""
    gateway = front.gateway
    await until(lambda: not len(gateway.transcripts) and not gateway.spools._entries)
    assert [path.name for path in gateway.spools._folder.iterdir()] == ["lock"]
    assert not gateway.spools._bytes
    assert not gateway.decoders.running
    assert not gateway.pool.waiting
    await until(
        lambda: not [t for t in asyncio.all_tasks() if t.get_name().startswith(("spool", "transcript "))]
    )


# Whole


@shared
async def test_media_in_the_body_are_heard_however_they_are_sent(hearing: Front) -> None:
    """With a length, in chunks, as a form, and over HTTP/1.0; of video as of sound."""
    ways: list[tuple[Any, dict[str, str]]] = [
        (SOUND, AUDIO), (pieces(SOUND), AUDIO), (SOUND, {"Content-Type": "application/octet-stream"}),
        (SOUND, {"Content-Type": "application/ogg"}), (SPEECH, VIDEO),
        (form(("file", SOUND)), {"Content-Type": FORM}),
        (pieces(form(("language", b"en"), ("file", SOUND)), 777), {"Content-Type": FORM}),
    ]  # fmt: skip
    for data, headers in ways:
        status, (info, *segments, end) = await told(hearing, data, headers)
        assert status == 200
        assert isinstance(info, Info)
        assert (info.language, info.duration, info.source) == ("en", None, "speech")
        assert isinstance(end, End)
        if headers != VIDEO:
            assert alike(text(segments), SAID), headers
            assert end.duration == pytest.approx(10, abs=0.2)
    await nothing_left(hearing)
    async with raw(hearing, "/transcribe", f"Content-Length: {len(SOUND)}", version="1.0") as request:
        request.writer.write(SOUND)
        assert (await request.head())[0] == 200
        lines = (await request.reader.read()).splitlines()
    assert isinstance(events.parse(lines[-1]), End)


async def test_anything_else_is_still_json(speaking: Front) -> None:
    """As `curl -d` sends it, as nobody names it, and as it should be."""
    wish = json.dumps({"url": speaking.origin.url("photo3")})
    for kind in ("application/x-www-form-urlencoded", "application/json", "text/plain"):
        status, log = await told(speaking, wish.encode(), {"Content-Type": kind})
        assert status == 200
        assert alike(text(log), SAID)
    reader, writer = await speaking.connect()
    writer.write(b"POST /transcribe HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(wish))
    writer.write(wish.encode())
    assert b" 200 " in await reader.readline()
    writer.close()


@shared
async def test_options_come_in_the_query_or_in_fields(hearing: Front) -> None:
    fields = (("task", b"transcribe"), ("words", b"true"), ("unknown", b"x" * 100_000))
    for data, headers, query in (
        (SOUND, AUDIO, "?words=true&language=en&prompt=&unknown=1"),
        (form(*fields, ("file", SOUND)), {"Content-Type": FORM}, "?language=en"),
        (form(("file", SOUND), *fields, ("language", b"en")), {"Content-Type": FORM}, ""),
        (form(("language", b"en"), ("file", SOUND)), {"Content-Type": FORM}, "?language=de&words=1"),
    ):
        status, (info, *segments, _) = await told(hearing, data, headers, query)
        assert status == 200
        assert isinstance(info, Info)
        assert (info.language, info.language_probability) == ("en", None)  # told, not heard
        assert all(isinstance(one, Segment) and one.words for one in segments)


async def test_the_first_words_come_before_the_upload_has_ended(speaking: Front) -> None:
    before = form(("language", b"en"), ("file", SPEECH))
    for media, body in (("video/mp4", SPEECH), (FORM, before)):
        async with raw(speaking, media=media) as request:
            request.send(body[: len(body) * 3 // 4])
            assert (await request.head())[0] == 200
            assert isinstance(await request.event(), Info)
            assert isinstance(await request.event(), Segment)
            request.send(body[len(body) * 3 // 4 :])
            request.finish()
            end = await request.last()
            assert isinstance(end, End)
            assert end.duration == pytest.approx(23.2, abs=0.2)
    await nothing_left(speaking)


async def test_the_same_bytes_are_recognised_once(speaking: Front) -> None:
    status, first = await told(speaking, SPEECH, VIDEO)
    assert status == 200
    os.kill(speaking.gateway.pool.pids[0], signal.SIGSTOP)  # from now on nothing is recognised
    try:
        for data, headers in ((SPEECH, VIDEO), (form(("file", SPEECH)), {"Content-Type": FORM})):
            status, second = await told(speaking, data, headers)
            assert (status, text(second)) == (200, text(first))
            assert isinstance(second[-1], End)
    finally:
        os.kill(speaking.gateway.pool.pids[0], signal.SIGCONT)
    await nothing_left(speaking)


async def test_two_at_once_of_the_same_bytes_get_the_same_text(speaking: Front) -> None:
    (_, first), (_, second) = await asyncio.gather(
        told(speaking, SPEECH, VIDEO), told(speaking, pieces(SPEECH), VIDEO)
    )
    assert isinstance(first[-1], End)
    assert text(first) == text(second)
    await nothing_left(speaking)


async def test_who_sent_the_same_bytes_goes_on_when_the_first_leaves(speaking: Front) -> None:
    async with raw(speaking) as first, raw(speaking) as second:
        for request in (first, second):
            request.send(SPEECH)
            request.finish()
        assert (await first.head())[0] == 200
        first.writer.close()
        assert (await second.head())[0] == 200
        assert isinstance(await second.last(), End)
    await nothing_left(speaking)


async def test_a_worker_that_dies_costs_an_upload_no_word(speaking: Front) -> None:
    async with raw(speaking) as request:
        request.send(SPEECH[: len(SPEECH) * 3 // 4])
        await request.head()
        assert isinstance(await request.event(), Info)
        os.kill(speaking.gateway.pool.pids[0], signal.SIGKILL)
        request.send(SPEECH[len(SPEECH) * 3 // 4 :])
        request.finish()
        assert isinstance(await request.last(), End)


# Broken


@pytest.mark.parametrize("how", ["closed", "reset"])
async def test_a_client_that_leaves_in_the_middle_leaves_nothing(speaking: Front, how: str) -> None:
    """While the head is awaited, and after the first words."""
    for share in (0.1, 0.75):
        async with raw(speaking) as request:
            request.send(SPEECH[: int(len(SPEECH) * share)])
            await until(lambda: speaking.gateway.spools._bytes > 10_000)
            if share > 0.5:
                await request.head()
                await request.event()
            if how == "reset":
                request.writer.transport.abort()
        await nothing_left(speaking)


async def test_an_upload_that_broke_is_not_taken_for_the_whole(speaking: Front) -> None:
    """What came of it is no transcript that anybody else gets."""
    async with raw(speaking) as request:
        request.send(SPEECH[: len(SPEECH) * 3 // 4])
        await request.head()
        await request.event()
    await nothing_left(speaking)
    status, log = await told(speaking, SPEECH, VIDEO)
    assert isinstance(end := log[-1], End)
    assert (status, end.duration) == (200, pytest.approx(23.2, abs=0.2))


async def test_a_body_that_stalls_is_given_up(listening: Any) -> None:
    front = await listening(upload_stall_s=0.5)
    async with raw(front) as request:  # nothing of it
        status, error = await request.error()
        assert (status, error["code"]) == (408, "REQUEST_TIMEOUT")
    async with raw(front) as request:  # too little for a word
        request.send(SPEECH[:2000])
        status, error = await request.error()
        assert (status, error["code"]) == (408, "REQUEST_TIMEOUT")
    async with raw(front, media=FORM) as request:  # within the field
        request.send(form(("language", b"en"))[:-20])
        status, error = await request.error()
        assert (status, error["code"]) == (408, "REQUEST_TIMEOUT")
    await nothing_left(front)


async def test_a_body_that_stalls_after_the_first_words_ends_in_an_error_line(listening: Any) -> None:
    front = await listening(upload_stall_s=5)
    async with raw(front) as request:
        request.send(SPEECH[: len(SPEECH) * 3 // 4])
        assert (await request.head())[0] == 200
        last = await request.last()
        assert isinstance(last, Failed)
        assert last.code == "REQUEST_TIMEOUT"
    await nothing_left(front)


async def test_a_sound_that_ends_before_its_body_is_not_taken_for_whole(listening: Any) -> None:
    """A decoder stops where a WAV says that its samples end; what follows may still break."""
    front = await listening(upload_stall_s=3)
    async with raw(front, media="audio/wav") as request:
        request.send(clips.wav(clips.decoded(CLIPS / "sound.mp3")))
        assert (await request.head())[0] == 200
        last = await request.last()
        assert isinstance(last, Failed)
        assert last.code == "REQUEST_TIMEOUT"
    await nothing_left(front)


async def test_a_body_that_trickles_is_given_up(listening: Any) -> None:
    front = await listening(upload_s=1)
    async with raw(front, media="audio/mpeg") as request:
        answer = asyncio.ensure_future(request.error())
        at = 0
        while not answer.done():
            request.send(SOUND[at : at + 10])
            at += 10
            await asyncio.sleep(0.05)
        status, error = await answer
        assert (status, error["code"]) == (408, "REQUEST_TIMEOUT")
    await nothing_left(front)


async def test_chunks_that_are_none_are_told(listening: Any) -> None:
    """At once: not by the deadline."""
    front = await listening(upload_stall_s=600)
    async with raw(front) as request:
        request.send(SPEECH[:2000])
        await until(lambda: bool(front.gateway.spools._entries))
        request.writer.write(b"ZZ\r\n")
        status, error = await request.error()
        assert (status, error["code"]) == (400, "VALIDATION_ERROR")
        assert request.closing
    await nothing_left(front)


@shared
async def test_a_form_that_is_cut_or_none_is_told(hearing: Front) -> None:
    cut = form(("file", SOUND))
    for body in (cut[:-10], cut[:20], b"no form at all", b""):
        status, code, _ = await refused(hearing, body, {"Content-Type": FORM})
        assert (status, code) == (400, "VALIDATION_ERROR"), body[:30]
    status, code, message = await refused(hearing, cut, {"Content-Type": "multipart/form-data"})
    assert (status, code) == (400, "VALIDATION_ERROR")
    assert "boundary" in message
    await nothing_left(hearing)


@shared
async def test_what_is_no_media_is_told(hearing: Front) -> None:
    index_last = b"\0\0\0\x18ftypisom\0\0\0\0isommp42" + b"\0\x01\0\0mdat" + bytes(5000)
    for data in (
        b"This is a text, whatever its name says.\n" * 500,
        (CLIPS / "slide-1.jpg").read_bytes(),
        SPEECH[:2000],
        index_last,
        b"\0",
    ):
        status, code, _ = await refused(hearing, data, AUDIO)
        assert (status, code) == (422, "MEDIA_UNDECODABLE"), data[:20]
    for data, headers, at in (
        (b"", AUDIO, "body:"),
        (form(("file", b"")), {"Content-Type": FORM}, "body.file:"),
        (form(("audio", SOUND)), {"Content-Type": FORM}, "body.file:"),
    ):
        status, code, message = await refused(hearing, data, headers)
        assert (status, code) == (400, "VALIDATION_ERROR")
        assert message.startswith(at)
    await nothing_left(hearing)


async def test_a_sound_that_is_too_long_is_told(listening: Any) -> None:
    front = await listening(video_duration_max=5)
    await fails(front, SOUND, AUDIO, 422, "VIDEO_TOO_LONG")
    await nothing_left(front)


async def test_what_still_comes_after_the_answer_is_passed_over(
    listening: Any, caplog: pytest.LogCaptureFixture
) -> None:
    front = await listening(video_duration_max=1)
    half = SPEECH[: len(SPEECH) // 2]
    for more in ((), (f"Content-Length: {len(half) + 10_000}",)):  # a spool that is nearly whole
        async with raw(front, "/transcribe", *more) as request:
            send = request.writer.write if more else request.send
            send(half)
            assert (await request.head())[0] == 200
            assert isinstance(await request.last(), Failed)
            for _ in range(10):  # nobody else reads what the server drains
                send(bytes(1000))
                await asyncio.sleep(0.002)
            if not more:
                request.finish()
            request.writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await request.head())[0] == 200
    assert not caplog.records
    await nothing_left(front)


# Refused


@shared
@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("?language=english", "query.language:"), ("?task=sing", "query.task:"),
        ("?words=maybe", "query.words:"), ("?source=radio", "query.source:"),
        ("?prompt=" + "x" * 2001, "query.prompt:"), ("?hotwords=" + "x" * 2001, "query.hotwords:"),
        ("?model=huge", "The model"), ("?source=captions", "An upload"),
    ],
)  # fmt: skip
async def test_a_wrong_option_is_told_before_the_body_is_sent(lasting: Front, query: str, fault: str) -> None:
    async with raw(lasting, "/transcribe" + query, "Expect: 100-continue") as request:
        status, error = await request.error()
    assert (status, error["code"]) == (400, "VALIDATION_ERROR")
    assert error["message"].startswith(fault)


@shared
async def test_a_wrong_field_is_told(hearing: Front) -> None:
    for fields, fault in (
        ([("words", b"maybe"), ("file", SOUND)], "body.words:"),
        ([("file", SOUND), ("words", b"maybe")], "body.words:"),
        ([("prompt", b"\xff"), ("file", SOUND)], "prompt: this field is not UTF-8"),
        ([("file", SOUND), ("file", SOUND)], "The form has more than one file"),
        ([("x", b"")] * 65 + [("file", SOUND)], "The form has more than one file, or too many"),
    ):
        status, code, message = await refused(hearing, form(*fields), {"Content-Type": FORM})
        assert (status, code) == (400, "VALIDATION_ERROR"), message
        assert message.startswith(fault)
    late = form(("language", b"en"), ("file", SOUND), ("words", b"true"))
    await fails(hearing, late, {"Content-Type": FORM}, 400, "VALIDATION_ERROR")
    long = form(("prompt", b"x" * 140_000), ("file", SOUND))
    assert (await refused(hearing, long, {"Content-Type": FORM}))[:2] == (413, "BODY_TOO_LARGE")
    await nothing_left(hearing)


async def test_too_much_is_told_by_the_length_before_anything_is_read(listening: Any) -> None:
    front = await listening(upload_bytes_max=50_000)
    for media in ("video/mp4", FORM):
        for more in (("Content-Length: 50001",), ("Content-Length: 50001", "Expect: 100-continue")):
            async with raw(front, "/transcribe", *more, media=media) as request:
                status, error = await request.error()  # and no 100 before it
                assert (status, error["code"]) == (413, "BODY_TOO_LARGE")
                assert request.closing == (len(more) > 1)  # the body may come after all, or never


async def test_too_much_is_told_when_it_has_come(listening: Any) -> None:
    front = await listening(upload_bytes_max=50_000)
    for media, body in (("video/mp4", SPEECH), (FORM, form(("file", SPEECH)))):
        async with raw(front, media=media) as request:
            request.send(body[:50_001])
            status, error = await request.error()
            assert (status, error["code"]) == (413, "BODY_TOO_LARGE")
    await nothing_left(front)


async def test_without_room_for_it_an_upload_is_busy(listening: Any) -> None:
    front = await listening(spool_bytes_max=1 << 20)
    url = front.url + "/transcribe"
    async with front.session.post(url, data=SPEECH[:2000] + bytes(2 << 20), headers=VIDEO) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (503, "BUSY")
        assert int(response.headers["Retry-After"]) > 0
    await nothing_left(front)


@shared
async def test_an_upload_is_busy_before_it_is_sent_where_it_would_not_be_heard(lasting: Front) -> None:
    async with raw(lasting, "/transcribe", "Expect: 100-continue") as request:
        status, error = await request.error()
    assert (status, error["code"]) == (503, "BUSY")


async def test_a_client_that_waits_is_told_to_go_on(speaking: Front) -> None:
    wish = json.dumps({"url": speaking.origin.url("photo3")}).encode()
    for media, body in (("audio/mpeg", SOUND), ("application/json", wish)):
        more = (f"Content-Length: {len(body)}", "Expect: 100-continue")
        async with raw(speaking, "/transcribe", *more, media=media) as request:
            assert await request.head() == (100, {})
            request.writer.write(body)
            assert (await request.head())[0] == 200
            assert isinstance(await request.last(), End)
            # and the connection goes on
            request.writer.write(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert (await request.head())[0] == 200


@shared
async def test_a_compressed_upload_is_not_read(lasting: Front) -> None:
    headers = {**AUDIO, "Content-Encoding": "gzip"}
    assert (await refused(lasting, SOUND, headers))[:2] == (415, "UNSUPPORTED_MEDIA_TYPE")


async def test_an_upload_has_its_place_while_it_arrives(listening: Any) -> None:
    front = await listening(transcripts_max=1)
    async with raw(front, media=FORM) as request:  # its file comes first: no transcript yet
        request.send(form(("file", SPEECH))[:5000])
        await until(lambda: not front.gateway.transcripts.room)
        await fails(front, SPEECH, VIDEO, 503, "BUSY")
    await until(lambda: front.gateway.transcripts.room)
    status, log = await told(front, SPEECH, VIDEO)
    assert (status, type(log[-1])) == (200, End)


async def test_what_is_kept_of_a_transcript_holds_nothing_of_its_upload(
    speaking: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    uploads: weakref.WeakSet[upload.Upload] = weakref.WeakSet()
    begin = upload.Upload.begin

    async def noted(self: upload.Upload) -> None:
        uploads.add(self)
        await begin(self)

    monkeypatch.setattr(upload.Upload, "begin", noted)
    await told(speaking, SOUND, {"Content-Type": "audio/mpeg"})
    await fails(speaking, b"no media at all", {"Content-Type": "audio/mpeg"}, 422, "MEDIA_UNDECODABLE")
    async with asyncio.timeout(10):
        while uploads:  # what has just ended lets go of it a moment later
            await asyncio.sleep(0.01)
            gc.collect()


async def test_a_full_server_refuses_an_upload_and_stays_whole(listening: Any) -> None:
    front = await listening(transcripts_max=1)
    async with raw(front) as request:
        request.send(SPEECH[: len(SPEECH) * 3 // 4])
        await request.head()
        status, code, _ = await refused(front, SOUND, AUDIO)
        assert (status, code) == (503, "BUSY")
        request.send(SPEECH[len(SPEECH) * 3 // 4 :])
        request.finish()
        assert isinstance(await request.last(), End)
