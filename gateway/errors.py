"""Every failure a caller can meet, drawn as a tree: code, status, public text.

Always: `code` is stable, `status` is the native one (a dialect may tell it otherwise),
and the text is safe to show: no path, no secret, no traceback.
"""

from collections.abc import Iterator
from typing import ClassVar


class GatewayError(Exception):
    """A failure told to the caller. `detail` replaces the class's text where more is known."""

    code: ClassVar[str] = "INTERNAL_ERROR"
    status: ClassVar[int] = 500
    text: ClassVar[str] = "Something failed here. Try again; if it stays, tell the operator the request id."
    retry_s: ClassVar[int | None] = None  # when it may work again, unless the raiser knows better

    def __init__(self, detail: str | None = None, *, retry_after_s: int | None = None) -> None:
        self.message = detail or self.text
        self.retry_after_s = self.retry_s if retry_after_s is None else retry_after_s
        super().__init__(self.message)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuilt, (type(self), self.message, self.retry_after_s))


def _rebuilt(kind: type[GatewayError], message: str, retry_after_s: int | None) -> GatewayError:
    return kind(message, retry_after_s=retry_after_s)


class Internal(GatewayError):
    """Not foreseen: the cause is in the log under the request id."""


# The request itself


class BadRequest(GatewayError):
    code, status = "VALIDATION_ERROR", 400
    text = "The request is not understood."


class InvalidUrl(BadRequest):
    code = "INVALID_URL"
    text = "No TikTok post address was found in the url. Send the link that the app's share button gives."


class NotFound(GatewayError):
    code, status = "NOT_FOUND", 404
    text = "There is nothing at this address. The routes are listed in docs/api.md."


class MethodNotAllowed(GatewayError):
    code, status = "METHOD_NOT_ALLOWED", 405
    text = "This address does not answer that method."


class BodyTooLarge(GatewayError):
    code, status = "BODY_TOO_LARGE", 413
    text = "The request body is larger than this route accepts."


class BodyTooSlow(GatewayError):
    code, status = "REQUEST_TIMEOUT", 408
    text = "The request body did not arrive in time."


class HeadTooLarge(GatewayError):
    code, status = "HEAD_TOO_LARGE", 431
    text = "The head of the request is larger than this server accepts."


class UnsupportedBody(GatewayError):
    code, status = "UNSUPPORTED_MEDIA_TYPE", 415
    text = "Compressed request bodies are not read; send it as it is."


class Forbidden(GatewayError):
    code, status = "FORBIDDEN", 403
    text = "This is not allowed."


class ApiKeyInvalid(GatewayError):
    code, status = "API_KEY_INVALID", 401
    text = "The key is missing or wrong. Send it as X-API-Key, or as Authorization: Bearer."


class RateLimited(GatewayError):
    """More calls than the caller has tokens for, or more open at once than he may have."""

    code, status, retry_s = "RATE_LIMIT_EXCEEDED", 429, 1
    text = "Too many requests. Come again after Retry-After."


class QuotaExceeded(GatewayError):
    code, status, retry_s = "QUOTA_EXCEEDED", 429, 3600
    text = "What this account may use is used up."


class LinkExpired(GatewayError):
    code, status = "LINK_EXPIRED", 410
    text = "The time of this link is over. Ask for the download again."


class OutOfRange(GatewayError):
    """`total` is how many bytes there are."""

    code, status = "RANGE_NOT_SATISFIABLE", 416
    text = "The file has no bytes where they were asked for."

    def __init__(
        self, detail: str | None = None, *, retry_after_s: int | None = None, total: int | None = None
    ) -> None:
        super().__init__(detail, retry_after_s=retry_after_s)
        self.total = total


# Transcripts by their id


class Cancelled(GatewayError):
    code, status = "CANCELLED", 409
    text = "The transcript was cancelled by its id. What came before is right."


class Ended(GatewayError):
    code, status = "TRANSCRIPT_ENDED", 409
    text = "The transcript has come to its end: there is nothing to cancel any more."


class Interrupted(GatewayError):
    code, status, retry_s = "INTERRUPTED", 503, 5
    text = "The server that worked on this ended before it was done. Ask for it again."


# Single-use codes


class CodeUnknown(GatewayError):
    code, status = "CODE_UNKNOWN", 401
    text = "The code is not known here. Send it as it was issued."


class CodeRefused(GatewayError):
    """The code is known and cannot be used now, or not any more."""

    status = 409


class CodeUsed(CodeRefused):
    code = "CODE_USED"
    text = "The code was spent by a transcript."


class CodeHeld(CodeRefused):
    code = "CODE_HELD"
    text = "The code is in use by another request. It comes back if that one fails."


class CodeRevoked(CodeRefused):
    code = "CODE_REVOKED"
    text = "The code was revoked."


class CodeExpired(CodeRefused):
    code = "CODE_EXPIRED"
    text = "The time of the code is over."


class HoldLost(CodeRefused):
    code = "HOLD_LOST"
    text = "The hold on the code ended before the transcript did. Nothing was charged: send it again."


class CreditTooSmall(GatewayError):
    code, status = "CREDIT_TOO_SMALL", 402
    text = "The code is worth less than the audio is long."


class AudioTooLong(GatewayError):
    code, status = "AUDIO_TOO_LONG", 413
    text = "The audio is longer than this server accepts."


class NotAudio(GatewayError):
    code, status = "NOT_AUDIO", 415
    text = "The file is not audio, whatever it is called. Send audio or video."


# The post


class PostRefused(GatewayError):
    """The post is not to be had by anybody in our place; trying again changes nothing."""

    status = 422


class VideoUnavailable(PostRefused):
    code = "VIDEO_UNAVAILABLE"
    text = "The post does not exist, was deleted, or is under review."


class VideoPrivate(PostRefused):
    code = "VIDEO_PRIVATE"
    text = "The post or its account is private."


class GeoBlocked(PostRefused):
    code = "GEO_BLOCKED"
    text = "The post is not available in the region of this server."


class LoginRequired(PostRefused):
    code = "LOGIN_REQUIRED"
    text = "The post is shown to signed-in viewers only."


class VideoTooLong(PostRefused):
    code = "VIDEO_TOO_LONG"
    text = "The post is longer than this server accepts."


class NotVideoContent(PostRefused):
    code = "NOT_VIDEO_CONTENT"
    text = "The post has nothing of the kind that was asked for."


class CaptionsUnavailable(PostRefused):
    code = "CAPTIONS_UNAVAILABLE"
    text = "The post has no captions."


# The origin: the site that has the media


class OriginRefused(GatewayError):
    """The site, or the way to it, said no; another time or another exit may work."""

    code, status = "EXTRACTION_FAILED", 502
    text = "The site answered in a way that was not understood."


class ExtractionFailed(OriginRefused):
    """The page could not be read."""


class SiteUnreached(ExtractionFailed):
    """There was no page: the site is not to be reached, or in trouble itself."""

    text = "The site could not be reached from this server."


class UpstreamRateLimited(OriginRefused):
    code = "UPSTREAM_RATE_LIMITED"
    text = "The site is limiting this server. Try again later."


class IpBlocked(OriginRefused):
    code = "IP_BLOCKED"
    text = "The site does not answer this server's address. The operator may set GATEWAY_PROXY_URL."


class ProxyFailed(OriginRefused):
    code = "PROXY_ERROR"
    text = "The proxy of this server did not work."


class UpstreamFailed(GatewayError):
    code, status = "UPSTREAM_FAILED", 502
    text = "The media could not be fetched whole from the site, or not kept here."


class UpstreamTimeout(GatewayError):
    code, status = "UPSTREAM_TIMEOUT", 504
    text = "The site took too long to answer."


# This server


class Busy(GatewayError):
    code, status, retry_s = "BUSY", 503, 5
    text = "The server has as much work as it accepts. Try again later."


class NotReady(Busy):
    text = "The speech model is being fetched. Try again in a moment."


class StoreUnavailable(Busy):
    code = "STORE_UNAVAILABLE"
    text = "The database does not answer. Try again later."


class SchemaMismatch(GatewayError):
    """At start and on the command line: the tables are not those that this version works with."""

    code, status = "SCHEMA_MISMATCH", 503
    text = "The tables of the database are not those of this version."


class NotSetUp(GatewayError):
    """At start: a setting needs a package, a file or an address that is not there."""

    code, status = "NOT_SET_UP", 503
    text = "A setting of this server needs something that is not there."


class MediaUndecodable(GatewayError):
    code, status = "MEDIA_UNDECODABLE", 422
    text = "The media has no sound that can be decoded."


class SpeechFailed(GatewayError):
    code, status = "SPEECH_FAILED", 500
    text = "Recognising the speech failed twice. What came before is right; ask again for the rest."


class Unprotected(GatewayError):
    """At start: others would reach a server that has no keys."""

    code, status = "UNPROTECTED", 403
    text = "The server has no keys."


class ModelUnavailable(GatewayError):
    """For the command line: a model could not be fetched or did not verify."""

    code, status = "MODEL_UNAVAILABLE", 503
    text = "The speech model could not be fetched."


class ThumbnailAnalysisFailed(GatewayError):
    code, status = "THUMBNAIL_ANALYSIS_FAILED", 502
    text = "The thumbnail was not analysed."


def by_code(code: str, detail: str | None = None) -> GatewayError:
    """The error of a code that crossed a process's pipe or a transcript's log."""
    return _BY_CODE.get(code, Internal)(detail)


def _tree(kind: type[GatewayError]) -> Iterator[type[GatewayError]]:
    for child in kind.__subclasses__():
        yield from _tree(child)
        yield child


# a group without a code of its own stands for nothing on the wire
_BY_CODE = {kind.code: kind for kind in _tree(GatewayError) if "code" in vars(kind)}
