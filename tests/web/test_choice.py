"""What a caller may choose of a post, or of several, and what a plan says of it beforehand."""

import asyncio
import base64
import io
import json
from collections import Counter
from typing import Any

import aiohttp
import av
import pytest

from gateway.wire import multipart
from gateway.wire.multipart import Received
from tests.origin.scenarios import SCENARIOS
from tests.web.conftest import Front, Start, shared, until

STEM = "clipwire.demo_7400000000000000"


async def sent(
    front: Front, scenario: str | list[str], mode: str = "ORIGINAL", **more: Any
) -> list[Received]:
    """The parts of an answer."""
    async with front.post("/download", **wish(front, scenario, mode, **more)) as response:
        assert response.status == 200, await response.text()
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        return list(multipart.parts(await response.read(), boundary))


async def planned(
    front: Front, scenario: str | list[str], mode: str = "ORIGINAL", **more: Any
) -> list[dict[str, Any]]:
    """The posts of a plan."""
    async with front.post("/download/plan", **wish(front, scenario, mode, **more)) as response:
        assert response.status == 200, await response.text()
        assert response.content_type == "application/json"
        posts: list[dict[str, Any]] = (await response.json())["posts"]
        return posts


def wish(front: Front, scenario: str | list[str], mode: str, **more: Any) -> dict[str, Any]:
    where: dict[str, Any] = (
        {"url": front.origin.url(scenario)}
        if isinstance(scenario, str)
        else {"urls": [front.origin.url(one) for one in scenario]}
    )
    return where | {"download_content_type": mode} | more


def name(part: Received) -> str:
    return part.headers["content-disposition"].partition("filename=")[2].strip('"')


def samples(media: bytes) -> list[bytes]:
    with av.open(io.BytesIO(media)) as container:
        return [bytes(frame.planes[0]) for frame in container.decode(audio=0)]


# quality and codec


@shared
@pytest.mark.parametrize(
    ("fields", "clip"),
    [
        ({}, "h264-1080"),
        ({"quality": None, "codec": None, "thumbnail": None, "urls": None}, "h264-1080"),
        ({"quality": "best"}, "h264-1080"),
        ({"quality": "worst"}, "h264-360"),
        ({"quality": 720}, "h264-720"),
        ({"quality": "720p"}, "h264-720"),
        ({"quality": "1079"}, "h264-720"),
        ({"quality": 540}, "h264-540"),
        ({"quality": 240}, "h264-360"),
        ({"codec": "h264", "quality": 4000}, "h264-1080"),
        ({"codec": "h265"}, "bytevc1-720"),
        ({"codec": "h265", "quality": "worst"}, "bytevc1-540"),
    ],
)
async def test_the_bytes_are_those_of_the_quality_and_codec_asked_for(
    lasting: Front, fields: dict[str, Any], clip: str
) -> None:
    (part,) = await sent(lasting, "qualities", **fields)
    assert part.body == lasting.origin.clip(clip)
    assert name(part) == f"{STEM}016.mp4"
    (post,) = await planned(lasting, "qualities", **fields)
    codec = "h265" if clip.startswith("bytevc1") else "h264"
    assert (post["parts"][0]["codec"], post["parts"][0]["bytes"]) == (codec, len(part.body))
    assert lasting.origin.hits["media:watermarked"] == 0


async def test_hevc_that_is_not_there_gives_way_to_h264_unnoticed(front: Front) -> None:
    (part,) = await sent(front, "video", codec="h265")
    assert [part.body] == front.origin.parts("video")
    assert front.origin.hits["media:hevc"] == 2  # both of its links
    assert front.origin.hits[f"page:{SCENARIOS['video'].id}"] == 1  # for which no page was read again
    (part,) = await sent(front, "video", codec="h265")
    assert front.origin.hits[f"page:{SCENARIOS['video'].id}"] == 1
    assert front.origin.hits["media:video"] == 1


@shared
async def test_hevc_without_sound_is_not_asked_for(lasting: Front) -> None:
    (part,) = await sent(lasting, "hevc_mute", codec="h265")
    assert part.body == lasting.origin.clip("h264-540")
    assert lasting.origin.hits["media:bytevc1-720-mute"] == 0


@shared
async def test_when_both_codecs_fail_it_is_told(lasting: Front) -> None:
    async with lasting.post("/download", **wish(lasting, "cdn_404", "ORIGINAL", codec="h265")) as response:
        body = await response.json()
    assert (response.status, body["code"]) == (500, "UPSTREAM_FAILED")


# sound only


@shared
@pytest.mark.parametrize("scenario", ["video", "video_moov_last", "video_fragmented", "cdn_dies_once"])
async def test_sound_only_is_the_videos_own_soundtrack_not_its_music(lasting: Front, scenario: str) -> None:
    (part,) = await sent(lasting, scenario, "AUDIO_ONLY")
    assert part.headers["content-type"] == "audio/mp4"
    assert part.headers["content-length"] == str(len(part.body))
    assert name(part).endswith(".m4a")
    assert part.body.index(b"moov") < part.body.index(b"mdat")
    assert samples(part.body) == samples(lasting.origin.parts(scenario)[0])
    assert lasting.origin.hits["media:music"] == 0


async def test_sound_only_of_photos_is_their_sound_as_the_site_has_it(front: Front) -> None:
    (part,) = await sent(front, "photo3", "AUDIO_ONLY")
    assert part.body == front.origin.clip("sound")
    assert (part.headers["content-type"], name(part)) == ("audio/mpeg", f"{STEM}010.mp3")
    assert front.origin.hits["media:slide-1"] == 0


async def test_sound_only_comes_of_the_quality_asked_for(front: Front) -> None:
    (part,) = await sent(front, "qualities", "AUDIO_ONLY", quality="worst", codec="h265")
    assert samples(part.body) == samples(front.origin.clip("h264-360"))
    assert front.origin.hits["media:h264-360"] == 1


async def test_a_soundtrack_shares_the_videos_one_read(front: Front) -> None:
    sounds = await asyncio.gather(*(sent(front, "video", "AUDIO_ONLY") for _ in range(5)))
    await sent(front, "video")
    assert len({one.body for (one,) in sounds}) == 1
    assert front.origin.hits["media:video"] == 1


@shared
@pytest.mark.parametrize(
    ("scenario", "status", "code"),
    [
        ("photo_silent", 400, "NOT_VIDEO_CONTENT"), ("cdn_dies", 500, "UPSTREAM_FAILED"),
        ("big", 400, "MEDIA_UNDECODABLE"), ("private", 400, "VIDEO_PRIVATE"),
    ],
)  # fmt: skip
async def test_no_sound_is_told_before_the_head(
    lasting: Front, scenario: str, status: int, code: str
) -> None:
    async with lasting.post("/download", **wish(lasting, scenario, "AUDIO_ONLY")) as response:
        body = await response.json()
    assert (response.status, body["code"]) == (status, code)
    assert set(body) == {"detail", "code", "message"}


async def test_a_client_that_leaves_ends_the_read_for_its_sound(front: Front) -> None:
    front.origin.pace(20_000)
    asking = asyncio.ensure_future(sent(front, "video", "AUDIO_ONLY"))
    await until(lambda: front.origin.open_reads == 1)
    asking.cancel()
    await until(lambda: front.origin.open_reads == 0)
    await until(lambda: not front.gateway.spools._entries)


# the cover


@shared
@pytest.mark.parametrize("mode", ["ORIGINAL", "VIDEO_ONLY", "AUDIO_ONLY"])
async def test_the_cover_is_the_last_part(lasting: Front, mode: str) -> None:
    *_, last = parts = await sent(lasting, "video", mode, thumbnail=True)
    assert len(parts) == 2
    assert last.body == lasting.origin.clip("slide-1")
    assert (last.headers["content-type"], name(last)) == ("image/jpeg", f"{STEM}001_cover.jpg")


@shared
async def test_the_cover_of_photos_comes_after_their_sound(lasting: Front) -> None:
    parts = await sent(lasting, "photo3", thumbnail=True)
    assert [one.body for one in parts] == [*lasting.origin.parts("photo3"), lasting.origin.clip("slide-1")]
    assert [name(one) for one in parts][-2:] == [f"{STEM}010.mp3", f"{STEM}010_cover.jpg"]


# several posts


async def test_several_posts_come_in_one_stream_in_order(front: Front) -> None:
    names = ["photo3", "video", "speech", "short_vm", "photo3"]
    async with front.post("/download", **wish(front, names, "ORIGINAL")) as response:
        meta = json.loads(base64.b64decode(response.headers["Content-Meta"]))
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        parts = list(multipart.parts(await response.read(), boundary))
    assert meta == {"title": "Three pictures #garden", "desc": "Three pictures #garden"}
    assert [one.body for one in parts] == [body for one in names for body in front.origin.parts(one)]
    told = [name(one) for one in parts]
    assert len(set(told)) == len(told)
    assert told[4:7] == [f"{STEM}001.mp4", f"{STEM}004.mp4", f"{STEM}001-2.mp4"]
    assert told[7:] == [f"{STEM}010_0{n}-2.jpg" for n in (1, 2, 3)] + [f"{STEM}010-2.mp3"]
    assert front.origin.hits[f"page:{SCENARIOS['video'].id}"] == 1
    assert front.origin.hits["media:video"] == 1


@shared
async def test_ten_posts_at_once_are_within_the_bounds(lasting: Front) -> None:
    names = ["video", "video_moov_last", "video_fragmented", "speech", "photo3", "photo_silent",
             "photo_webp", "qualities", "hevc_mute", "captions"]  # fmt: skip
    parts = await sent(lasting, names)
    assert [one.body for one in parts] == [body for one in names for body in lasting.origin.parts(one)]


async def test_several_posts_do_not_wait_behind_each_other_until_they_are_busy(start: Start) -> None:
    front = await start(extract_waiting_max=1)  # and one process
    names = ["video", "speech", "photo3", "qualities"]
    parts = await sent(front, names)
    assert [one.body for one in parts] == [body for one in names for body in front.origin.parts(one)]


@shared
@pytest.mark.parametrize(
    ("names", "status", "code", "place"),
    [
        (["video", "private"], 400, "VIDEO_PRIVATE", 1), (["geo", "video", "video"], 400, "GEO_BLOCKED", 0),
        (["video", "speech", "cdn_403"], 500, "UPSTREAM_FAILED", 2),
        (["photo3", "photo_silent"], 400, "NOT_VIDEO_CONTENT", 1),
    ],
)  # fmt: skip
async def test_one_post_that_is_not_to_be_had_fails_them_all_and_says_which(
    lasting: Front, names: list[str], status: int, code: str, place: int
) -> None:
    mode = "AUDIO_ONLY" if code == "NOT_VIDEO_CONTENT" else "ORIGINAL"
    async with lasting.post("/download", **wish(lasting, names, mode)) as response:
        body = await response.json()
    assert (response.status, body["code"]) == (status, code)
    assert body["message"].startswith(f"urls[{place}]: ")
    await until(lambda: lasting.origin.open_reads == 0)


@shared
async def test_what_is_no_address_is_told_with_its_place(lasting: Front) -> None:
    body = {"urls": [lasting.origin.url("video"), "hello"], "content_type": "ORIGINAL"}
    async with lasting.post("/download", **body) as response:
        told = await response.json()
    assert (response.status, told["code"]) == (400, "INVALID_URL")
    assert told["message"].startswith("urls[1]: ")


@shared
async def test_a_single_one_of_urls_is_told_like_a_url(lasting: Front) -> None:
    async with lasting.post("/download", **wish(lasting, ["private"], "ORIGINAL")) as response:
        several = await response.json()
    async with lasting.download("private") as response:
        assert several == await response.json()


@shared
async def test_a_post_that_breaks_later_breaks_the_stream_of_all(lasting: Front) -> None:
    async with lasting.post("/download", **wish(lasting, ["video", "cdn_dies"], "ORIGINAL")) as response:
        assert response.status == 200
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()


# wrong wishes


@shared
@pytest.mark.parametrize("path", ["/download", "/api/v3/download", "/download/plan", "/api/v3/download/plan"])
@pytest.mark.parametrize(
    ("fields", "at"),
    [
        ({"quality": "good"}, ["quality"]), ({"quality": 0}, ["quality"]), ({"quality": -720}, ["quality"]),
        ({"quality": 720.0}, ["quality"]), ({"quality": True}, ["quality"]), ({"quality": []}, ["quality"]),
        ({"quality": "720 "}, ["quality"]), ({"quality": "720pp"}, ["quality"]),
        ({"quality": "٧٢٠"}, ["quality"]), ({"quality": "720\n"}, ["quality"]),
        ({"codec": "hevc"}, ["codec"]), ({"codec": 265}, ["codec"]), ({"codec": ""}, ["codec"]),
        ({"thumbnail": "yes"}, ["thumbnail"]), ({"thumbnail": 1}, ["thumbnail"]),
        ({"url": None, "urls": []}, ["urls"]), ({"url": None, "urls": "x"}, ["urls"]),
        ({"url": None, "urls": ["x"] * 11}, ["urls"]), ({"url": None, "urls": ["x", 5]}, ["urls", 1]),
        ({"url": None, "urls": ["x", ""]}, ["urls", 1]), ({"url": None, "urls": ["x" * 4097]}, ["urls", 0]),
        ({"urls": ["x"]}, ["urls"]),
    ],
)  # fmt: skip
async def test_wrong_wishes_are_a_validation_error(
    lasting: Front, path: str, fields: dict[str, Any], at: list[str | int]
) -> None:
    hits = Counter(lasting.origin.hits)
    async with lasting.post(path, **({"url": "x", "content_type": "ORIGINAL"} | fields)) as response:
        body = await response.json()
        assert response.status == 422
    assert body["message"] == "Validation Error"
    (fault,) = body["detail"]
    assert fault["loc"] == ["body", *at]
    assert fault["msg"]
    assert fault["type"]
    assert lasting.origin.hits == hits


@shared
@pytest.mark.parametrize("path", ["/download", "/download/plan"])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"urls": None}, "URL is required"), ({"urls": [" "]}, "URL is required"),
        ({"quality": 720}, "URL is required"), ({"urls": ["x"]}, "Invalid content type"),
        ({"url": "x", "content_type": "audio_only"}, "Invalid content type"),
    ],
)  # fmt: skip
async def test_what_is_missing_is_told_in_the_documented_words(
    lasting: Front, path: str, body: dict[str, Any], words: str
) -> None:
    async with lasting.post(path, **body) as response:
        assert (response.status, await response.json()) == (400, {"detail": words})


# the plan


async def test_a_plan_of_a_video(front: Front) -> None:
    (post,) = await planned(front, "video", thumbnail=True)
    (video, cover) = post.pop("parts")
    expires_at = post.pop("links_expire_at")
    assert expires_at > 1_700_000_000
    assert post == {
        "id": "7400000000000000001", "kind": "video",
        "url": "https://www.tiktok.com/@_/video/7400000000000000001",
        "author": "clipwire.demo", "title": SCENARIOS["video"].words.desc, "duration": 9.0,
    }  # fmt: skip
    assert video == {
        "name": f"{STEM}001.mp4", "kind": "video", "media_type": "video/mp4",
        "bytes": len(front.origin.parts("video")[0]), "duration": 9.0, "width": 576, "height": 1024,
        "codec": "h264", "watermark": False, "cached": False,
    }  # fmt: skip
    assert cover == dict.fromkeys(video) | {"kind": "image", "watermark": False, "cached": False}
    assert not [hit for hit in front.origin.hits if hit.startswith("media:")]


@pytest.mark.parametrize(
    ("scenario", "mode", "more"),
    [
        ("video", "ORIGINAL", {}), ("video", "AUDIO_ONLY", {"thumbnail": True}),
        ("photo3", "ORIGINAL", {"thumbnail": True}), ("photo_webp", "ORIGINAL", {}),
        ("photo3", "AUDIO_ONLY", {}), ("qualities", "VIDEO_ONLY", {"codec": "h265", "quality": 540}),
        (["video", "photo3", "video"], "ORIGINAL", {}),
    ],
)  # fmt: skip
async def test_a_plan_is_what_a_download_then_sends(
    front: Front, scenario: str | list[str], mode: str, more: dict[str, Any]
) -> None:
    before = [part for post in await planned(front, scenario, mode, **more) for part in post["parts"]]
    parts = await sent(front, scenario, mode, **more)
    after = [part for post in await planned(front, scenario, mode, **more) for part in post["parts"]]
    assert len(before) == len(parts) == len(after)
    for early, part, late in zip(before, parts, after, strict=True):
        true = {"name": name(part), "media_type": part.headers["content-type"], "bytes": len(part.body)}
        assert {key: late[key] for key in true} == true
        assert late["cached"] is True
        assert early["cached"] is False
        # what was told before holds; what was not known is known now
        assert {
            key: value for key, value in early.items() if value is not None and key != "cached"
        }.items() <= (late.items())
    kinds = [late["kind"] for late in after]
    assert kinds == [{"v": "video", "i": "image", "a": "sound"}[late["media_type"][0]] for late in after]


async def test_a_part_that_is_arriving_counts_as_cached(front: Front) -> None:
    async with front.download("cdn_hangs") as response:
        assert response.status == 200
        ((part,),) = [post["parts"] for post in await planned(front, "cdn_hangs")]
        assert part["cached"] is True
        front.origin.release()
        await response.read()


async def test_a_part_that_broke_is_not_cached(front: Front) -> None:
    async with front.download("cdn_dies") as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()
    ((part,),) = [post["parts"] for post in await planned(front, "cdn_dies")]
    assert part["cached"] is False


@shared
async def test_a_plan_fails_as_the_download_would(lasting: Front) -> None:
    for scenario in ("private", "geo", "no_formats", "photo_silent"):
        answers = []
        for path in ("/download", "/download/plan", "/api/v3/download/plan"):
            async with lasting.post(path, **wish(lasting, scenario, "AUDIO_ONLY")) as response:
                answers.append((response.status, await response.json()))
        assert answers[0][0] == 400
        assert answers[1:] == answers[:1] * 2


@shared
async def test_the_smallest_is_not_the_watermarked_one(lasting: Front) -> None:
    (post,) = await planned(lasting, "qualities", quality="worst")
    assert [part["watermark"] for part in post["parts"]] == [False]
    assert post["parts"][0]["width"] == 360
