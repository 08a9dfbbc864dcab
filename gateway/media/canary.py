"""A post that is read now and then, to tell a site that has changed from one that does not let us in.

What it finds is for people: nothing here decides about requests.
"""

import time
from typing import Literal

import structlog

from gateway import errors
from gateway.errors import GatewayError, InvalidUrl, SiteUnreached
from gateway.media import links
from gateway.media.exits import FAULTS, Exits
from gateway.media.extractor import Extractor

State = Literal["ok", "changed", "blocked", "unreachable", "unknown"]

log = structlog.get_logger()


class Canary:
    """Reads the post of `url` when told to, past the cache; without one it knows nothing."""

    def __init__(self, url: str | None, extractor: Extractor, exits: Exits) -> None:
        self._url = url
        self._extractor = extractor
        self._exits = exits
        self._state: State = "unknown"
        self._code: str | None = None
        self._at: str | None = None
        if url is not None:
            try:
                links.find(url)
            except InvalidUrl:
                raise InvalidUrl("GATEWAY_CANARY_URL is not the address of a post.") from None

    async def look(self) -> None:
        """Reads the post and remembers what came of it."""
        if self._url is None:
            return
        try:
            post = await self._extractor.fresh(self._url)
            # a page that is read and has nothing in it is not what it was
            code = None if post.formats or post.images else errors.ExtractionFailed.code
            state = state_of(code)
        except GatewayError as error:
            if error.code == errors.Busy.code:
                return  # says nothing about the site
            code, state = error.code, state_of(error.code, unreached=isinstance(error, SiteUnreached))
        self._at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if (state, code) != (self._state, self._code):
            tell = log.info if state == "ok" else log.warning
            tell("the canary finds the site", state=state, code=code, before=self._state)
        self._state, self._code = state, code

    @property
    def state(self) -> State:
        """What the last look found."""
        return self._state

    def report(self) -> dict[str, object]:
        """What the last look found, and the exits as they are now."""
        return {"state": self._state, "code": self._code, "at": self._at, "exits": self._exits.report()}


def state_of(code: str | None, *, unreached: bool = False) -> State:
    """What an extraction's error says of the site; None is of a good one."""
    if code is None:
        return "ok"
    if code in FAULTS:
        return "blocked"
    if unreached or code == errors.UpstreamTimeout.code:
        return "unreachable"
    # the post alone may be gone, private or for others: that the page says so is no change
    return "changed" if code == errors.ExtractionFailed.code else "unknown"
