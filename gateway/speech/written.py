"""A transcript that was written by others: cues into its log, without the model."""

import asyncio
from collections.abc import Sequence

from gateway.speech.transcript import Ending, Transcript, Work
from gateway.wire.events import Captions, Info, Segment
from gateway.wire.subtitles import Cue

_AT_ONCE = 500  # segments; others have their turn between so many


def written(cues: Sequence[Cue], *, captions: Captions, language: str | None, duration: float | None) -> Work:
    """The work that copies a post's own captions. `duration` in seconds; without, the last cue tells it."""

    async def work(log: Transcript) -> Ending:
        log.inform(
            Info(
                id=log.id,
                language=language,
                language_probability=None,
                duration=duration,
                model=None,
                source="captions",
                captions=captions,
            )
        )
        for number, cue in enumerate(cues):
            if number % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
            log.add(Segment(number, cue.start, cue.end, cue.text))
        last = cues[-1].end if cues else 0.0
        return Ending(last if duration is None else duration, "ok" if cues else "none")

    return work
