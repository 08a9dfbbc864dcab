"""What gateways ask of one in which a transcript runs. Pure."""

from typing import Literal

import msgspec

from gateway.wire.foreign import decoded

ASKED_S = 25.0  # for an answer: longer than one that runs takes to be settled
FOLLOWED_S = 3.0  # so often it is told that somebody follows one here


class Ask(msgspec.Struct, frozen=True):
    """One wish, of whom it is for `owner`; answered by that name, where there is one."""

    what: Literal["follow", "hand_out", "cancel", "rename", "delete"]
    id: str
    name: str | None = None
    owner: str | None = None
    title: str | None = None


class Answer(msgspec.Struct, frozen=True):
    """What came of it: whether it was done, or an error's code and text."""

    done: bool = False
    code: str | None = None
    text: str | None = None


def parsed(data: bytes) -> Ask | None:
    """A wish; None: of a version that has others, or by nobody of ours."""
    try:
        return decoded(_ask, data)
    except msgspec.DecodeError:
        return None


_ask = msgspec.json.Decoder(Ask)
