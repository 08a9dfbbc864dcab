"""One thing after the other heard, and written down as the words come."""

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from urllib.parse import urlsplit

from clipwire import Client, ClipwireError, End, Event, Info, Progress, Segment, TranscriptFailed, files

from gateway.commands import asking, inputs, plain
from gateway.commands.asking import Access
from gateway.commands.out import Out, poured
from gateway.commands.places import Places
from gateway.commands.telling import Going, Telling
from gateway.commands.transcribe import Target, Wish
from gateway.commands.writing import Writing


async def heard(given: Sequence[str], wish: Wish, target: Target, access: Access, telling: Telling) -> int:
    """All that was given; the exit code."""
    async with asking.asked(access, telling) as client:
        return await asking.each(given, Hearing(client, wish, target, telling, given).hear, telling)


class Hearing:
    """What is heard for one command."""

    def __init__(
        self, client: Client, wish: Wish, target: Target, telling: Telling, given: Sequence[str]
    ) -> None:
        self._client = client
        self._wish = wish
        self._target = target
        self._telling = telling
        self._several = len(given) > 1
        self._out = Out()
        # what is heard is not written over
        self._places = Places(replace=target.replace, taken=map(Path, filter(os.path.isfile, given)))
        self._written = False  # anything to standard output

    async def hear(self, word: str) -> None:
        """One post or file. Raises ClipwireError, OSError."""
        media = inputs.media(word)
        if self._several:
            self._telling.title(word)
        async with AsyncExitStack() as stack:
            going = stack.enter_context(self._telling.going("waiting for the first words"))
            events = await self._events(media, stack)
            if self._target.path is None:
                await self._live(events, going)
                return
            path = await self._kept(events, media, self._target.path, going)
        await self._out.write(os.fsencode(path) + b"\n")

    async def _events(self, media: str | Path, stack: AsyncExitStack) -> AsyncIterator[Event]:
        client, wish = self._client, self._wish
        how = {"language": wish.language, "task": wish.task, "prompt": wish.prompt, "hotwords": wish.hotwords}
        if wish.code is None:
            return await asking.again(
                lambda: stack.enter_async_context(
                    client.transcribe(media, words=wish.words, source=wish.source, **how)  # type: ignore[arg-type]
                ),
                self._telling,
            )
        assert isinstance(media, Path)
        code = wish.code
        begun = await asking.again(
            lambda: client.submit(media, code, wait=False, **how),  # type: ignore[arg-type]
            self._telling,
        )
        # from now on it goes on without us, and whoever left can come back to it
        self._telling.note(f"The transcript is {begun.id}.")
        return await asking.again(lambda: stack.enter_async_context(client.follow(begun.id)), self._telling)

    async def _live(self, events: AsyncIterator[Event], going: Going) -> None:
        """To standard output, each piece at once."""
        writing = Writing(self._target.form, shown=self._out.terminal, dim=self._out.dim)
        if self._written and self._target.form == "txt":
            await self._out.write(b"\n")
        async with aclosing(self._pieces(events, writing, going)) as pieces:
            async for data in pieces:
                if data:
                    self._written = True
                    with going.aside():
                        await self._out.write(data)

    async def _kept(
        self, events: AsyncIterator[Event], media: str | Path, target: Path, going: Going
    ) -> Path:
        """To a file, which is whole or not there."""
        writing = Writing(self._target.form)
        ids: list[str] = []

        async def noted() -> AsyncGenerator[Event, None]:
            async for event in events:
                if isinstance(event, Info):
                    ids.append(event.id)
                yield event

        async with aclosing(noted()) as seen, aclosing(self._pieces(seen, writing, going)) as pieces:
            head = await anext(pieces, b"")
            if self._target.folder:
                path = self._places.free(target, f"{await self._name(media, ids)}.{self._target.form}")
            else:
                path = target if _open(target) else self._places.beside(target)

            async def chunks() -> AsyncGenerator[bytes, None]:
                yield head
                async for data in pieces:
                    yield data

            async with aclosing(chunks()) as whole:
                if _open(path):
                    await poured(whole, path)
                else:
                    await files.save(whole, path, lambda size: None)
        return path

    async def _pieces(
        self, events: AsyncIterator[Event], writing: Writing, going: Going
    ) -> AsyncGenerator[bytes, None]:
        """What is written, event by event; whoever watches is told how far it is."""
        duration: float | None = None
        try:
            async for event in events:
                match event:
                    case Progress():
                        going.tell(_standing(event))
                        continue
                    case Info():
                        duration = event.duration
                    case Segment():
                        going.tell(f"heard {plain.clock(event.end)}" + _of(duration))
                    case End(speech="none"):
                        why = ", ".join(event.reasons).replace("_", " ")
                        self._telling.note("No words were heard" + (f": {why}." if why else "."))
                yield writing.event(event)
        except TranscriptFailed as failure:
            if self._target.path is None:
                yield writing.failed(failure)
            raise

    async def _name(self, media: str | Path, ids: list[str]) -> str:
        """What a transcript's file is called: as the file that was heard, or by the post's id."""
        if isinstance(media, Path):
            return media.stem
        id_ = ids[0] if ids else "transcript"
        try:
            url = (await self._client.transcripts.get(id_)).url
            return urlsplit(url or "").path.rsplit("/", 1)[-1] or id_
        except (ClipwireError, ValueError):
            return id_


def _open(path: Path) -> bool:
    """Whether it is to be written into as it is: a device, a FIFO, or one of our own files by its number."""
    numbered = path.parent in (Path("/dev"), Path("/dev/fd"))  # /dev/stdout may be a plain file
    return path.exists() and not path.is_dir() and (numbered or not path.is_file())


def _standing(progress: Progress) -> str:
    """Where a transcript stands, in words."""
    if progress.position:
        wait = f", about {progress.wait_s:.0f} s" if progress.wait_s is not None else ""
        return f"waiting: {progress.position} before this{wait}"
    if progress.bytes_total is None or progress.bytes < progress.bytes_total:
        whole = f" of {plain.size(progress.bytes_total)}" if progress.bytes_total is not None else ""
        return f"{plain.size(progress.bytes)}{whole} here"
    return "listening"


def _of(duration: float | None) -> str:
    return f" of {plain.clock(duration)}" if duration is not None else ""
