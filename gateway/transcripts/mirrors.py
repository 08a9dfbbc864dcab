"""Transcripts that run in other gateways, as those tell them by Redis.

Always: where nothing was heard of a gateway for some seconds, or of Redis, those who follow are cut off.
"""

import asyncio
import secrets

import msgspec
import structlog

from gateway.errors import Busy, by_code
from gateway.speech.mirror import About, Mirror
from gateway.store.feed import CUT, LOGS_MAX, Feed
from gateway.store.redis import Away
from gateway.tasks import Background
from gateway.transcripts.asking import ASKED_S, FOLLOWED_S, Answer, Ask
from gateway.wire.events import End, Failed, Info, Logged, Segment
from gateway.wire.foreign import decoded

POLL_S = 0.1  # so often it is looked what has come, while somebody reads
ALIVE_S = 1.0  # so often whether it still runs
LOST_S = 6.0  # for Redis to be back, and for its logs to be written once more
ANSWER_S = 0.05

_events: msgspec.json.Decoder[Logged] = msgspec.json.Decoder(Info | Segment | End | Failed)
_about = msgspec.json.Decoder(About)
_answer = msgspec.json.Decoder(Answer)

log = structlog.get_logger()


class Mirrors:
    """Those that are read here."""

    def __init__(self, feed: Feed, process: str, background: Background, *, lost_s: float = LOST_S) -> None:
        self._feed = feed
        self._process = process
        self._background = background
        self._lost_s = lost_s
        self._open: dict[Mirror, float] = {}  # when it was heard of
        self._some = asyncio.Event()

    def __len__(self) -> int:
        return len(self._open)

    async def find(self, id_: str) -> Mirror | None:
        """A transcript that runs elsewhere, as far as it is told; None: there is none, or Redis is away."""
        try:
            (found,) = await self._feed.about([id_])
            about = _told(found)
            if about is None or about.process == self._process:
                return None
            mirror = Mirror(
                id_, about, opened=self._opened, closed=self._closed,
                cancel=lambda mirror: self.ask(mirror, Ask("cancel", mirror.id)),
            )  # fmt: skip
            mirror.handing = lambda: self._handed(mirror)
            while await self._come([mirror]):
                pass
        except Away:
            return None
        return mirror if mirror.broken is None else None

    async def ask(self, mirror: Mirror, ask: Ask) -> bool:
        """Has something done where it runs. Raises Busy where that is not to be reached, and what it does."""
        name = secrets.token_hex(16)
        try:
            await self._feed.tell(
                mirror.about.process, msgspec.json.encode(msgspec.structs.replace(ask, name=name))
            )
            async with asyncio.timeout(ASKED_S):
                while (told := await self._feed.answered(name)) is None:  # noqa: ASYNC110  # of elsewhere
                    await asyncio.sleep(ANSWER_S)
            answer = decoded(_answer, told)
        except (Away, TimeoutError, msgspec.DecodeError):
            raise Busy("The gateway in which this transcript runs does not answer. Ask again.") from None
        if answer.code is not None:
            raise by_code(answer.code, answer.text)
        return answer.done

    async def run(self) -> None:
        """Has their events come, as long as the gateway runs."""
        loop = asyncio.get_running_loop()
        alive_at = followed_at = loop.time()
        while True:
            if not self._open:
                self._some.clear()
                await self._some.wait()
                alive_at = loop.time()
            try:
                mirrors = list(self._open)
                await self._come(mirrors)
                if loop.time() - alive_at >= ALIVE_S:
                    alive_at = loop.time()
                    await self._look(mirrors)
                if loop.time() - followed_at >= FOLLOWED_S:
                    followed_at = loop.time()
                    for mirror in mirrors:
                        await self._followed(mirror)
            except Away:
                pass
            for mirror, heard_at in list(self._open.items()):
                if loop.time() - heard_at > self._lost_s:
                    mirror.cut()
            await asyncio.sleep(POLL_S)

    async def _come(self, mirrors: list[Mirror]) -> bool:
        """Gives them what has come. False: nothing has."""
        numbers: dict[str, int] = {}
        for mirror in mirrors:
            if not mirror.ending:
                run = mirror.about.run
                numbers[run] = min(len(mirror), numbers.get(run, len(mirror)))
        runs, some = list(numbers), False
        for first in range(0, len(runs), LOGS_MAX):
            found = await self._feed.read({run: numbers[run] for run in runs[first : first + LOGS_MAX]})
            for mirror in mirrors:
                if entries := found.get(mirror.about.run):
                    some = True
                    _tell(mirror, entries)
        return some

    async def _look(self, mirrors: list[Mirror]) -> None:
        """Looks whether they still run."""
        for mirror, found in zip(mirrors, await self._feed.about([one.id for one in mirrors]), strict=True):
            about = _told(found)
            if about is None:
                continue
            if about.run != mirror.about.run:
                mirror.cut()  # it was begun once more
            elif mirror in self._open:
                mirror.about = about
                self._open[mirror] = asyncio.get_running_loop().time()

    def _opened(self, mirror: Mirror) -> None:
        self._open[mirror] = asyncio.get_running_loop().time()
        self._some.set()
        self._background.start(self._followed(mirror), f"following {mirror.id}")

    def _closed(self, mirror: Mirror) -> None:
        self._open.pop(mirror, None)

    async def _followed(self, mirror: Mirror) -> None:
        try:
            await self._follow(mirror)
        except Away:
            pass  # it is told again

    async def _follow(self, mirror: Mirror) -> None:
        await self._feed.tell(mirror.about.process, msgspec.json.encode(Ask("follow", mirror.id)))

    async def _handed(self, mirror: Mirror) -> None:
        """Its words are about to be read here, which who is paid for them must know. Raises Busy."""
        if mirror.about.paid and not mirror.over:
            await self.ask(mirror, Ask("hand_out", mirror.id))


def _told(found: bytes | None) -> About | None:
    try:
        return None if found is None else decoded(_about, found)
    except msgspec.DecodeError:  # of a version that tells it otherwise
        return None


def _tell(mirror: Mirror, entries: list[tuple[int, bytes]]) -> None:
    try:
        for number, one in entries:
            if one != CUT and number < len(mirror):
                continue  # one that is less far wants it
            if one == CUT or number > len(mirror):
                mirror.cut()
                return
            mirror.tell(decoded(_events, one), number)
    except msgspec.DecodeError:
        mirror.cut()
    except Exception as failure:  # the others go on
        log.error("an event of another gateway was not told", transcript=mirror.id, exc_info=failure)
        mirror.cut()
