"""What the page's status, the HTTP answer or yt-dlp's words mean, as our errors.

The codes of the page were read off real pages; yt-dlp calls each 10204 a blocked address, and only
the page's message tells them apart.
"""

import re
from collections.abc import Callable
from typing import Any

from gateway import errors
from gateway.errors import GatewayError, SiteUnreached

_PRIVATE = {10216, 10222}
_GONE = {10217, 10221, 10202}
_GEO = {10231}
_AGE = "The post is age-restricted: it is shown to signed-in adults only."
_BY_MESSAGE: tuple[tuple[str, type[GatewayError], str | None], ...] = (
    (r"status_self_see", errors.VideoPrivate, None),
    (r"person_geo_fencing|cross_border_violation|copyright_geo_filter", errors.GeoBlocked, None),
    (r"content_classification", errors.LoginRequired, _AGE),
)
_BY_TEXT: tuple[tuple[str, type[GatewayError], str | None], ...] = (
    (r"do not have permission", errors.VideoPrivate, None),
    (r"Log in for access", errors.LoginRequired, _AGE),
    (r"requiring login", errors.LoginRequired, None),
    (r"Unable to extract universal data|Unexpected response from webpage", errors.IpBlocked, None),
    (r"Unable to (?:solve|extract).*challenge", errors.IpBlocked, None),
)


def translated(error: Any, status: int, message: str, note: Callable[[str, str], None]) -> GatewayError:
    """The stable error for a failed extraction: by the page's status, the HTTP answer, then the words.

    Words that are not known are noted, for the log.
    """
    if status in _PRIVATE:
        return errors.VideoPrivate()
    if status in _GONE:
        return errors.VideoUnavailable()
    if status in _GEO:
        return errors.GeoBlocked()
    if status == 10204:
        return _found(_BY_MESSAGE, message) or errors.VideoUnavailable()
    if status:
        return errors.ExtractionFailed(f"The site answered with its status {status}.")
    cause = error.exc_info[1] if getattr(error, "exc_info", None) else error
    chain = [one for one in (cause, getattr(cause, "cause", None), getattr(cause, "__cause__", None)) if one]
    text = " ".join(str(getattr(one, "orig_msg", one)) for one in chain)
    for one in chain:
        kind = type(one).__name__
        if kind == "Refused":  # by the guard, in words of its own
            return errors.ExtractionFailed(str(one))
        if kind == "HTTPError":
            return _by_http(int(one.status))
        if kind == "ProxyError" or (kind == "TransportError" and "proxy" in str(one).lower()):
            return errors.ProxyFailed()
    if (found := _found(_BY_TEXT, text)) is not None:
        return found
    if any(type(one).__name__ == "TransportError" and "timed out" in str(one).lower() for one in chain):
        return errors.UpstreamTimeout()
    note("extraction failed in words not known", text)
    if any(type(one).__name__ == "TransportError" for one in chain):
        return SiteUnreached()
    return errors.ExtractionFailed()


def _found(table: tuple[tuple[str, type[GatewayError], str | None], ...], text: str) -> GatewayError | None:
    return next((kind(detail) for words, kind, detail in table if re.search(words, text)), None)


def _by_http(status: int) -> GatewayError:
    if status == 403:
        return errors.IpBlocked()
    if status == 407:
        return errors.ProxyFailed()
    if status == 429:
        return errors.UpstreamRateLimited()
    if status in (404, 410):
        return errors.VideoUnavailable()
    kind = SiteUnreached if status >= 500 else errors.ExtractionFailed
    return kind(f"The site answered with HTTP {status}.")
