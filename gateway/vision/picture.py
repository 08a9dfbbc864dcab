"""What an image is, by its first bytes, and whether a vision API takes it as it stands. Pure."""

IMAGE_BYTES_MAX = 8 << 20  # of what is fetched; the site's thumbnails are under a megabyte
SENT_BYTES_MAX = 1 << 20  # a larger one is made smaller first: the API looks at 2048 pixels at the most
HEAD_BYTES = 12

_PICTURES = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"hevx")  # brands of ISO files


def media_type(data: bytes) -> str | None:
    """The media type of an image, None where it is nothing that can be looked at."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "image/gif"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "image/webp"
    return "image/heif" if data[4:8] == b"ftyp" and data[8:12] in _PICTURES else None


def sendable(data: bytes) -> bool:
    """Whether a vision API takes it as it is: small, of a type that is documented, and still."""
    return len(data) <= SENT_BYTES_MAX and media_type(data) not in (None, "image/heif") and not _moves(data)


def _moves(data: bytes) -> bool:
    """Whether it is an animated WebP, by the flag in its extended header: the APIs take stills."""
    return data[8:16] == b"WEBPVP8X" and len(data) > 20 and bool(data[20] & 0x02)
