"""What the papers say of sizes is what is reckoned, and that is reckoned right."""

from math import isclose

from tests.bench.capacity import DAY_S, Costs, Traffic, need, table
from tests.test_docs import rows, text


def test_the_paper_has_the_table_as_it_is_reckoned() -> None:
    assert rows(text("docs/operations.md"), "clips a day | 10,000 | 100,000 | 1,000,000 | 10,000,000") == [
        list(row) for row in table().rows
    ]


def test_what_one_clip_a_second_needs() -> None:
    """By hand: each cost is a round number."""
    costs = Costs(
        speech_s_per_s=20, gateway_ms=100, decoding_ms=20, extraction_ms=5, relay_s_per_gib=2, postgres_ms=10,
        row_bytes=10_000, redis_ms=20, redis_calls=200, redis_bytes=5_000,
    )  # fmt: skip
    traffic = Traffic(
        DAY_S, clip_s=30, clip_bytes=2**30 / 100, peak=2, busy=0.5, recent_s=100, kept_days=10,
        exit_pages_per_s=0.5,
    )  # fmt: skip
    found = need(traffic, costs)
    assert (found.mean_per_s, found.peak_per_s) == (1, 2)
    assert isclose(found.speech_cores, 2 * 1.5 / 0.5)
    assert isclose(found.gateway_cores, 2 * (0.1 + 0.02 + 0.005 + 0.02) / 0.5)
    assert found.gateway_loops == 1  # 2 x 0.12 s / 0.5 is less than one
    assert isclose(found.relay_bits_per_s, 2 * 8 * 2**30 / 100)
    assert found.exits == 4
    assert found.kept_bytes == DAY_S * 10 * 10_000
    assert found.year_bytes == DAY_S * 365 * 10_000
    assert isclose(found.postgres_cores, 2 * 0.01 / 0.5)
    assert (found.redis_calls_per_s, found.redis_bytes) == (400, 2 * 100 * 5_000)
    assert isclose(found.redis_cores, 0.04)


def test_ten_times_the_clips_need_ten_times_as_much() -> None:
    few, many = (need(Traffic(clips), Costs()) for clips in (1_000_000, 10_000_000))
    for name in ("speech_cores", "gateway_cores", "relay_bits_per_s", "kept_bytes", "redis_calls_per_s"):
        assert isclose(getattr(many, name), 10 * getattr(few, name))
