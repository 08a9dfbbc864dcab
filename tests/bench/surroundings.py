"""What stands around a relay that is measured: pages, a TLS origin of media, the tunnel to both, and nginx.

The relay has a core of its own; all else shares the others. Media come from an nginx with TLS, and who is
compared reads them through the same tunnel.
"""

import hashlib
import os
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.nginx import nginx
from tests.bench.process import OTHER_CORES, RELAY_CORE, free_port
from tests.bench.site import Plan, Site, site
from tests.bench.tunnel import Tunnel, tunnel
from tests.origin.pages import MEDIA_HOSTS

# what nginx does, each at a port of its own
PROXY, MEMORY, STATIC = "nginx proxy_pass", "nginx proxy_pass, 64k in memory", "nginx static"

PROXY_ORIGIN = """
upstream origin { server 127.0.0.1:%d; keepalive 32; }
proxy_http_version 1.1; proxy_set_header Connection ""; proxy_ssl_protocols TLSv1.3;
"""
PROXY_MEMORY = """
proxy_buffer_size 64k; proxy_buffers 8 64k; proxy_busy_buffers_size 128k; proxy_max_temp_file_size 0;
"""


@dataclass(frozen=True)
class Surroundings:
    """All of it, running."""

    site: Site
    tunnel: Tunnel
    nginx_pid: int
    ports: Mapping[str, int]  # of nginx, by what it does there
    digests: Mapping[str, str]  # of the clips


@asynccontextmanager
async def surroundings(
    sizes: Mapping[str, int], posts: Mapping[str, str], folder: Path
) -> AsyncIterator[Surroundings]:
    """Clips of these sizes, and posts by name that show one each. nginx has a clip at `/<clip>.mp4`."""
    media = folder / "media"
    media.mkdir(parents=True)
    digests = {clip: _noise(_file(media, clip), size) for clip, size in sizes.items()}
    plan = Plan(posts, {clip: str(_file(media, clip)) for clip in sizes})
    origin_port = free_port()
    ports = {name: free_port() for name in (PROXY, MEMORY, STATIC)}
    async with AsyncExitStack() as stack:
        pages = await stack.enter_async_context(site(plan, folder / "site", cores=OTHER_CORES))
        origin = _origin(pages, plan, media, origin_port)
        await stack.enter_async_context(
            nginx(folder / "origin", origin, ports=[origin_port], cores=OTHER_CORES)
        )
        way = await stack.enter_async_context(
            tunnel(
                media_hosts=MEDIA_HOSTS,
                origin_port=origin_port,
                pages_port=int(pages.proxy_url.rpartition(":")[2]),
                log=folder / "tunnel.log",
            )
        )
        rivals = _rivals(way, ports, media)
        pid = await stack.enter_async_context(
            nginx(folder / "nginx", rivals, ports=ports.values(), cores=RELAY_CORE)
        )
        yield Surroundings(pages, way, pid, ports, digests)


def _file(media: Path, clip: str) -> Path:
    return media / f"{clip}.mp4"


def _origin(pages: Site, plan: Plan, media: Path, port: int) -> str:
    """The media hosts: a file for each clip, and for each post's link the file of its clip."""
    links = "\n".join(
        f"~/{scenario.id}/play/ /{scenario.clips[0]}.mp4;" for scenario in plan.scenarios.values()
    )
    return f"""
map $uri $clip {{ default $uri; {links} }}
server {{
  listen 127.0.0.1:{port} ssl backlog=1024; root {media};
  ssl_certificate {pages.leaf_file}; ssl_certificate_key {pages.leaf_file}; ssl_protocols TLSv1.3;
  location / {{ try_files $clip =404; }}
}}"""


def _rivals(way: Tunnel, ports: Mapping[str, int], media: Path) -> str:
    def server(name: str, inner: str) -> str:
        return f"server {{ listen 127.0.0.1:{ports[name]} backlog=1024; {inner} }}"

    onward = "location / { proxy_pass https://origin; }"
    return "\n".join(
        (
            PROXY_ORIGIN % way.port,
            server(PROXY, onward),
            server(MEMORY, PROXY_MEMORY + onward),
            server(STATIC, f"root {media};"),
        )
    )


def _noise(path: Path, size: int) -> str:
    """An MP4 as far as its first box tells, and bytes that nothing can compress; their digest."""
    box = struct.pack(">I4s4sI4s", 20, b"ftyp", b"isom", 512, b"isom")
    data = box + os.urandom(size - len(box))
    path.write_bytes(data)
    return hashlib.sha256(data).hexdigest()
