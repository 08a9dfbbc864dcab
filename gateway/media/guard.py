"""Where yt-dlp's requests may go: the handler that it sends all of them with, in its process.

Always: each hop is checked by `hosts.py` before anything is dialled. Redirects are followed here and not
by libcurl; without a proxy the connection is pinned to an address that was found to be public. A page
that is too large is broken off while it arrives. From one post to the next connections stay, nothing else.
"""

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any
from urllib.parse import urljoin, urlsplit

from curl_cffi import Curl
from curl_cffi.const import CurlECode, CurlOpt
from curl_cffi.requests import Response, Session
from curl_cffi.requests.errors import RequestsError
from yt_dlp import YoutubeDL
from yt_dlp.networking._curlcffi import CurlCFFIRH
from yt_dlp.networking.exceptions import HTTPError, ProxyError, TransportError

from gateway.media.hosts import Hosts, addresses, public

REDIRECTS_MAX = 5
REDIRECTED = (301, 302, 303, 307, 308)
PAGE_BYTES_MAX = 16 << 20  # unpacked; a post's page is under 1 MB
CONNECT_S = 8  # a proxy that takes longer is given up, so that there is time for another

POSTS_MAX = 100  # over one connection: a proxy may have another way out for the next

ELSEWHERE = "The site's page leads somewhere else."
INWARDS = "The site's name leads into a private network here."
CIRCLES = "The site's page leads in circles."
TOO_LARGE = "The site's page is larger than this server accepts."

Resolve = Callable[[str], Sequence[str]]


class Refused(TransportError):  # type: ignore[misc]
    """A hop that may not be taken, or too large an answer; its words may be told to anybody."""


def check() -> None:
    """Raises RuntimeError when this yt-dlp has not the places that we hold on to."""
    held = {
        "CurlCFFIRH._send": callable(getattr(CurlCFFIRH, "_send", None)),
        "CurlCFFIRH._create_instance": callable(getattr(CurlCFFIRH, "_create_instance", None)),
        "InstanceStoreMixin._clear_instances": callable(getattr(CurlCFFIRH, "_clear_instances", None)),
        "YoutubeDL.build_request_director": callable(getattr(YoutubeDL, "build_request_director", None)),
        "YoutubeDL._request_director": isinstance(vars(YoutubeDL).get("_request_director"), cached_property),
    }
    if gone := [name for name, there in held.items() if not there]:
        raise RuntimeError(f"this yt-dlp has no {', '.join(gone)}: gateway/media/guard.py needs a change")


class Connections:
    """libcurl's handles with the connections that they have open, by the exit; one post has one at a time."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Curl, int]] = {}  # and how many posts had it

    def take(self, exit: str) -> tuple[Curl, int]:
        """A handle for a post."""
        return self._kept.pop(exit, None) or (Curl(), 0)

    def give_back(self, exit: str, curl: Curl, posts: int) -> None:
        """Keeps a handle for the next post, with nothing of this one's."""
        if posts >= POSTS_MAX or exit in self._kept:
            curl.close()
            return
        curl.reset()
        curl.setopt(CurlOpt.COOKIELIST, "ALL")  # removes them
        self._kept[exit] = curl, posts

    def drop(self, exit: str) -> None:
        """Ends what did not work: the next post may have more luck."""
        curl, _ = self._kept.pop(exit, (None, 0))
        if curl is not None:
            curl.close()


def install(
    ydl: Any, hosts: Hosts, *, proxied: bool, connections: Connections | None = None, exit: str = ""
) -> None:
    """Makes the guard the only way in which this YoutubeDL can send a request."""
    kept = connections or Connections()
    handler = partial(GuardedRH, hosts=hosts, proxied=proxied, connections=kept, exit=exit)
    ydl._request_director = ydl.build_request_director([handler])


class GuardedRH(CurlCFFIRH):  # type: ignore[misc]
    """yt-dlp's own handler, which looks like a browser, one checked hop at a time."""

    def __init__(
        self,
        *,
        hosts: Hosts,
        proxied: bool,
        resolve: Resolve = addresses,
        connections: Connections | None = None,
        exit: str = "",
        **more: Any,
    ) -> None:
        self._open_session = partial(_Session, hosts, proxied, resolve, connections or Connections(), exit)
        super().__init__(**more)

    def _create_instance(self, cookiejar: Any = None) -> "_Session":
        return self._open_session(cookies=cookiejar)

    def close(self) -> None:
        """Ends its sessions, which yt-dlp leaves to the collector."""
        self._clear_instances()
        super().close()

    def _send(self, request: Any) -> Any:
        for _ in range(REDIRECTS_MAX + 1):
            try:
                return super()._send(request)
            except HTTPError as error:
                place = error.response.headers.get("Location")
                if error.status not in REDIRECTED or not place or request.method not in ("GET", "HEAD"):
                    raise
                error.close()
            request = _onward(request, place)
        raise Refused(CIRCLES)


class _Page(Response):
    """An answer that has arrived whole, to be read as if it came in pieces."""

    def iter_content(self, chunk_size: Any = None, decode_unicode: bool = False) -> Any:
        yield self.content


class _Session(Session[_Page]):
    """Sends nothing that was not checked, and follows nothing."""

    def __init__(
        self, hosts: Hosts, proxied: bool, resolve: Resolve, connections: Connections, exit: str, **more: Any
    ) -> None:
        curl, self._posts = connections.take(exit)
        super().__init__(response_class=_Page, curl=curl, use_thread_local_curl=False, **more)
        self._connections = connections
        self._exit = exit
        self._hosts = hosts
        self._proxied = proxied
        self._resolve = resolve

    def close(self) -> None:
        """Ends the session; its connection stays for another."""
        if not self._closed:
            self._closed = True
            self._connections.give_back(self._exit, self.curl, self._posts + 1)

    def request(self, method: Any, url: str, **more: Any) -> _Page:  # type: ignore[override]
        if not self._hosts.ours(url):
            raise Refused(ELSEWHERE)
        if not self._proxied:
            # and no proxy that libcurl might find in its environment
            self.curl_options = {CurlOpt.RESOLVE: self._pinned(url), CurlOpt.PROXY: ""}  # type: ignore[dict-item]
        body = bytearray()

        def take(piece: bytes) -> int:
            if len(body) + len(piece) > PAGE_BYTES_MAX:
                raise Refused(TOO_LARGE)
            body.extend(piece)
            return len(piece)

        timeout = more.get("timeout")
        if self._proxied and isinstance(timeout, tuple):
            more["timeout"] = (min(timeout[0], CONNECT_S), timeout[1])
        more |= {"stream": False, "allow_redirects": False, "content_callback": take}
        try:
            page = super().request(method, url, **more)
        except RequestsError as error:
            if self._proxied and _of_the_proxy(error):
                raise ProxyError(cause=error) from error
            raise
        if not self._proxied and not public(page.primary_ip):
            raise Refused(INWARDS)
        page.content = bytes(body)
        return page

    def _pinned(self, url: str) -> list[str]:
        """Where the URL's name leads now, as libcurl is told it."""
        name = urlsplit(url).hostname or ""
        try:
            found = self._resolve(name)
        except PermissionError:
            raise Refused(INWARDS) from None
        except OSError as error:
            raise TransportError(cause=error) from error
        return [f"{name}:443:" + ",".join(f"[{one}]" if ":" in one else one for one in found)]


def _onward(request: Any, place: str) -> Any:
    """The request of a redirect's next hop; it is checked when it is sent."""
    following = request.copy()
    try:
        following.url = urljoin(request.url, place)
        elsewhere = urlsplit(following.url).netloc != urlsplit(request.url).netloc
    except ValueError:
        raise Refused(ELSEWHERE) from None
    if elsewhere:
        for name in ("Cookie", "Authorization"):
            following.headers.pop(name, None)
    return following


def _of_the_proxy(error: Any) -> bool:
    """Whether it is the proxy that was not reached: behind one, every connection is to it."""
    connecting = error.code == CurlECode.OPERATION_TIMEDOUT and "connection timed out" in str(error).lower()
    unreached = (CurlECode.COULDNT_CONNECT, CurlECode.COULDNT_RESOLVE_PROXY, CurlECode.PROXY)
    return connecting or error.code in unreached
