"""Range, If-Range and Content-Range, as RFC 9110 has them.

One range of bytes is served. Several, and what is not understood, are passed over: the whole file is
the answer then, as the RFC allows.
"""

import re

import msgspec

# a list may have empty elements; numbers beyond 18 digits are no file's
_RANGE = re.compile(r"(?i)bytes=[ \t,]*([0-9]{0,18})-([0-9]{0,18})[ \t,]*")
_CONTENT_RANGE = re.compile(r"(?i)bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18}|\*)")
_STRONG = re.compile(r'"[\x21\x23-\x7e]{0,200}"')


class Asked(msgspec.Struct, frozen=True):
    """`first-last`, `first-` without a last, or without a first the final `last` bytes."""

    first: int | None
    last: int | None

    @property
    def whole(self) -> bool:
        """Whether these are all bytes, whatever the length."""
        return self.first == 0 and self.last is None

    @property
    def from_end(self) -> bool:
        """Whether only the file's end tells which bytes these are."""
        return self.first is None or self.last is None


class Told(msgspec.Struct, frozen=True):
    """Which bytes an answer has, and of how many; `total` is None where that is not known."""

    span: range
    total: int | None


def asked(header: str | None) -> Asked | None:
    """What a Range header asks for; None where the whole is the answer."""
    found = _RANGE.fullmatch((header or "").strip())
    if found is None or not (found[1] or found[2]):
        return None
    first, last = (int(one) if one else None for one in found.groups())
    if first is not None and last is not None and last < first:
        return None
    return Asked(first, last)


def span(asked: Asked, total: int | None) -> range | None:
    """The bytes asked for, None when there are none. Without a total, `asked` must tell both ends."""
    if total is None:
        assert asked.first is not None
        assert asked.last is not None
        return range(asked.first, asked.last + 1)
    if asked.first is None:
        found = range(max(0, total - (asked.last or 0)), total)
    else:
        found = range(asked.first, total if asked.last is None else min(asked.last + 1, total))
    return found or None


def content_range(span: range | None, total: int | None) -> str:
    """`bytes a-b/total`; with None for the span, that there are no such bytes."""
    which = "*" if span is None else f"{span.start}-{span.stop - 1}"
    return f"bytes {which}/{'*' if total is None else total}"


def told(header: str | None) -> Told | None:
    """What a Content-Range header tells; None when it is none, or tells of no bytes."""
    found = _CONTENT_RANGE.fullmatch(header or "")
    if found is None:
        return None
    first, last, total = int(found[1]), int(found[2]), None if found[3] == "*" else int(found[3])
    if last < first or (total is not None and last >= total):
        return None
    return Told(range(first, last + 1), total)


def strong(etag: str | None) -> str | None:
    """An entity tag that tells files apart byte for byte; None for a weak one, or what is none."""
    return etag if etag is not None and _STRONG.fullmatch(etag) else None


def still(if_range: str | None, etag: str | None) -> bool:
    """Whether a range may be sent: the caller has no condition, or has bytes of this very file.

    A date never is one: it is compared with Last-Modified, which is not sent.
    """
    return if_range is None or (strong(etag) is not None and if_range.strip() == etag)
