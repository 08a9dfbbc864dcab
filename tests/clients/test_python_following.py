"""Transcripts over lost connections: each event once and in order, and no end of trying has an end."""

from typing import Any

import pytest
from aiohttp import web
from clipwire import Client, Cut, End, Event, Info, Progress, Refused, Segment, TranscriptFailed

from . import stand_in
from .stand_in import clean, cut, gateway, reset

URL = "https://www.tiktok.com/@someone/video/7"
INFO = (
    b'{"type":"info","id":"3f","language":"en","language_probability":1,"duration":null,"model":"base",'
    b'"source":"speech"}\n'
)
PROGRESS = b'{"type":"progress","position":0,"wait_s":null,"bytes":1,"bytes_total":null}\n'
END = b'{"type":"end","segments":3,"duration":6.0,"text_sha256":"x","elapsed_ms":1,"speech":"ok"}\n'
FAILED = b'{"type":"error","code":"SPEECH_FAILED","message":"no"}\n'


def segment(number: int) -> bytes:
    return b'{"type":"segment","id":%d,"start":%d,"end":%d,"text":" Hello."}\n' % (number, number, number + 1)


WHOLE = (INFO, segment(0), segment(1), segment(2), END)


class Turns:
    """Answers one request after the other, the last one again and again."""

    def __init__(self, *answers: stand_in.Handler) -> None:
        self.asked: list[tuple[str, str, str | None]] = []
        self._answers = answers

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        await request.read()
        answer = self._answers[min(len(self.asked), len(self._answers) - 1)]
        self.asked.append((request.method, request.path, request.headers.get("Last-Event-ID")))
        return await answer(request)


def refusal(status: int, code: str, after: str | None = None) -> stand_in.Handler:
    async def answer(request: web.Request) -> web.Response:
        headers = {} if after is None else {"Retry-After": after}
        told = {"error": {"code": code, "message": "no"}}
        return web.json_response(told, status=status, headers=headers)

    return answer


async def nothing(request: web.Request) -> web.Response:
    return web.Response(status=204)


async def reading(handler: stand_in.Handler, found: list[Event], **options: Any) -> None:
    options = {"pause_s": 0.001} | options
    async with gateway(handler) as url, Client(url, **options) as client, client.transcribe(URL) as events:
        async for event in events:
            if not isinstance(event, Progress):
                found.append(event)


EVENTS = "/transcripts/3f/events"


async def test_a_transcript_goes_on_after_its_last_event() -> None:
    handler = Turns(
        stand_in.lines(PROGRESS + INFO + segment(0), PROGRESS, ending=cut),
        refusal(503, "BUSY", "0"),
        stand_in.lines(PROGRESS, ending=reset),
        stand_in.lines(segment(1), ending=clean),
        stand_in.lines(segment(2), END),
    )
    found: list[Event] = []
    await reading(handler, found)
    assert [type(one) for one in found] == [Info, Segment, Segment, Segment, End]
    assert [one.id for one in found if isinstance(one, Segment)] == [0, 1, 2]
    told = [("GET", EVENTS, number) for number in ("1", "1", "1", "2")]
    assert handler.asked == [("POST", "/transcribe", None), *told]


async def test_a_transcript_cut_before_its_first_event_is_known_by_its_header() -> None:
    headers = {"Content-Type": "application/x-ndjson", "Transcript-Id": "3f"}
    handler = Turns(stand_in.stream(headers, PROGRESS, ending=cut), stand_in.lines(*WHOLE))
    found: list[Event] = []
    await reading(handler, found)
    assert len(found) == 5
    assert handler.asked[1:] == [("GET", EVENTS, None)]


async def test_following_goes_on_where_it_was_asked_to_begin() -> None:
    handler = Turns(stand_in.lines(segment(1), ending=cut), stand_in.lines(segment(2), END))
    async with (
        gateway(handler) as url,
        Client(url, pause_s=0.001) as client,
        client.follow("3f", after=1) as events,
    ):
        assert [type(event) async for event in events] == [Segment, Segment, End]
    assert [after for _, _, after in handler.asked] == ["1", "2"]


@pytest.mark.parametrize(
    ("rest", "count"),
    [
        (refusal(404, "NOT_FOUND"), 2),
        (refusal(503, "BUSY", "99"), 2),
        (refusal(503, "BUSY"), 4),
        (nothing, 4),
        (stand_in.lines(ending=cut), 4),
        (stand_in.lines(PROGRESS * 9, ending=cut), 4),
        # a gateway that begins again, or stays where it is, is not asked for ever
        (stand_in.lines(INFO, segment(0), ending=cut), 4),
        (stand_in.lines(segment(0), ending=cut), 4),
        (stand_in.lines(*WHOLE), 4),
    ],
)
async def test_a_loss_that_cannot_be_made_good_is_a_cut(rest: stand_in.Handler, count: int) -> None:
    handler = Turns(stand_in.lines(INFO, segment(0), ending=cut), rest)
    found: list[Event] = []
    with pytest.raises(Cut):
        await reading(handler, found)
    assert [type(one) for one in found] == [Info, Segment]
    assert len(handler.asked) == count


async def test_tries_are_counted_from_the_last_event_on() -> None:
    lost = stand_in.lines(ending=cut)
    handler = Turns(
        stand_in.lines(INFO, ending=cut), lost, stand_in.lines(segment(0), ending=cut), lost, lost, lost
    )
    found: list[Event] = []
    with pytest.raises(Cut):
        await reading(handler, found, tries=2)
    assert len(handler.asked) == 5


async def test_no_tries_are_none() -> None:
    handler = Turns(stand_in.lines(INFO, ending=cut))
    with pytest.raises(Cut):
        await reading(handler, [], tries=0)
    assert len(handler.asked) == 1


async def test_a_gateway_that_has_gone_is_a_cut() -> None:
    async with (
        gateway(stand_in.lines(INFO, ending=cut)) as url,
        Client(url, pause_s=0.001) as client,
        client.transcribe(URL) as events,
    ):
        assert isinstance(await anext(events), Info)
        client._connection.url = "http://127.0.0.1:1"
        with pytest.raises(Cut):
            await anext(events)


async def test_what_fails_or_is_refused_is_not_tried_again() -> None:
    handler = Turns(stand_in.lines(INFO, FAILED))
    with pytest.raises(TranscriptFailed):
        await reading(handler, [])
    assert len(handler.asked) == 1
    handler = Turns(refusal(404, "NOT_FOUND"))
    with pytest.raises(Refused):
        await reading(handler, [])
    assert len(handler.asked) == 1


async def test_a_loss_behind_the_end_is_none() -> None:
    handler = Turns(stand_in.lines(*WHOLE, ending=cut))
    found: list[Event] = []
    await reading(handler, found)
    assert isinstance(found[-1], End)
    assert len(handler.asked) == 1
