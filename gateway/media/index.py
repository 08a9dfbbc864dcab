"""Whether some media can be decoded before they are whole. Pure, but for the bytes it asks for."""

import struct
from collections.abc import Callable

# gives the bytes at a place, fewer only at the end of all
Peek = Callable[[int, int], bytes]

# how QuickTime and MP4 files begin; those older than `ftyp` begin with anything below
_FIRST = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")


def last(peek: Peek) -> bool:
    """Whether an index that is needed from the first sample on comes behind the media."""
    head = peek(0, 8)
    if head[4:] in _FIRST:
        return _behind(peek, 0, _box, media=(b"mdat",), index=(b"moov", b"moof"))
    if head[:4] == b"caff":
        return _behind(peek, 8, _chunk, media=(b"data",), index=(b"pakt",))
    # a block is only known as the last one by looking behind it
    return head[:4] == b"wvpk"


def _behind(
    peek: Peek,
    at: int,
    entry: Callable[[Peek, int], tuple[bytes, int] | None],
    *,
    media: tuple[bytes, ...],
    index: tuple[bytes, ...],
) -> bool:
    """Whether media come before their index, in a row of entries that have a kind and a length."""
    while (found := entry(peek, at)) is not None:
        kind, length = found
        if kind in media or kind in index:
            return kind in media
        at += length
    return False


def _box(peek: Peek, at: int) -> tuple[bytes, int] | None:
    """A box of MP4: its kind and its length with the head. None when there is no more, or no box."""
    head = peek(at, 16)
    if len(head) < 8:
        return None
    length, kind = struct.unpack(">I4s", head[:8])
    if length == 1 and len(head) == 16:
        (length,) = struct.unpack(">Q", head[8:])
    # mdat alone may be of any length, to the end
    return (kind, length) if length >= 8 or kind == b"mdat" else None


def _chunk(peek: Peek, at: int) -> tuple[bytes, int] | None:
    """A chunk of CAF, likewise."""
    head = peek(at, 12)
    if len(head) < 12:
        return None
    kind, length = struct.unpack(">4sq", head)
    return (kind, 12 + length) if length >= 0 or kind == b"data" else None
