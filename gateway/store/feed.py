"""The logs of running transcripts in Redis, for gateways in which they do not run; and what those ask.

Always: each run of a transcript has a log of its own, and what is told of the transcript is of the newest;
event n is entry n + 1, so that what Redis has lost can be written once more; everything here ends by itself.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.store.redis import Odd, Redis

RUN_CHARS = 22
INBOX_S = 30  # what is asked of a process, and what it answers: longer than anybody waits
INBOX_MAX = 1000
CUT = b""  # in place of an event: no more comes of this log
READ_MAX = 200  # entries of a log, and
LOGS_MAX = 50  # runs, of one answer: Redis is waited for but shortly

# Writes events from `start` on, where the log is that long; tells how long it is then. What is told of the
# transcript begins with the run; where that is another, and this is not the newest, nothing is written and -1
# told.
APPEND = """
local now = redis.call('GET', KEYS[2])
if now and ARGV[5] ~= '1' and string.sub(now, 1, #ARGV[1]) ~= ARGV[1] then return -1 end
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local count = last and tonumber(string.match(last[1], '^%d+')) or 0
if count == tonumber(ARGV[4]) then
  for i = 6, #ARGV do
    count = count + 1
    redis.call('XADD', KEYS[1], string.format('%.0f-0', count), 'event', ARGV[i])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
redis.call('SET', KEYS[2], ARGV[1] .. ARGV[3], 'PX', ARGV[2])
return count
"""
TELL = """
redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'asked', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
"""


def new_run() -> str:
    """The name of a run."""
    return secrets.token_urlsafe(16)


class Feed:
    """Logs and inboxes, by transcript and by process. Everything raises Away."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._append = redis.script(APPEND)
        self._tell = redis.script(TELL)

    async def append(
        self,
        id_: str,
        run: str,
        about: bytes,
        lines: Sequence[bytes],
        *,
        start: int,
        keep_s: float,
        newest: bool = False,  # whatever ran before
    ) -> int:
        """Writes events, and what is told of the transcript; how many there are now, -1 where another run
        is newer."""
        assert len(run) == RUN_CHARS
        keys = [self._redis.key("log", run), self._redis.key("about", id_)]
        return int(await self._append(keys, [run, round(keep_s * 1000), about, start, int(newest), *lines]))

    async def about(self, ids: Sequence[str]) -> list[bytes | None]:
        """What is told of transcripts, None of those that run nowhere."""
        found = await self._redis.ask("MGET", *(self._redis.key("about", id_) for id_ in ids))
        return [None if one is None else one[RUN_CHARS:] for one in found]

    async def read(self, numbers: Mapping[str, int]) -> dict[str, list[tuple[int, bytes]]]:
        """The events of runs after the first so many, with their numbers; no more than LOGS_MAX runs. What
        is no event is CUT."""
        try:
            return await self._read(numbers)
        except Odd:
            if len(numbers) > 1:  # one of them, which the others are not to suffer from
                alone = [await self.read({run: number}) for run, number in numbers.items()]
                return {run: entries for found in alone for run, entries in found.items()}
            return {run: [(number, CUT)] for run, number in numbers.items()}

    async def _read(self, numbers: Mapping[str, int]) -> dict[str, list[tuple[int, bytes]]]:
        of = {self._redis.key("log", run): run for run in numbers}
        since = [f"{number}-0" for number in numbers.values()]
        answer = await self._redis.ask("XREAD", "COUNT", READ_MAX, "STREAMS", *of, *since)
        return {
            of[key.decode()]: [_event(at, fields) for at, fields in entries]
            for key, entries in _pairs(answer)
        }

    async def forget(self, id_: str) -> None:
        """Nothing is told of a transcript any more."""
        await self._redis.ask("DEL", self._redis.key("about", id_))

    async def asked(self, process: str, since: str) -> list[tuple[str, bytes]]:
        """What was asked of a process since then, and when."""
        inbox = self._redis.key("inbox", process)
        try:
            answer = await self._redis.ask("XREAD", "STREAMS", inbox, since)
        except Odd:  # nobody could ask anything any more
            await self._redis.ask("DEL", inbox)
            return []
        return [
            (at.decode(), fields.get(b"asked", b""))
            for _, entries in _pairs(answer)
            for at, fields in entries
        ]

    async def tell(self, process: str, what: bytes) -> None:
        """Asks something of a process."""
        await self._tell([self._redis.key("inbox", process)], [what, INBOX_S * 1000, INBOX_MAX])

    async def answer(self, name: str, what: bytes) -> None:
        """Answers it."""
        await self._redis.ask("SET", self._redis.key("answer", name), what, "PX", INBOX_S * 1000)

    async def answered(self, name: str) -> bytes | None:
        """The answer, once it is there."""
        found: bytes | None = await self._redis.ask("GET", self._redis.key("answer", name))
        return found


def _event(at: bytes, fields: Mapping[bytes, bytes]) -> tuple[int, bytes]:
    count, _, part = at.partition(b"-")
    return int(count) - 1, fields.get(b"event", CUT) if part == b"0" else CUT


def _pairs(answer: Any) -> list[tuple[bytes, list[Any]]]:
    """Streams and their entries, as the library has them of either protocol."""
    return list(answer.items() if isinstance(answer, dict) else answer or ())
