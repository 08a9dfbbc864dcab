"""The hosts that answer with media, and all the ways in which they fail."""

import asyncio
import fcntl
import re
import socket
import struct
import termios
import time
from collections import Counter
from collections.abc import Callable

import msgspec
from aiohttp import web
from multidict import CIMultiDict

from tests.origin import pages
from tests.origin.gate import Gate
from tests.origin.media import Clip, Clips
from tests.origin.scenarios import Scenario
from tests.origin.site import cookies
from tests.origin.tally import Tally

PATH = re.compile(
    r"/(?:[\w-]+/)+(?P<id>\d{19})/(?P<role>[a-z]+)(?:-(?P<number>\d+))?(?:[~.][\w.-]*)?"
    r"(?:/media-video-hvc1)?/?$"
)
PIECE = 65_536
SLOW_BYTES_PER_S = 200_000
FLUSH_S = 5  # a client that reads nothing for so long is cut off anyway


class Fault(msgspec.Struct, frozen=True):
    """What goes wrong with one media answer; places are in the file, not in the answer."""

    refused: bool = False  # 403, as for a link that is too old
    cut_at: int | None = None
    hang_at: int | None = None


class Wanted(msgspec.Struct, frozen=True):
    """What one media link is for."""

    scenario: Scenario
    role: str
    clip: str
    part: int | None  # which of the post's original parts; None for what is none of them

    @property
    def manner(self) -> str:
        if self.role == "caption":
            return self.scenario.caption_cdn
        faulty = self.part is not None and (not self.scenario.faulty or self.part in self.scenario.faulty)
        return self.scenario.cdn if faulty else "plain"


class Cdn:
    """Answers for media; remembers the deaths that some behaviours die only once."""

    def __init__(self, posts: dict[str, Scenario], clips: Clips, gate: Gate, tally: Tally) -> None:
        self._names = {p.id: name for name, p in posts.items()}
        self._posts = {p.id: p for p in posts.values()}
        self._clips, self._gate, self._tally = clips, gate, tally
        self._deaths: Counter[str] = Counter()
        self._refused_issues: dict[str, int] = {}  # post id -> links up to this page answer are refused
        self.bytes_per_s: int | None = None
        self.fault: Callable[[str, int], Fault] | None = None  # by scenario.part and size

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        wanted = self._wanted(request.path)
        if wanted is None:
            return web.Response(status=404)
        names = self._tallied(wanted)
        self._tally.hit(f"media:{name}" for name in names)
        if not request.host.endswith(".tiktok.com") and "tt_chain_token" in cookies(request):
            self._tally.hit([f"leak:{request.host}"])
        if "sessionid" in cookies(request):
            self._tally.hit(["leak:sessionid"])
        if request.host in pages.VIDEO_HOSTS and not self._admits(request, wanted):
            return web.Response(status=403, text="Access Denied")
        if wanted.role == "hevc":
            return web.Response(status=404)
        with self._tally.reading():
            clip = await self._clips.load(wanted.clip)
            return await self._serve(request, wanted, clip, names)

    async def _serve(
        self, request: web.BaseRequest, wanted: Wanted, clip: Clip, names: list[str]
    ) -> web.StreamResponse:
        """One answer in the scenario's manner; the plain one is at the end."""
        scenario, size = wanted.scenario, len(clip.data)
        half, manner = size // 2, wanted.manner
        reading = Reading(request, clip, names, self._tally, self)
        if self.fault is not None and wanted.part is not None:
            fault = self.fault(names[-1], size)
            if fault.refused:
                return web.Response(status=403)
            reading.cut_at = fault.cut_at
            reading.pause = None if fault.hang_at is None else (fault.hang_at, self._gate)
        match manner:
            case "403" | "404":
                return web.Response(status=int(manner), text="no")
            case "first_link_404" if request.host == pages.PHOTO_HOSTS[0]:
                return web.Response(status=404)
            case "empty":
                return web.Response(body=b"", content_type=clip.mime)
            case "html":
                return web.Response(text=pages.plain_page("Sorry"), content_type="text/html")
            case "redirect" if request.host != pages.OTHER_HOST:
                return _moved(f"https://{pages.OTHER_HOST}{request.path_qs}")
            case "redirect_evil":
                return _moved("http://127.0.0.1:1/")
            case "silent":
                await self._gate.wait()
            case "slow":
                reading.bytes_per_s = SLOW_BYTES_PER_S
            case "hangs":
                reading.pause = (PIECE, self._gate)
            case "short":
                reading.length_told, reading.cut_at = False, half
            case "dies":
                reading.cut_at = half
            case "chunked":  # neither a length nor a tag, and yet an end
                reading.length_told = reading.tagged = False
            case "untagged":
                reading.tagged = False
            case "untold" | "untold_cut":
                return await reading.untold(size if manner == "untold" else half)
            case "dies_end":
                reading.cut_at = size - 1
            case "dies_once" | "dies_expired" | "changes" | "ignores_range" if request.method == "GET":
                what = f"{scenario.id} {wanted.role} {wanted.part}"
                if not self._deaths[what]:
                    self._deaths[what] += 1
                    reading.cut_at = half
                    if manner == "dies_expired":
                        self._refused_issues[scenario.id] = int(request.query.get("issue", "0"))
                elif manner == "changes":  # as long as before, and another file
                    reading.clip = msgspec.structs.replace(clip, data=clip.data[::-1], etag='"another"')
                elif manner == "ignores_range":
                    reading.ranged = False
        return await reading.send()

    def _wanted(self, path: str) -> Wanted | None:
        link = PATH.fullmatch(path)
        if link is None or link["id"] not in self._posts:
            return None
        scenario, role = self._posts[link["id"]], link["role"]
        photos = [name for name in scenario.clips if name != "sound"]
        number = int(link["number"] or 1) - 1
        match role:
            case "play" | "hevc" if scenario.kind == "video":
                return Wanted(scenario, role, scenario.clips[0], 0)
            case "gear" if 0 <= number < len(scenario.gears):
                clip = scenario.gears[number].clip
                return Wanted(scenario, role, clip, 0 if clip == scenario.clips[0] else None)
            case "download" if scenario.kind == "video":
                return Wanted(scenario, role, "watermarked", None)
            case "slide" if scenario.kind == "photo" and 0 <= number < len(photos):
                return Wanted(scenario, role, photos[number], number)
            case "sound" if scenario.kind == "photo" and "sound" in scenario.clips:
                return Wanted(scenario, role, "sound", len(photos))
            case "sound" if scenario.kind == "video":
                return Wanted(scenario, role, "music", None)
            case "cover":
                return Wanted(scenario, role, "slide-1", None)
            case "caption" if 0 <= number < len(scenario.captions):
                return Wanted(scenario, role, scenario.captions[number].clip, None)
        return None

    def _tallied(self, wanted: Wanted) -> list[str]:
        """The names under which a read counts: its clip's; for a post's part also the scenario's."""
        if wanted.role == "hevc":
            return ["hevc"]
        if wanted.role == "cover":
            return ["cover"]
        name = self._names[wanted.scenario.id]
        return [wanted.clip] if wanted.part is None else [wanted.clip, name, f"{name}.{wanted.part}"]

    def _admits(self, request: web.BaseRequest, wanted: Wanted) -> bool:
        """Whether a video link comes with its cookie, byte for byte, with our Referer, and in time."""
        try:
            expire, issue = int(request.query["expire"]), int(request.query["issue"])
        except (KeyError, ValueError):
            return False
        token = cookies(request).get("tt_chain_token", "")
        return (
            request.query.get("signature") == pages.Signature(token, expire, issue).sign(token)
            and expire > time.time()
            and issue > self._refused_issues.get(wanted.scenario.id, 0)
            and request.headers.get("Referer", "").startswith("https://www.tiktok.com/")
        )


class Reading:
    """One media answer on its way: which bytes, how fast, and where it goes wrong if it does.

    `cut_at` and `pause` are places in the file, not in the answer: a resumed read meets them again.
    """

    def __init__(
        self, request: web.BaseRequest, clip: Clip, names: list[str], tally: Tally, cdn: Cdn
    ) -> None:
        self.request, self.clip, self._names, self._tally, self._cdn = request, clip, names, tally, cdn
        self.bytes_per_s: int | None = None  # None: the pace of the whole CDN
        self.cut_at: int | None = None
        self.pause: tuple[int, Gate] | None = None
        self.length_told = self.ranged = self.tagged = True

    async def send(self) -> web.StreamResponse:
        size = len(self.clip.data)
        span = _span(self.request, self.clip.etag, size) if self.ranged else None
        if span is not None and span.start >= span.stop:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
        headers = CIMultiDict({"Content-Type": self.clip.mime})
        if self.tagged:
            headers["ETag"] = self.clip.etag
        if self.ranged:
            headers["Accept-Ranges"] = "bytes"
        if span is not None:
            headers["Content-Range"] = f"bytes {span.start}-{span.stop - 1}/{size}"
        response = web.StreamResponse(status=200 if span is None else 206, headers=headers)
        span = span or range(size)
        if self.length_told:
            response.content_length = len(span)
        else:
            response.enable_chunked_encoding()
        try:
            await response.prepare(self.request)
            if self.request.method != "HEAD":
                await self._body(response, span)
        except ConnectionError:
            pass  # the client left, or we cut it off ourselves
        return response

    async def untold(self, size: int) -> web.StreamResponse:
        """An answer of HTTP/1.0's kind: neither length nor chunks, it ends with the connection."""
        transport = self.request.transport
        if transport is not None:
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {self.clip.mime}\r\nConnection: close\r\n\r\n"
            transport.write(head.encode() + self.clip.data[:size])
            self._tally.sent(self._names, size)
            transport.close()
        raise ConnectionResetError("the answer has been sent")

    async def _body(self, response: web.StreamResponse, span: range) -> None:
        data, at, due = memoryview(self.clip.data), span.start, time.monotonic()
        while at < span.stop:
            if self.pause is not None and at >= self.pause[0]:
                await self.pause[1].wait()
                self.pause = None
            if self.cut_at is not None and at >= self.cut_at:
                return await self._cut()
            pace = self.bytes_per_s or self._cdn.bytes_per_s
            # at a pace, twenty pieces a second: a reader sees a stream, and a new pace counts at once
            stop = min(span.stop, at + (PIECE if pace is None else max(1, min(PIECE, pace // 20))))
            for limit in (self.cut_at, self.pause and self.pause[0]):
                if limit is not None and at < limit:
                    stop = min(stop, limit)
            await response.write(bytes(data[at:stop]))
            self._tally.sent(self._names, stop - at)
            if pace is not None:
                due = max(due, time.monotonic() - 0.1) + (stop - at) / pace
                await asyncio.sleep(due - time.monotonic())
            at = stop
        if self.cut_at is not None and span.stop > self.cut_at:
            await self._cut()
        return None

    async def _cut(self) -> None:
        """Break the connection: by a reset where a length was told, otherwise by a plain end."""
        transport = self.request.transport
        if transport is None:
            return
        if not self.length_told:
            transport.close()  # orderly in TLS and TCP, and yet the last chunk never came
            return
        connection = transport.get_extra_info("socket")
        deadline = time.monotonic() + FLUSH_S
        while time.monotonic() < deadline and not transport.is_closing():
            # a reset throws away what has not left yet, and the bytes before the cut must arrive
            if transport.get_write_buffer_size() == 0 and _unsent(connection) == 0:
                break
            await asyncio.sleep(0.005)
        if not transport.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()


def _unsent(connection: socket.socket) -> int:
    (count,) = struct.unpack("i", fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))
    return int(count)


def _span(request: web.BaseRequest, etag: str, size: int) -> range | None:
    """The bytes asked for; None where the whole file is. Empty where there are no such bytes."""
    try:
        asked = request.http_range
    except ValueError:
        return None
    if (asked.start is None and asked.stop is None) or request.headers.get("If-Range", etag) != etag:
        return None
    start = asked.start or 0
    if start < 0:
        start = max(0, size + start)
    return range(start, min(size, asked.stop if asked.stop is not None else size))


def _moved(to: str) -> web.Response:
    return web.Response(status=302, headers={"Location": to})
