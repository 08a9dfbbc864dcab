"""A post and what it is made of, and which parts of it a caller gets. Pure."""

from typing import Literal

import msgspec

from gateway.errors import NotVideoContent, UpstreamFailed
from gateway.media.film import USUAL as FILM
from gateway.media.film import Film

Mode = Literal["VIDEO_ONLY", "ORIGINAL", "AUDIO_ONLY"]
Kind = Literal["video", "image", "sound", "caption"]
Codec = Literal["h264", "h265"]
CAPTION_BYTES_MAX = 1 << 20  # an hour of speech takes a tenth of it
LIVE, FILE = "live", "file"  # a film's two kinds, in its key
Quality = Literal["best", "worst"] | int  # a number is the lines of a picture: 720 of "720p"


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
    lines: int | None = None  # as the site names its size: 540 of "540p", which is 576 pixels wide


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


class Figures(msgspec.Struct, frozen=True):
    """How far a post has come, as its page counts; None where it does not."""

    views: int | None = None
    likes: int | None = None
    comments: int | None = None
    shares: int | None = None


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
    cover: tuple[Source, ...] = ()  # alternates
    expires_at: float | None = None  # unix time after which a link is refused
    figures: Figures = Figures()
    posted_at: int | None = None  # unix time
    read_at: float = 0.0  # unix time of its page


class Wanted(msgspec.Struct, frozen=True):
    """A part to be fetched: `key` names it within its post, for good."""

    key: str
    kind: Kind
    sources: tuple[Source, ...]
    number: int | None = None  # of a slide, from 1
    bytes: int | None = None
    bytes_max: int | None = None  # where that is less than for media
    width: int | None = None
    height: int | None = None
    codec: str | None = None
    watermark: bool = False
    mark: str = ""  # what its file's name adds to the post's
    slides: "tuple[Wanted, ...]" = ()  # of a film: what it is rendered from, ...
    sound: "Wanted | None" = None  # ... and what is heard in it
    film: Film | None = None
    of: "Wanted | None" = None  # the video that this soundtrack is taken out of; it has no source of its own
    instead: "Wanted | None" = None  # what is sent when the site does not give this one


class Taste(msgspec.Struct, frozen=True):
    """Which of a post's formats a caller prefers."""

    quality: Quality = "best"
    codec: Codec = "h264"
    thumbnail: bool = False  # the cover too
    film: Film = FILM  # how a slideshow is to look


USUAL = Taste()  # what every player plays


def choose(post: Post, mode: Mode, taste: Taste = USUAL) -> tuple[Wanted, ...]:
    """The parts of an answer, in order. Raises NotVideoContent when there are none."""
    parts = _chosen(post, mode, taste)
    return (*parts, _cover(post)) if taste.thumbnail and post.cover else parts


def _chosen(post: Post, mode: Mode, taste: Taste) -> tuple[Wanted, ...]:
    if mode == "AUDIO_ONLY":
        return (_soundtrack(_loud(post, taste)) if post.kind == "video" else heard(post),)
    if post.kind == "video":
        return (_preferred(post, taste),)
    slides = _slides(post)
    if not slides:
        raise NotVideoContent("The photo post has no photos.")
    if mode == "VIDEO_ONLY":
        return (_slideshow(post, slides, taste.film),)
    return (*slides, _sound(post.sound)) if post.sound else tuple(slides)


def find(post: Post, key: str) -> Wanted:
    """The part of a key that a post had before. Raises UpstreamFailed when it has it no more."""
    parts = [_video(one) for one in post.formats] + _slides(post)
    parts += [_soundtrack(one) for one in post.formats if one.sound]
    parts += ([_sound(post.sound)] if post.sound else []) + ([_cover(post)] if post.cover else [])
    parts += [written(one) for one in post.captions]
    if post.images and (film := _film(key)) is not None:
        parts.append(_slideshow(post, _slides(post), film))
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


def written(one: Caption) -> Wanted:
    """The file of captions."""
    return Wanted(
        key=f"caption:{one.origin}:{one.language}:{one.format}",
        kind="caption",
        sources=(one.source,),
        bytes_max=CAPTION_BYTES_MAX,
    )


def _preferred(post: Post, taste: Taste) -> Wanted:
    """The video of a taste: HEVC has H.264 to fall back on, since some of its links answer 404."""
    formats = _playable(post)
    if not formats:
        raise NotVideoContent("The post has no video that can be delivered.")
    usual = _video(_picked(formats, taste.quality))
    # some HEVC links have no sound, and `download` is watermarked: neither is what anybody prefers
    hevc = [one for one in post.formats if one.codec == "h265" and one.sound and not one.watermark]
    if taste.codec == "h264" or not hevc:
        return usual
    wanted = _video(_picked(hevc, taste.quality))
    return wanted if wanted == usual else msgspec.structs.replace(wanted, instead=usual)


def _loud(post: Post, taste: Taste) -> Format:
    """The format whose soundtrack is wanted: that of the video of this quality, whatever its codec."""
    audible = [one for one in _playable(post) if one.sound]
    if not audible:
        raise NotVideoContent("The post has no video with sound.")
    return _picked(audible, taste.quality)


def _picked(formats: list[Format], quality: Quality) -> Format:
    """One without watermark, with sound and in H.264, as far as there is one; of these by its size."""
    rank = max(_rank(one) for one in formats)
    alike = [one for one in formats if _rank(one) == rank]
    if isinstance(quality, int):
        fitting = [one for one in alike if _lines(one) <= quality]
        return max(fitting, key=_size) if fitting else min(alike, key=_smallness)
    return max(alike, key=_size) if quality == "best" else min(alike, key=_smallness)


def _rank(one: Format) -> tuple[bool, bool, bool]:
    return (not one.watermark, one.sound, one.codec == "h264")


def _size(one: Format) -> tuple[int, int]:
    return ((one.width or 0) * (one.height or 0), one.bytes or 0)


def _smallness(one: Format) -> tuple[bool, int, bool, int]:
    """What is small is known to be."""
    pixels, size = _size(one)
    return (not pixels, pixels, not size, size)


def _lines(one: Format) -> int:
    return one.lines or min(one.width or 0, one.height or 0)


def _playable(post: Post) -> list[Format]:
    """Formats that stand a chance: some HEVC links have no sound or answer 404, so H.264 goes first."""
    return [one for one in post.formats if one.codec in ("h264", None)] or list(post.formats)


def _video(one: Format) -> Wanted:
    return Wanted(
        key=f"video:{one.id}",
        kind="video",
        sources=one.sources,
        bytes=one.bytes,
        width=one.width,
        height=one.height,
        codec=one.codec,
        watermark=one.watermark,
    )


def _soundtrack(one: Format) -> Wanted:
    return Wanted(key=f"soundtrack:{one.id}", kind="sound", sources=(), of=_video(one))


def _cover(post: Post) -> Wanted:
    return Wanted(key="cover", kind="image", sources=post.cover, mark="cover")


def _slides(post: Post) -> list[Wanted]:
    return [
        Wanted(
            key=f"image:{number}",
            kind="image",
            sources=image.sources,
            number=number,
            width=image.width,
            height=image.height,
        )
        for number, image in enumerate(post.images, 1)
    ]


def _slideshow(post: Post, slides: list[Wanted], film: Film) -> Wanted:
    return Wanted(
        key=f"film:{film.slide_s:g}:{film.fade_s:g}:{LIVE if film.live else FILE}",
        kind="video",
        sources=(),
        codec="h264",
        slides=tuple(slides),
        sound=_sound(post.sound) if post.sound else None,
        film=film,
    )


def _film(key: str) -> Film | None:
    """How the slideshow of a key looks."""
    match key.split(":"):
        case ["film", slide_s, fade_s, how] if how in (LIVE, FILE):
            return Film(slide_s=float(slide_s), fade_s=float(fade_s), live=how == LIVE)
    return None


def _sound(sound: Sound) -> Wanted:
    return Wanted(key="sound", kind="sound", sources=sound.sources)
