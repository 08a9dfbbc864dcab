import av
import pytest

from gateway.media import sniff


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypisom\0\0\0\0", "video/mp4"), (b"\0\0\0\x20ftypM4A \0\0\0\0", "audio/mp4"),
        (b"\0\0\0\x20ftypheic\0\0\0\0", "image/heic"), (b"\xff\xd8\xff\xe0" + bytes(12), "image/jpeg"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", "image/avif"),
        (b"\x89PNG\r\n\x1a\n" + bytes(8), "image/png"), (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"ID3\x04" + bytes(12), "audio/mpeg"), (b"\xff\xfb\x90\x64" + bytes(12), "audio/mpeg"),
        (b"<!DOCTYPE html><", None), (b'{"error": 1}    ', None), (b"", None), (b"\xff", None),
        (b"\xff\xf1\x50\x80" + bytes(12), None),
        (b"WEBVTT", "text/vtt"), (b"WEBVTT\n\n00:00:00.0", "text/vtt"), (b"WEBVTT - by hand", "text/vtt"),
        (b"\xef\xbb\xbfWEBVTT\r\n", "text/vtt"), (b"WEBVTTX", None), (b" WEBVTT\n", None), (b"WEBVT", None),
        (b"\xff\xfeW\0E\0B\0V\0T\0", None), (b"1\n00:00:01,000 -", None),
    ],
)  # fmt: skip
def test_the_bytes_say_what_they_are(head: bytes, kind: str | None) -> None:
    assert sniff.media_type(head) == kind


def test_a_part_is_made_of_its_kind() -> None:
    assert sniff.fits("video/mp4", "video")
    assert sniff.fits("video/mp4", "sound")
    assert sniff.fits("audio/mpeg", "sound")
    assert sniff.fits("text/vtt", "caption")
    assert not sniff.fits("image/jpeg", "video")
    assert not sniff.fits("audio/mpeg", "video")
    for kind in ("video", "image", "sound"):
        assert not sniff.fits("text/vtt", kind)
    assert not sniff.fits("video/mp4", "caption")


# formats that name other files, sockets or devices, which ffmpeg would then open
NAMING = {
    "alsa", "concat", "dash", "fbdev", "ffmetadata", "hls", "image2", "image2pipe", "kmsgrab", "lavfi",
    "mpjpeg", "oss", "rtp", "rtsp", "sap", "sdp", "video4linux2", "vobsub", "webm_dash_manifest", "x11grab",
}  # fmt: skip


def test_what_is_taken_for_media_is_known_to_ffmpeg_and_names_nothing_else() -> None:
    names = sniff.DEMUXERS.split(",")
    assert len(names) == len(set(names))
    for name in names:
        assert av.format.ContainerFormat(name, "r").is_input
    assert not NAMING & set(names)
    assert NAMING & av.formats_available  # they are not called otherwise by now


@pytest.mark.parametrize(
    ("head", "foreign"),
    [
        (b"Words, and nothing else.\r\n", True), ("Gr\u00fc\u00dfe".encode(), True), (b"%PDF-1.7\n\0", True),
        (b"PK\x03\x04\0\0", True), (b"\x89PNG\r\n\x1a\n" + bytes(8), True), (b"WEBVTT\n\n", True),
        (b"ID3\x04" + bytes(12), False), (b"RIFF\x24\0\0\0WAVEfmt ", False), (b"OggS\0\x02", False),
        (b"\0\0\0\x20ftypisom\0\0\0\0", False), (bytes(16), False), (b"", False),
    ],
)  # fmt: skip
def test_what_is_surely_no_sound(head: bytes, foreign: bool) -> None:
    assert sniff.foreign(head) is foreign
