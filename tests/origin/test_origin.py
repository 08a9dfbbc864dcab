"""The stand-in keeps its promises: the real extractor reads it, and its faults are the ones it names."""

import asyncio
import io
import json
import os
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import aiohttp
import av
import pytest

from tests.origin import encoding
from tests.origin.media import FOLDER
from tests.origin.origin import Origin
from tests.origin.scenarios import MEMBER, SCENARIOS
from tests.origin.site import HUGE_BYTES

REFERER = "https://www.tiktok.com/"

# the stock extractor, told nothing but where the proxy is; what it says goes to stdout as one line
EXTRACT = """
import json, sys, yt_dlp
options = {"proxy": sys.argv[1], "quiet": True, "noprogress": True, "cachedir": False, "writesubtitles": True,
           "compat_opts": ["no-certifi"], "allowed_extractors": ["TikTok", "vm.tiktok"]}
with yt_dlp.YoutubeDL(options) as ydl:
    try:
        info = ydl.sanitize_info(ydl.extract_info(sys.argv[2], download=False))
        info["cookie_header"] = ydl.cookiejar.get_cookie_header(info["url"])
    except yt_dlp.utils.DownloadError as error:
        info = {"error": str(error)}
    print(json.dumps(info))
"""


@pytest.fixture
async def origin(tmp_path: Path) -> AsyncIterator[Origin]:
    async with Origin(tmp_path) as running:
        yield running


class Visitor:
    """A client of the origin that trusts its CA and keeps no cookies of its own."""

    def __init__(self, origin: Origin, session: aiohttp.ClientSession) -> None:
        self._origin, self._session = origin, session
        self._tls = ssl.create_default_context(cafile=origin.ca_file)

    def ask(self, url: str, headers: dict[str, str] | None = None, method: str = "GET", **more: Any) -> Any:
        return self._session.request(
            method, url, proxy=self._origin.proxy_url, ssl=self._tls, headers=headers, **more
        )

    async def item(self, name: str) -> tuple[dict[str, Any], dict[str, str]]:
        """A post as its page has it, and the headers that its media want."""
        async with self.ask(self._origin.url(name)) as page:
            text = await page.text()
            (token,) = (
                cookie.split(";")[0]
                for cookie in page.headers.getall("Set-Cookie")
                if cookie.startswith("tt_chain_token=")
            )
        data = text.split('id="__UNIVERSAL_DATA_FOR_REHYDRATION__"')[1].split(">", 1)[1].split("</script>")[0]
        detail = json.loads(data)["__DEFAULT_SCOPE__"]["webapp.video-detail"]
        assert detail["statusCode"] == 0
        return detail["itemInfo"]["itemStruct"], {"Cookie": token, "Referer": REFERER}

    async def video(self, name: str) -> tuple[str, dict[str, str]]:
        item, headers = await self.item(name)
        return item["video"]["playAddr"], headers


@pytest.fixture
async def visitor(origin: Origin) -> AsyncIterator[Visitor]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Visitor(origin, session)


async def extract(origin: Origin, url: str) -> dict[str, Any]:
    environment = {k: v for k, v in os.environ.items() if k.lower() not in ("no_proxy", "https_proxy")}
    for name in ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"):
        environment[name] = str(origin.ca_file)
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", EXTRACT, origin.proxy_url, url,
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        out, err = await asyncio.wait_for(child.communicate(), 60)
    finally:
        if child.returncode is None:
            child.kill()
    assert out, err.decode()
    told: dict[str, Any] = json.loads(out)
    return told


async def until(true: Callable[[], bool]) -> None:
    """Wait for what another task is about to do; fails rather than hangs."""
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.01)


# the genuine extractor


async def test_the_real_extractor_reads_a_video_post(origin: Origin, visitor: Visitor) -> None:
    info = await extract(origin, origin.url("video"))
    formats = {f["format_id"]: f for f in info["formats"]}
    assert {"bytevc1_720p_998877-0", "h264_540p_812345-0", "download", "audio"} <= set(formats)
    assert formats["bytevc1_720p_998877-0"]["vcodec"] == "h265"
    assert formats["h264_540p_812345-0"]["filesize"] == len(origin.parts("video")[0])
    assert formats["download"]["format_note"] == "watermarked"
    assert (info["uploader"], info["like_count"], info["duration"]) == ("clipwire.demo", 7890, 9)
    headers = {"Cookie": info["cookie_header"], "Referer": info["http_headers"]["Referer"]}
    async with visitor.ask(formats["h264_540p_812345-0"]["url"], headers) as answer:
        assert await answer.read() == origin.body("video")
    assert not origin.refused_hosts


async def test_the_real_extractor_sees_every_gear(origin: Origin) -> None:
    info = await extract(origin, origin.url("qualities"))
    formats = {f["format_id"]: f for f in info["formats"]}
    for gear in SCENARIOS["qualities"].gears:
        found = formats[f"{gear.codec}_{gear.lines}p_{gear.lines * 1000}-0"]
        assert found["vcodec"] == ("h264" if gear.codec == "h264" else "h265")
        assert found["width"] == (576 if gear.lines == 540 else gear.lines)
        assert found["filesize"] == len(origin.clip(gear.clip))


async def test_gears_are_what_they_say(origin: Origin, visitor: Visitor) -> None:
    for name in ("qualities", "hevc_mute"):
        for gear in SCENARIOS[name].gears:
            with av.open(io.BytesIO(origin.clip(gear.clip))) as film:
                assert film.streams.video[0].width == (576 if gear.lines == 540 else gear.lines)
                codec = film.streams.video[0].codec_context.name
                assert codec == ("h264" if gear.codec == "h264" else "hevc")
                assert bool(film.streams.audio) is not gear.mute


async def test_the_real_extractor_follows_a_short_link(origin: Origin) -> None:
    info = await extract(origin, origin.url("short_vm"))
    assert info["id"] == SCENARIOS["video"].id
    assert origin.hits["short"] == 1


async def test_the_real_extractor_has_only_the_sound_of_a_photo_post(origin: Origin) -> None:
    info = await extract(origin, origin.url("photo3").replace("/photo/", "/video/"))
    assert [(f["format_id"], f["ext"]) for f in info["formats"]] == [("audio", "mp3")]


async def test_the_real_extractor_solves_the_challenge(origin: Origin) -> None:
    info = await extract(origin, origin.url("waf"))
    assert info["id"] == SCENARIOS["waf"].id
    assert origin.hits[f"page:{SCENARIOS['waf'].id}"] == 2


async def test_the_real_extractor_sees_both_captions(origin: Origin) -> None:
    info = await extract(origin, origin.url("captions"))
    assert set(info["subtitles"]) == {"eng-US", "spa-ES"}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("private", "You do not have permission to view this post"),
        ("deleted", "Your IP address is blocked"),
        ("login", "Log in for access"),
        ("login_redirect", "requiring login"),
        ("waf_hard", "Unexpected response from webpage request"),
        ("page_429", "429"),
        ("no_formats", "No video formats found"),
    ],
)
async def test_the_real_extractor_complains(origin: Origin, name: str, words: str) -> None:
    assert words in (await extract(origin, origin.url(name)))["error"]


async def test_the_text_of_a_hostile_post_arrives_unchanged(origin: Origin) -> None:
    info = await extract(origin, origin.url("hostile_text"))
    assert info["description"] == SCENARIOS["hostile_text"].words.desc
    assert len(info["description"]) >= 10_000


# the media


async def test_media_want_the_cookie_byte_for_byte_and_a_referer(origin: Origin, visitor: Visitor) -> None:
    link, headers = await visitor.video("video")
    name, _, token = headers["Cookie"].partition("=")
    assert token.endswith("==")
    refused = [
        {},
        {"Referer": REFERER},
        {"Cookie": headers["Cookie"]},
        {"Referer": REFERER, "Cookie": f'{name}="{token}"'},
        {"Referer": REFERER, "Cookie": SimpleCookie({name: token})[name].OutputString()},
        {"Referer": REFERER, "Cookie": f"{name}={token[:-2]}"},
    ]
    for wrong in refused:
        async with visitor.ask(link, wrong) as answer:
            assert answer.status == 403, wrong
    async with visitor.ask(link, headers) as answer:
        assert answer.status == 200
        assert await answer.read() == origin.parts("video")[0]
    assert origin.hits["media:video"] == len(refused) + 1


async def test_ranges(origin: Origin, visitor: Visitor) -> None:
    link, headers = await visitor.video("video")
    body = origin.parts("video")[0]
    for asked, got in (("5-9", body[5:10]), ("100-", body[100:]), ("-7", body[-7:])):
        async with visitor.ask(link, headers | {"Range": f"bytes={asked}"}) as answer:
            assert answer.status == 206
            assert await answer.read() == got
            assert answer.headers["Content-Range"].endswith(f"/{len(body)}")
            assert answer.content_length == len(got)
    async with visitor.ask(link, headers | {"Range": f"bytes={len(body)}-"}) as answer:
        assert answer.status == 416
    async with visitor.ask(link, headers | {"Range": "bytes=5-", "If-Range": '"old"'}) as answer:
        assert answer.status == 200
    async with visitor.ask(link, headers, method="HEAD") as answer:
        assert (answer.status, answer.content_length) == (200, len(body))
        assert "ETag" in answer.headers


@pytest.mark.parametrize(
    ("name", "part"), [("cdn_dies", 0.5), ("cdn_dies_end", 1), ("cdn_short", 0.5), ("cdn_dies_once", 0.5)]
)
async def test_a_dying_read_gives_what_it_promised_and_then_an_error(
    origin: Origin, visitor: Visitor, name: str, part: float
) -> None:
    link, headers = await visitor.video(name)
    body = origin.parts(name)[0]
    got = b""
    async with visitor.ask(link, headers) as answer:
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            async for chunk in answer.content.iter_any():
                got += chunk
        assert (answer.content_length is None) == (name == "cdn_short")
    assert got == body[: min(int(len(body) * part), len(body) - 1)]


@pytest.mark.parametrize("name", ["cdn_chunked", "cdn_untagged"])
async def test_some_answers_have_no_tag(origin: Origin, visitor: Visitor, name: str) -> None:
    link, headers = await visitor.video(name)
    async with visitor.ask(link, headers) as answer:
        assert "ETag" not in answer.headers
        assert (answer.content_length is None) == (name == "cdn_chunked")
        assert await answer.read() == origin.parts(name)[0]


@pytest.mark.parametrize("name", ["cdn_dies_once", "cdn_dies_expired", "cdn_changes", "cdn_ignores_range"])
async def test_a_read_is_resumed(origin: Origin, visitor: Visitor, name: str) -> None:
    link, headers = await visitor.video(name)
    body, got = origin.parts(name)[0], b""
    async with visitor.ask(link, headers) as answer:
        etag = answer.headers["ETag"]
        with pytest.raises((aiohttp.ClientError, ConnectionError)):
            async for chunk in answer.content.iter_any():
                got += chunk
    resuming = {"Range": f"bytes={len(got)}-", "If-Range": etag}
    async with visitor.ask(link, headers | resuming) as answer:
        match name:
            case "cdn_dies_once":
                assert answer.status == 206
                assert got + await answer.read() == body
            case "cdn_dies_expired":
                assert answer.status == 403
                link, headers = await visitor.video(name)
                async with visitor.ask(link, headers | resuming) as again:
                    assert got + await again.read() == body
            case "cdn_changes":
                assert answer.status == 200
                assert await answer.read() != body
            case "cdn_ignores_range":
                assert answer.status == 200
                assert await answer.read() == body


async def test_an_expired_link_is_fresh_on_the_second_page(origin: Origin, visitor: Visitor) -> None:
    for status in (403, 200):
        link, headers = await visitor.video("expired")
        async with visitor.ask(link, headers) as answer:
            assert answer.status == status


async def test_a_hanging_read_ends_when_released(origin: Origin, visitor: Visitor) -> None:
    link, headers = await visitor.video("cdn_hangs")
    async with visitor.ask(link, headers) as answer:
        assert len(await answer.content.readexactly(65_536)) == 65_536
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(answer.content.readany(), 0.1)
        assert origin.open_reads == 1
        origin.release()
        assert len(await answer.read()) == len(origin.parts("video")[0]) - 65_536


@pytest.mark.parametrize("name", ["cdn_silent", "page_hangs", "page_trickles"])
async def test_closing_the_origin_lets_everything_go(tmp_path: Path, name: str) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        async with Origin(tmp_path) as origin:
            visitor = Visitor(origin, session)
            link, headers = await visitor.video(name) if name.startswith("cdn") else (origin.url(name), {})

            async def read() -> bytes:
                async with visitor.ask(link, headers) as answer:
                    return bytes(await answer.read())

            reading = asyncio.create_task(read())
            seen = f"media:{name}" if name.startswith("cdn") else f"page:{SCENARIOS[name].id}"
            await until(lambda: bool(origin.hits[seen]))
            await asyncio.sleep(0.1)
            assert not reading.done()
        await asyncio.wait([reading], timeout=10)
        assert reading.done()
        reading.exception()
        assert origin.open_reads == 0


async def test_a_reader_who_leaves_ends_the_read(origin: Origin, visitor: Visitor) -> None:
    link, headers = await visitor.video("cdn_hangs")
    async with visitor.ask(link, headers) as answer:
        await answer.content.readany()
        assert origin.open_reads == 1
        answer.close()
    await until(lambda: origin.open_reads == 0)


async def test_a_pace_holds_and_may_change_under_way(origin: Origin, visitor: Visitor) -> None:
    link, headers = await visitor.video("big")
    origin.pace(1000)
    async with visitor.ask(link, headers) as answer:
        await answer.content.readany()
        assert origin.bytes_sent["big"] < 65_536
        origin.pace(None)
        await answer.read()
    assert origin.bytes_sent["big"] == 8 << 20
    assert origin.open_reads == 0


@pytest.mark.parametrize(
    ("name", "status"), [("cdn_403", 403), ("cdn_404", 404), ("cdn_empty", 200), ("cdn_html", 200)]
)
async def test_wrong_answers(origin: Origin, visitor: Visitor, name: str, status: int) -> None:
    link, headers = await visitor.video(name)
    async with visitor.ask(link, headers) as answer:
        body = await answer.read()
        assert answer.status == status
        assert name != "cdn_empty" or body == b""
        assert name != "cdn_html" or answer.content_type == "text/html"


async def test_redirected_media(origin: Origin, visitor: Visitor) -> None:
    link, headers = await visitor.video("redirect_media")
    async with visitor.ask(link, headers, allow_redirects=False) as answer:
        elsewhere = answer.headers["Location"]
    async with visitor.ask(elsewhere) as answer:
        assert await answer.read() == origin.parts("video")[0]
    async with visitor.ask(elsewhere, headers) as answer:
        assert answer.status == 200
    assert origin.hits["leak:v16m.tiktokcdn.com"] == 1
    link, headers = await visitor.video("redirect_evil")
    async with visitor.ask(link, headers, allow_redirects=False) as answer:
        assert answer.headers["Location"] == "http://127.0.0.1:1/"


@pytest.mark.parametrize("name", ["photo3", "photo35", "photo_webp", "photo_silent"])
async def test_photos_and_their_sound_come_as_they_are(origin: Origin, visitor: Visitor, name: str) -> None:
    item, _ = await visitor.item(name)
    links = [image["imageURL"]["urlList"][0] for image in item["imagePost"]["images"]]
    links += [item["music"]["playUrl"]] if item["music"]["playUrl"] else []
    got = []
    for link in links:
        async with visitor.ask(link) as answer:
            got.append(await answer.read())
    assert got == origin.parts(name) == origin.body(name)
    if name == "photo_webp":
        assert all(part[:4] == b"RIFF" for part in got[:-1])


async def test_the_music_of_a_video_is_another_track(origin: Origin, visitor: Visitor) -> None:
    item, _ = await visitor.item("video")
    async with visitor.ask(item["music"]["playUrl"]) as answer:
        assert await answer.read() == (FOLDER / "music.mp3").read_bytes()
    assert origin.hits["media:video"] == 0
    assert origin.hits["media:music"] == 1


async def test_captions_are_webvtt_and_say_who_wrote_them(origin: Origin, visitor: Visitor) -> None:
    item, _ = await visitor.item("captions")
    for caption, word in zip(item["video"]["subtitleInfos"], ("lighthouse", "faro"), strict=True):
        async with visitor.ask(caption["Url"]) as answer:
            text = await answer.text()
        assert text.startswith("WEBVTT\n\n00:00:00.000 --> ")
        assert word in text
    assert [caption["Source"] for caption in item["video"]["subtitleInfos"]] == ["ASR", "MT"]


async def test_captions_by_hand_name_no_source(origin: Origin, visitor: Visitor) -> None:
    item, _ = await visitor.item("captions_both")
    recognised, written = item["video"]["subtitleInfos"]
    assert recognised["LanguageCodeName"] == written["LanguageCodeName"] == "eng-US"
    assert "Source" not in written
    async with visitor.ask(written["Url"]) as answer:
        assert (await answer.read()).startswith(b"\xef\xbb\xbfWEBVTT - by hand\r\n")
    assert origin.hits["media:captions-creator"] == 1


@pytest.mark.parametrize(
    ("name", "status", "head"),
    [
        ("captions_json", 200, b"{"), ("captions_empty", 200, b"WEBVTT\n"), ("captions_404", 404, b"no"),
        ("captions_html", 200, b"<!DOCTYPE html>"), ("captions_huge", 200, b"WEBVTT\n\n"),
        ("captions_huge_untold", 200, b"WEBVTT\n\n"),
    ],
)  # fmt: skip
async def test_files_of_captions_have_faults_of_their_own(
    origin: Origin, visitor: Visitor, name: str, status: int, head: bytes
) -> None:
    item, headers = await visitor.item(name)
    async with visitor.ask(item["video"]["subtitleInfos"][0]["Url"]) as answer:
        body = await answer.read()
        assert (answer.status, body[: len(head)]) == (status, head)
        assert (answer.content_length is None) == (name == "captions_huge_untold")
        assert (len(body) > 1 << 20) == name.startswith("captions_huge")
    async with visitor.ask(item["video"]["playAddr"], headers) as answer:
        assert await answer.read() == origin.body(name)


@pytest.mark.parametrize(("name", "deaths"), [("captions_dies", 2), ("captions_dies_once", 1)])
async def test_captions_die_in_the_middle(origin: Origin, visitor: Visitor, name: str, deaths: int) -> None:
    item, _ = await visitor.item(name)
    dead = 0
    for _ in range(2):
        async with visitor.ask(item["video"]["subtitleInfos"][0]["Url"]) as answer:
            try:
                await answer.read()
            except aiohttp.ClientError:
                dead += 1
    assert dead == deaths


async def test_the_three_layouts_of_one_film(origin: Origin) -> None:
    first, last, fragmented = (
        origin.parts(name)[0] for name in ("video", "video_moov_last", "video_fragmented")
    )
    assert first.index(b"moov") < first.index(b"mdat")
    assert last.index(b"moov") > last.index(b"mdat")
    assert b"moof" in fragmented
    for film in (last, fragmented):  # a fragmented file counts the encoder's padding too
        assert encoding.duration_s(film) == pytest.approx(encoding.duration_s(first), abs=0.2)


async def test_an_extra_spoken_clip_becomes_a_post(tmp_path: Path) -> None:
    async with Origin(tmp_path, speech={"0042": FOLDER / "sound.mp3"}) as origin:
        assert origin.url("speech:0042").endswith("0042")
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            visitor = Visitor(origin, session)
            item, headers = await visitor.item("speech:0042")
            async with visitor.ask(item["video"]["playAddr"], headers) as answer:
                assert await answer.read() == origin.body("speech:0042")
        assert item["video"]["duration"] == round(encoding.duration_s((FOLDER / "sound.mp3").read_bytes()))
        assert origin.hits["media:speech:0042"] == 1


# pages that lead on


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("page_to_loopback", "https://127.0.0.1/"), ("page_to_metadata", "http://169.254.169.254/"),
        ("page_to_look_alike", "https://www.tiktok.com.evil.example/"),
        ("page_to_plain_http", "http://www.tiktok.com/"), ("page_detour", "//m.tiktok.com/"),
        ("page_circles", "/@"),
    ],
)  # fmt: skip
async def test_pages_lead_there(origin: Origin, visitor: Visitor, name: str, to: str) -> None:
    async with visitor.ask(origin.url(name), allow_redirects=False) as answer:
        assert answer.status in (301, 302)
        assert answer.headers["Location"].startswith(to)


async def test_a_huge_page_is_small_on_the_wire(origin: Origin, visitor: Visitor) -> None:
    async with visitor.ask(origin.url("page_huge"), {"Accept-Encoding": "gzip"}) as answer:
        assert len(await answer.read()) == HUGE_BYTES


async def test_members_are_known_by_their_cookie(origin: Origin, visitor: Visitor) -> None:
    for cookie, known in (("", False), ("sessionid=another", False), (f"sessionid={MEMBER}", True)):
        async with visitor.ask(origin.url("members"), {"Cookie": cookie}) as answer:
            assert ("itemStruct" in await answer.text()) == known


async def test_a_blocked_visitor_gets_no_page_and_all_media(origin: Origin, visitor: Visitor) -> None:
    link, headers = await visitor.video("video")
    origin.block(403)
    async with visitor.ask(origin.url("video")) as answer:
        assert answer.status == 403
    async with visitor.ask(link, headers) as answer:
        assert answer.status == 200
    origin.block(None)
    await visitor.video("video")


# the proxy


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://example.com/", "example.com"),
        ("https://127.0.0.1/", "127.0.0.1"),
        ("https://tiktok.com.example.com/", "tiktok.com.example.com"),
        ("http://169.254.169.254/latest/", "169.254.169.254"),
        ("http://[::1]:80/", "::1"),
    ],
)
async def test_foreign_hosts_are_refused_and_counted(
    origin: Origin, visitor: Visitor, url: str, host: str
) -> None:
    if url.startswith("https:"):
        with pytest.raises(aiohttp.ClientHttpProxyError, match="403"):
            await visitor.ask(url)
    else:  # no tunnel: the proxy itself answers
        async with visitor.ask(url) as answer:
            assert answer.status == 403
    assert origin.refused_hosts == {host: 1}


@pytest.mark.parametrize(
    ("name", "to"),
    [
        ("short_vt", SCENARIOS["video"].url),
        ("short_t", SCENARIOS["video"].url),
        ("short_photo", SCENARIOS["photo3"].url),
        ("short_away", "https://example.com/"),
    ],
)
async def test_short_links_lead_there(origin: Origin, visitor: Visitor, name: str, to: str) -> None:
    async with visitor.ask(origin.url(name), method="HEAD", allow_redirects=False) as answer:
        assert answer.status == 301
        assert answer.headers["Location"].startswith(to)


def test_ids_and_addresses_are_unique() -> None:
    assert (
        len({s.id for s in SCENARIOS.values()}) == len({s.url for s in SCENARIOS.values()}) == len(SCENARIOS)
    )
    assert all(len(s.id) == 19 for s in SCENARIOS.values())


def test_the_clips_stay_small() -> None:
    sizes = [path.stat().st_size for path in FOLDER.iterdir()]
    assert max(sizes) < 300_000
    assert sum(sizes) < 900_000


async def test_two_origins_have_each_their_own_words_of_one_id(tmp_path: Path) -> None:
    sounds = {"one": FOLDER / "sound.mp3", "other": FOLDER / "music.mp3"}
    bodies = []
    for name, sound in sounds.items():
        async with Origin(tmp_path / name, speech={"0042": sound}) as origin:
            bodies.append(origin.body("speech:0042"))
    assert bodies[0] != bodies[1]
