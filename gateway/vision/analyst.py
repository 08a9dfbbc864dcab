"""Images to analyses: kept ones first, few calls at once, each within a deadline.

Always: images that are alike are asked about once; a reply that is no analysis is asked for once more,
and then there is none; who leaves takes his call with him.
"""

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal, Protocol

import msgspec
import structlog
from pydantic import ValidationError

from gateway.errors import BadRequest, GatewayError, NotSetUp, ThumbnailAnalysisFailed
from gateway.settings import Settings
from gateway.tasks import Background, SingleFlight
from gateway.vision import picture
from gateway.vision.analysis import Analysis
from gateway.vision.client import Client, Turn, Usage
from gateway.vision.reply import Unfit, read
from gateway.vision.wording import Wording, wordings

IMAGES_MAX = 35  # the site takes no more to a post
KEEP_S = 86_400  # an image looks the same tomorrow; models and words change
TRIES_MAX = 2
WAITING_MAX = 16  # calls that may wait, for each that runs
SAID_CHARS_MAX = 8000  # of a reply that is shown to the model again
MILLION = 1_000_000

Fetch = Callable[[], Awaitable[bytes]]  # an image's bytes, from wherever it is; raises a GatewayError

log = structlog.get_logger()


class Cache(Protocol):
    """Bytes by name, for a time."""

    async def get(self, name: str) -> bytes | None:
        """What is kept under a name, None where nothing is."""

    async def put(self, name: str, value: bytes, ttl_s: float) -> None:
        """Keeps a value for so long at the most."""


class Convert(Protocol):
    """Any image to a JPEG that is small enough to be sent."""

    async def __call__(self, image: bytes) -> bytes:
        """Raises a GatewayError where it cannot be read."""


class Counts(msgspec.Struct):
    """What came of the images, since the start; metrics read it."""

    analysed: int = 0
    kept: int = 0  # known from before, without a call
    failed: int = 0
    asked_again: int = 0  # replies that did not fit


class Analyst:
    """Looks at images, by a vision model."""

    def __init__(
        self, client: Client, settings: Settings, background: Background, *, cache: Cache, convert: Convert
    ) -> None:
        self.counts = Counts()
        self._client = client
        self._cache = cache
        self._convert = convert
        self._wordings = wordings()
        self._language = settings.analysis_language
        if self._language not in self._wordings:
            raise NotSetUp(f"DEFAULT_ANALYSIS_LANGUAGE is one of {', '.join(self._wordings)}.")
        self._deadline_s = settings.vision_s
        self._turns = asyncio.Semaphore(settings.vision_parallel)
        self._room = settings.vision_parallel * (1 + WAITING_MAX)
        self._prices = settings.vision_input_price, settings.vision_output_price
        self._flights: SingleFlight[str, Analysis] = SingleFlight(background, "analysis")

    @property
    def state(self) -> Literal["healthy", "unhealthy"]:
        """Whether the API was there when it was last needed."""
        return "healthy" if self._client.well else "unhealthy"

    @property
    def usage(self) -> Usage:
        """What the calls have used."""
        return self._client.usage

    @property
    def cost(self) -> float | None:
        """What they have cost, in the money of the prices; None where those are not set."""
        if None in self._prices:
            return None
        into, out_of = (price or 0.0 for price in self._prices)
        return (self.usage.input_tokens * into + self.usage.output_tokens * out_of) / MILLION

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages that there are words for."""
        return tuple(self._wordings)

    async def start(self) -> None:
        """Loads what takes a while, so that no request waits for it."""
        await self._client.start()

    async def close(self) -> None:
        """Closes the connections. Nothing may be analysed any more."""
        await self._client.close()

    async def analyse_all(
        self, images: Sequence[Fetch], language: str | None = None
    ) -> list[Analysis | ThumbnailAnalysisFailed]:
        """What came of each image, in their order. Raises BadRequest."""
        if len(images) > IMAGES_MAX:
            raise BadRequest(f"At most {IMAGES_MAX} images are looked at together.")
        self._wording(language)

        async def one(image: Fetch) -> Analysis | ThumbnailAnalysisFailed:
            try:
                return await self.analyse(image, language)
            except ThumbnailAnalysisFailed as failure:
                return failure

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(image)) for image in images]
        return [task.result() for task in tasks]

    async def analyse(self, image: Fetch, language: str | None = None) -> Analysis:
        """What is to be seen in an image. Raises BadRequest, ThumbnailAnalysisFailed."""
        wording = self._wording(language)
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._analysed(image, wording)
        except TimeoutError:
            self.counts.failed += 1
            raise ThumbnailAnalysisFailed("The thumbnail was not analysed in time.") from None
        except ThumbnailAnalysisFailed:
            self.counts.failed += 1
            raise
        except GatewayError as failure:
            self.counts.failed += 1
            raise ThumbnailAnalysisFailed(f"The thumbnail could not be had. {failure.message}") from failure

    def _wording(self, language: str | None) -> Wording:
        code = self._language if language is None else language
        if code not in self._wordings:
            raise BadRequest(f"Thumbnails are described in {', '.join(self._wordings)}.")
        return self._wordings[code]

    async def _analysed(self, image: Fetch, wording: Wording) -> Analysis:
        data = await image()
        if len(data) > picture.IMAGE_BYTES_MAX:
            raise ThumbnailAnalysisFailed("The thumbnail is larger than this server accepts.")
        if picture.media_type(data) is None:
            raise ThumbnailAnalysisFailed("The thumbnail is no JPEG, PNG, WebP, GIF, HEIC or AVIF.")
        digest = await asyncio.to_thread(lambda: hashlib.sha256(data).hexdigest())
        name = f"vision {digest} {wording.digest} {self._client.model}"
        kept = _kept(await self._cache.get(name))
        if kept is not None:
            self.counts.kept += 1
            return kept
        return await self._flights.run(name, partial(self._asked, name, data, wording))

    async def _asked(self, name: str, data: bytes, wording: Wording) -> Analysis:
        """A new analysis, which is kept."""
        if self._room <= 0:
            raise ThumbnailAnalysisFailed("Too many thumbnails wait to be analysed.", retry_after_s=5)
        self._room -= 1
        try:
            ends_at = time.monotonic() + self._deadline_s
            async with asyncio.timeout(self._deadline_s), self._turns:
                found = await self._told(data, wording, ends_at)
        finally:
            self._room += 1
        self.counts.analysed += 1
        await self._cache.put(name, found.model_dump_json().encode(), KEEP_S)
        return found

    async def _told(self, data: bytes, wording: Wording, ends_at: float) -> Analysis:
        """What the model says, asked once more where that is no analysis."""
        if not picture.sendable(data):
            data = await self._convert(data)
        first = Turn("user", wording.ask, data, picture.media_type(data) or "image/jpeg")
        turns = [Turn("system", wording.instruction), first]
        for tries in range(1, TRIES_MAX + 1):
            said = await self._client.ask(turns, ends_at)
            try:
                if said.flaw is not None:
                    raise Unfit(said.flaw)
                return read(said.text)
            except Unfit as unfit:
                log.info("analysis does not fit", reason=str(unfit), tries=tries)
                if tries < TRIES_MAX:
                    self.counts.asked_again += 1
                    answer = [Turn("assistant", said.text[:SAID_CHARS_MAX])] if said.text else []
                    turns = [*turns[:2], *answer, Turn("user", wording.retold(str(unfit)))]
        raise ThumbnailAnalysisFailed("The vision model did not describe the thumbnail as it should.")


def _kept(value: bytes | None) -> Analysis | None:
    """What was kept; None for nothing, and for what another version has kept otherwise."""
    try:
        return None if value is None else Analysis.model_validate_json(value)
    except ValidationError:
        return None
