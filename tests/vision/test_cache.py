"""What was paid for is kept: for a time, and within bounds."""

from gateway.vision.cache import Memory


async def test_a_value_is_kept_until_its_time_is_over() -> None:
    now = [100.0]
    kept = Memory(clock=lambda: now[0])
    await kept.put("a", b"1", 10)
    assert await kept.get("a") == b"1"
    assert await kept.get("b") is None
    await kept.put("a", b"2", 10)
    now[0] = 109.9
    assert await kept.get("a") == b"2"
    now[0] = 110
    assert await kept.get("a") is None


async def test_the_least_recently_wanted_goes_first() -> None:
    kept = Memory(bytes_max=3)
    for name in "abc":
        await kept.put(name, b"1", 10)
    await kept.get("a")
    await kept.put("d", b"1", 10)
    assert [await kept.get(name) for name in "abcd"] == [b"1", None, b"1", b"1"]
    await kept.put("e", b"1234", 10)  # more than there is room for at all
    assert [await kept.get(name) for name in "acde"] == [None] * 4
