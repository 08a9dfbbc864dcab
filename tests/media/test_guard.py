"""yt-dlp's requests: nothing is dialled that was not checked, and what is dialled is what was checked."""

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
import yt_dlp
from curl_cffi.const import CurlOpt
from curl_cffi.requests import Session
from yt_dlp.networking import Request
from yt_dlp.networking._curlcffi import CurlCFFIRH
from yt_dlp.networking.exceptions import RequestError, TransportError

from gateway.media import guard
from gateway.media.hosts import Hosts
from tests.media.test_hosts import TRICKS

PAGE = "https://www.tiktok.com/@_/video/7400000000000000001"


def guarded(found: Sequence[str] | Exception, *, proxied: bool = False) -> tuple[guard.GuardedRH, list[str]]:
    """A handler whose names lead to these addresses, and the names that it resolved."""
    asked: list[str] = []

    def resolve(name: str) -> Sequence[str]:
        asked.append(name)
        if isinstance(found, Exception):
            raise found
        return found

    proxies = {"all": "http://127.0.0.1:9"} if proxied else {"all": None}
    handler = guard.GuardedRH(
        hosts=Hosts(), proxied=proxied, resolve=resolve, logger=None, proxies=proxies, timeout=2
    )
    return handler, asked


@pytest.mark.parametrize("proxied", [False, True])
@pytest.mark.parametrize("url", [one for one in TRICKS if one.startswith("http")])
def test_tricks_are_refused_before_anything_is_dialled(url: str, proxied: bool) -> None:
    """yt-dlp writes some of them anew; what comes of it may be the site's after all, and nothing else."""
    handler, asked = guarded(socket.gaierror(-2, "not known"), proxied=proxied)
    try:
        request = Request(url)
    except ValueError:
        return
    with pytest.raises(TransportError if Hosts().ours(request.url) else guard.Refused):
        handler.send(request)
    assert all(Hosts().ours(f"https://{name}/") for name in asked)
    assert Hosts().ours(request.url) <= (not url.isascii() or any(one <= " " for one in url))


def test_a_name_that_leads_into_a_private_network_is_refused() -> None:
    ydl = yt_dlp.YoutubeDL({"proxy": ""}, auto_init=False)
    guard.install(ydl, Hosts(("localhost",)), proxied=False)
    with pytest.raises(guard.Refused, match="private network"):
        ydl.urlopen("https://localhost/")


def test_a_name_that_does_not_resolve_is_a_failure_of_the_network() -> None:
    handler, _ = guarded(socket.gaierror(-2, "not known"))
    with pytest.raises(TransportError) as told:
        handler.send(Request(PAGE))
    assert not isinstance(told.value, guard.Refused)


def test_the_connection_is_pinned_to_what_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    def request(self: Any, method: str, url: str, **more: Any) -> Any:
        sent.append((dict(self.curl_options), more["allow_redirects"], more["stream"]))
        raise guard.Refused("enough")

    monkeypatch.setattr(Session, "request", request)
    handler, asked = guarded(["93.184.216.34", "2606:2800:220:1::1"])
    with pytest.raises(guard.Refused, match="enough"):
        handler.send(Request(PAGE))
    ((options, follows, streams),) = sent
    assert options[CurlOpt.RESOLVE] == ["www.tiktok.com:443:93.184.216.34,[2606:2800:220:1::1]"]
    assert options[CurlOpt.PROXY] == ""
    assert (follows, streams, asked) == (False, False, ["www.tiktok.com"])
    through, asked = guarded(["93.184.216.34"], proxied=True)
    with pytest.raises(guard.Refused, match="enough"):
        through.send(Request(PAGE))
    assert not asked  # the proxy resolves


@contextmanager
def listening(address: str) -> Iterator[list[bytes]]:
    """What is said to an address on the port of HTTPS."""
    heard: list[bytes] = []
    with socket.socket() as server:
        try:
            server.bind((address, 443))
        except OSError:
            pytest.skip("the port of HTTPS is not ours to listen on")
        server.listen()
        server.settimeout(10)

        def take() -> None:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                heard.append(connection.recv(4096))

        thread = Thread(target=take)
        thread.start()
        yield heard
        thread.join()


def test_it_is_dialled_where_it_was_pinned_whatever_the_name_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # not used without being a setting
    handler, _ = guarded(["127.0.0.77"])
    with listening("127.0.0.77") as heard, pytest.raises(RequestError):
        handler.send(Request(PAGE))
    assert b"www.tiktok.com" in heard[0]  # the hello of TLS, with its name


def test_an_address_that_is_private_after_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Were libcurl to connect elsewhere than it was told, its answer would not be used."""

    def request(self: Any, method: str, url: str, **more: Any) -> Any:
        page = guard._Page(None)
        page.primary_ip = "10.0.0.1"
        return page

    monkeypatch.setattr(Session, "request", request)
    handler, _ = guarded(["93.184.216.34"])
    with pytest.raises(guard.Refused, match="private network"):
        handler.send(Request(PAGE))


def test_a_login_does_not_go_along_to_another_name() -> None:
    request = Request(PAGE, headers={"Cookie": "a=b", "Authorization": "c", "X": "y"})
    same = guard._onward(request, "/login")
    assert (same.url, same.headers["Cookie"]) == ("https://www.tiktok.com/login", "a=b")
    other = guard._onward(request, "//m.tiktok.com/x")
    assert (other.url, dict(other.headers)) == ("https://m.tiktok.com/x", {"X": "y"})


@pytest.mark.parametrize("hook", ["_send", "_create_instance"])
def test_a_yt_dlp_without_our_hooks_does_not_start(monkeypatch: pytest.MonkeyPatch, hook: str) -> None:
    """When this test or the next fails after an upgrade, gateway/media/guard.py is to be looked at."""
    guard.check()
    monkeypatch.delattr(CurlCFFIRH, hook)
    if hook == "_send":  # an abstract one is inherited
        monkeypatch.setattr("yt_dlp.networking.common.RequestHandler._send", None)
    else:
        monkeypatch.setattr("yt_dlp.networking._helper.InstanceStoreMixin._create_instance", None)
    with pytest.raises(RuntimeError, match=rf"has no CurlCFFIRH.{hook}: gateway/media/guard.py"):
        guard.check()


def test_every_request_of_a_youtube_dl_goes_through_the_guard() -> None:
    ydl = yt_dlp.YoutubeDL({"proxy": ""}, auto_init=False)
    guard.install(ydl, Hosts(), proxied=False)
    (handler,) = ydl._request_director.handlers.values()
    assert isinstance(handler, guard.GuardedRH)
    assert isinstance(handler._get_instance(cookiejar=ydl.cookiejar), guard._Session)
    for url in ("https://example.com/", "file:///etc/passwd", "ftp://127.0.0.1/", "ws://127.0.0.1/"):
        with pytest.raises(RequestError):
            ydl.urlopen(url)


class Wire:
    """A server on this machine that speaks plain HTTP, and counts the connections to it."""

    def __init__(self) -> None:
        self.connections = 0
        self.cookies: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}/"
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(10)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection:
            while head := connection.recv(65536):
                self.cookies += [one for one in head.split(b"\r\n") if one.lower().startswith(b"cookie:")]
                connection.sendall(
                    b"HTTP/1.1 200 OK\r\nSet-Cookie: of=a-post; Path=/\r\nContent-Length: 2\r\n\r\nok"
                )


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    wire = Wire()
    yield wire
    wire.close()


def test_a_connection_stays_and_nothing_else(wire: Wire) -> None:
    connections = guard.Connections()
    for _ in range(3):
        curl, posts = connections.take("exit")
        session: Any = Session(curl=curl, use_thread_local_curl=False)
        assert session.get(wire.url).content == b"ok"
        assert session.get(wire.url).content == b"ok"
        connections.give_back("exit", curl, posts + 1)
    assert wire.connections == 1
    # the second request of each post has the cookie of its first, and no first has one
    assert len(wire.cookies) == 3
    connections.drop("exit")
    curl, posts = connections.take("exit")
    assert posts == 0
    again: Any = Session(curl=curl, use_thread_local_curl=False)
    again.get(wire.url)
    again.close()
    assert (wire.connections, len(wire.cookies)) == (2, 3)


def test_a_connection_has_so_many_posts_and_then_another_takes_over() -> None:
    connections = guard.Connections()
    first, _ = connections.take("exit")
    connections.give_back("exit", first, guard.POSTS_MAX - 1)
    second, posts = connections.take("exit")
    assert (second, posts) == (first, guard.POSTS_MAX - 1)
    connections.give_back("exit", second, guard.POSTS_MAX)
    third, posts = connections.take("exit")
    assert third is not first
    assert posts == 0
    third.close()


def test_what_is_for_one_exit_is_not_for_another() -> None:
    connections = guard.Connections()
    one, _ = connections.take("one")
    connections.give_back("one", one, 1)
    other, _ = connections.take("other")
    assert other is not one
    other.close()
    connections.drop("one")


def test_a_youtube_dl_gives_its_connection_back() -> None:
    connections = guard.Connections()
    with yt_dlp.YoutubeDL({"proxy": ""}, auto_init=False) as ydl:
        guard.install(ydl, Hosts(), proxied=False, connections=connections, exit="e")
        (handler,) = ydl._request_director.handlers.values()
        session = handler._get_instance(cookiejar=ydl.cookiejar)
        curl = session.curl
    kept, posts = connections.take("e")
    assert (kept, posts) == (curl, 1)
    kept.close()
