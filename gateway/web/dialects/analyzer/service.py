"""The analyzer about itself: how it is, what it understands, what it has done."""

from datetime import UTC, datetime

from aiohttp import web

from gateway import __version__
from gateway.web.dialects.analyzer import models
from gateway.web.dialects.analyzer.answers import PLATFORM, enveloped
from gateway.web.dialects.analyzer.extraction import EXTRACTIONS
from gateway.web.health import health as health_of
from gateway.web.keys import GATEWAY

_UNDERSTOOD = (
    "https://www.tiktok.com/@{user}/video/{id}",
    "https://www.tiktok.com/@{user}/photo/{id}",
    "https://vm.tiktok.com/{code}/",
    "https://vt.tiktok.com/{code}/",
    "https://www.tiktok.com/t/{code}/",
)


async def health(request: web.Request) -> web.Response:
    """What the gateway depends on, as its last use went."""
    now, extractions = health_of(request.app[GATEWAY]), request.app[EXTRACTIONS]
    told = models.Health(
        status="healthy" if now.healthy else "degraded",
        timestamp=datetime.now(UTC),
        version=__version__,
        dependencies=models.Dependencies(**now.dependencies),
        metrics=models.HealthMetrics(
            uptime_seconds=int(now.uptime_s),
            requests_processed=now.requests,
            cache_hit_rate=_share(extractions.hits, extractions.hits + extractions.misses),
        ),
    )
    return web.Response(body=told.model_dump_json().encode(), content_type="application/json")


async def platforms(request: web.Request) -> web.Response:
    """The site, and what is bounded."""
    gateway = request.app[GATEWAY]
    settings = gateway.settings
    features = ["metadata", "captions"] + (["thumbnail_analysis"] if gateway.analyst is not None else [])
    data = models.Platforms(
        platforms=(
            models.Platform(
                name="TikTok",
                domain="tiktok.com",
                supported_features=tuple(features),
                url_patterns=_UNDERSTOOD,
            ),
        ),
        limitations=models.Limitations(
            rate_limit_per_minute=settings.analyzer_rate.capacity,
            max_video_duration=settings.video_duration_max,
        ),
    )
    return enveloped(request, data)


async def stats(request: web.Request) -> web.Response:
    """What was extracted, ever; and how the cache of this process does, since its start."""
    gateway, extractions = request.app[GATEWAY], request.app[EXTRACTIONS]
    counts = await gateway.totals.read()
    data = models.Stats(
        service_stats=models.ServiceStats(
            total_extractions=counts["extractions"],
            successful_extractions=counts["succeeded"],
            failed_extractions=counts["failed"],
            success_rate=_share(counts["succeeded"], counts["extractions"]),
            avg_processing_time_ms=round(counts["ms"] / max(1, counts["extractions"]), 1),
        ),
        platform_breakdown={PLATFORM: counts[f"platform {PLATFORM}"]},
        error_breakdown={
            name.removeprefix("error "): count
            for name, count in sorted(counts.items())
            if name.startswith("error ")
        },
        cache_stats=models.CacheStats(
            hit_rate=_share(extractions.hits, extractions.hits + extractions.misses),
            total_entries=gateway.cache.entries,
            memory_usage_mb=round(gateway.cache.size / 1_000_000, 6),
            hit_count=extractions.hits,
            miss_count=extractions.misses,
        ),
    )
    return enveloped(request, data)


def _share(some: int, of: int) -> float:
    return round(some / of, 4) if of else 0.0
