"""Media to transcripts: what is heard in posts and uploads, and what posts' own captions say."""

from collections.abc import AsyncGenerator, Callable, Hashable
from contextlib import AbstractAsyncContextManager, aclosing

import structlog

from gateway.errors import (
    AudioTooLong,
    CreditTooSmall,
    GatewayError,
    MediaUndecodable,
    NotAudio,
    UpstreamFailed,
    VideoTooLong,
)
from gateway.media.audio import Decoders
from gateway.media.captions import Source, caption
from gateway.media.parts import Parts
from gateway.media.post import Post, Wanted, heard
from gateway.media.sniff import foreign
from gateway.media.spool import Spool
from gateway.media.spools import Fill, Spools
from gateway.settings import Settings
from gateway.speech.transcript import Settle
from gateway.speech.transcripts import Options, Origin, Sound, Transcript, Transcripts
from gateway.speech.written import written
from gateway.store.tables import ANYONE
from gateway.transcripts.scribe import Scribe

HEAD_BYTES = 512  # of media that nobody understood: what else they may be
TITLE_CHARS_MAX = 200

log = structlog.get_logger()


class Hearing:
    """The transcripts of media: the running or kept one, or a new one."""

    def __init__(
        self,
        settings: Settings,
        parts: Parts,
        spools: Spools,
        decoders: Decoders,
        transcripts: Transcripts,
        scribe: Scribe,
    ) -> None:
        self._settings = settings
        self._parts = parts
        self._spools = spools
        self._decoders = decoders
        self._transcripts = transcripts
        self._scribe = scribe

    def transcript(
        self,
        post: Post,
        options: Options,
        media: Wanted | None = None,
        *,
        owner: str = ANYONE,
        registered: bool = True,
    ) -> Transcript:
        """The transcript of what is heard in a post; in `media`, where those are its video.

        `owner` asks for it, and has it from now on; one that is begun is a job, unless it is `registered`
        by what it is begun for. Raises NotVideoContent, Busy, NotReady.
        """
        wanted = media if media is not None and post.kind == "video" else heard(post)
        key = post.id
        if post.kind == "photo" and post.sound is not None and post.sound.id is not None:
            key = f"sound {post.sound.id}"  # the same one in other posts
        sound = self._sound(lambda: self._parts.open(post, wanted))
        found = self._transcripts.join(key, options, sound, duration=post.duration_s, origin=_origin(post))
        return self._scribe.owned(found, owner, registered=registered)

    async def transcript_from(
        self, source: Source, post: Post, options: Options, *, owner: str = ANYONE
    ) -> Transcript:
        """The transcript of a post: its own captions where they are what is wanted, else what is heard.

        Raises what `transcript` does; with source `captions` also what kept them from being read.
        """
        chosen = caption(
            post,
            source=source,
            language=options.language,
            task=options.task,
            modelled=bool(options.words or options.prompt or options.hotwords or options.temperature),
        )
        if chosen is None:
            return self.transcript(post, options, owner=owner)
        key = (post.id, chosen.part.key)
        instead = (*key, options)  # speech that was recognised because of them
        there = self._transcripts.named(key)
        if there is None and source == "auto":
            there = self._transcripts.named(instead)
        if there is not None:
            return self._scribe.owned(there, owner)
        try:
            found = await self._parts.captions(post, chosen.part)
            if not found and source == "auto":
                raise UpstreamFailed("The captions have no text.")
        except GatewayError as failure:
            if source == "captions":
                raise
            log.warning(
                "captions not read, recognising speech",
                post=post.id,
                part=chosen.part.key,
                code=failure.code,
                reason=failure.message,
            )
            heard = self.transcript(post, options, owner=owner)
            return self._scribe.owned(self._transcripts.claim(heard, instead), owner)
        work = written(
            found, captions=chosen.kind, language=chosen.language or None, duration=post.duration_s
        )
        # an empty one is no answer to those who would take speech as well
        told = self._transcripts.written(
            key if found else (*key, ""), work, duration=post.duration_s, origin=_origin(post)
        )
        return self._scribe.owned(told, owner)

    def uploaded(self, key: Hashable, fill: Fill, options: Options, *, owner: str = ANYONE) -> Transcript:
        """The transcript of what is heard in a caller's own media. Raises Busy, NotReady."""
        sound = self._sound(lambda: self._spools.upload(key, fill))
        return self._scribe.owned(
            self._transcripts.join(("upload", key), options, sound, duration=None), owner
        )

    def bought(
        self, key: Hashable, fill: Fill, options: Options, *, worth_s: float, settle: Settle, id_: str
    ) -> Transcript:
        """The same, of a code that is worth so much: it is stopped as soon as there is more.

        Raises Busy, NotReady; its readers get CreditTooSmall, AudioTooLong, NotAudio too.
        """
        seconds_max = self._settings.video_duration_max
        sound = self._sound(lambda: self._spools.upload(key, fill), seconds_max=min(seconds_max, worth_s))

        async def samples() -> AsyncGenerator[bytes, None]:
            try:
                async with aclosing(sound.samples()) as chunks:
                    async for chunk in chunks:
                        yield chunk
            except VideoTooLong:
                if worth_s < seconds_max:
                    raise CreditTooSmall(
                        f"The audio is longer than {worth_s:g} s, which is what the code is worth."
                    ) from None
                raise AudioTooLong(f"The audio is longer than {seconds_max:g} s.") from None
            except MediaUndecodable:
                async with (
                    self._spools.upload(key, fill) as spool,
                    aclosing(spool.chunks(0, HEAD_BYTES)) as first,
                ):
                    head = await anext(first, b"") if spool.size else b""
                if foreign(head):
                    raise NotAudio from None
                raise

        heard = Sound(samples, sound.arrived, sound.digest)
        return self._transcripts.join(("upload", key), options, heard, duration=None, settle=settle, id_=id_)

    def _sound(
        self,
        opened: Callable[[], AbstractAsyncContextManager[Spool]],
        *,
        seconds_max: float | None = None,  # None: as the settings say
    ) -> Sound:
        """What is heard in a spool, which is opened whenever it is needed."""
        open_: list[Spool] = []
        most_s = self._settings.video_duration_max if seconds_max is None else seconds_max

        async def samples() -> AsyncGenerator[bytes, None]:
            async with opened() as spool:
                open_.append(spool)
                await spool.begun()
                async with aclosing(self._decoders.samples(spool, seconds_max=most_s)) as chunks:
                    async for chunk in chunks:
                        yield chunk

        async def digest() -> str:
            async with opened() as spool:
                return await spool.digest()

        def arrived() -> tuple[int, int | None]:
            return (open_[0].size, open_[0].length) if open_ else (0, None)

        return Sound(samples, arrived, digest)


def _origin(post: Post) -> Origin:
    """Where a post's words come from."""
    sound_id = post.sound.id if post.kind == "photo" and post.sound is not None else None
    return Origin(post.title[:TITLE_CHARS_MAX] or None, post.url, post.id, sound_id)
