"""OpenAI's audio API, by its own client, against the real server and model."""

import asyncio
import json
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
from openai import AsyncOpenAI

from gateway.web.dialects.openai import ALIASES
from gateway.wire import subtitles
from tests.speech import clips
from tests.web.conftest import Front, Start, shared, until
from tests.web.test_uploads import FORM, SOUND, SPEECH, Raw, alike, form, nothing_left, raw

CLIPS = Path(__file__).parents[1] / "origin" / "clips"
CLIP = CLIPS / "sound.mp3"
SAID = (CLIPS / "sound.txt").read_text()
TRANSCRIPTIONS = "/v1/audio/transcriptions"


def client_of(front: Front) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=front.url + "/v1", api_key="x", max_retries=0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(hearing: Front) -> AsyncIterator[AsyncOpenAI]:
    async with client_of(hearing) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deaf(lasting: Front) -> AsyncIterator[AsyncOpenAI]:
    """Of a gateway without a model."""
    async with client_of(lasting) as client:
        yield client


async def heard(client: AsyncOpenAI, **wish: Any) -> Any:
    return await client.audio.transcriptions.create(**({"file": CLIP, "model": "whisper-1"} | wish))


async def translated(client: AsyncOpenAI, **wish: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return await client.audio.translations.create(**({"file": CLIP, "model": "whisper-1"} | wish))


# Answers


@shared
async def test_every_format_has_the_same_words(client: AsyncOpenAI, hearing: Front) -> None:
    plain = await heard(client, model="base")
    assert alike(plain.text, SAID)
    assert plain.usage.type == "duration"
    assert plain.usage.seconds == pytest.approx(10, abs=0.2)
    assert await heard(client, response_format="text") == plain.text + "\n"
    vtt = await heard(client, response_format="vtt")
    assert " ".join(cue.text for cue in subtitles.cues(vtt)) == plain.text
    srt = await heard(client, response_format="srt")
    blocks = [block.split("\n") for block in srt.strip().split("\n\n")]
    assert [number for number, *_ in blocks] == [str(n + 1) for n in range(len(blocks))]
    assert " ".join(text for _, _, text in blocks) == plain.text
    verbose = await heard(client, response_format="verbose_json")
    assert (verbose.task, verbose.language, verbose.text) == ("transcribe", "english", plain.text)
    assert verbose.duration == plain.usage.seconds
    assert verbose.words is None
    assert [one.id for one in verbose.segments] == list(range(len(blocks)))
    assert " ".join(one.text for one in verbose.segments) == plain.text
    for one in verbose.segments:
        assert 0 <= one.start < one.end <= verbose.duration
        assert (one.seek, one.tokens, one.temperature) == (round(one.start * 100), [], 0)
        assert one.avg_logprob < 0 < one.compression_ratio
        assert 0 <= one.no_speech_prob <= 1
    await nothing_left(hearing)


@shared
async def test_words_have_their_times_where_they_are_asked_for(client: AsyncOpenAI) -> None:
    for wanted in (["word"], ["word", "segment"], ["segment"]):
        got = await heard(client, response_format="verbose_json", timestamp_granularities=wanted)
        assert bool(got.segments) == ("segment" in wanted)
        assert bool(got.words) == ("word" in wanted)
        if got.words:
            assert " ".join(one.word for one in got.words) == got.text
            times = [time for one in got.words for time in (one.start, one.end)]
            assert times == sorted(times)


@shared
async def test_a_stream_has_deltas_and_one_end_that_joins_them(client: AsyncOpenAI) -> None:
    whole = await heard(client, file=CLIPS / "speech.mp4")
    stream = await heard(client, file=CLIPS / "speech.mp4", stream=True)
    *deltas, done = [event async for event in stream]
    assert len(deltas) > 1
    assert {one.type for one in deltas} == {"transcript.text.delta"}
    assert done.type == "transcript.text.done"
    assert done.text == "".join(one.delta for one in deltas) == whole.text
    assert (done.usage.type, done.usage.seconds) == ("duration", whole.usage.seconds)


@shared
async def test_deltas_come_before_the_upload_has_ended_and_are_events(hearing: Front) -> None:
    body = form(("stream", b"true"), ("model", b"base"), ("file", SPEECH))
    async with raw(hearing, TRANSCRIPTIONS, media=FORM) as request:
        request.send(body[: len(body) * 3 // 4])
        status, headers = await request.head()
        assert (status, headers["content-type"]) == (200, "text/event-stream")
        first = await chunk(request)
        assert first.startswith(b'data: {"type":"transcript.text.delta","delta":"')
        assert first.endswith(b'"}\n\n')
        request.send(body[len(body) * 3 // 4 :])
        request.finish()
        while data := await chunk(request):
            last = data
        assert json.loads(last.removeprefix(b"data: "))["type"] == "transcript.text.done"


@shared
async def test_a_stream_that_is_asked_for_too_late_is_told(hearing: Front) -> None:
    body = form(("model", b"base"), ("file", SPEECH), ("stream", b"true"))
    async with raw(hearing, TRANSCRIPTIONS, media=FORM) as request:
        request.send(body)
        request.finish()
        status, error = await request.error()
    assert (status, error["param"]) == (400, "stream")


@shared
async def test_a_stream_that_fails_has_an_error_and_no_end(hearing: Front) -> None:
    body = form(("stream", b"true"), ("model", b"base"), ("file", SPEECH), ("language", b"de"))
    async with raw(hearing, TRANSCRIPTIONS, media=FORM) as request:
        request.send(body[: len(SPEECH) * 3 // 4])
        await request.head()
        await chunk(request)
        request.send(body[len(SPEECH) * 3 // 4 :])
        request.finish()
        said = await request.reader.read()
    events = [json.loads(line[6:]) for line in said.split(b"\r\n") if line.startswith(b"data: ")]
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["code"] == "validation_error"
    assert "language" in events[-1]["error"]["message"]
    assert "transcript.text.done" not in {event["type"] for event in events}
    assert not said.endswith(b"0\r\n\r\n")  # broken off
    await nothing_left(hearing)


@shared
async def test_translations_are_english(client: AsyncOpenAI) -> None:
    got = await translated(client, response_format="verbose_json", prompt="A garden.", temperature=0)
    assert (got.task, got.language) == ("translate", "english")
    assert alike(got.text, SAID)
    assert (await translated(client, response_format="text")).strip() == (await translated(client)).text


@shared
async def test_another_language_is_translated(client: AsyncOpenAI) -> None:
    spoken = {clip.language: clip for clip in clips.held() or []}
    if "de" not in spoken:
        pytest.skip("CLIPWIRE_SPEECH names no folder with a German clip")
    file = ("clip.wav", clips.wav(spoken["de"].samples))
    got = await heard(client, file=file, response_format="verbose_json")
    assert got.language == "german"
    english = await translated(client, file=file)
    assert english.text
    assert english.text != got.text


@shared
async def test_fields_count_wherever_they_are_in_the_form(hearing: Front) -> None:
    """As curl sends them, the file first; and on both sides of it, where one changes what is to be heard."""
    head = {"Content-Type": FORM}
    verbose = ("response_format", b"verbose_json")
    sound = clips.wav(clips.decoded(CLIP)[: 2 * clips.RATE * 3])  # what is no Welsh is tried again and again
    for fields in (
        [("file", sound), ("model", b"whisper-1"), verbose, ("language", b"Welsh")],
        [("model", b"whisper-1"), ("file", sound), ("language", b"cy"), verbose],
        [("language", b"cy"), ("file", sound), verbose, ("model", b"whisper-1")],
    ):
        data = form(*fields)
        async with hearing.session.post(hearing.url + TRANSCRIPTIONS, data=data, headers=head) as response:
            assert response.status == 200
            assert (await response.json())["language"] == "welsh"
    await nothing_left(hearing)


@shared
async def test_what_is_not_known_is_passed_over(client: AsyncOpenAI) -> None:
    got = await heard(
        client, include=["logprobs"], chunking_strategy="auto", known_speaker_names=["Ann"],
        known_speaker_references=["data:audio/wav;base64," + "A" * 50_000], extra_body={"novelty": "1"},
        language="English", temperature=0.2, prompt="The garden in summer.",
    )  # fmt: skip
    assert alike(got.text, SAID)
    assert isinstance((await heard(client, prompt="One apple. " * 4000)).text, str)  # its end counts


# Models


@shared
async def test_the_models_are_the_servers_own_and_its_aliases(deaf: AsyncOpenAI) -> None:
    listed = [model.id async for model in deaf.models.list()]
    assert listed == ["no-model", *ALIASES]
    for name in listed:
        model = await deaf.models.retrieve(name)
        assert (model.id, model.object, model.owned_by) == (name, "model", "clipwire")
    with pytest.raises(openai.NotFoundError) as refused:
        await deaf.models.retrieve("openai/whisper-huge")
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")


# Errors


@shared
async def test_faults_name_their_field(client: AsyncOpenAI, hearing: Front) -> None:
    verbose = {"response_format": "verbose_json"}
    for wish, param in (
        ({"language": "klingon"}, "language"),
        ({"response_format": "diarized_json"}, "response_format"),
        ({"response_format": "html"}, "response_format"),
        ({"temperature": 1.1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"timestamp_granularities": ["word"]}, "timestamp_granularities[]"),
        (verbose | {"timestamp_granularities": ["year"]}, "timestamp_granularities[]"),
        ({"stream": True, "response_format": "srt"}, "stream"),
        ({"file": b""}, "file"),
        ({"model": ""}, "model"),
    ):  # fmt: skip
        with pytest.raises(openai.BadRequestError) as refused:
            await heard(client, **wish)
        assert (refused.value.param, refused.value.type) == (param, "invalid_request_error"), wish
        assert refused.value.code == "validation_error"
        assert param in str(refused.value)
        assert refused.value.request_id
    with pytest.raises(openai.NotFoundError) as unknown:
        await heard(client, model="whisper-huge")
    assert (unknown.value.param, unknown.value.code) == ("model", "model_not_found")
    with pytest.raises(openai.UnprocessableEntityError) as undecodable:
        await heard(client, file=("speech.mp3", b"not at all\n" * 500))
    assert (undecodable.value.param, undecodable.value.code) == ("file", "media_undecodable")
    await nothing_left(hearing)


@shared
async def test_a_request_without_a_form_or_file_names_the_file(hearing: Front) -> None:
    for data, headers in (
        (b'{"model": "base"}', {"Content-Type": "application/json"}), (SOUND, {"Content-Type": "audio/mpeg"}),
        (form(("model", b"base")), {"Content-Type": FORM}),
    ):  # fmt: skip
        url = hearing.url + TRANSCRIPTIONS
        async with hearing.session.post(url, data=data, headers=headers) as response:
            error = (await response.json())["error"]
            assert (response.status, error["param"], error["type"]) == (400, "file", "invalid_request_error")


@shared
async def test_failures_of_the_server_have_their_status(deaf: AsyncOpenAI, lasting: Front) -> None:
    with pytest.raises(openai.InternalServerError) as refused:
        await heard(deaf)
    assert (refused.value.status_code, refused.value.type, refused.value.code) == (
        503,
        "server_error",
        "busy",
    )
    assert int(refused.value.response.headers["Retry-After"]) > 0
    for method, path, status in (
        ("GET", "/v1/nothing", 404), ("POST", "/v1/models", 405), ("GET", TRANSCRIPTIONS, 405),
    ):  # fmt: skip
        async with lasting.session.request(method, lasting.url + path) as response:
            error = (await response.json())["error"]
            assert (response.status, error["type"], error["param"]) == (status, "invalid_request_error", None)


async def test_a_file_that_is_too_large_is_told(start: Start) -> None:
    front = await start(upload_bytes_max=50_000)
    async with client_of(front) as client:
        with pytest.raises(openai.APIStatusError) as refused:
            await heard(client, file=SPEECH)
    assert (refused.value.status_code, refused.value.code) == (413, "body_too_large")


async def test_a_client_that_leaves_leaves_nothing(speaking: Front) -> None:
    """While it sends, and while it waits for all of the words."""
    body = form(("model", b"base"), ("file", SPEECH))
    for share in (0.5, 1.0):
        async with raw(speaking, TRANSCRIPTIONS, media=FORM) as request:
            request.send(body[: int(len(body) * share)])
            await until(lambda: len(speaking.gateway.transcripts) == 1)
            await asyncio.sleep(0)
        await nothing_left(speaking)


async def chunk(request: Raw) -> bytes:
    """The next chunk of a body, b"" at its end."""
    size = int(await request.reader.readuntil(b"\r\n"), 16)
    return (await request.reader.readexactly(size + 2))[:-2]
