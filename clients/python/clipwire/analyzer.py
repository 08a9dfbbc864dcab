"""What posts say of themselves."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from .connection import Connection
from .records import Batch, Captions, Post

T = TypeVar("T")


class _Envelope(msgspec.Struct, Generic[T], frozen=True):
    data: T


class Analyzer:
    """`client.analyzer`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def extract(
        self,
        url: str,
        *,
        thumbnail: bool = True,
        slides: bool = False,
        language: str | None = None,
        cache_ttl: int | None = None,
    ) -> Post:
        """A post's figures and texts, with what is to be seen in its thumbnail, or in its slides too.

        `language` is that of descriptions; `cache_ttl` how old, in seconds, what is known may be.
        """
        wish = {"url": url, "cache_ttl": cache_ttl} | _pictures(thumbnail, slides, language)
        return (await self._connection.told("POST", "/extract", _Envelope[Post], wish=wish)).data

    async def batch(
        self,
        urls: Sequence[str],
        *,
        parallel: bool = True,
        thumbnail: bool = True,
        slides: bool = False,
        language: str | None = None,
    ) -> Batch:
        """The same of several; one that fails changes nothing for the others."""
        wish = {"urls": list(urls), "parallel_processing": parallel} | _pictures(thumbnail, slides, language)
        found = self._connection.told("POST", "/extract/batch", _Envelope[Batch], wish=wish, waits=True)
        return (await found).data

    async def captions(self, url: str, language: str | None = None, cache_ttl: int | None = None) -> Captions:
        """A post's own captions, in a language if there are any in it."""
        wish = {"url": url, "preferred_language": language, "cache_ttl": cache_ttl}
        return (
            await self._connection.told("POST", "/extract-transcript", _Envelope[Captions], wish=wish)
        ).data


def _pictures(thumbnail: bool, slides: bool, language: str | None) -> dict[str, object]:
    return {
        "include_thumbnail_analysis": thumbnail,
        "analyse_slides": slides,
        "language": language,
    }
