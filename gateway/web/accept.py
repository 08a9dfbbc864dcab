"""Which form a transcript is asked for in."""

import re

from aiohttp import web

from gateway.errors import GatewayError
from gateway.wire.forms import FORMS, NAMED, Form

_WISHES_MAX = 32  # a browser sends eight
_ASKED = NAMED | {"text": NAMED["txt"]}


class NotAcceptable(GatewayError):
    code, status = "NOT_ACCEPTABLE", 406
    text = f"A transcript is sent as {', '.join(form.media_type for form in FORMS)}."


def form(request: web.Request) -> Form:
    """The form to answer in: `?format=` before `Accept`. Raises NotAcceptable."""
    if (name := request.query.get("format")) is not None:
        if name not in _ASKED:
            raise NotAcceptable(f"?format= is one of {', '.join(_ASKED)}.")
        return _ASKED[name]
    accepted = (request.headers.get("Accept") or "*/*").split(",")[:_WISHES_MAX]
    wishes = [_wish(one) for one in accepted]
    refused = {pattern for weight, pattern in wishes if not weight}
    for weight, pattern in sorted(wishes, key=lambda wish: -wish[0]):
        for one in FORMS:
            if weight > 0 and _covers(pattern, one.media_type) and one.media_type not in refused:
                return one
    raise NotAcceptable


def accepts(request: web.Request, media_type: str) -> bool:
    """Whether `Accept` names a media type."""
    accepted = (request.headers.get("Accept") or "").split(",")[:_WISHES_MAX]
    return any(weight > 0 and pattern == media_type for weight, pattern in map(_wish, accepted))


def _covers(pattern: str, media_type: str) -> bool:
    return pattern in (media_type, "*/*") or (
        pattern.endswith("/*") and media_type.startswith(pattern.removesuffix("*"))
    )


def _wish(accepted: str) -> tuple[float, str]:
    """One entry of an Accept header: its weight, and its media type or range."""
    kind, _, more = accepted.partition(";")
    weight = re.search(r"(?:^|;)\s*q=([0-9.]{1,5})\s*(?:;|$)", more)
    try:
        return float(weight[1]) if weight else 1.0, kind.strip().lower() or "*/*"
    except ValueError:
        return 0.0, kind
