"""When one thing is tried again, and when that is enough. Pure."""

import msgspec

from .errors import Cut, Refused, Unreachable

WAIT_S_MAX = 60  # who is asked to wait longer gets the refusal
PASSING = frozenset({408, 429, 500, 502, 503, 504})  # what another try may not meet


class Patience(msgspec.Struct, frozen=True):
    """`tries` on end, and a pause before the first one, which is twice as long before each that follows."""

    tries: int
    pause_s: float

    def wait_s(self, loss: Cut | Refused | Unreachable, tried: int) -> float:
        """How long to wait for the next try, after so many. Raises Cut where there is to be none."""
        asked_s = loss.retry_after_s or 0 if isinstance(loss, Refused) else 0
        lasting = isinstance(loss, Refused) and loss.status not in PASSING
        if tried >= self.tries or lasting or asked_s > WAIT_S_MAX:
            if isinstance(loss, Cut):
                raise loss
            raise Cut(f"it was cut and could not be gone on with: {loss}") from loss
        return max(min(self.pause_s * 2.0**tried, WAIT_S_MAX), asked_s)


def passes_s(refusal: Refused) -> float | None:
    """In how many seconds a refusal may be over; None where nobody says, or it is too long."""
    wait_s = refusal.retry_after_s if refusal.status in PASSING else None
    return wait_s if wait_s is not None and wait_s <= WAIT_S_MAX else None
