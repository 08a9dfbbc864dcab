"""The transcripts that are running; identical wishes share one.

Always: at most one transcript per sound and options runs, and no more of them than the bound.
"""

from collections.abc import Hashable
from concurrent.futures import ThreadPoolExecutor

from gateway.errors import BadRequest, Busy, NotReady
from gateway.settings import Settings
from gateway.speech.languages import CODES
from gateway.speech.listening import Listening, Sound
from gateway.speech.messages import Options
from gateway.speech.pool import LocalPool
from gateway.speech.transcript import Transcript
from gateway.speech.vad import Detector
from gateway.tasks import Background

__all__ = ["Options", "Sound", "Transcript", "Transcripts"]

_BUSY_RETRY_S = 5  # a clip of a minute takes two seconds alone
_AHEAD_PER_WORKER = 4  # windows in flight over all transcripts: a batch in work, and the next
_AHEAD_LEAST = 2  # of one transcript: one in work while the next is cut


class Transcripts:
    """The transcripts that are running; identical wishes share one."""

    def __init__(self, pool: LocalPool, background: Background, settings: Settings) -> None:
        self._pool = pool
        self._background = background
        self._settings = settings
        self._detector = Detector()
        self._thread = ThreadPoolExecutor(1, "voice detector")  # 900 x real time: enough for all
        self._running: dict[tuple[Hashable, Options], Transcript] = {}

    def __len__(self) -> int:
        """Transcripts running; one that everybody left is not."""
        return sum(not transcript.ending for transcript in self._running.values())

    @property
    def room(self) -> bool:
        """Whether one more transcript would be accepted."""
        return len(self) < self._settings.transcripts_max

    def join(self, key: Hashable, options: Options, sound: Sound, *, duration: float | None) -> Transcript:
        """The running transcript of this sound and these options, or a new one.

        Follow it at once: until somebody does, nobody can leave it. Raises Busy and NotReady.
        """
        if options.language is not None and options.language not in CODES:
            raise BadRequest("The language is not known. Give its code, such as en or de.")
        running = self._running.get((key, options))
        if running is not None and not running.ending:
            return running
        if not self._pool.ready:
            restarting = "The speech workers are being started again. Try again in a moment."
            raise NotReady(restarting if self._pool.model else None, retry_after_s=_BUSY_RETRY_S)
        if not self.room:
            raise Busy(retry_after_s=_BUSY_RETRY_S)
        listening = Listening(sound, self._detector, self._thread)
        transcript = Transcript(options, listening, self._pool, duration=duration, ahead=self._ahead)
        self._running[key, options] = transcript
        transcript.start(self._background).add_done_callback(
            lambda _: self._forget((key, options), transcript)
        )
        return transcript

    async def close(self) -> None:
        """Ends the detector's thread; the transcripts themselves end with the background."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _forget(self, key: tuple[Hashable, Options], transcript: Transcript) -> None:
        if self._running.get(key) is transcript:
            del self._running[key]

    def _ahead(self) -> int:
        """Windows that one transcript may have in flight: a share, so that memory stays flat."""
        share = _AHEAD_PER_WORKER * self._pool.workers // max(1, len(self))
        return max(_AHEAD_LEAST, share)
