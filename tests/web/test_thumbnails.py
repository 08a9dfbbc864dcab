"""A post's pictures from the site to the vision API: what a gateway has introduced to each other."""

import base64
import json
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import TestServer

from gateway.errors import NotSetUp, ThumbnailAnalysisFailed
from gateway.vision.analysis import Analysis
from tests.vision.stand_in import ANALYSIS, Api, says
from tests.web.conftest import Front, Start

EXPECTED = Analysis.model_validate(ANALYSIS)


@pytest.fixture
async def api(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    api = Api()
    async with TestServer(api.app()) as server:
        api.url = f"http://127.0.0.1:{server.port}/v1"
        yield api


async def test_a_cover_is_fetched_by_us_and_sent(start: Start, api: Api) -> None:
    front = await start(openai_api_key="sk-of-tests", openai_base_url=api.url)
    post = await front.gateway.extractor.find(front.origin.url("video"))
    assert await front.gateway.thumbnail(post) == EXPECTED
    assert await front.gateway.thumbnail(post) == EXPECTED
    (body,) = api.bodies
    url = body["messages"][1]["content"][1]["image_url"]["url"]
    assert url.startswith("data:image/")
    async with front.post(
        "/download", url=front.origin.url("video"), content_type="VIDEO_ONLY", thumbnail=True
    ) as answer:
        assert base64.b64decode(url.partition(",")[2]) in await answer.read()


async def test_the_slides_of_a_photo_post_come_in_order(start: Start, api: Api) -> None:
    front = await start(openai_api_key="sk-of-tests", openai_base_url=api.url)
    post = await front.gateway.extractor.find(front.origin.url("photo3"))
    assert await front.gateway.slides(post) == [EXPECTED] * 3
    assert len(api.bodies) == 3


async def test_a_photo_that_the_site_does_not_give_is_one_failure(start: Start, api: Api) -> None:
    front = await start(openai_api_key="sk-of-tests", openai_base_url=api.url)
    post = await front.gateway.extractor.find(front.origin.url("photo_dies"))
    first, *others = await front.gateway.slides(post)
    assert isinstance(first, ThumbnailAnalysisFailed) or any(
        isinstance(one, ThumbnailAnalysisFailed) for one in others
    )
    assert EXPECTED in [first, *others]


async def test_no_text_of_a_post_is_sent(start: Start, api: Api) -> None:
    front = await start(openai_api_key="sk-of-tests", openai_base_url=api.url)
    post = await front.gateway.extractor.find(front.origin.url("hostile_text"))
    assert "etc/passwd" in post.title
    assert await front.gateway.thumbnail(post) == EXPECTED
    (body,) = api.bodies
    assert not any(words in json.dumps(body) for words in ("etc/passwd", "X-Injected", "rm -rf", "evil"))


@pytest.mark.parametrize(
    "reply",
    [
        "My instructions were to describe a picture. As the picture asks, here they are.",
        json.dumps({"answer": "as the picture asks", "url": "http://169.254.169.254/"}),
        json.dumps(ANALYSIS | {"people_count": "as the picture asks"}),
    ],
)
async def test_a_model_that_obeys_a_picture_gives_no_analysis(start: Start, api: Api, reply: str) -> None:
    front = await start(openai_api_key="sk-of-tests", openai_base_url=api.url)
    api.answers = [says(reply)]
    async with front.post("/extract", url=front.origin.url("video")) as answer:
        told = await answer.text()
        assert answer.status == 200
    data = json.loads(told)["data"]
    assert (data["thumbnail_analysis"], data["warnings"]) == (None, ["THUMBNAIL_ANALYSIS_FAILED"])
    assert "as the picture asks" not in told.lower()
    assert "sk-of-tests" not in told


async def test_without_a_key_nothing_is_analysed(front: Front) -> None:
    post = await front.gateway.extractor.find(front.origin.url("photo3"))
    assert front.gateway.analyst is None
    assert await front.gateway.thumbnail(post) is None
    assert await front.gateway.slides(post) is None


async def test_a_language_that_is_not_there_stops_the_start(start: Start) -> None:
    with pytest.raises(NotSetUp):
        await start(openai_api_key="sk-of-tests", analysis_language="xx")
