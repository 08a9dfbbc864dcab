"""`make cluster`: the main job on two gateways and two nodes of speech, seen by a client of nginx.

It ends by itself, with 0 only when every word was the same as one gateway's by itself: live, followed at
either gateway, and of a transcript whose gateway was killed in the middle.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError

from clipwire import Client, ClipwireError, Event, Info, Segment

from gateway.settings import Settings
from tests.bench.process import BenchFailed
from tests.bench.serve import serve
from tests.cluster import Missing, Nodes
from tests.demo import CACHE, SPOKEN, alone, compare, download, fetch_model, printed, say, stand_in
from tests.origin.origin import Origin
from tests.postgres import Missing as NoPostgreSQL
from tests.redis import Missing as NoRedis
from tests.stack import GATEWAYS, Stack, stack, up

TIMES = 3  # the recording on end: some windows, for both nodes
KILLED = "speech"  # the post that is heard while its gateway is killed
SLOW_S = 12  # it arrives in so long
TAKEN_UP_S = 30
TOLD_S = 10  # a node tells what it did within a second

Text = list[tuple[float, float, str]]


@dataclass(frozen=True)
class Played:
    """What came of it."""

    alone: dict[str, Text]  # of one gateway with its own worker, by post
    live: Text
    followed: dict[str, Text]  # by the gateway where it was
    resumed: Text  # over the death of its gateway
    killed: str
    asked: dict[str, int]  # of each gateway, by nginx, before that
    windows: dict[str, int]  # of each node, likewise

    @property
    def same(self) -> bool:
        """Whether all texts are those of one gateway by itself."""
        whole, over = self.alone[f"speech:{SPOKEN}"], self.alone[KILLED]
        texts = [self.live, *self.followed.values(), self.resumed]
        return bool(whole and over) and texts == [whole] * (len(texts) - 1) + [over]


async def play(nodes: Nodes, folder: Path) -> Played:
    """All of it on nodes that are up, with what it starts in a folder."""
    async with stand_in(folder, TIMES) as (words, origin):
        site = {"GATEWAY_PROXY_URL": origin.proxy_url, "GATEWAY_PROXY_CA_FILE": str(origin.ca_file)}
        models = Path(nodes.environment["GATEWAY_DATA_DIR"]) / "models"
        by_itself = await _by_itself(origin, site, folder / "alone", models)
        say.print("[bold]stack[/]  a replica on each node, PostgreSQL, Redis, two gateways, nginx")
        began = time.monotonic()
        async with stack(nodes, site, folder) as running, running.client() as client:
            say.print(f"  all ready after {time.monotonic() - began:.0f} s, at {running.url}")
            say.print(f"[bold]ping[/]  {await client.ping() * 1000:.1f} ms")
            await download(client, origin.url("video"), "VIDEO_ONLY", folder)
            await download(client, origin.url("photo3"), "ORIGINAL", folder)
            live, followed = await _live(running, client, origin.url(f"speech:{SPOKEN}"), words)
            asked, windows = await _shares(running)
            killed, resumed = await _over_a_death(running, client, origin)
    return Played(by_itself, live, followed, resumed, killed, asked, windows)


async def _by_itself(origin: Origin, site: dict[str, str], folder: Path, models: Path) -> dict[str, Text]:
    """What one gateway with one worker of its own hears of the posts."""
    say.print("[bold]one gateway by itself[/]  with a worker on this machine")
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "models").symlink_to(models)
    texts = {}
    settings = {**site, "GATEWAY_WORKERS": "1"}
    async with serve(folder, settings, until="/ready") as gateway, Client(gateway.url) as client:
        for name in (f"speech:{SPOKEN}", KILLED):
            async with client.transcribe(origin.url(name)) as events:
                texts[name] = _text([event async for event in events])
            say.print(f"  {len(texts[name])} segments of {origin.url(name)}")
    return texts


async def _live(running: Stack, client: Client, url: str, words: str) -> tuple[Text, dict[str, Text]]:
    """A transcript as it is recognised, followed at both gateways meanwhile."""
    say.print(f"\n[bold]transcribe[/]  {url}")
    heard: list[Event] = []
    others: dict[str, asyncio.Task[Text]] = {}
    async with asyncio.TaskGroup() as group, client.transcribe(url) as events:
        async for event in printed(events):
            heard.append(event)
            if isinstance(event, Info):
                others = {name: group.create_task(_followed(running, name, event.id)) for name in GATEWAYS}
    followed = {name: other.result() for name, other in others.items()}
    for name, text in followed.items():
        say.print(f"  followed at gateway {name}: {len(text)} segments")
    compare(words, heard)
    return _text(heard), followed


async def _followed(running: Stack, gateway: str, id_: str) -> Text:
    async with running.client(gateway) as client, client.follow(id_) as events:
        return _text([event async for event in events])


async def _shares(running: Stack) -> tuple[dict[str, int], dict[str, int]]:
    """Who did how much. What was followed at a gateway was not asked by nginx, and is not posted."""
    asked = {name: await running.posted(name) for name in GATEWAYS}
    done = sum([await running.counted(name, "clipwire_windows_total") for name in GATEWAYS])
    until = time.monotonic() + TOLD_S
    while sum(running.windows().values()) < done and time.monotonic() < until:
        await asyncio.sleep(0.1)
    windows = running.windows()
    say.print("\n[bold]shares[/]")
    for name, requests in asked.items():
        say.print(f"  gateway {name}: {requests} requests")
    for name, count in windows.items():
        say.print(f"  node {name}: {count} windows")
    return asked, windows


async def _over_a_death(running: Stack, client: Client, origin: Origin) -> tuple[str, Text]:
    """A transcript that was promised; the gateway that makes it is killed after the first words."""
    url = origin.url(KILLED)
    say.print(f"\n[bold]transcribe[/]  {url}, and its gateway is killed")
    origin.pace(len(origin.parts(KILLED)[0]) // SLOW_S)
    begun = await client.begin(url)
    busy, heard = await _busy(running), list[Event]()
    async with client.follow(begun.id) as events:
        async for event in printed(events):
            heard.append(event)
            if isinstance(event, Segment) and event.id == 0:
                os.kill(running.gateways[busy].pid, signal.SIGKILL)
                origin.pace(None)
                say.print(f"  gateway {busy} is killed (-9)")
    return busy, _text(heard)


async def _busy(running: Stack) -> str:
    """The gateway that has taken up the work."""
    until = time.monotonic() + TAKEN_UP_S
    while time.monotonic() < until:
        for name in GATEWAYS:
            if await running.counted(name, "clipwire_transcripts_running"):
                return name
        await asyncio.sleep(0.1)
    raise BenchFailed("no gateway takes up what was promised")


def _text(events: Sequence[Event]) -> Text:
    return [(one.start, one.end, one.text) for one in events if isinstance(one, Segment)]


def main() -> None:
    os.environ.setdefault("GATEWAY_DATA_DIR", str(CACHE / "data"))
    asyncio.run(fetch_model())
    say.print("[bold]nodes[/]  Ray, with one CPU each, once no other cluster runs here")
    nodes = Nodes(Settings().data_dir)
    try:
        up(nodes)
        with tempfile.TemporaryDirectory(prefix="clipwire-stack-") as folder:
            played = asyncio.run(play(nodes, Path(folder)))
    finally:
        nodes.stop()
    if not played.same:
        raise SystemExit("cluster: the words are not those of one gateway by itself")
    say.print("\n[bold]done[/]  live, followed and resumed: every word as of one gateway by itself")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # nobody else would end the nodes
    try:
        with alone():
            main()
    except (Missing, NoPostgreSQL, NoRedis, BenchFailed, ClipwireError, OSError, SubprocessError) as failure:
        sys.exit(f"cluster: {failure}")
    except KeyboardInterrupt:
        sys.exit(130)
