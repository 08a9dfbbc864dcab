"""A post and what it is made of, and which parts of it a caller gets. Pure."""

from typing import Literal

import msgspec

from gateway.errors import NotImplementedHere, NotVideoContent, UpstreamFailed

Mode = Literal["VIDEO_ONLY", "ORIGINAL"]
Kind = Literal["video", "image", "sound"]


class Source(msgspec.Struct, frozen=True):
    """One address of some bytes; `cookie` is the raw header that the CDN wants with it."""

    url: str
    cookie: str | None = None
    exit: int | None = None  # the number of the exit that its page was read through


class Format(msgspec.Struct, frozen=True):
    """One encoding of a post's video; sizes in pixels and bytes, None where the page does not say."""

    id: str
    sources: tuple[Source, ...]  # alternates of the same bytes
    codec: str | None = None  # h264, h265, ...
    sound: bool = True
    width: int | None = None
    height: int | None = None
    bytes: int | None = None
    watermark: bool = False


class Image(msgspec.Struct, frozen=True):
    """One slide of a photo post; the sources are alternates of it."""

    sources: tuple[Source, ...]
    width: int | None = None
    height: int | None = None


class Sound(msgspec.Struct, frozen=True):
    """The post's `music` link. Of a video post it may be another track than what is heard."""

    id: str | None
    sources: tuple[Source, ...]


class Caption(msgspec.Struct, frozen=True):
    """Captions of the page; `origin` is ASR (recognised), MT (translated) or None (the creator's)."""

    language: str
    format: str
    origin: str | None
    source: Source


class Post(msgspec.Struct, frozen=True):
    """One TikTok address: a video, or photos with a sound. Times in seconds."""

    id: str
    url: str
    author: str
    title: str
    desc: str
    duration_s: float | None
    kind: Literal["video", "photo"]
    formats: tuple[Format, ...] = ()
    images: tuple[Image, ...] = ()
    sound: Sound | None = None
    captions: tuple[Caption, ...] = ()
    expires_at: float | None = None  # unix time after which a link is refused


class Wanted(msgspec.Struct, frozen=True):
    """A part to be fetched: `key` names it within its post, for good."""

    key: str
    kind: Kind
    sources: tuple[Source, ...]
    number: int | None = None  # of a slide, from 1
    bytes: int | None = None


def choose(post: Post, mode: Mode) -> tuple[Wanted, ...]:
    """The parts of an answer, in order. Raises NotVideoContent, NotImplementedHere when there are none."""
    if post.kind == "video":
        return (_video(_best(post)),)
    if mode == "VIDEO_ONLY":
        raise NotImplementedHere("Photo posts are not rendered to a video yet; ask for ORIGINAL.")
    slides = _slides(post)
    if not slides:
        raise NotVideoContent("The photo post has no photos.")
    return (*slides, _sound(post.sound)) if post.sound else tuple(slides)


def find(post: Post, key: str) -> Wanted:
    """The part of a key that a post had before. Raises UpstreamFailed when it has it no more."""
    parts = (
        [_video(one) for one in post.formats] + _slides(post) + ([_sound(post.sound)] if post.sound else [])
    )
    found = next((part for part in parts if part.key == key), None)
    if found is None:
        raise UpstreamFailed("The post has changed while it was read.")
    return found


def heard(post: Post) -> Wanted:
    """Where the post's speech is: a video's own soundtrack, never its `music` link; a photo post's sound."""
    if post.kind == "photo":
        if post.sound is None:
            raise NotVideoContent("The photo post has no sound.")
        return _sound(post.sound)
    audible = [one for one in _playable(post) if one.sound]
    if not audible:
        raise NotVideoContent("The post has no video with sound.")
    # the same soundtrack is in each; the smallest lets the first words come soonest
    return _video(min(audible, key=lambda one: (one.bytes is None, one.bytes or 0)))


def _best(post: Post) -> Format:
    """The best H.264 with sound and no watermark: what every player plays."""
    formats = _playable(post)
    if not formats:
        raise NotVideoContent("The post has no video that can be delivered.")
    return max(
        formats,
        key=lambda one: (not one.watermark, one.sound, one.codec == "h264", _pixels(one), one.bytes or 0),
    )


def _playable(post: Post) -> list[Format]:
    """Formats that stand a chance: some HEVC links have no sound or answer 404, so H.264 goes first."""
    return [one for one in post.formats if one.codec in ("h264", None)] or list(post.formats)


def _pixels(one: Format) -> int:
    return (one.width or 0) * (one.height or 0)


def _video(one: Format) -> Wanted:
    return Wanted(key=f"video:{one.id}", kind="video", sources=one.sources, bytes=one.bytes)


def _slides(post: Post) -> list[Wanted]:
    return [
        Wanted(key=f"image:{number}", kind="image", sources=image.sources, number=number)
        for number, image in enumerate(post.images, 1)
    ]


def _sound(sound: Sound) -> Wanted:
    return Wanted(key="sound", kind="sound", sources=sound.sources)
