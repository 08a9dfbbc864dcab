"""The stand-in for the site as a process of its own, with posts of the bench's making."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench.process import CORES, child, line, module, say
from tests.origin import media, scenarios
from tests.origin.origin import Origin
from tests.origin.scenarios import Scenario


@dataclass(frozen=True)
class Plan:
    """Video posts by name, each with the clip that it shows; `files` are clips that the origin has not."""

    posts: Mapping[str, str]
    files: Mapping[str, str] | None = None

    @property
    def scenarios(self) -> dict[str, Scenario]:
        """The same posts as the origin knows them."""
        return {
            name: Scenario(id=f"76{number:017}", clips=(clip,), duration_s=60 if "big" in clip else None)
            for number, (name, clip) in enumerate(self.posts.items())
        }


class Site:
    """The running stand-in, as a bench holds it."""

    def __init__(self, plan: Plan, process: asyncio.subprocess.Process, proxy_url: str, folder: Path) -> None:
        self._posts = plan.scenarios
        self._process = process
        self.proxy_url = proxy_url
        self.ca_file = folder / "origin-ca.pem"
        self.leaf_file = folder / "origin-leaf.pem"

    @property
    def settings(self) -> dict[str, str]:
        """The gateway's environment that leads it here."""
        return {"GATEWAY_PROXY_URL": self.proxy_url, "GATEWAY_PROXY_CA_FILE": str(self.ca_file)}

    def url(self, name: str) -> str:
        """The address of a post."""
        return self._posts[name].url

    async def pace(self, bytes_per_s: int | None) -> None:
        """How fast each media answer flows from now on."""
        await self._ask("pace", bytes_per_s)

    async def sent(self, name: str) -> int:
        """Media bytes of a post that were handed to the network."""
        return int(await self._ask("sent", name))

    async def _ask(self, what: str, of: object) -> object:
        await say(self._process, json.dumps([what, of]).encode())
        return json.loads(await line(self._process, "the site"))


@asynccontextmanager
async def site(plan: Plan, folder: Path, *, cores: Collection[int] = CORES) -> AsyncIterator[Site]:
    """A running stand-in for the site."""
    folder.mkdir(parents=True, exist_ok=True)
    async with child(*module("tests.bench.site"), folder, cores=cores, log=folder / "log") as process:
        await say(process, json.dumps({"posts": dict(plan.posts), "files": dict(plan.files or {})}).encode())
        proxy_url = json.loads(await line(process, "the site"))
        yield Site(plan, process, proxy_url, folder)


# The child


async def main(folder: Path) -> None:
    """Answers until its standard input ends."""
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asyncio.current_task().cancel)  # type: ignore[union-attr]
    told = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(told), sys.stdin)
    plan = Plan(**json.loads(await told.readline()))
    # tables of the origin: what is in them when it begins, it shows
    media.FILES.update(plan.files or {})
    scenarios.SCENARIOS.update(plan.scenarios)
    async with Origin(folder) as origin:
        for clip in set(plan.posts.values()):
            next(origin.parts(name) for name in plan.posts if plan.posts[name] == clip)  # made ahead
        _tell(origin.proxy_url)
        while asked := await told.readline():
            match json.loads(asked):
                case ["pace", bytes_per_s]:
                    origin.pace(bytes_per_s)
                    _tell(None)
                case ["sent", name]:
                    _tell(origin.bytes_sent[name])


def _tell(answer: object) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1])))
    except asyncio.CancelledError:
        pass
