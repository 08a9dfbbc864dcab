"""The whole stack on this machine: two gateways behind nginx, PostgreSQL, Redis, and a Ray cluster of two
nodes that recognises speech. The gateways know of each other by settings alone, and share no folder.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
from clipwire import Client
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.nginx import nginx, published
from tests.bench.process import CORES, BenchFailed, free_port
from tests.bench.serve import HOST, Served, serve
from tests.cluster import Nodes
from tests.collector import Collector, collecting
from tests.postgres import Cluster
from tests.redis import Server

KEY = "the key of this stack"
SECRET = "the secret of this stack"
LEASE_S = 2  # after which the work of a gateway that died is another's
GATEWAYS = ("one", "two")
NODES = ("head", "second")
TRIES = 20  # of a client, on end: what a gateway leaves is taken up within a quarter of a minute


class Stack:
    """All of it, running."""

    def __init__(self, url: str, gateways: Mapping[str, Served], collector: Collector) -> None:
        self.url = url  # of nginx
        self.gateways = gateways
        self._collector = collector

    def client(self, gateway: str | None = None) -> Client:
        """A client of nginx, or of one gateway."""
        return Client(self.url if gateway is None else self.gateways[gateway].url, key=KEY, tries=TRIES)

    async def posted(self, gateway: str) -> int:
        """How many requests with a body a gateway has answered."""
        return await self.counted(gateway, "clipwire_requests_total", "POST ")

    async def counted(self, gateway: str, metric: str, route: str = "") -> int:
        """What a gateway has counted, of routes that begin so."""
        async with (
            aiohttp.ClientSession(headers={"X-API-Key": KEY}) as session,
            session.get(f"{self.gateways[gateway].url}/metrics") as answer,
        ):
            answer.raise_for_status()
            told = text_string_to_metric_families(await answer.text())
        samples = (one for family in told for one in family.samples if one.name == metric)
        return int(sum(one.value for one in samples if one.labels.get("route", "").startswith(route)))

    def windows(self) -> dict[str, int]:
        """How many windows each node has recognised, as its replica tells, a second later at the most."""
        return {name: self._collector.hosts["window", name] for name in NODES}


@asynccontextmanager
async def stack(nodes: Nodes, site: Mapping[str, str], folder: Path) -> AsyncIterator[Stack]:
    """A replica on each node, and all else, before a site; ended in reverse, but for the nodes."""
    async with AsyncExitStack() as stack:
        collector = await stack.enter_async_context(collecting())
        deploying = asyncio.ensure_future(asyncio.to_thread(_deploy, nodes, collector.url))
        try:
            await asyncio.shield(deploying)
        except asyncio.CancelledError:
            await asyncio.wait([deploying])  # its nodes are ended next
            raise
        settings = {
            **nodes.environment, **site,
            "GATEWAY_ADMIN_KEY": KEY, "GATEWAY_SECRET": SECRET, "GATEWAY_TRUSTED_PROXIES": HOST,
            "GATEWAY_DATABASE_URL": stack.enter_context(postgresql()),
            "GATEWAY_REDIS_URL": stack.enter_context(redis()),
            "GATEWAY_CLUSTER_ADDRESS": nodes.address, "GATEWAY_CLUSTER_REPLICAS_MIN": str(len(NODES)),
            "GATEWAY_LEASE_S": str(LEASE_S),
        }  # fmt: skip
        gateways: dict[str, Served] = {}
        for name in GATEWAYS:
            own = settings | {"GATEWAY_DATA_DIR": str(folder / name / "data")}
            gateways[name] = await stack.enter_async_context(serve(folder / name, own, until="/ready"))
        port = free_port()
        site_conf = published("nginx-compose.conf", port, *(one.port for one in gateways.values()))
        await stack.enter_async_context(nginx(folder / "nginx", site_conf, ports=[port], cores=CORES))
        yield Stack(f"http://{HOST}:{port}", gateways, collector)


def up(nodes: Nodes) -> None:
    """Starts the nodes."""
    first, *others = NODES
    assert first == "head"
    nodes.start()
    for name in others:
        nodes.node(name)


def _deploy(nodes: Nodes, collector_url: str) -> None:
    deployed = nodes.command(
        "deploy", GATEWAY_CLUSTER_REPLICAS_MIN=str(len(NODES)), OTEL_EXPORTER_OTLP_ENDPOINT=collector_url
    )
    if deployed.returncode:
        raise BenchFailed(f"the cluster has no replica: {deployed.stderr[-1000:]}")


@contextmanager
def postgresql() -> Iterator[str]:
    """The address of an empty database, in a server that ends with it."""
    server = Cluster()
    try:
        server.make()
        server.create("clipwire")
        yield server.url("clipwire")
    finally:
        server.remove()


@contextmanager
def redis() -> Iterator[str]:
    """The address of an empty Redis, likewise."""
    server = Server()
    try:
        server.start()
        yield server.url
    finally:
        server.remove()
