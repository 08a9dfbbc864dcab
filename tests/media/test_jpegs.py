"""Any image to a JPEG: of every kind, small enough, and a malformed one is a failure of its own."""

import asyncio
from io import BytesIO

import av
import numpy as np
import pytest

from gateway import spawn
from gateway.errors import MediaUndecodable
from gateway.media.jpegs import SIDE_MAX, Jpegs
from tests.media.test_slideshow import heic, quarters
from tests.origin.drawing import scene
from tests.vision.images import Kind, image, size


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "avif"])
async def test_each_kind_is_the_same_picture_as_a_jpeg(kind: Kind) -> None:
    made = await Jpegs()(image(kind, 480, 640))
    assert made.startswith(b"\xff\xd8\xff")
    with av.open(BytesIO(made)) as file:
        shown = next(file.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    assert np.abs(shown - scene(480, 640, hue=0.3, turn=0.2, word="CAT")).mean() < 6


async def test_a_heic_is_read() -> None:
    assert (await Jpegs()(heic(quarters()))).startswith(b"\xff\xd8\xff")


async def test_a_large_one_is_made_smaller() -> None:
    width, height = size(await Jpegs()(image("jpeg", 3000, 1000)))
    assert (width, height) == (SIDE_MAX, 682)


@pytest.mark.parametrize(
    "data",
    [b"", b"<html>", image("jpeg")[:60], image("png")[:200], image("avif")[:100],
     b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\xff" * 40],
    ids=["nothing", "a page", "cut JPEG", "cut PNG", "cut AVIF", "endless"],
)  # fmt: skip
async def test_what_cannot_be_read_is_said_so(data: bytes) -> None:
    with pytest.raises(MediaUndecodable):
        await Jpegs()(data)


async def test_many_are_made_and_who_leaves_leaves_no_child(monkeypatch: pytest.MonkeyPatch) -> None:
    jpegs = Jpegs()
    made = await asyncio.gather(*(jpegs(image("png")) for _ in range(4)))
    assert len(set(made)) == 1
    children: list[spawn.Piped] = []
    start = spawn.piped

    async def watched(*words: str) -> spawn.Piped:
        children.append(await start(*words))
        return children[-1]

    monkeypatch.setattr(spawn, "piped", watched)
    leaves = asyncio.ensure_future(jpegs(image("png")))
    while not children:
        await asyncio.sleep(0)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert children[0].returncode is not None
