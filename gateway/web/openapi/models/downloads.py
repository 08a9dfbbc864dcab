"""A download's plan and head, as models. Pure."""

from typing import Literal

from pydantic import BaseModel

from gateway.web.openapi.models.numbers import Count, Seconds


class PlannedPart(BaseModel):
    """A part that a download would send; null is what nobody knows before."""

    name: str | None
    kind: Literal["video", "image", "sound"]
    media_type: str | None
    bytes: Count | None
    duration: Seconds | None
    width: Count | None
    height: Count | None
    codec: str | None
    watermark: bool
    cached: bool


class PlannedPost(BaseModel):
    """A post and its parts."""

    id: str
    url: str
    kind: Literal["video", "photo"]
    author: str
    title: str
    duration: Seconds | None
    links_expire_at: float | None
    parts: list[PlannedPart]


class Plan(BaseModel):
    """What a download would send."""

    posts: list[PlannedPost]


class Meta(BaseModel):
    """`Content-Meta`, once it is decoded."""

    title: str
    desc: str
