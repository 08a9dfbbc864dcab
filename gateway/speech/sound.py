"""A sound on its way to the model."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass


def _nothing() -> tuple[int, int | None]:
    return 0, None


async def _unknown() -> str | None:
    return None


@dataclass(frozen=True)
class Sound:
    """What transcripts need to know of some media."""

    # s16le mono 16 kHz in chunks of any even size. Raises a GatewayError when the media broke or
    # cannot be decoded.
    samples: Callable[[], AsyncGenerator[bytes, None]]
    # bytes of the media that are here, and in all; None while nobody knows
    arrived: Callable[[], tuple[int, int | None]] = _nothing
    # what names the media wherever they come from, once they are whole; None if they never are
    digest: Callable[[], Awaitable[str | None]] = _unknown
