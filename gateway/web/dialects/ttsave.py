"""TTSaveAPI v3: its request, its errors and its probe."""

import re
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

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
from gateway.media.post import Codec, Quality, Taste
from gateway.web import params
from gateway.web.download import Wish, download
from gateway.web.keys import GATEWAY
from gateway.web.middleware import Dialect
from gateway.web.params import Invalid
from gateway.web.plan import plan

URLS_MAX = 10  # posts in one stream
URL_CHARS_MAX = 4096

# what others are told with the API's own words, and so are not refused by the model
_MODES: dict[str, Any] = {"json_schema_extra": {"enum": ["VIDEO_ONLY", "ORIGINAL", "AUDIO_ONLY", None]}}
_Height = (
    Literal["best", "worst"]
    | Annotated[int, Field(ge=10, le=9999)]
    | Annotated[str, Field(pattern="^[1-9][0-9]{1,3}p?$")]
)


class Body(BaseModel):
    """The documented body; both names of the type are in use. null counts as missing."""

    model_config = ConfigDict(strict=True, extra="ignore")

    url: str | None = Field(None, description="A post, or text with its address in it; or `urls`.")
    download_content_type: str | None = Field(None, description="Counts where both are sent.", **_MODES)
    content_type: str | None = Field(None, description="What is sent of the post.", **_MODES)
    transcript: bool | None = Field(None, description="Opt-in: the words between the bytes.")
    # opt-in, for the slideshow of a photo post
    render: Literal["stream"] | None = Field(None, description="A film is sent while it is rendered.")
    slide_s: float | None = Field(
        None, ge=SLIDE_S_MIN, le=SLIDE_S_MAX, description="How long a slide is shown at least."
    )
    fade_s: float | None = Field(None, ge=0, le=SLIDE_S_MAX / 2, description="A cross-fade to the next one.")
    # opt-in: which format, the cover too, several posts in one stream
    quality: Quality | None = Field(None, description="`best`, `worst`, or a height such as 720 or `720p`.")
    codec: Codec | None = Field(None, description="`h265`: HEVC where there is one that works.")
    thumbnail: bool | None = Field(None, description="The post's cover as one more part.")
    urls: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=URL_CHARS_MAX)]],
            Field(min_length=1, max_length=URLS_MAX),
        ]
        | None
    ) = None

    @field_validator("quality", mode="plain", json_schema_input_type=_Height | None)
    @classmethod
    def _known(cls, value: object) -> Quality | None:
        match value:
            case None | "best" | "worst":
                return value
            case int() | str() if lines := re.fullmatch(r"([1-9][0-9]{1,3})p?", str(value)):
                return int(lines[1])
        raise PydanticCustomError("quality", "The quality is best, worst, or a height such as 720.")

    @field_validator("urls")
    @classmethod
    def _alone(cls, urls: list[str] | None, info: ValidationInfo) -> list[str] | None:
        if urls and (info.data.get("url") or "").strip():
            raise PydanticCustomError("urls", "Send url or urls, not both.")
        if urls and len(urls) > 1 and info.data.get("transcript"):
            raise PydanticCustomError("urls", "A transcript goes with one url only.")
        return urls

    @property
    def taste(self) -> Taste:
        """Which formats are preferred, and how a slideshow is to look."""
        film = Film(
            slide_s=self.slide_s or USUAL.slide_s,
            fade_s=self.fade_s or USUAL.fade_s,
            live=self.render == "stream",
        )
        return Taste(self.quality or "best", self.codec or "h264", bool(self.thumbnail), film)


class Told(GatewayError):
    """A refusal in words that clients of this API look for."""

    code, status = "VALIDATION_ERROR", 400


async def post_download(request: web.Request) -> web.StreamResponse:
    """The media."""
    return await download(request, await _wish(request))


async def post_plan(request: web.Request) -> web.StreamResponse:
    """What would be sent, for the same body."""
    return await plan(request, await _wish(request))


async def _wish(request: web.Request) -> Wish:
    """The body's wish; `url` is checked first, as documented."""
    body = await params.body(request, Body, request.app[GATEWAY].settings)
    urls = body.urls or [body.url or ""]
    if not urls[0].strip():
        raise Told("URL is required")
    match body.download_content_type or body.content_type:
        case "VIDEO_ONLY" | "ORIGINAL" | "AUDIO_ONLY" as mode:
            return Wish(urls=tuple(urls), mode=mode, taste=body.taste, transcript=bool(body.transcript))
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
