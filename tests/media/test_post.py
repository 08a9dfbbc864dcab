import pytest

from gateway.errors import NotVideoContent, UpstreamFailed
from gateway.media.film import Film
from gateway.media.post import Codec, Format, Image, Post, Quality, Sound, Source, Taste, choose, find, heard


def source(name: str) -> tuple[Source, ...]:
    return (Source(f"https://v16.tiktok.com/{name}"),)


def post(kind: str = "video", **more: object) -> Post:
    fields = dict(id="1", url="u", author="a", title="t", desc="d", duration_s=1.0, kind=kind) | more
    return Post(**fields)  # type: ignore[arg-type]


LOW = Format("low", source("low"), "h264", True, 360, 640, 100)
HIGH = Format("high", source("high"), "h264", True, 720, 1280, 900)
HEVC = Format("hevc", source("hevc"), "h265", True, 1080, 1920, 500)
MUTE = Format("mute", source("mute"), "h264", False, 1080, 1920, 50)
MARKED = Format("marked", source("marked"), "h264", True, 1080, 1920, 2000, watermark=True)
SOUND = Sound("s", source("sound"))
PHOTOS = (Image(source("1")), Image(source("2")))


@pytest.mark.parametrize(
    ("formats", "key"),
    [
        ((LOW, HIGH, HEVC, MUTE, MARKED), "video:high"),
        ((HEVC,), "video:hevc"),
        ((MARKED, HEVC), "video:marked"),
        ((MUTE, LOW), "video:low"),
        ((MUTE,), "video:mute"),
    ],
)
def test_the_best_that_every_player_plays_is_chosen(formats: tuple[Format, ...], key: str) -> None:
    for mode in ("VIDEO_ONLY", "ORIGINAL"):
        (part,) = choose(post(formats=formats, sound=SOUND), mode)  # type: ignore[arg-type]
        assert part.key == key


def test_a_photo_post_is_its_photos_in_order_and_its_sound() -> None:
    parts = choose(post("photo", images=PHOTOS, sound=SOUND), "ORIGINAL")
    assert [one.key for one in parts] == ["image:1", "image:2", "sound"]
    assert [one.number for one in parts] == [1, 2, None]
    assert len(choose(post("photo", images=PHOTOS), "ORIGINAL")) == 2


def test_video_only_of_a_photo_post_is_one_film_of_its_photos_and_its_sound() -> None:
    (film,) = choose(post("photo", images=PHOTOS, sound=SOUND), "VIDEO_ONLY")
    assert film.kind == "video"
    assert [one.key for one in film.slides] == ["image:1", "image:2"]
    assert film.sound is not None
    assert film.sound.sources == SOUND.sources
    (silent,) = choose(post("photo", images=PHOTOS), "VIDEO_ONLY", Taste(film=Film(live=True)))
    assert silent.sound is None
    assert silent.key != film.key  # another film is another part


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(NotVideoContent):
        choose(post(), "VIDEO_ONLY")
    with pytest.raises(NotVideoContent):
        choose(post("photo"), "ORIGINAL")
    with pytest.raises(NotVideoContent):
        heard(post("photo", images=PHOTOS))
    with pytest.raises(NotVideoContent):
        heard(post(formats=(MUTE,)))


def test_a_video_is_heard_from_its_own_soundtrack_never_its_music_link() -> None:
    part = heard(post(formats=(HIGH, LOW, MUTE), sound=SOUND))
    assert part.key == "video:low"
    assert heard(post("photo", images=PHOTOS, sound=SOUND)).sources == SOUND.sources


def gear(
    lines: int, codec: str = "h264", *, sound: bool = True, size: int = 0, marked: bool = False
) -> Format:
    """A format as the site names it; `540p` is 576 pixels wide there."""
    width = 576 if lines == 540 else lines
    id_ = f"{codec}-{lines}" + ("" if sound else "-mute") + (f"-{size}" if size else "")
    return Format(
        id_, source(id_), codec, sound, width, width * 16 // 9, size or lines, watermark=marked, lines=lines
    )


GEARS = (gear(540), gear(360), gear(1080), gear(720), gear(720, size=5000), MARKED)
HEVCS = (gear(720, "h265"), gear(1080, "h265"))
FEW = (gear(720), gear(1080))
UNKNOWN = Format("play", source("play"), "h264")


@pytest.mark.parametrize(
    ("formats", "quality", "codec", "key", "instead"),
    [
        (GEARS, "best", "h264", "h264-1080", None),
        (GEARS, "worst", "h264", "h264-360", None),
        (GEARS, 1080, "h264", "h264-1080", None),
        (GEARS, 1000, "h264", "h264-720-5000", None),
        (GEARS, 720, "h264", "h264-720-5000", None),
        (GEARS, 576, "h264", "h264-540", None),  # its pixels
        (GEARS, 540, "h264", "h264-540", None),  # its name
        (GEARS, 539, "h264", "h264-360", None),
        (GEARS, 10, "h264", "h264-360", None),  # none is so small: the smallest above
        (GEARS, 9999, "h264", "h264-1080", None),
        (FEW, 360, "h264", "h264-720", None),
        # what is watermarked is never preferred, nor what has no sound, nor what is of no known size
        ((MARKED, gear(360)), "best", "h264", "h264-360", None),
        ((gear(360, marked=True), gear(720)), "worst", "h264", "h264-720", None),
        ((MARKED,), "worst", "h264", "marked", None),
        ((gear(360, sound=False), gear(720)), "worst", "h264", "h264-720", None),
        ((UNKNOWN, gear(720)), "worst", "h264", "h264-720", None),
        ((UNKNOWN, gear(720)), "best", "h264", "h264-720", None),
        ((UNKNOWN,), 720, "h264", "play", None),
        # HEVC is for those who ask for it
        (GEARS + HEVCS, "best", "h264", "h264-1080", None),
        (GEARS + HEVCS, "best", "h265", "h265-1080", "h264-1080"),
        (GEARS + HEVCS, "worst", "h265", "h265-720", "h264-360"),
        (GEARS + HEVCS, 720, "h265", "h265-720", "h264-720-5000"),
        (GEARS + HEVCS, 360, "h265", "h265-720", "h264-360"),
        (GEARS, "best", "h265", "h264-1080", None),
        (HEVCS, "best", "h265", "h265-1080", None),
        (HEVCS, 720, "h264", "h265-720", None),
        ((gear(540), gear(720, "h265", sound=False)), "best", "h265", "h264-540", None),
        ((gear(540), gear(720, "h265", marked=True)), "best", "h265", "h264-540", None),
        ((MARKED, gear(720, "h265")), "best", "h265", "h265-720", "marked"),
    ],
)  # fmt: skip
def test_the_format_is_the_callers_choice(
    formats: tuple[Format, ...], quality: Quality, codec: Codec, key: str, instead: str | None
) -> None:
    for mode in ("VIDEO_ONLY", "ORIGINAL"):
        (part,) = choose(post(formats=formats), mode, Taste(quality, codec))  # type: ignore[arg-type]
        assert part.key == f"video:{key}"
        assert (part.instead.key if part.instead else None) == (f"video:{instead}" if instead else None)


@pytest.mark.parametrize(
    ("formats", "quality", "key"),
    [
        (GEARS, "best", "h264-1080"), (GEARS, "worst", "h264-360"), (GEARS, 540, "h264-540"),
        (GEARS + HEVCS, "best", "h264-1080"), (HEVCS, "best", "h265-1080"),
        ((gear(720), gear(1080, sound=False)), "best", "h264-720"), ((MARKED,), "best", "marked"),
    ],
)  # fmt: skip
def test_sound_only_of_a_video_is_its_own_soundtrack(
    formats: tuple[Format, ...], quality: Quality, key: str
) -> None:
    whole = post(formats=formats, sound=SOUND)
    (part,) = choose(whole, "AUDIO_ONLY", Taste(quality, "h265"))
    assert (part.key, part.kind, part.sources) == (f"soundtrack:{key}", "sound", ())
    assert part.of is not None
    assert part.of == find(whole, f"video:{key}")


def test_sound_only_of_photos_is_their_sound() -> None:
    (part,) = choose(post("photo", images=PHOTOS, sound=SOUND), "AUDIO_ONLY")
    assert (part.key, part.of, part.sources) == ("sound", None, SOUND.sources)
    with pytest.raises(NotVideoContent):
        choose(post("photo", images=PHOTOS), "AUDIO_ONLY")
    with pytest.raises(NotVideoContent):
        choose(post(formats=(MUTE,), sound=SOUND), "AUDIO_ONLY")


def test_the_cover_comes_last_where_there_is_one() -> None:
    covered = Taste(thumbnail=True)
    video = post(formats=GEARS, cover=source("cover"))
    photos = post("photo", images=PHOTOS, sound=SOUND, cover=source("cover"))
    assert [one.key for one in choose(video, "ORIGINAL", covered)] == ["video:h264-1080", "cover"]
    assert [one.key for one in choose(video, "AUDIO_ONLY", covered)] == ["soundtrack:h264-1080", "cover"]
    keys = [one.key for one in choose(photos, "ORIGINAL", covered)]
    assert keys == ["image:1", "image:2", "sound", "cover"]
    assert len(choose(post(formats=GEARS), "ORIGINAL", covered)) == 1
    assert len(choose(video, "ORIGINAL")) == 1


def test_every_part_is_found_again_by_its_key() -> None:
    video = post(formats=GEARS + HEVCS, cover=source("cover"))
    photos = post("photo", images=PHOTOS, sound=SOUND, cover=source("cover"))
    for whole in (video, photos):
        for mode in ("ORIGINAL", "AUDIO_ONLY"):
            for part in choose(whole, mode, Taste("worst", "h265", thumbnail=True)):  # type: ignore[arg-type]
                again = find(whole, part.key)
                assert (again.sources, again.kind, again.mark, again.of) == (
                    part.sources, part.kind, part.mark, part.of
                )  # fmt: skip
    with pytest.raises(UpstreamFailed):
        find(photos, "image:3")
