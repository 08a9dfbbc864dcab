"""Text of others, as it may be shown to a person. Pure."""

import json
import unicodedata

# they make letters out of what stands beside them, in Persian, Hindi and among emoji
_JOINERS = frozenset("\u200c\u200d")


def line(text: str) -> str:
    """One line that moves no cursor, changes no colour and turns no direction."""
    return " ".join("".join(_shown(character) for character in text).split())


def lines(text: str) -> str:
    """The same for text of several lines."""
    return "".join("\n" if character == "\n" else _shown(character) for character in text)


def document(text: str) -> str:
    """JSON that means the same, with escapes in the place of what a terminal obeys or does not show."""
    return "".join(
        json.dumps(character)[1:-1] if unicodedata.category(character) in ("Cc", "Cf") else character
        for character in text
    )


def _shown(character: str) -> str:
    if character in _JOINERS:
        return character
    category = unicodedata.category(character)
    if category in ("Zl", "Zp") or character in "\t\n\r":
        return " "
    return "" if category in ("Cc", "Cf", "Cs") else character


def clock(seconds: float) -> str:
    """A time in a sound, as players show it."""
    whole = max(0, int(seconds))
    hours, minutes = whole // 3600, whole // 60 % 60
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def size(count: int) -> str:
    """A number of bytes."""
    return f"{count / 1_000_000:.1f} MB" if count >= 1_000_000 else f"{count / 1000:.1f} kB"
