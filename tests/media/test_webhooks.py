"""Webhooks: where they may go, what they say, how often it is tried."""

import hashlib
import hmac
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.errors import BadRequest
from gateway.media.webhooks import SIGNATURE, Webhooks

SECRET = b"a secret of tests"


class Heard:
    """The other end: what it was sent, and what it answers, in turn."""

    def __init__(self) -> None:
        self.bodies: list[tuple[bytes, str]] = []
        self.answers: list[int] = []

    async def hear(self, request: web.Request) -> web.Response:
        self.bodies.append((await request.read(), request.headers[SIGNATURE]))
        status = self.answers.pop(0) if self.answers else 200
        return web.Response(status=status, headers={"Location": "/elsewhere"})


@pytest.fixture
async def heard() -> AsyncIterator[tuple[Heard, str]]:
    found, app = Heard(), web.Application()
    app.router.add_post("/hook", found.hear)
    async with TestServer(app) as server:
        yield found, f"http://127.0.0.1:{server.port}/hook"


@pytest.fixture
async def webhooks() -> AsyncIterator[Webhooks]:
    webhooks = Webhooks(SECRET, ["127.0.0.1"], again_s=(0, 0))
    await webhooks.start()
    yield webhooks
    await webhooks.close()


async def test_what_is_told_is_signed(heard: tuple[Heard, str], webhooks: Webhooks) -> None:
    there, url = heard
    assert await webhooks.tell(url, b'{"id": "x"}')
    ((body, signature),) = there.bodies
    key = hmac.new(SECRET, b"webhook", hashlib.sha256).hexdigest()  # as the papers say
    assert signature == "sha256=" + hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


async def test_it_is_tried_until_it_is_taken_and_not_for_ever(
    heard: tuple[Heard, str], webhooks: Webhooks
) -> None:
    there, url = heard
    there.answers = [500, 302]
    assert await webhooks.tell(url, b"{}")
    assert len(there.bodies) == 3
    there.answers = [500] * 10
    assert not await webhooks.tell(url, b"{}")
    assert len(there.bodies) == 6
    assert not await webhooks.tell("http://127.0.0.1:9/hook", b"{}")  # nobody there


async def test_a_private_address_is_not_dialled(heard: tuple[Heard, str]) -> None:
    there, url = heard
    webhooks = Webhooks(SECRET, again_s=())
    await webhooks.start()
    assert not await webhooks.tell(url, b"{}")
    assert not await webhooks.tell(
        url.replace("127.0.0.1", "localhost"), b"{}"
    )  # nor a name that leads there
    await webhooks.close()
    assert not there.bodies


@pytest.mark.parametrize(
    "url",
    ["", "/hook", "ftp://example.org/", "http://", "http://127.0.0.1/", "http://10.1.2.3/", "http://[::1]/",
     "http://[::ffff:127.0.0.1]/", "http://2130706433/", "http://0x7f.1/", "http://127.1/",
     "http://169.254.169.254/latest", "http://user@example.org/", "http://example.org:99999/",
     "http://example.org\\@10.0.0.1/", "http://exa mple.org/", "http://b\u00fccher.example/",
     "http://example.org/" + "x" * 2100],
)  # fmt: skip
def test_an_address_that_no_webhook_has(url: str) -> None:
    with pytest.raises(BadRequest):
        Webhooks(SECRET).check(url)


def test_public_and_allowed_addresses() -> None:
    webhooks = Webhooks(SECRET, ["Beside", "10.1.2.3"])
    for url in ("https://example.org/x?y=1", "http://example.org:8080", "http://1.1.1.1/", "http://beside:9000/",
                "http://10.1.2.3/"):  # fmt: skip
        assert webhooks.check(url) == url
