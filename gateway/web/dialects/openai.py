"""OpenAI's audio API: transcriptions and translations of uploads, the models, and its errors."""

import time
from contextlib import aclosing
from typing import Any

import msgspec
import orjson
from aiohttp import web

from gateway import errors
from gateway.errors import GatewayError, MediaUndecodable, VideoTooLong
from gateway.settings import Settings
from gateway.speech.languages import NAMES
from gateway.speech.messages import Task
from gateway.web import params, stream, upload
from gateway.web.auth import CALLER
from gateway.web.dialects.openai_fields import FIELDS, GRANULARITIES, Body
from gateway.web.keys import GATEWAY
from gateway.web.middleware import Dialect
from gateway.web.params import Invalid, fault
from gateway.web.relay import Relay
from gateway.web.upload import Upload
from gateway.wire import subtitles
from gateway.wire.events import End, Failed, Info, Segment, text_of

ALIASES = ("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe")  # served by the model there is
_SINCE = int(time.time())  # when this process began to offer its model


class ModelNotFound(GatewayError):
    code, status = "MODEL_NOT_FOUND", 404
    text = "The model does not exist here. GET /v1/models lists those that do."


class Heard(msgspec.Struct):
    """A whole transcript."""

    language: str | None = None
    duration: float = 0
    segments: list[Segment] = []

    @property
    def usage(self) -> dict[str, Any]:
        """What would be counted."""
        return {"type": "duration", "seconds": self.duration}


async def transcriptions(request: web.Request) -> web.StreamResponse:
    """The words of an upload: at once when all are there, or as a stream."""
    _check_form(request)
    async with upload.received(request, FIELDS) as body:
        if "model" not in body.fields:
            await body.whole()  # the file came first
        wish = _wish(request, body)
        if wish.stream:
            return await _stream(request, body, wish)
        heard = await _heard(request, body, "transcribe")
        last = _wish(request, body)
        if last.stream:
            raise Invalid([fault(("stream",), "Send `stream` before the file, or the file first.", "order")])
        return _told(heard, last, "transcribe")


async def translations(request: web.Request) -> web.StreamResponse:
    """What an upload says, in English."""
    _check_form(request)
    async with upload.received(request, FIELDS - {"language", "stream"}) as body:
        if "model" not in body.fields:
            await body.whole()
        heard = await _heard(request, body, "translate")
        return _told(heard, _wish(request, body), "translate")


async def models(request: web.Request) -> web.Response:
    """The model there is, by all of its names."""
    names = _models(request.app[GATEWAY].settings)
    return _json({"object": "list", "data": [_model(name) for name in names]})


async def model(request: web.Request) -> web.Response:
    """One name of it."""
    name = request.match_info["model"]
    if name not in _models(request.app[GATEWAY].settings):
        raise ModelNotFound
    return _json(_model(name))


def _check_form(request: web.Request) -> None:
    if not upload.is_form(request):
        raise Invalid([fault((upload.FILE,), "Send multipart/form-data, the media as `file`.", "missing")])


def _wish(request: web.Request, body: Upload) -> Body:
    """The fields that have come. Raises Invalid and ModelNotFound."""
    fields = {
        name: values if name.startswith(GRANULARITIES) else values[-1] for name, values in body.fields.items()
    }
    wish = params.fields(Body, {}, fields)
    if wish.model not in _models(request.app[GATEWAY].settings):
        raise ModelNotFound
    return wish


async def _heard(request: web.Request, body: Upload, task: Task) -> Heard:
    """The whole transcript, which ends after the body does: by then all fields have come.

    A field behind the file may want other words than those that are being recognised: then again.
    """
    gateway = request.app[GATEWAY]
    while True:
        options = _wish(request, body).options(task)
        heard = Heard()
        body.place.leave()
        transcript = gateway.hearing.uploaded(body.key, body.fill, options, owner=request[CALLER].account.id)
        async with aclosing(transcript.follow()) as log:
            async for _, event in log:
                if _wish(request, body).options(task) != options:
                    break
                match event:
                    case Info():
                        heard.language = event.language
                    case Segment():
                        heard.segments.append(event)
                    case Failed():
                        raise errors.by_code(event.code, event.message)
                    case End():
                        heard.duration = event.duration
                        return heard


async def _stream(request: web.Request, body: Upload, wish: Body) -> web.StreamResponse:
    """A delta for each segment as it is recognised, then all of the text once more.

    A failure before the first event is an answer; later it is an event, and a broken connection.
    """
    gateway = request.app[GATEWAY]
    body.seal()
    body.place.leave()
    owner = request[CALLER].account.id
    transcript = gateway.hearing.uploaded(body.key, body.fill, wish.options("transcribe"), owner=owner)
    async with aclosing(transcript.follow()) as log:
        _, event = await anext(log)
        if isinstance(event, Failed):
            raise errors.by_code(event.code, event.message)
        response = await stream.begun(
            request, {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        )
        relay = Relay(request, response, stall_s=gateway.settings.client_stall_s)
        text = ""
        async for _, event in log:
            match event:
                case Segment() if event.text.strip():
                    delta = f"{' ' if text else ''}{event.text.strip()}"
                    text += delta
                    await relay.write(_event({"type": "transcript.text.delta", "delta": delta}))
                case Failed():
                    failure = errors.by_code(event.code, event.message)
                    await relay.write(_event({"type": "error", **_error(failure)}))
                    await relay.emptied()
                    raise failure
                case End():
                    usage = Heard(duration=event.duration).usage
                    await relay.write(_event({"type": "transcript.text.done", "text": text, "usage": usage}))
    await relay.end()
    return response


def _event(data: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(data) + b"\n\n"


def _told(heard: Heard, wish: Body, task: Task) -> web.Response:
    """A transcript in the form that was asked for."""
    text = text_of(heard.segments)
    spoken = [segment for segment in heard.segments if segment.text.strip()]
    match wish.response_format:
        case "text":
            return web.Response(text=text + "\n")
        case "srt":
            return web.Response(text="".join(map(subtitles.srt, spoken)), content_type="application/x-subrip")
        case "vtt":
            cues = subtitles.VTT_HEAD + "".join(map(subtitles.vtt, spoken))
            return web.Response(text=cues, content_type="text/vtt")
        case "verbose_json":
            return _json(_verbose(heard, wish, task, text))
        case "json":
            return _json({"text": text, "usage": heard.usage})


def _verbose(heard: Heard, wish: Body, task: Task, text: str) -> dict[str, Any]:
    code = "en" if task == "translate" else heard.language or ""
    told: dict[str, Any] = {
        "task": task,
        "language": NAMES.get(code, code),
        "duration": heard.duration,
        "text": text,
        "usage": heard.usage,
    }
    if wish.timestamp_granularities != ("word",):
        told["segments"] = [_segment(segment, wish.temperature) for segment in heard.segments]
    if "word" in wish.timestamp_granularities:
        told["words"] = [
            {"word": word.word.strip(), "start": word.start, "end": word.end}
            for segment in heard.segments
            for word in segment.words or ()
        ]
    return told


def _segment(segment: Segment, temperature: float) -> dict[str, Any]:
    return {
        "id": segment.id,
        "seek": round(segment.start * 100),  # in the model's frames
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": [],
        "temperature": temperature,
        "avg_logprob": segment.avg_logprob,
        "compression_ratio": segment.compression_ratio,
        "no_speech_prob": segment.no_speech_prob,
    }


def _models(settings: Settings) -> tuple[str, ...]:
    """The names of the server's model, its own first; one in a folder has the folder's."""
    return (settings.model_name, *ALIASES)


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": _SINCE, "owned_by": "clipwire"}


def _json(body: object) -> web.Response:
    return web.Response(body=orjson.dumps(body), content_type="application/json")


def shape(error: GatewayError, request_id: str) -> tuple[int, Any]:
    """An error as documented; its code is ours in lower case."""
    return error.status, _error(error)


def _error(error: GatewayError) -> dict[str, Any]:
    param: str | None = None
    match error:
        case Invalid(faults=[{"loc": [_, at, *_]}, *_]):
            param = str(at)
        case ModelNotFound():
            param = "model"
        case MediaUndecodable() | VideoTooLong():
            param = upload.FILE
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    told = {"message": error.message, "type": kind, "param": param, "code": error.code.lower()}
    return {"error": told}


OPENAI = Dialect("openai", shape)
