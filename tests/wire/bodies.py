"""Whole bodies as the gateway frames them, of random payloads that look like the framing."""

import random
from dataclasses import dataclass

from gateway.wire import multipart
from gateway.wire.multipart import Part

MEDIA_TYPES = ("video/mp4", "image/jpeg", "image/png", "audio/mpeg", "audio/mp4")


@dataclass(frozen=True)
class Framed:
    """A body in the pieces that the gateway writes one by one, and what it is made of."""

    boundary: str
    parts: tuple[tuple[Part, bytes], ...]
    pieces: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def payloads(self) -> list[bytes]:
        return [payload for _, payload in self.parts]


def framed(boundary: str, parts: list[tuple[Part, bytes]]) -> Framed:
    pieces: list[bytes] = []
    for number, (part, payload) in enumerate(parts):
        pieces += [multipart.head(part, boundary, first=number == 0), payload]
    return Framed(boundary, tuple(parts), (*pieces, multipart.closing(boundary)))


def random_body(seed: int) -> Framed:
    """1 to 36 parts with a random boundary; every other body tells its lengths."""
    chance = random.Random(seed)
    boundary = multipart.BOUNDARY + f"{chance.getrandbits(128):032x}"
    parts = []
    for number in range(chance.choice((1, 2, 3, 36))):
        media_type = chance.choice(MEDIA_TYPES)
        payload = _payload(chance, boundary)
        name = multipart.file_name("some.one", "7312345678901234567", media_type, number + 1)
        link = f"/media/{'t' * 120}.{'s' * 43}/{name}" if seed % 3 else None
        parts.append((Part(name, media_type, len(payload) if seed % 2 else None, link), payload))
    return framed(boundary, parts)


def _payload(chance: random.Random, boundary: str) -> bytes:
    look_alikes = (
        b"\r\n",
        b"\r",
        b"\n",
        b"\r\n\r\n",
        b"--",
        b"\r\n--",
        b"--simple_boundary",
        b"\r\n--simple_boundary\r\n",
        b"\r\n--simple_boundary--\r\n",
        b"\r\n--" + boundary[:-1].encode(),
        b"Content-Length: 3\r\n\r\n",
        b"\x00\xff\x80",
    )
    return b"".join(
        chance.randbytes(chance.choice((0, 1, 7, 5000)))
        if chance.random() < 0.4
        else chance.choice(look_alikes)
        for _ in range(chance.randrange(12))
    )
