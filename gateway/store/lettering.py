"""A single-use code as people read and type it, and what is kept of it. Pure."""

import hashlib
import secrets

# neither 0 and O nor 1, I and l; 32 signs are 5 bits each
LETTERS = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
GROUPS, GROUP = 5, 5  # 125 bits: a hash of it cannot be searched, so it needs no salt and no stretching


def new() -> str:
    """A code, in groups."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(GROUP)) for _ in range(GROUPS))


def hashed(typed: str) -> str | None:
    """What is kept of a code, however it was typed; None: this is no code."""
    letters = "".join(one for one in typed[:200].upper() if one not in " -\t\r\n")
    if len(letters) != GROUPS * GROUP or not set(letters) <= set(LETTERS):
        return None
    return hashlib.sha256(letters.encode()).hexdigest()
