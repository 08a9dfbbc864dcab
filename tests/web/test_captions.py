"""POST /transcribe from a post's own captions, as the real extractor finds them at the site.

Most of it with a gateway that has no speech model: what captions answer is answered there too, and
what needs the model is BUSY.
"""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gateway.speech.transcripts import Transcript
from gateway.wire import events
from gateway.wire.events import End, Info, Progress, Segment
from tests.origin.scenarios import SCENARIOS
from tests.web.conftest import Front, Start, shared, until

CLIPS = Path(__file__).parents[1] / "origin" / "clips"
SAID = (CLIPS / "narration.txt").read_text("utf-8").strip()
SPANISH = (CLIPS / "narration.es.txt").read_text("utf-8").strip()


async def told(front: Front, scenario: str, **wish: Any) -> tuple[Info, list[Segment], End]:
    """A transcript that is given, as its events."""
    async with front.post("/transcribe", url=front.origin.url(scenario), **wish) as response:
        assert response.status == 200, await response.text()
        said = [events.parse(line) async for line in response.content]
        info, *segments, end = [event for event in said if not isinstance(event, Progress)]
        assert isinstance(info, Info)
        assert info.id == response.headers["Transcript-Id"]
    assert isinstance(end, End)
    return info, [one for one in segments if isinstance(one, Segment)], end


async def refused(front: Front, scenario: str, **wish: Any) -> tuple[int, str, str]:
    async with front.post("/transcribe", url=front.origin.url(scenario), **wish) as response:
        error = (await response.json())["error"]
    return response.status, error["code"], error["message"]


async def wants_the_model(front: Front, scenario: str, **wish: Any) -> bool:
    """Whether speech is to be recognised, which this gateway cannot."""
    status, code, message = await refused(front, scenario, **wish)
    return (status, code) == (503, "BUSY") and "model" in message


def captions_read(front: Front) -> dict[str, int]:
    return {name: hits for name, hits in front.origin.hits.items() if name.startswith("media:captions")}


async def test_what_was_recognised_at_the_site_is_told_at_once_and_without_a_model(front: Front) -> None:
    info, segments, end = await told(front, "captions")
    assert (info.source, info.captions, info.model) == ("captions", "recognised", None)
    assert (info.language, info.language_probability, info.duration) == ("en", None, 23.0)
    assert [one.id for one in segments] == list(range(4))
    assert segments[1] == Segment(
        1, 3.902, 9.794, "Every morning, the keeper opens the blue door and walks down to the water."
    )
    text = events.text_of(segments)
    assert text == SAID
    assert end.text_sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert (end.segments, end.duration, end.speech, end.reasons) == (4, 23.0, "ok", ())
    times = [time for one in segments for time in (one.start, one.end)]
    assert times == sorted(times)
    assert times[-1] <= end.duration
    assert front.origin.hits["media:captions-asr"] == 1
    assert front.origin.hits["media:speech"] == 0


@shared
async def test_events_of_captions_have_no_scores_and_come_in_every_form(lasting: Front) -> None:
    async with lasting.post("/transcribe?format=sse", url=lasting.origin.url("captions")) as response:
        frames = (await response.text()).split("\n\n")
    assert frames[0].startswith("id: 0\nevent: info\ndata: {")
    assert '"model":null,"source":"captions","captions":"recognised"}' in frames[0]
    assert frames[1].endswith('"text":"Welcome to the old lighthouse on the north shore."}')
    assert frames[-2].startswith("id: 5\nevent: end\n")


@shared
@pytest.mark.parametrize(
    ("scenario", "wish", "captions", "language", "text"),
    [
        ("captions", {"language": "en"}, "recognised", "en", SAID),
        ("captions", {"source": "captions"}, "recognised", "en", SAID),
        ("captions", {"source": "captions", "language": "es"}, "translated", "es", SPANISH),
        ("captions", {"source": "captions", "task": "translate"}, "recognised", "en", SAID),
        ("captions", {"source": "captions", "words": True}, "recognised", "en", SAID),
        ("captions_creator", {}, "creator", "en", SAID),
        ("captions_creator", {"source": "captions", "language": "es"}, "translated", "es", SPANISH),
        ("captions_both", {}, "creator", "en", SAID),
        ("captions_foreign", {}, "recognised", "en", SAID),
        ("captions_foreign", {"source": "captions", "language": "es"}, "creator", "es", SPANISH),
        ("captions_translated", {"source": "captions"}, "translated", "es", SPANISH),
        ("captions_dies_once", {}, "recognised", "en", SAID),
    ],
)
async def test_the_captions_that_answer_are_those_that_were_asked_for(
    lasting: Front, scenario: str, wish: dict[str, Any], captions: str, language: str, text: str
) -> None:
    info, segments, end = await told(lasting, scenario, **wish)
    assert (info.source, info.captions, info.language) == ("captions", captions, language)
    assert events.text_of(segments) == text
    assert all(one.words is None for one in segments)
    assert end.speech == "ok"


@shared
@pytest.mark.parametrize(
    ("scenario", "wish"),
    [
        ("captions", {"source": "speech"}),
        ("captions", {"words": True}),
        ("captions", {"prompt": "lighthouse"}),
        ("captions", {"hotwords": "lighthouse"}),
        ("captions", {"task": "translate"}),
        ("captions", {"language": "es"}),  # there is one, but nobody spoke it
        ("captions_foreign", {"language": "es"}),
        ("captions_translated", {}),
        ("speech", {}),
        ("photo3", {}),
    ],
)
async def test_what_only_the_model_can_tell_is_left_to_it(
    lasting: Front, scenario: str, wish: dict[str, Any]
) -> None:
    read = captions_read(lasting)
    assert await wants_the_model(lasting, scenario, **wish)
    assert captions_read(lasting) == read


@shared
@pytest.mark.parametrize(
    ("scenario", "wish", "words"),
    [
        ("speech", {}, "The post has no captions."),
        ("photo3", {}, "The post has no captions."),
        ("photo_silent", {"language": "en"}, "The post has no captions."),
        ("captions", {"language": "fr"}, "in this language: fr. It has them in: en, es."),
        ("captions_translated", {"task": "translate"}, "in this language: en. It has them in: es."),
    ],
)
async def test_captions_that_are_not_there_are_refused_and_not_replaced(
    lasting: Front, scenario: str, wish: dict[str, Any], words: str
) -> None:
    status, code, message = await refused(lasting, scenario, source="captions", **wish)
    assert (status, code) == (422, "NOT_VIDEO_CONTENT")
    assert words in message


BROKEN = {
    "captions_404": "HTTP 404",
    "captions_html": "something else than WebVTT captions",
    "captions_json": "something else than WebVTT captions",
    "captions_huge": "larger than this server accepts",
    "captions_huge_untold": "more than it announced, or than this server accepts",
    "captions_dies": "",
}


@shared
@pytest.mark.parametrize(("scenario", "words"), BROKEN.items())
async def test_captions_that_cannot_be_had_are_told_to_who_asked_for_them(
    lasting: Front, scenario: str, words: str
) -> None:
    status, code, message = await refused(lasting, scenario, source="captions")
    assert (status, code) == (502, "UPSTREAM_FAILED")
    assert words in message
    assert lasting.origin.hits["media:speech"] == 0
    await until(lambda: lasting.origin.open_reads == 0)


@pytest.mark.parametrize("scenario", [*BROKEN, "captions_empty"])
async def test_captions_that_cannot_be_had_give_way_to_speech(front: Front, scenario: str) -> None:
    with capture_logs() as logs:
        assert await wants_the_model(front, scenario)
    (logged,) = [one for one in logs if one["event"].startswith("captions not read")]
    assert (logged["code"], logged["post"]) == ("UPSTREAM_FAILED", SCENARIOS[scenario].id)
    captions = [hits for name, hits in front.origin.hits.items() if name.startswith("media:captions")]
    assert sum(captions) >= 1
    await until(lambda: front.origin.open_reads == 0)


async def test_captions_without_a_word_are_an_answer_to_who_asked_for_them(front: Front) -> None:
    info, segments, end = await told(front, "captions_empty", source="captions")
    assert (info.captions, segments, end.segments, end.speech) == ("recognised", [], 0, "none")
    assert end.duration == 23.0
    assert (await told(front, "captions_empty", source="captions"))[0].id == info.id
    assert await wants_the_model(front, "captions_empty")


@pytest.mark.parametrize("settings", [{"stall_s": 0.3}, {"caption_s": 0.3}])
async def test_captions_that_never_come_do_not_hold_up_the_words(
    start: Start, settings: dict[str, float]
) -> None:
    front = await start(**settings)
    assert await refused(front, "captions_silent", source="captions") == (
        504,
        "UPSTREAM_TIMEOUT",
        "The site stopped sending." if "stall_s" in settings else "The site sent the captions too slowly.",
    )
    assert await wants_the_model(front, "captions_silent")
    await until(lambda: front.origin.open_reads == 0)


async def test_captions_that_trickle_have_a_deadline(start: Start) -> None:
    front = await start(caption_s=0.5)
    front.origin.pace(20)
    assert (await refused(front, "captions", source="captions"))[:2] == (504, "UPSTREAM_TIMEOUT")
    front.origin.pace(None)
    assert (await told(front, "captions"))[0].source == "captions"


async def test_a_client_that_leaves_ends_the_reading_of_captions(front: Front) -> None:
    asking = asyncio.ensure_future(refused(front, "captions_silent"))
    await until(lambda: front.origin.open_reads == 1)
    asking.cancel()
    await asyncio.wait([asking])
    await until(lambda: front.origin.open_reads == 0)
    assert len(front.gateway.transcripts) == 0


async def test_captions_are_read_once_for_all_who_ask(front: Front) -> None:
    first, second = await asyncio.gather(told(front, "captions"), told(front, "captions", source="captions"))
    later = await told(front, "captions", language="en")
    assert first == second == later
    other = await told(front, "captions", source="captions", language="es")
    assert other[0].id != first[0].id
    assert front.origin.hits["media:captions-asr"] == 1
    assert front.origin.hits["media:captions-mt"] == 1
    assert front.origin.hits[f"page:{SCENARIOS['captions'].id}"] == 1


async def test_captions_are_refused_when_as_many_transcripts_run_as_may(start: Start) -> None:
    front = await start(transcripts_max=1)

    async def never(log: Transcript) -> Any:
        await asyncio.Event().wait()

    running = front.gateway.transcripts.written("another", never, duration=None)
    status, code, _ = await refused(front, "captions")
    assert (status, code) == (503, "BUSY")
    follower = asyncio.ensure_future(anext(running.follow()))
    await asyncio.sleep(0)
    follower.cancel()
    await asyncio.wait([follower])
    await until(lambda: len(front.gateway.transcripts) == 0)
    assert (await told(front, "captions"))[0].source == "captions"


async def test_a_download_hears_its_media_whatever_captions_there_are(front: Front) -> None:
    url = front.origin.url("captions")
    wish = {"url": url, "content_type": "ORIGINAL", "transcript": True}
    async with front.post("/download", **wish) as response:
        assert (response.status, (await response.json())["code"]) == (503, "BUSY")
    assert front.origin.hits["media:captions-asr"] == 0


@shared
async def test_hotwords_have_a_bound(lasting: Front) -> None:
    status, code, message = await refused(lasting, "captions", hotwords="x" * 2001)
    assert (status, code) == (400, "VALIDATION_ERROR")
    assert "hotwords" in message


@pytest.mark.parametrize("scenario", ["captions_404", "captions_dies"])
async def test_speech_in_place_of_captions_is_recognised_in_the_same_request(
    start: Start, data_dir: Path, base_model: Path, scenario: str
) -> None:
    front = await start(data_dir=data_dir, model="base", workers=1)
    await until(lambda: front.gateway.ready, 60)
    info, segments, end = await told(front, scenario)
    assert (info.source, info.model, info.captions) == ("speech", "base", None)
    assert "lighthouse" in events.text_of(segments)
    assert end.speech == "ok"
    # and the captions are not asked for again while that is kept
    asked = front.origin.hits["media:captions-asr"]
    again = await told(front, scenario)
    assert again[0].id == info.id
    assert front.origin.hits["media:captions-asr"] == asked
    assert (await refused(front, scenario, source="captions"))[1] == "UPSTREAM_FAILED"
    speech = await told(front, scenario, source="speech")
    assert speech[0].id == info.id
