"""Every parser and every route, fed what strangers send: an answer, and no failure that was not foreseen.

`make test` takes 5,000 inputs, the same each time; `make soak` 100,000, new ones each time.
"""

import asyncio
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import msgspec
import pytest
import uvloop
from clipwire import errors as client_errors
from clipwire import multipart as client_multipart
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from gateway.errors import GatewayError, UpstreamFailed
from gateway.media import captions, cookies, index, links, photo, sniff
from gateway.wire import events, formdata, multipart, ranges, subtitles, tickets
from gateway.wire.tickets import Ticket
from tests import fuzzing
from tests.fuzzing import Sent
from tests.web.conftest import Front, started, until

SOAK = "CLIPWIRE_SOAK" in os.environ
PARSED, ASKED = (90_000, 10_000) if SOAK else (4400, 600)
AT_ONCE = 20
ANSWER_S = 30  # each request's own deadline; those of the gateway are far shorter here
KEY = "the-operators-key-of-this-test"
SECRET = b"sixteen letters!"


def sample(count: int) -> settings:
    return settings(
        max_examples=count,
        derandomize=not SOAK,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
        phases=(Phase.generate,) if SOAK else (Phase.generate, Phase.shrink),
    )


# The parsers


def _form(data: bytes) -> None:
    reader = formdata.FormReader("b")
    half = len(data) // 2
    for piece in (data[:half], data[half:]):
        for _ in reader.feed(piece):
            pass
    reader.finish()


def _answer(data: bytes) -> None:
    parser = client_multipart.Parser("b")
    parser.push(data)
    while parser.pull() is not None:
        pass
    parser.finish()


def _ranges(text: str) -> None:
    for total in (0, 10):
        if (asked := ranges.asked(text)) is not None:
            ranges.span(asked, total)
    ranges.told(text)
    ranges.still(text, ranges.strong(text))


def _ticket(text: str) -> None:
    token, _, name = text.removeprefix("/media/").partition("/")
    tickets.read(token, name, SECRET, now=0)


def _peeked(data: bytes) -> None:
    index.last(lambda at, length: data[at : at + length])
    sniff.foreign(data[: sniff.HEAD_BYTES])


LINK = tickets.link(Ticket("7", "video:x", "video/mp4", 10**10), "a.mp4", SECRET)
TEXTS: dict[str, tuple[Callable[[str], object], tuple[type[Exception], ...], list[str]]] = {
    "ranges": (_ranges, (), ["bytes=0-499", "bytes 0-9/10", '"tag"', "bytes=-5"]),
    "tickets": (_ticket, (GatewayError,), [str(LINK)]),
    "links": (
        links.find,
        (GatewayError,),
        ["see https://www.tiktok.com/@a/video/7400000000000000001?x", "https://vm.tiktok.com/ZM1/"],
    ),
    "subtitles": (
        subtitles.cues,
        (ValueError,),
        ["WEBVTT\n\n1\n00:00.000 --> 00:01.000 align:left\n<b>a</b> &amp; b\n\n"],
    ),
    "cookies": (
        lambda text: cookies.parse(text, lambda host: True),
        (),
        [".x.com\tTRUE\t/\tTRUE\t99\ta\tb\n"],
    ),
    "boundaries": (formdata.boundary, (formdata.Malformed,), ['multipart/form-data; boundary="a\\"b"; x=1']),
    "names": (lambda text: multipart.file_name(text, text, "video/mp4"), (), ["../a", "con"]),
    "meta": (lambda text: multipart.content_meta(text, text), (), ["a"]),
}
BYTES: dict[str, tuple[Callable[[bytes], object], tuple[type[Exception], ...], list[bytes]]] = {
    "forms": (_form, (formdata.Malformed,), [fuzzing.form([("file", b"x" * 9), ("a", b"\r\n--b")])]),
    "answers": (
        _answer,
        (client_errors.ClipwireError,),
        [
            b"--b\r\nContent-Type: video/mp4\r\n"
            b'Content-Disposition: attachment; filename="a"\r\nContent-Length: 2\r\n\r\nxx\r\n--b--\r\n'
        ],
    ),
    "captions": (
        lambda data: captions.cues(data, 9.0),
        (UpstreamFailed,),
        [b"WEBVTT\n\n00:00.000 --> 00:01.000\na\n"],
    ),
    "events": (
        events.parse,
        (msgspec.DecodeError,),
        [
            b'{"type":"segment","id":0,"start":0.0,"end":1.0,"text":"a"}',
            b'{"type":"error","code":"BUSY","message":"x"}',
        ],
    ),
    "photos": (photo.header, (photo.Unreadable,), fuzzing.jpeg_like()),
    "heads": (_peeked, (), fuzzing.jpeg_like()),
}


@pytest.mark.soak
def test_no_parser_fails_otherwise_than_it_says() -> None:
    tried: Counter[str] = Counter()
    each = PARSED // (len(TEXTS) + len(BYTES))

    def fed(
        name: str,
        parse: Callable[..., object],
        refusals: tuple[type[Exception], ...],
        inputs: st.SearchStrategy[object],
    ) -> None:
        @sample(each)
        @given(inputs)
        def one(value: object) -> None:
            end = "read"
            try:
                parse(value)
            except refusals:
                end = "refused"
            tried[f"{name} {end}"] += 1

        one()

    for name, (parse, refusals, seeds) in TEXTS.items():
        changed = fuzzing.changed([one.encode() for one in seeds]).map(
            lambda data: data.decode("utf-8", "replace")
        )
        fed(name, parse, refusals, changed | fuzzing.ODD)
    for name, (read, refusals, found) in BYTES.items():
        fed(name, read, refusals, fuzzing.changed(found))
    print(f"{tried.total()} inputs to {len(TEXTS) + len(BYTES)} parsers: {dict(sorted(tried.items()))}")
    assert tried.total() >= each * (len(TEXTS) + len(BYTES)) * 0.9  # where there are so many


# The routes


@pytest.mark.soak
def test_no_request_is_a_failure_that_was_not_foreseen(
    tmp_path: Path, data_dir: Path, base_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    ends: Counter[str] = Counter()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        stack = AsyncExitStack()
        front = runner.run(
            stack.enter_async_context(
                started(
                    tmp_path,
                    data_dir=data_dir,
                    model="base",
                    workers=1,
                    admin_key=KEY,
                    spool_s=0,
                    transcript_s=0,
                    body_s=0.3,
                    upload_stall_s=0.3,
                    head_s=0.5,
                    client_stall_s=5,
                    extract_s=5,
                    stall_s=2,
                )
            )
        )
        try:
            runner.run(until(lambda: front.gateway.ready, 60))
            codes = runner.run(front.gateway.codes.issue(3, seconds=60))
            known = [
                *(one.id for one in codes),
                *(one.code for one in codes),
                front.origin.url("private"),
                KEY,
                "base",
            ]

            @sample(ASKED // AT_ONCE)
            @given(st.lists(fuzzing.requests(known, KEY), min_size=AT_ONCE, max_size=AT_ONCE))
            def asked(sent: list[Sent]) -> None:
                ends.update(runner.run(_all(front, sent)))

            asked()
            runner.run(_nothing_left(front))
        finally:
            runner.run(stack.aclose())
    said = capfd.readouterr()
    print(f"{ends.total()} requests: {dict(sorted(ends.items()))}")
    assert "not foreseen" not in said.err
    assert "Traceback" not in said.err
    assert ends.total() >= ASKED * 0.9
    assert ends["2xx"] > 0


async def _all(front: Front, sent: Iterable[Sent]) -> list[str]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_one(front, one)) for one in sent]
    return [task.result() for task in tasks]


async def _one(front: Front, sent: Sent) -> str:
    """The class of an answer's status; what must never be in one is looked for."""
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await front.connect()
        data = bytearray()
        try:
            writer.write(sent.data)
            while not _told(data) and (piece := await reader.read(65_536)):
                data += piece
        except ConnectionError:
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
    statuses = re.findall(rb"(?:^|\n)HTTP/1\.[01] (\d\d\d) ", data)
    if not statuses:
        assert not data, bytes(data[:200])
        return "closed"
    status = next((int(one) for one in statuses if one != b"100"), 100)
    told = bytes(data)
    if status >= 300:
        for word in (
            b"Traceback",
            b'.py"',
            b"/tmp/",
            b"site-packages",
            b"INTERNAL_ERROR",
            b"Internal Server Error",
        ):
            assert word not in told, (sent.data[:500], told[:1000])
    assert b"\nX-Injected:" not in told.partition(b"\r\n\r\n")[0]
    return f"{status // 100}xx"


def _told(data: bytearray) -> bool:
    """Whether a whole answer has come; the server may still wait for the rest of the body."""
    if data.endswith(b"\r\n0\r\n\r\n") or b" 204 No Content" in data[:40]:
        return True
    head, end, body = data.rpartition(b"\r\n\r\n")
    length = re.search(rb"\nContent-Length: (\d+)", head)
    return bool(end) and length is not None and len(body) >= int(length[1])


async def _nothing_left(front: Front) -> None:
    """The server answers, and neither work, file, place nor connection is left of all that."""
    gateway = front.gateway
    async with front.session.get(front.url + "/live") as response:
        assert response.status == 200
    await until(lambda: not gateway.spools._entries and not gateway.decoders.running, 30)
    await until(lambda: not len(gateway.transcripts) and not gateway.pool.waiting, 30)
    assert not gateway.slideshows.running
    names = ("spool", "transcript ", "decoder told", "connection")
    await until(lambda: not [t for t in asyncio.all_tasks() if t.get_name().startswith(names)], 30)
    await until(
        lambda: sum("RequestHandler.start" in repr(t.get_coro()) for t in asyncio.all_tasks()) <= 1, 30
    )
    async with front.session.get(front.url + "/live") as response:
        assert response.status == 200
