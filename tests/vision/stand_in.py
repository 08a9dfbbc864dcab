"""A vision API of the tests: it answers chat completions as it is told to, over a real socket."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

ANALYSIS: dict[str, Any] = {
    "visual_style": "minimalist", "setting": "kitchen", "people_count": 2, "camera_angle": "eye level",
    "text_overlay_style": "bold white caption", "color_scheme": "warm pastels",
    "hook_elements": ["a burning pan"], "confidence_score": 0.85, "composition_type": "centred",
    "focal_point": "the pan", "lighting_quality": "natural", "mood_emotion": "excited",
    "brand_elements": [], "story_stage": "opening hook", "call_to_action_visible": False,
    "product_prominence": "none", "production_quality": "amateur", "background_complexity": "moderate",
    "props_objects": ["pan", "apron"], "visual_interest_level": "high", "scroll_stopping_power": "strong",
    "target_demographic": "young adults", "content_category": "cooking", "pacing_indicator": "fast",
    "transition_style": "none",
}  # fmt: skip
GOOD = json.dumps(ANALYSIS)

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Api:
    """What it was asked, and what it answers, in turn; the last answer stays."""

    def __init__(self) -> None:
        self.url = ""
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.answers: list[Answer] = [says(GOOD)]
        self.running = self.running_most = self.left = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_post("/v1/chat/completions", self._complete)
        return app

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json())
        self.keys.append(request.headers["Authorization"])
        self.running += 1
        self.running_most = max(self.running, self.running_most)
        try:
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            return await answer(request)
        except asyncio.CancelledError:
            self.left += 1
            raise
        finally:
            self.running -= 1


def says(text: str | None, *, finish: str = "stop", **message: Any) -> Answer:
    """A reply of the model."""

    async def answer(request: web.Request) -> web.Response:
        said = {"role": "assistant", "content": text, **message}
        return web.json_response(
            {
                "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o",
                "choices": [{"index": 0, "message": said, "finish_reason": finish}],
                "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200},
            }
        )  # fmt: skip

    return answer


def fails(status: int, code: str | None = None, **headers: str) -> Answer:
    """An error as the API tells it."""

    async def answer(request: web.Request) -> web.Response:
        error = {"message": "secret words of the API", "type": "error", "code": code, "param": None}
        return web.json_response(
            {"error": error},
            status=status,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    return answer


def sends(body: str, media_type: str = "application/json") -> Answer:
    """Any answer with status 200."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text=body, content_type=media_type)

    return answer


def hangs() -> Answer:
    """Nothing, for longer than anybody waits."""

    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(600)
        raise AssertionError

    return answer


def cuts() -> Answer:
    """A connection that ends inside the answer."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "999"})
        await response.prepare(request)
        await response.write(b'{"id": "chatcmpl-1", "choi')
        assert request.transport is not None
        request.transport.abort()
        return response

    return answer


def waits(until: asyncio.Event, then: Answer) -> Answer:
    """An answer once something has happened."""

    async def answer(request: web.Request) -> web.StreamResponse:
        await until.wait()
        return await then(request)

    return answer


def without_schema(then: Answer) -> Answer:
    """A server that does not know response_format."""

    async def answer(request: web.Request) -> web.StreamResponse:
        known = "response_format" not in await request.json()
        return await (then if known else fails(400))(request)

    return answer
