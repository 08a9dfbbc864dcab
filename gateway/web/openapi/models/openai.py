"""OpenAI's answers, as models. Pure."""

from typing import Literal

from pydantic import BaseModel, RootModel

from gateway.web.openapi.models.numbers import Count, Seconds


class Usage(BaseModel):
    """What would be counted."""

    type: Literal["duration"]
    seconds: Seconds


class Spoken(BaseModel):
    """`json`."""

    text: str
    usage: Usage


class VerboseSegment(BaseModel):
    """A segment of `verbose_json`."""

    id: Count
    seek: Count
    start: Seconds
    end: Seconds
    text: str
    tokens: list[int]
    temperature: float
    avg_logprob: float | None
    compression_ratio: float | None
    no_speech_prob: float | None


class VerboseWord(BaseModel):
    """A word of `verbose_json`."""

    word: str
    start: Seconds
    end: Seconds


class Verbose(Spoken):
    """`verbose_json`."""

    task: Literal["transcribe", "translate"]
    language: str
    duration: Seconds
    segments: list[VerboseSegment] | None = None
    words: list[VerboseWord] | None = None


class Delta(BaseModel):
    """A segment's text, as soon as it is known."""

    type: Literal["transcript.text.delta"]
    delta: str


class Done(BaseModel):
    """The last event of a stream: all of the text."""

    type: Literal["transcript.text.done"]
    text: str
    usage: Usage


class OpenaiFault(BaseModel):
    """What is wrong, and with which field."""

    message: str
    type: Literal["invalid_request_error", "server_error"]
    param: str | None
    code: str


class Broken(BaseModel):
    """The last event of a stream that broke."""

    type: Literal["error"]
    error: OpenaiFault


class Streamed(RootModel[Delta | Done | Broken]):
    """An event of a stream."""


class Model(BaseModel):
    """A name of the speech model."""

    id: str
    object: Literal["model"]
    created: Count
    owned_by: str


class Models(BaseModel):
    """Its names."""

    object: Literal["list"]
    data: list[Model]
