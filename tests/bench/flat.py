"""Whether memory stays flat: thousands of downloads, most of them cold, and what is left of each."""

from contextlib import AsyncExitStack
from pathlib import Path

from tests.bench import load
from tests.bench.effort import Effort
from tests.bench.load import Load
from tests.bench.process import RELAY_CORE, idle
from tests.bench.relay import extracted
from tests.bench.serve import serve
from tests.bench.slow import resident_kb
from tests.bench.surroundings import surroundings
from tests.bench.table import Table

KIB = 1 << 10
CLIP, CLIP_BYTES, POSTS, CLIENTS = "big_but_small", 128 * KIB, 200, 16
SPOOL_BYTES_MAX = POSTS * CLIP_BYTES // 4  # so that three of four are read from the site again


async def flat(effort: Effort, folder: Path) -> list[Table]:
    """Resident memory after each fifth of the requests."""
    requests = 500 if effort.quick else 10_000
    posts = {f"{CLIP}/{n}": CLIP for n in range(POSTS)}
    rows = []
    async with AsyncExitStack() as stack:
        around = await stack.enter_async_context(surroundings({CLIP: CLIP_BYTES}, posts, folder))
        settings = around.site.settings | {
            "GATEWAY_PROXY_URL": around.tunnel.proxy_url,
            "GATEWAY_MODEL": str(folder / "none"),
            "GATEWAY_SPOOL_BYTES_MAX": str(max(SPOOL_BYTES_MAX, 1 << 20)),
        }
        async with serve(folder / "flat", settings, cores=RELAY_CORE) as gateway:
            asked = [
                load.post("/download", {"url": around.site.url(name), "content_type": "ORIGINAL"})
                for name in posts
            ]
            await extracted(gateway.port, asked)
            each = requests // 5 // CLIENTS
            for fifth in range(6):
                await idle(gateway.pid)
                descriptors = len(list(Path(f"/proc/{gateway.pid}/fd").iterdir()))
                rows.append(
                    (str(fifth * each * CLIENTS), f"{resident_kb(gateway.pid) / 1024:.1f}", str(descriptors))
                )
                if fifth < 5:
                    turns = [[asked[(n * 7 + turn) % POSTS] for turn in range(each)] for n in range(CLIENTS)]
                    await load.run(Load(gateway.port, turns, CLIP_BYTES))
    return [
        Table(
            "memory over many downloads, most of them cold",
            ("downloads", "resident MiB", "descriptors"),
            rows,
            notes=(
                f"{POSTS} posts of {CLIP_BYTES // KIB} KiB, room for a quarter of them, {CLIENTS} clients",
            ),
        )
    ]
