"""Chat completions with an image, of OpenAI or whoever speaks like it. The only file that knows `openai`.

The package takes a second to load: it is loaded in a thread when the gateway starts, and only where it
is to be used. Always: a call ends by `ends_at`, the tries that it takes together; what the API says of
a failure is logged and not told.
"""

import asyncio
import base64
import importlib.util
import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from gateway.errors import NotSetUp, ThumbnailAnalysisFailed
from gateway.vision.analysis import schema

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

TEMPERATURE = 0.1
REPLY_TOKENS_MAX = 2000  # thrice the longest analysis
TRIES_MAX = 3
AGAIN_S = 0.5  # before the next try, doubled each time, where the API does not say
AGAIN_STATUSES = (408, 409, 429)  # and what is above 499: another time it may work
REFUSED_KEY = (401, 403)
FAULTS_OF_OURS = (400, 413, 422)  # of one image, not of the API
SAID_CHARS_MAX = 300  # of the API's own words, for the log

log = structlog.get_logger()


class Turn(msgspec.Struct, frozen=True):
    """Something that was said: by us, with an image or without, or by the model."""

    role: str
    text: str
    image: bytes | None = None
    media_type: str = ""

    def message(self) -> dict[str, Any]:
        """As the API wants it."""
        if self.image is None:
            return {"role": self.role, "content": self.text}
        url = f"data:{self.media_type};base64,{base64.b64encode(self.image).decode()}"
        image = {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
        return {"role": self.role, "content": [{"type": "text", "text": self.text}, image]}


class Said(msgspec.Struct, frozen=True):
    """A reply. `flaw`: why it is none, in words for the model."""

    text: str
    flaw: str | None = None


class Usage(msgspec.Struct):
    """What was used, since the start; metrics read it."""

    calls: int = 0
    calls_failed: int = 0
    seconds: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0


class Client:
    """A vision model behind an OpenAI-shaped API."""

    def __init__(self, *, key: str, base_url: str | None, model: str, call_s: float) -> None:
        if importlib.util.find_spec("openai") is None:
            raise NotSetUp("OPENAI_API_KEY is set and its package is missing: pip install clipwire[vision]")
        self.model = model
        self.usage = Usage()
        self.well = True  # whether the API was there when it was last needed, and let us in
        self._key = key
        self._base_url = base_url
        self._call_s = call_s
        self._schema: bool | None = None  # whether the API takes response_format; None: not known yet
        self._openai: AsyncOpenAI | None = None
        self._loading = asyncio.Lock()

    async def start(self) -> None:
        """Loads the package and opens the client, once."""
        async with self._loading:
            if self._openai is None:
                self._openai = await asyncio.to_thread(self._opened)

    def _opened(self) -> "AsyncOpenAI":
        from openai import AsyncOpenAI

        # tries are counted here: the package's own would not know when the call has to end
        client = AsyncOpenAI(api_key=self._key, base_url=self._base_url, timeout=self._call_s, max_retries=0)
        # what else it loads and looks up at a first call, a tenth of a second of it
        _ = client.chat.completions.with_raw_response, client.platform_headers()
        return client

    async def close(self) -> None:
        """Closes its connections."""
        if self._openai is not None:
            await self._openai.close()

    async def ask(self, turns: Sequence[Turn], ends_at: float) -> Said:
        """What the model says, tried again while there is time. Raises ThumbnailAnalysisFailed."""
        await self.start()  # before the import: it is done by then
        from openai import APIConnectionError, APIError, APIStatusError

        messages = await asyncio.to_thread(lambda: [turn.message() for turn in turns])
        tries = 0
        while True:
            tries += 1
            try:
                said = await self._asked(messages)
                self.well = True
                return said
            except APIStatusError as error:
                self.well = error.status_code in FAULTS_OF_OURS
                wait_s = _wait_s(error, tries)
                failure = self._refused(error, wait_s)
            except APIConnectionError as error:
                self.well = False
                wait_s = _after(tries)
                failure = ThumbnailAnalysisFailed("The vision API could not be reached.")
                log.warning("vision API not reached", reason=repr(error.__cause__ or error)[:SAID_CHARS_MAX])
            except (APIError, ValueError, RecursionError) as error:
                self.well = False
                log.warning("vision API not understood", reason=repr(error)[:SAID_CHARS_MAX])
                raise ThumbnailAnalysisFailed(
                    "The vision API answered in a way that is not understood."
                ) from None
            if wait_s is None or tries >= TRIES_MAX or time.monotonic() + wait_s >= ends_at:
                raise failure
            await asyncio.sleep(wait_s)

    async def _asked(self, messages: list[dict[str, Any]]) -> Said:
        """One answer; a server that may not know the schema is asked once more without."""
        from openai import BadRequestError, NotFoundError, UnprocessableEntityError

        if self._schema is False:
            return await self._completed(messages)
        try:
            said = await self._completed(messages, response_format=_FORMAT)
        except (BadRequestError, NotFoundError, UnprocessableEntityError):
            if self._schema:  # it was taken before: something else is wrong
                raise
            said = await self._completed(messages)
            self._schema = False
            log.info("vision API asked without a schema", model=self.model)
            return said
        self._schema = True
        return said

    async def _completed(self, messages: list[dict[str, Any]], **more: Any) -> Said:
        assert self._openai is not None
        usage, began = self.usage, time.monotonic()
        usage.calls += 1
        try:
            raw = await self._openai.chat.completions.with_raw_response.create(
                model=self.model,
                messages=messages,  # type: ignore[arg-type]  # unions of typed dicts
                temperature=TEMPERATURE,
                max_tokens=REPLY_TOKENS_MAX,
                **more,
            )
            # read here: the package takes what has the wrong type as it is
            answer = msgspec.json.decode(raw.content, type=_Answer)
        except BaseException:
            usage.calls_failed += 1
            raise
        finally:
            usage.seconds += time.monotonic() - began
        if answer.usage is not None:
            usage.input_tokens += max(0, answer.usage.prompt_tokens or 0)
            usage.output_tokens += max(0, answer.usage.completion_tokens or 0)
        return _said(answer)

    def _refused(self, error: "APIStatusError", wait_s: float | None) -> ThumbnailAnalysisFailed:
        """The failure that a status stands for."""
        status = error.status_code
        words = error.message.replace(self._key, "(key)")[:SAID_CHARS_MAX]
        log.warning("vision API refused", status=status, kind=error.code, reason=words)
        if status in REFUSED_KEY:
            return ThumbnailAnalysisFailed("The vision API does not take this server's key.")
        if status == 429:
            after = None if wait_s is None else math.ceil(wait_s)
            return ThumbnailAnalysisFailed("The vision API is limiting this server.", retry_after_s=after)
        if status == 404:
            return ThumbnailAnalysisFailed("The vision API does not know the model.")
        return ThumbnailAnalysisFailed(f"The vision API answered with HTTP {status}.")


class _Message(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Tokens(msgspec.Struct):
    prompt_tokens: int | None = None  # some servers count nothing
    completion_tokens: int | None = None


class _Answer(msgspec.Struct):
    choices: list[_Choice]
    usage: _Tokens | None = None


def _said(answer: _Answer) -> Said:
    if not answer.choices:
        return Said("", "There was no reply.")
    choice = answer.choices[0]
    text = choice.message.content or ""
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return Said(choice.message.refusal or text, "The picture was not described.")
    if choice.finish_reason == "length":
        return Said(text, "The reply was cut off: it was too long.")
    return Said(text)


def _wait_s(error: "APIStatusError", tries: int) -> float | None:
    """How long to wait before the next try; None where no other try helps."""
    if error.status_code not in AGAIN_STATUSES and error.status_code < 500:
        return None
    if error.code == "insufficient_quota":  # told as 429; only the operator can help
        return None
    try:
        told = float(error.response.headers.get("Retry-After", ""))
    except ValueError:  # there is none, or it is a date, which nobody sends here
        return _after(tries)
    return told if 0 <= told < math.inf else _after(tries)


def _after(tries: int) -> float:
    wait_s: float = AGAIN_S * 2 ** (tries - 1)
    return wait_s


_FORMAT = {
    "type": "json_schema",
    "json_schema": {"name": "analysis", "strict": True, "schema": schema()},
}
