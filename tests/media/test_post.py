import pytest

from gateway.errors import NotVideoContent
from gateway.media.film import Film
from gateway.media.post import Format, Image, Post, Sound, Source, choose, heard


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
    (silent,) = choose(post("photo", images=PHOTOS), "VIDEO_ONLY", Film(live=True))
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
