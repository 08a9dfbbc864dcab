"""Parts to bytes and bytes to parts: `multipart/x-mixed-replace` as docs/wire.md draws it.

Always: a delimiter with its head is one piece under 1024 bytes, so that a reader of 1 KiB blocks
never sees a head cut in two by us; names and values have passed `file_name` or are ours.
"""

import base64
import re
import secrets
from collections.abc import Callable, Iterator

import msgspec
import orjson

BOUNDARY = "simple_boundary"  # clients that hard-code it match the prefix of ours
META_CHARS_MAX = 8000  # aiohttp refuses header fields from 8,190; Node allows 16 KiB for all of them
NAME_BYTES_MAX = 100
POST_ID_CHARS_MAX = 32  # they have 19; room for the author is left whatever comes
HEAD_BYTES_MAX = 1023

_EXTENSIONS = {
    "video/mp4": ".mp4",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "image/heic": ".heic",
    "image/avif": ".avif",
    "audio/mpeg": ".mp3",
    "audio/mp4": ".m4a",
}
# names that Windows keeps for devices, whatever their extension
_DEVICES = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)(\.|$)")


class Part(msgspec.Struct, frozen=True):
    """The head of a part. `length` in bytes, None while it is not known; `link` is a path of ours."""

    name: str
    media_type: str
    length: int | None = None
    link: str | None = None
    range: str | None = None  # of a slice: its Content-Range

    def slice(self, start: int, end: int, total: int | None) -> "Part":
        """The head of the bytes from `start` to `end`, of `total`, if that is known."""
        whole = "*" if total is None else str(total)
        return msgspec.structs.replace(self, length=end - start, range=f"bytes {start}-{end - 1}/{whole}")


def boundary(fixed: bool = False) -> str:
    """A delimiter that no media can forge, or the bare word for clients that need it."""
    return BOUNDARY if fixed else BOUNDARY + secrets.token_hex(16)


def head(part: Part, boundary: str, *, first: bool) -> bytes:
    """Delimiter and part head, in one piece; all but the first begin with the CRLF that ends a payload."""
    length = f"Content-Length: {part.length}\r\n" if part.length is not None else ""
    span = f"Content-Range: {part.range}\r\n" if part.range is not None else ""
    link = f"Content-Location: {part.link}\r\n" if part.link is not None else ""
    data = (
        f"{'' if first else chr(13) + chr(10)}--{boundary}\r\n"
        f"Content-Type: {part.media_type}\r\n"
        f"{length}{span}{link}"
        f'Content-Disposition: attachment; filename="{part.name}"\r\n\r\n'
    ).encode("ascii")
    assert len(data) <= HEAD_BYTES_MAX
    return data


def closing(boundary: str) -> bytes:
    """What ends the last payload and the body; without it the body was cut."""
    return f"\r\n--{boundary}--\r\n".encode("ascii")


def content_type(boundary: str) -> str:
    """The answer's media type: boundary unquoted and last, as known clients parse it."""
    return f"multipart/x-mixed-replace; boundary={boundary}"


def extension(media_type: str) -> str | None:
    """The file-name ending that tells the truth about a media type; None for what is not delivered."""
    return _EXTENSIONS.get(media_type)


def file_name(
    author: str, post_id: str, media_type: str, number: int | None = None, *, mark: str = "", copy: int = 1
) -> str:
    """`<author>_<id>.mp4` or `<author>_<id>_01.jpg`: ASCII, unique within a post, safe on every system.

    `mark` tells a part apart from the others of its post (`_cover`); `copy` the second time that the
    same post is in an answer from the first (`-2`).
    """
    author = re.sub(r"[^A-Za-z0-9._-]|\.(?=\.)", "_", author).strip("._-") or "post"
    post_id = re.sub(r"[^A-Za-z0-9]", "", post_id)[:POST_ID_CHARS_MAX]
    tail = (
        f"_{post_id}"
        + (f"_{number:02d}" if number is not None else "")
        + (f"_{mark}" if mark else "")
        + (f"-{copy}" if copy > 1 else "")
        + (extension(media_type) or ".bin")
    )
    if _DEVICES.match(author + tail):
        author = f"_{author}"
    return author[: NAME_BYTES_MAX - len(tail)] + tail


def content_meta(title: str, desc: str) -> str:
    """Standard Base64 of `{"title", "desc"}` in UTF-8, `desc` (then `title`) cut to what a header may hold.

    Known clients read it with Python's literal syntax: strings only, non-ASCII unescaped.
    """

    def encoded(title: str, desc: str) -> str:
        return base64.b64encode(orjson.dumps({"title": title, "desc": desc})).decode("ascii")

    title, desc = _printable(title), _printable(desc)
    title = _longest(title, lambda cut: len(encoded(cut, "")) <= META_CHARS_MAX // 2)
    desc = _longest(desc, lambda cut: len(encoded(title, cut)) <= META_CHARS_MAX)
    return encoded(title, desc)


def _printable(text: str) -> str:
    return text.encode("utf-8", "ignore").decode("utf-8")  # lone surrogates have no UTF-8


def _longest(text: str, fits: Callable[[str], bool]) -> str:
    """The longest start of `text` that fits; `fits` is monotonic in the length."""
    if fits(text):
        return text
    low, high = 0, len(text)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(text[:middle]) else (low, middle)
    return text[:low]


class Received(msgspec.Struct, frozen=True):
    """A part as read back: header names in lower case, and the payload."""

    headers: dict[str, str]
    body: bytes


class Cut(ValueError):
    """The body ended before its closing delimiter."""


def parts(body: bytes, boundary: str) -> Iterator[Received]:
    """The parts of a whole body. Raises Cut when it does not end with the closing delimiter."""
    delimiter = b"\r\n--" + boundary.encode("ascii")
    ends = re.compile(re.escape(delimiter) + rb"(?=\r\n|--)")
    body = b"\r\n" + body  # the first delimiter is then like the others
    at = 0
    while body.startswith(delimiter + b"\r\n", at):
        at += len(delimiter)
        head_end = body.find(b"\r\n\r\n", at)
        if head_end < 0:
            raise Cut("a head without its end")
        lines = body[at + 2 : head_end].decode("ascii").split("\r\n")
        headers = {name.lower(): value for name, value in (one.split(": ", 1) for one in lines)}
        start = head_end + 4
        length = headers.get("content-length")
        if length is not None:
            at = start + int(length)  # a told length outranks what looks like a delimiter
        else:
            found = ends.search(body, start)
            at = found.start() if found else len(body)
        if at >= len(body):
            raise Cut("a part without its end")
        yield Received(headers, body[start:at])
    if body[at:] != delimiter + b"--\r\n":
        raise Cut("no closing delimiter")
