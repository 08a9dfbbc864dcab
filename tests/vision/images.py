"""Pictures of the tests, encoded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from typing import Literal

import av

from tests.origin.drawing import scene

Kind = Literal["jpeg", "png", "webp", "avif"]
_MADE_BY = {
    "jpeg": ("image2pipe", "mjpeg", "yuvj420p"),
    "png": ("image2pipe", "png", "rgb24"),
    "webp": ("webp", "libwebp", "yuv420p"),
    "avif": ("avif", "libsvtav1", "yuv420p"),
}


@cache
def image(kind: Kind = "jpeg", width: int = 96, height: int = 160, word: str = "CAT") -> bytes:
    """A drawn picture in a format."""
    with _scheduled_as_before():
        return _encoded(kind, width, height, word)


def _encoded(kind: Kind, width: int, height: int, word: str) -> bytes:
    container, codec, pixels = _MADE_BY[kind]
    file = BytesIO()
    with av.open(file, "w", format=container) as out:
        stream = out.add_stream(codec)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        picture = scene(width, height, hue=0.3, turn=0.2, word=word)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return file.getvalue()


@contextmanager
def _scheduled_as_before() -> Iterator[None]:
    """SVT-AV1 makes this process, where it is root's, and all that it starts one of real time: they would
    keep everything else on the machine from running."""
    policy, param = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, param)


def size(data: bytes) -> tuple[int, int]:
    """Width and height of an encoded picture."""
    with av.open(BytesIO(data)) as file:
        frame = next(file.decode(video=0))
        return frame.width, frame.height
