"""What a clip costs: CPU seconds by process, memory, rows, calls of Redis.

CPU, not the clock, so that others may work meanwhile.
"""

import asyncio
import os
import random
import re
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import aiohttp

from gateway.store.database import Database
from gateway.store.stored import Draft, Provenance
from gateway.store.tables import INDEX
from tests.bench import spoken
from tests.bench.effort import Effort
from tests.bench.hearing import heard
from tests.bench.model import model
from tests.bench.process import ROOT, BenchFailed, cpu_s, idle, members, own_kb
from tests.bench.serve import serve
from tests.bench.site import Plan, site
from tests.bench.table import Table
from tests.postgres import Cluster
from tests.postgres import Missing as NoPostgres
from tests.redis import Missing as NoRedis
from tests.redis import Server
from tests.speech import clips
from tests.store.making import save

CLIPS, CLIPS_QUICK = 24, 2
ROWS, ROWS_QUICK = 2000, 20
AT_ONCE = 4  # what a gateway does for each of its seconds is then shared as it is when there is much to do
SEGMENTS, WORDS = 12, 8  # of a clip of half a minute
DATABASE = "sizing"
WRITTEN_S = 30
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
KINDS = {
    "gateway.media.tiktok": "extractors",
    "gateway.media.decoder": "decoders",
    "gateway.speech.worker": "speech",
}

Spent = dict[str, float]


async def sizing(effort: Effort, folder: Path) -> list[Table]:
    """Posts to transcripts, some at once, with PostgreSQL and Redis; then rows, as many as fill pages."""
    several = (await asyncio.to_thread(spoken.spoken)).several
    count = CLIPS_QUICK if effort.quick else CLIPS
    films = [await asyncio.to_thread(spoken.film, clip, spoken.SMALL) for clip in several]
    # each a file never seen before; the first is to warm up
    files = {f"{n}": spoken.copy(films[n % len(films)], folder / f"{n}.mp4", n) for n in range(count + 1)}
    seconds = [several[n % len(several)].seconds for n in range(1, count + 1)]
    plan = Plan({name: name for name in files}, {name: str(path) for name, path in files.items()})
    async with AsyncExitStack() as stack:
        weights = await model()
        postgres, redis = stack.enter_context(_postgres()), stack.enter_context(_redis())
        pages = await stack.enter_async_context(site(plan, folder / "site"))
        settings = pages.settings | {
            "GATEWAY_MODEL": str(weights), "DATABASE_URL": postgres.url(DATABASE), "REDIS_URL": redis.url,
            "GATEWAY_RATE_LIMIT_CAPACITY": "1000",
        }  # fmt: skip
        gateway = await stack.enter_async_context(serve(folder / "gateway", settings, until="/ready"))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        first, *others = (pages.url(name) for name in files)
        await heard(session, gateway.url, first)
        await idle(gateway.pid)
        before, calls, kept = _spent(gateway.pid, postgres, redis), _calls(redis), _kept(redis)
        room = asyncio.Semaphore(AT_ONCE)

        async def hear(url: str) -> None:
            async with room:
                await heard(session, gateway.url, url)

        await asyncio.gather(*map(hear, others))
        await _written(postgres, count + 1)
        after = _spent(gateway.pid, postgres, redis)
        spent = {who: now - before[who] for who, now in after.items()}
        spent["decoders"] = sum(
            [await asyncio.to_thread(_decoding_s, files[f"{n}"]) for n in range(1, count + 1)]
        )
        shared = ((_calls(redis) - calls) / count, (_kept(redis) - kept) / count)
        memory = _memory(gateway.pid)
        rows, rows_ms = await _rows(postgres, ROWS_QUICK if effort.quick else ROWS)
    return [
        _table(spent, memory, seconds, shared),
        Table(
            f"sizing: bytes of a transcript of {SEGMENTS} segments of {WORDS} words in PostgreSQL",
            ("table, with its indexes", "bytes"),
            [(name, f"{size:.0f}") for name, size in rows.items()] + [("all", f"{sum(rows.values()):.0f}")],
            notes=(f"words of these papers at random; {rows_ms:.1f} ms of the server's CPU for each",),
        ),
    ]


def _table(
    spent: Spent, memory: dict[str, list[int]], seconds: Sequence[float], shared: tuple[float, float]
) -> Table:
    count, sound_s = len(seconds), sum(seconds)
    rows = [
        (
            who,
            f"{cpu / count * 1000:.1f}",
            f"{cpu / sound_s * 1000:.2f}",
            f"{len(memory[who])} x {max(memory[who]) / 1000:.0f}" if who in memory else "",
        )
        for who, cpu in spent.items()
    ]  # fmt: skip
    return Table(
        f"sizing: POST /transcribe of {count} new posts, {sound_s / count:.1f} s each, {AT_ONCE} at once",
        ("process", "CPU ms a clip", "ms a second of sound", "MB"),
        rows,
        notes=(
            f"{sound_s / spent['speech']:.1f} s of sound for a CPU second of speech; base, int8, beam 5",
            f"Redis: {shared[0]:.0f} commands a clip, {shared[1]:.0f} bytes of each recent clip",
            "CPU by /proc, not the clock; decoders: the same libraries in the bench",
        ),
    )


@contextmanager
def _postgres() -> Iterator[Cluster]:
    try:
        cluster = Cluster()
    except NoPostgres as missing:
        raise BenchFailed(str(missing)) from None
    try:
        cluster.make()
        cluster.create(DATABASE)
        yield cluster
    finally:
        cluster.remove()


@contextmanager
def _redis() -> Iterator[Server]:
    try:
        server = Server()
    except NoRedis as missing:
        raise BenchFailed(str(missing)) from None
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _spent(pid: int, postgres: Cluster, redis: Server) -> Spent:
    """CPU seconds of each kind of process since it began."""
    spent: Spent = defaultdict(float)
    for member, stat in members(pid).items():
        spent[_kind(member)] += sum(map(int, stat[11:15])) / TICKS_PER_S
    spent["PostgreSQL"], spent["Redis"] = cpu_s(postgres.pid), cpu_s(redis.pid)
    return spent


def _memory(pid: int) -> dict[str, list[int]]:
    """KB of the processes of each kind, what they share with others by its share."""
    found: dict[str, list[int]] = defaultdict(list)
    for member in members(pid):
        if kb := own_kb(member):
            found[_kind(member)].append(kb)
    return found


def _kind(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:  # it has just ended
        return "gateway"
    return next((KINDS[word] for word in words if word in KINDS), "gateway")


def _calls(redis: Server) -> int:
    """Commands that were carried out so far."""
    return sum(
        int(calls)
        for name, calls in re.findall(r"cmdstat_(\w+)\S*:calls=(\d+)", redis.ask("INFO", "commandstats"))
        if name not in ("info", "ping")
    )


def _kept(redis: Server) -> int:
    (found,) = re.findall(r"^used_memory:(\d+)", redis.ask("INFO", "memory"), re.M)
    return int(found)


async def _written(postgres: Cluster, count: int) -> None:
    async with asyncio.timeout(WRITTEN_S):
        while (
            int(postgres.sql("SELECT count(*) FROM transcripts WHERE ended_at IS NOT NULL", DATABASE)) < count
        ):
            await asyncio.sleep(0.2)


def _decoding_s(path: Path) -> float:
    """Decoders are buried by the kernel, times and all: the same libraries, in this process."""
    began = time.process_time()
    clips.decoded(path)
    return time.process_time() - began


async def _rows(postgres: Cluster, count: int) -> tuple[dict[str, float], float]:
    """Bytes of a transcript of a clip in each table, its indexes included, and the server's CPU ms for it."""
    words = sorted(
        set(re.findall(r"[a-z]{2,}", " ".join(p.read_text() for p in (ROOT / "docs").glob("*.md"))))
    )
    draw = random.Random(1)
    database = Database(postgres.url(DATABASE))
    before, spent_s = _sizes(postgres), cpu_s(postgres.pid)
    try:
        for number in range(count):
            texts = [" ".join(draw.choices(words, k=WORDS)) for _ in range(SEGMENTS)]
            where = Provenance(url="https://www.tiktok.com/@somebody/video/7" + "0" * 18, post_id="7" * 19)
            draft = Draft(f"{number:022}", title=texts[0], provenance=where)
            await save(database, draft, *texts)
    finally:
        await database.close()
    each_ms = (cpu_s(postgres.pid) - spent_s) / count * 1000
    return {name: (size - before[name]) / count for name, size in _sizes(postgres).items()}, each_ms


def _sizes(postgres: Cluster) -> dict[str, int]:
    found = {
        name: int(postgres.sql(f"SELECT pg_{of}_size('{table}')", DATABASE))
        for name, of, table in (
            ("transcripts", "total_relation", "transcripts"),
            ("transcript_owners", "total_relation", "transcript_owners"),
            ("segments", "total_relation", "segments"),
            ("index of texts", "relation", INDEX),
        )
    }
    return found | {"segments": found["segments"] - found["index of texts"]}
