"""Any text to a post's address: which URLs are ours. Pure.

Always: what comes out is rebuilt from an id or a code that matched; nothing of the caller's
text is dialled. So a look-alike host cannot be reached through here.
"""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from gateway.errors import InvalidUrl

TEXT_CHARS_MAX = 4096  # a share text is a few lines

# where an address may start inside pasted text; the scheme is often lost in copying
_CANDIDATE = re.compile(r"(?i)https?://[^\s<>\"']+|(?<![\w@./:-])(?:\w+\.)?tiktokv?\.com/[^\s<>\"']+")
_PAGES = frozenset(
    {"tiktok.com", "www.tiktok.com", "m.tiktok.com", "tiktokv.com", "www.tiktokv.com", "m.tiktokv.com"}
)
_SHORT_HOSTS = frozenset({"vm.tiktok.com", "vt.tiktok.com"})
_ID = r"(?P<id>[0-9]{5,25})"
_POST_PATHS = tuple(
    re.compile(pattern)
    for pattern in (
        rf"/@[\w.%-]*/(?:video|photo)/{_ID}(?![0-9])",
        rf"/share/(?:video|photo)/{_ID}(?![0-9])",
        rf"/embed/(?:v[0-9]/)?{_ID}(?![0-9])",
        rf"/player/v1/{_ID}(?![0-9])",
        rf"/v/{_ID}(?:\.html)?(?![0-9])",
    )
)
_CODE = r"(?P<code>[A-Za-z0-9_-]{4,32})"
_SHORT_PATH = re.compile(rf"/{_CODE}(?![\w-])")
_T_PATH = re.compile(rf"/t/{_CODE}(?![\w-])")


class Address(msgspec.Struct, frozen=True):
    """A post by its id, or a short link that is yet to be unfolded to one."""

    url: str
    post_id: str | None  # None for a short link


def find(text: str) -> Address:
    """The first post address in the text. Raises InvalidUrl when there is none."""
    for candidate in _candidates(text[:TEXT_CHARS_MAX]):
        if (address := parse(candidate)) is not None:
            return address
    raise InvalidUrl


def known(text: str) -> bool:
    """Whether there is one in the text."""
    return any(parse(candidate) is not None for candidate in _candidates(text[:TEXT_CHARS_MAX]))


def canonical(post_id: str) -> str:
    """The address that the page is read from; it serves photo posts and any author too."""
    return f"https://www.tiktok.com/@_/video/{post_id}"


def parse(url: str) -> Address | None:
    """The address that one URL stands for, None when it is not ours."""
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        port = parts.port
    except ValueError:
        return None
    host = (parts.hostname or "").lower()
    plain = parts.scheme in ("http", "https") and "@" not in parts.netloc and "\\" not in parts.netloc
    if not plain or port not in (None, {"http": 80, "https": 443}[parts.scheme]):
        return None
    if host in _PAGES:
        for pattern in _POST_PATHS:
            if found := pattern.match(parts.path):
                return Address(canonical(found["id"]), found["id"])
        if found := _T_PATH.match(parts.path):
            return Address(f"https://www.tiktok.com/t/{found['code']}/", None)
    if host in _SHORT_HOSTS and (found := _SHORT_PATH.match(parts.path)):
        return Address(f"https://{host}/{found['code']}/", None)
    return None


def _candidates(text: str) -> Iterator[str]:
    for found in _CANDIDATE.finditer(text):
        yield found[0]
