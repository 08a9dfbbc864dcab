"""How healthy a gateway and what it depends on are, as values."""

import time
from typing import Literal

import msgspec

from gateway.wiring import Gateway

State = Literal["healthy", "unhealthy", "not_configured"]


class Health(msgspec.Struct, frozen=True):
    """Each dependency, and a few numbers since the start."""

    yt_dlp: State
    openai: State
    redis: State
    database: State
    whisper: State
    uptime_s: float
    requests: int  # that have ended
    cache_hit_rate: float  # of posts and parts that were wanted, 0 to 1

    @property
    def healthy(self) -> bool:
        """Whether nothing that is configured is unhealthy."""
        return "unhealthy" not in (self.yt_dlp, self.openai, self.redis, self.database, self.whisper)


def health(gateway: Gateway, *, openai: State = "not_configured", redis: State = "not_configured") -> Health:
    """How it is now. Nothing is dialled: each part knows how its last use went."""
    extractor, spools = gateway.extractor, gateway.spools
    hits, misses = extractor.hits + spools.hits, extractor.misses + spools.misses
    # a site that blocks or limits us is no fault of yt-dlp's; a page that it cannot read is
    reads = bool(extractor.pids) and gateway.canary.state != "changed"
    return Health(
        yt_dlp="healthy" if reads else "unhealthy",
        openai=openai,
        redis=redis,
        database="healthy" if gateway.database_state == "ok" else "unhealthy",
        whisper="healthy" if gateway.pool.ready else "unhealthy",
        uptime_s=time.monotonic() - gateway.began,
        requests=gateway.metrics.requests,
        cache_hit_rate=hits / (hits + misses) if hits + misses else 0.0,
    )
