"""Ways in: several exits, a login, a canary, another yt-dlp; and ways that are not gone."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.errors import InvalidUrl
from gateway.media import extractor, tiktok
from gateway.wire import multipart
from tests.origin.origin import Origin
from tests.origin.scenarios import MEMBER, SCENARIOS
from tests.web.conftest import Front, Start, until
from tests.web.test_status import children, serve

DEAD = "http://user:hidden@127.0.0.1:9"
PLAIN = ("video", "speech", "video_moov_last", "video_fragmented")


@asynccontextmanager
async def proxy(answer: bytes | None) -> AsyncIterator[str]:
    """A proxy that gives everybody the same answer, or none at all."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is not None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://user:hidden@127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


WANTS_LOGIN = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class Two:
    """A gateway and two ways to the site, each with an origin of its own."""

    def __init__(self, front: Front, other: Origin) -> None:
        self.front = front
        self.first, self.second = front.origin, other


@pytest.fixture
async def two(start: Start, tmp_path: Path) -> AsyncIterator[Two]:
    async with Origin(tmp_path / "other") as other:
        yield Two(await start(proxies=(None, other.proxy_url), others=(other,)), other)


async def whole(front: Front, name: str) -> None:
    async with front.download(name) as response:
        assert response.status == 200, await response.text()
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        parts = list(multipart.parts(await response.read(), boundary))
    assert [part.body for part in parts] == front.origin.parts(name)


async def code(front: Front, name: str) -> str:
    async with front.download(name) as response:
        return str((await response.json())["code"])


async def health(front: Front) -> list[dict[str, Any]]:
    async with front.session.get(front.url + "/ready") as response:
        return list((await response.json())["site"]["exits"])


# several exits


async def test_a_dead_proxy_is_passed_over(start: Start, capfd: Any) -> None:
    front = await start(proxies=(DEAD, None))
    for name in PLAIN:
        await whole(front, name)
    dead, good = await health(front)
    assert (dead["state"], dead["code"], dead["failures"]) == ("resting", "PROXY_ERROR", 1)
    assert (good["state"], good["failures"]) == ("ok", 0)
    async with front.session.get(front.url + "/ready") as response:
        assert "hidden" not in await response.text()
    said = "".join(capfd.readouterr())
    assert "exit rests" in said
    assert "hidden" not in said


async def test_a_proxy_that_wants_another_login_is_passed_over(start: Start) -> None:
    async with proxy(WANTS_LOGIN) as wants:
        front = await start(proxies=(wants, None))
        for name in PLAIN:
            await whole(front, name)
        assert [one["code"] for one in await health(front)] == ["PROXY_ERROR", None]


async def test_a_proxy_that_takes_and_says_nothing_leaves_time_for_another(start: Start) -> None:
    async with proxy(None) as silent:
        front = await start(proxies=(silent, None), extract_s=10)
        await whole(front, "video")
        await whole(front, "speech")


@pytest.mark.parametrize(("status", "words"), [(403, "IP_BLOCKED"), (429, "UPSTREAM_RATE_LIMITED")])
async def test_an_exit_that_the_site_does_not_like_rests(two: Two, status: int, words: str) -> None:
    two.second.block(status)
    for name in PLAIN:
        await whole(two.front, name)
    pages = [count for name, count in two.second.hits.items() if name.startswith("page:")]
    assert sum(pages) == 1
    assert [(one["state"], one["code"]) for one in await health(two.front)] == [
        ("ok", None), ("resting", words)
    ]  # fmt: skip


async def test_where_no_exit_gets_through_the_sites_answer_is_told(start: Start) -> None:
    front = await start(proxies=(DEAD, None))
    front.origin.block(403)
    for name in PLAIN:
        assert await code(front, name) == "IP_BLOCKED"
    front.origin.block(None)
    await whole(front, "video")  # resting ones are tried when there are no others
    assert (await health(front))[1] == {"exit": 2, "state": "ok", "code": None, "failures": 0, "rests_s": 0}


async def test_exits_take_turns_and_media_go_the_way_of_their_page(two: Two) -> None:
    for name in PLAIN:
        await whole(two.front, name)
    for origin in (two.first, two.second):
        pages = {name.removeprefix("page:") for name in origin.hits if name.startswith("page:")}
        media = {SCENARIOS[name].id for name in PLAIN if origin.hits[f"media:{name}"]}
        assert pages == media
        assert len(pages) == 2


async def test_media_find_another_exit_when_theirs_has_died(two: Two) -> None:
    front = two.front
    post = await front.gateway.extractor.find(front.origin.url("video"))
    (via,) = {source.exit for one in post.formats for source in one.sources}
    parts = front.origin.parts("video")
    died, lives = (two.first, two.second) if via == 1 else (two.second, two.first)
    await died.__aexit__()
    async with front.download("video") as response:
        boundary = response.headers["Content-Type"].rpartition("=")[2]
        assert [part.body for part in multipart.parts(await response.read(), boundary)] == parts
    assert lives.hits["media:video"] == 1


async def test_short_links_find_another_exit_too(start: Start) -> None:
    front = await start(proxies=(DEAD, None))
    for name in ("short_vm", "short_vt", "short_t"):
        await whole(front, name)


@pytest.mark.parametrize("url", ["ftp://host:1", "http://host", "http://user:hidden@host:x", "socks5://h:1"])
async def test_a_proxy_that_is_none_is_refused_at_the_start_without_its_secret(
    start: Start, url: str
) -> None:
    with pytest.raises(ValueError, match="proxy 2 is not") as told:
        await start(proxy_url=f"http://host:1, {url}")
    assert "hidden" not in "".join(one["msg"] for one in told.value.errors())  # type: ignore[attr-defined]


# pages that lead elsewhere


@pytest.mark.parametrize(
    "name", ["page_to_loopback", "page_to_metadata", "page_to_look_alike", "page_to_plain_http"]
)
async def test_a_page_that_leads_elsewhere_is_not_followed(front: Front, name: str) -> None:
    async with front.download(name) as response:
        body = await response.json()
    assert (body["code"], body["message"]) == ("EXTRACTION_FAILED", "The site's page leads somewhere else.")
    assert not front.origin.refused_hosts
    assert [host for host in front.origin.hits if "login" in host] == []


async def test_a_page_that_moved_is_followed(front: Front) -> None:
    await whole(front, "page_detour")
    assert front.origin.hits[f"page:{SCENARIOS['page_detour'].id}"] == 2


async def test_a_page_that_leads_in_circles_is_given_up(front: Front) -> None:
    assert await code(front, "page_circles") == "EXTRACTION_FAILED"
    assert front.origin.hits[f"page:{SCENARIOS['page_circles'].id}"] == 6


async def test_a_page_without_an_end_is_given_up(front: Front) -> None:
    async with front.download("page_huge") as response:
        body = await response.json()
    assert (body["code"], "larger" in body["message"]) == ("EXTRACTION_FAILED", True)
    await whole(front, "video")


async def test_proxies_of_the_environment_are_not_used(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    async with proxy(WANTS_LOGIN) as strange:
        for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, strange)
        monkeypatch.setenv("NO_PROXY", "*")
        await whole(await start(), "video")


# a login


def cookie_file(folder: Path, value: str) -> Path:
    file = folder / "cookies.txt"
    file.write_text(
        "# Netscape HTTP Cookie File\n\n"
        f"#HttpOnly_.tiktok.com\tTRUE\t/\tTRUE\t0\tsessionid\t{value}\n"
        ".example.com\tTRUE\t/\tFALSE\t0\tother\tsecret-of-another-site\n"
        f"a line that is none {value}\n"
    )
    return file


async def test_a_post_for_members_needs_the_cookie_file(start: Start, tmp_path: Path, capfd: Any) -> None:
    assert await code(await start(), "members") == "LOGIN_REQUIRED"
    file = cookie_file(tmp_path, MEMBER)
    before = file.read_bytes()
    front = await start(cookies_file=file)
    await whole(front, "members")
    await whole(front, "video")
    assert not front.origin.hits["leak:sessionid"]
    assert file.read_bytes() == before
    post = await front.gateway.extractor.find(front.origin.url("members"))
    assert MEMBER not in repr(post)
    assert MEMBER not in "".join(capfd.readouterr())


async def test_a_login_that_is_no_longer_good_is_told(start: Start, tmp_path: Path) -> None:
    front = await start(cookies_file=cookie_file(tmp_path, "old"))
    async with front.download("members") as response:
        body = await response.json()
    assert (body["code"], "age-restricted" in body["message"]) == ("LOGIN_REQUIRED", True)
    cookie_file(tmp_path, MEMBER)  # a new one counts at once
    await whole(front, "members")


@pytest.mark.parametrize(
    ("text", "words"), [(None, "cannot be read"), ('[{"name": "sessionid"}]', "Netscape")]
)
async def test_a_cookie_file_that_is_none_stops_the_start(
    start: Start, tmp_path: Path, text: str | None, words: str
) -> None:
    file = tmp_path / "cookies.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ValueError, match=words):
        await start(cookies_file=file)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("geo", "GEO_BLOCKED"), ("geo_border", "GEO_BLOCKED"), ("geo_copyright", "GEO_BLOCKED"),
        ("geo_status", "GEO_BLOCKED"), ("login", "LOGIN_REQUIRED"), ("login_status", "LOGIN_REQUIRED"),
        ("login_redirect", "LOGIN_REQUIRED"), ("members", "LOGIN_REQUIRED"),
    ],
)  # fmt: skip
async def test_age_login_and_region_are_told_apart(front: Front, name: str, words: str) -> None:
    async with front.download(name) as response:
        body = await response.json()
    assert body["code"] == words
    assert ("age-restricted" in body["message"]) == (name in ("login", "login_status", "members"))


# a canary


@pytest.mark.parametrize(
    ("name", "state", "words"),
    [
        ("video", "ok", None), ("photo3", "ok", None), ("no_formats", "changed", "EXTRACTION_FAILED"),
        ("page_circles", "changed", "EXTRACTION_FAILED"), ("page_403", "blocked", "IP_BLOCKED"),
        ("waf_hard", "blocked", "IP_BLOCKED"), ("page_429", "blocked", "UPSTREAM_RATE_LIMITED"),
        ("page_503", "unreachable", "EXTRACTION_FAILED"),
        ("page_trickles", "unreachable", "UPSTREAM_TIMEOUT"),
        ("deleted", "unknown", "VIDEO_UNAVAILABLE"),
    ],
)  # fmt: skip
async def test_the_canary_tells_a_change_from_a_block(
    start: Start, name: str, state: str, words: str | None
) -> None:
    front = await start(canary_url=SCENARIOS[name].url, extract_s=4)
    site: dict[str, Any] = {}
    async with asyncio.timeout(20):
        while not site.get("at"):
            async with front.session.get(front.url + "/ready") as response:
                site = (await response.json())["site"]
                assert response.status == 503  # for want of a model; the canary changes nothing of it
            await asyncio.sleep(0.05)
    assert (site["state"], site["code"]) == (state, words)


async def test_the_canary_looks_again_past_the_cache(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    front = await start(canary_url=SCENARIOS["video"].url, canary_s=3600)
    page = f"page:{SCENARIOS['video'].id}"
    await until(lambda: front.gateway.canary.report()["state"] == "ok")
    capfd.readouterr()
    await front.gateway.canary.look()
    assert front.origin.hits[page] == 2
    front.origin.block(403)
    await front.gateway.canary.look()
    await front.gateway.canary.look()
    assert front.gateway.canary.report()["state"] == "blocked"
    assert "".join(capfd.readouterr()).count("the canary finds the site") == 1


async def test_without_a_canary_nothing_is_known(front: Front) -> None:
    async with front.session.get(front.url + "/ready") as response:
        site = (await response.json())["site"]
    assert (site.pop("exits")[0]["state"], site) == ("ok", {"state": "unknown", "code": None, "at": None})


async def test_a_canary_that_is_no_post_stops_the_start(start: Start) -> None:
    with pytest.raises(InvalidUrl, match="GATEWAY_CANARY_URL"):
        await start(canary_url="https://example.com/")


# another yt-dlp


async def pids(front: Front) -> set[int]:
    return {(await one.start()).pid for one in front.gateway.extractor._processes._all}


async def test_another_version_on_disk_renews_the_processes(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    front = await start(extract_processes=2)
    monkeypatch.setattr(extractor, "SETTLE_S", 0)
    before = await pids(front)
    await front.gateway.extractor.renew_if_changed()
    assert await pids(front) == before
    monkeypatch.setattr(tiktok, "installed", lambda: None)  # half way through an upgrade
    await front.gateway.extractor.renew_if_changed()
    assert await pids(front) == before
    monkeypatch.setattr(tiktok, "installed", lambda: "2099.1.1")
    await front.gateway.extractor.renew_if_changed()
    after = await pids(front)
    assert len(after) == 2
    assert not after & before
    await front.gateway.extractor.renew_if_changed()
    assert await pids(front) == after
    await whole(front, "video")


async def test_a_yt_dlp_that_does_not_start_is_not_taken(
    front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    await whole(front, "video")
    before = await pids(front)
    (tmp_path / "broken" / "yt_dlp").mkdir(parents=True)
    (tmp_path / "broken" / "yt_dlp" / "__init__.py").write_text("raise ImportError('half installed')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'broken'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    await front.gateway.extractor.renew()
    assert await pids(front) == before
    await whole(front, "speech")


async def test_a_process_at_work_finishes_before_it_goes(start: Start) -> None:
    front = await start(extract_s=20)
    asking = asyncio.ensure_future(front.gateway.extractor.find(front.origin.url("page_hangs")))
    await until(lambda: front.origin.hits[f"page:{SCENARIOS['page_hangs'].id}"] > 0)
    renewing = asyncio.ensure_future(front.gateway.extractor.renew())
    await whole(front, "video")  # the new one takes what comes meanwhile
    assert not renewing.done()
    front.origin.release()
    assert (await asking).id == SCENARIOS["page_hangs"].id
    await renewing
    assert len(await pids(front)) == 1
    assert front.origin.hits[f"page:{SCENARIOS['page_hangs'].id}"] == 1


async def test_a_process_that_dies_while_it_is_replaced_holds_nothing_up(start: Start) -> None:
    front = await start(extract_s=20)
    page = f"page:{SCENARIOS['page_hangs'].id}"
    asking = asyncio.ensure_future(front.gateway.extractor.find(front.origin.url("page_hangs")))
    await until(lambda: front.origin.hits[page] > 0)
    (old,) = await pids(front)
    renewing = asyncio.ensure_future(front.gateway.extractor.renew())
    await whole(front, "video")
    os.kill(old, signal.SIGKILL)
    await until(lambda: front.origin.hits[page] > 1)  # asked again of the new one
    await renewing
    front.origin.release()
    assert (await asking).id == SCENARIOS["page_hangs"].id
    assert len(await pids(front)) == 1


async def test_a_process_that_died_before_its_turn_is_not_waited_for(start: Start) -> None:
    front = await start(extract_s=20)
    page = f"page:{SCENARIOS['page_hangs'].id}"
    asking = asyncio.ensure_future(front.gateway.extractor.find(front.origin.url("page_hangs")))
    await until(lambda: front.origin.hits[page] > 0)
    (old,) = await pids(front)
    renewing = asyncio.ensure_future(front.gateway.extractor.renew())
    await until(lambda: len(front.gateway.extractor._processes._all) == 2)  # one is to take its place
    os.kill(old, signal.SIGKILL)
    async with asyncio.timeout(20):
        await renewing
    await until(lambda: front.origin.hits[page] > 1)
    async with asyncio.timeout(20):
        while not asking.done():  # a request is counted a moment before it hangs
            front.origin.release()
            await asyncio.sleep(0.05)
    assert (await asking).id == SCENARIOS["page_hangs"].id
    assert len(await pids(front)) == 1


async def test_a_hangup_renews_the_processes_and_loses_nothing(tmp_path: Path) -> None:
    speech = {f"{number:04}": Path(__file__).parents[1] / "origin/clips/sound.mp3" for number in range(24)}
    with (tmp_path / "said").open("wb") as said:
        async with (
            Origin(tmp_path, speech=speech) as origin,
            serve(tmp_path, origin, stderr=said, extract_processes=2, extract_cache_s=0) as served,
            aiohttp.ClientSession() as session,
        ):

            def extractors() -> set[int]:
                return {
                    pid
                    for pid in children(served.pid)
                    if b"gateway.media.tiktok" in Path(f"/proc/{pid}/cmdline").read_bytes()
                }

            async def download(suffix: str) -> int:
                wish = {"url": origin.url(f"speech:{suffix}"), "content_type": "VIDEO_ONLY"}
                async with session.post(served.url + "/download", json=wish) as response:
                    assert (await response.read()).endswith(b"--\r\n") == (response.status == 200)
                    return response.status

            def renewed() -> list[dict[str, Any]]:
                lines = (tmp_path / "said").read_text().splitlines()
                return [one for one in map(json.loads, lines) if one["event"] == "extractor renewed"]

            assert await download("0000") == 200
            await until(lambda: len(extractors()) == 2)
            before = extractors()
            asked = [asyncio.ensure_future(download(suffix)) for suffix in list(speech)[1:]]
            served.process.send_signal(signal.SIGHUP)
            assert await asyncio.gather(*asked) == [200] * 23
            await until(lambda: len(renewed()) == 2, 60)
            await until(lambda: len(extractors()) == 2)
            assert not extractors() & before
            assert all(one["yt_dlp"] for one in renewed())
            assert await served.stopped() == 0
