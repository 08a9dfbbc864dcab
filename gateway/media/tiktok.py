"""The file that knows yt-dlp's extractor; `guard.py` knows its requests. Run as a process of its own,
it turns addresses into posts.

It tells its version in a line when it has loaded. Then it reads a line `{"url", "post_id", "exit"}` and
answers a line: `{"post": {...}}` or `{"error": code, "detail"}`.
Its environment and its death are its own: the proxy's CA is trusted here and nowhere else,
and a page that never ends is ended by killing this process. A login's cookies do not leave it but to
the site's pages.
"""

import importlib.metadata
import os
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from http.cookiejar import Cookie
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from gateway import errors
from gateway.errors import GatewayError, SiteUnreached
from gateway.media import cookies, refusals
from gateway.media.confinement import confine
from gateway.media.exit import Exit
from gateway.media.hosts import Hosts
from gateway.media.post import Caption, Figures, Format, Image, Post, Sound, Source

MEMORY_BYTES_MAX = 1 << 30
FILES_MAX = 256


class Loaded(msgspec.Struct, frozen=True):
    """What this process says first."""

    version: str  # of yt-dlp


class Ask(msgspec.Struct, frozen=True):
    """A request to this process. The proxy comes in it, as arguments are seen by every user."""

    url: str
    post_id: str
    exit: Exit = Exit(1)


class Answer(msgspec.Struct, frozen=True):
    """Its answer: a post, or the code and text of an error."""

    post: Post | None = None
    error: str | None = None
    detail: str | None = None
    unreached: bool = False  # there was no page to be understood
    notes: tuple[tuple[str, str], ...] = ()  # for the log: what happened, and in what words


Note = Callable[[str, str], None]  # for the log: what happened, and in what words

_HOSTS = "GATEWAY_ORIGIN_HOSTS"
_COOKIES = "GATEWAY_COOKIES_FILE"
_CA_FILES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE")  # where curl and OpenSSL look
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "GATEWAY_PROXY_URL")  # curl reads some


def environment(hosts: Iterable[str], ca_file: Path | None, cookies_file: Path | None) -> dict[str, str]:
    """The environment for this process: ours without proxies, with what it is to know."""
    ours = {name: value for name, value in os.environ.items() if name.upper() not in _PROXIES}
    ours |= {_HOSTS: ",".join(hosts), _COOKIES: str(cookies_file or "")}
    return ours | (dict.fromkeys(_CA_FILES, str(ca_file)) if ca_file else {})


def installed() -> str | None:
    """The version of yt-dlp that a process started now would run; None while it is being replaced."""
    try:
        return importlib.metadata.version("yt-dlp")
    except importlib.metadata.PackageNotFoundError:
        return None


def main() -> None:
    """Answers until its standard input ends."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not run into the answers
    hosts = Hosts(one for one in os.environ.get(_HOSTS, "").split(",") if one)
    notes: list[tuple[str, str]] = []
    extract, version = _extractor(
        hosts, os.environ.get(_COOKIES, ""), lambda what, words: notes.append((what, words))
    )
    decoder = msgspec.json.Decoder(Ask)
    out.write(msgspec.json.encode(Loaded(version)) + b"\n")
    out.flush()
    asked: SimpleQueue[bytes] = SimpleQueue()
    Thread(target=_listen, args=(asked,), daemon=True).start()
    while True:
        ask = decoder.decode(asked.get())
        try:
            answer = Answer(post=extract(ask))
        except GatewayError as error:
            answer = Answer(
                error=error.code, detail=error.message, unreached=isinstance(error, SiteUnreached)
            )
        except Exception as error:  # a page of a shape never seen: the site changed
            notes.append(("page not understood", "".join(traceback.format_exception(error))))
            answer = Answer(error=errors.ExtractionFailed.code)
        answer = msgspec.structs.replace(answer, notes=tuple(notes))
        notes.clear()
        out.write(msgspec.json.encode(answer) + b"\n")
        out.flush()


def _listen(asked: "SimpleQueue[bytes]") -> None:
    """Takes the parent's lines; its end is ours, also in the middle of a page that never ends."""
    for line in sys.stdin.buffer:
        asked.put(line)
    os._exit(0)


def _extractor(hosts: Hosts, cookies_file: str, note: Note) -> tuple[Callable[[Ask], Post], str]:
    """What extracts, and the version of yt-dlp that does."""
    import yt_dlp
    from yt_dlp.extractor.tiktok import TikTokIE as Stock

    from gateway.media import guard

    class TikTokIE(Stock):  # type: ignore[misc]  # the name makes it answer for the stock extractor's key
        """The stock extractor, keeping what it throws away: the status and the raw item."""

        status: tuple[int, str] = (0, "")
        item: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed

        def _get_universal_data(self, webpage: str, display_id: str) -> Any:
            data = super()._get_universal_data(webpage, display_id)
            detail = data.get("webapp.video-detail") or {}
            self.status = (int(detail.get("statusCode") or 0), str(detail.get("statusMsg") or ""))
            return data

        def _parse_aweme_video_web(self, aweme_detail: Any, *args: Any, **more: Any) -> Any:
            self.item = aweme_detail
            return super()._parse_aweme_video_web(aweme_detail, *args, **more)

    for hook in ("_get_universal_data", "_parse_aweme_video_web"):
        if not hasattr(Stock, hook):
            raise RuntimeError(f"this yt-dlp has no {hook}: gateway/media/tiktok.py needs a change")
    guard.check()
    # a page is under a megabyte; one that unpacks to far more is an error of its post. No limit of time:
    # this process goes on, and an extraction has its own; no limit of threads: curl resolves names in some
    confine(memory_bytes=MEMORY_BYTES_MAX, files=FILES_MAX, alone=False)

    options = {
        "logger": _Silent(), "noprogress": True, "cachedir": False,
        "socket_timeout": 15, "extractor_retries": 0, "retries": 0, "noplaylist": True,
        # the system's (or the proxy's) CA file instead of certifi's
        "compat_opts": {"no-certifi"} if os.environ.get("SSL_CERT_FILE") else set(),
    }  # fmt: skip

    connections = guard.Connections()

    def extract(ask: Ask) -> Post:
        proxy = ask.exit.url or ""  # empty: none, whatever the environment says
        try:
            return extracted(ask, proxy)
        except BaseException:
            connections.drop(proxy)
            raise

    def extracted(ask: Ask, proxy: str) -> Post:
        # a fresh one per post isolates cookies and status
        with yt_dlp.YoutubeDL(options | {"proxy": proxy}, auto_init=False) as ydl:
            login = _login(cookies_file, hosts, note)
            for one in login:
                ydl.cookiejar.set_cookie(_jarred(one))
            guard.install(ydl, hosts, proxied=bool(proxy), connections=connections, exit=proxy)
            ie = TikTokIE()
            ydl.add_info_extractor(ie)
            try:
                info = ydl.extract_info(ask.url, download=False, process=False)
            except yt_dlp.utils.DownloadError as error:
                raise refusals.translated(error, *ie.status, note) from None
            known = {(one.name, one.value) for one in login}
            return _post(ask, info, ie.item, lambda url: _header(ydl.cookiejar, url, known))

    return extract, yt_dlp.version.__version__


def _login(file: str, hosts: Hosts, note: Note) -> tuple[cookies.Cookie, ...]:
    """The cookies of the operator's file, read anew for each post and never written back."""
    if not file:
        return ()
    try:
        text = Path(file).read_text("utf-8", "replace")
    except OSError as failure:
        note("cookie file not read", failure.strerror or "")
        return ()
    return cookies.parse(text, lambda name: hosts.ours(f"https://{name}/"))


def _jarred(one: cookies.Cookie) -> Cookie:
    below = one.domain.startswith(".")
    return Cookie(
        0, one.name, one.value, None, False, one.domain, below, below, one.path, True, one.secure,
        one.expires, one.expires is None, None, None, {},
    )  # fmt: skip


def _header(jar: Any, url: str, login: set[tuple[str, str]]) -> str:
    """The cookies of a media link: those that the page gave. Of the login's only what the link names."""
    named = parse_qs(urlsplit(url).query).get("tk", ())
    return "; ".join(
        f"{one.name}={one.value}"
        for one in jar.get_cookies_for_url(url)
        if (one.name, one.value) not in login or one.name in named
    )


class _Silent:
    """Takes yt-dlp's words for people; what matters comes back as an error."""

    def debug(self, words: str) -> None:
        pass

    warning = error = debug


# From the page's item to a post


def _post(ask: Ask, info: dict[str, Any], item: dict[str, Any], cookie: Any) -> Post:
    def sources(urls: Iterable[Any]) -> tuple[Source, ...]:
        whole = dict.fromkeys(_https(url) for url in urls if isinstance(url, str) and url)
        return tuple(Source(url, cookie(url) or None, ask.exit.number) for url in whole)

    video, music = item.get("video") or {}, item.get("music") or {}
    images = tuple(
        Image(found, _whole(one.get("imageWidth")), _whole(one.get("imageHeight")))
        for one in (item.get("imagePost") or {}).get("images") or ()
        if (found := sources((one.get("imageURL") or {}).get("urlList") or ()))
    )
    played = sources([music.get("playUrl")])
    formats = () if images else _formats(info.get("formats") or (), sources)
    captions = tuple(
        Caption(
            language=_text(one.get("LanguageCodeName")),
            format=_text(one.get("Format")),
            origin=_text(one.get("Source")) or None,
            source=found[0],
        )
        for one in video.get("subtitleInfos") or ()
        if (found := sources([one.get("Url")]))
    )
    length = video.get("duration") or (music.get("duration") if images else None)
    desc = _text(item.get("desc"))
    links = [source.url for one in formats for source in one.sources]
    links += [source.url for one in images for source in one.sources]
    covers = _covers(item, sources)
    links += [source.url for source in covers]
    return Post(
        id=ask.post_id,
        url=ask.url,
        author=_text(info.get("uploader") or info.get("uploader_id")),
        title=_text(info.get("title")) or desc[:72],
        desc=desc,
        duration_s=float(length) if length else None,
        kind="photo" if images else "video",
        formats=formats,
        images=images,
        sound=Sound(str(music["id"]) if music.get("id") else None, played) if played else None,
        captions=captions,
        cover=covers,
        expires_at=min((at for url in links if (at := _expiry(url)) is not None), default=None),
        figures=Figures(
            views=_count(info.get("view_count")),
            likes=_count(info.get("like_count")),
            comments=_count(info.get("comment_count")),
            shares=_count(info.get("repost_count")),
        ),
        posted_at=_count(info.get("timestamp")) or None,
        read_at=time.time(),
    )


def _formats(found: Iterable[dict[str, Any]], sources: Any) -> tuple[Format, ...]:
    """yt-dlp lists each alternate link as a format of its own; here they are one format's sources."""
    alike: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        if one.get("vcodec") != "none" and one.get("format_note") != "UNPLAYABLE":
            alike.setdefault(str(one.get("format_id") or "play"), []).append(one)
    return tuple(
        Format(
            id=name,
            sources=sources(one["url"] for one in group),
            codec=group[0].get("vcodec"),
            sound=group[0].get("acodec") != "none",
            width=_whole(group[0].get("width")),
            height=_whole(group[0].get("height")),
            bytes=_whole(group[0].get("filesize")),
            watermark=group[0].get("format_note") == "watermarked",
            lines=int(named[1]) if (named := _LINES.search(name)) else None,
        )
        for name, group in alike.items()
    )


_LINES = re.compile(r"_(\d{3,4})p_")  # of a format's id, such as h264_540p_812345


def _covers(item: dict[str, Any], sources: Any) -> tuple[Source, ...]:
    """The still cover: a photo post's own, else the video's; `dynamicCover` moves."""
    photo = ((item.get("imagePost") or {}).get("cover") or {}).get("imageURL") or {}
    video = item.get("video") or {}
    links = photo.get("urlList") or (video.get("originCover"), video.get("cover"))
    found: tuple[Source, ...] = sources(links)
    return found


def _text(value: Any) -> str:
    """Text that has a UTF-8; a description cut between two UTF-16 halves of a character has none."""
    return str(value or "").encode("utf-8", "ignore").decode("utf-8")


def _https(url: str) -> str:
    return "https:" + url if url.startswith("//") else url


def _whole(value: Any) -> int | None:
    return (
        int(value) if isinstance(value, int | float) or (isinstance(value, str) and value.isdigit()) else None
    )


def _count(value: Any) -> int | None:
    """A number of things; the site says less than none where it does not tell."""
    found = _whole(value)
    return found if found is None or found >= 0 else None


def _expiry(url: str) -> float | None:
    """Unix time after which the CDN refuses a link: `expire` of videos, `x-expires` of photos."""
    query = parse_qs(urlsplit(url).query)
    values = [value for name in ("expire", "x-expires") for value in query.get(name, ())]
    return min((float(value) for value in values if value.isdigit()), default=None)


if __name__ == "__main__":
    main()
