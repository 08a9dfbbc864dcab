"""Two gateways before one database and one Redis: what runs in one is read and changed at the other."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.errors import SpeechFailed
from gateway.speech.transcripts import Flights, Options, media_key
from gateway.store.feed import RUN_CHARS
from gateway.store.register import Entry
from gateway.wire import events
from gateway.wire.events import End, Failed, Progress, Segment
from gateway.wire.forms import NAMED
from tests.redis import Server
from tests.web.conftest import Front, started, until
from tests.web.script import END, INFO, Script, segment
from tests.web.test_media import got, links
from tests.web.test_sharing import site

BROKEN = (aiohttp.ClientPayloadError, aiohttp.ClientConnectionError)
SECRET = "a secret that two gateways share"
SECONDS = 30


@pytest.fixture
async def pair(tmp_path: Path, own_redis: Server) -> AsyncIterator[tuple[Front, Front]]:
    """Both, with folders of their own."""
    shared: dict[str, Any] = {
        "redis_url": own_redis.url, "redis_s": 5, "secret": SECRET,
        "database_url": f"sqlite:///{tmp_path / 'both.db'}",
    }  # fmt: skip
    async with (
        started(tmp_path / "one", **shared) as one,
        started(tmp_path / "other", **shared, **site(one)) as other,
    ):
        yield one, other


def registered(front: Front) -> Script:
    """A transcript that is a job, as those are that somebody asks for."""
    script = Script(front.gateway.transcripts)
    front.gateway.register.begin(Entry(script.transcript.id, script.transcript.created_at))
    return script


async def looked(front: Front, path: str) -> tuple[int, Any]:
    async with front.session.get(front.url + path) as response:
        return response.status, await response.json()


async def changed(front: Front, path: str, method: str = "PATCH", **body: Any) -> int:
    async with front.session.request(method, front.url + path, json=body or None) as response:
        return response.status


async def there(front: Front, script: Script, count: int) -> Any:
    """Waits until so many events of a transcript are seen from there."""
    async with asyncio.timeout(SECONDS):
        while True:
            status, told = await looked(front, script.path)
            if status == 200 and told["events"] >= count:
                return told
            await asyncio.sleep(0.05)


class Reader:
    """Somebody who follows a transcript at a gateway."""

    def __init__(self, front: Front, path: str, after: int = -1) -> None:
        self._asked = front.session.get(f"{front.url}{path}/events?after={after}")
        self.events: list[events.Event] = []

    async def __aenter__(self) -> "Reader":
        self.response = await self._asked.__aenter__()
        assert self.response.status == 200, await self.response.text()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.response.close()

    async def read(self, count: int | None = None) -> list[events.Event]:
        """The events until there are so many in all, or until the end."""
        async with asyncio.timeout(SECONDS):
            while count is None or len(self.events) < count:
                one = await self.response.content.readline()
                if not one:
                    break
                event = events.parse(one)
                if not isinstance(event, Progress):
                    self.events.append(event)
        return self.events


async def test_what_runs_in_one_is_followed_at_the_other(pair: tuple[Front, Front]) -> None:
    one, other = pair
    script = registered(one)
    script.say(INFO, segment(0))
    told = await there(other, script, 2)
    assert (told["state"], told["segments"], told["language"]) == ("running", 1, "en")
    assert told["standing"] is not None
    async with Reader(other, script.path) as reader, Reader(other, script.path, after=0) as late:
        await reader.read(2)
        script.say(segment(1))
        await reader.read(3)
        script.say(segment(2), END)
        found = await reader.read()
        assert found == list(script.transcript.events)
        assert isinstance(found[-1], End)
        assert await late.read() == found[1:]
    assert (await looked(other, script.path))[1]["state"] == "complete"
    await until(lambda: not len(other.gateway.mirrors or ()))


@pytest.mark.parametrize("form", ["vtt", "srt", "txt", "json"])
async def test_files_come_from_any_gateway(pair: tuple[Front, Front], form: str) -> None:
    one, other = pair
    script = registered(one)
    script.say(INFO, segment(0))
    await there(other, script, 2)
    async with other.session.get(f"{other.url}{script.path}.{form}") as response:
        assert response.status == 200
        script.say(segment(1), END)
        body = await response.read()
    write = NAMED[form].writer()
    assert body == b"".join(write(event, number) for number, event in enumerate(script.transcript.events))


async def test_a_failure_is_told_everywhere(pair: tuple[Front, Front]) -> None:
    one, other = pair
    script = registered(one)
    script.say(INFO, segment(0))
    await there(other, script, 2)
    async with Reader(other, script.path) as reader:
        script.say(SpeechFailed())
        last = (await reader.read())[-1]
    assert isinstance(last, Failed)
    assert last.code == "SPEECH_FAILED"


async def test_who_follows_at_another_gateway_keeps_it_running(pair: tuple[Front, Front]) -> None:
    one, other = pair
    script = registered(one)
    script.say(INFO, segment(0))
    await there(other, script, 2)
    async with Reader(one, script.path) as first, Reader(other, script.path) as reader:
        await first.read(2)
        await reader.read(2)
        assert one.gateway.telling is not None
        await until(lambda: bool(one.gateway.telling and one.gateway.telling._followed))
        await first.__aexit__()
        await asyncio.sleep(0.3)
        script.say(segment(1), END)
        assert isinstance((await reader.read())[-1], End)


async def test_words_that_are_paid_for_are_put_down_before_they_are_read_elsewhere(
    pair: tuple[Front, Front],
) -> None:
    one, other = pair
    script, handed = registered(one), asyncio.Event()

    async def handing() -> None:
        handed.set()

    script.transcript.handing = handing
    script.say(INFO)
    await there(other, script, 1)
    assert not handed.is_set()
    async with Reader(other, script.path) as reader:
        script.say(segment(0))
        await reader.read(2)
        assert handed.is_set()
        assert script.transcript.read


async def test_it_is_cancelled_from_anywhere(pair: tuple[Front, Front]) -> None:
    one, other = pair
    script = registered(one)
    script.say(INFO, segment(0))
    await there(other, script, 2)
    async with Reader(other, script.path) as reader:
        await reader.read(2)
        assert await changed(other, script.path, title="Named elsewhere") == 200
        assert script.transcript.title == "Named elsewhere"
        assert await changed(other, script.path, state="cancelled") == 200
        assert script.transcript.cancelled
        last = (await reader.read())[-1]
    assert isinstance(last, Failed)
    assert last.code == "CANCELLED"
    assert (await looked(other, script.path))[1]["state"] == "cancelled"
    assert await changed(other, script.path, state="cancelled") == 409


async def test_it_is_removed_from_anywhere(pair: tuple[Front, Front]) -> None:
    one, other = pair
    script = registered(one)
    script.say(INFO, segment(0))
    await there(other, script, 2)
    assert await changed(other, script.path, "DELETE") == 204
    assert script.transcript.cancelled
    assert (await looked(one, script.path))[0] == 404
    async with asyncio.timeout(
        SECONDS
    ):  # the other one learns it from the job's row, which is written behind
        while (await looked(other, script.path))[0] != 404:
            await asyncio.sleep(0.05)


async def test_redis_may_go_and_come_back_while_it_is_followed(
    pair: tuple[Front, Front], own_redis: Server
) -> None:
    """With something running at each, that is followed at the other."""
    scripts = [registered(front) for front in pair]
    for script, front in zip(scripts, reversed(pair), strict=True):
        script.say(INFO, *(segment(number) for number in range(5)))
        await there(front, script, 6)
    first, second = scripts
    async with Reader(pair[1], first.path) as reader, Reader(pair[0], second.path) as back:
        await reader.read(6)
        await back.read(6)
        own_redis.stop()
        for script in scripts:
            script.say(segment(5))
            await script.have(7)  # recognition does not wait
        own_redis.start()
        began = asyncio.get_running_loop().time()
        await reader.read(7)
        await back.read(7)
        print(f"followed again {asyncio.get_running_loop().time() - began:.2f} s after Redis was back")
        for script in scripts:
            script.say(segment(6), END)
        assert await reader.read() == list(first.transcript.events)
        assert await back.read() == list(second.transcript.events)


async def test_who_follows_is_cut_off_while_redis_is_away(
    pair: tuple[Front, Front], own_redis: Server
) -> None:
    one, other = pair
    script = registered(one)
    script.say(INFO, segment(0))
    await there(other, script, 2)
    async with Reader(other, script.path) as reader, Reader(one, script.path) as own:
        await reader.read(2)
        own_redis.stop()
        with pytest.raises(BROKEN):
            await reader.read()
        async with other.session.get(f"{other.url}{script.path}/events") as response:
            assert response.status == 503
        script.say(segment(1), END)
        assert isinstance((await own.read())[-1], End)


async def test_who_follows_a_gateway_that_ends_is_cut_off_at_once(
    tmp_path: Path, redis_server: Server, redis_prefix: str
) -> None:
    shared: dict[str, Any] = {
        "redis_url": redis_server.url, "redis_s": 5, "redis_prefix": redis_prefix, "shutdown_s": 0,
        "database_url": f"sqlite:///{tmp_path / 'both.db'}",
    }  # fmt: skip
    async with started(tmp_path / "other", **shared) as other:
        async with started(tmp_path / "one", **shared) as one:
            script = registered(one)
            script.say(INFO, segment(0))
            await there(other, script, 2)
            reader = await Reader(other, script.path).__aenter__()
            await reader.read(2)
        with pytest.raises(BROKEN):
            await reader.read()
        told = (await looked(other, script.path))[1]
        assert (told["state"], told["error"]["code"]) == ("failed", "INTERRUPTED")


async def test_a_gateway_that_stops_lets_those_finish_who_follow_elsewhere(
    tmp_path: Path, redis_server: Server, redis_prefix: str
) -> None:
    """Also where nobody reads it here any more."""
    shared: dict[str, Any] = {
        "redis_url": redis_server.url, "redis_s": 5, "redis_prefix": redis_prefix, "shutdown_s": SECONDS,
        "database_url": f"sqlite:///{tmp_path / 'both.db'}",
    }  # fmt: skip
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(started(tmp_path / "other", **shared))
        going = await stack.enter_async_context(AsyncExitStack())
        one = await going.enter_async_context(started(tmp_path / "one", **shared))
        script = registered(one)
        script.say(INFO, segment(0))
        await there(other, script, 2)
        reader = await stack.enter_async_context(Reader(other, script.path))
        await reader.read(2)
        await until(lambda: bool(one.gateway.telling and one.gateway.telling._followed))
        stopping = asyncio.ensure_future(going.aclose())
        await until(lambda: one.gateway.stopping)
        script.say(segment(1), END)
        assert await reader.read() == list(script.transcript.events)
        async with asyncio.timeout(SECONDS / 2):  # nothing is waited for then
            await stopping


def flights(front: Front) -> Flights:
    found = front.gateway.transcripts._flights
    assert found is not None
    return found


async def test_work_is_one_s_and_known_to_others_while_it_goes_on_and_when_it_is_done(
    pair: tuple[Front, Front], own_redis: Server
) -> None:
    here, elsewhere = map(flights, pair)
    script, late = map(registered, pair)
    key, options = media_key("a digest"), Options()
    script.say(INFO, segment(0))
    await there(pair[1], script, 2)
    assert await elsewhere.found(key, options) is None
    async with here.joined(key, options, script.transcript) as nobody:
        assert nobody is None
        async with elsewhere.joined(key, options, late.transcript) as found:
            assert found is not None
            assert found.id == script.transcript.id
        assert await elsewhere.found(key, options) is not None
        assert await elsewhere.found(key, Options(language="de")) is None
    script.say(END)
    await script.have(3)
    done = await elsewhere.found(key, options)
    assert done is not None
    assert done.id == script.transcript.id
    own_redis.stop()  # each for itself
    assert await elsewhere.found(key, options) is None
    async with elsewhere.joined(key, options, late.transcript) as found:
        assert found is None


@pytest.mark.parametrize("how", ["fails", "is gone"])
async def test_work_that_came_to_nothing_is_done_by_the_next(pair: tuple[Front, Front], how: str) -> None:
    here, elsewhere = map(flights, pair)
    script, late = map(registered, pair)
    key, options = media_key("a digest"), Options()
    with suppress(SpeechFailed):
        async with here.joined(key, options, script.transcript):
            if how == "fails":
                raise SpeechFailed
    if how == "is gone":
        script.say(INFO, END)
        await script.have(2)
        assert await changed(pair[0], script.path, "DELETE") == 204
    async with elsewhere.joined(key, options, late.transcript) as found:
        assert found is None


async def test_links_are_good_at_any_gateway(pair: tuple[Front, Front]) -> None:
    """The other one has nothing of the part: it finds the post again, by Redis, and reads the media."""
    one, other = pair
    (link,) = await links(one, "video")
    data = one.origin.parts("video")[0]
    assert (await got(other, link))[2] == data
    assert (await got(other, link, "100-199"))[::2] == (206, data[100:200])
    assert one.origin.hits["page:7400000000000000001"] == 1
    assert one.origin.hits["media:video"] == 2


async def test_without_redis_nothing_is_told(tmp_path: Path) -> None:
    async with started(tmp_path) as front:
        assert front.gateway.telling is None
        assert front.gateway.mirrors is None
        script = Script(front.gateway.transcripts)
        script.say(INFO, segment(0), END)
        async with aclosing(script.transcript.follow()) as log:
            assert len([event async for _, event in log if isinstance(event, Segment)]) == 1


# what others write into Redis

DEEP = b'{"x":' + b"[" * 200_000


async def written(front: Front, *command: str | bytes) -> Any:
    """A command that is none of the gateway's, by its connection."""
    redis = front.gateway.redis
    assert redis is not None
    return await redis.ask(*command)


def key(front: Front, kind: str, name: str) -> str:
    assert front.gateway.redis is not None
    return front.gateway.redis.key(kind, name)


async def ran(front: Front, script: Script) -> str:
    """The log of a transcript that runs there."""
    about = await written(front, "GET", key(front, "about", script.transcript.id))
    return key(front, "log", about[:RUN_CHARS].decode())


def inbox(front: Front) -> str:
    assert front.gateway.telling is not None
    return key(front, "inbox", front.gateway.telling._process)


@pytest.mark.parametrize(
    ("field", "value"),
    [("asked", b'{"what":"follow","id":"\xff"}'), ("asked", DEEP), ("asked", b""), ("other", b"x")],
)
async def test_what_nobody_asked_keeps_nobody_from_asking(
    pair: tuple[Front, Front], field: str, value: bytes
) -> None:
    one, other = pair
    script = registered(one)
    script.say(INFO, segment(0))
    await there(other, script, 2)
    await written(one, "XADD", inbox(one), "*", field, value)
    assert await changed(other, script.path, title="renamed") == 200
    assert script.transcript.title == "renamed"


async def test_who_asks_after_a_clock_went_back_is_heard(pair: tuple[Front, Front]) -> None:
    one, other = pair
    telling = one.gateway.telling
    assert telling is not None
    telling._inbox_s = 0.3  # not half a minute
    script = registered(one)
    script.say(INFO, segment(0))
    await there(other, script, 2)
    ahead = "9000000000000000-0"
    await written(one, "XADD", inbox(one), ahead, "asked", b"x")
    await until(lambda: telling._inbox == ahead)
    await written(one, "DEL", inbox(one))  # as its time is over, or another Redis takes over
    assert await changed(other, script.path, title="renamed") == 200


@pytest.mark.parametrize(
    "entry",
    [
        ("3-0", "other", b"x"), ("900000-0", "event", b"{}"), ("3-0", "event", DEEP),
        ("3-0", "event", b'{"type":"error","code":"\xff","message":""}'),
    ],
)  # fmt: skip
async def test_what_is_no_event_cuts_off_who_follows_that_transcript(
    pair: tuple[Front, Front], entry: tuple[str, str, bytes]
) -> None:
    one, other = pair
    poisoned, well = registered(one), registered(one)
    for script in (poisoned, well):
        script.say(INFO, segment(0))
        await there(other, script, 2)
    async with Reader(other, poisoned.path) as reader, Reader(other, well.path) as innocent:
        await reader.read(2)
        await innocent.read(2)
        await written(one, "XADD", await ran(one, poisoned), *entry)
        with pytest.raises(BROKEN):
            await reader.read()
        well.say(segment(1), END)
        assert await innocent.read() == list(well.transcript.events)


async def test_a_log_that_is_ahead_of_its_transcript_is_told_no_more(pair: tuple[Front, Front]) -> None:
    one, other = pair
    script = registered(one)
    script.say(INFO, segment(0))
    await there(other, script, 2)
    await written(one, "XADD", await ran(one, script), "900000-0", "event", b"{}")
    script.say(segment(1), END)
    await script.have(4)
    await until(lambda: not len(one.gateway.telling or ()))


@pytest.mark.parametrize("value", [b'{"process":"\xff"}', DEEP, b"{}"])
async def test_what_is_told_of_a_transcript_by_nobody_is_nothing(
    pair: tuple[Front, Front], value: bytes
) -> None:
    one, other = pair
    run = b"r" * RUN_CHARS
    await written(one, "SET", key(one, "about", "an-id"), run + value)
    assert (await looked(other, "/transcripts/an-id"))[0] == 404
