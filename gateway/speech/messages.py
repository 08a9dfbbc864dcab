"""What crosses the pipes between the gateway and a speech worker: one length, one msgpack value."""

import struct
from collections.abc import Iterator
from typing import BinaryIO, Literal

import msgspec

from gateway.wire.events import Segment

Task = Literal["transcribe", "translate"]

HEAD = struct.Struct(">I")  # length of the message that follows


class Options(msgspec.Struct, frozen=True):
    """What is wanted of a transcript."""

    language: str | None = None  # None: detected on the first speech
    task: Task = "transcribe"
    words: bool = False
    prompt: str | None = None  # text that the model is told came before
    hotwords: str | None = None  # words that the model is told to expect
    temperature: float = 0.0  # of the first try; 0 is the beam


class Job(msgspec.Struct, frozen=True):
    """A window as the model gets it."""

    samples: bytes
    marks: tuple[tuple[int, int], ...]
    options: Options
    before: str | None = None  # the language heard in the sound before; it may have changed since
    trace: dict[str, str] | None = None  # the span that the work is below, where traces are told


class Recognised(msgspec.Struct, frozen=True):
    """A window's answer. Ids and times of its segments count from the window's start."""

    segments: tuple[Segment, ...]
    language: str
    probability: float | None  # None where the language was given


# to the worker


class Batch(msgspec.Struct, frozen=True, tag="batch"):
    """Windows of equal encoder context, prompt, hotwords and temperature."""

    jobs: tuple[Job, ...]


# from the worker


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """The model is loaded."""


class Heard(msgspec.Struct, frozen=True, tag="heard"):
    """The language of a window, told before its text."""

    job: int
    language: str
    probability: float | None


class Answer(msgspec.Struct, frozen=True, tag="answer"):
    """One window is done."""

    job: int
    recognised: Recognised


class Crashed(msgspec.Struct, frozen=True, tag="crashed"):
    """The worker ends because of this; for the log only."""

    traceback: str


FromWorker = Ready | Heard | Answer | Crashed

_encoder = msgspec.msgpack.Encoder()
_from_worker: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)
_to_worker: msgspec.msgpack.Decoder[Batch] = msgspec.msgpack.Decoder(Batch)


def framed(message: msgspec.Struct) -> bytes:
    """A message as it is written."""
    body = _encoder.encode(message)
    return HEAD.pack(len(body)) + body


def bodies(source: BinaryIO) -> Iterator[bytes]:
    """The messages that come, as they were written, until the other end is closed."""
    while len(head := source.read(HEAD.size)) == HEAD.size:
        size = HEAD.unpack(head)[0]
        body = source.read(size)
        if len(body) < size:
            return
        yield body


def from_worker(body: bytes) -> FromWorker:
    """What a worker said."""
    return _from_worker.decode(body)


def to_worker(body: bytes) -> Batch:
    """What a worker is told."""
    return _to_worker.decode(body)
