"""nginx with a configuration and a folder of our own: as the origin, and as what we compare with."""

import asyncio
import os
import re
import subprocess
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

from tests import debian
from tests.bench.process import ROOT, BenchFailed, child

DEPLOY = ROOT / "docs" / "deploy"
START_S = 10

# as Debian's configuration has it
COMMON = """
sendfile on; tcp_nopush on; access_log off; default_type video/mp4;
keepalive_requests 100000;
client_body_temp_path tmp-body; proxy_temp_path tmp-proxy; fastcgi_temp_path tmp-fastcgi;
uwsgi_temp_path tmp-uwsgi; scgi_temp_path tmp-scgi;
"""


def program() -> Path:
    """Debian's nginx, unpacked beside the tests. Raises BenchFailed."""
    try:
        return debian.unpacked("nginx") / "usr/sbin/nginx"
    except (OSError, subprocess.CalledProcessError) as failure:
        raise BenchFailed(f"there is no nginx: {failure}") from failure


def published(name: str, port: int, *gateways: int) -> str:
    """A site of docs/deploy as it is told there, but at this port and before the gateways at theirs."""
    site = (DEPLOY / name).read_text("utf-8").replace("listen [::]:80;", "")
    servers = " ".join(f"server 127.0.0.1:{gateway};" for gateway in gateways)
    for told, here in ((r"\blisten 80;", f"listen 127.0.0.1:{port};"), (r"\bserver [\w.]+:8000;", servers)):
        site, found = re.subn(told, here, site)
        assert found == 1, told
    return site


@asynccontextmanager
async def nginx(
    folder: Path, servers: str, *, ports: Collection[int], cores: Collection[int]
) -> AsyncIterator[int]:
    """A running nginx with these `server` blocks; its process id."""
    command = await asyncio.to_thread(program)
    folder.mkdir(parents=True)
    user = "user root;" if os.geteuid() == 0 else ""  # the folder is ours alone
    conf = folder / "nginx.conf"
    conf.write_text(
        f"{user} daemon off; worker_processes 1; pid nginx.pid; error_log error.log warn;\n"
        f"events {{ worker_connections 4096; }}\nhttp {{ {COMMON}\n{servers}\n}}\n"
    )
    log = folder / "error.log"
    async with child(command, "-p", folder, "-c", conf, "-e", log, cores=cores, log=log) as process:
        await _listening(process, ports, log)
        yield process.pid


async def _listening(process: asyncio.subprocess.Process, ports: Collection[int], log: Path) -> None:
    async with asyncio.timeout(START_S):
        for port in ports:
            while True:
                if process.returncode is not None:
                    raise BenchFailed(f"nginx did not start: {log.read_text()}")
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                writer.close()
                break
