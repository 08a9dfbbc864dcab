"""Thumbnails through the real client: what comes of good and bad answers, how often, how many at once."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway.errors import BadRequest, NotSetUp, ThumbnailAnalysisFailed, UpstreamFailed
from gateway.media.jpegs import Jpegs
from gateway.settings import Settings
from gateway.vision.analysis import FIELDS, Analysis
from gateway.vision.client import Client
from tests.vision.conftest import KEY, Looking
from tests.vision.images import image, size
from tests.vision.stand_in import (
    ANALYSIS,
    GOOD,
    Answer,
    Api,
    cuts,
    fails,
    hangs,
    says,
    sends,
    waits,
    without_schema,
)
from tests.web.conftest import until

EXPECTED = Analysis.model_validate(ANALYSIS)
OFF = json.dumps(ANALYSIS | {"people_count": 21})


def of(data: bytes) -> Callable[[], Awaitable[bytes]]:
    async def fetched() -> bytes:
        return data

    return fetched


PICTURE = of(image())


async def test_an_image_is_sent_as_documented_and_its_analysis_comes_back(api: Api, looking: Looking) -> None:
    analyst = looking()
    assert await analyst.analyse(PICTURE) == EXPECTED
    (body,) = api.bodies
    assert api.keys == [f"Bearer {KEY}"]
    assert (body["model"], body["temperature"]) == ("gpt-4o", 0.1)
    schema = body["response_format"]["json_schema"]
    assert schema["strict"]
    assert schema["schema"]["required"] == list(FIELDS)
    system, user = body["messages"]
    assert all(f"- {field}: " in system["content"] for field in FIELDS)
    text, sent = user["content"]
    assert text["text"] == "Analyse this picture."
    assert sent["image_url"]["detail"] == "high"
    head, _, data = sent["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(data) == image()
    assert (analyst.usage.calls, analyst.usage.input_tokens, analyst.usage.output_tokens) == (1, 1000, 200)
    assert analyst.usage.seconds > 0
    assert (analyst.counts.analysed, analyst.counts.failed, analyst.cost) == (1, 0, None)


@pytest.mark.parametrize(
    "reply",
    [
        f"```json\n{GOOD}\n```",
        f"Here it is, {{as asked}}:\n\n{json.dumps(ANALYSIS, indent=2)}\n\nAnything else?",
        json.dumps({"analysis": ANALYSIS}),
        json.dumps({"result": {"data": [ANALYSIS]}, "note": "done"}),
        json.dumps(ANALYSIS | {"remark": "nice"}),
    ],
    ids=["fenced", "in text", "nested", "nested deeper", "with more in it"],
)
async def test_a_reply_in_wrapping_is_read(api: Api, looking: Looking, reply: str) -> None:
    api.answers = [says(reply)]
    assert await looking().analyse(PICTURE) == EXPECTED
    assert len(api.bodies) == 1


@pytest.mark.parametrize(
    "first",
    [
        says(OFF),
        says(GOOD[:300], finish="length"),
        says(None, refusal="I cannot help with that."),
        says("", finish="content_filter"),
        says("A kitchen, I think."),
        says(None),
    ],
    ids=["off the schema", "truncated", "refused", "filtered", "no JSON", "empty"],
)
async def test_a_reply_that_does_not_fit_is_asked_for_once_more(
    api: Api, looking: Looking, first: Answer
) -> None:
    api.answers = [first, says(GOOD)]
    analyst = looking()
    assert await analyst.analyse(PICTURE) == EXPECTED
    assert analyst.counts.asked_again == 1
    assert len(api.bodies) == 2
    assert "could not be used" in api.bodies[1]["messages"][-1]["content"]


async def test_it_is_told_what_was_wrong(api: Api, looking: Looking) -> None:
    api.answers = [says(OFF), says(GOOD)]
    await looking().analyse(PICTURE)
    before, told = api.bodies[1]["messages"][-2:]
    assert before == {"role": "assistant", "content": OFF}
    assert "people_count: Input should be less than or equal to 20" in told["content"]


@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        (says(OFF), 2),
        (says(None, refusal="No."), 2),
        (says(GOOD[:300], finish="length"), 2),
        (sends("{"), 1),
        (sends("<html>", "text/html"), 1),
        (sends('{"choices": "none"}'), 1),
        (sends("[" * 100_000), 1),
        (sends('{"choices": []}'), 2),
        (fails(401), 1),
        (fails(403), 1),
        (fails(429, "insufficient_quota", Retry_After="0"), 1),
        (fails(429, Retry_After="0"), 3),
        (fails(500, Retry_After="0"), 3),
        (fails(400), 2),  # with the schema and without
        (fails(404), 2),
        (cuts(), 3),
    ],
    ids=["off the schema", "refused", "truncated", "not JSON", "HTML", "another shape", "too deep",
         "no choice",
         "wrong key", "forbidden", "no money", "limited", "broken", "bad request", "no such model", "cut"],
)  # fmt: skip
async def test_what_does_not_get_better_has_failed(
    api: Api, looking: Looking, answer: Answer, calls: int
) -> None:
    api.answers = [answer]
    analyst = looking()
    with pytest.raises(ThumbnailAnalysisFailed) as failure:
        await analyst.analyse(PICTURE)
    assert failure.value.code == "THUMBNAIL_ANALYSIS_FAILED"
    assert "secret" not in failure.value.message
    assert KEY not in failure.value.message
    assert api.url not in failure.value.message
    assert len(api.bodies) == calls
    assert analyst.counts.failed == 1
    with pytest.raises(ThumbnailAnalysisFailed):  # and is not kept
        await analyst.analyse(PICTURE)
    assert len(api.bodies) > calls


@pytest.mark.parametrize(
    "first", [fails(429, Retry_After="0"), fails(500, Retry_After="0"), cuts()], ids=["429", "500", "cut"]
)
async def test_what_passes_is_waited_for(api: Api, looking: Looking, first: Answer) -> None:
    api.answers = [first, says(GOOD)]
    assert await looking().analyse(PICTURE) == EXPECTED
    assert len(api.bodies) == 2


async def test_a_limit_that_lasts_longer_than_the_deadline_is_told_at_once(
    api: Api, looking: Looking
) -> None:
    api.answers = [fails(429, Retry_After="3000")]
    with pytest.raises(ThumbnailAnalysisFailed) as failure:
        await looking().analyse(PICTURE)
    assert failure.value.retry_after_s == 3000
    assert len(api.bodies) == 1


async def test_a_slow_api_is_left_at_the_deadline(api: Api, looking: Looking) -> None:
    api.answers = [hangs()]
    analyst = looking(vision_s=0.3)
    await analyst.start()
    with pytest.raises(ThumbnailAnalysisFailed, match="in time"):
        await analyst.analyse(PICTURE)
    await until(lambda: api.running == 0)


async def test_nobody_there_is_a_failure(api: Api, looking: Looking) -> None:
    api.url = "http://127.0.0.1:9/v1"
    with pytest.raises(ThumbnailAnalysisFailed, match="reached"):
        await looking().analyse(PICTURE)


async def test_a_server_without_schemas_is_asked_without_from_then_on(api: Api, looking: Looking) -> None:
    api.answers = [without_schema(says(GOOD))]
    analyst = looking()
    assert await analyst.analyse(PICTURE) == EXPECTED
    assert await analyst.analyse(of(image(word="TEA"))) == EXPECTED
    assert ["response_format" in body for body in api.bodies] == [True, False, False]


async def test_a_bad_request_of_a_server_with_schemas_is_not_the_schemas(api: Api, looking: Looking) -> None:
    api.answers = [says(GOOD), fails(400)]
    analyst = looking()
    await analyst.analyse(PICTURE)
    with pytest.raises(ThumbnailAnalysisFailed, match="400"):
        await analyst.analyse(of(image(word="TEA")))
    assert len(api.bodies) == 2


async def test_what_is_known_makes_no_call(api: Api, looking: Looking) -> None:
    analyst = looking()
    assert await analyst.analyse(PICTURE) == await analyst.analyse(PICTURE) == EXPECTED
    assert len(api.bodies) == 1
    assert (analyst.counts.analysed, analyst.counts.kept) == (1, 1)
    await analyst.analyse(PICTURE, "id")  # other words
    await analyst.analyse(of(image(word="TEA")))  # another image
    assert len(api.bodies) == 3
    assert "Analisislah" in api.bodies[1]["messages"][1]["content"][0]["text"]


async def test_images_that_are_alike_share_a_call(api: Api, looking: Looking) -> None:
    assert await looking().analyse_all([PICTURE] * 5) == [EXPECTED] * 5
    assert len(api.bodies) == 1


async def test_slides_come_back_in_order_and_one_that_fails_is_one(api: Api, looking: Looking) -> None:
    async def gone() -> bytes:
        raise UpstreamFailed("The site sent an empty file.")

    async def counted(request: Any) -> Any:
        sent = (await request.json())["messages"][1]["content"][1]["image_url"]["url"]
        number = [base64.b64encode(one).decode() for one in slides].index(sent.partition(",")[2])
        return await says(json.dumps(ANALYSIS | {"people_count": number}))(request)

    slides = [image(word=word) for word in ("1", "2", "3")]
    api.answers = [counted]
    first, second, failed, third = await looking().analyse_all(
        [of(slides[0]), of(slides[1]), gone, of(slides[2])]
    )
    assert [one.people_count for one in (first, second, third) if isinstance(one, Analysis)] == [0, 1, 2]
    assert isinstance(failed, ThumbnailAnalysisFailed)
    assert "empty file" in failed.message


async def test_there_are_never_more_calls_at_once_than_set(api: Api, looking: Looking) -> None:
    go = asyncio.Event()
    api.answers = [waits(go, says(GOOD))]
    looked = asyncio.ensure_future(
        looking(vision_parallel=2).analyse_all([of(image(word=str(number))) for number in range(6)])
    )
    await until(lambda: api.running == 2)
    await asyncio.sleep(0.05)  # a third would have come
    go.set()
    assert await looked == [EXPECTED] * 6
    assert (api.running_most, len(api.bodies)) == (2, 6)


async def test_more_than_may_wait_are_refused(api: Api, looking: Looking) -> None:
    go = asyncio.Event()
    api.answers = [waits(go, says(GOOD))]
    analyst = looking(vision_parallel=1)
    looked = asyncio.ensure_future(
        analyst.analyse_all([of(image(word=f"{number:02}")) for number in range(20)])
    )
    await until(lambda: api.running == 1 and analyst.counts.failed == 3)
    go.set()
    assert [isinstance(one, Analysis) for one in await looked].count(False) == 3
    with pytest.raises(BadRequest):
        await analyst.analyse_all([PICTURE] * 36)


async def test_who_leaves_takes_the_call_with_him(api: Api, looking: Looking) -> None:
    api.answers = [hangs(), says(GOOD)]
    analyst = looking()
    looked = asyncio.ensure_future(analyst.analyse(PICTURE))
    await until(lambda: api.running == 1)
    looked.cancel()
    await until(lambda: api.left == 1)
    assert await analyst.analyse(PICTURE) == EXPECTED  # and leaves nothing behind


async def test_one_who_stays_keeps_the_call(api: Api, looking: Looking) -> None:
    go = asyncio.Event()
    api.answers = [waits(go, says(GOOD))]
    analyst = looking()
    leaves, stays = (asyncio.ensure_future(analyst.analyse(PICTURE)) for _ in range(2))
    await until(lambda: api.running == 1)
    leaves.cancel()
    go.set()
    assert await stays == EXPECTED
    assert api.left == 0


async def test_tokens_are_counted_and_so_is_money_where_it_has_a_price(api: Api, looking: Looking) -> None:
    analyst = looking(vision_input_price=2.5, vision_output_price=10)
    await analyst.analyse(PICTURE)
    assert analyst.cost == pytest.approx((1000 * 2.5 + 200 * 10) / 1_000_000)


@pytest.mark.parametrize("data", [b"", b"<html>no thumbnail</html>", b"%PDF-1.7"])
async def test_what_is_no_image_is_not_sent(api: Api, looking: Looking, data: bytes) -> None:
    with pytest.raises(ThumbnailAnalysisFailed, match="no JPEG"):
        await looking().analyse(of(data))
    assert not api.bodies


async def test_an_image_too_large_is_not_sent(api: Api, looking: Looking) -> None:
    with pytest.raises(ThumbnailAnalysisFailed, match="larger"):
        await looking().analyse(of(image() + bytes(8 << 20)))
    assert not api.bodies


async def test_an_avif_is_sent_as_a_jpeg(api: Api, looking: Looking) -> None:
    assert await looking(Jpegs()).analyse(of(image("avif"))) == EXPECTED
    head, _, data = api.bodies[0]["messages"][1]["content"][1]["image_url"]["url"].partition(",")
    assert head == "data:image/jpeg;base64"
    assert size(base64.b64decode(data)) == (96, 160)


async def test_an_avif_that_cannot_be_read_is_a_failure(api: Api, looking: Looking) -> None:
    with pytest.raises(ThumbnailAnalysisFailed, match="cannot be read"):
        await looking(Jpegs()).analyse(of(image("avif")[:200]))
    assert not api.bodies


async def test_a_language_without_words_is_refused(looking: Looking) -> None:
    with pytest.raises(BadRequest, match="en, id"):
        await looking().analyse(PICTURE, "xx")
    with pytest.raises(NotSetUp, match="en, id"):
        looking(analysis_language="xx")


def test_a_missing_package_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(NotSetUp, match=r"pip install clipwire\[vision\]"):
        Client(key=KEY, base_url=None, model="gpt-4o", call_s=1)


@pytest.mark.parametrize("url", ["api", "ftp://host/v1", "https://user:pass@host/v1", "http://host:port/v1"])
def test_an_address_that_no_api_has_stops_the_start(url: str) -> None:
    with pytest.raises(ValueError, match="the address is not"):
        Settings(_env_file=None, openai_base_url=url)  # type: ignore[call-arg]


async def test_its_state_is_how_the_last_call_went(api: Api, looking: Looking) -> None:
    analyst = looking()
    assert analyst.state == "healthy"
    for answer, state in (
        (fails(401), "unhealthy"),
        (says(GOOD), "healthy"),
        (fails(500, Retry_After="900"), "unhealthy"),
        (fails(400), "healthy"),  # an image that it does not take
        (sends("{"), "unhealthy"),
        (says("no analysis"), "healthy"),
    ):
        api.answers = [answer]
        await analyst.analyse_all([of(image(word=f"{len(api.bodies)}"))])
        assert analyst.state == state
