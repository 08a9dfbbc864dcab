"""What a second gateway behind nginx brings, and what nginx costs: the same work by three ways, in turns.

The gateways share a PostgreSQL and a Redis, also where only one of them is asked.
"""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median

from tests.bench import load
from tests.bench.effort import Effort
from tests.bench.extract import CLIENTS, answered, request
from tests.bench.first_byte import first
from tests.bench.load import Load
from tests.bench.nginx import nginx, published
from tests.bench.process import CORES, BenchFailed, free_port
from tests.bench.relay import MIB, extracted
from tests.bench.serve import serve
from tests.bench.surroundings import Surroundings, surroundings
from tests.bench.table import Table, ratio
from tests.postgres import Missing as NoPostgreSQL
from tests.redis import Missing as NoRedis
from tests.stack import postgresql, redis

ONE, BEHIND, TWO = WAYS = "one gateway", "one behind nginx", "two behind nginx"
KEY = "the key of this bench"
UNLIMITED = {
    f"GATEWAY_{name}": "1000000"
    for name in ("RATE_LIMIT_CAPACITY", "RATE_LIMIT_REFILL_PER_SEC", "REQUESTS_PER_MINUTE_MAX")
}
HOT = 20  # posts that are asked for again and again
CACHED, CACHED_QUICK = 5_000, 200
FIRSTS, FIRSTS_QUICK = 10, 2
BIG, SMALL = "big", "big_small"  # clips
TURNS = 4  # of each client, where media are on disk
COLUMNS = ("cached posts", "cold media", "hot media", "first byte")

Found = Mapping[str, list[float]]


async def replicas(effort: Effort, folder: Path) -> list[Table]:
    """Posts from the cache, media from the site and from disk, and new posts to their first byte."""
    big = MIB if effort.quick else 8 * MIB
    firsts = FIRSTS_QUICK if effort.quick else FIRSTS
    runs = [f"{way}/{run}" for way in WAYS for run in range(effort.runs)]
    posts = {f"cold/{run}/{n}": BIG for run in runs for n in range(CLIENTS)} | {"hot": BIG}
    posts |= {f"first/{run}/{n}": SMALL for run in runs for n in range(firsts)}
    posts |= {f"cached/{n}": SMALL for n in range(HOT)}
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    async with AsyncExitStack() as stack:
        around = await stack.enter_async_context(
            surroundings({BIG: big, SMALL: MIB // 4}, posts, folder / "around")
        )
        ports = await _ports(stack, around, folder)
        for port in set(ports.values()):  # each gateway has it all on its disk, or nearly
            await load.run(Load(port, [[_download(around, "hot")] * 2], big), CORES)
        for run in range(effort.runs):
            for way in WAYS:
                job = _Job(around, ports[way], f"{way}/{run}", big)
                found[way]["cached posts"].append(await job.cached(CACHED_QUICK if effort.quick else CACHED))
                found[way]["cold media"].append(await job.cold())
                found[way]["hot media"].append(await job.hot())
                found[way]["first byte"].append(await job.first(firsts))
    return [_table(found, effort)]


async def _ports(stack: AsyncExitStack, around: Surroundings, folder: Path) -> dict[str, int]:
    """Two gateways, the first of them also behind an nginx of its own, and both behind another."""
    try:
        database_url, redis_url = stack.enter_context(postgresql()), stack.enter_context(redis())
    except (NoPostgreSQL, NoRedis) as missing:
        raise BenchFailed(str(missing)) from None
    settings = around.site.settings | {
        "GATEWAY_PROXY_URL": around.tunnel.proxy_url, "GATEWAY_MODEL": str(folder / "none"),
        "GATEWAY_ADMIN_KEY": KEY, "GATEWAY_SECRET": KEY, "GATEWAY_TRUSTED_PROXIES": "127.0.0.1",
        "GATEWAY_DATABASE_URL": database_url, "GATEWAY_REDIS_URL": redis_url, **UNLIMITED,
    }  # fmt: skip
    gateways = [
        (await stack.enter_async_context(serve(folder / name, settings))).port for name in ("first", "second")
    ]
    ports = {ONE: gateways[0], BEHIND: free_port(), TWO: free_port()}
    for way, behind in ((BEHIND, gateways[:1]), (TWO, gateways)):
        conf = published("nginx-compose.conf", ports[way], *behind)
        place = folder / way.replace(" ", "-")
        await stack.enter_async_context(nginx(place, conf, ports=[ports[way]], cores=CORES))
    return ports


class _Job:
    """One run by one way."""

    def __init__(self, around: Surroundings, port: int, run: str, big: int) -> None:
        self._around, self._port, self._run, self._big = around, port, run, big

    async def cached(self, count: int) -> float:
        """Posts a second whose data are kept."""
        asked = [_keyed(request(self._around.site.url(f"cached/{n}"))) for n in range(HOT)]
        await answered(self._port, asked, CORES)
        return count / await answered(self._port, [asked[n % HOT] for n in range(count)], CORES)

    async def cold(self) -> float:
        """MB a second of media that are read from the site."""
        asked = [_download(self._around, f"cold/{self._run}/{n}") for n in range(CLIENTS)]
        await extracted(self._port, asked)
        return await self._relayed([[one] for one in asked])

    async def hot(self) -> float:
        """MB a second of media that are on disk."""
        return await self._relayed([[_download(self._around, "hot")] * TURNS] * CLIENTS)

    async def first(self, count: int) -> float:
        """Milliseconds until a new post's first byte is there."""
        asked = [_download(self._around, f"first/{self._run}/{n}") for n in range(count)]
        return median([await first(self._port, one) for one in asked]) * 1000

    async def _relayed(self, clients: list[list[str]]) -> float:
        work = Load(self._port, clients, self._big)
        return work.bytes / 1e6 / await load.run(work, CORES)


def _download(around: Surroundings, name: str) -> str:
    return _keyed(load.post("/download", {"url": around.site.url(name), "content_type": "ORIGINAL"}))


def _keyed(request: str) -> str:
    asked, _, rest = request.partition("\r\n")
    return f"{asked}\r\nX-API-Key: {KEY}\r\n{rest}"


def _table(found: Mapping[str, Found], effort: Effort) -> Table:
    rows = []
    for way in WAYS:
        row = [way]
        for column in COLUMNS:
            figures, one = found[way][column], found[ONE][column]
            row += [f"{median(figures):.{1 if column == 'first byte' else 0}f}", ratio(figures, one)]
        rows.append(row)
    units = ("cached posts/s", "cold MB/s", "hot MB/s", "first byte ms")
    return Table(
        f"replicas: {CLIENTS} clients, by a gateway and by nginx before one and two",
        ("", *(name for unit in units for name in (unit, "to one"))),
        rows,
        notes=(
            f"median of {effort.runs} runs in turns; ratios of each run to one gateway",
            f"all of it, clients, site, PostgreSQL and Redis too, on {len(CORES)} cores: a second gateway has"
            " only what these leave",
            "cached: POST /extract; cold: each client its own post, from the site; hot: one post, from disk",
        ),
    )
