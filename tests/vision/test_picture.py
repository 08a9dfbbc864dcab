"""What is sent as it is, and what is made a JPEG of first."""

import pytest

from gateway.vision import picture
from tests.vision.images import Kind, image

ANIMATED = b"RIFF\x40\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0" + bytes(16)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_documented_types_are_sent_as_they_are(kind: Kind) -> None:
    assert picture.media_type(image(kind)) == f"image/{kind}"
    assert picture.sendable(image(kind))


def test_others_moving_ones_and_large_ones_are_not() -> None:
    assert picture.media_type(image("avif")) == "image/heif"
    assert picture.media_type(b"\0\0\0\x18ftypheic\0\0\0\0") == "image/heif"
    assert not picture.sendable(image("avif"))
    assert picture.media_type(ANIMATED) == "image/webp"
    assert not picture.sendable(ANIMATED)
    assert not picture.sendable(image() + bytes(picture.SENT_BYTES_MAX))
    assert picture.sendable(b"GIF89a" + bytes(20))


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x18ftypisom", b"GIF88a", b"<html>"]
)
def test_other_bytes_are_no_image(data: bytes) -> None:
    assert picture.media_type(data) is None
    assert not picture.sendable(data)
