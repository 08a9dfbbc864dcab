"""JSON that another process wrote, of another version or by mistake: its value, or a DecodeError. Pure."""

from typing import TypeVar

import msgspec

T = TypeVar("T")


def decoded(decoder: msgspec.json.Decoder[T], data: bytes | str) -> T:
    """The value. Raises msgspec.DecodeError, of which ValidationError is a kind, and nothing else."""
    try:
        return decoder.decode(data)
    except (UnicodeDecodeError, RecursionError) as error:  # of what is no text, or too deep
        raise msgspec.DecodeError(str(error)) from None
