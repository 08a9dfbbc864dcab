"""Transcripts by their id, and those that the operator lists."""

from typing import Literal
from urllib.parse import quote

import aiohttp

from .connection import Connection, query, whole
from .errors import Cut, Malformed
from .records import HitPage, Transcript, TranscriptPage

Form = Literal["txt", "srt", "vtt", "json"]

FILE_BYTES_MAX = 64 << 20  # a day of speech, word by word, is about 15 MB


class Transcripts:
    """`client.transcripts`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def get(self, transcript: str) -> Transcript:
        """Where a transcript stands."""
        return await self._connection.told("GET", path(transcript), Transcript)

    async def file(self, transcript: str, form: Form = "txt") -> str:
        """A whole transcript in a form; waits for its end."""
        url = f"{self._connection.url}{path(transcript)}.{form}"
        async with self._connection.answer("GET", url, {}, again=True) as response:
            try:
                return (await whole(response, FILE_BYTES_MAX)).decode()
            except UnicodeDecodeError as failure:
                raise Malformed("the transcript is no UTF-8") from failure
            except (aiohttp.ClientError, OSError) as failure:
                raise Cut(f"the connection broke: {str(failure) or type(failure).__name__}") from failure

    async def rename(self, transcript: str, title: str | None) -> Transcript:
        """Gives a transcript another title; None takes it away."""
        return await self._connection.told("PATCH", path(transcript), Transcript, wish={"title": title})

    async def cancel(self, transcript: str) -> Transcript:
        """Ends the work on a transcript, for all who follow it."""
        return await self._connection.told("PATCH", path(transcript), Transcript, wish={"state": "cancelled"})

    async def delete(self, transcript: str) -> None:
        """Removes a transcript."""
        await self._connection.gone(path(transcript))

    async def list(self, *, limit: int | None = None, after: str | None = None) -> TranscriptPage:
        """Transcripts that have ended, newest first."""
        asked = query({"limit": limit, "after": after})
        return await self._connection.told("GET", f"/transcripts{asked}", TranscriptPage)

    async def search(self, q: str, *, limit: int | None = None, after: str | None = None) -> HitPage:
        """The segments that have all terms of `q`."""
        asked = query({"q": q, "limit": limit, "after": after})
        return await self._connection.told("GET", f"/transcripts{asked}", HitPage)


def path(transcript: str) -> str:
    return f"/transcripts/{quote(transcript, safe='')}"
