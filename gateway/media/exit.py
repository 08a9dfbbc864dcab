"""One way out to the site, as it crosses to the extractor process."""

from urllib.parse import urlsplit

import msgspec


class Exit(msgspec.Struct, frozen=True):
    """One way out: through a proxy, or, without a `url`, directly."""

    number: int
    url: str | None = None

    @property
    def place(self) -> str:
        """Where it is, without its secret."""
        parts = urlsplit(self.url or "")
        return f"{parts.hostname}:{parts.port}" if self.url else "direct"

    def __repr__(self) -> str:
        return f"Exit({self.number})"
