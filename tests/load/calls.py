"""The kinds of calls, each as a caller makes it, who checks what comes back to the byte and the word."""

import asyncio
import hashlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import aiohttp
from clipwire import multipart, signed

from gateway.wire import events
from gateway.wire.events import End, Info, Progress, Segment
from tests.load import sounds
from tests.load.caller import Caller
from tests.load.stand import POSTS, SECRET

Call = Callable[[Caller], Awaitable[None]]
PROMISE_S = 120  # what was promised is there by then
SLOW_READ, SLOW_SEND = 50_000, 5_000  # bytes a second
TICK_S = 0.1


# Media


async def download(caller: Caller) -> None:
    """A post as it is, of one part or several."""
    name = caller.chance.choices(
        ("video", "photo3", "speech", "short_vm", "cdn_dies_once", "big"), (6, 4, 3, 2, 2, 1)
    )[0]
    body = {"url": caller.stand.origin.url(name), "content_type": "ORIGINAL"}
    async with caller.asked("POST", "/download", json=body) as answer:
        found = parts(answer, await caller.read(answer))
    assert [data for _, data in found] == caller.stand.origin.parts(name), name


async def several(caller: Caller) -> None:
    """Two posts in one stream."""
    urls = [caller.stand.origin.url(name) for name in ("video", "photo3")]
    body = {"urls": urls, "content_type": "ORIGINAL"}
    async with caller.asked("POST", "/api/v3/download", json=body) as answer:
        found = parts(answer, await caller.read(answer))
    origin = caller.stand.origin
    assert [data for _, data in found] == [*origin.parts("video"), *origin.parts("photo3")]
    assert len({head.name for head, _ in found}) == len(found)


async def made(caller: Caller) -> None:
    """What has to be made first: a film of photos, or the sound of a video."""
    name, mode = caller.chance.choice((("photo3", "VIDEO_ONLY"), ("speech", "AUDIO_ONLY")))
    body = {"url": caller.stand.origin.url(name), "content_type": mode}
    async with caller.asked("POST", "/download", json=body) as answer:
        ((head, data),) = parts(answer, await caller.read(answer))
    assert head.length == len(data) > 10_000
    assert data[4:8] == b"ftyp"


async def ranges(caller: Caller) -> None:
    """A part by its link: some of its bytes, and its head."""
    media = caller.stand.origin.parts("video")[0]
    body = {"url": caller.stand.origin.url("video"), "content_type": "VIDEO_ONLY"}
    async with caller.asked("POST", "/download", json=body) as answer:
        ((head, data),) = parts(answer, await caller.read(answer))
    assert data == media
    assert head.link is not None
    for _ in range(3):
        first = caller.chance.randrange(len(media))
        last = caller.chance.randrange(first, len(media))
        headers = {"Range": f"bytes={first}-{last}"}
        async with caller.asked("GET", head.link, status=206, headers=headers) as answer:
            assert await caller.read(answer) == media[first : last + 1]
            assert answer.headers["Content-Range"].startswith(f"bytes {first}-{last}/")
    async with caller.asked("HEAD", head.link, headers={}) as answer:
        assert answer.headers.get("Content-Length", str(len(media))) == str(len(media))


async def interleaved(caller: Caller) -> None:
    """Words between the bytes."""
    name = f"speech:{caller.chance.randrange(POSTS):04}"
    body = {"url": caller.stand.origin.url(name), "content_type": "VIDEO_ONLY", "transcript": True}
    async with caller.asked("POST", "/download", json=body) as answer:
        found = parts(answer, await caller.read(answer))
    words = b"".join(data for head, data in found if head.name == "transcript.ndjson")
    media = b"".join(data for head, data in found if head.name != "transcript.ndjson")
    assert media == caller.stand.origin.parts(name)[0]
    told(caller, words)


async def dying(caller: Caller) -> None:
    """The site breaks off: an error before the head, or a broken stream; never what looks whole."""
    body = {"url": caller.stand.origin.url("cdn_dies"), "content_type": "VIDEO_ONLY"}
    try:
        async with caller.asked("POST", "/download", status=(200, 500), json=body) as answer:
            data = await caller.read(answer)
            assert answer.status == 500, f"{len(data)} bytes, as if whole"
            assert json.loads(data)["code"] in ("UPSTREAM_FAILED", "UPSTREAM_TIMEOUT")
    except (aiohttp.ClientPayloadError, aiohttp.ClientOSError):
        caller.ends[-1] = "cut"


# Words


async def transcribe(caller: Caller) -> None:
    """A post's words, often with a wish that nobody had before."""
    name = f"speech:{caller.chance.randrange(POSTS):04}"
    body: dict[str, Any] = {"url": caller.stand.origin.url(name), "source": "speech"}
    if caller.chance.random() < 0.6:
        body |= {"hotwords": f"harbour {caller.chance.randrange(10**6)}"}
    async with caller.asked("POST", "/transcribe", json=body) as answer:
        told(caller, await caller.read(answer))


async def joined(caller: Caller) -> None:
    """Several ask for the same at once: who has the same transcript has the same words."""
    url = caller.stand.origin.url(f"speech:{caller.chance.randrange(POSTS):04}")
    body = {"url": url, "prompt": f"Chapter {caller.chance.randrange(10**6)}."}

    async def one() -> tuple[str, str]:
        async with caller.asked("POST", "/transcribe", json=body) as answer:
            return answer.headers["Transcript-Id"], told(caller, await caller.read(answer))

    answers = await gathered(*(one() for _ in range(3)))
    assert len({id_ for id_, _ in answers}) == 1, answers
    assert len({text for _, text in answers}) == 1, answers
    async with caller.asked("GET", f"/transcripts/{answers[0][0]}.txt", headers={}) as answer:
        assert (await caller.read(answer)).decode() == answers[0][1]


async def captions(caller: Caller) -> None:
    """A post's own captions, from the analyzer and as a transcript."""
    url = caller.stand.origin.url("captions")
    async with caller.asked("POST", "/transcribe?format=json", json={"url": url}) as answer:
        words = json.loads(await caller.read(answer))
    assert words["source"] == "captions"
    assert hashlib.sha256(words["text"].encode()).hexdigest() == words["text_sha256"]
    async with caller.asked("POST", "/extract-transcript", json={"url": url}) as answer:
        assert json.loads(await caller.read(answer))["data"]["text"] == words["text"]


async def promised(caller: Caller) -> None:
    """A post's words, not now: what was told 202 ends."""
    name = f"speech:{caller.chance.randrange(POSTS):04}"
    body = {
        "url": caller.stand.origin.url(name), "wait": False, "source": "speech",
        "hotwords": f"lighthouse {caller.chance.randrange(10**6)}",
    }  # fmt: skip
    async with caller.asked("POST", "/transcribe", status=202, json=body) as answer:
        id_ = json.loads(await caller.read(answer))["id"]
    assert (await ended(caller, id_))["state"] == "complete"


async def upload(caller: Caller) -> None:
    """A file's words, raw or in a form."""
    data = sounds.piece(caller.chance)
    sent: dict[str, Any] = {"data": data, "headers": caller.key | {"Content-Type": "audio/wav"}}
    if caller.chance.random() < 0.5:
        sent = {"data": form(("words", "true"), file=data)}
    async with caller.asked("POST", "/transcribe", **sent) as answer:
        told(caller, await caller.read(answer))


async def openai(caller: Caller) -> None:
    """The same as OpenAI's clients ask for it."""
    data = form(("model", "whisper-1"), ("response_format", "verbose_json"), file=sounds.piece(caller.chance))
    async with caller.asked("POST", "/v1/audio/transcriptions", data=data) as answer:
        words = json.loads(await caller.read(answer))
    assert " ".join(one["text"].strip() for one in words["segments"]) == words["text"].strip()
    caller.audio_s += words["duration"]


async def signed_call(caller: Caller) -> None:
    """A signed call; its signature is good once."""
    name = f"speech:{caller.chance.randrange(POSTS):04}"
    # a field that is passed over, or two callers in one millisecond would have one signature
    wish = {"url": caller.stand.origin.url(name), "note": caller.chance.random()}
    body = json.dumps(wish).encode()
    key = caller.stand.keys[caller.account]
    headers = signed(key, SECRET, body, round(time.time() * 1000))
    async with caller.asked("POST", "/api/transcribe", data=body, headers=headers) as answer:
        words = json.loads(await caller.read(answer))
    assert hashlib.sha256(words["transcript"].encode()).hexdigest() == words["transcript_sha256"]
    assert words["billed_tokens"] in (0, 1)
    caller.audio_s += words["duration_sec"] * words["billed_tokens"]
    async with caller.asked("POST", "/api/transcribe", status=403, data=body, headers=headers) as answer:
        assert json.loads(await caller.read(answer)) == {"detail": "Signature already used"}


# For a code


async def bought(caller: Caller) -> None:
    """An upload's words for a code, which is spent with the answer."""
    id_, letters = await caller.stand.purse.code()
    async with caller.asked("POST", "/transcripts", status=201, **paid(caller, letters)) as answer:
        words = json.loads(await caller.read(answer))
    caller.stand.purse.told[id_] = words["id"]
    caller.audio_s += words["duration_s"]
    async with caller.asked("GET", f"/codes/{id_}/credit", headers={}) as answer:
        assert (await answer.json())["state"] == "used"
    async with caller.asked("GET", f"/transcripts/{words['id']}.txt", headers={}) as answer:
        assert (await caller.read(answer)).decode() == words["text"]


async def bought_later(caller: Caller) -> None:
    """The same without waiting."""
    id_, letters = await caller.stand.purse.code()
    async with caller.asked("POST", "/transcripts?wait=0", status=202, **paid(caller, letters)) as answer:
        transcript = json.loads(await caller.read(answer))["id"]
    caller.stand.purse.promised[id_] = transcript
    assert (await ended(caller, transcript))["state"] == "complete"
    async with caller.asked("GET", f"/codes/{id_}/credit", headers={}) as answer:
        assert (await answer.json())["state"] == "used"


async def twice(caller: Caller) -> None:
    """Two with one code at the same instant: one has it."""
    id_, letters = await caller.stand.purse.code()
    data = sounds.hush(caller.chance)
    headers = {"X-Auth-Code": letters, "Content-Type": "audio/wav"}

    async def one() -> int:
        async with caller.asked(
            "POST", "/transcripts", status=(201, 409), data=data, headers=headers
        ) as answer:
            words = json.loads(await caller.read(answer))
            if answer.status == 201:
                caller.stand.purse.told[id_] = words["id"]
            return answer.status

    assert sorted(await gathered(one(), one())) == [201, 409]


def paid(caller: Caller, letters: str) -> dict[str, Any]:
    """An upload with its code in the head, or in a form before or after the file."""
    data = sounds.piece(caller.chance) if caller.chance.random() < 0.5 else sounds.hush(caller.chance)
    way = caller.chance.randrange(3)
    if way == 0:
        return {"data": data, "headers": {"X-Auth-Code": letters, "Content-Type": "audio/wav"}}
    if way == 1:
        return {"data": form(("code", letters), file=data), "headers": {}}
    body = form(file=data)
    body.add_field("code", letters)
    return {"data": body, "headers": {}}


# The analyzer


async def extract(caller: Caller) -> None:
    """What a post says of itself."""
    body = {"url": caller.stand.origin.url("video"), "cache_ttl": caller.chance.choice((0, 3600))}
    async with caller.asked("POST", "/extract", json=body) as answer:
        data = json.loads(await caller.read(answer))["data"]
    assert data["url"] == body["url"]
    assert data["uploader"] == "clipwire.demo"


async def batch(caller: Caller) -> None:
    """Several, some of which are not to be had."""
    names = caller.chance.sample(("video", "photo3", "speech", "private", "deleted"), 3)
    urls = [caller.stand.origin.url(name) for name in names]
    async with caller.asked("POST", "/extract/batch", json={"urls": urls}) as answer:
        data = json.loads(await caller.read(answer))["data"]
    gone = [url for url, name in zip(urls, names, strict=True) if name in ("private", "deleted")]
    assert [one["url"] for one in data["failed"]] == gone
    assert [one["url"] for one in data["processed"]] == [url for url in urls if url not in gone]
    assert (data["summary"]["successful"], data["summary"]["failed"]) == (3 - len(gone), len(gone))


async def looks(caller: Caller) -> None:
    """What people and machines look at meanwhile."""
    open_to_all = ("/live", "/", "/health", "/stats", "/queue/status", "/supported-platforms", "/version")
    for path in caller.chance.sample(open_to_all, 2):
        async with caller.asked("GET", path, headers={}) as answer:
            await caller.read(answer)
    for path in caller.chance.sample(("/jobs", "/transcripts", "/transcripts?q=the", "/v1/models"), 2):
        async with caller.asked("GET", path) as answer:
            await caller.read(answer)


# Slow ones


async def slow_reader(caller: Caller) -> None:
    """Takes 50 KB a second: all of a video, or some of what is big, and leaves."""
    name = caller.chance.choice(("speech", "big"))
    body = {"url": caller.stand.origin.url(name), "content_type": "VIDEO_ONLY"}
    until, data = time.monotonic() + 8, bytearray()
    async with caller.asked("POST", "/download", slow=True, json=body) as answer:
        while piece := await answer.content.read(int(SLOW_READ * TICK_S)):
            data += piece
            if time.monotonic() > until:
                break
            await asyncio.sleep(TICK_S)
        else:
            ((_, media),) = parts(answer, bytes(data))
            assert media == caller.stand.origin.parts(name)[0]
        answer.close()
    caller.bytes += len(data)


async def slow_sender(caller: Caller) -> None:
    """Sends 5 KB a second."""
    data = sounds.telephone(caller.chance.uniform(1, 3))

    async def trickle() -> AsyncIterator[bytes]:
        size = int(SLOW_SEND * TICK_S)
        for at in range(0, len(data), size):
            yield data[at : at + size]
            await asyncio.sleep(TICK_S)

    headers = caller.key | {"Content-Type": "audio/wav"}
    async with caller.asked("POST", "/transcribe", slow=True, data=trickle(), headers=headers) as answer:
        assert told(caller, await caller.read(answer)) == ""


async def stalled_sender(caller: Caller) -> None:
    """Sends half of what it told, and no more."""
    data = sounds.telephone(1)

    async def half() -> AsyncIterator[bytes]:
        yield data[: len(data) // 2]
        await asyncio.sleep(30)

    headers = caller.key | {"Content-Type": "audio/wav", "Content-Length": str(len(data))}
    async with caller.asked("POST", "/transcribe", status=(200, 408), data=half(), headers=headers) as answer:
        assert b"REQUEST_TIMEOUT" in await caller.read(answer)


# What they share


def parts(answer: aiohttp.ClientResponse, body: bytes) -> list[tuple[multipart.Head, bytes]]:
    """The parts of a download, each as long as it said."""
    parser = multipart.Parser(multipart.boundary(answer.headers["Content-Type"]))
    parser.push(body)
    found: list[tuple[multipart.Head, bytearray]] = []
    while (event := parser.pull()) is not None:
        match event:
            case multipart.Head():
                found.append((event, bytearray()))
            case bytes():
                found[-1][1].extend(event)
    parser.finish()
    assert all(head.length in (None, len(data)) for head, data in found)
    return [(head, bytes(data)) for head, data in found]


def told(caller: Caller, body: bytes) -> str:
    """The text of a transcript told as lines, whose counts and hash are right."""
    assert body.endswith(b"\n")
    lines = [events.parse(line) for line in body.splitlines()]
    logged = [one for one in lines if not isinstance(one, Progress)]
    info, *segments, end = logged
    assert isinstance(info, Info)
    assert isinstance(end, End), end
    assert lines[-1] is end
    assert all(isinstance(one, Segment) for one in segments)
    assert [one.id for one in segments] == list(range(end.segments))
    text = " ".join(stripped for one in segments if (stripped := one.text.strip()))
    assert hashlib.sha256(text.encode()).hexdigest() == end.text_sha256
    caller.audio_s += end.duration
    return text


async def ended(caller: Caller, id_: str) -> dict[str, Any]:
    """Where a transcript stands once it has ended."""
    async with asyncio.timeout(PROMISE_S):
        while True:
            async with caller.stand.session.get(f"{caller.stand.url}/transcripts/{id_}") as answer:
                assert answer.status == 200, await answer.text()
                stands: dict[str, Any] = await answer.json()
            if stands["state"] not in ("pending", "running"):
                return stands
            await asyncio.sleep(0.1)


def form(*fields: tuple[str, str], file: bytes) -> aiohttp.FormData:
    made = aiohttp.FormData()
    for name, value in fields:
        made.add_field(name, value)
    made.add_field("file", file, filename="a.wav", content_type="audio/wav")
    return made


async def gathered(*calls: Any) -> Sequence[Any]:
    """All of them, ended, before the first failure is told."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for one in results:
        if isinstance(one, BaseException):
            raise one
    return results


# how often each kind is asked for, to a hundred or so
KINDS: dict[Call, int] = {
    download: 20, several: 3, made: 3, ranges: 8, interleaved: 4, dying: 3,
    transcribe: 6, joined: 2, captions: 4, promised: 3, upload: 5, openai: 2, signed_call: 6,
    bought: 6, bought_later: 4, twice: 2, extract: 8, batch: 5, looks: 6,
    slow_reader: 3, slow_sender: 2, stalled_sender: 1,
}  # fmt: skip
