"""Posts that gateways share: what comes back, for how long, and what must not."""

import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.media.exits import Exits
from gateway.media.post import Caption, Format, Image, Post, Sound, Source
from gateway.media.shelf import Kept, Shelf
from gateway.store.cache import Cache

sources = st.lists(
    st.builds(Source, st.text(), st.none() | st.text(), st.none() | st.integers(1, 9)), max_size=2
).map(tuple)
posts = st.builds(
    Post,
    id=st.just("7"),
    url=st.text(),
    author=st.text(),
    title=st.text(),
    desc=st.text(),
    duration_s=st.none() | st.floats(0, 1e4),
    kind=st.sampled_from(["video", "photo"]),
    formats=st.lists(st.builds(Format, id=st.text(), sources=sources), max_size=2).map(tuple),
    images=st.lists(st.builds(Image, sources=sources), max_size=2).map(tuple),
    sound=st.none() | st.builds(Sound, st.none() | st.text(), sources),
    captions=st.lists(
        st.builds(Caption, st.text(), st.text(), st.none() | st.text(), st.builds(Source, st.text())),
        max_size=1,
    ).map(tuple),
    expires_at=st.none() | st.floats(0, 4e9),
)

POST = Post(
    id="7", url="https://www.tiktok.com/@a/video/7", author="a", title="", desc="", duration_s=1, kind="video"
)


def soon(post: Post = POST) -> Kept:
    return Kept(post, time.time() + 60)


@pytest.fixture
def cache() -> Cache:
    return Cache(bytes_max=1 << 20)


@pytest.fixture
def shelf(cache: Cache) -> Shelf:
    return Shelf(cache, Exits(), wait_s=1)


@given(post=posts)
@settings(deadline=None)
async def test_a_post_comes_back_as_it_was(post: Post) -> None:
    shelf, kept = Shelf(Cache(bytes_max=1 << 20), Exits(), wait_s=1), soon(post)
    await shelf.put(kept)
    assert await shelf.get("7") == kept


async def test_a_post_is_gone_when_its_links_are(cache: Cache, shelf: Shelf) -> None:
    await shelf.put(Kept(POST, time.time() - 1))
    assert await shelf.get("7") is None
    # the clock of the other gateway was behind
    await cache.put(shelf._name("7"), msgspec.json.encode(Kept(POST, time.time() - 1)), 60)
    assert await shelf.get("7") is None


@pytest.mark.parametrize(
    "value",
    [
        b"", b"{}", b"\xff", b'{"post": {"id": 7}, "good_until": 9e9}', b'{"post": {"id": "\xff"}}',
        b'{"x":' + b"[" * 200_000,
    ],
)  # fmt: skip
async def test_what_another_version_put_there_is_none(cache: Cache, shelf: Shelf, value: bytes) -> None:
    await cache.put(shelf._name("7"), value, 60)
    assert await shelf.get("7") is None


async def test_another_s_post_under_the_name_is_none(cache: Cache, shelf: Shelf) -> None:
    await cache.put(shelf._name("8"), msgspec.json.encode(soon()), 60)
    assert await shelf.get("8") is None


async def test_gateways_with_other_exits_have_their_own(cache: Cache, shelf: Shelf) -> None:
    proxies = ("http://user:secret@one:1", "http://user:secret@two:2")
    there, turned = (Shelf(cache, Exits(urls), wait_s=1) for urls in (proxies, tuple(reversed(proxies))))
    await there.put(soon())
    assert await shelf.get("7") is None
    assert await turned.get("7") is None
    assert await Shelf(cache, Exits(proxies), wait_s=1).get("7") is not None
    assert "secret" not in there._name("7")


async def test_refused_links_are_dropped_and_newer_ones_stay(shelf: Shelf) -> None:
    newer = msgspec.structs.replace(POST, title="newer")
    await shelf.put(soon(newer))
    await shelf.drop("7", POST)
    kept = await shelf.get("7")
    assert kept is not None
    assert kept.post == newer
    await shelf.drop("7", newer)
    assert await shelf.get("7") is None
    await shelf.put(soon())
    await shelf.drop("7", None)
    assert await shelf.get("7") is None
