"""A key as callers send it, and what is kept of it. Pure.

Always: a key is 256 bits of chance, so that its hash cannot be searched and needs no salt; its beginning
and its checksum tell a typing error from a wrong key, and whoever scans texts for secrets what it is.
"""

import hashlib
import re
import secrets
import zlib

PREFIX = "cw_"
ID_CHARS = 16

_SHAPE = re.compile(r"(cw_[A-Za-z0-9_-]{43})_([0-9a-f]{8})", re.ASCII)


def new() -> str:
    """A key."""
    body = PREFIX + secrets.token_urlsafe(32)
    return f"{body}_{_checksum(body)}"


def hashed(sent: str) -> str | None:
    """What is kept of a key; None: this is no key of ours."""
    found = _SHAPE.fullmatch(sent)
    if found is None or _checksum(found[1]) != found[2]:
        return None
    return hashlib.sha256(sent.encode()).hexdigest()


def named(told: str) -> str:
    """The id of a key: it may be told by itself, or by the key."""
    hash_ = hashed(told)
    return told if hash_ is None else hash_[:ID_CHARS]


def _checksum(body: str) -> str:
    return f"{zlib.crc32(body.encode()):08x}"
