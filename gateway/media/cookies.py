"""A Netscape cookie file's lines as values. Pure.

Always: only cookies of the site's own names come out, and nothing of the file is in an error.
"""

from collections.abc import Callable

import msgspec

HTTP_ONLY = "#HttpOnly_"
FIELDS = 7  # domain, with subdomains, path, secure, expires, name, value


class Cookie(msgspec.Struct, frozen=True):
    """One cookie; the domain begins with a dot when it goes to the names below it too."""

    domain: str
    path: str
    secure: bool
    expires: int | None  # unix time; None for a session's
    name: str
    value: str

    def __repr__(self) -> str:
        return f"Cookie({self.domain})"


def parse(text: str, ours: Callable[[str], bool]) -> tuple[Cookie, ...]:
    """The cookies for names that are `ours`; lines that are none are passed over."""
    return tuple(
        cookie for line in text.splitlines() if (cookie := _cookie(line)) and ours(cookie.domain.lstrip("."))
    )


def _cookie(line: str) -> Cookie | None:
    line = line.removeprefix(HTTP_ONLY)
    fields = line.split("\t")
    if line.startswith("#") or len(fields) != FIELDS:
        return None
    domain, below, path, secure, expires, name, value = fields
    seconds = expires.partition(".")[0]
    if not name or not domain.strip(".") or (seconds and not seconds.isdecimal()):
        return None
    return Cookie(
        ("." if below == "TRUE" else "") + domain.lstrip(".").lower(),
        path or "/",
        secure == "TRUE",
        int(seconds or 0) or None,
        name,
        value,
    )
