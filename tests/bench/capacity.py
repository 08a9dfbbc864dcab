"""What so many clips a day need, reckoned from what one of them costs. `python -m tests.bench.capacity`

On paper: nothing here was run at these sizes. The costs are those of `python -m tests.bench sizing`,
`extract` and `relay` on one machine; the rest are assumptions, and say so.
"""

from dataclasses import dataclass
from math import ceil

from tests.bench.table import Table

DAY_S = 24 * 3600
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)


@dataclass(frozen=True)
class Costs:
    """Of one clip, as measured; the command is beside each."""

    speech_s_per_s: float = 19.0  # sound for a CPU second of a worker: sizing
    gateway_ms: float = 113.0  # of the gateway's own process, the voice detector in it: sizing
    decoding_ms: float = 14.0  # sizing
    extraction_ms: float = 4.3  # gateway and extractors, of the stand-in's pages: extract
    relay_s_per_gib: float = 1.7  # cold, from the site to a client: relay
    postgres_ms: float = 6.7  # sizing
    row_bytes: float = 9_400.0  # with indexes and search: sizing
    redis_ms: float = 14.2  # sizing
    redis_calls: float = 246.0  # those of its scripts included: sizing
    redis_bytes: float = 7_000.0  # of each clip of the last minutes: sizing


@dataclass(frozen=True)
class Traffic:
    """What is assumed of the clips and of who asks for them."""

    clips_per_day: int
    clip_s: float = 30.0
    clip_bytes: float = 4e6  # 1 Mbit/s
    peak: float = 3.0  # the busiest hour, to the mean
    busy: float = 0.7  # of a core's time, at the peak
    recent_s: float = 300.0  # GATEWAY_EXTRACT_CACHE_S
    kept_days: int = 30  # GATEWAY_TRANSCRIPT_ROWS_S
    exit_pages_per_s: float = 0.5  # a guess: the site does not say what it gives one address


@dataclass(frozen=True)
class Need:
    """What it takes at the peak."""

    mean_per_s: float
    peak_per_s: float
    speech_cores: float
    gateway_cores: float  # all gateways together, decoders and extractors included
    gateway_loops: int  # processes, so that no event loop is busier than assumed
    relay_bits_per_s: float  # each way
    exits: int
    rows_per_day: int
    kept_bytes: float
    year_bytes: float
    postgres_cores: float
    redis_calls_per_s: float
    redis_cores: float
    redis_bytes: float


def need(traffic: Traffic, costs: Costs) -> Need:
    """Each clip is asked for once, heard once and sent once. Pure."""
    mean = traffic.clips_per_day / DAY_S
    peak = mean * traffic.peak
    relay_s = traffic.clip_bytes / 2**30 * costs.relay_s_per_gib
    loop_s = costs.gateway_ms / 1000 + relay_s  # what one process does by itself
    gateway_s = loop_s + (costs.decoding_ms + costs.extraction_ms) / 1000
    return Need(
        mean_per_s=mean,
        peak_per_s=peak,
        speech_cores=peak * traffic.clip_s / costs.speech_s_per_s / traffic.busy,
        gateway_cores=peak * gateway_s / traffic.busy,
        gateway_loops=ceil(peak * loop_s / traffic.busy),
        relay_bits_per_s=peak * traffic.clip_bytes * 8,
        exits=ceil(peak / traffic.exit_pages_per_s),
        rows_per_day=traffic.clips_per_day,
        kept_bytes=traffic.clips_per_day * traffic.kept_days * costs.row_bytes,
        year_bytes=traffic.clips_per_day * 365 * costs.row_bytes,
        postgres_cores=peak * costs.postgres_ms / 1000 / traffic.busy,
        redis_calls_per_s=peak * costs.redis_calls,
        redis_cores=peak * costs.redis_ms / 1000,  # it has one: as much as 1 is too much
        redis_bytes=peak * traffic.recent_s * costs.redis_bytes,
    )


def table() -> Table:
    """The needs side by side."""
    needs = [need(Traffic(clips), Costs()) for clips in SIZES]
    return Table(
        "capacity: on paper",
        ("clips a day", *(f"{clips:,}" for clips in SIZES)),
        [
            (
                "clips a second, mean and peak",
                *(f"{_count(n.mean_per_s)}, {_count(n.peak_per_s)}" for n in needs),
            ),
            ("cores for speech, at the peak", *(_count(n.speech_cores) for n in needs)),
            ("cores for gateways", *(_count(n.gateway_cores) for n in needs)),
            ("gateway processes", *(f"{n.gateway_loops:,}" for n in needs)),
            ("from the site, and to clients", *(f"{n.relay_bits_per_s / 1e6:,.0f} Mbit/s" for n in needs)),
            ("addresses towards the site", *(f"{n.exits:,}" for n in needs)),
            ("PostgreSQL, 30 days", *(f"{n.kept_bytes / 1e9:,.0f} GB" for n in needs)),
            ("PostgreSQL, a year", *(f"{n.year_bytes / 1e9:,.0f} GB" for n in needs)),
            ("PostgreSQL, cores", *(_count(n.postgres_cores) for n in needs)),
            ("Redis, calls a second", *(f"{n.redis_calls_per_s:,.0f}" for n in needs)),
            ("Redis, of its one core", *(f"{n.redis_cores:.0%}" for n in needs)),
            ("Redis, memory", *(f"{n.redis_bytes / 1e6:,.0f} MB" for n in needs)),
        ],
    )


def _count(some: float) -> str:
    return f"{some:.1f}" if some < 10 else f"{some:,.0f}"


if __name__ == "__main__":
    print(table())
