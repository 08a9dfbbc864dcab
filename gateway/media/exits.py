"""The ways out to the site: proxies in turn, or none at all; and which of them work.

Always: a proxy's address has a secret in it and is told only to those who dial through it. In logs, in
/ready and in a post's links an exit is its number, from 1 in the order of the setting.
"""

import time
from collections.abc import Callable, Sequence

import structlog

from gateway import errors
from gateway.media.exit import Exit

REST_S = 15  # after the first failure, doubled with each that follows
REST_S_MAX = 900
SLOW_MIN = 3  # timeouts on end before they count: one may be the post's own
# what an exit is put to rest for, and another may do better at
FAULTS = frozenset({errors.ProxyFailed.code, errors.IpBlocked.code, errors.UpstreamRateLimited.code})
SLOW = errors.UpstreamTimeout.code
# what says nothing about the exit
NEUTRAL = frozenset({errors.Busy.code, errors.ExtractionFailed.code, errors.Internal.code})

log = structlog.get_logger()


class Exits:
    """All exits and their health."""

    def __init__(self, urls: Sequence[str] = (), clock: Callable[[], float] = time.monotonic) -> None:
        self._all = [Exit(number, url) for number, url in enumerate(urls, 1)] or [Exit(1)]
        self._health = {exit.number: _Health() for exit in self._all}
        self._clock = clock
        self._turn = 0

    @property
    def places(self) -> tuple[str, ...]:
        """Where they are, without their secrets, in the order of their numbers."""
        return tuple(exit.place for exit in self._all)

    def order(self, first: int | None = None) -> list[Exit]:
        """All exits as they are to be tried: those that work in turn, then the resting ones, soonest first.

        `first` goes before the others, as links may be bound to the address that the page was read from;
        unless it is its proxy that is broken.
        """
        now = self._clock()
        if first is None:
            self._turn += 1
        at = self._turn % len(self._all)
        turned = self._all[at:] + self._all[:at]

        def rank(exit: Exit) -> tuple[bool, float]:
            health = self._health[exit.number]
            resting = health.until > now
            if exit.number == first and not (resting and health.code == errors.ProxyFailed.code):
                return (False, -1.0)
            return (True, health.until) if resting else (False, 0.0)

        return sorted(turned, key=rank)

    def told(self, exit: Exit, code: str | None) -> None:
        """What came of reading a page through an exit: an error's code, or None for a post."""
        health, now = self._health[exit.number], self._clock()
        failed = code in FAULTS or code == SLOW
        if code in NEUTRAL or (failed and now < health.until):
            return  # one trouble counts once, however many requests met it
        if not failed:
            if health.until:
                log.info("exit works again", exit=exit.number, place=exit.place)
            self._health[exit.number] = _Health()
            return
        health.failures += 1
        health.code = code
        if code == SLOW and health.failures < SLOW_MIN:
            return
        rest = min(REST_S * 2 ** (health.failures - 1), REST_S_MAX)
        health.until = now + rest
        log.warning("exit rests", exit=exit.number, place=exit.place, code=code, rests_s=rest)

    def report(self) -> list[dict[str, object]]:
        """The health of each, for people."""
        now = self._clock()
        return [
            {
                "exit": exit.number,
                "state": "resting" if (health := self._health[exit.number]).until > now else "ok",
                "code": health.code,
                "failures": health.failures,
                "rests_s": max(0, round(health.until - now)) if health.until else 0,
            }
            for exit in self._all
        ]


class _Health:
    """Failures on end, the code of the last, and until when it rests; 0 when it does not."""

    def __init__(self) -> None:
        self.failures = 0
        self.code: str | None = None
        self.until = 0.0
