"""TTSaveAPI v3: its request, its errors and its probe."""

from typing import Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from gateway.errors import (
    GatewayError,
    Internal,
    InvalidUrl,
    MediaUndecodable,
    OriginRefused,
    PostRefused,
    UpstreamFailed,
    UpstreamTimeout,
)
from gateway.media.film import SLIDE_S_MAX, SLIDE_S_MIN, USUAL, Film
from gateway.web import params
from gateway.web.download import Wish, download
from gateway.web.keys import GATEWAY
from gateway.web.middleware import Dialect
from gateway.web.params import Invalid


class Body(BaseModel):
    """The documented body; both names of the type are in use. null counts as missing."""

    model_config = ConfigDict(strict=True, extra="ignore")

    url: str | None = None
    download_content_type: str | None = None
    content_type: str | None = None
    transcript: bool | None = None  # opt-in: the words between the bytes
    # opt-in, for the slideshow of a photo post
    render: Literal["stream"] | None = None
    slide_s: float | None = Field(None, ge=SLIDE_S_MIN, le=SLIDE_S_MAX)
    fade_s: float | None = Field(None, ge=0, le=SLIDE_S_MAX / 2)

    @property
    def film(self) -> Film:
        """How a slideshow is to look."""
        return Film(
            slide_s=self.slide_s or USUAL.slide_s,
            fade_s=self.fade_s or USUAL.fade_s,
            live=self.render == "stream",
        )


class Told(GatewayError):
    """A refusal in words that clients of this API look for."""

    code, status = "VALIDATION_ERROR", 400


async def post_download(request: web.Request) -> web.StreamResponse:
    """`url` is checked first, as documented."""
    body = await params.body(request, Body, request.app[GATEWAY].settings)
    if not (body.url or "").strip():
        raise Told("URL is required")
    assert body.url is not None
    match body.download_content_type or body.content_type:
        case "VIDEO_ONLY" | "ORIGINAL" as mode:
            return await download(
                request, Wish(url=body.url, mode=mode, film=body.film, transcript=bool(body.transcript))
            )
        case _:
            raise Told("Invalid content type")


async def ping(request: web.Request) -> web.Response:
    """The probe; any body is ignored."""
    return web.Response(text="pong")


def shape(error: GatewayError, request_id: str) -> tuple[int, Any]:
    """An error as documented: its words, with our code and message beside them."""
    match error:
        case Told():
            return 400, {"detail": error.message}
        case Invalid():
            return 422, {"message": "Validation Error", "detail": error.faults}
        case InvalidUrl() | PostRefused() | OriginRefused() | MediaUndecodable():
            words, status = "No files available for download", 400
        case UpstreamFailed() | UpstreamTimeout():
            words, status = "Failed to save the file", 500
        case Internal():
            return 500, {
                "message": "Internal Server Error",
                "detail": f"Error: {error.message}",
                "request_id": request_id,
            }
        case _:
            return error.status, {"detail": error.message, "code": error.code}
    return status, {"detail": words, "code": error.code, "message": error.message}


TTSAVE = Dialect("ttsave", shape)
