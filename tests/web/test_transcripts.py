"""GET /transcripts/{id}: following a transcript from any point, in every form, and its bad endings."""

import asyncio
import hashlib
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.errors import SpeechFailed
from gateway.web.app import application
from gateway.wire import events
from gateway.wire.events import End, Event, Failed, Progress
from gateway.wire.forms import FORMS, NAMED, Form
from gateway.wiring import Gateway
from tests.web.conftest import Front, Start, until
from tests.web.script import END, INFO, Script, segment

BROKEN = (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)
each_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
each_lines = pytest.mark.parametrize("form", [one for one in FORMS if one.lines], ids=lambda form: form.name)
each_file = pytest.mark.parametrize("form", [one for one in FORMS if one.breaks], ids=lambda form: form.name)


def written(form: Form, script: Script) -> bytes:
    """All that is logged, in a form."""
    write = form.writer()
    return b"".join(write(event, number) for number, event in enumerate(script.transcript.events))


@asynccontextmanager
async def reading(front: Front, path: str, **headers: str) -> AsyncIterator[aiohttp.ClientResponse]:
    async with asyncio.timeout(20), front.session.get(front.url + path, headers=headers) as response:
        yield response


async def answer(front: Front, path: str, **headers: str) -> tuple[int, Any]:
    """An answer that is no stream: its status, and its JSON or the code of its error."""
    async with reading(front, path, **headers) as response:
        body = await response.read()
        found = json.loads(body) if body else None
    return response.status, found["error"]["code"] if found and response.status >= 400 else found


def told(form: Form, body: bytes) -> list[tuple[int | None, Event]]:
    """The events of lines; with their numbers, where those are told."""
    if form.name == "ndjson":
        return [(None, events.parse(line)) for line in body.splitlines()]
    frames = [
        dict(line.split(": ", 1) for line in one.split("\n")) for one in body.decode().split("\n\n")[:-1]
    ]
    return [(int(one["id"]) if "id" in one else None, events.parse(one["data"])) for one in frames]


def logged(form: Form, body: bytes) -> list[Event]:
    return [event for _, event in told(form, body) if not isinstance(event, Progress)]


def unchunked(body: bytes) -> tuple[bytes, bool]:
    """What is in the chunks of a body, and whether the last one is there."""
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        if not length:
            return found, True
        assert body[length : length + 2] == b"\r\n"
        found, body = found + body[:length], body[length + 2 :]
    return found, False


# in every form


@each_form
async def test_a_whole_transcript_is_told_in_the_form_asked_for(front: Front, form: Form) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO, segment(0), segment(1, " Zwei: ä & <b>."), END)
    await script.have(4)
    for path, headers in (
        (f"{script.path}/events?format={form.name}", {}),
        (f"{script.path}/events", {"Accept": form.media_type}),
        (f"{script.path}.{form.name}", {}),
    ):
        if form.lines and path.endswith(f".{form.name}"):
            continue
        async with reading(front, path, **headers) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == form.content_type
            assert response.headers["Transcript-Id"] == script.transcript.id
            assert response.headers["Cache-Control"] == "no-store"
            assert await response.read() == written(form, script)


@each_form
async def test_a_segment_leaves_as_soon_as_it_is_there(front: Front, form: Form) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO)
    # the head comes with the first event, also where the form has nothing to say of that
    async with reading(front, f"{script.path}/events?format={form.name}") as response:
        got = b""
        for number in range(3):
            script.say(segment(number))
            while f"Sentence {number}.".encode() not in got:
                got += await response.content.readany()
        script.say(END)
        got += await response.read()
    if form.lines:
        assert logged(form, got) == list(script.transcript.events)
    else:
        assert got == written(form, script)


async def test_all_forms_say_the_same_text(front: Front) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO, *(segment(number) for number in range(20)), END)
    await script.have(22)
    async with reading(front, script.path + ".txt") as response:
        text = await response.read()
    status, document = await answer(front, script.path + ".json")
    assert (status, document["text"]) == (200, text.decode())
    assert document["text_sha256"] == hashlib.sha256(text).hexdigest()
    assert document["duration"] == END.duration


# from any point


@each_lines
async def test_a_running_transcript_is_resumed_with_exactly_what_is_missing(front: Front, form: Form) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO, *(segment(number) for number in range(4)))
    await script.have(5)
    path = f"{script.path}/events?format={form.name}"
    async with reading(front, path) as staying:
        async with reading(front, path) as leaving:
            async with asyncio.timeout(10):
                head = b""
                while b"Sentence 1." not in head:
                    head += await leaving.content.readany()
        # a browser comes again with the address as it was
        async with reading(front, f"{path}&after=0", **{"Last-Event-ID": "2"}) as resumed:
            script.say(segment(4), END)
            rest = told(form, await resumed.read())
        whole = told(form, await staying.read())
    missing = [one for one in rest if not isinstance(one[1], Progress)]
    assert [event for _, event in missing] == list(script.transcript.events[3:])
    assert [event for _, event in whole if not isinstance(event, Progress)] == list(script.transcript.events)
    if form.name == "sse":
        assert [number for number, _ in missing] == [3, 4, 5, 6]


@each_lines
async def test_after_is_the_last_event_that_the_caller_has(front: Front, form: Form) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO, segment(0), segment(1), END)
    await script.have(4)
    for after, headers in (("-1", {}), ("0", {}), ("2", {}), ("0", {"Last-Event-ID": "1"})):
        path = f"{script.path}/events?format={form.name}&after={after}"
        async with reading(front, path, **headers) as response:
            last = int(headers.get("Last-Event-ID", after))
            assert logged(form, await response.read()) == list(script.transcript.events[last + 1 :])


async def test_nothing_is_left_to_tell_after_the_last_event(front: Front) -> None:
    for ending in (END, SpeechFailed()):
        script = Script(front.gateway.transcripts)
        script.say(INFO, segment(0), ending)
        await script.have(3)
        for after in ("2", "3", "999999999"):
            assert await answer(front, f"{script.path}/events?after={after}") == (204, None)
            assert await answer(front, f"{script.path}/events?after=0", **{"Last-Event-ID": after}) == (
                204,
                None,
            )


async def test_an_event_that_is_not_there_yet_is_asked_for_again(front: Front) -> None:
    script = Script(front.gateway.transcripts)
    assert await answer(front, f"{script.path}/events?after=0") == (503, "BUSY")
    script.say(INFO)
    await script.have(1)
    async with front.session.get(f"{front.url}{script.path}/events?after=1") as response:
        assert (response.status, response.headers["Retry-After"]) == (503, "5")
    script.say(segment(0), segment(1), END)
    await script.have(4)
    async with reading(front, f"{script.path}/events?after=1") as response:
        assert logged(NAMED["ndjson"], await response.read()) == list(script.transcript.events[2:])


@pytest.mark.parametrize("after", ["x", "", "1.5", "-2", "1e3", "٣", "9" * 10, " 1", "+1"])
async def test_what_is_no_number_is_told(front: Front, after: str) -> None:
    script = Script(front.gateway.transcripts)
    async with front.session.get(front.url + script.path + "/events", params={"after": after}) as response:
        assert response.status == 400
        assert (await response.json())["error"]["code"] == "VALIDATION_ERROR"
    if after.strip():
        headers = {"Last-Event-ID": after.strip() + "x"}
        assert await answer(front, script.path + "/events", **headers) == (400, "VALIDATION_ERROR")


async def test_only_lines_begin_in_the_middle(front: Front) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO, segment(0), END)
    await script.have(3)
    for form in FORMS:
        if not form.lines:
            path = f"{script.path}/events?format={form.name}"
            assert await answer(front, f"{path}&after=0") == (400, "VALIDATION_ERROR")
            assert await answer(front, path, **{"Last-Event-ID": "1"}) == (400, "VALIDATION_ERROR")


async def test_what_is_not_there_is_not_found(front: Front) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO, END)
    await script.have(2)
    for path in (
        "/transcripts/unknown", "/transcripts/unknown/events", "/transcripts/unknown.txt",
        script.path + ".docx", script.path + ".ndjson", script.path + "/more",
    ):  # fmt: skip
        assert await answer(front, path) == (404, "NOT_FOUND"), path
    assert await answer(front, script.path + "/events?format=docx") == (406, "NOT_ACCEPTABLE")
    assert await answer(front, script.path + "/events", Accept="image/png") == (406, "NOT_ACCEPTABLE")


# bad endings


@each_form
async def test_a_failure_after_the_head_is_told_or_breaks_the_connection(front: Front, form: Form) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO, segment(0))
    broke, got = False, b""
    async with reading(front, f"{script.path}/events?format={form.name}") as response:
        assert response.status == 200
        script.say(segment(1, "x" * 100_000), SpeechFailed())  # more than what is sent at once
        try:
            while data := await response.content.readany():
                got += data
        except BROKEN:
            broke = True
    assert broke == form.breaks
    assert isinstance(script.transcript.events[-1], Failed)
    if form.lines:
        assert logged(form, got) == list(script.transcript.events)
    else:
        assert got == written(form, script)  # what came before is right, and all there
    if form.name == "json":
        assert json.loads(got)["error"]["code"] == "SPEECH_FAILED"


async def test_what_came_before_a_failure_reaches_a_slow_reader_too(front: Front) -> None:
    script = Script(front.gateway.transcripts)
    # aiohttp waits for the kernel after every 17 of them: the last 4 are still with the gateway
    script.say(INFO, *(segment(number, f"{number} " * 1000) for number in range(395)))
    async with TestServer(_holding_little(front.gateway), handler_cancellation=True) as server:
        reader, writer = await asyncio.open_connection(server.host, server.port, limit=2048)
        writer.write(f"GET {script.path}.txt HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        async with asyncio.timeout(60):
            await reader.readuntil(b"\r\n\r\n")
            script.say(SpeechFailed())
            await script.have(397)
            body = await reader.read()
        writer.close()
    assert unchunked(body) == (written(NAMED["txt"], script), False)


def _holding_little(gateway: Gateway) -> web.Application:
    """As the gateway's own; but its kernel takes no more than some kilobytes of an answer."""
    app = application(gateway)

    async def little(request: web.Request, response: web.StreamResponse) -> None:
        assert request.transport is not None
        request.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)

    app.on_response_prepare.append(little)
    return app


async def test_what_has_failed_is_read_with_its_error_where_there_is_a_place_for_it(front: Front) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO, segment(0), SpeechFailed())
    await script.have(3)
    for form in FORMS:
        path = f"{script.path}/events?format={form.name}"
        if form.breaks:
            assert await answer(front, path) == (500, "SPEECH_FAILED")
            continue
        async with reading(front, path) as response:
            assert response.status == 200
            assert await response.read() == written(form, script)
    async with reading(front, f"{script.path}/events?after=1") as response:
        assert logged(NAMED["ndjson"], await response.read()) == [script.transcript.events[-1]]


async def test_a_failure_before_anything_else(front: Front) -> None:
    for form in FORMS:
        script = Script(front.gateway.transcripts)
        script.say(SpeechFailed())
        async with reading(front, f"{script.path}/events?format={form.name}") as response:
            body = await response.read()
        assert response.status == (500 if form.breaks else 200)
        assert b"SPEECH_FAILED" in body
        if not form.lines:
            assert json.loads(body)["error"]["code"] == "SPEECH_FAILED"


@each_file
async def test_over_http_1_0_the_close_is_the_end_and_a_reset_the_failure(front: Front, form: Form) -> None:
    for ending in (END, SpeechFailed()):
        script = Script(front.gateway.transcripts)
        script.say(INFO, segment(0))
        reader, writer = await front.connect()
        try:
            writer.write(f"GET {script.path}.{form.name} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
            async with asyncio.timeout(20):
                head, body = await reader.readuntil(b"\r\n\r\n"), b""
                assert b" 200 " in head
                assert b"Transfer-Encoding" not in head
                while b"Sentence 0." not in body:
                    body += await reader.read(1000)
                script.say(ending)
                if ending is END:
                    assert body + await reader.read() == written(form, script)
                else:
                    with pytest.raises(ConnectionResetError):
                        while await reader.read(1000):
                            pass
        finally:
            writer.close()


async def test_a_slow_reader_gets_all_of_it_and_holds_nobody_up(front: Front) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO, *(segment(number, f"{number} " * 1000) for number in range(1500)))
    await script.have(1501)
    reader, writer = await front.connect()
    writer.write(f"GET {script.path}.txt HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
    await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)  # and no more for now
    script.say(END)
    async with reading(front, script.path + ".txt") as response:
        quick = await response.read()
    body = b""
    async with asyncio.timeout(30):
        while data := await reader.read(1 << 16):
            body += data
            await asyncio.sleep(0)
    assert body == quick == written(NAMED["txt"], script)
    writer.close()


@each_form
async def test_a_reader_that_takes_nothing_is_left_behind(start: Start, form: Form) -> None:
    front = await start(client_stall_s=0.3)
    script = Script(front.gateway.transcripts)
    script.say(INFO, *(segment(number, f"{number} " * 1000) for number in range(3000)))
    await script.have(3001)
    _, writer = await front.connect()
    path = f"{script.path}/events?format={form.name}"
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    # it was the only one
    await until(lambda: len(front.gateway.transcripts) == 0, 20)
    writer.close()


@each_form
async def test_a_reader_that_leaves_ends_what_nobody_else_needs(front: Front, form: Form) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO)
    async with reading(front, f"{script.path}/events?format={form.name}") as response:
        assert len(front.gateway.transcripts) == 1
        response.close()
    await until(lambda: len(front.gateway.transcripts) == 0)
    assert await answer(front, script.path) == (404, "NOT_FOUND")


# where it stands


async def test_progress_is_sent_while_nothing_else_comes(front: Front) -> None:
    for form in FORMS:
        if not form.lines:
            continue
        script = Script(front.gateway.transcripts)
        async with reading(front, f"{script.path}/events?format={form.name}") as response:
            first = b""
            while not first.endswith(b"}\n" if form.name == "ndjson" else b"\n\n"):
                first += await response.content.readany()
            script.say(SpeechFailed())
            rest = await response.read()
        assert [type(event) for _, event in told(form, first)] == [Progress]
        assert b"id:" not in first
        assert isinstance(told(form, rest)[-1][1], Failed)  # its status is long since sent


async def test_a_transcript_says_where_it_stands(front: Front) -> None:
    script = Script(front.gateway.transcripts)
    transcript = script.transcript
    nothing = {
        "id": transcript.id, "state": "running", "title": None, "url": None, "events": 0, "segments": 0,
        "language": None, "duration": None, "source": None, "speech": None, "text_sha256": None,
        "created_at": f"{transcript.created_at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z", "ended_at": None,
        "standing": {"position": 0, "wait_s": 0.0, "bytes": 0, "bytes_total": None}, "error": None,
    }  # fmt: skip
    assert await answer(front, script.path) == (200, nothing)
    script.say(INFO, segment(0))
    await script.have(2)
    told = {"language": "en", "duration": 6.5, "source": "captions", "events": 2, "segments": 1}
    assert await answer(front, script.path) == (200, nothing | told)
    script.say(END)
    await script.have(3)
    end = transcript.events[-1]
    assert isinstance(end, End)
    assert transcript.ended_at is not None
    done = told | {
        "state": "complete", "events": 3, "duration": END.duration, "standing": None, "speech": "ok",
        "text_sha256": end.text_sha256,
        "ended_at": f"{transcript.ended_at:%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
    }  # fmt: skip
    assert await answer(front, script.path) == (200, nothing | done)


async def test_a_transcript_that_failed_says_why(front: Front) -> None:
    script = Script(front.gateway.transcripts)
    script.say(INFO, SpeechFailed())
    await script.have(2)
    status, body = await answer(front, script.path)
    assert (status, body["state"], body["standing"]) == (200, "failed", None)
    assert body["error"]["code"] == "SPEECH_FAILED"
