"""Text as it is searched for, and what of it is wanted. Pure.

Always: a term is found in a text if, folded, it stands in the folded text. No words are told apart,
so scripts without spaces are searched like any other.
"""

import re
import unicodedata

TERMS_MAX = 16  # each is a condition of its own
TERM_CHARS_MAX = 200

_TERM = re.compile(r'"([^"]+)"|([^\s"]+)')


def fold(text: str) -> str:
    """Without differences of case, width, composition, white space and marks that nobody sees."""
    seen = "".join(one for one in text if not _unseen(one))
    same = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())
    return " ".join(same.split())


def terms(query: str) -> list[str]:
    """What must stand in a text, folded: words, and in double quotes, stretches with spaces in them."""
    found = (phrase.strip() or word for phrase, word in _TERM.findall(fold(query)))
    return list(dict.fromkeys(term[:TERM_CHARS_MAX] for term in found if term))[:TERMS_MAX]


def _unseen(char: str) -> bool:
    """Joiners, marks of direction, soft hyphens; how an emoji is to look; what no database takes."""
    return char == "\0" or "\ufe00" <= char <= "\ufe0f" or unicodedata.category(char) in ("Cf", "Cs")
