"""What bytes really are, by their first bytes. Pure."""

import re

# what ffmpeg may take media for; left to itself it also knows formats that open other files, and sockets
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,mp3,aac,wav,ogg,matroska,webm,flac,"
    "ac3,aiff,amr,asf,au,avi,caf,eac3,flv,mpeg,mpegts,tta,w64,wv"
)
HEAD_BYTES = 16  # enough for every signature below

_M4A_BRANDS = (b"M4A ", b"M4B ")
_HEIC_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"hevx")
_AVIF_BRANDS = (b"avif", b"avis")
_OTHERS = (b"%PDF", b"PK\x03\x04", b"\x7fELF", b"MZ", b"\x1f\x8b", b"GIF8", b"7z\xbc\xaf", b"Rar!")
_WRITTEN = bytes([9, 10, 12, 13, *range(32, 127), *range(128, 256)])  # any letter, no control sign
_WEBVTT = re.compile(rb"(?:\xef\xbb\xbf)?WEBVTT(?:[ \t\r\n]|\Z)")


def media_type(head: bytes) -> str | None:
    """The media type of what begins with `head`, None when it is nothing that posts are made of."""
    if head[4:8] == b"ftyp":
        brand = head[8:12]
        if brand in _HEIC_BRANDS:
            return "image/heic"
        if brand in _AVIF_BRANDS:
            return "image/avif"
        return "audio/mp4" if brand in _M4A_BRANDS else "video/mp4"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    # MPEG audio: an ID3 tag, or a frame's sync word with layer III and a valid bit rate
    if head.startswith(b"ID3") or (
        len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2 and head[2] < 0xF0
    ):
        return "audio/mpeg"
    return "text/vtt" if _WEBVTT.match(head) else None


def foreign(head: bytes) -> bool:
    """Whether these bytes are surely neither sound nor film: text, a picture, a document, an archive."""
    if head.startswith(_OTHERS) or (media_type(head) or "").startswith(("image/", "text/")):
        return True
    return bool(head) and not head.translate(None, _WRITTEN)


def fits(media_type: str, kind: str) -> bool:
    """Whether bytes of this type are what a part of this kind is made of."""
    if kind == "sound":
        return media_type.startswith("audio/") or media_type == "video/mp4"  # MP4 without a picture
    if kind == "caption":
        return media_type == "text/vtt"
    return media_type.startswith(kind + "/")
