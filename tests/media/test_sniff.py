import pytest

from gateway.media import sniff


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\0\0\0\x20ftypisom\0\0\0\0", "video/mp4"), (b"\0\0\0\x20ftypM4A \0\0\0\0", "audio/mp4"),
        (b"\0\0\0\x20ftypheic\0\0\0\0", "image/heic"), (b"\xff\xd8\xff\xe0" + bytes(12), "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n" + bytes(8), "image/png"), (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"ID3\x04" + bytes(12), "audio/mpeg"), (b"\xff\xfb\x90\x64" + bytes(12), "audio/mpeg"),
        (b"<!DOCTYPE html><", None), (b'{"error": 1}    ', None), (b"", None), (b"\xff", None),
        (b"\xff\xf1\x50\x80" + bytes(12), None),
    ],
)  # fmt: skip
def test_the_bytes_say_what_they_are(head: bytes, kind: str | None) -> None:
    assert sniff.media_type(head) == kind


def test_a_part_is_made_of_its_kind() -> None:
    assert sniff.fits("video/mp4", "video")
    assert sniff.fits("video/mp4", "sound")
    assert sniff.fits("audio/mpeg", "sound")
    assert not sniff.fits("image/jpeg", "video")
    assert not sniff.fits("audio/mpeg", "video")
