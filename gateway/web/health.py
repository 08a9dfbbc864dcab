"""How healthy a gateway and what it depends on are, as values."""

import time
from typing import Literal

import msgspec

from gateway.wiring import Gateway

State = Literal["healthy", "unhealthy", "not_configured"]

_REDIS: dict[str, State] = {"ok": "healthy", "away": "unhealthy", "not configured": "not_configured"}


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
    def dependencies(self) -> dict[str, State]:
        """Each by its name."""
        return {
            "yt_dlp": self.yt_dlp, "openai": self.openai, "redis": self.redis, "database": self.database,
            "whisper": self.whisper,
        }  # fmt: skip

    @property
    def healthy(self) -> bool:
        """Whether nothing that is configured is unhealthy."""
        return "unhealthy" not in self.dependencies.values()


def health(gateway: Gateway) -> Health:
    """How it is now. Nothing is dialled: each part knows how its last use went."""
    extractor, spools = gateway.extractor, gateway.spools
    hits, misses = extractor.hits + spools.hits, extractor.misses + spools.misses
    # a site that blocks or limits us is no fault of yt-dlp's; a page that it cannot read is
    reads = bool(extractor.pids) and gateway.canary.state != "changed"
    return Health(
        yt_dlp="healthy" if reads else "unhealthy",
        openai=gateway.analyst.state if gateway.analyst is not None else "not_configured",
        redis=_REDIS[gateway.redis_state],
        database="healthy" if gateway.database_state == "ok" else "unhealthy",
        whisper="healthy" if gateway.pool.ready else "unhealthy",
        uptime_s=time.monotonic() - gateway.began,
        requests=gateway.metrics.requests,
        cache_hit_rate=hits / (hits + misses) if hits + misses else 0.0,
    )
